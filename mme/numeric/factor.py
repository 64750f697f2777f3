"""The door to sparse factors: whoever needs one asks here, and is served by CHOLMOD or by SciPy's SuperLU.

CHOLMOD, which scikit-sparse brings, is taken where it is installed. ``MME_FACTOR=superlu`` (or ``cholmod``) in the
environment chooses.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import scipy.sparse as sp

from mme.errors import MMEError, warn
from mme.numeric.cholesky import Analysis, NotPositiveDefiniteError, SymmetricFactor

__all__ = ["Analysis", "NotPositiveDefiniteError", "SymmetricFactor", "analyse", "factorise"]

# The environment variable that chooses who factorises.
_CHOICE = "MME_FACTOR"
_HOW = (
    "for CHOLMOD conda install -c conda-forge scikit-sparse, or apt-get install libsuitesparse-dev (brew install "
    "suite-sparse) and pip install 'mme[cholmod]'"
)


def analyse(lower: sp.csc_array) -> Analysis:
    """Order and pattern of the factor of a symmetric pattern, given by its lower triangle in CSC form, rows ascending.

    Examples
    --------
    >>> lower = sp.csc_array([[4.0, 0.0], [2.0, 5.0]])
    >>> analysis = analyse(lower)
    >>> analysis.nnz_L, round(analysis.factor(lower.data).logdet, 4)
    (3, 2.7726)
    """
    return _backend()(lower)


def factorise(matrix: sp.sparray, what: str | None = None) -> SymmetricFactor:
    """The factor of a symmetric positive definite matrix, of which the lower triangle is read.

    ``what`` names the matrix in the error for a factor that would not fit; None: it is made without a forecast.

    Raises
    ------
    NotPositiveDefiniteError
        The matrix is not positive definite.
    MemoryForecastError
        Its factor would not fit.
    """
    lower = sp.csc_array(sp.tril(matrix))
    lower.sort_indices()
    analysis = analyse(lower)
    if what is not None:
        analysis.require_memory(what)
    return analysis.factor(lower.data)


def _backend() -> Callable[[sp.csc_array], Analysis]:
    """Who factorises: as the environment says, else CHOLMOD where it is."""
    wanted = os.environ.get(_CHOICE, "").strip().lower()
    if wanted not in {"", "cholmod", "superlu"}:
        raise MMEError(f"{_CHOICE} must be 'cholmod' or 'superlu', got {wanted!r}")
    if wanted == "superlu":
        return _superlu()
    cholmod = _cholmod()
    if cholmod is None and wanted:
        raise MMEError(f"{_CHOICE}=cholmod needs scikit-sparse, which is not installed: {_HOW}")
    return _instead_of_cholmod() if cholmod is None else cholmod


@cache
def _cholmod() -> Callable[[sp.csc_array], Analysis] | None:
    """CHOLMOD, or None where scikit-sparse is not installed."""
    try:
        from mme.numeric.cholmod import CholmodAnalysis
    except ImportError:
        return None
    return CholmodAnalysis


@cache
def _instead_of_cholmod() -> Callable[[sp.csc_array], Analysis]:
    """SuperLU where nobody asked for it: said once a process."""
    warn(
        "scikit-sparse is not installed: sparse factors are made by SciPy's SuperLU, which gives the same numbers "
        f"more slowly; {_HOW} ({_CHOICE}=superlu is silent)"
    )
    return _superlu()


@cache
def _superlu() -> Callable[[sp.csc_array], Analysis]:
    from mme.numeric.superlu import SuperLUAnalysis

    return SuperLUAnalysis
