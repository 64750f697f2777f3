"""Random effects of a generalised fit, and where the variance is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.api.generalised_base import GeneralisedFace
from mme.results.frames import ByFactor, framed

if TYPE_CHECKING:
    import pandas as pd

    from mme.results.draws import Draws


class GeneralisedRandomEffects(GeneralisedFace):
    """What a generalised fit says of its random effects and of the variance of the records."""

    def ranef(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Modes of the random effects given the data, on the scale of the link: as :meth:`mme.Fit.ranef`."""
        from mme.results.random_effects import ranef

        return ByFactor(ranef(self.internals, by))

    def condvar(self, by: str = "factor") -> dict[str, np.ndarray]:
        """Variance of the random effects given the data, parameters at their estimates: by the mode's curvature."""
        from mme.results.random_effects import generalised_condvar

        return ByFactor(generalised_condvar(self.internals, by))

    def pev(self, by: str = "factor") -> dict[str, np.ndarray]:
        """Prediction error variance var(b_hat - b): what all parameters leave uncertain is in it, theta too.

        Returns
        -------
        dict of (levels, q, q) arrays
            By name as in :meth:`ranef`, on the scale of the link: glmmTMB's ``condVar``.
        """
        from mme.results.random_effects import generalised_pev

        return ByFactor(generalised_pev(self.internals, by))

    def reliability(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Reliability 1 - PEV / var(b) of each mode: one row per level, one column per coefficient.

        What is uncertain about theta can make the PEV larger than var(b) where hardly anything is known: it is below
        zero there.
        """
        from mme.results.random_effects import generalised_reliability

        return ByFactor(generalised_reliability(self.internals, by))

    def coef(self) -> dict[str, pd.DataFrame]:
        """Coefficients of each level: fixed effects plus modes, by grouping factor."""
        from mme.results.random_effects import coef

        return ByFactor(coef(self.internals))

    def shrinkage(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Each level's estimate from its own records, from all, and between the two, on the scale of the link.

        Returns
        -------
        dict of DataFrame
            As :meth:`mme.Fit.shrinkage`. ``no_pooling`` maximises the likelihood of the level's own records, all other
            effects as fitted: infinite where they are all zeros, say. ``partial_pooling`` is the fixed effect plus the
            mode, ``weight`` the share of the level's own data by the curvature there.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 0, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.shrinkage()["herd"]["no_pooling"].round(2).tolist()
        [-1.44, 1.79, -inf]
        """
        from mme.results.generalised_shrinkage import generalised_shrinkage

        return ByFactor(generalised_shrinkage(self.internals, by))

    def variances(self) -> pd.DataFrame:
        """Four variances that are often confused, side by side, on the scale of the link: as :meth:`mme.Fit.variances`.

        ``prior`` is what the model estimates, ``of_blups`` the mean of the squared modes: less, as they are shrunken.
        prior = of_blups + mean_condvar holds of normal responses alone, of others about so.
        """
        from mme.results.shares import variances

        return framed(variances(self.internals))

    def draws(self, n: int = 1000, *, seed: int | np.random.Generator | None = None, by: str = "factor") -> Draws:
        """Draw (beta, b) from the normal distribution that intervals of predictions state.

        What the data leave uncertain of theta and of the family's parameters is in it. b is about its mode with the
        curvature there: where levels hold few answers, the posterior is skew, and this is not.

        Parameters
        ----------
        n, seed, by
            As in :meth:`mme.Fit.draws`.

        Returns
        -------
        Draws
            As of :meth:`mme.Fit.draws`.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> b = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds).draws(2000, seed=1).b["herd"]
        >>> bool((b[:, 1, 0] > b[:, 2, 0]).mean() > 0.99)
        True
        """
        from mme.results.generalised_draws import generalised_draws

        return generalised_draws(self.internals, n, seed, by)

    def vpredict(self, function: str, *, level: float = 0.95) -> pd.Series:
        """A function of the variances and the family's parameters, with its standard error and an interval.

        Parameters
        ----------
        function : str
            As in :meth:`mme.Fit.vpredict`, on the scale of the link: ``V_g``, ``V_g.x``, ``C_g.x.z``, the parameters by
            the names of :meth:`confint`, fixed effects too; and ``V_dist``, the variance of the latent variable of
            answers and ordered categories: pi^2/3 (logit), 1 (probit), pi^2/6 (cloglog).
        level : float
            Of the interval, by the normal distribution.

        Returns
        -------
        Series
            ``estimate, se, lower, upper``, by the delta method on the Hessian of the criterion.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.vpredict("icc ~ V_herd / (V_herd + V_dist)").round(3).to_dict()
        {'estimate': 0.607, 'se': 0.225, 'lower': 0.167, 'upper': 1.048}
        """
        from mme.results.generalised_functions import predicted_generalised

        return predicted_generalised(self.internals, function, level)

    def variance_shares(self, method: str | None = None) -> pd.DataFrame:
        r"""``variance, share`` of the fixed effects, each random term and the distribution, on the scale of the link.

        Parameters
        ----------
        method : str, optional
            What the distribution adds given b (Nakagawa, Johnson and Schielzeth 2017), V the variance and m the mean of
            a record. Binomial: ``"theoretical"``, the default, pi^2/3 for logit, 1 for probit, pi^2/6 for cloglog;
            ``"delta"``, 1/(m (1 - m)) for logit. Log links: ``"lognormal"``, the default, log(1 + V/m^2); ``"delta"``,
            V/m^2; ``"trigamma"``. Other links: ``"delta"``. m is that of the model without fixed effects but an
            intercept, b integrated over.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.variance_shares().round(3)
                       variance  share
        fixed effects     0.000  0.000
        herd              5.086  0.607
        distribution      3.290  0.393
        """
        from mme.results.generalised_shares import generalised_shares

        return generalised_shares(self.internals, method)

    def r2(self, method: str | None = None) -> pd.Series:
        """R squared of Nakagawa, Schielzeth and Johnson: ``marginal`` (fixed effects), ``conditional`` (random too).

        ``method`` as in :meth:`variance_shares`.
        """
        from mme.results.generalised_shares import generalised_r2

        return generalised_r2(self.internals, method)

    def icc(self, method: str | None = None) -> pd.Series:
        """Intraclass correlation on the scale of the link: the share of each term in the variance that X leaves.

        ``method`` as in :meth:`variance_shares`.
        """
        from mme.results.generalised_shares import generalised_icc

        return generalised_icc(self.internals, method)
