"""The absorption of a term of many records in passes over panels of them: what is made of records is never whole.

As :func:`mme.engine.absorption.absorb`, operation by operation, so that its numbers are the same: Gram-Schmidt takes
the columns of Z out of all others one by one, and the sums by level by which it takes out the next one need what it has
left of the columns. That is made anew for every column, and once more for N'(I - QQ')N: q (q + 1) / 2 differences a
record where q are enough if all are kept, in the cache.
"""

from __future__ import annotations

import numpy as np

from mme.engine.absorption import Absorbed, Levels
from mme.engine.blocks import Block
from mme.engine.level_qr import DEPENDENT
from mme.engine.long_rows import LongRows
from mme.numeric.sums import Column


def absorb_long(block: Block, rows: LongRows) -> Absorbed:
    """QR of every level's rows of the block beside N, which ``rows`` make."""
    q, J, m = block.q, block.J, rows.m
    R, V, along = np.zeros((q, q, J)), np.empty((m, q, J)), list[np.ndarray]()
    for j in range(q):
        sums, length = _pass(block, rows, along)
        squares = sums[0]
        independent = squares > DEPENDENT**2 * (squares if length is None else length)
        R[j, j] = np.sqrt(np.where(independent, squares, 0.0))
        inverse = np.divide(1.0, squares, out=np.zeros(J), where=independent)
        taken = sums[1:] * inverse
        R[j, j + 1 :], V[:, j] = taken[: q - j - 1] * R[j, j], taken[q - j - 1 :] * R[j, j]
        along.append(taken)
    return Absorbed(Levels(R, V), _within(block, rows, along))


def _pass(block: Block, rows: LongRows, along: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """z_j'z_j, z_j'z_k for k > j and z_j'N (1 + q - j - 1 + m, J) by level, of what columns before z_j left of all.

    And the squares (J,) of the column as it is, where that is another one.
    """
    j, J = len(along), block.J
    sums, length = np.zeros((block.q - j + rows.m, J)), np.zeros(J) if j else None
    for cut, N in rows.panels():
        codes = block.codes[cut].astype(np.intp)  # the quickest places to add to
        left = _left(block, along, cut, codes, N)
        for total, column in zip(sums, left, strict=True):
            _add(total, codes, left[0], column)
        if length is not None:
            _add(length, codes, *[_cut(block.columns[j], cut)] * 2)
    return sums, length


def _within(block: Block, rows: LongRows, along: list[np.ndarray]) -> np.ndarray:
    """N'(I - QQ')N."""
    total = np.zeros((rows.m, rows.m))
    for cut, N in rows.panels():
        _left(block, along, cut, block.codes[cut], N)
        total += N @ N.T
    return total


def _left(block: Block, along: list[np.ndarray], cut: slice, codes: np.ndarray, N: np.ndarray) -> list[Column]:
    """What the columns of Z in ``along`` leave of the later ones and of N, which is overwritten, for these records."""
    columns = [*[_cut(column, cut) for column in block.columns], *N]
    for i, taken in enumerate(along):
        z = columns[i]
        for k, coefficients in enumerate(taken, i + 1):
            part, column = coefficients.take(codes, mode="clip"), columns[k]
            if z is not None:
                part *= z
            out = part if k < block.q else column
            columns[k] = np.subtract(1.0 if column is None else column, part, out=out)
    return columns[len(along) :]


def _cut(column: Column, cut: slice) -> Column:
    return None if column is None else column[cut]


def _add(total: np.ndarray, codes: np.ndarray, left: Column, right: Column) -> None:
    """Add products of two columns to the sums (J,) of their levels, record after record."""
    if left is None or right is None:
        product = right if left is None else left
        np.add.at(total, codes, 1.0 if product is None else product)
    else:
        np.add.at(total, codes, left * right)
