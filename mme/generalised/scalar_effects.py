r"""The mode and (L) of one block of scalar effects, by vectors over its levels.

    H_g = 1 + t^2 A_g,    A_g = sum w z^2,    t (Z'l')_g - u_g = H_g d_g,    b = t u

Newton's step d is bent by the third derivative, d - d^2 t^3 (sum w' z^3) / 2 H (Chebyshev's, of third order).
What :mod:`mme.generalised.mode` and :mod:`mme.generalised.laplace` say of matrices is said here of numbers: of few
records the steps that Python takes between operations are what a pass costs, and these are a third as many.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from mme.family.base import Density
from mme.generalised.columns import Prior
from mme.generalised.laplace import Laplace, Psi, chain_rule
from mme.generalised.levels import LevelFactors
from mme.generalised.mode import HALVINGS, NOISE, ROUNDING, STEPS, Mode
from mme.generalised.problem import Problem
from mme.numeric.sums import sum_by_level, times

# A decrement below which a step is bent, and by which share at most.
_NEAR, _MOST_BENT = 1.0, 0.5
# A decrement over the size of f, below which a bent step ends at the mode to rounding: what it leaves is the cube.
_CLOSE = 1e-9

Placed = tuple[np.ndarray, Density, float]  # eta, the density there, the penalised deviance


@dataclass(frozen=True, eq=False)
class OfScalars(Laplace):
    """(L) at one point, of one block of scalar effects."""

    def gradient(self) -> np.ndarray:
        """dF / d(theta, gamma, tau)."""
        block, density, factor = self.problem.blocks[0], self.mode.density, self.mode.factor
        assert isinstance(factor, LevelFactors)
        codes, z, J = block.codes, block.columns[0], block.J
        t, u, A = float(factor.T[0, 0]), self.mode.u[0][0], factor.A[0, 0]
        H = 1.0 + t * t * A
        h = times((t * t / H).take(codes), z, z)
        hW = h * density.observed_slope
        s = t * sum_by_level(codes, J, z, hW) / H
        Ms = times((t * s).take(codes), z, None)
        c = hW - density.observed * Ms
        c -= 2.0 * density.slope
        Zc, Zl = sum_by_level(codes, J, z, c), sum_by_level(codes, J, z, density.slope)
        by_T = float(Zc @ u + Zl @ s + 2.0 * t * (A / H).sum())
        by_theta = chain_rule(block, self.at.theta, np.array([[by_T]]))
        by_tau = [float((-2.0 * one.value + h * one.observed + Ms * one.slope).sum()) for one in density.by_parameters]
        return np.concatenate([by_theta, self.problem.Q @ c, by_tau])


def are_scalar(problem: Problem) -> bool:
    """Whether there is one block, of a number for each of its independent levels."""
    blocks = problem.blocks
    return len(blocks) == 1 and blocks[0].q == 1 and blocks[0].is_block_diagonal


def of_scalars(problem: Problem, point: Psi, first: np.ndarray) -> OfScalars | None:
    """(L) at a point, by Newton's method from a first u (J,); None where a step finds H_g <= 0, or nowhere to go."""
    prior = Prior.at(problem.blocks, point.theta)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        mode = _mode(problem, prior, point, first)
    return None if mode is None or mode.factor is None else OfScalars(problem, point, mode, mode.factor, expected=False)


def _mode(problem: Problem, prior: Prior, point: Psi, first: np.ndarray) -> Mode | None:
    """As :func:`mme.generalised.mode.find_mode`, where W is positive."""
    block, fixed = problem.blocks[0], point.gamma @ problem.Q
    if problem.model.offset is not None:
        fixed += problem.offset
    codes, z, J, t = block.codes, block.columns[0], block.J, float(prior.T[0][0, 0])

    def place(u: np.ndarray) -> Placed:
        eta = times((t * u).take(codes), z, None)
        eta += fixed
        density = problem.family.at(problem.data, eta, point.tau)
        return eta, density, float(u @ u) - 2.0 * float(density.value.sum())

    u, passes, last = first, 1, False
    eta, density, value = place(u)
    if not isfinite(value):
        return None
    for _ in range(STEPS):
        A = sum_by_level(codes, J, None, times(density.observed, z, z))
        H = 1.0 + t * t * A
        if not H.min(initial=1.0) > 0.0:
            return None
        if last:
            break
        g = t * sum_by_level(codes, J, z, density.slope) - u
        d = g / H
        decrement, size = float(g @ d), 1.0 + abs(value)
        if not decrement > ROUNDING * size:
            break
        if decrement <= _NEAR:
            bend = 0.5 * t**3 * sum_by_level(codes, J, z, times(density.observed_slope, z, z)) / H
            d -= d * np.minimum(np.maximum(bend * d, -_MOST_BENT), _MOST_BENT)
        last = decrement <= _CLOSE * size
        tried, new, trial = _lower(place, u, d, value, decrement, NOISE * size if last else -inf)
        passes += tried
        if trial is None:
            break
        u, (eta, density, value) = new, trial
    else:
        return None
    factor = LevelFactors(block, prior.T[0], A[None, None])
    return Mode(prior, [u[None]], eta, density, value, factor, passes)


def _lower(
    place: Callable[[np.ndarray], Placed], u: np.ndarray, d: np.ndarray, value: float, decrement: float, rise: float
) -> tuple[int, np.ndarray, Placed | None]:
    """How many of u + d, u + d / 2, ... were tried, the first that is low enough, and what is there; None for none.

    Low enough is Armijo's share of the decrement, or no more than ``rise`` above.
    """
    step, new = 1.0, u
    for tried in range(1, HALVINGS + 1):
        new = u + step * d
        trial = place(new)
        if trial[2] <= value + max(-2e-4 * step * decrement, rise):
            return tried, new, trial
        step *= 0.5
    return HALVINGS, new, None
