r"""Conditional variances at chosen levels, by a solve for each: there need be no factor, nor a selected inverse.

For level g of the absorbed block and e, the columns of level g of another,

    H_gg = T ((I + A_g'A_g)^-1 + r'M^-1 r) T',   r = Lambda_2'B_g'F_g',        H_gg = r'M^-1 r,   r = Lambda_2'e,

as in :mod:`mme.solution.diagonal`, M of the remainder.
"""

from __future__ import annotations

import numpy as np

from mme.numeric.limits import limits
from mme.solution.estimates import Estimates
from mme.solution.gains import numbers_of


def chosen_blocks(estimates: Estimates, b: int, levels: np.ndarray) -> np.ndarray:
    """Lambda M^-1 Lambda' of these levels of block b (levels, q, q), scaled columns, in units of sigma^2."""
    objective = estimates.objective
    q, m = objective.blocks[b].q, objective.system.rest.m
    step = max(1, limits().solved_numbers // max(m * q, 1))
    parts = [_blocks(estimates, b, levels[first : first + step]) for first in range(0, levels.size, step)]
    return np.concatenate([np.zeros((0, q, q)), *parts])


def _blocks(estimates: Estimates, b: int, g: np.ndarray) -> np.ndarray:
    """The same of so many levels that their columns fit side by side."""
    objective, at = estimates.objective, estimates.at
    absorbed = b == objective.plan.absorb
    r = (_of_absorbed if absorbed else _of_rest)(estimates, b, g)
    m, q, c = r.shape
    x = at.rest.solve(r.reshape(m, q * c)).reshape(m, q, c) if m else r
    found = np.einsum("mic,mjc->cij", r, x)
    if not absorbed:
        return found
    T = objective.factors(estimates.theta).absorbed
    return np.asarray(T @ (at.levels.inner()[g] + found) @ T.T)


def chosen_pairs(estimates: Estimates, b: int, levels: np.ndarray) -> np.ndarray:
    """Lambda M^-1 Lambda' between each two of these levels of block b (levels, levels, q, q), in units of sigma^2."""
    objective, at = estimates.objective, estimates.at
    absorbed, c, q = b == objective.plan.absorb, levels.size, objective.blocks[b].q
    found = np.zeros((c, c, q, q))
    if m := objective.system.rest.m:
        r = (_of_absorbed if absorbed else _of_rest)(estimates, b, levels)
        x = at.rest.solve(r.reshape(m, q * c)).reshape(r.shape)
        found = np.einsum("mic,mjd->cdij", r, x, optimize=True)
    if not absorbed:
        return found
    T, each = objective.factors(estimates.theta).absorbed, np.arange(c)
    found[each, each] += at.levels.inner()[levels]
    return np.asarray(T @ found @ T.T)


def _of_rest(estimates: Estimates, b: int, g: np.ndarray) -> np.ndarray:
    """Lambda_2'e (m, q, levels)."""
    objective = estimates.objective
    rest, T = objective.system.rest, objective.factors(estimates.theta).rest
    place = b - int(objective.plan.absorb is not None and b > objective.plan.absorb)
    r = np.zeros((rest.m, len(T[place]), g.size))
    numbers = numbers_of(int(rest.offsets[place]), len(T[place]), g)
    r[numbers, :, np.arange(g.size)[:, None]] = T[place].T  # row i of level g is T'[i]
    return r


def _of_absorbed(estimates: Estimates, b: int, g: np.ndarray) -> np.ndarray:
    """Lambda_2'B_g'F_g' (m, q, levels)."""
    objective = estimates.objective
    rest, T = objective.system.rest, objective.factors(estimates.theta).rest
    F = estimates.at.levels.gain()[:, :, g]
    q, J = F.shape[1], objective.blocks[b].J
    B = rest.B[:, np.add.outer(np.arange(q) * J, g).ravel()].toarray().reshape(rest.m, q, g.size)
    r = np.einsum("mac,iac->mic", B, F)
    return rest.transpose_lambda(r.reshape(rest.m, -1), T).reshape(r.shape)
