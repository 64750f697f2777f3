"""Residuals of generalised models, given the modes of the random effects."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.tables.arguments import is_word, random_numbers
from mme.tables.arrays import shown

KINDS = ("response", "pearson", "deviance", "working", "quantile")
# The least distance of a uniform number from zero and one: what the last digit of a probability can tell.
_LEAST = 2.0**-54


def generalised_residuals(fit: GeneralisedFitted, kind: str, seed: int | np.random.Generator | None) -> Any:
    """Residuals of a kind, one a row of the data."""
    if not is_word(kind, KINDS):
        raise MMEError(f"kind must be one of {', '.join(map(repr, KINDS))}; got {shown(kind)}")
    made = {"response": response, "pearson": pearson, "deviance": deviance, "working": working}
    values = quantile(fit, seed) if kind == "quantile" else made[kind](fit)
    return fit.rows.aligned(values, f"{kind} residuals")


def response(fit: GeneralisedFitted) -> np.ndarray:
    """Y - mu (n,)."""
    return np.asarray(fit.problem.data.y - fit.estimates.fitted)


def pearson(fit: GeneralisedFitted) -> np.ndarray:
    """(y - mu) / sd(y | b) (n,)."""
    estimates, data = fit.estimates, fit.problem.data
    variance = fit.family.variance(estimates.eta, data.weights, estimates.tau)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = response(fit) / np.sqrt(variance)
    return np.where(response(fit) == 0.0, 0.0, found)  # a mean at the end of its range has no variance either


def deviance(fit: GeneralisedFitted) -> np.ndarray:
    """Roots of the unit deviances (n,), with the sign of y - mu."""
    estimates, data = fit.estimates, fit.problem.data
    d = fit.family.deviance(data, estimates.eta, estimates.tau)
    return np.asarray(np.sign(response(fit)) * np.sqrt(np.maximum(d, 0.0)))


def working(fit: GeneralisedFitted) -> np.ndarray:
    """(y - mu) g'(mu) (n,)."""
    estimates = fit.estimates
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(response(fit) / fit.family.mean_slope(estimates.eta, estimates.tau))


def quantile(fit: GeneralisedFitted, seed: int | np.random.Generator | None) -> np.ndarray:
    """Normal quantiles (n,) of a uniform number between P(Y < y) and P(Y <= y) (Dunn and Smyth 1996, JCGS 5:236)."""
    estimates, data = fit.estimates, fit.problem.data
    low, high = fit.family.cdf(data, estimates.eta, estimates.tau)
    u = low + (high - low) * random_numbers(seed).uniform(size=data.n)
    return np.asarray(ndtri(np.clip(u, _LEAST, 1.0 - _LEAST)))
