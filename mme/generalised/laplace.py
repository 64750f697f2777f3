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

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.generalised.columns import Effects
from mme.generalised.equations import FactorOfH
from mme.generalised.mode import Mode
from mme.generalised.problem import Problem

# Half the width of differences of what is not linear in its parameters.
_STEP = 1e-6


@dataclass(frozen=True, eq=False)
class Psi:
    """Parameters of the search: theta in the axes (k,), gamma (p,) and tau (r,)."""

    theta: np.ndarray
    gamma: np.ndarray
    tau: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """Theta, gamma and tau in one vector (k + p + r,)."""
        return np.concatenate([self.theta, self.gamma, self.tau])


@dataclass(frozen=True, eq=False)
class Parts:
    """What the gradient sums: c (n,), which Q multiplies; by T of levels (q, q, J), by tau of records (n,)."""

    c: np.ndarray
    by_T: list[np.ndarray]
    by_tau: list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Laplace:
    """(L) at one point: its ``value``, the ``mode``, and the factor of H with the W of its determinant."""

    problem: Problem
    at: Psi
    mode: Mode
    factor: FactorOfH
    expected: bool

    @property
    def value(self) -> float:
        """-2 log L, every constant included."""
        return self.mode.value + self.factor.logdet + self.mode.prior.logdet_K

    @property
    def u(self) -> Effects:
        """The mode, from which the next one is found."""
        return self.mode.u

    @property
    def laplace(self) -> Laplace:
        """Itself: it has the mode, its density and its factor."""
        return self

    @property
    def curved(self) -> Laplace:
        """Itself: all its records differ."""
        return self

    @property
    def pull(self) -> np.ndarray | float:
        """The derivative by eta (n,) of what stands beside F."""
        return 0.0

    def gradient(self) -> np.ndarray:
        """dF / d(theta, gamma, tau)."""
        h, _, s, Ms = self._adjoint()
        return gradient_of(self, h, s, Ms)

    def parts(self) -> Parts:
        """The gradient record by record and level by level, of independent levels."""
        columns, density = self.problem.columns, self.mode.density
        h, hW, s, Ms = self._adjoint()
        c, by_tau = _of_records(self, h, hW, Ms)
        of_levels = zip(
            columns.transposed(c),
            self.mode.u,
            columns.transposed(density.slope),
            s,
            self.factor.level_gains(),
            strict=True,
        )
        by_T = [outer(Zc, u) + outer(Zl, s_t) + 2.0 * gain for Zc, u, Zl, s_t, gain in of_levels]
        return Parts(c, by_T, by_tau)

    def _adjoint(self) -> tuple[np.ndarray, np.ndarray, Effects, np.ndarray]:
        """h, what eta moves of log|H| and beside F, the adjoint solve s of that, and M s."""
        assert self.mode.factor is not None
        density, columns, prior = self.mode.density, self.problem.columns, self.mode.prior
        h = self.factor.leverages()
        hW = h * (density.expected_slope if self.expected else density.observed_slope) + self.pull
        s = self.mode.factor.solve(prior.transposed(columns.transposed(hW)))
        return h, hW, s, columns.eta(prior.b(s))


def outer(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a_g b_g' of every level (q, q, J) for a and b (q, J)."""
    return a[:, None] * b[None]


def gradient_of(at: Laplace, h: np.ndarray, s: Effects, Ms: np.ndarray) -> np.ndarray:
    """The gradient by theta, gamma and tau: h (n,) are leverages, s is the adjoint solve, Ms (n,) it on the records."""
    problem, density, columns = at.problem, at.mode.density, at.problem.columns
    change = density.expected_slope if at.expected else density.observed_slope
    c, by_tau = _of_records(at, h, h * change + at.pull, Ms)
    parts = zip(columns.transposed(c), at.mode.u, columns.transposed(density.slope), s, at.factor.gains(), strict=True)
    by_T = [Zc @ u.T + Zl @ s_t.T + 2.0 * gain for Zc, u, Zl, s_t, gain in parts]
    by_theta = np.zeros(at.at.theta.size)
    for block, G in zip(problem.blocks, by_T, strict=True):
        by_theta += chain_rule(block, at.at.theta, G)
    by_theta += by_relationships(at, s)
    return np.concatenate([by_theta, problem.Q @ c, np.array([float(one.sum()) for one in by_tau])])


def _of_records(at: Laplace, h: np.ndarray, hW: np.ndarray, Ms: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """What the gradient sums over records: c (n,), which Q multiplies, and by each tau (n,)."""
    density = at.mode.density
    by_tau = [
        -2.0 * one.value + h * (one.expected if at.expected else one.observed) + Ms * one.slope
        for one in density.by_parameters
    ]
    return hW - 2.0 * density.slope - density.observed * Ms, by_tau


def by_relationships(at: Laplace, s: Effects) -> np.ndarray:
    """The gradient by parameters of relationships (k,), zero elsewhere: K^-1 by differences, all else exact.

    dF = u'dP u + tr(H^-1 dP) + d log|K| - s'dP u,        P = K^-1.
    """
    theta, out = at.at.theta, np.zeros(at.at.theta.size)
    for b, block in enumerate(at.problem.blocks):
        if not block.is_parametric:
            continue
        thetas = block.theta_slices[0]
        for j in range(thetas.start + block.structures[0].inner.k, thetas.stop):
            step = np.zeros(theta.size)
            step[j] = _STEP * max(1.0, abs(float(theta[j])))
            more, less = block.relationship_at(theta + step), block.relationship_at(theta - step)
            width = 2.0 * step[j]
            dP = sp.csr_array((more.precision - less.precision) / width)
            dPu = (dP @ at.mode.u[b].T).T
            out[j] = float(np.vdot(at.mode.u[b] - s[b], dPu)) + at.factor.trace_with(b, dP)
            out[j] += block.q * (more.logdet - less.logdet) / width
    return out


def chain_rule(block: Block, theta: np.ndarray, G: np.ndarray) -> np.ndarray:
    """sum_ab dT_ab / dtheta_k G_ab as (k,), zero for the entries of other blocks."""
    out, units = np.zeros(theta.size), block.T_of_units
    if units is not None:
        out[: len(units)] = units.reshape(len(units), -1) @ G.ravel()
        return out
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
