"""SciPy's SuperLU as a sparse Cholesky factor: slower than CHOLMOD, and wherever SciPy is.

Of a symmetric positive definite matrix, elimination down the diagonal is stable in every order: P A P' = L U has
U = D L' with positive D, and L D^1/2 is the Cholesky factor. A pivot that is not positive, or is not the diagonal's,
says that the matrix was not positive definite.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import spilu, splu, spsolve_triangular

from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.symbolic import SelectedInverse, SparseAnalysis, inverse_order, pattern_of_factor

# Every entry of L stands in SuperLU's L and in its U, and in SciPy's copies of both: a value and an index each.
_BYTES_PER_ENTRY = 48
# Pivots are taken from the diagonal, in the order of A + A'.
_SYMMETRIC: dict[str, Any] = {"diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}


class SuperLUAnalysis(SparseAnalysis):
    """Order (minimum degree) and pattern of L for a symmetric pattern, given by its lower triangle in CSC form."""

    description = "SuperLU, minimum degree order"

    def __init__(self, lower: sp.csc_array) -> None:
        self.perm = _minimum_degree(lower)
        super().__init__(lower, self.perm)
        self._source, self._square = _both_triangles(lower, self.perm)

    @property
    def bytes(self) -> int:
        """Forecast of the memory that a factor takes."""
        return _BYTES_PER_ENTRY * self.nnz_L

    @cached_property
    def pattern(self) -> tuple[np.ndarray, np.ndarray]:
        """Pointers and rows of L by columns."""
        return pattern_of_factor(self._ones, self.perm)

    def factor(self, data: np.ndarray) -> SuperLUFactor:
        """Factorise the matrix whose lower triangle has these values on the pattern.

        Raises
        ------
        NotPositiveDefiniteError
            The values are not those of a positive definite matrix.
        """
        if not np.isfinite(data).all():
            raise NotPositiveDefiniteError("an entry is not finite")
        indices, indptr = self._square
        matrix = sp.csc_array((data[self._source], indices, indptr), shape=(self.n, self.n))
        try:
            lu = splu(matrix, permc_spec="NATURAL", **_SYMMETRIC)
        except RuntimeError as error:  # exactly singular
            raise NotPositiveDefiniteError(str(error)) from None
        pivots = lu.U.diagonal()
        if not (pivots.min(initial=1.0) > 0.0 and np.array_equal(lu.perm_r, np.arange(self.n))):
            raise NotPositiveDefiniteError("a pivot is not positive")
        return SuperLUFactor(self, lu, pivots)


class SuperLUFactor:
    """P A P' = L D L', L with a unit diagonal; the Cholesky factor is L D^1/2."""

    is_dense = False

    def __init__(self, analysis: SuperLUAnalysis, lu: Any, pivots: np.ndarray) -> None:
        self._analysis, self._lu = analysis, lu
        self._root = np.sqrt(pivots)
        self.pivots, self.perm = pivots, analysis.perm

    @property
    def logdet(self) -> float:
        """log |A|."""
        return float(np.log(self.pivots).sum())

    @property
    def L(self) -> sp.csc_array:
        """The Cholesky factor, columns sorted, with the zeros of its pattern, which SuperLU leaves out."""
        indptr, rows = self._analysis.pattern
        held, n = self._unit.tocoo(), self.perm.size
        known = held.data != 0.0
        row, col = (at[known].astype(np.int64) for at in held.coords)
        keys = np.repeat(np.arange(n, dtype=np.int64), np.diff(indptr)) * n + rows
        values = np.zeros(rows.size)
        values[np.searchsorted(keys, col * n + row)] = held.data[known] * self._root[col]
        return sp.csc_array((values, rows, indptr), shape=(n, n))

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b."""
        return self._back(self._lu.solve(np.asarray(b, dtype=float)[self.perm])) if b.size else b

    def forward(self, b: np.ndarray) -> np.ndarray:
        """L^-1 P b."""
        if not b.size:
            return b
        inner = spsolve_triangular(self._rows, b[self.perm], lower=True, unit_diagonal=True)
        return np.asarray((inner.T / self._root).T)

    def backward(self, c: np.ndarray) -> np.ndarray:
        """P' L^-T c."""
        if not c.size:
            return c
        scaled = (c.T / self._root).T
        return self._back(spsolve_triangular(self._unit.T, scaled, lower=False, unit_diagonal=True))

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Entries (row, col) of A^-1, which must lie on the pattern of L."""
        return self._inverse(row, col)

    @cached_property
    def _inverse(self) -> SelectedInverse:
        """A^-1 on the pattern of L."""
        return SelectedInverse(self.L, self.perm)

    def inverse(self) -> np.ndarray:
        """A^-1 (n, n), whole."""
        return self.solve(np.eye(self.perm.size))

    @cached_property
    def _unit(self) -> sp.csc_array:
        """L with a unit diagonal."""
        return sp.csc_array(self._lu.L)

    @cached_property
    def _rows(self) -> sp.csr_array:
        """The same by rows, as older versions of SciPy solve triangles."""
        return sp.csr_array(self._unit)

    def _back(self, x: np.ndarray) -> np.ndarray:
        """P'x: in the order of the equations."""
        out = np.empty_like(x)
        out[self.perm] = x
        return out


def _minimum_degree(lower: sp.csc_array) -> np.ndarray:
    """An order (n,) that keeps L sparse.

    SuperLU tells its order with a factor only. An incomplete one of the pattern that drops all but the diagonal takes
    no more memory than the pattern, whatever the true factor would fill.
    """
    strict = sp.tril(sp.csc_array((np.ones(lower.nnz), lower.indices, lower.indptr), shape=lower.shape), -1)
    faint = strict * 1e-30
    matrix = sp.csc_array(faint + faint.T + sp.eye_array(lower.shape[0]))
    of_order = spilu(matrix, drop_tol=0.5, fill_factor=1.0, permc_spec="MMD_AT_PLUS_A", **_SYMMETRIC)
    return inverse_order(of_order.perm_c)


def _both_triangles(lower: sp.csc_array, perm: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """P A P' in CSC form: which entry of the lower triangle each of its values is, and its rows and pointers."""
    n, where = perm.size, inverse_order(perm)
    i, j = where[lower.indices], where[np.repeat(np.arange(n), np.diff(lower.indptr))]
    beside = np.flatnonzero(i != j)
    rows, cols = np.append(i, j[beside]), np.append(j, i[beside])
    order = np.lexsort((rows, cols))
    indptr = np.concatenate(([0], np.cumsum(np.bincount(cols, minlength=n)))).astype(np.int32)
    return np.append(np.arange(lower.nnz), beside)[order], (rows[order].astype(np.int32), indptr)
