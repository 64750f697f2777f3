"""What breeders ask of a fit: breeding values in one table, heritabilities of means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mme.api.base import Face, of_records
from mme.results.frames import framed

if TYPE_CHECKING:
    import pandas as pd


class Breeding(Face):
    """Breeding values and heritabilities of genotype means."""

    @of_records
    def ebv(self, name: str | None = None, *, of: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Breeding values in one table: ``ebv, pev, reliability, accuracy, inbreeding, records``.

        Parameters
        ----------
        name : str, optional
            The random term; None: the one with a relationship, or the only one.
        of : mapping, optional
            Functions of a level's coefficients by their weights: of a random regression ``{"day 100": [1.0, 0.3]}`` is
            the value where the basis is 1 and 0.3, a sum of rows of the basis that over days, with reliabilities.

        Returns
        -------
        DataFrame
            One row per level, and per coefficient where there are several (``effect``). ``inbreeding`` is K_gg - 1;
            ``records`` counts those whose covariate is not zero.

        Examples
        --------
        >>> import mme
        >>> family = mme.Pedigree(["c", "d"], ["a", "a"], ["b", None])
        >>> data = {"y": [3.0, 5.0, 4.0, 6.0], "animal": ["c", "d", "c", "b"]}
        >>> fit = mme.lmer("y ~ 1 + (1 | animal)", data, relationship={"animal": family}, theta=[1.0])
        >>> fit.ebv()[["ebv", "accuracy", "records"]].round(2).loc["c"].tolist()
        [-0.66, 0.48, 2.0]
        """
        from mme.results.breeding_values import breeding_values

        return framed(breeding_values(self.internals, name, of))

    @of_records
    def curves(self, name: str | None = None, *, at: Mapping[str, Any]) -> pd.DataFrame:
        """A random regression at given values of its covariate: the table of :meth:`ebv`, one row per level and value.

        Parameters
        ----------
        name : str, optional
            The random term; None: as in :meth:`ebv`.
        at : mapping
            Values by column, ``{"age": [1, 2, 3]}``.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (legendre(Days, 1) | Subject)", mme.load("sleepstudy"))
        >>> fit.curves(at={"Days": [0, 9]}).loc["308", ["ebv", "reliability"]].astype(float).round(2)
                ebv  reliability
        Days
        0      2.26         0.72
        9     85.05         0.89
        """
        from mme.results.curves import curves

        return curves(self.internals, name, at)

    @of_records
    def variance_curve(self, name: str | None = None, *, at: Mapping[str, Any], se: bool = True) -> pd.DataFrame:
        """Variances along a covariate: of each term, of the residual, their ``total``, and the ``share`` of one term.

        The share of an animal's additive effects is its heritability by age,

            h^2(x) = w'G w / (sum_t w_t'G_t w_t + r(x)),

        w(x) the basis of a term at x, r(x) the variance of the residual there.

        Parameters
        ----------
        name : str, optional
            The random term whose share it is; None: as in :meth:`ebv`.
        at : mapping
            Values by column, ``{"age": [1, 2, 3]}``; columns of a residual structure whose variances differ, too.
        se : bool
            Whether the table has ``se``, the standard error of the share by the delta method on the observed
            information. It takes the Hessian of the criterion, as :meth:`heritability` does.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.variance_curve(at={"Days": [0, 9]})[["share", "se"]].round(2)
              share    se
        Days
        0      0.48  0.12
        9      0.85  0.05
        """
        from mme.prediction.new_residuals import log_sd_along
        from mme.results.variance_curves import variance_curve

        call = None if self.made_by is None else self.made_by.arguments
        return variance_curve(self.internals, name, at, lambda: log_sd_along(self.internals, at, call), se)

    @of_records
    def correlation_curve(self, name: str | None = None, *, at: Mapping[str, Any], se: bool = True) -> pd.DataFrame:
        """Correlations between a level's values at each two values of a covariate: genetic correlations of ages.

            rho(x, z) = w(x)'G w(z) / sqrt(w(x)'G w(x) w(z)'G w(z))

        Parameters
        ----------
        name : str, optional
            The random term; None: as in :meth:`ebv`.
        at : mapping
            Two values or more by column, ``{"age": [1, 2, 3]}``.
        se : bool
            Whether the table has ``se``, as in :meth:`variance_curve`.

        Returns
        -------
        DataFrame
            ``covariance, correlation, se``, a row each pair of values, ``age`` and ``age.2``.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
        >>> fit.correlation_curve(at={"Days": [0, 9]}).round(2)
                     covariance  correlation    se
        Days Days.2
        0    9           698.53         0.47  0.25
        """
        from mme.results.variance_curves import correlation_curve

        return correlation_curve(self.internals, name, at, se)

    @of_records
    def pev_matrix(self, name: str | None = None, *, levels: Any = None, differences: bool = False) -> pd.DataFrame:
        """Covariances of prediction errors b_hat - b between levels.

        Parameters
        ----------
        name : str, optional
            The random term; None: as in :meth:`ebv`.
        levels : labels, optional
            Some levels; None: all.
        differences : bool
            The variances of differences of two levels instead.

        Examples
        --------
        >>> import mme
        >>> fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
        >>> fit.pev_matrix(levels=["A", "B"], differences=True).round(0)
        Batch      A      B
        Batch
        A        0.0  767.0
        B      767.0    0.0
        """
        from mme.fitted.at_levels import error_between
        from mme.results.between_levels import pev_matrix

        return pev_matrix(self.internals, name, levels, differences, error_between)

    @of_records
    def average_difference(self, name: str | None = None) -> float:
        """The variance of the difference of two BLUPs, averaged over all pairs of levels with records."""
        from mme.results.between_levels import average_difference
        from mme.results.line_means import error_of_sum

        return average_difference(self.internals, name, error_of_sum)

    @of_records
    def cullis(self, name: str | None = None) -> float:
        """Heritability of genotype means by Cullis: 1 - v / (2 sigma_g^2), v the mean variance of a BLUP difference.

        Cullis, Smith and Coombes (2006), J. Agric. Biol. Environ. Stat. 11:381-393. Over the levels with records.
        """
        from mme.results.line_means import cullis, error_of_sum

        return cullis(self.internals, name, error_of_sum)

    @of_records
    def piepho(self, name: str) -> float:
        """Heritability of genotype means by Piepho: sigma_g^2 / (sigma_g^2 + v / 2), v that of a difference of BLUEs.

        The model is fitted once more with the term fixed, for v (Piepho and Mohring 2007, Genetics 177:1881-1888). The
        parts of ``dsum()`` become fixed together, and v is of the genotypes with records at the level of the part.
        """
        from mme.results.line_means import made_fixed, of_fixed

        change, written = made_fixed(self.internals, name)
        return of_fixed(self.internals, self.update(change).internals, name, written)
