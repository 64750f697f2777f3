"""Loops that no library has and NumPy cannot vectorise: plain Python for a few rows, compiled for many."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

# Up to here the uncompiled loop is quicker than loading the compiler.
_COMPILE_ABOVE = 300_000


def kernel(loop: str | Callable[..., Any], steps: int) -> Callable[..., Any]:
    """The loop (its name, if it stands here), compiled when it will run more than a few thousand steps."""
    plain: Callable[..., Any] = globals()[loop] if isinstance(loop, str) else loop
    return plain if steps <= _COMPILE_ABOVE else _compiled(plain)


@cache
def _compiled(plain: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    compiled: Callable[..., Any] = numba.njit(cache=True)(plain)
    return compiled


def count_columns(indptr: np.ndarray, indices: np.ndarray, n: int) -> np.ndarray:
    """Entries in each column of L, from the strict lower rows of A: each row of L is a subtree of the tree."""
    parent = np.full(n, -1)
    visited = np.full(n, -1)
    counts = np.ones(n, dtype=np.int64)
    for i in range(n):
        visited[i] = i
        for at in range(indptr[i], indptr[i + 1]):
            j = indices[at]
            while visited[j] != i:
                if parent[j] == -1:
                    parent[j] = i
                counts[j] += 1
                visited[j] = i
                j = parent[j]
    return counts


def selected_inverse(indptr: np.ndarray, indices: np.ndarray, L: np.ndarray, n: int) -> np.ndarray:
    """Entries of (L L')^-1 on the pattern of L, columns sorted, diagonal first (Takahashi, Fagan and Chen 1973).

    Column j from the right, with D the rows below the diagonal of column j:
    S[D, j] = -S[D, D] L[D, j] / L[j, j] and S[j, j] = 1 / L[j, j]^2 - L[D, j]' S[D, j] / L[j, j].
    The pattern of a Cholesky factor is closed: S[D, D] lies on it.
    """
    S = np.zeros(L.size)
    sums = np.zeros(n)
    where = np.full(n, -1)
    for j in range(n - 1, -1, -1):
        first, last = indptr[j], indptr[j + 1]
        pivot = L[first]
        for at in range(first + 1, last):
            where[indices[at]] = at
            sums[indices[at]] = 0.0
        for at in range(first + 1, last):
            k = indices[at]
            x = L[at]
            sums[k] += S[indptr[k]] * x
            for below in range(indptr[k] + 1, indptr[k + 1]):
                i = indices[below]
                if where[i] >= 0:
                    sums[i] += S[below] * x
                    sums[k] += S[below] * L[where[i]]
        corner = 0.0
        for at in range(first + 1, last):
            i = indices[at]
            S[at] = -sums[i] / pivot
            corner += L[at] * S[at]
            where[i] = -1
        S[first] = 1.0 / (pivot * pivot) - corner / pivot
    return S
