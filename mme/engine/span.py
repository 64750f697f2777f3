"""Columns of Z within the column space of X: under REML the data say nothing of their variances.

With P = I - QQ', Q the orthonormal basis of X, the restricted likelihood depends on Z through P Z alone. Where a column
a of Z has P Z_a = 0 for all its levels, neither the criterion, nor beta, nor the other random effects depend on the
variance of its coefficients, and their BLUPs are zero, unless they are correlated with others. Evaluated literally it
costs digits: log|M| and log|X'V^-1 X| grow and fall by what cancels between them. So it is left out of the criterion.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block
from mme.numeric.lapack import qr_triangle
from mme.numeric.sums import coding

# A column whose part outside X is below this share of it is within X: rounding of Q, and of the column's own digits.
_WITHIN = 1e-9
# Directions that differ by no more than this are the same, and by this where nothing was turned.
_ALIGNED, _EXACT = 1e-7, 1e-12
# Records among which distinct levels are counted first: most factors have more levels here than X has columns.
_FIRST = 4096
# And first of all.
_HEAD = 64


def within_X(block: Block, basis: FixedBasis) -> tuple[Block, np.ndarray]:
    """Which columns of a block (q,) lie within X for all levels.

    The J columns of Z_a are independent, so that no more than p of them are within p columns of X; where that may be,
    a random combination of them is in X, but for accidents of probability zero, only if they all are. Where columns of
    a term's axes lie within X together, and not one by one, the block is turned so that some do.
    """
    found = np.zeros(block.q, dtype=bool)
    sweep = basis.sweep
    p = len(basis.R) + (0 if sweep is None else sweep.F.shape[1])
    few = [_levels_at_most(block, a, p) for a in range(block.q)]
    if not any(few):
        return block, found
    turn = np.eye(block.q)
    for at in block.column_slices:
        among = np.arange(at.start, at.stop)[np.array(few[at])]
        if among.size and (block.C is None or block.by_column):
            found[among] = [_left(block, [a], basis)[1][0] <= _WITHIN for a in among.tolist()]
        elif among.size:
            directions, sizes = _left(block, among.tolist(), basis)
            within = directions[:, sizes <= _WITHIN]
            share = np.einsum("ij,ij->i", within, within)
            if np.minimum(share, 1.0 - share).max() > _ALIGNED**2:  # shares are squares
                turn[np.ix_(among, among)] = np.linalg.qr(np.column_stack([within, np.eye(among.size)]))[0].T
                share = np.arange(among.size) < within.shape[1]
            found[among] = share > 0.5
    return (block if (turn == np.eye(block.q)).all() else block.turned(turn)), found


def held_within(block: Block, found: np.ndarray) -> np.ndarray:
    """Which of the user's columns (q,) are combinations of those columns of the block alone that lie within X."""
    if block.C is None:
        return found
    parts = np.array([replace(block, inside=False).moved(column) for column in np.eye(block.q)])
    outside = np.linalg.norm(parts[:, ~found], axis=1)
    return outside <= (_EXACT if block.turn is None else _ALIGNED) * np.linalg.norm(parts, axis=1)


def _left(block: Block, columns: list[int], basis: FixedBasis) -> tuple[np.ndarray, np.ndarray]:
    """Directions c (columns, columns) of combinations sum_a c_a Z_a, and the share of each (columns,) that X leaves.

    A combination of which X leaves something leaves something at random values x of the levels. So each x takes at
    least one dimension from the combinations that leave nothing: as many x as columns, or as levels, find them.
    """
    rng, Q, sweep = np.random.default_rng(0), basis.N[:-1], basis.sweep
    outside, squares = np.zeros((len(columns), len(columns))), np.zeros(len(columns))
    for _ in range(min(len(columns), block.J)):
        x = rng.standard_normal(block.J)
        Z = np.array([along(block, a, x) for a in columns])
        squares += np.einsum("an,an->a", Z, Z)
        if sweep is not None:
            Z = sweep(Z)
        outside = qr_triangle(np.hstack([outside, Z - (Z @ Q.T) @ Q]).T).T
    size = np.sqrt(squares)
    directions, left, _ = np.linalg.svd(outside)
    left /= max(size.max(), 1e-300)
    # a column of zeros is in every span, and tells nothing
    return directions, np.where((size == 0.0) @ np.abs(directions) > _ALIGNED, np.inf, left)


def along(block: Block, a: int, x: np.ndarray) -> np.ndarray:
    """Z_a x (n,) for a value of every level x (J,)."""
    values = x[coding(block.codes, a)]
    column = block.columns[a]
    values = values if column is None else column * values
    return values if block.records is None else np.bincount(block.records, values)


def _levels_at_most(block: Block, a: int, p: int) -> bool:
    """Whether no more than p levels have a value in a column that is not zero; looks at a few records first."""
    codes = coding(block.codes, a)
    for entries in (slice(0, _HEAD), slice(0, _FIRST), slice(0, codes.size)):
        column = block.columns_at(entries)[a]
        acting = codes[entries] if column is None else codes[entries][column != 0.0]
        if len(set(acting.tolist())) > p if entries.stop == _HEAD else np.count_nonzero(np.bincount(acting)) > p:
            return False
    return True
