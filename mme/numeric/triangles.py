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
# Columns in front up to which a loop needs no room for a row.
_SCALARS = 2


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
    loop = _loop_of(q)
    if loop is rotate and steps > limits().unrolled_steps:
        loop = of_sizes(rotate, Q=q, M=m)
    kernel(loop, steps)(held, cells, columns, np.empty(m + q))
    return columns[q:]


def loop_is_at_hand(records: int, q: int) -> bool:
    """Whether the loop over so many records runs as machine code, or there are so many that they repay making it."""
    repeated = records // _SHORT
    return machine_code(_loop_of(q), _ARGUMENTS, repeated) is not None or repeated > limits().compiled_records


def loop_over(records: int, q: int) -> Loop:
    """The loop of :func:`add_rows` for so many records: takes what is held, cells, columns, room for m + q numbers."""
    return machine_code(_loop_of(q), _ARGUMENTS, records // _SHORT) or kernel(_loop_of(q), records)


def _loop_of(q: int) -> Loop:
    """The loop for q columns in front."""
    return rotate_two if q <= _SCALARS else rotate


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
            square, x, share, kept, larger = rotation(held[g, j, j], w, room[j], room[m + j])
            held[g, j, j] = square
            w *= kept
            for k in range(j + 1, m):
                u, row = held[g, j, k], room[k]
                left = row - x * u
                room[k] = left
                held[g, j, k] = kept * u + share * row if larger else u + share * left
        root = sqrt(w)
        for k in range(q, m):
            columns[k, i] = root * room[k]
    return 0.0


def rotate_two(held: np.ndarray, cells: np.ndarray, columns: np.ndarray, room: np.ndarray) -> float:
    """The same for one or two columns in front, without the room: in less than half of the time.

    What differs from row to row is chosen, not branched to: of levels that come in no order no branch is foreseen.
    """
    n, m, q = columns.shape[1], columns.shape[0], held.shape[1]
    for i in range(n):
        if i + _AHEAD < n:
            fetch(held, cells[i + _AHEAD], 0, 0)
            fetch(held, cells[i + _AHEAD], q - 1, m - 1)
        g, row = cells[i], columns[0, i]
        square, x, share, w, larger = rotation(held[g, 0, 0], 1.0, row, _ROUNDING * abs(row))
        held[g, 0, 0], part = square, w if larger else 1.0
        z, share_z, part_z, larger_z = 0.0, 0.0, 1.0, False
        if q > 1:
            u, row = held[g, 0, 1], columns[1, i]
            left = row - x * u
            held[g, 0, 1] = part * u + share * (row if larger else left)
            square, z, share_z, kept, larger_z = rotation(held[g, 1, 1], w, left, _ROUNDING * abs(row))
            held[g, 1, 1], part_z = square, kept if larger_z else 1.0
            w *= kept
        root = sqrt(w)
        for k in range(q, m):
            u, row = held[g, 0, k], columns[k, i]
            left = row - x * u
            held[g, 0, k] = part * u + share * (row if larger else left)
            if q > 1:
                u, row = held[g, 1, k], left
                left = row - z * u
                held[g, 1, k] = part_z * u + share_z * (row if larger_z else left)
            columns[k, i] = root * left
    return 0.0


def rotation(d: float, w: float, x: float, rounding: float) -> tuple[float, float, float, float, bool]:
    """Of (D) for a row of weight w: d', x_j, w x_j / d', d / d', and whether it is larger than all before it.

    An x of rounding alone turns nothing.
    """
    square = d + w * x * x
    some = abs(x) > rounding and square > 0.0
    x, square = (x if some else 0.0), (square if some else d)
    inverse = 1.0 / (square if some else 1.0)
    return square, x, w * x * inverse, d * inverse if some else 1.0, 2.0 * d < square


def count(counts: np.ndarray, cells: np.ndarray) -> None:
    """The loop of :func:`add_counts`."""
    for i in range(cells.size):
        counts[cells[i]] += 1
