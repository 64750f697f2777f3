r"""The variance of records on the scale of the link: what the distribution adds to X beta + Z b.

Nakagawa, Johnson and Schielzeth (2017, J. R. Soc. Interface 14:20170213), with m the mean of the records, V their
variance given b:

    theoretical   pi^2 / 3 (logit), 1 (probit), pi^2 / 6 (cloglog): of the latent variable of a 0 or 1
    lognormal     log(1 + V / m^2), of families with a log link
    trigamma      trigamma(m^2 / V), of the same
    delta         V / (dm / deta)^2

m is that of a model with an intercept and the same random effects, b integrated over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.generalised_refit import searched_again
from mme.generalised.marginal import marginal_means
from mme.generalised.monotone import eta_of
from mme.generalised.problem import Problem
from mme.results.shares import Shares, random_variances
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_THEORETICAL = {"logit": np.pi**2 / 3.0, "probit": 1.0, "cloglog": np.pi**2 / 6.0}


def generalised_shares(fit: GeneralisedFitted, method: str | None) -> pd.DataFrame:
    """``variance, share`` of the fixed effects, each random term and the distribution."""
    return _shares(fit, method).table


def generalised_r2(fit: GeneralisedFitted, method: str | None) -> pd.Series:
    """R squared of Nakagawa, Schielzeth and Johnson: ``marginal`` (fixed effects), ``conditional`` (random too)."""
    return _shares(fit, method).r2


def generalised_icc(fit: GeneralisedFitted, method: str | None) -> pd.Series:
    """The share of each random term, and of all, in the variance that X leaves."""
    return _shares(fit, method).icc


def _shares(fit: GeneralisedFitted, method: str | None) -> Shares:
    return Shares.of(fit, fit.estimates.population, distribution_variance(fit, method), "distribution")


def distribution_variance(fit: GeneralisedFitted, method: str | None) -> float:
    """The variance of the distribution on the scale of the link, by a method; None: the default of the family."""
    return distribution_of(fit, method)(fit.estimates.tau)


def distribution_of(fit: GeneralisedFitted, method: str | None) -> Callable[[np.ndarray], float]:
    """The same as a function of the family's parameters tau, m held.

    Raises
    ------
    MMEError
        The link has no latent variance, or the method is not one of its.
    """
    words = methods(fit)
    if not words:
        raise MMEError(f"the {fit.family.link} link has no latent variance: nothing is a share of it")
    if method is not None and not is_word(method, words):
        raise MMEError(
            f"method must be {' or '.join(map(repr, words))} for the {fit.family.name} family with link "
            f"'{fit.family.link}', got {shown(method)}"
        )
    word = words[0] if method is None else method
    if word == "theoretical":
        return lambda tau: float(_THEORETICAL[fit.family.link])
    mean = fit.once(null_mean)
    return lambda tau: _of_moments(word, mean, *_moments(fit, mean, tau))


def _of_moments(word: str, mean: float, variance: float, slope: float) -> float:
    if word == "delta":
        return variance / slope**2
    if word == "lognormal":
        return float(np.log1p(variance / mean**2))
    from scipy.special import polygamma

    return float(polygamma(1, mean**2 / variance))


def latent_variance(family: Family) -> float | None:
    """The variance of the latent variable of answers and ordered categories; None of other families and links."""
    return _THEORETICAL.get(family.link) if family.name in ("binomial", "ordinal") else None


def methods(fit: GeneralisedFitted) -> tuple[str, ...]:
    """The methods that a family and its link have, the default first."""
    has_latent = fit.family.link in _THEORETICAL
    if fit.family.name == "ordinal":
        return ("theoretical",) if has_latent else ()
    if fit.family.name == "binomial":
        return ("theoretical", "delta") if has_latent else ("delta",)
    return ("lognormal", "delta", "trigamma") if fit.family.link == "log" else ("delta",)


def null_mean(fit: GeneralisedFitted) -> float:
    """The mean of the records in a model without fixed effects but an intercept."""
    problem, at = fit.problem, fit.searched.at.at
    if problem.model.X.shape[1] != 1 or np.ptp(problem.model.X) > 0.0:
        ones: Any = {"X": np.ones((problem.n, 1)), "x_names": ("(Intercept)",), "unknown_parents": ()}
        problem = Problem(problem.model.beside(**ones), problem.family, problem.data)
        at = searched_again(problem, fit.searched.criterion, None).at.at
    theta = problem.model.coordinates.outer(at.theta)
    variance = float(sum(random_variances(problem.model, theta, 1.0)))
    eta = problem.offset + at.gamma @ problem.Q
    weights = problem.data.weights
    means = marginal_means(fit.family, eta, np.full(eta.size, variance), at.tau).mean
    return float(np.average(means, weights=(weights > 0.0).astype(float)))


def _moments(fit: GeneralisedFitted, mean: float, tau: np.ndarray) -> tuple[float, float]:
    """The variance of one record of weight one with this mean, and dmu / deta there."""
    near = np.array([float(np.mean(fit.estimates.population))])
    eta = eta_of(fit.family, np.array([mean]), near, tau)
    return float(fit.family.variance(eta, np.ones(1), tau)[0]), float(fit.family.mean_slope(eta, tau)[0])
