"""What the columns left out of a wide X are made of: :mod:`mme.engine.aliasing`, with a sparse A."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.engine.aliasing import Aliasing
from mme.engine.wide_basis import WideBasis
from mme.numeric.rank import RANK_TOLERANCE

_ESTIMABLE = 10.0 * RANK_TOLERANCE
# A part of a column below this share of its largest, columns of unit length, is what is left of differences.
_ROUNDING = 1e-10
# An equation names at most so many columns.
_FEW = 8


@dataclass(frozen=True, eq=False)
class WideAliasing(Aliasing):
    """X = X[:, kept] A, of which ``A`` has the columns that were left out alone: (kept, dropped), sparse."""

    A: Any

    def gaps(self, rows: Any) -> np.ndarray:
        """Where each row (m, all), sparse or not, differs from its combination of kept columns (m, dropped)."""
        rows = sp.csr_array(rows)
        if not self.dropped.size:
            return np.zeros((rows.shape[0], 0), dtype=bool)
        own, made_of = rows[:, self.dropped], rows[:, self.kept]
        gap, allowed = abs(own - made_of @ self.A), _ESTIMABLE * (abs(own) + abs(made_of) @ abs(self.A))
        out = np.zeros(gap.shape, dtype=bool)
        far = sp.coo_array(gap > allowed)
        out[far.coords] = far.data
        return out

    def combination(self, column: int, names: Sequence[str]) -> str:
        """A column that was left out as a combination of those that are kept."""
        at = int(np.searchsorted(self.dropped, column))
        own = slice(*self.A.indptr[at : at + 2].tolist())
        rows, weights = self.A.indices[own], self.A.data[own]
        few = Aliasing(weights[:_FEW, None], self.kept[rows[:_FEW]], self.dropped, self.size, self.rounding)
        more = rows.size - _FEW
        return few.combination_of(0, names[column], names) + (f" and {more:,} more" if more > 0 else "")


def wide_aliasing(basis: WideBasis) -> WideAliasing:
    """From the equations of the columns, the last of each by the others; those left out put into one another."""
    p, kept = basis.wide.p, basis.kept
    made: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    for one in sorted(basis.wide.equations, key=lambda one: int(one.columns[-1])):
        total = np.zeros(0), np.zeros(0, dtype=np.int64)
        for j, weight in zip(one.columns[:-1].tolist(), (-one.weights[:-1] / one.weights[-1]).tolist(), strict=True):
            values, columns = made.get(j, (np.ones(1), np.array([j])))
            total = np.append(total[0], weight * values), np.append(total[1], columns)
        made[int(one.columns[-1])] = total
    dropped = np.setdiff1d(np.arange(p), kept)
    none = np.zeros(0), np.zeros(0, dtype=np.int64)
    parts = [made.get(j, none) for j in dropped.tolist()]
    values = np.concatenate([none[0], *(part[0] for part in parts)])
    rows = np.searchsorted(kept, np.concatenate([none[1], *(part[1] for part in parts)]))
    cols = np.repeat(np.arange(dropped.size), [part[0].size for part in parts])
    A = sp.csc_array(sp.coo_array((values, (rows, cols)), shape=(kept.size, dropped.size)))
    size = np.empty(p)
    size[basis.wide.dense_at] = np.linalg.norm(basis.wide.D, axis=0)
    size[basis.wide.sparse_at] = np.sqrt(np.asarray(basis.wide.F.multiply(basis.wide.F).sum(axis=0)).ravel())
    at, largest = np.repeat(np.arange(dropped.size), np.diff(A.indptr)), np.zeros(dropped.size)
    part = np.abs(A.data) * size[kept[A.indices]]
    np.maximum.at(largest, at, part)
    A.data[part < _ROUNDING * largest[at]] = 0.0
    A.eliminate_zeros()
    return WideAliasing(A, kept, dropped, np.ones(p))
