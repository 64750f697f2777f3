r"""The mode of u at given theta, gamma and tau: Newton's method on the penalised log-likelihood.

    f(u) = -sum log f(y | eta) + u'K^-1 u / 2,        H d = Lambda'Z'l' - K^-1 u,        u <- u + step d

W in H is the observed information, or the expected one where that is not positive definite. The step is halved until f
falls; where it cannot fall any more the mode is found to rounding. f is convex for log-concave families: Newton's
method cannot fail there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from mme.family.base import Density
from mme.generalised.columns import Effects, Prior, along, inner
from mme.generalised.equations import FactorOfH
from mme.generalised.problem import Problem
from mme.numeric.cholesky import NotPositiveDefiniteError

# Newton's decrement over the size of f, below which one more full step ends at the mode to rounding.
CLOSE = 1e-11
# A step promises no more than this share of f: none is left.
ROUNDING = 1e-30
# f is known to this share of its size.
NOISE = 1e-13
STEPS, HALVINGS = 200, 40
# So many steps in turn that promise no more than this share of f where H is not positive definite: a saddle.
_FLAT, _SADDLE = 1e-5, 15


@dataclass(frozen=True, eq=False)
class Mode:
    """The mode u, eta and the density there; ``factor`` is that of (H) with observed W.

    ``value`` is -2 log of the penalised likelihood. ``factor`` is None where H is not positive definite: there u is no
    mode.
    """

    prior: Prior
    u: Effects
    eta: np.ndarray
    density: Density
    value: float
    factor: FactorOfH | None
    passes: int


def mode_at(problem: Problem, prior: Prior, fixed: np.ndarray, tau: np.ndarray, u: Effects) -> Mode:
    """What stands at a mode that is known, ``fixed`` (n,) being the part of eta that u does not change."""
    at = place(problem, prior, fixed, tau, u)
    factor, is_observed = factor_at(problem, prior, at.density)
    return replace(at, factor=factor if is_observed else None)


def place(problem: Problem, prior: Prior, fixed: np.ndarray, tau: np.ndarray, u: Effects) -> Mode:
    """The density at any u, without a factor."""
    eta = fixed + problem.columns.eta(prior.b(u))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        density = problem.family.at(problem.data, eta, tau)
        value = -2.0 * float(density.value.sum()) + inner(u, prior.penalty(u))
    return Mode(prior, u, eta, density, value, None, 1)


def find_mode(problem: Problem, prior: Prior, fixed: np.ndarray, tau: np.ndarray, first: Effects) -> Mode | None:
    """The mode from a first u; None where none was found."""
    at = place(problem, prior, fixed, tau, first)
    if not isfinite(at.value):
        at = place(problem, prior, fixed, tau, problem.columns.nothing())
        if not isfinite(at.value):
            return None
    passes, last, flat = 1, False, 0
    for _ in range(STEPS):
        factor, is_observed = factor_at(problem, prior, at.density)
        if factor is None:
            return None
        if last and is_observed:
            return replace(at, factor=factor, passes=passes)
        force = prior.transposed(problem.columns.transposed(at.density.slope))
        gradient = along(force, -1.0, prior.penalty(at.u))
        direction = factor.solve(gradient)
        decrement, size = inner(gradient, direction), 1.0 + abs(at.value)
        if not decrement > ROUNDING * size:
            return replace(at, factor=factor if is_observed else None, passes=passes)
        last = is_observed and decrement <= CLOSE * size
        flat = flat + 1 if not is_observed and decrement <= _FLAT * size else 0
        if flat == _SADDLE:
            return None
        step = 1.0
        for _ in range(HALVINGS):
            new = place(problem, prior, fixed, tau, along(at.u, step, direction))
            passes += 1
            if new.value <= at.value - 2e-4 * step * decrement or (last and new.value <= at.value + NOISE * size):
                break
            step *= 0.5
        else:
            return replace(at, factor=factor if is_observed else None, passes=passes)
        at = new
    return None


def factor_at(problem: Problem, prior: Prior, density: Density) -> tuple[FactorOfH | None, bool]:
    """The factor of (H) by the observed information, or by the expected one; and whether it is the former."""
    for is_observed in (True, False):
        W = density.observed if is_observed else density.expected  # dear in some families, and seldom needed
        try:
            if np.isfinite(W).all():
                return problem.equations.factor(prior, W), is_observed
        except NotPositiveDefiniteError:
            pass
    return None, False
