"""The inverse of a covariance as a user gives it: number, vector or matrix, dense or sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.numeric.factor import NotPositiveDefiniteError, factorise
from mme.numeric.limits import limits
from mme.tables.arrays import numbers

# A pivot this small against its diagonal entry is rounding of the last digit.
_SINGULAR = 1e-14
# What makes a semi-definite matrix, its diagonal scaled to one, definite to the last digits.
SHIFT = 1e-10


def precision(given: Any, size: int, name: str, what: str) -> tuple[sp.csc_array, float | None]:
    """A symmetric positive definite (size, size) matrix as CSC, and its log-determinant; None: not computed yet."""
    if not sp.issparse(given):
        given = numbers(given, name)
        if given.ndim == 0:
            given = np.full(size, float(given))
        if given.ndim == 1:
            return _diagonal_precision(given, size, name, what)
    matrix = sp.csc_array(given, dtype=float)
    if matrix.shape != (size, size):
        raise MMEError(f"{name} must be ({size}, {size}) for the {size} {what}, got {matrix.shape}")
    if not np.isfinite(matrix.data).all():
        raise MMEError(f"{name} has missing or infinite values")
    largest = float(np.abs(matrix.data).max(initial=0.0))
    if abs(matrix - matrix.T).max() > 1e-8 * largest:
        raise MMEError(f"{name} is not symmetric")
    if (matrix.diagonal() <= 0.0).any():
        raise _singular(name)
    if matrix.nnz > limits().precision_entries_checked:
        return matrix, None
    try:
        return matrix, log_determinant(matrix, name)
    except MMEError:
        if not sp.issparse(given) or name != "Ginv" or not _is_semidefinite(matrix):
            raise
        return matrix, None


def _is_semidefinite(matrix: sp.csc_array) -> bool:
    """Whether a matrix with a positive diagonal has no negative eigenvalue, but for rounding."""
    scale = sp.diags_array(1.0 / np.sqrt(matrix.diagonal()))
    try:
        factorise(scale @ matrix @ scale + SHIFT * sp.eye_array(matrix.shape[0]), "Henderson's equations")
    except NotPositiveDefiniteError:
        return False
    return True


def log_determinant(matrix: sp.csc_array, name: str) -> float:
    """The log-determinant, by a factor that is refused where it would not fit or a pivot is lost."""
    try:
        factor = factorise(matrix, name)
    except NotPositiveDefiniteError:
        raise _singular(name) from None
    if (factor.pivots < _SINGULAR * matrix.diagonal()[factor.perm]).any():
        raise _singular(name)
    return factor.logdet


def _diagonal_precision(values: np.ndarray, size: int, name: str, what: str) -> tuple[sp.csc_array, float]:
    if values.size != size:
        raise MMEError(f"{name} has {values.size} values for {size} {what}")
    if not np.isfinite(values).all() or (values <= 0).any():
        raise _singular(name)
    return sp.csc_array(sp.diags_array(values)), float(np.log(values).sum())


def _singular(name: str) -> MMEError:
    return MMEError(
        f"{name} is singular or not positive definite: it must be the inverse of a covariance matrix. A variance of "
        "zero has no inverse; leave those effects out, or use mme.fit, which never inverts a covariance. Where effects "
        "are fixed on purpose (groups of unknown parents) give it sparse; the criterion is then that of mme.fit"
    )
