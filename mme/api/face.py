"""``Fit``: what users hold in their hands after a fit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mme.api.base import of_records
from mme.api.fixed import FixedEffects
from mme.api.intervals import Intervals
from mme.api.numbers import Numbers
from mme.api.output import Output
from mme.api.random import RandomEffects
from mme.api.records import Records
from mme.fitted.refit import refitted


class Fit(Numbers, RandomEffects, FixedEffects, Intervals, Records, Output):
    """A fitted mixed model. Made by :func:`mme.fit` and :func:`mme.lmer`.

    Every method is a line to the room that does the work; ``internals`` is the record that these rooms share.

    Notes
    -----
    Three variances are kept apart: :attr:`se` is of the fixed effects; :meth:`condvar` is var(b | y) with beta held
    at its estimate (lme4's ``condVar``); :meth:`pev` is var(b_hat - b), the uncertainty of beta included.
    """

    @of_records
    def refit(self, y: Any, *, start_here: bool = True) -> Fit:
        """Fit the same model to another response, one value a row of the data; starts from this fit's theta.

        A theta that was given stays as it is. Rows are taken by position; a response that has values for the rows used
        alone will do too.
        """
        return replace(self, internals=refitted(self.internals, y, start_here), made_by=None)
