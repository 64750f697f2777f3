"""The pattern of a sparse factor, from that of its matrix: what fills in, and the entries of the inverse on it."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from mme.numeric.kernels import kernel
from mme.numeric.memory import require
from mme.numeric.selected import selected_inverse


class SparseAnalysis:
    """What every sparse backend knows of a pattern, given by its lower triangle in CSC form, and an order.

    ``nnz_L`` and ``flops`` are exact for that order.
    """

    def __init__(self, lower: sp.csc_array, perm: np.ndarray) -> None:
        self.n = int(lower.shape[0])
        self._pattern = (lower.indices, lower.indptr)
        counts = column_counts(lower, perm)
        self.nnz_L = int(counts.sum())
        self.flops = float((counts.astype(float) ** 2).sum())

    @property
    def bytes(self) -> int:
        """Forecast of the memory that a factor takes."""
        raise NotImplementedError

    def is_of(self, lower: sp.csc_array) -> bool:
        """Whether this is the analysis of this pattern."""
        indices, indptr = self._pattern
        return np.array_equal(indptr, lower.indptr) and np.array_equal(indices, lower.indices)

    def require_memory(self, what: str) -> None:
        """Refuse, before anything is allocated, a factor that would not fit."""
        require(
            self.bytes,
            f"{what}: the factor of {self.n:,} equations would have {self.nnz_L:,} entries and take",
            ". Fewer crossed levels, or levels nested in each other, fill in less.",
            always=True,
        )

    @property
    def _ones(self) -> sp.csc_array:
        """The pattern as a lower triangle of ones."""
        indices, indptr = self._pattern
        return sp.csc_array((np.ones(indices.size), indices, indptr), shape=(self.n, self.n))


def column_counts(lower: sp.csc_array, perm: np.ndarray) -> np.ndarray:
    """Entries in each column of the Cholesky factor of P A P', in time about linear in the entries of A."""
    by_row, parent = _elimination_tree(lower, perm)
    by_column, steps = by_row.tocsc(), 4 * (by_row.nnz - perm.size)
    order = kernel("postorder", steps)(parent)
    return kernel("count_columns", steps)(by_column.indptr, by_column.indices, parent, order)


def pattern_of_factor(lower: sp.csc_array, perm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pointers and rows of the Cholesky factor of P A P' by columns, rows ascending, zeros that may occur included."""
    counts = column_counts(lower, perm)
    by_row, parent = _elimination_tree(lower, perm)
    indptr = np.concatenate(([0], np.cumsum(counts)))
    return indptr, kernel("fill", int(indptr[-1]))(by_row.indptr, by_row.indices, parent, indptr)


class SelectedInverse:
    """Entries of A^-1, P A P' = L L', on the pattern of L: all are made, and kept."""

    def __init__(self, L: sp.csc_array, perm: np.ndarray) -> None:
        self.n, self.where, self.L = perm.size, inverse_order(perm), (L.indptr, L.indices)
        steps = int((np.diff(L.indptr).astype(float) ** 2).sum())
        head = kernel("supernodes", L.nnz)(L.indptr, L.indices, self.n)
        self.values = kernel(selected_inverse, steps)(L.indptr, L.indices, L.data, head)

    def __call__(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """The entries (row, col)."""
        i, j = self.where[row], self.where[col]
        indptr, indices = self.L
        keys = np.repeat(np.arange(self.n, dtype=np.int64), np.diff(indptr)) * self.n + indices
        return np.asarray(self.values[np.searchsorted(keys, np.minimum(i, j) * self.n + np.maximum(i, j))])


def inverse_order(perm: np.ndarray) -> np.ndarray:
    """Where each equation stands in an order (n,)."""
    where = np.empty(perm.size, dtype=np.int64)
    where[perm] = np.arange(perm.size)
    return where


def _elimination_tree(lower: sp.csc_array, perm: np.ndarray) -> tuple[sp.csr_array, np.ndarray]:
    """The lower triangle of P A P' by rows, and the parent of each of its columns (n: a root)."""
    n = perm.size
    where = inverse_order(perm).astype(perm.dtype)
    rows, cols = where[lower.indices], where[np.repeat(np.arange(n), np.diff(lower.indptr))]
    below, above = np.maximum(rows, cols), np.minimum(rows, cols)
    by_row = sp.csr_array((np.ones(below.size, dtype=np.int8), (below, above)), shape=(n, n))
    return by_row, kernel("elimination_tree", 4 * (by_row.nnz - n))(by_row.indptr, by_row.indices, n)
