"""``Fit``: what users hold in their hands after a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mme.api.base import of_records
from mme.api.breeding import Breeding
from mme.api.fixed import FixedEffects
from mme.api.intervals import Intervals
from mme.api.means import FactorMeans
from mme.api.numbers import Numbers
from mme.api.output import Output
from mme.api.random import RandomEffects
from mme.api.records import Records
from mme.api.variances import Variances
from mme.fitted.offered import offered
from mme.fitted.refit import refitted
from mme.numeric.processors import processors
from mme.tables.arguments import count
from mme.tables.arrays import dimensions
from mme.tables.calls import explains


@explains(lambda fit, parameter: offered(fit.internals, parameter))
class Fit(Numbers, RandomEffects, Variances, Breeding, FixedEffects, FactorMeans, Intervals, Records, Output):
    """A fitted mixed model. Made by :func:`mme.fit` and :func:`mme.lmer`.

    Every method is a line to the room that does the work; ``internals`` is the record that these rooms share.

    Notes
    -----
    Three variances are kept apart: :attr:`se` is of the fixed effects; :meth:`condvar` is var(b | y) with beta held
    at its estimate (lme4's ``condVar``); :meth:`pev` is var(b_hat - b), the uncertainty of beta included.
    """

    @of_records
    def refit(self, y: Any, *, start_here: bool = True, workers: int | None = None) -> Any:
        """Fit the same model to another response, or to many.

        A theta that was given stays as it is. Rows are taken by position, which labels of a pandas index must not
        contradict; a response that has values for the rows used alone will do too.

        Parameters
        ----------
        y : (n,) array, or (n, B) array or frame
            One value a row of the data; of many responses a column each.
        start_here : bool
            Whether the search looks at this fit's theta first.
        workers : int, optional
            Threads for many responses; None: one a processor.

        Returns
        -------
        Fit or Refits
            Of many responses a sequence of fits, with ``criterion``, ``theta``, ``beta``, ``sigma`` and ``singular`` of
            all as arrays, and ``table``.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
        >>> again = fit.refit(fit.simulate(200, seed=1))
        >>> len(again), again.beta.shape, round(float(again.singular.mean()), 2)
        (200, (200, 1), 0.04)
        >>> bool(abs(again[7].criterion - again.criterion[7]) < 1e-8)
        True
        """
        self.internals.rows.check_order(y, "the response")
        if dimensions(y) != 2 or np.shape(y)[1] == 1:
            return replace(self, internals=refitted(self.internals, y, start_here), made_by=None)
        from mme.many.refits import refit_all

        threads = processors() if workers is None else count(workers, "workers")
        return refit_all(self.internals, y, lambda record: replace(self, internals=record, made_by=None), threads)
