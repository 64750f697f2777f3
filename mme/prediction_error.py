r"""The variance of a prediction: of x'(beta_hat - beta) + z'(b_hat - b), for any combinations x and z.

The inverse of Henderson's equations is the joint covariance of (beta_hat - beta, b_hat - b). With X = Q R, L_X of (N),
E = Lambda M^-1 Lambda'Z'Q L_X^-T and H = Lambda M^-1 Lambda' it is sigma^2 times

    ( F F'     -F E'    )
    ( -E F'   H + E E'  ),    F = R^-1 L_X^-T,     so that     var / sigma^2 = |F'x - E'z|^2 + z'H z                (V)

a sum of squares: the first is what the fixed effects leave uncertain, the second what would be left if they were known.
A record needs of E and H the rows of its own levels only. Between levels g and h of different parts

    H_gh = columns of Lambda_2 K^-1 Lambda_2',     and -T_1 F_g B_g (these) where g is of the absorbed factor,

with F_g as in :mod:`mme.inverse`, take a solve for every level h that occurs, of the factor of which fewer occur.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import scipy.sparse as sp

from mme.estimates import Estimates
from mme.inverse import conditional_blocks, sensitivities
from mme.pls import Dense, triangular_solve

# Records, and numbers of a matrix of right-hand sides, handled at a time.
_RECORDS = 65_536
_NUMBERS = 4_000_000


@dataclass(frozen=True, eq=False)
class Part:
    """Levels (n,) of one block and z (n, q) in its scaled columns; -1: a level that the fit has no data on.

    A block whose columns have levels of their own has a part for each column.
    """

    block: int
    codes: np.ndarray
    z: np.ndarray


def error_variance(estimates: Estimates, X: np.ndarray, parts: Sequence[Part]) -> np.ndarray:
    """Variance (n,) of x'(beta_hat - beta) + z'(b_hat - b); a level without data adds its prior variance.

    Costs O(records) for one grouping factor. For each pair of factors add a solve with the factor of the remainder for
    every level of one of them, and O(q^2) a record.
    """
    objective, theta, at = estimates.objective, estimates.theta, estimates.at
    p = objective.system.p
    F = triangular_solve(at.border[:p, :p], objective.basis.R_inverse.T, transposed=False).T
    E = sensitivities(objective, theta, at) if parts else []
    H = conditional_blocks(objective, theta, at) if parts else []
    T = [block.T(theta) for block in objective.blocks]
    out = np.empty(X.shape[0])
    for cut in _pieces(X.shape[0]):
        along = X[cut] @ F
        variance = np.zeros(along.shape[0])
        for part in parts:
            codes, z = part.codes[cut], part.z[cut]
            known = codes >= 0
            where, level = (slice(None), codes) if known.all() else (known, codes[known])
            along[where] -= np.einsum("na,nap->np", z[where], E[part.block][level])
            variance[where] += np.einsum("na,nab,nb->n", z[where], H[part.block][level], z[where], optimize=True)
            prior = z[~known] @ T[part.block]
            variance[~known] += np.einsum("na,na->n", prior, prior)
        out[cut] = variance + np.einsum("np,np->n", along, along)
    for one, other in combinations(parts, 2):
        out += 2.0 * _crossed(estimates, one, other)
    return np.asarray(estimates.sigma**2 * out)


def _pieces(n: int) -> Iterator[slice]:
    for first in range(0, n, _RECORDS):
        yield slice(first, min(first + _RECORDS, n))


def _crossed(estimates: Estimates, one: Part, other: Part) -> np.ndarray:
    """z_1'H_gh z_2 of every record (n,), zero where a level is not known."""
    both = np.flatnonzero((one.codes >= 0) & (other.codes >= 0))
    out = np.zeros(one.codes.size)
    absorbed = estimates.objective.plan.absorb
    fewer = np.unique(one.codes[both]).size < np.unique(other.codes[both]).size
    if other.block == absorbed or (one.block != absorbed and fewer):
        one, other = other, one
    width = estimates.objective.blocks[other.block].J
    key, pair = np.unique(one.codes[both] * width + other.codes[both], return_inverse=True)
    blocks = _between(estimates, one.block, other.block, key // width, key % width)
    for cut in _pieces(both.size):
        rows = both[cut]
        out[rows] = np.einsum("na,nab,nb->n", one.z[rows], blocks[pair[cut]], other.z[rows], optimize=True)
    return out


def _between(estimates: Estimates, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
    """H_gh (pairs, q_s, q_t) of levels g of block s and h of block t, which is not absorbed."""
    objective = estimates.objective
    q_s, q_t = objective.blocks[s].q, objective.blocks[t].q
    out = np.empty((g.size, q_s, q_t))
    order = np.argsort(h, kind="stable")
    levels, first = np.unique(h[order], return_index=True)
    ends = np.append(first[1:], g.size)
    step = max(1, _NUMBERS // max(objective.system.rest.m * q_t, 1))
    for begin in range(0, levels.size, step):
        chosen = levels[begin : begin + step]
        pairs = order[first[begin] : ends[min(begin + step, levels.size) - 1]]
        columns = _columns(estimates, t, chosen)
        column = np.searchsorted(chosen, h[pairs])[:, None] * q_t + np.arange(q_t)
        take = _absorbed_rows if s == objective.plan.absorb else _remaining_rows
        out[pairs] = take(estimates, s, g[pairs], columns, column)
    return out


def _columns(estimates: Estimates, t: int, levels: np.ndarray) -> np.ndarray:
    """Columns (m, levels q_t) of Lambda_2 K^-1 Lambda_2' at these levels of block t."""
    objective, rest = estimates.objective, estimates.objective.system.rest
    T = objective.factors(estimates.theta).rest
    place = _place(estimates, t)
    q, start = objective.blocks[t].q, int(rest.offsets[place])
    right = np.zeros((rest.m, levels.size, q))
    rows = start + levels[:, None] * q + np.arange(q)
    right[rows, np.arange(levels.size)[:, None]] = T[place].T  # Lambda'e: row i of level h is T'[i]
    flat, factor = right.reshape(rest.m, -1), estimates.at.rest
    if isinstance(factor, Dense):
        solved = factor.backward(triangular_solve(factor.L, flat, transposed=False))
    else:
        solved = factor.solve(flat)
    return rest.apply_lambda(solved, T)


def _remaining_rows(estimates: Estimates, s: int, g: np.ndarray, columns: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Entries at levels g of a block of the remainder."""
    q, start = estimates.objective.blocks[s].q, int(estimates.objective.system.rest.offsets[_place(estimates, s)])
    rows = start + g[:, None] * q + np.arange(q)
    return np.asarray(columns[rows[:, :, None], column[:, None, :]])


def _absorbed_rows(estimates: Estimates, s: int, g: np.ndarray, columns: np.ndarray, column: np.ndarray) -> np.ndarray:
    """-T F_g B_g columns at levels g of the absorbed block."""
    objective, factor = estimates.objective, estimates.at.levels
    q, J = objective.blocks[s].q, objective.blocks[s].J
    by_level = sp.csr_array(objective.system.rest.B.T)
    BX = np.empty((q, g.size, column.shape[1]))
    for a in range(q):
        rows = by_level[a * J + g]
        owner = np.repeat(np.arange(g.size), np.diff(rows.indptr))
        for c in range(column.shape[1]):
            products = rows.data * columns[rows.indices, column[owner, c]]
            BX[a, :, c] = np.bincount(owner, products, minlength=g.size)
    gain = np.einsum("aig,abg->ibg", factor.A[:, :, g], factor.weights()[:, :, g])  # F_g = A'(I + A A')^-1
    T = objective.factors(estimates.theta).absorbed
    return np.asarray(-np.einsum("ij,jag,agc->gic", T, gain, BX, optimize=True))


def _place(estimates: Estimates, t: int) -> int:
    """Where a block stands among those that were not absorbed."""
    absorbed = estimates.objective.plan.absorb
    return t - int(absorbed is not None and t > absorbed)
