"""Entries of the inverse of a sparse matrix on the pattern of its Cholesky factor, and no others."""

from __future__ import annotations

import numpy as np


def selected_inverse(indptr: np.ndarray, indices: np.ndarray, L: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Entries of (L L')^-1 on the pattern of L, columns sorted, diagonal first (Takahashi, Fagan and Chen 1973).

    Run by run from the right, with J the columns of a run (``head``) and D the rows below them:
    Y = L[D, J] L[J, J]^-1, S[D, J] = -S[D, D] Y and S[J, J] = L[J, J]^-T L[J, J]^-1 - Y' S[D, J].
    The pattern of a Cholesky factor is closed: S[D, D] lies on it, and is gathered by panels of 96 columns for BLAS.
    """
    S = np.zeros(L.size)
    place = np.empty(head.size, dtype=np.int64)
    stop = head.size
    while stop > 0:
        first = head[stop - 1]
        w = stop - first
        begin, d = indptr[first] + w, indptr[first + 1] - indptr[first] - w
        R, B = _run(indptr, L, first, w, d)
        Y = np.dot(B, R)
        S_DJ = np.zeros((d, w))
        a = 0
        while a < d:
            b = min(a + 96, d)
            panel = _panel(indptr, indices, S, head, place, begin, a, b, d)
            along, across = np.dot(panel, Y[a:]), np.dot(panel.T, Y[a:b])
            for i in range(w):
                for r in range(a, b):
                    S_DJ[r, i] -= along[r - a, i]
                for r in range(b, d):
                    S_DJ[r, i] -= across[r - a, i]
            a = b
        inner, corner = np.dot(R.T, R), np.dot(Y.T, S_DJ)
        for i in range(w):
            at = indptr[first + i]
            for r in range(i, w):
                S[at + r - i] = inner[r, i] - corner[r, i]
            for r in range(d):
                S[at + w - i + r] = S_DJ[r, i]
        stop = first
    return S


def _run(indptr: np.ndarray, L: np.ndarray, first: int, w: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """L[J, J]^-1 (w, w) and L[D, J] (d, w) of the run of w columns from ``first``, with d rows below it."""
    R, B = np.zeros((w, w)), np.empty((d, w))
    for i in range(w):
        R[i, i] = 1.0
        for k in range(i):  # row by row
            x = L[indptr[first + k] + i - k]
            for j in range(k + 1):
                R[i, j] -= x * R[k, j]
        for j in range(i + 1):
            R[i, j] /= L[indptr[first + i]]
        for r in range(d):
            B[r, i] = L[indptr[first + i] + w - i + r]
    return R, B


def _panel(
    indptr: np.ndarray,
    indices: np.ndarray,
    S: np.ndarray,
    head: np.ndarray,
    place: np.ndarray,
    begin: int,
    a: int,
    b: int,
    d: int,
) -> np.ndarray:
    """Rows a to b of S[D, D], from column a on (b - a, d - a); D are the d rows from ``begin``, ``place`` scratch."""
    panel = np.empty((b - a, d - a))
    c = a
    while c < b:
        run = head[indices[begin + c]]
        at = indptr[run]
        for r in range(c, d):
            while indices[at] != indices[begin + r]:
                at += 1
            place[r] = at - indptr[run]
        while c < b and head[indices[begin + c]] == run:
            base = indptr[indices[begin + c]] - (indices[begin + c] - run)
            for r in range(c, d):
                panel[c - a, r - a] = S[base + place[r]]
            for r in range(c, b):
                panel[r - a, c - a] = panel[c - a, r - a]
            c += 1
    return panel
