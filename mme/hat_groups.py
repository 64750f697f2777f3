r"""Blocks H_gg of the hat matrix for any groups of records, from one evaluation whose remainder is dense.

With P_s = F_s B_s' the rows that carry the other random effects into level s of the absorbed factor, and H_2 the whole
of Lambda_2 K^-1 Lambda_2', Lambda M^-1 Lambda' of the effects that a group meets is picked from two dense matrices:

    absorbed with absorbed   T (I + A'A)^-1 T' + P H_2 P'
    absorbed with others     -P H_2                                                                                 (G)
    others with others       H_2

P H_2 costs nnz(P) m once; a group of n_g records that meets k effects costs O(n_g k + k nnz(P_g)), whatever factors
cross it, so that no factor need be absorbed anew to take its levels away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.linalg.lapack import dpotri

from mme.blocks import Block
from mme.crossproducts import Cells, cells, of_pair
from mme.inverse import gain
from mme.objective import Objective
from mme.pls import Dense, Evaluation

# Entries of H_2 and of P H_2 together beyond which they are not made (800 MB).
_MOST_ENTRIES = 100_000_000


@dataclass(frozen=True, eq=False)
class GroupHats:
    """The matrices of (G): ``inner`` (J, q, q), ``P`` (q J, m) with row a J + s, ``PH`` = P H_2 and ``H2`` (m, m)."""

    objective: Objective
    inner: np.ndarray
    P: sp.csr_array
    PH: np.ndarray
    H2: np.ndarray

    def of(self, codes: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each of these groups, its records and Z Lambda M^-1 Lambda'Z' among them."""
        J = int(codes.max()) + 1
        groups = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes))[:-1])
        block, rest = self.objective.absorbing, self.objective.system.rest
        absorbed = None if block is None else _Met.by(codes, J, block)
        others = [_Met.by(codes, J, other) for other in rest.blocks]
        for g in wanted.tolist():
            records = groups[g]
            levels = np.zeros(0, dtype=np.int64) if absorbed is None else absorbed.levels(g)
            rows = [] if absorbed is None else absorbed.rows(g, records, 0)
            effects, at = [np.zeros(0, dtype=np.int64)], levels.size * self.inner.shape[1]
            for other, start in zip(others, rest.offsets[:-1].tolist(), strict=True):
                met = other.levels(g)
                rows += other.rows(g, records, at)
                effects.append((start + np.arange(other.block.q)[:, None] + met * other.block.q).ravel())
                at += effects[-1].size
            covariance = self._covariance(levels, np.concatenate(effects))
            yield records, _gather(_gather(covariance, rows).T, rows)

    def _covariance(self, levels: np.ndarray, others: np.ndarray) -> np.ndarray:
        """(G) of these levels of the absorbed block, coefficient by coefficient, and these other effects."""
        k, q = levels.size, self.inner.shape[1]
        J = self.inner.shape[0]
        out = np.empty((k * q + others.size, k * q + others.size))
        out[k * q :, k * q :] = self.H2[np.ix_(others, others)]
        if k:
            at = (np.arange(q)[:, None] * J + levels).ravel()
            PH = self.PH[at]
            out[: k * q, : k * q] = _rows_of(self.P, at) @ PH.T
            own, level = out[: k * q, : k * q], np.arange(k)
            for a, b in np.ndindex(q, q):
                own[a * k + level, b * k + level] += self.inner[levels, a, b]
            out[: k * q, k * q :] = -PH[:, others]
            out[k * q :, : k * q] = out[: k * q, k * q :].T
        return out


def group_hats(objective: Objective, theta: np.ndarray, at: Evaluation) -> GroupHats | None:
    """Make (G); None where the remainder is not dense, or too large."""
    block, rest = objective.absorbing, objective.system.rest
    absorbed = 0 if block is None else block.J * block.q
    if not isinstance(at.rest, Dense) or (absorbed + rest.m) * rest.m > _MOST_ENTRIES:
        return None
    H2 = _whole(objective, theta, at.rest)
    if block is None:
        return GroupHats(objective, np.zeros((0, 0, 0)), sp.csr_array((0, rest.m)), np.zeros((0, rest.m)), H2)
    T, A = objective.factors(theta).absorbed, at.levels.A
    inner = T @ np.linalg.inv(np.eye(block.q) + np.einsum("aig,ajg->gij", A, A)) @ T.T
    F = np.einsum("xi,iag->xag", T, gain(at.levels))
    level = np.arange(block.J)
    i, j = (np.add.outer(axis * block.J, level).ravel() for axis in np.indices((block.q, block.q)).reshape(2, -1))
    P = sp.csr_array(sp.csr_array((F.ravel(), (i, j)), shape=(absorbed, absorbed)) @ rest.B.T)
    return GroupHats(objective, inner, P, P @ H2, H2)


def _whole(objective: Objective, theta: np.ndarray, dense: Dense) -> np.ndarray:
    """H_2 = Lambda_2 K^-1 Lambda_2' (m, m)."""
    rest, T = objective.system.rest, objective.factors(theta).rest
    if not rest.m:
        return np.zeros((0, 0))
    lower = np.tril(dpotri(dense.L, lower=1)[0])
    inverse = lower + np.tril(lower, -1).T
    return rest.apply_lambda(np.ascontiguousarray(rest.apply_lambda(inverse, T).T), T)


_Rows = list[tuple[np.ndarray, np.ndarray | None]]


@dataclass(frozen=True, eq=False)
class _Met:
    """The levels of a block that each group meets: its cells with the groups, group by group from ``first``."""

    block: Block
    cells: Cells
    first: np.ndarray

    @classmethod
    def by(cls, codes: np.ndarray, J: int, block: Block) -> _Met:
        found = cells(codes, block.codes, J, block.J)
        return cls(block, found, np.searchsorted(found.rows, np.arange(J + 1)))

    def levels(self, g: int) -> np.ndarray:
        return self.cells.cols[self.first[g] : self.first[g + 1]]

    def rows(self, g: int, records: np.ndarray, at: int) -> _Rows:
        """Each coefficient's place among the effects of the group, of every record, and its value (None: one)."""
        count = int(self.first[g + 1] - self.first[g])
        start = at - int(self.first[g])
        places = [of_pair(self.cells.of_record, 0, a)[records] + (start + a * count) for a in range(self.block.q)]
        values = [None if column is None else column[records] for column in self.block.columns]
        return list(zip(places, values, strict=True))


def _rows_of(matrix: sp.csr_array, rows: np.ndarray) -> sp.csr_array:
    """``matrix[rows]``, without the checks that take longer than a few rows do."""
    first = matrix.indptr[rows]
    counts = matrix.indptr[rows + 1] - first
    pointers = np.concatenate(([0], np.cumsum(counts)))
    at = np.arange(pointers[-1]) + np.repeat(first - pointers[:-1], counts)
    return sp.csr_array((matrix.data[at], matrix.indices[at], pointers), shape=(rows.size, matrix.shape[1]))


def _gather(matrix: np.ndarray, rows: _Rows) -> np.ndarray:
    """Z matrix, Z by its rows: sum over coefficients of value times row."""
    total = np.zeros((0, matrix.shape[1]))
    for t, (position, column) in enumerate(rows):
        part = matrix[position] if column is None else column[:, None] * matrix[position]
        total = total + part if t else part
    return total
