"""CHOLMOD's sparse factor: the one room that knows scikit-sparse."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from sksparse.cholmod import CholmodError, CholmodNotPositiveDefiniteError, CholmodOutOfMemoryError, analyze

from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.limits import limits
from mme.numeric.symbolic import SelectedInverse, SparseAnalysis, column_counts

# Dense kernels on supernodes pay from so many operations per entry of L: fields of 150 x 150 places. CHOLMOD says 40,
# where they take 1.4 to 4 times as long.
_SUPERNODAL_FLOPS_PER_ENTRY = 100.0
# Minimum degree, and nested dissection for what that leaves dear: of fields it is several times better.
_AMD, _DISSECTION = "amd", "nesdis"


class CholmodAnalysis(SparseAnalysis):
    """Order and pattern of L for a symmetric pattern, given by its lower triangle in CSC form.

    The order is AMD's, or where its factor would be dear that of nested dissection, if that takes fewer operations.
    """

    def __init__(self, lower: sp.csc_array) -> None:
        self._trial, self._order = _ordered(lower, _AMD), _AMD
        super().__init__(lower, self._trial.P())
        if self.flops > limits().dear_order:
            self._try_dissection(lower)
        self.supernodal = self.flops > _SUPERNODAL_FLOPS_PER_ENTRY * self.nnz_L

    def _try_dissection(self, lower: sp.csc_array) -> None:
        """Take the order of nested dissection, if CHOLMOD has it and it is better."""
        try:
            other = _ordered(lower, _DISSECTION)
        except CholmodError:
            return
        counts = column_counts(lower, other.P())
        flops = float((counts.astype(float) ** 2).sum())
        if flops < self.flops:
            self._trial, self._order = other, _DISSECTION
            self.nnz_L, self.flops = int(counts.sum()), flops

    @cached_property
    def _analysed(self) -> Any:
        """CHOLMOD's analysis; of a supernodal factor made when it is first asked for, as it lists all its rows."""
        long = self._is_long
        if long:
            self._pattern = (self._pattern[0].astype(np.int64), self._pattern[1].astype(np.int64))
        elif not self.supernodal:
            return self._trial
        mode, ones = "supernodal" if self.supernodal else "simplicial", np.ones(self._pattern[0].size)
        matrix = _matrix(ones, *self._pattern)
        return analyze(matrix, mode=mode, use_long=long or None, ordering_method=self._order)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its pattern: CHOLMOD's own analysis lives in memory that Python cannot copy."""
        return CholmodAnalysis, (self._ones,)

    @cached_property
    def _is_long(self) -> bool:
        """Whether CHOLMOD counts the entries of the factor in 64 bits."""
        return self.nnz_L > limits().factor_entries_32_bits

    @property
    def bytes(self) -> int:
        """Forecast of the factor's memory: values and row indices."""
        return self.nnz_L * (8 if self.supernodal else 16 if self._is_long else 12)

    @property
    def description(self) -> str:
        """Kind of factor and order."""
        order = "AMD order" if self._order == _AMD else "nested dissection"
        return f"CHOLMOD, {'supernodal' if self.supernodal else 'simplicial'}, {order}"

    def factor(self, data: np.ndarray) -> CholmodFactor:
        """Factorise the matrix whose lower triangle has these values on the pattern.

        Raises
        ------
        NotPositiveDefiniteError
            The values are not those of a positive definite matrix.
        """
        numeric = self._analysed.copy()
        try:
            numeric.cholesky_inplace(_matrix(data, *self._pattern))
        except CholmodNotPositiveDefiniteError as error:
            raise NotPositiveDefiniteError(str(error)) from None
        except CholmodOutOfMemoryError as error:
            raise MemoryError(str(error)) from None
        # CHOLMOD's simplicial factor is L D L' and stops at no negative pivot.
        if not (self.supernodal or numeric.D().min(initial=1.0) > 0.0):
            raise NotPositiveDefiniteError("a pivot is not positive")
        return CholmodFactor(numeric)


class CholmodFactor:
    """P A P' = L L' as CHOLMOD holds it."""

    is_dense = False

    def __init__(self, cholmod: Any) -> None:
        self._cholmod = cholmod

    @property
    def logdet(self) -> float:
        """log |A|."""
        return float(self._cholmod.logdet())

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

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b."""
        return np.asarray(self._cholmod.solve_A(b))

    def forward(self, b: np.ndarray) -> np.ndarray:
        """L^-1 P b."""
        return np.asarray(self._cholmod.solve_L(self._cholmod.apply_P(b), use_LDLt_decomposition=False))

    def backward(self, c: np.ndarray) -> np.ndarray:
        """P' L^-T c."""
        return np.asarray(self._cholmod.apply_Pt(self._cholmod.solve_Lt(c, use_LDLt_decomposition=False)))

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Entries (row, col) of A^-1, which must lie on the pattern of L."""
        return self._inverse(row, col)

    @cached_property
    def _inverse(self) -> SelectedInverse:
        """A^-1 on the pattern of L: it takes longer than the factor, and is asked several times for its entries."""
        return SelectedInverse(self.L, self.perm)

    def inverse(self) -> np.ndarray:
        """A^-1 (n, n), whole."""
        return self.solve(np.eye(self.perm.size))


def _ordered(lower: sp.csc_array, order: str) -> Any:
    """CHOLMOD's analysis by one of its orders."""
    ones = _matrix(np.ones(lower.nnz), lower.indices, lower.indptr)
    return analyze(ones, mode="simplicial", ordering_method=order)


def _matrix(data: np.ndarray, indices: np.ndarray, indptr: np.ndarray) -> sp.csc_matrix:
    """The lower triangle with these values, in the integers of the pattern: SciPy's own way narrows them."""
    n = indptr.size - 1
    matrix = sp.csc_matrix((n, n))
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix
