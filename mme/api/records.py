"""What a fit says of records: fitted, predicted, simulated, influential."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.api.base import Face, of_records
from mme.fitted.common import require_records

if TYPE_CHECKING:
    import pandas as pd


class Records(Face):
    """What a fit says of records, old and new."""

    @cached_property
    def fitted(self) -> Any:
        """X beta + Z b + offset, one a row of the user's data (NaN where a row was dropped).

        Of a table in chunks an object that reads it again: iterate over it, a Series a chunk, or ``to_series()``.
        """
        if self.internals.model.compressed is not None:
            return self._streamed("fitted")
        return self.internals.rows.aligned(self.internals.estimates.fitted, "fitted")

    @cached_property
    def residuals(self) -> Any:
        """y - fitted, one a row of the user's data; of a table in chunks as :attr:`fitted`."""
        if self.internals.model.compressed is not None:
            return self._streamed("residuals")
        return self.internals.rows.aligned(self.internals.model.y - self.internals.estimates.fitted, "residuals")

    @of_records
    def scaled_residuals(self, kind: str = "standardised") -> Any:
        r"""Residuals of a kind, one a row of the data.

        Parameters
        ----------
        kind : str
            ================  ==========================================================================================
            ``response``      y - fitted, units of the response: :attr:`Fit.residuals`
            ``pearson``       (y - fitted) / sd(e), with prior weights and variance functions: lme4's
                              ``residuals(type="pearson", scaled=TRUE)``, nlme's ``"pearson"``
            ``normalised``    the same, and correlated residuals made independent: nlme's ``"normalized"``
            ``standardised``  normalised / sqrt(1 - leverage): variance one for every record, the influential ones too
            ``deletion``      y less its prediction from all other records, over the sd of that: (P y)_i / (sigma
                              sqrt(P_ii)), P as in :meth:`Fit.dfbeta`; ``standardised``, unless residuals are
                              correlated, where that is of a whitened record and this of the record
            ``marginal``      y - X beta - offset, units of the response; random effects are left in
            ``decorrelated``  W (y - X beta - offset) / sigma with W V W' = I: like independent N(0, 1) draws if the
            whole
                              model holds (Houseman, Ryan and Coull 2004, J. Am. Stat. Assoc. 99, 383-394); for models
                              with one grouping factor
            ================  ==========================================================================================

        Raises
        ------
        MMEError
            The kind is unknown, or ``"decorrelated"`` is asked of crossed, nested or related levels.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> [round(float(fit.scaled_residuals(kind).abs().max()), 3) for kind in ("pearson", "standardised")]
        [5.179, 5.527]
        """
        from mme.diagnosis.residuals import scaled_residuals

        return scaled_residuals(self.internals, kind)

    def predict(
        self,
        newdata: Any = None,
        *,
        random: bool | str | Sequence[str] = True,
        fixed: bool = True,
        new_levels: str = "error",
        interval: str | None = None,
        level: float = 0.95,
        ddf: str = "satterthwaite",
        weights: Any = None,
        draws: int | None = None,
        seed: int | np.random.Generator | None = None,
    ) -> Any:
        """Predictions for the rows of the fit or for new ones.

        Parameters
        ----------
        newdata : data frame, mapping or (X, terms) pair, optional
            None: the rows of the fit. For a fit by formula a table with its columns; for a fit by arrays the new X
            and a list of :class:`mme.Term` in the order of the fit.
        random : bool, or names
            Whether the BLUPs are added, or which: ``"Subject"`` those of all terms on the grouping factor,
            ``"Subject.Days"`` those of one coefficient; without them the prediction is for the population.
        fixed : bool
            Whether X beta and the offset are in it; False: the random effects alone, of which ``random`` names part.
        new_levels : str
            ``"error"``, or ``"population"`` to give a level that the fit did not see, or a row without a label, the
            population value.
        interval : str, optional
            ``"confidence"``: of the mean x'beta + z'b; ``"prediction"``: of a new record about it, whose residual is
            independent of those in the fit. From the joint covariance of (beta_hat, b_hat - b) at the estimated
            variances; a new level has its prior variance. Linear in the rows for one grouping factor; several cost a
            solve for each level of the smaller of two.
        level : float
            Of the interval.
        ddf : str
            Degrees of freedom of the interval's t, as in :meth:`coefficients`: of the variance of each row's own error.
            ``"kenward-roger"`` (REML alone) also adds to the variance what the estimated variances leave uncertain, as
            Prasad and Rao; ``"none"`` is the normal distribution.
        weights : array or column name, optional
            Of new rows, for their prediction interval (variance sigma^2 / weight), where the fit had weights. Where its
            residuals have a structure, their variances are read from the columns of the new rows.
        draws : int, optional
            So many predictions with simulated parameters in place of one with their estimates: variances, effects given
            them and, with ``interval="prediction"``, the residual of a new record (:mod:`mme.prediction.drawn`).
        seed : int or Generator, optional
            The same seed gives the same draws.

        Returns
        -------
        array or Series; with ``draws`` (rows, draws). With ``interval`` a DataFrame ``fit, lower, upper, se, df``. A
        new row that the data of the fit do not determine (an empty cell; aliased columns that differ otherwise) is NaN,
        and a warning names the cause.

        Raises
        ------
        MMEError
            Columns are missing, or a level is new or missing and ``new_levels`` is ``"error"``.
        """
        from mme.prediction.drawn import drawn_predictions
        from mme.prediction.predict import predict

        if newdata is None:
            require_records(self.internals, "predict() without new rows")
        call = None if self.made_by is None else self.made_by.arguments
        if draws is not None:
            own = newdata, random, new_levels, interval, weights, fixed
            return drawn_predictions(self.internals, *own, draws, seed, call)
        return predict(self.internals, newdata, random, new_levels, interval, level, ddf, weights, fixed, call)

    @of_records
    def simulate(
        self,
        nsim: int = 1,
        *,
        seed: int | np.random.Generator | None = None,
        newdata: Any = None,
        random: bool | str = "new",
        weights: Any = None,
    ) -> Any:
        """Draw ``nsim`` responses at the estimates: (rows, nsim).

        Parameters
        ----------
        nsim : int
            How many.
        seed : int or Generator, optional
            The same seed gives the same draws.
        newdata : data frame or mapping, optional
            As in :meth:`predict`; None: the rows of the fit. Its rows may have levels of their own, related ones those
            of the fit or new times of a process; a residual structure reads its columns there, in groups of their own.
        random : bool or str
            ``"new"`` (True): random effects drawn anew, one for each label; ``"fitted"``: the BLUPs; False: none.
        weights : array or column name, optional
            Of new rows, where the fit had weights.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.simulate(2, seed=1, newdata={"Days": [0, 9, 0, 9], "Subject": ["a", "a", "b", "b"]}).shape
        (4, 2)
        """
        from mme.prediction.simulated import simulated

        call = None if self.made_by is None else self.made_by.arguments
        return simulated(self.internals, nsim, seed, newdata, random, weights, call)

    def leverage(self) -> Any:
        r"""Diagonal of the hat matrix of the conditional fit, one a row of the data: lme4's ``hatvalues``.

        fitted - offset = H y; h_i is between 0 and 1, and the sum is the number of parameters that the fit spends:
        p + trace of what the random effects take. With weights h_i is that of sqrt(w_i) y_i, with correlated residuals
        that of the whitened record (what the record adds to those before it).

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> round(float(fit.leverage().sum()), 3), round(float(fit.leverage()[0]), 4)
        (29.022, 0.2293)
        """
        from mme.diagnosis.influence import leverage

        if self.internals.model.compressed is not None:
            return self._streamed("leverage")
        return leverage(self.internals)

    def _streamed(self, what: str) -> Any:
        from mme.prediction.streamed import streamed

        return streamed(self.internals, what)

    @of_records
    def cooks_distance(self, by: Any = None) -> Any:
        r"""Cook's distance of every record, or of every group of records.

        Parameters
        ----------
        by : str or (N,) labels, optional
            None: of records, e_i^2 h_i / (p sigma^2 (1 - h_i)^2) with the leverage h_i and the residual e_i = sqrt(w_i)
            (y_i - fitted_i) of the conditional fit, as lme4's ``cooks.distance``. A grouping factor of the model (of
            several label vectors the first), another column of the data by its name, or labels with one a row of the
            data: of groups, (beta - beta_(g))' var(beta)^-1 (beta - beta_(g)) / p, the shift of the fixed effects when
            the group leaves. With correlated residuals that is the distance of records too.

        Returns
        -------
        Series
            By row of the data, or by label of the group; NaN where a fixed effect cannot be estimated without it.

        Notes
        -----
        Above one, or far above all others, is the rule of thumb for a closer look. The shift itself is
        :meth:`Fit.dfbeta`.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.cooks_distance(by="Subject").nlargest(2).round(3).to_dict()
        {'309': 0.149, '335': 0.129}
        """
        from mme.api.clustered import leaving
        from mme.diagnosis.influence import cooks_distance

        return cooks_distance(self.internals, leaving(self, by))

    @of_records
    def dfbeta(self, by: Any = None) -> pd.DataFrame:
        r"""beta - beta_(g): how far each fixed effect moves when a record, or a group of records, leaves.

        Of a record i, correlated with others or not, with V the covariance of y and P = V^-1 - V^-1 X (X'V^-1 X)^-1
        X'V^-1,

            beta - beta_(i) = (X'V^-1 X)^-1 (X'V^-1)_i (P y)_i / P_ii.

        Parameters
        ----------
        by : str or (N,) labels, optional
            As in :meth:`Fit.cooks_distance`.

        Returns
        -------
        DataFrame
            Rows of the data, or groups, x fixed effects.
        """
        from mme.api.clustered import leaving
        from mme.diagnosis.influence import dfbeta

        return dfbeta(self.internals, leaving(self, by))
