r"""The Laplace approximation of -2 log L and its exact gradient.

    F(theta, gamma, tau) = -2 sum log f(y | eta) + u'K^-1 u + log|H| + log|K|        at the mode u,                (L)

H with the observed information W_o, or with the expected one. The mode moves with the parameters: with h_i =
m_i'H^-1 m_i, W' = dW / deta and one adjoint solve s = H_o^-1 M'(h W'), M = Z Lambda,

    c = -2 l' + h W' - W_o M s
    dF / dgamma = Q'c
    dF / dT     = Z'c u' + Z'l' s' + 2 sum_g [Z'W M H^-1]_gg                     block by block, T (q, q)
    dF / dtau   = sum -2 dl/dtau + h dW/dtau + (M s) dl'/dtau.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mme.engine.blocks import Block
from mme.generalised.columns import Effects, Prior
from mme.generalised.equations import Factor
from mme.generalised.mode import Mode, find_mode
from mme.generalised.problem import Problem
from mme.numeric.cholesky import NotPositiveDefiniteError

# Half the width of differences of what is not linear in its parameters.
_STEP = 1e-6


@dataclass(frozen=True, eq=False)
class Point:
    """Parameters of the search: theta in the axes (k,), gamma (p,) and tau (r,)."""

    theta: np.ndarray
    gamma: np.ndarray
    tau: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """All of them, one behind the other."""
        return np.concatenate([self.theta, self.gamma, self.tau])


@dataclass(frozen=True, eq=False)
class Laplace:
    """(L) at one point: its ``value``, the ``mode``, and the factor of H with the W of its determinant."""

    problem: Problem
    at: Point
    mode: Mode
    factor: Factor
    expected: bool

    @property
    def value(self) -> float:
        """-2 log L, every constant included."""
        return self.mode.value + self.factor.logdet + self.mode.prior.logdet_K

    def gradient(self) -> np.ndarray:
        """dF / d(theta, gamma, tau)."""
        problem, mode, density = self.problem, self.mode, self.mode.density
        assert mode.factor is not None
        h = self.factor.leverages()
        change = density.expected_slope if self.expected else density.observed_slope
        hW = h * change
        columns, prior = problem.columns, mode.prior
        s = mode.factor.solve(prior.transposed(columns.transposed(hW)))
        Ms = columns.eta(prior.b(s))
        c = hW - 2.0 * density.slope - density.observed * Ms
        by_T = [
            Zc @ u.T + Zl @ s_t.T + 2.0 * gain
            for Zc, u, Zl, s_t, gain in zip(
                columns.transposed(c), mode.u, columns.transposed(density.slope), s, self.factor.gains(), strict=True
            )
        ]
        by_theta = sum(
            (chain_rule(block, self.at.theta, G) for block, G in zip(problem.blocks, by_T, strict=True)),
            np.zeros(self.at.theta.size),
        )
        by_tau = [
            float((-2.0 * one.value + h * (one.expected if self.expected else one.observed) + Ms * one.slope).sum())
            for one in density.by_parameters
        ]
        return np.concatenate([by_theta, problem.Q @ c, np.array(by_tau)])


def chain_rule(block: Block, theta: np.ndarray, G: np.ndarray) -> np.ndarray:
    """sum_ab dT_ab / dtheta_k G_ab as (k,), zero for the entries of other blocks."""
    out = np.zeros(theta.size)
    for k, D in directions(block, theta):
        out[k] = float(np.vdot(D, G))
    return out


def directions(block: Block, theta: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """dT / dtheta_k (q, q) for the parameters of T of this block."""
    found = []
    for part, thetas in zip(block.structures, block.theta_slices, strict=True):
        for k in range(thetas.start, thetas.start + part.inner.k):
            if part.inner.entries is not None:
                unit = np.zeros(theta.size)
                unit[k] = 1.0
                found.append((k, block.T(unit)))
                continue
            step = np.zeros(theta.size)
            step[k] = _STEP * max(1.0, abs(float(theta[k])))
            found.append((k, (block.T(theta + step) - block.T(theta - step)) / (2.0 * step[k])))
    return found


@dataclass(eq=False)
class Criterion:
    """(L) as a function of the point; each mode is found from the last one that was kept.

    Attributes
    ----------
    problem : Problem
        The model.
    expected : bool
        Whether H in the determinant has the expected information.
    u : Effects or None
        The mode to begin with.
    evaluations, passes : int
        What was done: points, and passes over the records.
    """

    problem: Problem
    expected: bool = False
    u: Effects | None = None
    evaluations: int = 0
    passes: int = field(default=0)

    def at(self, point: Point) -> Laplace | None:
        """(L) at a point; None where there is no mode."""
        problem = self.problem
        self.evaluations += 1
        if not np.isfinite(point.x).all():
            return None
        prior = Prior.at(problem.blocks, point.theta)
        fixed = problem.offset + point.gamma @ problem.Q
        first = problem.columns.nothing() if self.u is None else self.u
        mode = find_mode(problem, prior, fixed, point.tau, first)
        if mode is None or mode.factor is None:
            return None
        self.passes += mode.passes
        factor = mode.factor
        if self.expected and not problem.family.canonical:
            try:
                factor = problem.equations.factor(prior, mode.density.expected)
            except NotPositiveDefiniteError:
                return None
        found = Laplace(problem, point, mode, factor, self.expected)
        return found if np.isfinite(found.value) else None

    def point(self, x: np.ndarray) -> Point:
        """The point of parameters x."""
        k = self.problem.model.k
        p = len(self.problem.Q)
        return Point(x[:k], x[k : k + p], x[k + p :])
