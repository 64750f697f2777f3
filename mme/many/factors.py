"""Triangles of one small matrix, in loops for the compiler: a call of a library would take longer than the work."""

from __future__ import annotations

import numpy as np

from mme.many.layout import copy_vector
from mme.numeric.kernels import in_any_order

# Triangles up to this size are factorised entry by entry.
_FEW = 8


def transpose(M: np.ndarray) -> None:
    """Transpose a square matrix in its place."""
    for a in range(M.shape[0]):
        for b in range(a):
            M[a, b], M[b, a] = M[b, a], M[a, b]


def forward(L: np.ndarray, N: np.ndarray) -> None:
    """Solve L Y = N for a lower triangle L; Y takes the place of N."""
    for a in range(L.shape[0]):
        for i in range(N.shape[1]):
            s = N[a, i]
            for b in range(a):
                s -= L[a, b] * N[b, i]
            N[a, i] = s / L[a, a]


def factorise(A: np.ndarray) -> bool:
    """Put Cholesky's factor in the place of the lower triangle of A (m, m); return whether every pivot was positive."""
    m = A.shape[0]
    if m > _FEW:
        return factorise_by_rows(A)
    for i in range(m):
        for j in range(i + 1):
            s = A[i, j]
            for a in range(j):
                s -= A[i, a] * A[j, a]
            if j < i:
                A[i, j] = s / A[j, j]
            elif s > 0.0:
                A[i, i] = np.sqrt(s)
            else:
                return False
    return True


@in_any_order
def factorise_by_rows(A: np.ndarray) -> bool:
    """Factorise a larger matrix as :func:`factorise` does, row by row: its products are of neighbouring numbers."""
    m = A.shape[0]
    for j in range(m):
        own = A[j]
        s = own[j]
        for a in range(j):
            s -= own[a] * own[a]
        if not s > 0.0:
            return False
        pivot = np.sqrt(s)
        own[j] = pivot
        for i in range(j + 1, m):
            row = A[i]
            s = row[j]
            for a in range(j):
                s -= row[a] * own[a]
            row[j] = s / pivot
    return True


def invert_factor(L: np.ndarray) -> None:
    """Invert a lower triangle L (m, m) in its place."""
    m = L.shape[0]
    if m > _FEW:
        return invert_by_rows(L, np.empty(m))
    for i in range(m):
        L[i, i] = 1.0 / L[i, i]
        for j in range(i):
            s = 0.0
            for a in range(j, i):
                s -= L[i, a] * L[a, j]
            L[i, j] = s * L[i, i]


@in_any_order
def invert_by_rows(L: np.ndarray, own: np.ndarray) -> None:
    """Invert a larger lower triangle row by row: row i of L^-1 is -(sum_a L[i, a] L^-1[a]) / L[i, i]."""
    for i in range(L.shape[0]):
        pivot = 1.0 / L[i, i]
        own[:i] = 0.0
        for a in range(i):
            value, row = L[i, a] * pivot, L[a]
            for b in range(a + 1):
                own[b] -= value * row[b]
        copy_vector(own[:i], L[i])
        L[i, i] = pivot


def square_inverse_factor(L: np.ndarray, out: np.ndarray) -> None:
    """Put (L L')^-1 = L^-T L^-1 into ``out``, from the lower triangle L^-1, which stands in ``L``."""
    m = L.shape[0]
    if m > _FEW:
        for a in range(m):
            L[a, a + 1 :] = 0.0
        np.dot(L.T, L, out)
        return
    for i in range(m):
        for j in range(i, m):
            s = 0.0
            for a in range(j, m):
                s += L[a, i] * L[a, j]
            out[i, j] = s
            out[j, i] = s
