r"""A triangle for every cell, to which rows are added by rotations: the QR of rows that come in any order and number.

With q columns in front, [Z N] of a cell has Q'[Z N] = (R  V; 0  W): its rows change R and V by Givens rotations, and
what is left of them, W, belongs to no cell: rows of all cells together are the triangle of N within cells. Nothing is
subtracted, so that nothing cancels, and triangles of parts are merged by adding the rows of one to the other.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from mme.numeric.kernels import kernel
from mme.numeric.lapack import qr_triangle

# What rotations leave of an entry below this share of it is rounding: the cell has no such direction.
_ROUNDING = 1e-15


def add_rows(R: np.ndarray, cells: np.ndarray, rows: np.ndarray, steps: int | None = None) -> np.ndarray:
    """Rotate ``rows`` (n, m), which are overwritten, into the triangles ``R`` (cells, q, m); what is left (n, m - q).

    ``steps`` are those of all rows so far, where others came before: for many the loop is compiled.

    Examples
    --------
    >>> R = np.zeros((1, 1, 2))
    >>> left = add_rows(R, np.zeros(2, dtype=np.int64), np.array([[3.0, 1.0], [4.0, 2.0]]))
    >>> R, bool(np.isclose((R**2).sum() + (left**2).sum(), 30.0))
    (array([[[5. , 2.2]]]), True)
    """
    n, m = rows.shape
    q = R.shape[1]
    if n and q:
        kernel(rotate, n * q * m if steps is None else steps)(R, cells, rows)
    return rows[:, q:]


def with_rows(triangle: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The triangle (m, m) of R'R + rows'rows for the rows (n, m)."""
    m = triangle.shape[0]
    if m == 0 or not len(rows):
        return triangle
    if m == 1:
        return np.array([[np.hypot(triangle[0, 0], np.linalg.norm(rows))]])
    stacked = qr_triangle(np.concatenate([triangle, rows]))
    signs = np.where(np.diag(stacked) < 0.0, -1.0, 1.0)
    return np.asarray(stacked * signs[:, None])


def rotate(R: np.ndarray, cells: np.ndarray, rows: np.ndarray) -> None:
    """The loop of :func:`add_rows`."""
    n, m = rows.shape
    q = R.shape[1]
    size = np.empty(q)
    for i in range(n):
        g = cells[i]
        for j in range(q):
            size[j] = abs(rows[i, j])
        for j in range(q):
            b = rows[i, j]
            if abs(b) <= _ROUNDING * size[j]:
                continue
            a = R[g, j, j]
            r = sqrt(a * a + b * b)
            c, s = a / r, b / r
            R[g, j, j] = r
            rows[i, j] = 0.0
            for k in range(j + 1, m):
                t, v = R[g, j, k], rows[i, k]
                R[g, j, k] = c * t + s * v
                rows[i, k] = c * v - s * t
