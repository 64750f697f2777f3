"""Where the variance is: shares of the terms, and functions of the variances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mme.api.base import Face
from mme.results.genetics import heritability_table

if TYPE_CHECKING:
    import pandas as pd


class Variances(Face):
    """What a fit says of the variance of the records."""

    def heritability(self, name: str) -> pd.DataFrame:
        """Share of a term in the variance of the records, and its correlations: ``estimate, se`` (delta method)."""
        return heritability_table(self.internals, name)

    def vpredict(self, function: str, *, level: float = 0.95) -> pd.Series:
        """A function of the variances, with its standard error and an interval (ASReml's and sommer's ``vpredict``).

        Parameters
        ----------
        function : str
            ``"h2 ~ V_animal / (V_animal + V_res)"``, or its right side alone, of ``+ - * / ^``, parentheses, ``sqrt``,
            ``log``, ``exp``, and names: ``V_g`` the variance of the term ``g``; ``V_g.x`` and ``C_g.x.z`` variances and
            covariances of coefficients; ``V_res``, by stratum or occasion ``V_res.a`` and ``C_res.a.b``; and all
            parameters by the names of :meth:`Fit.confint` and :attr:`Fit.residual`. Names with other characters than
            letters, digits, dots and underscores stand in backticks: ``V_g.(Intercept)`` too.
        level : float
            Of the interval, by the normal distribution.

        Returns
        -------
        Series
            ``estimate, se, lower, upper``, by the delta method on the observed information. The standard error is
            missing where a variance of zero leaves the method nothing to say, and where the variances were given.

        Raises
        ------
        MMEError
            A name is not known, with a caret under it and the names that are.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
        >>> fit.vpredict("icc ~ V_Batch / (V_Batch + V_res)").round(3).to_dict()
        {'estimate': 0.418, 'se': 0.216, 'lower': -0.005, 'upper': 0.842}
        """
        from mme.results.functions import predicted

        return predicted(self.internals, function, level)

    def variance_shares(self) -> pd.DataFrame:
        """``variance, share`` of the fixed effects, each random term and the residual; the shares sum to one.

        NaN for terms whose variances the data do not determine: that one of them is held at zero is no estimate.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.variance_shares().round({"variance": 1, "share": 3})
                       variance  share
        fixed effects     909.0  0.279
        Subject          1698.1  0.521
        residual          654.9  0.201
        """
        from mme.results.shares import variance_shares

        return variance_shares(self.internals)

    def r2(self) -> pd.Series:
        """R squared of Nakagawa, Schielzeth and Johnson: ``marginal`` (fixed effects), ``conditional`` (random too).

        Examples
        --------
        >>> import mme
        >>> mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy")).r2().round(3).to_dict()
        {'marginal': 0.279, 'conditional': 0.799}
        """
        from mme.results.shares import r2

        return r2(self.internals)

    def icc(self) -> pd.Series:
        """Intraclass correlation: the share of each random term, and of ``all``, in the variance that X leaves.

        With one random intercept it is the correlation of two records of a group. Fixed effects are left out of the
        denominator (the "adjusted" ICC); :meth:`Fit.variance_shares` has them in it, and NaN in the same places.

        Examples
        --------
        >>> import mme
        >>> mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff")).icc().round(3).to_dict()
        {'Batch': 0.418, 'all': 0.418}
        """
        from mme.results.shares import icc

        return icc(self.internals)

    def variances(self) -> pd.DataFrame:
        r"""Four variances that are often confused, side by side: a row each variance or covariance of a term.

        Returns
        -------
        DataFrame
            ``group, term1, term2``
                As in ``varcorr.to_frame()``.
            ``prior``
                The variance component: var(b) before the data of a level are seen. What the model estimates.
            ``of_blups``
                Mean of b_hat b_hat' over the levels: less than ``prior``, because BLUPs are shrunken.
            ``mean_condvar``
                Mean of var(b | y) at the estimated beta: what a level's data leave unknown (lme4's ``condVar``).
            ``mean_pev``
                Mean of var(b_hat - b): the same with the uncertainty of beta included.

        Notes
        -----
        By REML prior = of_blups + mean_pev, by ML prior = of_blups + mean_condvar, wherever the maximum is inside the
        model, the covariance is unstructured and levels are unrelated: these are the equations that an EM step solves
        (Laird and Ware 1982, Biometrics 38, 963-974).

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
        >>> fit.variances().iloc[0, 3:].astype(float).round(-1).to_dict()
        {'prior': 1760.0, 'of_blups': 1150.0, 'mean_condvar': 380.0, 'mean_pev': 610.0}
        """
        from mme.results.shares import variances

        return variances(self.internals)
