r"""How far the other random effects are felt in the levels of the absorbed factor: P H_2, entry by entry.

P_g = F_g B_g, with F_g = T (I + A'A)^-1 A' and B_g = Q_g'Z_2, are the rows that carry the other effects into level g,
and H_2 = Lambda_2 K^-1 Lambda_2' is their part of Lambda M^-1 Lambda': -P H_2 is that between the two.

Where the remainder is dense, H_2 is made whole, and the entries are picked from P H_2 panel by panel. Else H_2 is known
on the pattern of K, which is enough for levels g and h that met in a record: P_g H_2 at h takes H_2 between the effects
that met in level g, h among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.engine.complement import Complement
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation
from mme.engine.schur import Schur
from mme.numeric.cholesky import SymmetricFactor
from mme.numeric.kernels import add_products, kernel
from mme.numeric.limits import limits
from mme.solution.diagonal import rest_entries


def whole_rest(objective: Objective, theta: np.ndarray, factor: SymmetricFactor) -> np.ndarray:
    """H_2 (m, m)."""
    rest, T = objective.system.rest, objective.factors(theta).rest
    return rest.apply_lambda(np.ascontiguousarray(rest.apply_lambda(factor.inverse(), T).T), T)


@dataclass(frozen=True, eq=False)
class Pattern:
    """H_2 (m, m) on the pattern of K: ``values`` of its lower triangle, ``key`` = column m + row ascending."""

    m: int
    key: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, schur: Complement, H: np.ndarray) -> Pattern:
        """From H as of :func:`mme.solution.diagonal.rest_entries`."""
        assert isinstance(schur, Schur)  # a sum is made for a dense factor
        m = int(schur.pattern.offsets[-1])
        return cls(m, schur.pattern.col * m + schur.pattern.row, H[schur.pattern.source])

    def entries(self, i: np.ndarray, j: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The entries at (i, j), and whether they are on the pattern; entries off it mean nothing."""
        # numbers of half width would overflow
        place, known = among(self.key, np.minimum(i, j).astype(np.int64) * self.m + np.maximum(i, j))
        return self.values.take(place), known


@dataclass(frozen=True, eq=False)
class Rest:
    """H_2 as a matrix and by its entries on the pattern of K, both from one inverse."""

    objective: Objective
    theta: np.ndarray
    at: Evaluation

    @cached_property
    def matrix(self) -> np.ndarray | Pattern:
        """Whole where the remainder is dense, on the pattern of K elsewhere."""
        if self.at.rest.is_dense:
            return whole_rest(self.objective, self.theta, self.at.rest)
        return Pattern.of(self.objective.system.rest.schur, self.entries)

    @cached_property
    def entries(self) -> np.ndarray:
        """On the pattern of K, as :func:`mme.solution.diagonal.rest_entries`."""
        if not self.at.rest.is_dense:
            return rest_entries(self.objective, self.theta, self.at)
        return self.objective.system.rest.schur.of_whole(np.asarray(self.matrix))


