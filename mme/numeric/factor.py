"""Sparse Cholesky: analyse a pattern once, factor values often. The only room that knows CHOLMOD."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from sksparse.cholmod import CholmodNotPositiveDefiniteError, analyze

from mme.numeric.kernels import kernel
from mme.numeric.limits import limits
from mme.numeric.memory import require

# CHOLMOD's own rule for when dense kernels on supernodes pay: flops per entry of L.
_SUPERNODAL_FLOPS_PER_ENTRY = 40.0


class NotPositiveDefiniteError(ArithmeticError):
    """The matrix has no Cholesky factor at these values."""


class Symbolic:
    """Order and pattern of L for a symmetric pattern, given by its lower triangle in CSC form.

    ``nnz_L`` and ``flops`` are exact for the order chosen (AMD); ``bytes`` is what the factor will take.
    """

    def __init__(self, lower: sp.csc_array) -> None:
        self.n = int(lower.shape[0])
        self._pattern = (lower.indices, lower.indptr)
        trial = analyze(self._matrix(np.ones(lower.nnz)), mode="simplicial", ordering_method="amd")
        counts = column_counts(lower, trial.P())
        self.nnz_L = int(counts.sum())
        self.flops = float((counts.astype(float) ** 2).sum())
        self.supernodal = self.flops > _SUPERNODAL_FLOPS_PER_ENTRY * self.nnz_L
        self._trial = trial

    def is_of(self, lower: sp.csc_array) -> bool:
        """Whether this is the analysis of this pattern."""
        indices, indptr = self._pattern
        return np.array_equal(indptr, lower.indptr) and np.array_equal(indices, lower.indices)

    @cached_property
    def _analysed(self) -> Any:
        """CHOLMOD's analysis; of a supernodal factor made when it is first asked for, as it lists all its rows."""
        long = self._is_long
        if long:
            self._pattern = (self._pattern[0].astype(np.int64), self._pattern[1].astype(np.int64))
        elif not self.supernodal:
            return self._trial
        mode, ones = "supernodal" if self.supernodal else "simplicial", np.ones(self._pattern[0].size)
        return analyze(self._matrix(ones), mode=mode, ordering_method="amd", use_long=long or None)

    def _matrix(self, data: np.ndarray) -> sp.csc_matrix:
        """The lower triangle with these values, in the integers of the pattern: SciPy's own way narrows them."""
        matrix = sp.csc_matrix((self.n, self.n))
        matrix.data, (matrix.indices, matrix.indptr) = data, self._pattern
        return matrix

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its pattern: CHOLMOD's own analysis lives in memory that Python cannot copy."""
        indices, indptr = self._pattern
        return Symbolic, (sp.csc_array((np.ones(indices.size), indices, indptr), shape=(self.n, self.n)),)

    @cached_property
    def _is_long(self) -> bool:
        """Whether CHOLMOD counts the entries of the factor in 64 bits."""
        return self.nnz_L > limits().factor_entries_32_bits

    @property
    def bytes(self) -> int:
        """Forecast of the factor's memory: values and row indices."""
        return self.nnz_L * (8 if self.supernodal else 16 if self._is_long else 12)

    def require_memory(self, what: str) -> None:
        """Refuse, before anything is allocated, a factor that would not fit."""
        require(
            self.bytes,
            f"{what}: the factor of {self.n:,} equations would have {self.nnz_L:,} entries and take",
            ". Fewer crossed levels, or levels nested in each other, fill in less.",
            always=True,
        )

    def factor(self, data: np.ndarray) -> Factor:
        """Factorise the matrix whose lower triangle has these values on the pattern.

        Raises
        ------
        NotPositiveDefiniteError
            The values are not those of a positive definite matrix.
        """
        numeric = self._analysed.copy()
        try:
            numeric.cholesky_inplace(self._matrix(data))
        except CholmodNotPositiveDefiniteError as error:
            raise NotPositiveDefiniteError(str(error)) from None
        # CHOLMOD's simplicial factor is L D L' and stops at no negative pivot.
        if not (self.supernodal or numeric.D().min(initial=1.0) > 0.0):
            raise NotPositiveDefiniteError("a pivot is not positive")
        return Factor(numeric)


class Factor:
    """P A P' = L L'."""

    def __init__(self, cholmod: Any) -> None:
        self._cholmod = cholmod

    @property
    def logdet(self) -> float:
        """log |A|."""
        return float(self._cholmod.logdet())

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b."""
        return np.asarray(self._cholmod.solve_A(b))

    def forward(self, b: np.ndarray) -> np.ndarray:
        """L^-1 P b."""
        return np.asarray(self._cholmod.solve_L(self._cholmod.apply_P(b), use_LDLt_decomposition=False))

    def backward(self, c: np.ndarray) -> np.ndarray:
        """P' L^-T c."""
        return np.asarray(self._cholmod.apply_Pt(self._cholmod.solve_Lt(c, use_LDLt_decomposition=False)))

    @property
    def pivots(self) -> np.ndarray:
        """Squared diagonal of L, in the order of ``perm``."""
        return np.asarray(self._cholmod.D())

    @property
    def perm(self) -> np.ndarray:
        """Row i of L belongs to equation ``perm[i]``."""
        return np.asarray(self._cholmod.P())

    @property
    def L(self) -> sp.csc_array:
        """The factor itself, columns sorted."""
        L = sp.csc_array(self._cholmod.L())
        L.sort_indices()
        return L

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Entries (row, col) of A^-1, which must lie on the pattern of L, from the selected inverse on it."""
        L, perm = self.L, self.perm
        n = perm.size
        steps = int((np.diff(L.indptr).astype(float) ** 2).sum())
        head = kernel("supernodes", L.nnz)(L.indptr, L.indices, n)
        S = kernel("selected_inverse", steps)(L.indptr, L.indices, L.data, head)
        where = np.empty(n, dtype=np.int64)
        where[perm] = np.arange(n)
        i, j = where[row], where[col]
        keys = np.repeat(np.arange(n, dtype=np.int64), np.diff(L.indptr)) * n + L.indices
        return np.asarray(S[np.searchsorted(keys, np.minimum(i, j) * n + np.maximum(i, j))])


def column_counts(lower: sp.csc_array, perm: np.ndarray) -> np.ndarray:
    """Entries in each column of the Cholesky factor of P A P', in time about linear in the entries of A."""
    n = perm.size
    inverse = np.empty_like(perm)
    inverse[perm] = np.arange(n, dtype=perm.dtype)
    rows, cols = inverse[lower.indices], inverse[np.repeat(np.arange(n), np.diff(lower.indptr))]
    below, above = np.maximum(rows, cols), np.minimum(rows, cols)
    by_row = sp.csr_array((np.ones(below.size, dtype=np.int8), (below, above)), shape=(n, n))
    by_column, steps = by_row.tocsc(), 4 * (by_row.nnz - n)
    parent = kernel("elimination_tree", steps)(by_row.indptr, by_row.indices, n)
    order = kernel("postorder", steps)(parent)
    return kernel("count_columns", steps)(by_column.indptr, by_column.indices, parent, order)
