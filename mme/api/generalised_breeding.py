"""Breeding values, heritabilities and errors among levels of a generalised fit, on the scale of the link."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mme.api.generalised_base import GeneralisedFace
from mme.results.frames import framed

if TYPE_CHECKING:
    import pandas as pd


class GeneralisedBreeding(GeneralisedFace):
    """What breeders ask of a threshold or a Poisson model; variances of errors are those of :meth:`pev`."""

    def ebv(self, name: str | None = None, *, of: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Breeding values in one table: ``ebv, pev, reliability, accuracy, inbreeding, records``.

        Modes of the random effects on the scale of the link; ``name`` and ``of`` as in :meth:`mme.Fit.ebv`.

        Examples
        --------
        >>> import mme
        >>> family = mme.Pedigree(["c", "d"], ["a", "a"], ["b", None])
        >>> data = {"ill": [0, 1, 1, 0, 1, 1], "animal": ["c", "d", "c", "b", "d", "d"]}
        >>> fit = mme.glmer("ill ~ 1 + (1 | animal)", data, relationship={"animal": family}, theta=[1.0])
        >>> fit.ebv()[["ebv", "records"]].round(2).loc["d"].tolist()
        [0.59, 3.0]
        """
        from mme.results.breeding_values import breeding_values

        return framed(breeding_values(self.internals, name, of))

    def curves(self, name: str | None = None, *, at: Mapping[str, Any]) -> pd.DataFrame:
        """A random regression at given values of its covariate: the table of :meth:`ebv`, one row per level and value.

        As :meth:`mme.Fit.curves`, on the scale of the link.
        """
        from mme.results.curves import curves

        return curves(self.internals, name, at)

    def variance_curve(
        self, name: str | None = None, *, at: Mapping[str, Any], method: str | None = None, se: bool = True
    ) -> pd.DataFrame:
        """Variances of all terms and of the distribution along a covariate, their ``total``, the ``share`` of a term.

        As :meth:`mme.Fit.variance_curve`, on the scale of the link; ``method`` as in :meth:`variance_shares`.
        """
        from mme.results.variance_curves import generalised_variance_curve

        return generalised_variance_curve(self.internals, name, at, method, se)

    def correlation_curve(self, name: str | None = None, *, at: Mapping[str, Any], se: bool = True) -> pd.DataFrame:
        """Correlations between a level's values at each two values of a covariate.

        As :meth:`mme.Fit.correlation_curve`, on the scale of the link.
        """
        from mme.results.variance_curves import generalised_correlation_curve

        return generalised_correlation_curve(self.internals, name, at, se)

    def pev_matrix(self, name: str | None = None, *, levels: Any = None, differences: bool = False) -> pd.DataFrame:
        """Covariances of errors b_hat - b between levels, or variances of differences: as :meth:`mme.Fit.pev_matrix`.

        Its diagonal is :meth:`pev`, on the scale of the link, with what theta leaves uncertain.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> fit.pev_matrix(levels=[1, 2], differences=True).round(2).iloc[0].tolist()
        [0.0, 0.73]
        """
        from mme.fitted.generalised_levels import generalised_error_between
        from mme.results.between_levels import pev_matrix

        return pev_matrix(self.internals, name, levels, differences, generalised_error_between)

    def average_difference(self, name: str | None = None) -> float:
        """The variance of the difference of two modes, averaged over all pairs of levels with records."""
        from mme.fitted.generalised_levels import generalised_error_of_sum
        from mme.results.between_levels import average_difference

        return average_difference(self.internals, name, generalised_error_of_sum)

    def cullis(self, name: str | None = None) -> float:
        """Heritability of genotype means by Cullis, on the scale of the link: as :meth:`mme.Fit.cullis`."""
        from mme.fitted.generalised_levels import generalised_error_of_sum
        from mme.results.line_means import cullis

        return cullis(self.internals, name, generalised_error_of_sum)

    def piepho(self, name: str) -> float:
        """Heritability of genotype means by Piepho, on the scale of the link: as :meth:`mme.Fit.piepho`.

        Another random term has to stay where this one is made fixed.
        """
        from mme.errors import MMEError
        from mme.results.line_means import made_fixed, of_fixed

        change, written = made_fixed(self.internals, name)
        if len(self.internals.model.terms) == 1:
            raise MMEError(
                f"piepho: without '{name}' no random term is left, and a generalised model without one is not fitted "
                "here; cullis() takes this fit alone"
            )
        return of_fixed(self.internals, self.update(change).internals, name, written)

    def heritability(self, name: str, *, scale: str = "link", method: str | None = None) -> pd.DataFrame:
        r"""Share of a term in the variance of the records, and its correlations: ``estimate, se`` (delta method).

        Parameters
        ----------
        name : str
            The random term.
        scale : str
            ``"link"``: V_A over the variance of all terms and of the distribution, as :meth:`icc` has it; fixed effects
            are no part of it. ``"response"``: of what is observed, Psi^2 V_A / V_P with Psi the mean slope of the
            response by eta and V_P the variance of the records, what fixed effects add included (de Villemereuil et al.
            2016, Genetics 204:1281: their QGglmm with ``predict=``); of one trial, and of each ordered category.
        method : str, optional
            What the distribution adds on the scale of the link, as in :meth:`variance_shares`. Where that takes the
            mean of the records, its standard error takes it as known.

        Examples
        --------
        >>> import mme
        >>> herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 8, 4, 1, 0], "of": [14, 12, 9, 5, 21, 22]}
        >>> fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
        >>> [float(fit.heritability("herd", scale=on).iloc[0, 0].round(3)) for on in ("link", "response")]
        [0.607, 0.376]
        """
        from mme.inference.fixed.z_tables import is_response
        from mme.results.generalised_heritability import latent_heritability, observed_heritability

        if not is_response(scale):
            return framed(latent_heritability(self.internals, name, method))
        return framed(observed_heritability(self.internals, name, method))
