"""Columns of Z within the column space of X: under REML the data say nothing of their variances.

With P = I - QQ', Q the orthonormal basis of X, the restricted likelihood depends on Z through P Z alone. Where a column
a of Z has P Z_a = 0 for all its levels, neither the criterion, nor beta, nor the other random effects depend on the
variance of its coefficients, and their BLUPs are zero, unless they are correlated with others. Evaluated literally it
costs digits: log|M| and log|X'V^-1 X| grow and fall by what cancels between them. So it is left out of the criterion.
"""

from __future__ import annotations

import numpy as np

from mme.blocks import Block
from mme.crossproducts import coding

# A column whose part outside X is below this share of it is within X: rounding of Q, and of the column's own digits.
_WITHIN = 1e-9
# Records among which distinct levels are counted first: most factors have more levels here than X has columns.
_FIRST = 4096


def within_X(block: Block, Q: np.ndarray) -> np.ndarray:
    """Which columns of a block (q,) lie within X for all levels; Q' (p, n) are the rows of an orthonormal basis.

    The J columns of Z_a are independent, so that no more than p of them are within p columns of X; where that may be,
    a random combination of them is in X, but for accidents of probability zero, only if they all are.
    """
    found = np.zeros(block.q, dtype=bool)
    for a in range(block.q):
        if _levels_at_most(block, a, len(Q)):
            v = along(block, a, np.random.default_rng(0).standard_normal(block.J))
            left = v - (Q @ v) @ Q
            found[a] = left @ left <= _WITHIN**2 * (v @ v)
    return found


def along(block: Block, a: int, x: np.ndarray) -> np.ndarray:
    """Z_a x (n,) for a value of every level x (J,)."""
    values = x[coding(block.codes, a)]
    column = block.columns[a]
    values = values if column is None else column * values
    return values if block.records is None else np.bincount(block.records, values)


def _levels_at_most(block: Block, a: int, p: int) -> bool:
    """Whether no more than p levels have a value in a column that is not zero; looks at a few records first."""
    codes, column = coding(block.codes, a), block.columns[a]
    for entries in (slice(_FIRST), slice(None)):
        acting = codes[entries] if column is None else codes[entries][column[entries] != 0.0]
        if np.count_nonzero(np.bincount(acting)) > p:
            return False
    return True
