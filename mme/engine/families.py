"""Families of blocks of S, each of two grouping factors, and where their values stand in M (``schur_pattern.py``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, combinations_with_replacement
from typing import NamedTuple

import numpy as np

from mme.engine.meetings import Numbering, everywhere

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class CrossFamily:
    """Blocks of S between two grouping factors: rows are levels of ``t_row``, columns levels of ``t_col``."""

    t_row: int
    t_col: int
    rows: np.ndarray
    cols: np.ndarray
    shape: tuple[int, int]
    values: slice

    @property
    def count(self) -> int:
        """Number of (q_row x q_col) blocks."""
        return int(self.rows.size)

    def blocks(self, values: np.ndarray) -> np.ndarray:
        """The family's part of all values, as (count, q_row, q_col)."""
        return values[self.values].reshape(self.count, *self.shape)

    @property
    def diagonal(self) -> np.ndarray:
        """Which blocks stand on the diagonal of S."""
        return np.asarray((self.rows == self.cols) & (self.t_row == self.t_col))


class OfSizes(NamedTuple):
    """What of a pattern with every entry the numbers of levels and columns alone determine."""

    triangle: tuple[np.ndarray, np.ndarray, np.ndarray]
    places: tuple[np.ndarray, np.ndarray]


@lru_cache(maxsize=16)
def of_sizes(sizes: tuple[tuple[int, int], ...]) -> OfSizes:
    """That of factors of so many levels and columns."""
    offsets = np.array(list(accumulate((J * q for J, q in sizes), initial=0)), dtype=np.int64)
    families = list[CrossFamily]()
    for t_col, t_row in combinations_with_replacement(range(len(sizes)), 2):
        (J, q), (other_J, other_q) = sizes[t_row], sizes[t_col]
        add_family(families, (t_row, t_col), everywhere(t_row == t_col, J, other_J), (q, other_q))
    made = OfSizes(lower_triangle(families, offsets), places_of(families, offsets))
    for array in (*made.triangle, *made.places):
        array.flags.writeable = False
    return made


def add_family(families: list[CrossFamily], factors: tuple[int, int], found: Numbering, shape: tuple[int, int]) -> None:
    """Append the blocks of two factors (row, column), whose values follow those of the families before."""
    start = families[-1].values.stop if families else 0
    values = slice(start, start + found.rows.size * shape[0] * shape[1])
    families.append(CrossFamily(*factors, found.rows, found.cols, shape, values))


def places_of(families: Sequence[CrossFamily], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column in M of all values."""
    found = [_places(family, offsets) for family in families]
    rows, cols = ([_NONE, *(place[axis].ravel() for place in found)] for axis in (0, 1))
    return np.concatenate(rows), np.concatenate(cols)


def _places(family: CrossFamily, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column in M (count, q_row, q_col) of the values of a family."""
    i, j = np.indices(family.shape)
    row = offsets[family.t_row] + family.rows[:, None, None] * family.shape[0] + i
    return row, offsets[family.t_col] + family.cols[:, None, None] * family.shape[1] + j


def lower_triangle(families: list[CrossFamily], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower triangle of M in CSC order: row, column and position among the families' values."""
    rows, cols, sources = [_NONE], [_NONE], [_NONE]
    for family in families:
        row, col = _places(family, offsets)
        source = np.arange(family.values.start, family.values.stop).reshape(row.shape)
        lower = row >= col
        rows.append(row[lower])
        cols.append(col[lower])
        sources.append(source[lower])
    row, col, source = np.concatenate(rows), np.concatenate(cols), np.concatenate(sources)
    order = np.argsort(col * offsets[-1] + row, kind="stable")  # merges what comes in order
    return row[order], col[order], source[order]
