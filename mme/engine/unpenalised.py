r"""Many columns of X as a block of Z whose coefficients have no prior: T = I, and zeros for K^-1.

Henderson's equations tell fixed from random effects by the penalty alone. With F the sparse columns of X and X the
others, less their part along F (``sweep.py``),

    ( Lambda'Z'Z Lambda + K^-1 (x) I   Lambda'Z'F )
    ( F'Z Lambda                       F'F        )        log|M| = log|Lambda'Z'Z Lambda + K^-1 (x) I| + log|F'V^-1 F|

so that REML takes log|M| of the whole, and ML and what is said at given beta that of the rest: F with T = 0, and ones
for K^-1 (:meth:`mme.engine.objective.Objective.given_beta`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.entries import RecordEntries
from mme.numeric.cell_products import RecordLevels
from mme.numeric.pooled import Pooled
from mme.numeric.sums import Cells

_ONE = np.ones((1, 1))


@dataclass(frozen=True, eq=False)
class FixedBlock(Block):
    """Sparse columns of X, a level each. It belongs to no term, and has no parameters.

    ``pooled`` has their rows once each, where records have several of them and rows repeat.
    """

    pooled: Pooled | None = None

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

    @property
    def has_many(self) -> bool:
        """Whether a record may be in several of the columns."""
        return self.entries is not None

    @property
    def at_records(self) -> RecordLevels:
        """The columns of each record."""
        return super().at_records if self.pooled is None else replace(super().at_records, pooled=self.pooled)

    def own_cells(self) -> Cells:
        """Cells of two columns that meet on a record."""
        return self.cells(self)


def fixed_block(F: sp.csc_array, rows: Pooled | None = None) -> FixedBlock:
    """The block of columns F (n, f): of one level a record where columns do not overlap, with its entries else.

    ``rows`` are those of F, or F before its rows were weighted, each once.

    A record in none of the columns has a zero in the first.
    """
    by_row = sp.csr_array(F)
    each = np.diff(by_row.indptr)
    n, f = by_row.shape
    none = np.flatnonzero(each == 0)
    codes, values = by_row.indices.astype(np.int64), by_row.data
    if none.size:
        at = by_row.indptr[none]
        codes, values = np.insert(codes, at, 0), np.insert(values, at, 0.0)
    column = None if (values == 1.0).all() else values
    entries: Any = None
    if each.max() > 1:
        entries = RecordEntries(np.repeat(np.arange(n), np.maximum(each, 1)), codes, n, f, 1)
    return FixedBlock(codes, f, 1, np.ones(1), (), (), (), (), (column,), entries=entries, pooled=rows)
