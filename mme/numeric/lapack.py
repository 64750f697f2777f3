"""Dense factors and triangular solves: the one door to LAPACK, for operands of any size, none included.

LAPACK's own routines refuse a leading dimension of zero, or write where nothing was allocated, so that a model without
fixed effects, without random effects or with nothing to solve for would end in an error or in damaged memory. Each
function here gives what the algebra says of an empty operand: an empty result, log|.| = 0.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.linalg.lapack import (
    dgecon,
    dgelsd,
    dgelsd_lwork,
    dgeqrf,
    dgetrf,
    dgetrs,
    dlange,
    dorgqr,
    dpotrf,
    dpotri,
    dpotrs,
    dpttrf,
    dsyevd,
    dtbtrs,
    dtrtri,
    dtrtrs,
)

# Of a matrix whose condition, by LAPACK's estimate, is so many times better than is asked for no singular value counts
# as zero: it is solved by its LU, a tenth of the time.
_FAR_FROM_SINGULAR = 1e4
# Numbers of a triangle of which it is remembered where they stand.
_SMALL = 64
# From this order on a matrix is factorised without Python's lock, which SciPy's wrapper keeps: others go on meanwhile.
_WITHOUT_LOCK = 256


def cholesky(S: np.ndarray, *, overwrite: bool = False, clean: bool = True) -> tuple[np.ndarray, int]:
    """L of S = L L' (m, m), of whose triangles the lower one is read, and the number of the pivot that failed.

    The other one is zero, or as it was where it need not be ``clean``.

    Examples
    --------
    >>> cholesky(np.array([[4.0, 0.0], [2.0, 5.0]]))[0].tolist(), cholesky(np.array([[1.0, 0.0], [2.0, 1.0]]))[1]
    ([[2.0, 0.0], [1.0, 2.0]], 2)
    """
    if not S.size:
        return S, 0
    if len(S) >= _WITHOUT_LOCK:
        return _cholesky_without_lock(S, overwrite, clean)
    L, failed = dpotrf(S, lower=1, clean=clean, overwrite_a=overwrite)
    return L, int(failed)


def _cholesky_without_lock(S: np.ndarray, overwrite: bool, clean: bool) -> tuple[np.ndarray, int]:
    usable = overwrite and S.dtype == np.float64 and S.flags.f_contiguous and S.flags.writeable
    L = S if usable else np.array(S, dtype=np.float64, order="F")
    m, failed = ctypes.c_int(len(L)), ctypes.c_int()
    _dpotrf()(b"L", ctypes.byref(m), L.ctypes.data, ctypes.byref(m), ctypes.byref(failed))
    if clean:
        for j in range(1, len(L)):
            L[:j, j] = 0.0
    return L, failed.value


@cache
def _dpotrf() -> Callable[..., None]:
    """LAPACK's routine as ctypes calls it, which gives the lock away."""
    from scipy.linalg import cython_lapack

    capsule = cython_lapack.__pyx_capi__["dpotrf"]
    name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    address = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    routine = ctypes.CFUNCTYPE(None, ctypes.c_char_p, *[ctypes.c_void_p] * 4)
    return routine(address(capsule, name(capsule)))


def triangular_solve(L: np.ndarray, b: np.ndarray, *, transposed: bool, lower: bool = True) -> np.ndarray:
    """L^-1 b, or L^-T b, for a dense triangle (m, m) and b of (m,) or (m, c).

    Examples
    --------
    >>> L = np.array([[2.0, 0.0], [1.0, 4.0]])
    >>> triangular_solve(L, np.array([2.0, 5.0]), transposed=False).tolist()
    [1.0, 1.0]
    >>> triangular_solve(L, np.zeros((2, 0)), transposed=True).shape
    (2, 0)
    """
    if not b.size:  # nor is there a row of L that b has not
        return b
    return np.asarray(dtrtrs(L, b, lower=lower, trans=transposed)[0])


