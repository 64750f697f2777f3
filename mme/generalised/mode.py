r"""The mode of u at given theta, gamma and tau: Newton's method on the penalised log-likelihood.

    f(u) = -sum log f(y | eta) + u'K^-1 u / 2,        H d = Lambda'Z'l' - K^-1 u,        u <- u + step d

W in H is the observed information, or the expected one where that is not positive definite. The step is halved until f
falls; where it cannot fall any more the mode is found to rounding. f is convex for log-concave families: Newton's
method cannot fail there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from mme.family.base import Density
from mme.generalised.columns import Effects, Prior, along, inner
from mme.generalised.equations import Factor
from mme.generalised.problem import Problem
from mme.numeric.cholesky import NotPositiveDefiniteError

# Newton's decrement over the size of f, below which one more full step ends at the mode to rounding.
_CLOSE = 1e-9
# A step promises no more than this share of f: rounding.
_ROUNDING = 1e-15
_STEPS, _HALVINGS = 200, 40


@dataclass(frozen=True, eq=False)
class Mode:
    """The mode u, eta and the density there; ``penalty`` is u'K^-1 u, ``factor`` that of (H) with observed W.

    ``factor`` is None where H is not positive definite: u is no mode then.
    """

    prior: Prior
    u: Effects
    eta: np.ndarray
    density: Density
    penalty: float
    factor: Factor | None
    passes: int

    @property
    def value(self) -> float:
        """-2 log of the penalised likelihood."""
        return -2.0 * float(self.density.value.sum()) + self.penalty


def find_mode(problem: Problem, prior: Prior, fixed: np.ndarray, tau: np.ndarray, first: Effects) -> Mode | None:
    """The mode from a first u, ``fixed`` (n,) is the part of eta that u does not change; None where none was found."""
    family, data, columns = problem.family, problem.data, problem.columns

    def at(u: Effects) -> tuple[float, np.ndarray, Density, float]:
        eta = fixed + columns.eta(prior.b(u))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            density = family.at(data, eta, tau)
            loss = -float(density.value.sum())
        penalty = inner(u, prior.penalty(u))
        value = loss + 0.5 * penalty
        return (value if isfinite(value) else inf), eta, density, penalty

    u = first
    value, eta, density, penalty = at(u)
    if value == inf:
        u = columns.nothing()
        value, eta, density, penalty = at(u)
        if value == inf:
            return None
    passes, last = 1, False
    for _ in range(_STEPS):
        factor, is_observed = _factor(problem, prior, density)
        if factor is None:
            return None
        if last and is_observed:
            return Mode(prior, u, eta, density, penalty, factor, passes)
        force = columns.transposed(density.slope)
        gradient = along(prior.transposed(force), -1.0, prior.penalty(u))
        direction = factor.solve(gradient)
        decrement = inner(gradient, direction)
        if not decrement > _ROUNDING * _ROUNDING * (1.0 + abs(value)):
            return Mode(prior, u, eta, density, penalty, factor if is_observed else None, passes)
        last = is_observed and decrement <= _CLOSE * (1.0 + abs(value)) * 1e-2
        step, found = 1.0, None
        for _ in range(_HALVINGS):
            trial = along(u, step, direction)
            found = at(trial)
            passes += 1
            if found[0] <= value - 1e-4 * step * decrement or (last and found[0] <= value + 1e-13 * (1.0 + abs(value))):
                break
            step *= 0.5
        else:
            return Mode(prior, u, eta, density, penalty, factor if is_observed else None, passes)
        u, (value, eta, density, penalty) = trial, found
    return None


def _factor(problem: Problem, prior: Prior, density: Density) -> tuple[Factor | None, bool]:
    """The factor of (H) by the observed information, or by the expected one; and whether it is the former."""
    for W, is_observed in ((density.observed, True), (density.expected, False)):
        try:
            if np.isfinite(W).all():
                return problem.equations.factor(prior, W), is_observed
        except NotPositiveDefiniteError:
            pass
    return None, False
