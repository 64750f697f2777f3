r"""Blocks H_gg of the hat matrix for any groups of records, from one evaluation whose remainder is dense.

With P_s = F_s B_s' the rows that carry the other random effects into level s of the absorbed factor, and H_2 the whole
of Lambda_2 K^-1 Lambda_2', Lambda M^-1 Lambda' of the effects that a group meets is picked from two dense matrices:

    absorbed with absorbed   T (I + A'A)^-1 T' + P H_2 P'
    absorbed with others     -P H_2                                                                                 (G)
    others with others       H_2

P H_2 costs nnz(P) m once; a group of n_g records that meets k effects costs O(n_g k + k nnz(P_g)), whatever factors
cross it, so that no factor need be absorbed anew to take its levels away. Where most levels meet in some group,
P H_2 P' is made once, by panels that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation
from mme.numeric.limits import limits
from mme.numeric.sums import Cells, Column, by_code, cells, of_pair
from mme.solution.diagonal import level_covariance
from mme.solution.gains import carried, whole_rest

# Rows of P H_2 P' made at a time.
_PANEL = 128


@dataclass(frozen=True, eq=False)
class GroupHats:
    """The matrices of (G): ``inner`` (J, q, q), ``P`` (q J, m) with row a J + s, and ``H2`` (m, m)."""

    objective: Objective
    inner: np.ndarray
    P: sp.csr_array
    H2: np.ndarray

    @cached_property
    def PH(self) -> np.ndarray:
        """P H_2 (q J, m)."""
        return np.asarray(self.P @ self.H2)

    def of(self, codes: np.ndarray, wanted: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each of these groups, its records and Z Lambda M^-1 Lambda'Z' among them."""
        J = int(codes.max()) + 1
        order = by_code(codes, J)
        first = np.concatenate(([0], np.cumsum(np.bincount(codes))))
        block, rest = self.objective.absorbing, self.objective.system.rest
        absorbed = None if block is None else _Met.by(codes, J, block, order)
        others = [_Met.by(codes, J, other, order) for other in rest.blocks]
        PHP = None if absorbed is None else self._whole(absorbed.counts[wanted])
        for g in wanted.tolist():
            records = slice(first[g], first[g + 1])
            levels = np.zeros(0, dtype=np.int64) if absorbed is None else absorbed.levels(g)
            rows = [] if absorbed is None else absorbed.rows(g, records, 0)
            effects, at = [np.zeros(0, dtype=np.int64)], levels.size * self.inner.shape[1]
            for other, start in zip(others, rest.offsets[:-1].tolist(), strict=True):
                met = other.levels(g)
                rows += other.rows(g, records, at)
                effects.append((start + np.arange(other.block.q)[:, None] + met * other.block.q).ravel())
                at += effects[-1].size
            covariance = self._covariance(levels, np.concatenate(effects), PHP)
            yield order[records], _gather(_gather(covariance, rows).T, rows)

    def _whole(self, met: np.ndarray) -> np.ndarray | None:
        """P H_2 P' of all levels, unless the groups' own parts, with so many levels ``met``, are the lesser work."""
        N, m = self.PH.shape
        own = met * self.inner.shape[1]
        by_group = (self.P.nnz / max(N, 1) * own**2 + m * own + limits().group_hat_cost).sum()
        if limits().group_hat_entries < N * N or 0.5 * self.P.nnz * N > by_group:
            return None
        whole = np.empty((N, N))
        for first in range(0, N, _PANEL):
            panel = slice(first, first + _PANEL)
            below = self.P[first:] @ self.PH[panel].T
            whole[first:, panel], whole[panel, first:] = below, below.T
        return whole

    def _covariance(self, levels: np.ndarray, others: np.ndarray, PHP: np.ndarray | None) -> np.ndarray:
        """(G) of these levels of the absorbed block, coefficient by coefficient, and these other effects."""
        k, (J, q) = levels.size, self.inner.shape[:2]
        out = np.empty((k * q + others.size, k * q + others.size))
        out[k * q :, k * q :] = _entries(self.H2, others, others)
        if k:
            at, own, level = (np.arange(q)[:, None] * J + levels).ravel(), out[: k * q, : k * q], np.arange(k)
            own[:] = _rows_of(self.P, at) @ self.PH[at].T if PHP is None else _entries(PHP, at, at)
            for a, b in np.ndindex(q, q):
                own[a * k + level, b * k + level] += self.inner[levels, a, b]
            out[: k * q, k * q :] = -_entries(self.PH, at, others)
            out[k * q :, : k * q] = out[: k * q, k * q :].T
        return out


