"""Random effects: what is predicted of them, and what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.api.base import Face, of_records
from mme.results import random_effects
from mme.results.frames import ByFactor

if TYPE_CHECKING:
    import pandas as pd

    from mme.results.draws import Draws


class RandomEffects(Face):
    """What a fit says of its random effects."""

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
            By name of the factor or term: one row per level, one column per coefficient.

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
        return ByFactor(random_effects.condvar(self.internals, by, levels))

    def pev(self, by: str = "factor", *, levels: Mapping[str, Any] | None = None) -> dict[str, np.ndarray]:
        """Prediction error variance var(b_hat - b): the conditional variance with the uncertainty of beta included.

        Returns
        -------
        dict of (levels, q, q) arrays
            By name as in :meth:`ranef`, in squared units of the response.
        """
        return ByFactor(random_effects.pev(self.internals, by, levels))

    def reliability(self, by: str = "factor", *, levels: Mapping[str, Any] | None = None) -> dict[str, pd.DataFrame]:
        """Reliability 1 - PEV / var(b) of each prediction: one row per level, one column per coefficient.

        var(b) counts inbreeding (K_gg = 1 + F_g). Where unknown parents have fixed groups, the PEV is of the animal's
        value with its groups, as :meth:`ranef` gives it, while var(b) counts no groups: the reliability is NaN where
        the PEV is larger than var(b), or where nothing is known of the groups.
        """
        return ByFactor(random_effects.reliability(self.internals, by, levels))

    def shrinkage(self, by: str = "factor") -> dict[str, pd.DataFrame]:
        """Each level's estimate without pooling, with all data pooled, and between the two, where BLUP puts it.

        Returns
        -------
        dict of DataFrame
            By name as in :meth:`ranef`, a row for each level and coefficient: ``n`` records, ``pooled`` (the fixed
            effect), ``no_pooling`` (the level alone), ``partial_pooling``, and the ``weight`` of the level's own data.
        """
        return ByFactor(random_effects.shrinkage(self.internals, by))

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
