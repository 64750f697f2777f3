"""Entries of W Z where the whitening W mixes records of several levels: which record each of them belongs to.

Row i of W Z is sum_j W_ij z_j: an entry for each W_ij that is not zero, at the level of record j, or one for each level
where these are few. Where entries stand is found once for a model; weights and phi change their values alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.numeric.cell_products import RecordLevels
from mme.numeric.sums import Column


@dataclass(frozen=True, eq=False)
class RecordEntries:
    """The ``record`` and the level ``codes`` of each entry (entries,), record by record, a record's own entry first.

    Every entry has ``q`` columns; there are ``n`` records and ``J`` levels.
    """

    record: np.ndarray
    codes: np.ndarray
    n: int
    J: int
    q: int

    @cached_property
    def own(self) -> np.ndarray:
        """Which entry (n,) of each record is its own."""
        return np.flatnonzero(np.diff(self.record, prepend=-1))

    @cached_property
    def by_record(self) -> RecordLevels:
        """The levels of each record."""
        ends = np.concatenate(([0], np.cumsum(np.bincount(self.record, minlength=self.n))))
        return RecordLevels(self.codes, ends, self.J)

    def transposed(self, columns: Sequence[Column]) -> sp.csc_array:
        """Z' (J q, n) from the values (entries,) of each column; None is a column of ones."""
        values = [np.ones(self.record.size) if column is None else column for column in columns]
        data = values[0] if self.q == 1 else np.stack(values, axis=1).ravel()
        return sp.csc_array((data, *self._places), shape=(self.J * self.q, self.n))

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row of every value of Z', and where each record begins."""
        first, each = self.codes.astype(np.int32) * self.q, np.arange(self.q, dtype=np.int32)
        ends = np.cumsum(np.bincount(self.record, minlength=self.n)) * self.q
        return np.add.outer(first, each).ravel(), np.concatenate(([0], ends)).astype(np.int32)

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """All ordered pairs of entries of one record, an entry with itself too."""
        return self.beside(self)

    def beside(self, other: RecordEntries) -> tuple[np.ndarray, np.ndarray]:
        """All pairs of an entry and one of another block on the same record."""
        sizes = np.bincount(other.record, minlength=self.n)
        first, per_entry = np.cumsum(sizes) - sizes, sizes[self.record]
        left = np.repeat(np.arange(self.record.size), per_entry)
        start = np.cumsum(per_entry) - per_entry
        return left, np.arange(left.size) - np.repeat(start - first[self.record], per_entry)


def pairs_of(one: RecordEntries | None, other: RecordEntries | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Entries of two blocks on the same record (None: one a record, in their order)."""
    if one is None:
        return None if other is None else other.record, None
    if other is None:
        return None, one.record
    return one.beside(other)
