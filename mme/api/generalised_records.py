"""What a generalised fit says of records: predicted, simulated, refitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mme.api.generalised_base import GeneralisedFace

if TYPE_CHECKING:
    from mme.fitted.generalised import GeneralisedFitted
    from mme.plot import GeneralisedPlots


class GeneralisedRecords(GeneralisedFace):
    """What a generalised fit says of records, old and new."""

    def predict(
        self,
        newdata: Any = None,
        *,
        type: str = "response",
        random: bool | str | Sequence[str] = True,
        new_levels: str = "error",
        interval: str | None = None,
        level: float = 0.95,
        weights: Any = None,
        draws: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> Any:
        """Predictions for the rows of the fit or for new ones.

        Parameters
        ----------
        newdata : data frame, mapping or (X, terms) pair, optional
            As in :meth:`mme.Fit.predict`; None: the rows of the fit.
        type : str
            ``"response"``: the mean, a probability of binomial data; ``"link"``: eta, the linear predictor;
            ``"probability"``: of an ordinal fit, that of each category, a column each.
        random : bool, or names
            Whether the modes of the random effects are added, or which, as in :meth:`mme.Fit.predict`. False sets b to
            zero: the mean of a level in the middle, which is no mean of levels. ``"average"`` is that: the mean of a
            level drawn anew, integrated over b; of the probabilities in a population, say. New data need no grouping
            factors for it.
        new_levels : str
            ``"error"``, or ``"population"``: a level that the fit did not see, or a row without a label, has b = 0, and
            its prior variance in the interval.
        interval : str, optional
            ``"confidence"``: of the mean or of eta. Its standard error is from the joint covariance of (beta_hat,
            b_hat - b), with what all parameters leave uncertain, theta and those of the family too, by the implicit
            derivative of the modes: glmmTMB's. Ends are those on the scale of the link. ``"prediction"``: of a new
            response with this eta, which is normal with that standard error; the family's own parameters are those of
            the fit. Ends are the least y at or below which a new one is with their probability, for counts a count.
        level : float
            Of the interval.
        weights : column name or array, optional
            Of new rows with ``interval="prediction"``: numbers of trials, or prior weights; ones by default.
        draws, seed : int, optional
            So many predictions with simulated parameters, as in :meth:`mme.Fit.predict`.

        Returns
        -------
        array or Series; with ``draws`` (rows, draws). With ``interval`` a DataFrame ``fit, lower, upper, se, df``,
        ``se`` on the scale of ``type`` (of a new response its predictive standard deviation, and ``fit`` its mean) and
        ``df`` infinite. A new row that the data of the fit do not determine is NaN, and a warning names the cause.

        Raises
        ------
        MMEError
            Columns are missing, a level is new or missing and ``new_levels`` is ``"error"``, or the average over b does
            not exist (a link that takes a positive eta alone).

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.predict({"herd": [2, 3]}).round(3).tolist()
        [0.82, 0.033]
        >>> [float(fit.predict({"herd": [9]}, random=b).round(3)[0]) for b in ("average", False)]
        [0.342, 0.239]
        >>> fit.predict({"herd": [2]}, interval="prediction", weights=20)[["lower", "upper"]].values.round(2).tolist()
        [[0.5, 1.0]]
        """
        from mme.prediction.drawn_generalised import drawn_generalised
        from mme.prediction.generalised import predict_generalised

        if draws is not None:
            return drawn_generalised(self.internals, newdata, type, random, new_levels, interval, weights, draws, seed)
        return predict_generalised(self.internals, newdata, type, random, new_levels, interval, level, weights)

    def simulate(
        self,
        nsim: int = 1,
        *,
        seed: int | np.random.Generator | None = None,
        newdata: Any = None,
        random: bool | str = "new",
        weights: Any = None,
    ) -> Any:
        """Draw ``nsim`` new responses: (rows, nsim); ``newdata`` and ``random`` as in :meth:`mme.Fit.simulate`.

        ``weights`` are numbers of trials, or prior weights, of new rows; ones by default.

        Binomial draws are proportions of the trials of each record: 0 and 1 where there is one. :meth:`refit` takes
        them as they are.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.simulate(2, seed=1).shape
        (6, 2)
        """
        from mme.prediction.simulated import simulated_generalised

        return simulated_generalised(self.internals, nsim, seed, newdata, random, weights)

    def refit(self, y: Any, *, start_here: bool = True, workers: int | None = None) -> Any:
        """Fit the same model to another response, or to many; starts from this fit's parameters.

        Nothing that y does not change is made again. Rows are taken by position, which labels of a pandas index must
        not contradict; a response that has values for the rows used alone will do too.

        Parameters
        ----------
        y : (n,) array, or (n, B) array or frame
            One value a row of the data; of many responses a column each. A binomial response is 0 and 1, labels,
            proportions of the trials of this fit, or two columns of successes and failures: two columns of proportions
            that do not add up to the trials are two responses.
        start_here : bool
            Whether the search begins at this fit's parameters.
        workers : int, optional
            Threads for many responses; None: one a processor.

        Returns
        -------
        GeneralisedFit or GeneralisedRefits
            Of many responses a sequence of fits, with ``criterion``, ``theta``, ``parameters``, ``beta``, ``singular``
            and ``converged`` of all as arrays, and ``table``.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> many = fit.refit(fit.simulate(20, seed=1))
        >>> len(many), many.beta.shape, bool(abs(many[7].criterion - many.criterion[7]) < 1e-8)
        (20, (20, 1), True)
        """
        from mme.fitted.generalised_refit import are_responses, refitted_generalised

        self.internals.rows.check_order(y, "the response")
        if not are_responses(self.internals, y):
            return replace(self, internals=refitted_generalised(self.internals, y, start_here), made_by=None)
        from mme.many.generalised_refits import refit_all_generalised
        from mme.numeric.processors import processors
        from mme.tables.arguments import count, yes_or_no

        threads = processors() if workers is None else count(workers, "workers")
        here = yes_or_no(start_here, "start_here")
        return refit_all_generalised(self.internals, y, self._of, threads, start_here=here)

    def _of(self, record: GeneralisedFitted) -> Self:
        """The face of another record."""
        return replace(self, internals=record, made_by=None)

    @property
    def plot(self) -> GeneralisedPlots:
        """Pictures: ``fit.plot.effects("x")``, ``.check()``, ``.calibration()``, ... return matplotlib axes."""
        from mme.plot import GeneralisedPlots

        return GeneralisedPlots(self.internals, None if self.made_by is None else self.made_by.arguments.get("data"))
