r"""Rows less their part along the sparse columns F of X: y - F c with c = (F'F)^-1 F'y.

An exact invariance: with X and y so taken, the coefficients of F alone change, by what they had of X and of y. Every
cross-product with F is then zero at theta = 0, and what F leaves of a column of X says whether it depends on F.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.numeric.factor import SymmetricFactor, factorise
from mme.numeric.pooled import Pooled


@dataclass(frozen=True, eq=False)
class Sweep:
    """Columns ``F`` (n, f), whitened and independent; ``pooled`` has each of their rows once, where rows repeat."""

    F: sp.csc_array
    pooled: Pooled | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its columns: the factor is made again."""
        return Sweep, (self.F, self.pooled)

    @cached_property
    def transposed(self) -> sp.csr_array:
        """F'."""
        return sp.csr_array(self.F.T)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) less their part along F: twice, as the first leaves rounding of the size of the rows."""
        swept, _ = self.apart(rows)
        return swept

    def apart(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows (m, n) less their part along F, and its coefficients (f, m)."""
        swept, along = np.array(rows), np.zeros((self.F.shape[1], len(rows)))
        for _ in range(2):
            for i in range(len(swept)):  # row by row: they are long
                c = self._solve(self._along(swept[i]))
                swept[i] -= self.F @ c if self.pooled is None else self.pooled.times(c)
                along[:, i] += c
        return swept, along

    @property
    def logdet(self) -> float:
        """log|F'F|."""
        return float(np.log(self._squares).sum()) if self._squares is not None else float(self._factor.logdet)

    def _along(self, row: np.ndarray) -> np.ndarray:
        """F'v."""
        return np.asarray(self.transposed @ row) if self.pooled is None else self.pooled.transposed(row)

    def _solve(self, b: np.ndarray) -> np.ndarray:
        """(F'F)^-1 b."""
        if self._squares is not None:
            return b / self._squares
        return self._factor.solve(b)

    @cached_property
    def _squares(self) -> np.ndarray | None:
        """The diagonal of F'F where that is all of it: no record is in two columns."""
        if np.bincount(self.F.indices, minlength=1).max() > 1:
            return None
        return np.add.reduceat(self.F.data**2, self.F.indptr[:-1]) if self.F.shape[1] else np.zeros(0)

    @cached_property
    def _factor(self) -> SymmetricFactor:
        gram = self.transposed @ self.F if self.pooled is None else self.pooled.gram
        return factorise(sp.csc_array(gram), "the sparse columns of X")
