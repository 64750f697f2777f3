r"""Heritabilities of generalised fits: on the scale of the link, or of what is observed.

On the scale of the link the distribution adds what :mod:`mme.results.generalised_shares` says. On that of the response
(de Villemereuil, Schielzeth, Nakagawa and Morrissey 2016, Genetics 204:1281, their package QGglmm), with eta ~
N(x_i'beta, s_i^2) and all averages over the records i,

    Psi = E mu'(eta),    V_P = E(mu^2 + V) - (E mu)^2,    h^2 = Psi^2 V_A / V_P,

V the variance of one record given b; of ordered categories mu is the probability of one, and mu^2 + V is mu.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.marginal import MeanOfEta, marginal_means
from mme.results.generalised_shares import distribution_of
from mme.results.generalised_variances import Function, errors_of
from mme.results.mean_of_eta import means_of
from mme.results.share_of_term import ShareOfTerm

if TYPE_CHECKING:
    import pandas as pd

# mu^2 + V grows no faster than exp(3 eta), that of the inverse Gaussian with a log link.
_GROWTH = 3.0


def latent_heritability(fit: GeneralisedFitted, name: str, method: str | None) -> pd.DataFrame:
    """``estimate, se`` of the shares of a term's coefficients, and of their correlations, on the scale of the link."""
    share, rest, k = ShareOfTerm.of(fit.model, name, inside=True), distribution_of(fit, method), fit.model.k
    ones, r = np.ones(fit.model.n), fit.optimum.tau.size

    def ratios(psi: np.ndarray) -> np.ndarray:
        return share(psi[:k], rest(psi[psi.size - r :]) * ones)

    return _table(fit, ratios, list(share.labels), name)


def observed_heritability(fit: GeneralisedFitted, name: str, method: str | None) -> pd.DataFrame:
    """The same on the scale of the response: for each coefficient, and for each of ordered categories.

    Raises
    ------
    MMEError
        A method is given, or the mean has no average over b.
    """
    if method is not None:
        raise MMEError("method= is of scale='link': on that of the response the variance of the records is their own")
    share, k, r = ShareOfTerm.of(fit.model, name, inside=True), fit.model.k, fit.optimum.tau.size
    functions, counts = means_of(fit), fit.problem.data.weights > 0.0

    def ratios(psi: np.ndarray) -> np.ndarray:
        theta, gamma, tau = np.split(psi, [k, psi.size - r])
        factors = fit.model.T(theta)
        eta, s2 = fit.problem.offset + gamma @ fit.problem.Q, share.variance(factors)
        of_term = share.additive(factors)
        each = [_ratio(fit.family, one, eta[counts], s2[counts], tau) for one in functions.values()]
        return np.ravel(np.outer(each, of_term))

    own = [label for label in share.labels if label.startswith("heritability")]
    labels = [f"{label} {category}" if category else label for category in functions for label in own]
    return _table(fit, ratios, labels, name)


def _ratio(family: Family, mean: MeanOfEta, eta: np.ndarray, s2: np.ndarray, tau: np.ndarray) -> float:
    """Psi^2 / V_P."""
    means = marginal_means(mean, eta, s2, tau)
    whole = means if mean is not family else marginal_means(SecondMoment(family), eta, s2, tau, growth=_GROWTH)
    V = float(whole.mean.mean() - means.mean.mean() ** 2)
    return float(means.by_eta.mean() ** 2 / V)


@dataclass(frozen=True, eq=False)
class SecondMoment:
    """E(y^2) given eta, of a record of weight one."""

    family: Family

    @property
    def name(self) -> str:
        """The name of the family."""
        return self.family.name

    @property
    def link(self) -> str:
        """No link whose integral has a closed form."""
        return "square"

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """mu^2 + V."""
        return np.asarray(self.family.mean(eta, tau) ** 2 + self.family.variance(eta, np.ones(eta.size), tau))

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Not needed by the integrals."""
        return np.zeros(eta.size)


def _table(fit: GeneralisedFitted, ratios: Function, labels: list[str], name: str) -> pd.DataFrame:
    import pandas as pd

    estimate, se = ratios(fit.searched.at.at.x), errors_of(fit, ratios)
    frame = {"estimate": estimate, "se": np.where(se > 0.0, se, np.nan)}
    return pd.DataFrame(frame, index=pd.Index(labels, name=name))
