"""The entries of a whitening W that mixes records: where they stand, once, and their values at every phi."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from mme.errors import MMEError

# Entries of W to find, one pass over the records for each of the longest group's: beyond this they take seconds.
_MOST_ENTRIES = 1e8

# Rows (m, n) times W'.
Whiten = Callable[[np.ndarray], np.ndarray]


class Mixing(Protocol):
    """Row and column of every entry of W (entries,) that is not zero: row by row, a record's own entry first."""

    @property
    def rows(self) -> np.ndarray:
        """The row of each."""

    @property
    def cols(self) -> np.ndarray:
        """The column of each."""

    def values(self, whiten: Any) -> np.ndarray | None:
        """The entries (entries,) of W at another phi; None where it has others that are not zero."""


@dataclass(frozen=True, eq=False)
class FoundMixing:
    """Row and column of every entry of W (entries,) that is not zero: row by row, a record's own entry first.

    Column j of W is what it makes of a one at record j. Groups do not mix, so that one pass finds a column of each:
    pass k is of the records (n,) with ``turn`` k, and finds the entries of the rows ``found[k]``; ``order`` sorts them.
    """

    rows: np.ndarray
    cols: np.ndarray
    turn: np.ndarray
    found: tuple[np.ndarray, ...]
    order: np.ndarray

    def values(self, whiten: Whiten) -> np.ndarray | None:
        """The entries (entries,) of W at another phi; None where it has others that are not zero."""
        values = []
        for k, (at, others) in enumerate(zip(self.found, self._not_found, strict=True)):
            white = whiten((self.turn == k).astype(float)[None, :])[0]
            if white[others].any():
                return None
            values.append(white[at])
        return np.concatenate(values)[self.order]

    @cached_property
    def _not_found(self) -> tuple[np.ndarray, ...]:
        """The rows of each pass in which it finds no entry."""
        return tuple(np.setdiff1d(np.arange(self.turn.size), at, assume_unique=True) for at in self.found)


def find_mixing(whiten: Whiten, groups: np.ndarray, sequence: np.ndarray | None) -> FoundMixing:
    """The pattern of W, block-diagonal by ``groups`` (n,), from what it makes of ones.

    ``sequence`` (n,) are the records by group where only neighbours mix: then every other column is found in one pass.

    Raises
    ------
    MMEError
        Groups so long that this would take seconds at each phi.
    """
    sizes = np.bincount(groups)
    order = np.argsort(groups, kind="stable") if sequence is None else sequence
    period = int(sizes.max()) if sequence is None else 2
    if period * order.size > _MOST_ENTRIES:
        raise MMEError(
            f"a random effect varies within the groups of the residual structure, of which the longest has "
            f"{period:,} records of {order.size:,}: to whiten them would take seconds at every value of its "
            "parameters; take shorter groups, or leave one of them out"
        )
    first = np.cumsum(sizes) - sizes
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size) - first[groups[order]]
    turn, found, columns = place % period, list[np.ndarray](), list[np.ndarray]()
    for k in range(period):
        at = np.flatnonzero(whiten((turn == k).astype(float)[None, :])[0])
        back = (place[at] - k) % period  # how far before the record its column is, or, in whole groups, behind it
        column = place[at] - back
        found.append(at)
        columns.append(order[first[groups[at]] + np.where(column < 0, column + period, column)])
    rows, cols = np.concatenate(found), np.concatenate(columns)
    by_row = np.lexsort((cols, rows != cols, rows))
    return FoundMixing(rows[by_row], cols[by_row], turn, tuple(found), by_row)
