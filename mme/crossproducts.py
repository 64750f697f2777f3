"""Sums over records: rows sorted by level, sums by level, sums by cell of two factors. Each is one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp


@dataclass(frozen=True, eq=False)
class Sorted:
    """Records in order of their level: ``order`` (n,); ``starts`` (J,) and ``counts`` (J,) of each level."""

    order: np.ndarray | slice
    starts: np.ndarray
    counts: np.ndarray


def sort_by_level(codes: np.ndarray, J: int) -> Sorted:
    """Counting sort of the records by level, stable; a slice (no copy) when they are sorted already."""
    counts = np.bincount(codes, minlength=J)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    if (codes[1:] >= codes[:-1]).all():
        return Sorted(slice(None), starts, counts)
    n = codes.size
    # The transpose of a sparse matrix with one entry a row is a counting sort: O(n), where argsort is O(n log n).
    one_a_row = sp.csr_array((np.empty(n, dtype=np.int8), codes, np.arange(n + 1)), shape=(n, J))
    return Sorted(one_a_row.tocsc().indices, starts, counts)


@dataclass(frozen=True, eq=False)
class Cells:
    """The combinations of two factors that occur: records -> cells, cells -> (row level, column level), row-major."""

    of_record: np.ndarray
    rows: np.ndarray
    cols: np.ndarray

    @property
    def count(self) -> int:
        """Number of combinations that occur."""
        return int(self.rows.size)

    def sums(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """(cells, a, b): sums over the records of each cell of left (n, a) times right (n, b)."""
        out = np.empty((self.count, left.shape[1], right.shape[1]))
        for a in range(left.shape[1]):
            for b in range(right.shape[1]):
                out[:, a, b] = np.bincount(self.of_record, left[:, a] * right[:, b], minlength=self.count)
        return out


def cells(rows: np.ndarray, cols: np.ndarray, n_rows: int, n_cols: int) -> Cells:
    """Number the occurring combinations of two coded factors."""
    key = rows * n_cols + cols
    if n_rows * n_cols <= 4 * key.size:
        present = np.zeros(n_rows * n_cols, dtype=bool)
        present[key] = True
        found = np.flatnonzero(present)
        of_record = (np.cumsum(present) - 1)[key]
    else:
        found, of_record = np.unique(key, return_inverse=True)
    return Cells(of_record, found // n_cols, found % n_cols)


def level_sums(codes: np.ndarray, J: int, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(J, a, b): sums over the records of each level of left (n, a) times right (n, b)."""
    out = np.empty((J, left.shape[1], right.shape[1]))
    for a in range(left.shape[1]):
        for b in range(right.shape[1]):
            out[:, a, b] = np.bincount(codes, left[:, a] * right[:, b], minlength=J)
    return out
