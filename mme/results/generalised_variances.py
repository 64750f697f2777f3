r"""Variances of generalised fits and the parameters of their families, with standard errors by the delta method.

With C = 2 H^-1 of the parameters psi = (theta in the axes, gamma, tau) of the search, H the Hessian of the criterion,
functions f(psi) have the covariance J C J', J = df/dpsi; a parameter held at the edge of the model does not move.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mme.family.parameter import FamilyParameter
from mme.fitted.generalised import GeneralisedFitted
from mme.numeric.delta import bounded, jacobian, unbounded
from mme.results.variance_rows import VarianceRows, random_labels, random_values

# A parameter this near to its bound, as a share of the size of its range, is at it.
_AT_BOUND = 1e-9

Function = Callable[[np.ndarray], np.ndarray]


def errors_of(fit: GeneralisedFitted, f: Function) -> np.ndarray:
    """Standard errors (m,) of f(psi); NaN for what is held, and where the Hessian is not positive definite."""
    cov, free, psi = fit.estimates.parameter_cov, np.flatnonzero(fit.searched.free), fit.searched.at.at.x
    if cov is None:
        return np.full(f(psi).size, np.nan)

    def of_free(x: np.ndarray) -> np.ndarray:
        moved = psi.copy()
        moved[free] = x
        return f(moved)

    J = jacobian(of_free, psi[free], np.sqrt(cov.diagonal()))
    return np.where(J.any(axis=1), np.sqrt(np.einsum("ij,jk,ik->i", J, cov, J)), np.nan)


def bounded_errors(
    fit: GeneralisedFitted, f: Function, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The values f(psi) between bounds, their standard errors, and those on the scale without bounds.

    NaN for what is at a bound, where there is no such scale.
    """
    values = f(fit.searched.at.at.x)
    span = np.where(np.isfinite(high - low), high - low, 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = (values - low > _AT_BOUND * span) & (high - values > _AT_BOUND * span)
        plain, scaled = errors_of(fit, f), errors_of(fit, lambda psi: unbounded(f(psi), low, high))
    return values, np.where(inside, plain, np.nan), np.where(inside, scaled, np.nan)


def limits(
    values: np.ndarray, scaled: np.ndarray, low: np.ndarray, high: np.ndarray, z: float
) -> tuple[np.ndarray, np.ndarray]:
    """Limits ``z`` standard errors away on the scale without bounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = unbounded(values, low, high)
        return bounded(middle - z * scaled, low, high), bounded(middle + z * scaled, low, high)


def family_bounds(fit: GeneralisedFitted) -> list[tuple[float, float]]:
    """What values the parameters of the family can take."""
    tau = fit.optimum.tau
    held = [FamilyParameter.of(fit.family, tau, j) for j in range(tau.size)]
    return [one.bounds(tau[one.others]) for one in held]


def generalised_variance_rows(fit: GeneralisedFitted, z: float) -> VarianceRows:
    """Rows of the random terms, of relationships with parameters, and of the family, as those of linear models."""
    model, family, k, r = fit.model, fit.family, fit.model.k, fit.optimum.tau.size
    names = family.parameter_names(fit.problem.data)
    labels = random_labels(model)
    labels += [("family", name, pair) for name, pair in zip(names, family_bounds(fit), strict=True)]
    low, high = np.array([pair for _, _, pair in labels]).T

    def f(psi: np.ndarray) -> np.ndarray:
        own = np.ravel(family.natural(psi[psi.size - r :])).tolist()
        return np.array([*random_values(model, model.coordinates.outer(psi[:k])), *own])

    values, error, scaled = bounded_errors(fit, f, low, high)
    group, term = (np.array([label[i] for label in labels], dtype=object) for i in (0, 1))
    return VarianceRows(group, term, values, error, *limits(values, scaled, low, high, z))
