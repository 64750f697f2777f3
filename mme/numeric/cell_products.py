"""Cells of two matrices of which one has many entries a record: sums by products of sparse matrices.

A list of the pairs of entries that meet in a record has the square of a record's entries: 19 groups of unknown parents
an animal are 361 pairs for each of its records, where Z'F has 19 cells for each animal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.numeric.pooled import Pooled
from mme.numeric.sums import Cells, Column, pair_numbers


@dataclass(frozen=True, eq=False)
class RecordLevels:
    """Where the entries of n records stand among J columns: ``codes``, and in ``ends`` (n + 1,) where records begin.

    ``pooled`` are the same entries with each row once, where rows repeat.
    """

    codes: np.ndarray
    ends: np.ndarray
    J: int
    pooled: Pooled | None = None

    @classmethod
    def one_a_record(cls, codes: np.ndarray, J: int) -> RecordLevels:
        """Of one entry a record (n,)."""
        return cls(codes, np.arange(codes.size + 1), J)

    def matrix(self, column: Column) -> sp.csr_array:
        """The matrix (n, J) with these values (entries,); None: ones."""
        data = np.ones(self.codes.size) if column is None else column
        return sp.csr_array((data, self.codes, self.ends), shape=(self.ends.size - 1, self.J))

    def rows(self, column: Column) -> Pooled | None:
        """The same matrix with each row once, where rows repeat; first entries show the weights of U's rows."""
        if self.pooled is None or column is None:
            return self.pooled
        U, at = self.pooled.U, self.pooled.at
        some = np.diff(U.indptr)[at] > 0
        first, own = (
            values[np.minimum(begins, values.size - 1)]
            for values, begins in ((U.data, U.indptr[at]), (column, self.ends[:-1]))
        )
        return self.pooled.weighted(np.where(some, own, 1.0) / np.where(some, first, 1.0))


@dataclass(frozen=True, eq=False)
class ProductCells(Cells):
    """The cells of ``one`` and ``other``; there is no list of the records of each."""

    one: RecordLevels = RecordLevels(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64), 0)
    other: RecordLevels = one

    @classmethod
    def of(cls, one: RecordLevels, other: RecordLevels) -> ProductCells:
        """The cells in which entries of the two meet, row by row."""
        met = _product(one, other, None, None)
        rows = np.repeat(np.arange(one.J), np.diff(met.indptr))
        return cls(np.zeros(0, dtype=np.int64), rows, met.indices.astype(np.int64), one=one, other=other)

    def sums(self, left: Sequence[Column], right: Sequence[Column]) -> np.ndarray:
        """(cells, a, b): inner products of the columns over the records of each cell."""
        out = np.zeros((self.count, len(left), len(right)))
        keys = pair_numbers(self.rows, self.cols, self.one.J, self.other.J)
        for a, b in np.ndindex(len(left), len(right)):
            found = _product(self.one, self.other, left[a], right[b])
            at = np.repeat(np.arange(self.one.J), np.diff(found.indptr)) * self.other.J + found.indices
            out[np.searchsorted(keys, at), a, b] = found.data
        return out


def _product(one: RecordLevels, other: RecordLevels, left: Column, right: Column) -> sp.csr_array:
    """Z'F of the two, rows in order."""
    rows = other.rows(right)
    if rows is not None and one.pooled is other.pooled and left is right:
        found = sp.csr_array(rows.gram)
    elif rows is not None:
        found = sp.csr_array(rows.crossed(one.matrix(left)))
    elif one.pooled is not None:
        found = sp.csr_array(_product(other, one, right, left).T)
    else:
        found = sp.csr_array(one.matrix(left).T.tocsr() @ other.matrix(right))
    found.sort_indices()
    return found