def symmetric_eigen(S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (m,), ascending, and eigenvectors (m, m) of a symmetric S, of whose triangles the lower one is read.

    Examples
    --------
    >>> symmetric_eigen(np.array([[2.0, 0.0], [1.0, 2.0]]))[0].round(12).tolist()
    [1.0, 3.0]
    """
    if not S.size:
        return np.zeros(0), S
    values, vectors, failed = dsyevd(S, lower=1)
    if failed:
        raise np.linalg.LinAlgError("the eigenvalues of a symmetric matrix did not converge")
    return np.asarray(values), np.asarray(vectors)


def triangular_inverse(R: np.ndarray) -> np.ndarray:
    """R^-1 of an upper triangle."""
    return np.asarray(dtrtri(R)[0]) if R.size else R


def qr_triangle(A: np.ndarray) -> np.ndarray:
    """R (min(m, n), n) of A = Q R for A (m, n); the signs of its rows are as they come.

    Examples
    --------
    >>> qr_triangle(np.array([[3.0, 1.0], [4.0, -1.0]])).round(12).tolist()
    [[-5.0, 0.2], [0.0, -1.4]]
    """
    if not A.size:
        return np.zeros((min(A.shape), A.shape[1]))
    R = np.asarray(dgeqrf(A)[0])[: min(A.shape)]
    if R.size > _SMALL:
        return np.triu(R)
    R[_below(*R.shape)] = 0.0
    return R


def qr(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q (m, n) and R (n, n) of A = Q R for A (m, n), m >= n > 0.

    Examples
    --------
    >>> Q, R = qr(np.array([[3.0, 1.0], [4.0, -1.0]]))
    >>> (Q @ R).round(12).tolist(), (Q.T @ Q).round(12).tolist()
    ([[3.0, 1.0], [4.0, -1.0]], [[1.0, 0.0], [0.0, 1.0]])
    """
    held, tau, _, _ = dgeqrf(A)
    R = held[: A.shape[1]].copy()
    R[_below(*R.shape)] = 0.0
    return np.asarray(dorgqr(held, tau, overwrite_a=True)[0]), R


@cache
def _below(m: int, n: int) -> np.ndarray:
    return np.tri(m, n, -1, dtype=bool)


def least_squares(A: np.ndarray, b: np.ndarray, rcond: float) -> np.ndarray:
    """The shortest x (n,) that makes |A x - b| least, for A (m, n) with m >= n; smaller singular values count as zero.

    They are smaller than ``rcond`` times the largest.

    Examples
    --------
    >>> least_squares(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([2.0, 2.0]), 1e-10).round(12).tolist()
    [1.0, 1.0]
    """
    if not A.size:
        return np.zeros(A.shape[1])
    if len(A) == A.shape[1]:
        LU, pivots, failed = dgetrf(A)
        if not failed and dgecon(LU, dlange("1", A))[0] > _FAR_FROM_SINGULAR * rcond:  # no singular value is small
            return np.asarray(dgetrs(LU, pivots, b)[0])
    return np.asarray(dgelsd(A, b, *_room(*A.shape), rcond)[0])[: A.shape[1]]


@cache
def _room(m: int, n: int) -> tuple[int, int]:
    floats, integers, _ = dgelsd_lwork(m, n, 1)
    return int(floats), int(integers)


def cholesky_inverse(L: np.ndarray, *, overwrite: bool = False) -> np.ndarray:
    """The lower triangle of (L L')^-1; above it stands nothing that is meant.

    Examples
    --------
    >>> float(cholesky_inverse(np.array([[2.0]]))[0, 0])
    0.25
    """
    return np.asarray(dpotri(L, lower=1, overwrite_c=overwrite)[0]) if L.size else L


def cholesky_solve(L: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(L L')^-1 b for b of (m,) or (m, c)."""
    return np.asarray(dpotrs(L, b, lower=1)[0]) if b.size else b


def solve_bidiagonal(below: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Rows (m, n), overwritten, times L'^-1, where L is unit lower bidiagonal with ``below`` (n - 1,).

    Examples
    --------
    >>> solve_bidiagonal(np.array([-0.5]), np.array([[1.0, 0.0]]))
    array([[1. , 0.5]])
    >>> solve_bidiagonal(np.array([-0.5]), np.zeros((0, 2))).shape
    (0, 2)
    """
    if not rows.size:
        return rows
    band = np.array([np.ones(below.size + 1), np.append(below, 0.0)], order="F")
    return np.asarray(dtbtrs(band, rows.T, uplo="L", diag="U", overwrite_b=1)[0]).T


def factor_tridiagonal(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d (n,) and e (n - 1,) of S = L diag(d) L', L unit bidiagonal by e, for a symmetric tridiagonal S; overwritten.

    Examples
    --------
    >>> factor_tridiagonal(np.array([2.0, 1.0]), np.array([1.0]))
    (array([2. , 0.5]), array([0.5]))
    """
    if not beside.size:
        return diagonal, beside
    d, e, _ = dpttrf(diagonal, beside, overwrite_d=1, overwrite_e=1)
    return d, e
