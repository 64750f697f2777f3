r"""Adaptive Gauss-Hermite quadrature over the effects of each level, of one grouping factor, with its exact gradient.

With the mode u and H = L L' of a level, C = L^-T, nodes u_k = u + sqrt(2) C z_k of the product rule (z_k, w_k) and
f(u) = -sum log f(y | eta) + u'u / 2,

    F = log|H| + q log(pi) - 2 log sum_k w_k exp(|z_k|^2 - f(u_k)),                                              (Q)

which is Laplace's approximation for one node. By the weights p_k of the sum, a = sum p_k grad f(u_k) and
B = sum p_k grad f(u_k) z_k', F changes with u and H by

    2 a'du + tr(E dH),      E = H^-1 - 2 sqrt(2) C Psi C',      Psi = the symmetric half of B'C's lower triangle,

so that E takes the place of H^-1 in the gradient of (L), and means over the nodes that of values at the mode. Nodes lie
along the axes of the terms: they do not know how a covariate is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product as combinations
from math import pi, sqrt

import numpy as np

from mme.engine.blocks import Block
from mme.errors import MMEError
from mme.family.base import Density
from mme.generalised.laplace import Laplace, Parts, chain_rule, outer
from mme.generalised.levels import LevelFactors, product, quadratic
from mme.generalised.problem import Problem
from mme.numeric.kept import kept
from mme.numeric.limits import limits
from mme.numeric.sums import sum_by_level

# Coefficients of a level beyond which a product rule has too many nodes.
_MOST = 3
# Points of a rule: those of Hermite lose their weights beyond.
MOST_POINTS = 200


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes z_k (m, q) and log w_k + |z_k|^2 (m,)."""

    nodes: np.ndarray
    log_weights: np.ndarray


@cache
def rule(points: int, q: int) -> Rule:
    """The product of q rules of Gauss and Hermite.

    Examples
    --------
    >>> rule(3, 1).nodes.round(4).tolist(), float(np.exp(rule(3, 1).log_weights[1]).round(4))
    ([[-1.2247], [-0.0], [1.2247]], 1.1816)
    """
    from numpy.polynomial.hermite import hermgauss

    z, w = hermgauss(points)
    nodes = np.array(list(combinations(z, repeat=q)))
    logs = np.array([sum(one) for one in combinations(np.log(w), repeat=q)])
    return Rule(nodes, logs + (nodes**2).sum(axis=1))


def require_quadrature(problem: Problem, points: int) -> None:
    """Refuse what quadrature cannot do.

    Raises
    ------
    MMEError
        There are several grouping factors, related levels, too many coefficients, or a link with a bounded eta.
    """
    blocks = problem.blocks
    if len(blocks) > 1 or not blocks[0].is_block_diagonal:
        names = ", ".join(f"'{term.name}'" for term in problem.model.terms)
        raise MMEError(
            f"n_agq={points}: quadrature is over the effects of each level of one grouping factor, whose levels are "
            f"independent, but the random terms are {names}; use Laplace's approximation, n_agq=1"
        )
    if blocks[0].q > _MOST:
        raise MMEError(
            f"n_agq={points}: a level has {blocks[0].q} random coefficients, and quadrature takes up to {_MOST}; use "
            "Laplace's approximation, n_agq=1"
        )
    if not problem.family.everywhere:
        raise MMEError(
            f"n_agq={points}: with the {problem.family.link} link of the {problem.family.name} family eta must not be "
            "negative, and normal random effects make it so with some probability: the marginal likelihood has no "
            "value; use the log link, or n_agq=1"
        )


