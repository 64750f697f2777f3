r"""A triangle for every cell, to which rows are added by rotations: the QR of rows that come in any order and number.

With q columns in front, [Z N] of a cell has Q'[Z N] = (R  V; 0  W): its rows change R and V by Givens rotations, and
what is left of them, W, belongs to no cell: rows of all cells together are the triangle of N within cells. Nothing is
subtracted, so that nothing cancels, and triangles of parts are merged by adding the rows of one to the other.

A triangle is held as its squares D and U = D^-1/2 (R V), whose diagonal of ones has no place: D stands there. Rotations
of a row x of weight w then need no root (Gentleman 1973, J. Inst. Maths Applics 12:329-336): column by column

    d' = d + w x_j^2,   x_k -= x_j u_jk,   u_jk += (w x_j / d') x_k,   w' = w d / d'.                             (D)

Where a row is larger than all before it u_jk may be as many times smaller than it was, and the sum would cancel: there
u_jk = (d / d') u_jk + (w x_j / d') x_k of the row as it came.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from mme.numeric.kernels import fetch, kernel, of_sizes
from mme.numeric.lapack import qr_triangle
from mme.numeric.limits import limits
from mme.numeric.machine_code import Loop, machine_code

# What rotations leave of an entry below this share of it is rounding: the cell has no such direction.
_ROUNDING = 1e-15
# A triangle is asked for while the rows of so many others are rotated.
_AHEAD = 32
# q and m of the loop over rows; 0: those of its arrays.
Q = M = 0
# Its arguments, as mme.numeric.machine_code calls them.
_ARGUMENTS = "F3 I1 F2 F1"
# A fit of records in memory passes over them once, and so makes machine code of the loop only for so many times more.
_SHORT = 8
# Numbers of a triangle up to which the loop is made for its shape, in a second: it takes two thirds of the time.
_FEW = 8


def add_rows(held: np.ndarray, cells: np.ndarray, columns: np.ndarray, steps: int | None = None) -> np.ndarray:
    """Rotate rows into the triangles that ``held`` (cells, q, m) holds; what is left (m - q, n).

    The rows are given by their ``columns`` (m, n), which are overwritten.

    ``steps`` are those of all rows so far, where others came before: for many the loop is compiled.

    Examples
    --------
    >>> held = np.zeros((1, 1, 2))
    >>> left = add_rows(held, np.zeros(2, dtype=np.int64), np.array([[3.0, 4.0], [1.0, 2.0]]))
    >>> R = triangles(held)
    >>> R, bool(np.isclose((R**2).sum() + (left**2).sum(), 30.0))
    (array([[[5. , 2.2]]]), True)
    """
    m, n = columns.shape
    q = held.shape[1]
    if not n or not q:
        return columns[q:]
    steps = n * q * m if steps is None else steps
    loop = of_sizes(rotate, Q=q, M=m) if steps > limits().unrolled_steps else rotate
    kernel(loop, steps)(held, cells, columns, np.empty(m + q))
    return columns[q:]


def loop_is_at_hand(records: int) -> bool:
    """Whether the loop over so many records runs as machine code, or there are so many that they repay making it."""
    return (
        machine_code(rotate, _ARGUMENTS, records // _SHORT) is not None or records // _SHORT > limits().compiled_records
    )


def loop_over(records: int, q: int, m: int) -> Loop:
    """The loop of :func:`add_rows` for so many records: takes what is held, cells, columns, room for m + q numbers."""
    repeated = records // _SHORT
    of_few = machine_code(of_sizes(rotate, Q=q, M=m), _ARGUMENTS, repeated) if q * m <= _FEW else None
    return of_few or machine_code(rotate, _ARGUMENTS, repeated) or kernel(rotate, records)


def scaled_in_place(held: np.ndarray) -> np.ndarray:
    """As :func:`triangles`, overwriting what is held."""
    q = held.shape[1]
    root = np.sqrt(np.einsum("gjj->gj", held[:, :, :q]))
    held *= root[:, :, None]
    np.einsum("gjj->gj", held[:, :, :q])[:] = root
    return held


def add_counts(counts: np.ndarray, cells: np.ndarray, steps: int) -> None:
    """Count the rows of each cell; ``steps`` as of :func:`add_rows`."""
    kernel(count, steps)(counts, cells)


def triangles(held: np.ndarray) -> np.ndarray:
    """(R V) (cells, q, m) from what :func:`add_rows` holds of it."""
    q = held.shape[1]
    root = np.sqrt(np.einsum("gjj->gj", held[:, :, :q]))
    R = held * root[:, :, None]
    np.einsum("gjj->gj", R[:, :, :q])[:] = root
    return R


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


def rotate(held: np.ndarray, cells: np.ndarray, columns: np.ndarray, room: np.ndarray) -> float:
    """The loop of :func:`add_rows`, by (D); returns zero.

    Triangles come from memory while others are rotated. In ``room`` (m + q,) are a row and what is rounding beside it:
    of its own numbers a compiler knows that no other array has them.
    """
    n, m, q = columns.shape[1], M or columns.shape[0], Q or held.shape[1]
    for i in range(n):
        if i + _AHEAD < n:
            fetch(held, cells[i + _AHEAD], 0, 0)
            fetch(held, cells[i + _AHEAD], q - 1, m - 1)
        g, w = cells[i], 1.0
        for k in range(m):
            room[k] = columns[k, i]
        for j in range(q):
            room[m + j] = _ROUNDING * abs(room[j])
        for j in range(q):
            d, x = held[g, j, j], room[j]
            square = d + w * x * x
            if abs(x) <= room[m + j] or square == 0.0:
                continue
            inverse = 1.0 / square
            share, kept = w * x * inverse, d * inverse
            w *= kept
            held[g, j, j] = square
            larger = 2.0 * d < square
            for k in range(j + 1, m):
                u, row = held[g, j, k], room[k]
                left = row - x * u
                room[k] = left
                held[g, j, k] = kept * u + share * row if larger else u + share * left
        root = sqrt(w)
        for k in range(q, m):
            columns[k, i] = root * room[k]
    return 0.0


def count(counts: np.ndarray, cells: np.ndarray) -> None:
    """The loop of :func:`add_counts`."""
    for i in range(cells.size):
        counts[cells[i]] += 1
