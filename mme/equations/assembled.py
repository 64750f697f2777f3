"""Henderson's equations put together: coefficient matrix, right-hand side, and what their determinants take."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from mme.equations.variances import log_determinant, precision
from mme.errors import MMEError
from mme.numeric.factor import Analysis, analyse
from mme.tables.arrays import numbers


class AssembledEquations:
    """What :class:`mme.MixedModelEquations` are before they are solved."""

    def __init__(self, y: Any, X: Any, Z: Any, *, Ginv: Any, Rinv: Any = None) -> None:
        self.y = _response(y)
        n = self.y.size
        self._x_names = tuple(map(str, getattr(X, "columns", ()))) or None
        self.X, self.Z = _design(X, n, "X"), _design(Z, n, "Z")
        self.p, self.q = int(self.X.shape[1]), int(self.Z.shape[1])
        self._C = sp.hstack([self.X, self.Z], format="csr")
        self._symbolic: Analysis | None = None
        self._set_variances(Ginv, Rinv)

    def _set_variances(self, Ginv: Any, Rinv: Any) -> None:
        self.Rinv, self._logdet_Rinv = precision(1.0 if Rinv is None else Rinv, self.y.size, "Rinv", "records")
        self.Ginv, self._logdet_Ginv = precision(Ginv, self.q, "Ginv", "random effects")
        weighted = self._C.T @ self.Rinv
        zero = sp.csc_array((self.p, self.p))
        self.coefficients = sp.csc_array(weighted @ self._C + sp.block_diag([zero, self.Ginv], format="csc"))
        self.coefficients.sort_indices()
        self.rhs = np.asarray(weighted @ self.y)

    def with_variances(self, *, Ginv: Any, Rinv: Any = None) -> Self:
        """The same records at other variances; the symbolic analysis is kept while the pattern is the same."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._set_variances(Ginv, Rinv)
        same = np.array_equal(twin.coefficients.indptr, self.coefficients.indptr) and np.array_equal(
            twin.coefficients.indices, self.coefficients.indices
        )
        twin._symbolic = self._symbolic if same else None
        return twin

    @property
    def logdet_Ginv(self) -> float:
        """log|G^-1|; refused where G^-1 is singular: the effects of its null space are fixed, and belong in X."""
        if self._logdet_Ginv is None:
            self._logdet_Ginv = log_determinant(self.Ginv, "Ginv")
        return self._logdet_Ginv

    @property
    def logdet_Rinv(self) -> float:
        """log|R^-1|."""
        if self._logdet_Rinv is None:
            self._logdet_Rinv = log_determinant(self.Rinv, "Rinv")
        return self._logdet_Rinv

    @property
    def symbolic(self) -> Analysis:
        """Order and pattern of the factor; its forecast of entries and bytes is made before anything is factorised."""
        if self._symbolic is None:
            self._symbolic = analyse(sp.csc_array(sp.tril(self.coefficients)))
        return self._symbolic

    def column_name(self, j: int) -> str:
        """The name of a column of X, or its number."""
        return self._x_names[j] if self._x_names else str(j)

    @property
    def is_proper(self) -> bool:
        """Whether G^-1 is positive definite."""
        try:
            return bool(np.isfinite(self.logdet_Ginv))
        except MMEError:
            return False


def _response(y: Any) -> np.ndarray:
    values = numbers(y, "y")
    if values.ndim != 1 or values.size == 0:
        raise MMEError(f"y must be one-dimensional and not empty, got shape {values.shape}")
    if not np.isfinite(values).all():
        raise MMEError(f"y has {int((~np.isfinite(values)).sum())} missing or infinite values; drop those records")
    return values


def _design(matrix: Any, n: int, name: str) -> sp.csr_array:
    columns = sp.csr_array(matrix if sp.issparse(matrix) else np.atleast_2d(numbers(matrix, name)))
    if columns.shape[0] != n:
        raise MMEError(f"{name} must have a row for each of the {n} records, got shape {columns.shape}")
    if not np.isfinite(columns.data).all():
        raise MMEError(f"{name} has missing or infinite values; drop those records")
    return columns.astype(float)
