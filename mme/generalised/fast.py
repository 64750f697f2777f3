r"""lme4's fast criterion (nAGQ = 0): (u, gamma) together maximise the penalised likelihood, theta and tau what is left.

    F_0(theta, tau) = -2 sum log f(y | eta) + u'K^-1 u + log|H| + log|K|      at the joint mode of (u, gamma),      (F)

H with the expected information. Gamma is not integrated over, nor is F_0 a likelihood: estimates of beta are off where
groups are small. It has k + r parameters however many fixed effects there are. With the equations of the joint mode

    ( H    v ) (s_u)   (M'(h W'))
    ( v'   C ) (s_g) = (Q (h W')),      v = M'W Q',  C = Q W Q',  W observed,

the gradient is that of (L) with M s_u + Q's_g in the place of M s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite

import numpy as np

from mme.generalised.columns import Effects, Prior, along, inner
from mme.generalised.equations import FactorOfH
from mme.generalised.laplace import Laplace, Psi, gradient_of
from mme.generalised.mode import factor_at, mode_at, place
from mme.generalised.problem import Problem
from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.lapack import cholesky, cholesky_solve

_CLOSE, _ROUNDING = 1e-11, 1e-30
_STEPS, _HALVINGS = 200, 40


@dataclass(frozen=True, eq=False)
class JointFactor:
    """The equations of (u, gamma) at one W: the factor of H, H^-1 v, v and the factor of the Schur complement."""

    problem: Problem
    factor: FactorOfH
    v: list[Effects]
    solved: list[Effects]
    L: np.ndarray

    @classmethod
    def of(cls, problem: Problem, prior: Prior, factor: FactorOfH, W: np.ndarray) -> JointFactor:
        """Eliminate u from the equations at these working weights."""
        columns, Q = problem.columns, problem.Q
        v = [prior.transposed(columns.transposed(W * row)) for row in Q]
        solved = [factor.solve(one) for one in v]
        S = (Q * W) @ Q.T - np.array([[inner(one, other) for other in solved] for one in v]).reshape(len(Q), len(Q))
        L, failed = cholesky(S)
        if failed:
            raise NotPositiveDefiniteError
        return cls(problem, factor, v, solved, L)

    def solve(self, r_u: Effects, r_gamma: np.ndarray) -> tuple[Effects, np.ndarray]:
        """Solve the equations of the joint mode: the effects, block by block, and gamma (p,)."""
        right = r_gamma - np.array([inner(one, r_u) for one in self.solved])
        gamma = cholesky_solve(self.L, right)
        u = self.factor.solve(r_u)
        for one, step in zip(self.solved, gamma.tolist(), strict=True):
            u = along(u, -step, one)
        return u, gamma


@dataclass(frozen=True, eq=False)
class Fast(Laplace):
    """(F) at one point, whose gamma is that of the joint mode."""

    joint: JointFactor

    def gradient(self) -> np.ndarray:
        """By theta and tau, zeros by gamma: the penalised likelihood has its maximum there."""
        density, problem = self.mode.density, self.problem
        h = self.factor.leverages()
        hW = h * density.expected_slope
        r_u = self.mode.prior.transposed(problem.columns.transposed(hW))
        s, s_gamma = self.joint.solve(r_u, problem.Q @ hW)
        found = gradient_of(self, h, s, problem.columns.eta(self.mode.prior.b(s)) + s_gamma @ problem.Q)
        k, p = self.at.theta.size, self.at.gamma.size
        found[k : k + p] = 0.0
        return found


def fast(problem: Problem, point: Psi, u: Effects) -> tuple[Fast | None, int]:
    """(F) at theta and tau of a point, whose gamma and u are where the joint mode is searched from; and the passes."""
    prior, passes = Prior.at(problem.blocks, point.theta), 0
    mode = place(problem, prior, problem.offset + point.gamma @ problem.Q, point.tau, u)
    value = mode.value
    if not isfinite(value):
        return None, 1
    for _ in range(_STEPS):
        factor, is_observed = factor_at(problem, prior, mode.density)
        if factor is None:
            return None, passes
        W = mode.density.observed if is_observed else mode.density.expected
        try:
            joint = JointFactor.of(problem, prior, factor, W)
        except NotPositiveDefiniteError:
            return None, passes
        force = prior.transposed(problem.columns.transposed(mode.density.slope))
        g_u, g_gamma = along(force, -1.0, prior.penalty(mode.u)), problem.Q @ mode.density.slope
        d_u, d_gamma = joint.solve(g_u, g_gamma)
        decrement = inner(g_u, d_u) + float(g_gamma @ d_gamma)
        if not decrement > _ROUNDING * (1.0 + abs(value)):
            break
        step, last = 1.0, decrement < _CLOSE * (1.0 + abs(value))
        for _ in range(_HALVINGS):
            trial = replace(point, gamma=point.gamma + step * d_gamma)
            fixed = problem.offset + trial.gamma @ problem.Q
            new = place(problem, prior, fixed, point.tau, along(mode.u, step, d_u))
            passes += 1
            if new.value <= value - 2e-4 * step * decrement or (last and new.value <= value + 1e-12 * abs(value)):
                break
            step *= 0.5
        else:
            break
        point, mode, value = trial, new, new.value
        if last and is_observed:
            break
    return at_joint_mode(problem, prior, point, mode.u), passes


def at_joint_mode(problem: Problem, prior: Prior, point: Psi, u: Effects) -> Fast | None:
    """(F) at a joint mode that is known; None where H is not positive definite there."""
    fixed = problem.offset + point.gamma @ problem.Q
    at_mode = mode_at(problem, prior, fixed, point.tau, u)
    if at_mode.factor is None:
        return None
    try:
        expected = at_mode.factor
        if not problem.family.canonical:
            expected = problem.equations.factor(prior, at_mode.density.expected)
        joint = JointFactor.of(problem, prior, at_mode.factor, at_mode.density.observed)
    except NotPositiveDefiniteError:
        return None
    return Fast(problem, point, at_mode, expected, True, joint)
