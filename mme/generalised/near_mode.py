r"""The mode of u by a factor of (H) that is at hand, of another theta and W: where a new one is dear, one is enough.

Quasi-Newton steps of limited memory (Nocedal 1980) on f, from that factor as the first curvature. What a factor of each
Newton step would do in three or four, they do in a few more passes over the records; the factor at the mode, which the
determinant takes, is the only one that is made.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite

import numpy as np

from mme.generalised.columns import Effects, Prior, along, inner
from mme.generalised.equations import FactorOfH
from mme.generalised.mode import Mode, factor_at, place
from mme.generalised.problem import Problem

# What is left to gain, as a share of f, at the mode: log|H| moves with u at first order; and what rounding may leave.
_FOUND, _ROUNDING = 1e-26, 1e-21
# Steps after which Newton's method has its turn.
_STEPS = 20
# f is known to this share of its size.
_NOISE = 1e-13

Pair = tuple[Effects, Effects, float]


def mode_near(
    problem: Problem, prior: Prior, fixed: np.ndarray, tau: np.ndarray, first: Effects, known: FactorOfH
) -> Mode | None:
    """The mode from a first u that is near it; None where steps do not lead there."""
    at = place(problem, prior, fixed, tau, first)
    if not isfinite(at.value):
        return None
    pairs: list[Pair] = []
    g, before = _force(problem, at), inf
    for passes in range(1, _STEPS):
        direction = _direction(known, g, pairs)
        decrement, size = inner(g, direction), 1.0 + abs(at.value)
        if not decrement > _FOUND * size or 0.25 * before < decrement <= _ROUNDING * size:
            factor, is_observed = factor_at(problem, prior, at.density)
            return replace(at, factor=factor, passes=passes) if is_observed and decrement >= 0.0 else None
        new = place(problem, prior, fixed, tau, along(at.u, 1.0, direction))
        if not new.value <= at.value - 2e-4 * decrement + _NOISE * size:
            return None
        g_new = _force(problem, new)
        change = along(g, -1.0, g_new)
        curvature = inner(direction, change)
        if not curvature > 0.0:
            return None
        pairs.append((direction, change, curvature))
        at, g, before = new, g_new, decrement
    return None


def _force(problem: Problem, at: Mode) -> Effects:
    """Minus the slope of f / 2: Lambda'Z'l' - K^-1 u."""
    force = at.prior.transposed(problem.columns.transposed(at.density.slope))
    return along(force, -1.0, at.prior.penalty(at.u))


def _direction(known: FactorOfH, g: Effects, pairs: list[Pair]) -> Effects:
    """The step: known curvature, mended by what the steps so far have seen."""
    shares = []
    for step, change, curvature in reversed(pairs):
        share = inner(step, g) / curvature
        g = along(g, -share, change)
        shares.append(share)
    d = known.solve(g)
    for (step, change, curvature), share in zip(pairs, reversed(shares), strict=True):
        d = along(d, share - inner(change, d) / curvature, step)
    return d
