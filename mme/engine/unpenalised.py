r"""Many columns of X as a block of Z whose coefficients have no prior: T = I, and zeros for K^-1.

Henderson's equations tell fixed from random effects by the penalty alone. With F the sparse columns of X and X the
others, less their part along F (``sweep.py``),

    ( Lambda'Z'Z Lambda + K^-1 (x) I   Lambda'Z'F )
    ( F'Z Lambda                       F'F        )        log|M| = log|Lambda'Z'Z Lambda + K^-1 (x) I| + log|F'V^-1 F|

so that REML takes log|M| of the whole, and ML and what is said at given beta that of the rest: F with T = 0, and ones
for K^-1 (:meth:`mme.engine.objective.Objective.given_beta`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.entries import RecordEntries

_ONE = np.ones((1, 1))


@dataclass(frozen=True, eq=False)
class FixedBlock(Block):
    """Sparse columns of X, a level each. It belongs to no term, and has no parameters."""

    is_fixed = True
    is_spherical = False
    is_parametric = False
    is_block_diagonal = False

    def T(self, theta: np.ndarray) -> np.ndarray:
        """One: coefficients are in units of sigma^2 already, without a prior."""
        return _ONE

    def effects(self, b: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """The coefficients as they are."""
        return b


def fixed_block(F: sp.csc_array) -> FixedBlock:
    """The block of columns F (n, f): of one level a record where columns do not overlap, with its entries else.

    A record in none of the columns has a zero in the first.
    """
    rows = sp.csr_array(F)
    each = np.diff(rows.indptr)
    n, f = rows.shape
    none = np.flatnonzero(each == 0)
    codes, values = rows.indices.astype(np.int64), rows.data
    if none.size:
        at = rows.indptr[none]
        codes, values = np.insert(codes, at, 0), np.insert(values, at, 0.0)
    column = None if (values == 1.0).all() else values
    entries: Any = None
    if each.max(initial=0) > 1:
        entries = RecordEntries(np.repeat(np.arange(n), np.maximum(each, 1)), codes, n, f, 1)
    return FixedBlock(codes, f, 1, (column,), np.ones(1), (), (), (), (), entries=entries)