@dataclass(frozen=True, eq=False)
class Quadrature(Laplace):
    """(Q) at one point, with the mode and factors of (L)."""

    points: int

    @property
    def _levels(self) -> LevelFactors:
        levels = self.factor.by_level()
        assert levels is not None  # require_quadrature refuses levels that meet
        return levels

    @property
    def _block(self) -> Block:
        return self.problem.blocks[0]

    @kept
    def rule(self) -> Rule:
        """Nodes and weights."""
        return rule(self.points, self._block.q)

    def _u(self, k: int) -> np.ndarray:
        """u_k of all levels (q, J)."""
        z = np.broadcast_to(self.rule.nodes[k][:, None], self.mode.u[0].shape)
        return np.asarray(self.mode.u[0] + sqrt(2.0) * self._levels.backward(np.ascontiguousarray(z)))

    def _density(self, k: int) -> Density:
        """Log f of all records at u_k."""
        if k in self._kept:
            return self._kept[k]
        eta = self._fixed + self.problem.columns.eta(self.mode.prior.b([self._u(k)]))
        with np.errstate(over="ignore", invalid="ignore"):
            density = self.problem.family.at(self.problem.data, eta, self.at.tau)
            _ = density.value
        if self.problem.n * len(self.rule.nodes) <= limits().kept_densities:
            self._kept[k] = density
        return density

    @kept
    def _kept(self) -> dict[int, Density]:
        return {}

    @kept
    def _fixed(self) -> np.ndarray:
        return self.problem.offset + self.at.gamma @ self.problem.Q

    @kept
    def _logs(self) -> np.ndarray:
        """log w_k + |z_k|^2 - f(u_k) of every node and level (m, J)."""
        block, out = self._block, np.empty((len(self.rule.nodes), self._block.J))
        for k in range(len(out)):
            u = self._u(k)
            loss = sum_by_level(block.codes, block.J, None, self._density(k).value)
            out[k] = self.rule.log_weights[k] + loss - 0.5 * (u * u).sum(axis=0)
        return np.where(np.isnan(out), -np.inf, out)

    @kept
    def _sums(self) -> np.ndarray:
        """log sum_k w_k exp(|z_k|^2 - f(u_k)) of every level (J,)."""
        most = self._logs.max(axis=0)
        return np.asarray(most + np.log(np.exp(self._logs - most).sum(axis=0)))

    @property
    def value(self) -> float:
        """-2 log L, every constant included."""
        block = self._block
        return self._levels.logdet + block.J * block.q * float(np.log(pi)) - 2.0 * float(self._sums.sum())

    def gradient(self) -> np.ndarray:
        """dF / d(theta, gamma, tau)."""
        parts = self.parts()
        by_theta = chain_rule(self._block, self.at.theta, parts.by_T[0].sum(axis=2))
        return np.concatenate([by_theta, self.problem.Q @ parts.c, [one.sum() for one in parts.by_tau]])

    def parts(self) -> Parts:
        """The gradient record by record and level by level."""
        problem, block, density, levels = self.problem, self._block, self.mode.density, self._levels
        columns, prior, u = problem.columns, self.mode.prior, self.mode.u[0]
        T, codes, q = prior.T[0], block.codes, block.q
        p = np.exp(self._logs - self._sums)
        slopes, by_nodes = np.zeros(problem.n), np.zeros((q, q, block.J))
        by_tau = [np.zeros(problem.n) for _ in range(self.at.tau.size)]
        a, B = np.zeros((q, block.J)), np.zeros((q, q, block.J))
        for k, z in enumerate(self.rule.nodes):
            one, u_k = self._density(k), self._u(k)
            weight = p[k].take(codes)
            weighted = weight * one.slope
            force = columns.transposed(weighted)[0]
            slopes += weighted
            by_nodes += outer(force, u_k)
            rise = p[k] * u_k - T.T @ force  # p_k grad f(u_k)
            a += rise
            B += rise[:, None] * z[None, :, None]
            for total, part in zip(by_tau, one.by_parameters, strict=True):
                total -= 2.0 * weight * part.value
        E = levels.inverse - 2.0 * sqrt(2.0) * _sandwiched(levels, _half(levels, B))
        h = quadratic(block, np.matmul(T, np.einsum("ijg,kj->ikg", E, T).reshape(q, -1)).reshape(E.shape))
        hW = h * density.observed_slope
        s = levels.solve_levels(T.T @ columns.transposed(hW)[0] + 2.0 * a)
        Ms = columns.eta(prior.b([s]))
        through = hW - density.observed * Ms
        gain = product(np.einsum("ijg,jk->ikg", levels.A, T), E)
        Zc, Zl = columns.transposed(through)[0], columns.transposed(density.slope)[0]
        by_T = outer(Zc, u) + outer(Zl, s) + 2.0 * (gain - by_nodes)
        for total, part in zip(by_tau, density.by_parameters, strict=True):
            total += h * part.observed + Ms * part.slope
        return Parts(through - 2.0 * slopes, [by_T], by_tau)


def _half(levels: LevelFactors, B: np.ndarray) -> np.ndarray:
    """Psi (q, q, J): half of the lower triangle of B'C and of its transpose, C = L^-T."""
    P = levels.forward(B)  # L^-1 B: (B'C)' = C'B
    q = len(P)
    Psi = np.zeros_like(P)
    for i in range(q):
        Psi[i, i] = 0.5 * P[i, i]
        for j in range(i):
            Psi[i, j] = Psi[j, i] = 0.5 * P[j, i]  # (B'C)[i, j]
    return Psi


def _sandwiched(levels: LevelFactors, Psi: np.ndarray) -> np.ndarray:
    """C Psi C' (q, q, J)."""
    half = levels.backward(Psi)
    return levels.backward(np.ascontiguousarray(half.transpose(1, 0, 2))).transpose(1, 0, 2)