def group_hats(objective: Objective, theta: np.ndarray, at: Evaluation) -> GroupHats | None:
    """Make (G); None where the remainder is not dense, or too large."""
    block, rest = objective.absorbing, objective.system.rest
    absorbed = 0 if block is None else block.J * block.q
    if not at.rest.is_dense or (absorbed + rest.m) * rest.m > limits().group_hat_entries:
        return None
    H2 = whole_rest(objective, theta, at.rest)
    if block is None:
        return GroupHats(objective, np.zeros((0, 0, 0)), sp.csr_array((0, rest.m)), H2)
    return GroupHats(objective, level_covariance(objective, theta, at), carried(objective, theta, at), H2)


_Rows = list[tuple[np.ndarray, Column]]


@dataclass(frozen=True, eq=False)
class _Met:
    """The levels of a block that each group meets: its cells with the groups, group by group from ``first``.

    ``of_record`` and ``values`` are by coefficient, with the records of each group together.
    """

    block: Block
    cells: Cells
    first: np.ndarray
    of_record: list[np.ndarray]
    values: list[Column]

    @classmethod
    def by(cls, codes: np.ndarray, J: int, block: Block, order: np.ndarray) -> _Met:
        found = cells(codes, block.codes, J, block.J)
        of_record = [of_pair(found.of_record, 0, a)[order] for a in range(block.q)]
        values = [None if column is None else column[order] for column in block.columns]
        return cls(block, found, np.searchsorted(found.rows, np.arange(J + 1)), of_record, values)

    @property
    def counts(self) -> np.ndarray:
        return np.diff(self.first)

    def levels(self, g: int) -> np.ndarray:
        return self.cells.cols[self.first[g] : self.first[g + 1]]

    def rows(self, g: int, records: slice, at: int) -> _Rows:
        """Each coefficient's place among the effects of the group, of every record, and its value (None: one)."""
        start, count = at - int(self.first[g]), int(self.first[g + 1] - self.first[g])
        return [
            (place[records] + (start + a * count), None if column is None else column[records])
            for a, (place, column) in enumerate(zip(self.of_record, self.values, strict=True))
        ]


def _rows_of(matrix: sp.csr_array, rows: np.ndarray) -> sp.csr_array:
    """``matrix[rows]``, without the checks that take longer than a few rows do."""
    first = matrix.indptr[rows]
    counts = matrix.indptr[rows + 1] - first
    pointers = np.concatenate(([0], np.cumsum(counts)))
    at = np.arange(pointers[-1]) + np.repeat(first - pointers[:-1], counts)
    return sp.csr_array((matrix.data[at], matrix.indices[at], pointers), shape=(rows.size, matrix.shape[1]))


def _entries(matrix: np.ndarray, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """``matrix[np.ix_(rows, cols)]`` of a matrix whose rows lie one behind another, in half the time."""
    return matrix.take((rows * matrix.shape[1])[:, None] + cols)


def _gather(matrix: np.ndarray, rows: _Rows) -> np.ndarray:
    """Z matrix, Z by its rows: sum over coefficients of value times row."""
    total = np.zeros((0, matrix.shape[1]))
    for t, (position, column) in enumerate(rows):
        part = matrix[position] if column is None else column[:, None] * matrix[position]
        total = total + part if t else part
    return total
