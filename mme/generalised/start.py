r"""Where the search begins: beta and tau without random effects, variances by moments of working residuals."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np

from mme.engine.blocks import Block
from mme.generalised.columns import Effects
from mme.generalised.inside import inside
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.numeric.lapack import cholesky, cholesky_solve
from mme.numeric.limits import limits
from mme.numeric.sums import coding, sum_by_level

_STEPS = 50
# Random effects move beta by more than a step of which the criterion changes by less than this share of it.
_SETTLED = 1e-3
# No start has a smaller standard deviation, of eta, nor a larger one: one outlier can have any moment.
_LEAST, _MOST = 0.1, 5.0
# Effects are of nearly each record where their number, so many times, is above that of the records.
_MANY = 3.0
# The logarithm by which a dispersion is made smaller, and how many times larger standard deviations are then.
_CALMER, _SPREAD = 2.0, 4.0


def without_random_effects(problem: Problem, side: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Gamma (p,) and tau (r,) of the model without random effects, by Fisher scoring: of every so many-th record.

    ``side`` (n,) has the signs of the eta to begin with, where these are free.
    """
    family, data, Q, offset = problem.family, problem.data, problem.Q, problem.offset
    if (every := problem.n // limits().records_of_start) > 1:
        data, Q, offset = data.at(slice(None, None, every)), Q[:, ::every], offset[::every]
        side = None if side is None else side[::every]
    eta = family.first_eta(data) if side is None else side * family.first_eta(data)
    tau = family.first_tau(data, eta)
    gamma = np.zeros(len(Q))
    if len(Q):
        density = family.at(data, eta, tau)
        gamma = _scored(Q, density.expected, density.expected * (eta - offset) + density.slope)
    if not family.everywhere:
        gamma = inside(Q, offset, gamma, eta)
    value = np.inf
    step = np.zeros(len(Q))
    for _ in range(_STEPS):
        eta = offset + gamma @ Q
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            density = family.at(data, eta, tau)
            new = -2.0 * float(density.value.sum())
        if not isfinite(new) or new > value + 1e-8 * abs(value):
            step = 0.5 * step
            gamma = gamma - step
            if np.abs(step).max(initial=0.0) < 1e-8 * problem.unit:
                break
            continue
        if len(Q) == 0:
            break
        value = new
        step = _scored(Q, density.expected, density.slope)
        gamma = gamma + step
        if 2.0 * float(step @ Q @ density.slope) <= _SETTLED * (1.0 + abs(value)):
            break
    else:
        gamma = _no_worse(problem, gamma, tau)
    gamma = gamma if family.everywhere else inside(problem.Q, problem.offset, gamma, eta)
    return gamma, family.first_tau(data, offset + gamma @ Q)


def _scored(Q: np.ndarray, W: np.ndarray, r: np.ndarray) -> np.ndarray:
    """(Q W Q')^-1 Q r, W raised a little where it is singular."""
    A = (Q * W) @ Q.T
    A.flat[:: len(A) + 1] += 1e-10 * A.trace() / len(A)
    L, failed = cholesky(A)
    return np.zeros(len(A)) if failed else cholesky_solve(L, Q @ r)


def start(problem: Problem, side: np.ndarray | None = None) -> Psi:
    """Theta by the moments of l' at the model without random effects: E (z'l')^2 = a + a^2 s^2, a = z'W z."""
    gamma, tau = without_random_effects(problem, side)
    density = problem.family.at(problem.data, problem.offset + gamma @ problem.Q, tau)
    theta = np.zeros(problem.model.k)
    for block in problem.blocks:
        variances = np.array([_moment(block, a, density.slope, density.expected) for a in range(block.q)])
        variances = np.minimum(variances, (_MOST * problem.unit) ** 2)
        floor = (_LEAST * problem.unit) ** 2 / np.maximum(block.q, 1) * np.ones(block.q)
        for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            H = np.diag(variances[columns] * block.scale[columns] ** -2)
            first = part.nearest(H, floor[columns] * block.scale[columns] ** -2)
            theta[thetas] = first
    return Psi(theta, gamma, tau)


def at_most(problem: Problem, point: Psi) -> bool:
    """Whether a standard deviation of a start is the largest that one has: its moment, an outlier's, is no guide."""
    return bool((np.abs(point.theta) * problem.sizes() >= 0.999 * _MOST).any())


def _no_worse(problem: Problem, gamma: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Gamma, or that of one eta for all records where this is better: scoring went astray."""
    plain = constant(problem).gamma
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        both = [problem.family.at(problem.data, problem.offset + one @ problem.Q, tau) for one in (gamma, plain)]
        value, other = (float(one.value.sum()) for one in both)
    return gamma if value >= other else plain


def constant(problem: Problem) -> Psi:
    """No random effects, and as nearly as X allows one eta for all records, the middle one of what they have alone."""
    family, data = problem.family, problem.data
    one = np.full(problem.n, float(np.median(family.first_eta(data)[data.weights > 0.0])))
    gamma = problem.Q.mean(axis=1) * one[0] if len(problem.Q) else np.zeros(0)
    eta = problem.offset + gamma @ problem.Q
    return Psi(problem.model.coordinates.inner(np.zeros(problem.model.k)), gamma, family.first_tau(data, eta))


def beside(problem: Problem, point: Psi) -> Iterator[Psi]:
    """Yield the point with other parameters of each relationship: where the criterion is flat a search goes nowhere."""
    for block in problem.blocks:
        if not block.is_parametric:
            continue
        thetas = block.theta_slices[0]
        own = slice(thetas.start + block.structures[0].inner.k, thetas.stop)
        for candidate in block.relationship.starts()[1:]:
            theta = point.theta.copy()
            theta[own] = candidate
            yield Psi(theta, point.gamma, point.tau)


def calmer(problem: Problem, point: Psi) -> Iterator[Psi]:
    """Yield the point with the spread of the records in effects of nearly each of them, not in the family's parameter.

    Where such effects compete with a dispersion, each of the two explanations can have an optimum of its own.
    """
    if not point.tau.size or not any(_MANY * block.J * block.q > problem.n for block in problem.blocks):
        return
    family, eta, one = problem.family, problem.offset + point.gamma @ problem.Q, np.ones(problem.n)
    for j in range(len(family.parameters)):
        step = np.zeros(point.tau.size)
        step[j] = _CALMER
        more, less = (float(np.mean(family.variance(eta, one, point.tau + s * step))) for s in (1.0, -1.0))
        if more != less:
            yield Psi(_spread(problem, point.theta), point.gamma, point.tau + np.copysign(1.0, less - more) * step)


def _spread(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Theta of standard deviations so many times larger."""
    out = theta.copy()
    for block in problem.blocks:
        for part, thetas in zip(block.structures, block.theta_slices, strict=True):
            H = _SPREAD**2 * part.T(theta[thetas]) @ part.T(theta[thetas]).T
            out[thetas] = part.nearest(H, np.zeros(len(H)))
    return out


def _moment(block: Block, a: int, slope: np.ndarray, W: np.ndarray) -> float:
    """The variance of one coefficient, over all levels."""
    codes, column = coding(block.codes, a), block.columns[a]
    U = sum_by_level(codes, block.J, column, slope)
    A = sum_by_level(codes, block.J, column, W if column is None else W * column)
    seen = A > 0.0
    weight = (1.0 + A[seen]) ** -2.0
    spread = float(weight @ A[seen] ** 2)
    return max(float(weight @ (U[seen] ** 2 - A[seen])) / spread, 0.0) if spread > 0.0 else 0.0


def carried(point: Psi, problem: Problem, other: Problem) -> Psi:
    """The parameters of another problem of the same terms and columns, on other records, that are these of this one."""
    theta = other.model.coordinates.inner(problem.model.coordinates.outer(point.theta))
    return Psi(theta, other.gamma(problem.beta(point.gamma)), point.tau)


def carried_modes(u: Effects, problem: Problem, other: Problem) -> Effects | None:
    """The modes of a problem in another whose records that count are its own: further levels have none.

    None where the levels of the two do not lie in one another, as blocks of another order.
    """
    found, counts = other.columns.nothing(), np.flatnonzero(other.data.weights > 0.0)
    for into, one, block, own in zip(found, u, other.blocks, problem.blocks, strict=True):
        here, there = block.codes[..., counts].ravel(), own.codes.ravel()
        if len(into) != len(one) or here.size != there.size:
            return None
        into[:, here] = one[:, there]
        if not np.array_equal(into[:, here], one[:, there]):
            return None
    return found


def near(problem: Problem, point: Psi) -> Psi:
    """A point to begin from that is near another: standard deviations of zero, where slopes vanish, are lifted."""
    theta, size = point.theta.copy(), problem.sizes()
    small = problem.model.diagonal & problem.free & (np.abs(theta) * size < _LEAST)
    theta[small] = _LEAST / size[small]
    return Psi(theta, point.gamma, point.tau)
