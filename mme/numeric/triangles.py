r"""A triangle for every cell, to which rows are added by rotations: the QR of rows that come in any order and number.

With q columns in front, [Z N] of a cell has Q'[Z N] = (R  V; 0  W): its rows change R and V by Givens rotations, and
what is left of them, W, belongs to no cell: rows of all cells together are the triangle of N within cells. Nothing is
subtracted, so that nothing cancels, and triangles of parts are merged by adding the rows of one to the other.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from mme.numeric.kernels import kernel, of_sizes
from mme.numeric.lapack import qr_triangle
from mme.numeric.limits import limits

# What rotations leave of an entry below this share of it is rounding: the cell has no such direction.
_ROUNDING = 1e-15
# Rows whose triangles are read together.
_TOGETHER = 128
# q and m of the loop over rows; 0: those of its arrays.
Q = M = 0


def add_rows(R: np.ndarray, cells: np.ndarray, columns: np.ndarray, steps: int | None = None) -> np.ndarray:
    """Rotate rows into the triangles ``R`` (cells, q, m); what is left (m - q, n).

    The rows are given by their ``columns`` (m, n), which are overwritten.

    ``steps`` are those of all rows so far, where others came before: for many the loop is compiled.

    Examples
    --------
    >>> R = np.zeros((1, 1, 2))
    >>> left = add_rows(R, np.zeros(2, dtype=np.int64), np.array([[3.0, 4.0], [1.0, 2.0]]))
    >>> R, bool(np.isclose((R**2).sum() + (left**2).sum(), 30.0))
    (array([[[5. , 2.2]]]), True)
    """
    m, n = columns.shape
    q = R.shape[1]
    if n and q:
        steps = n * q * m if steps is None else steps
        loop = of_sizes(rotate, Q=q, M=m) if steps > limits().unrolled_steps else rotate
        kernel(loop, steps)(R, cells, columns)
    return columns[q:]


def add_counts(counts: np.ndarray, cells: np.ndarray, steps: int) -> None:
    """Count the rows of each cell; ``steps`` as of :func:`add_rows`."""
    kernel(count, steps)(counts, cells)


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


def rotate(R: np.ndarray, cells: np.ndarray, columns: np.ndarray) -> float:
    """The loop of :func:`add_rows`.

    Triangles of several rows are read before the first of them is used, so that they come from memory at a time; what
    is read of them is returned, that no compiler leaves it out.
    """
    n, m, q = columns.shape[1], M or columns.shape[0], Q or R.shape[1]
    size, read = np.empty(q), 0.0
    for first in range(0, n, _TOGETHER):
        stop = min(first + _TOGETHER, n)
        for i in range(first, stop):
            read += R[cells[i], 0, 0] + R[cells[i], q - 1, m - 1]
        for i in range(first, stop):
            g = cells[i]
            for j in range(q):
                size[j] = _ROUNDING * abs(columns[j, i])
            for j in range(q):
                a, b = R[g, j, j], columns[j, i]
                if abs(b) <= size[j]:
                    continue
                r = sqrt(a * a + b * b)
                share = 1.0 / r
                c, s = a * share, b * share
                R[g, j, j] = r
                for k in range(j + 1, m):
                    t, v = R[g, j, k], columns[k, i]
                    R[g, j, k] = c * t + s * v
                    columns[k, i] = c * v - s * t
    return read


def count(counts: np.ndarray, cells: np.ndarray) -> None:
    """The loop of :func:`add_counts`."""
    for i in range(cells.size):
        counts[cells[i]] += 1
