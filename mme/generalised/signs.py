r"""Valleys of a mean that is even in eta, as by the square-root link: each choice of the signs of eta has its own.

Modes: for signs s_i the penalised least squares of s_i sqrt(y_i), M'4aM + K^-1 being Fisher's information of eta^2,
are a place to begin Newton's method at; of the modes that are found a level takes that of the least (L), where levels
are independent. Parameters: signs are those of the columns of X, and of the eigenvectors of sum a (y - mean) q q' at
both its ends, in which eta^2 follows y most (the spectral start of phase retrieval).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from mme.generalised.columns import Effects, Prior
from mme.generalised.laplace import Psi
from mme.generalised.mode import Mode, find_mode
from mme.generalised.problem import Problem
from mme.generalised.start import start, without_random_effects
from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.sums import sum_by_level

# Starts from the best models without random effects, of those whose -2 log f differ by more than this.
_STARTS, _SAME = 4, 1e-3
_SEED, _DRAWN = 7, 6


def starts(problem: Problem) -> Iterator[Psi]:
    """Yield the best places by signs of eta, models without random effects compared."""
    found: list[tuple[float, np.ndarray]] = []
    for side in _sides(problem):
        gamma, tau = without_random_effects(problem, side)
        with np.errstate(all="ignore"):
            density = problem.family.at(problem.data, problem.offset + gamma @ problem.Q, tau)
            value = -2.0 * float(density.value.sum())
        if np.isfinite(value) and all(abs(value - one) > _SAME for one, _ in found):
            found.append((value, side))
    points = [start(problem, side) for _, side in sorted(found, key=lambda one: one[0])[:_STARTS]]
    yield from points
    rng, size = np.random.default_rng(_SEED), np.sqrt(np.average(problem.data.y, weights=problem.data.weights))
    for _ in range(_DRAWN):
        first, share = points[0], rng.uniform(0.0, 1.0)
        gamma = size * np.sqrt(share / max(len(problem.Q), 1)) * rng.normal(size=len(problem.Q))
        spread = size * np.sqrt((1.0 - share) / problem.model.k)
        yield replace(first, theta=np.where(problem.model.diagonal, spread, 0.0), gamma=gamma)


def _sides(problem: Problem) -> Iterator[np.ndarray]:
    data, Q = problem.data, problem.Q
    centred = data.weights * (data.y - np.average(data.y, weights=data.weights))
    vectors = np.linalg.eigh((Q * centred) @ Q.T)[1]
    along = [*Q, *(vectors[:, j] @ Q for j in {0, len(Q) - 1} if len(Q))]
    yield np.ones(problem.n)
    for one in along:
        yield np.where(one + problem.offset < 0.0, -1.0, 1.0)


def other_modes(problem: Problem, point: Psi, u: Effects) -> Effects:
    """The modes of the least (L) that are found at a point, u among them: level by level if these are independent."""
    prior = Prior.at(problem.blocks, point.theta)
    fixed = problem.offset + point.gamma @ problem.Q
    best, least = u, np.full(1, np.inf)
    for first in (u, *_first_modes(problem, prior, fixed)):
        mode = find_mode(problem, prior, fixed, point.tau, first)
        if mode is None or mode.factor is None:
            continue
        value = _by_level(problem, mode)
        lower = value < least - 1e-12 * np.abs(value)
        if value.size == 1:
            best, least = (mode.u, value) if lower[0] else (best, least)
        else:
            best, least = [np.where(lower, mode.u[0], best[0])], np.where(lower, value, least)
    return best


def _first_modes(problem: Problem, prior: Prior, fixed: np.ndarray) -> Iterator[Effects]:
    """Penalised least squares of s sqrt(y), for signs of one, and of each column of Z, and the other way round."""
    W = 4.0 * problem.data.weights
    try:
        factor = problem.equations.factor(prior, W)
    except NotPositiveDefiniteError:
        return
    for signs in _signs(problem):
        for s in (signs, -signs):
            force = W * (s * np.sqrt(problem.data.y) - fixed)
            yield factor.solve(prior.transposed(problem.columns.transposed(force)))


def _signs(problem: Problem) -> Iterator[np.ndarray]:
    yield np.ones(problem.n)
    for block in problem.blocks:
        if block.by_column or block.entries is not None:
            continue
        records = np.maximum(np.bincount(block.codes, minlength=block.J), 1)
        for column in block.columns:
            if column is not None:
                yield np.where(column < 0.0, -1.0, 1.0)
                mean = (np.bincount(block.codes, column, block.J) / records)[block.codes]
                yield np.where(column < mean, -1.0, 1.0)


def _by_level(problem: Problem, mode: Mode) -> np.ndarray:
    """(L) of each level (J,), but for a constant, or of all (1,) where levels are not independent."""
    assert mode.factor is not None
    levels = mode.factor.by_level()
    if levels is None:
        return np.array([mode.value + mode.factor.logdet])
    block = problem.blocks[0]
    logdet = sum(2.0 * np.log(row[-1]) for row in levels.L)
    return -2.0 * sum_by_level(block.codes, block.J, None, mode.density.value) + (mode.u[0] ** 2).sum(axis=0) + logdet