def among(key: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each number stands in an ascending key, and whether it is there; any place where it is not."""
    place = np.minimum(np.searchsorted(key, wanted), key.size - 1)
    return place, np.asarray(key[place] == wanted)


def scaled_gain(objective: Objective, theta: np.ndarray, at: Evaluation) -> np.ndarray:
    """F_g of every level of the absorbed block (q, q, J)."""
    return np.einsum("xi,iag->xag", objective.factors(theta).absorbed, at.levels.gain())


def carried(objective: Objective, theta: np.ndarray, at: Evaluation) -> sp.csr_array:
    """P (q J, m), row a J + g for coefficient a of level g."""
    return through_levels(scaled_gain(objective, theta, at), objective.system.rest.by_level)


def through_levels(F: np.ndarray, B: sp.csr_array) -> sp.csr_array:
    """F_g B_g of every level (q J, m), for F (q, r, J) and B (r J, m): row a J + g is coefficient a of level g."""
    q, r, J = F.shape
    if not B.shape[1]:
        return sp.csr_array((q * J, 0))
    if q == r == 1:
        scaled = B.data * np.repeat(F.ravel(), np.diff(B.indptr))
        return sp.csr_array((scaled, B.indices, B.indptr), shape=B.shape)
    narrow = B.indices.dtype  # else the product has indices of twice the width
    i, j = (np.add.outer(axis * J, np.arange(J)).ravel().astype(narrow) for axis in np.indices((q, r)).reshape(2, -1))
    return sp.csr_array(sp.csr_array((F.ravel(), (i, j)), shape=(q * J, r * J)) @ B)


def at_cells(objective: Objective, theta: np.ndarray, at: Evaluation, H_2: np.ndarray | Pattern) -> list[np.ndarray]:
    """P H_2 at every cell of the absorbed block with each of the others (cells, q, q_t)."""
    rest, J, P = objective.system.rest, objective.system.absorbed.levels.J, carried(objective, theta, at)
    return [
        products(P, H_2, J, cross.cells.rows, numbers_of(start, block.q, cross.cells.cols))
        for start, block, cross in zip(rest.offsets[:-1].tolist(), rest.blocks, rest.crossing, strict=True)
    ]


def numbers_of(start: int, q: int, levels: np.ndarray) -> np.ndarray:
    """The numbers (levels, q) of the effects of these levels in the remainder, those of their block from ``start``."""
    return np.asarray(start + levels[:, None] * q + np.arange(q))


def products(
    P: sp.csr_array, V: np.ndarray | Pattern, J: int, levels: np.ndarray, columns: np.ndarray, *, symmetric: bool = True
) -> np.ndarray:
    """P V at levels (pairs,), those of one level together, and columns (pairs, c) of V: (pairs, q, c)."""
    starts = range(0, P.shape[0], J)
    return np.stack([_products(P[at : at + J], V, levels, columns, symmetric) for at in starts], axis=1)


def _products(P: sp.csr_array, V: np.ndarray | Pattern, i: np.ndarray, j: np.ndarray, symmetric: bool) -> np.ndarray:
    """(P V)_ij: by panels of the rows that occur, or pair by pair where each row has few."""
    if isinstance(V, Pattern):
        return _by_pair(P, V, i, j)
    length, first = np.diff(P.indptr), np.flatnonzero(np.diff(i, prepend=-1))
    whole, by_pair = int(length[i[first]].sum()) * V.shape[1], int(length[i].sum()) * j.shape[1]
    most = limits()
    many = by_pair > most.interpreted_products
    if whole <= (most.compiled_product_cost if many else most.pair_product_cost) * by_pair:
        return _by_panel(P, V, i, j)
    if not many:
        return _by_pair(P, V, i, j)
    out = np.zeros(j.shape)
    kernel(add_products, by_pair)(out, P.indptr, P.indices, P.data, np.ascontiguousarray(V if symmetric else V.T), i, j)
    return out


def _by_panel(P: sp.csr_array, V: np.ndarray, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    first = np.flatnonzero(np.diff(i, prepend=-1))
    occurring, ends = P[i[first]], np.append(first, i.size)
    rank, step = np.repeat(np.arange(first.size), np.diff(ends)), max(1, limits().panel_numbers // max(V.shape[1], 1))
    out = np.empty(j.shape)
    for begin in range(0, first.size, step):
        pairs = slice(ends[begin], ends[min(begin + step, first.size)])
        out[pairs] = (occurring[begin : begin + step] @ V)[rank[pairs, None] - begin, j[pairs]]
    return out


def _by_pair(P: sp.csr_array, V: np.ndarray | Pattern, i: np.ndarray, j: np.ndarray) -> np.ndarray:
    ends, step = np.cumsum(np.diff(P.indptr)[i]), limits().pair_numbers
    cuts = np.searchsorted(ends, np.arange(step, ends[-1] if i.size else 0, step))
    out = np.empty(j.shape)
    for pairs in map(slice, [0, *cuts], [*cuts, i.size]):
        rows, column = P[i[pairs]], j[pairs]
        owner = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        for c in range(j.shape[1]):
            at = rows.indices, column[owner, c]
            terms = rows.data * (V.entries(*at)[0] if isinstance(V, Pattern) else V[at])
            out[pairs, c] = np.bincount(owner, terms, minlength=rows.shape[0])
    return out
