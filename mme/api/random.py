"""Random effects, and where the variance is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.api.base import Face, of_records
from mme.results import random_effects
from mme.results.frames import ByFactor
from mme.results.genetics import heritability_table

if TYPE_CHECKING:
    import pandas as pd

    from mme.results.draws import Draws


class RandomEffects(Face):
    """What a fit says of its random effects and of the variance of the records."""

    def ranef(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Best linear unbiased predictions b_hat of the random effects, in the units of the response.

        Parameters
        ----------
        by : str
            ``"factor"``: terms on one grouping factor are joined, as in lme4; ``"term"``: each has a table of its own,
            the second on g named ``g.1``. ``condvar``, ``pev``, ``reliability`` and ``shrinkage`` have the same keys.

        Returns
        -------
        dict of DataFrame
            By name of the factor or term: a row a level, a column a coefficient.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days || Subject)", mme.load("sleepstudy"))
        >>> {name: list(table.columns) for name, table in fit.ranef().items()}
        {'Subject': ['(Intercept)', 'Days']}
        >>> {name: list(table.columns) for name, table in fit.ranef(by="term").items()}
        {'Subject': ['(Intercept)'], 'Subject.1': ['Days']}
        """
        return ByFactor(random_effects.ranef(self.internals, by))

    def coef(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each level, fixed effects plus BLUPs: a frame for each grouping factor.

        A row is a level; columns are the intercept, the fixed effects, then coefficients that are random alone.
        """
        return ByFactor(random_effects.coef(self.internals))

    def condvar(self, by: str = "factor", *, levels: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Conditional variance var(b | y) with beta held at its estimate: lme4's ``condVar``.

        Parameters
        ----------
        levels : mapping, optional
            Some levels alone, ``{"user": ["u17", "u4"]}``: what a fit by the iterative engine has, by a solve for each.

        Returns
        -------
        dict of (levels, q, q) arrays
            By name as in :meth:`ranef`, in squared units of the response; by factor, with the covariances between the
            effects of several terms at a level.
        """
        return random_effects.condvar(self.internals, by, levels)

    def pev(self, by: str = "factor", *, levels: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Prediction error variance var(b_hat - b): the conditional variance with the uncertainty of beta included.

        Returns
        -------
        dict of (levels, q, q) arrays
            By name as in :meth:`ranef`, in squared units of the response.
        """
        return random_effects.pev(self.internals, by, levels)

    def reliability(self, by: str = "factor", *, levels: Mapping[str, Any] | None = None) -> dict[str, pd.DataFrame]:
        """Reliability 1 - PEV / var(b) of each prediction: a row a level, a column a coefficient.

        var(b) counts inbreeding (K_gg = 1 + F_g). Where unknown parents have fixed groups, the PEV is of the animal's
        value with its groups, as :meth:`ranef` gives it, while var(b) counts no groups: the reliability is NaN where
        the PEV is larger than var(b), or where nothing is known of the groups.
        """
        return ByFactor(random_effects.reliability(self.internals, by, levels))

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

    def shrinkage(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Each level's estimate without pooling, with all data pooled, and between the two, where BLUP puts it.

        Returns
        -------
        dict of DataFrame
            By name as in :meth:`ranef`, a row for each level and coefficient: ``n`` records, ``pooled`` (the fixed
            effect), ``no_pooling`` (the level alone), ``partial_pooling``, and the ``weight`` of the level's own data.
        """
        return ByFactor(random_effects.shrinkage(self.internals, by))

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

    def draws(self, n: int = 1000, *, seed: int | np.random.Generator | None = None, by: str = "factor") -> Draws:
        """Draw (beta, b) from their joint distribution given the data, theta and sigma.

        What is uncertain about the variances is not in it (an empirical Bayes posterior): :meth:`Fit.simulate` with
        :meth:`Fit.refit` has that too.

        Parameters
        ----------
        n : int
            Number of draws.
        seed : int or Generator, optional
            The same seed gives the same draws.
        by : str
            ``"factor"`` or ``"term"``, as in :meth:`Fit.ranef`.

        Returns
        -------
        Draws
            ``.beta`` (n, p) DataFrame, ``.b[name]`` (n, levels, coefficients) arrays, levels as in :meth:`Fit.ranef`.

        Examples
        --------
        How sure is it that subject 308 reacts worse to a lost night than subject 309?

        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> slopes = fit.draws(2000, seed=1).b["Subject"][:, :, 1]
        >>> bool((slopes[:, 0] > slopes[:, 1]).mean() > 0.99)
        True
        """
        from mme.results.draws import draws

        return draws(self.internals, n, seed=seed, by=by)

    @of_records
    def eblup_mse(self, X: Any = None) -> pd.DataFrame:
        r"""Estimates of small areas with the second-order mean squared error of Prasad and Rao.

        Parameters
        ----------
        X : (J, p) array or table, optional
            Population means of the fixed-effect columns of each area, in the order of the levels; or a table of them,
            or of the columns of the formula, the areas in its index or a column: areas without a record may follow.
            None: the means of the area's records.

        Returns
        -------
        DataFrame
            By level: ``estimate`` x_g'beta + v_g, ``gamma`` the weight of the area's own data, ``g1, g2, g3``,
            ``mse``, and the coefficient of variation ``cv``, its root over the estimate.

        Raises
        ------
        MMEError
            The model is not one random intercept with independent levels and uncorrelated residuals.

        Examples
        --------
        Twelve areas, direct estimates with known sampling variances (Fay-Herriot):

        >>> import numpy as np, mme
        >>> y = np.array([1.1, 2.9, 1.7, 0.4, 3.2, 2.2, 4.1, 0.9, 1.2, 3.3, 2.6, 1.9])
        >>> psi = np.tile([0.2, 0.5, 1.0], 4)
        >>> areas = mme.Term(np.arange(12), name="area")
        >>> fit = mme.fit(y, np.ones((12, 1)), [areas], sigma=1.0, weights=1 / psi)
        >>> fit.eblup_mse().head(3).round(3)
              estimate  gamma     g1     g2     g3    mse     cv
        area
        0        1.258  0.852  0.170  0.003  0.007  0.188  0.345
        1        2.676  0.696  0.348  0.013  0.025  0.410  0.239
        2        1.915  0.534  0.534  0.030  0.044  0.653  0.422
        """
        from mme.results.smallarea import eblup_mse

        return eblup_mse(self.internals, X)
