"""Places on a grid and what each depends on: a directed graph, from which missing places are taken out.

A product of chains along coordinates is a Markov random field: scanned in order, a place depends on those before it
along each coordinate and on the corners between these. Where one of these has no record, the place depends on every
earlier record that is reached from it through places without one (Lauritzen 1996, Graphical Models, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np

from mme.errors import MMEError

# Places without a record for each with one: beyond this coordinates make no grid.
_MOST_EMPTY, _FEW = 20, 2000
# Stands for a record where there is none.
_NONE = -1


@dataclass(frozen=True, eq=False)
class PlotGrid:
    """Records on grids.

    Attributes
    ----------
    order : (n,) int
        Records as they are scanned.
    gaps : (n, d) float
        The distance to the place before along each coordinate, infinite for the first.
    whole : (w,) int, with ``corners`` (m, 2**d - 1) int
        Records all of whose neighbours before them have records, and these; -1: outside.
    broken : tuple of (records (m,), parents (m, s))
        The others, by the number of records that they depend on.
    """

    order: np.ndarray
    gaps: np.ndarray
    whole: np.ndarray
    corners: np.ndarray
    broken: tuple[tuple[np.ndarray, np.ndarray], ...]


def corners_of(d: int) -> list[tuple[int, ...]]:
    """The axes along which each neighbour stands one place before: all sets of d axes but the empty one."""
    return [tuple(a for a in range(d) if steps[a]) for steps in product((0, 1), repeat=d) if any(steps)]


def build_grid(codes: np.ndarray, places: Sequence[np.ndarray]) -> PlotGrid:
    """The grids of all groups ``codes`` (n,) from the coordinates (n,) of their records, no two at one place.

    Raises
    ------
    MMEError
        Coordinates are so many that most places of the grid would be empty.

    Examples
    --------
    >>> row, col = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 0.0, 1.0])
    >>> grid = build_grid(np.zeros(4, dtype=int), [row, col])
    >>> grid.whole.tolist(), grid.corners.tolist()
    ([0, 1, 2, 3], [[-1, -1, -1], [0, -1, -1], [-1, 0, -1], [2, 1, 0]])
    """
    n, d = codes.size, len(places)
    order = np.lexsort((*reversed(places), codes))
    gaps, corners = np.empty((n, d)), np.empty((n, 2**d - 1), dtype=np.int64)
    whole, broken = np.ones(n, dtype=bool), dict[int, list[int]]()
    for at in np.split(order, np.flatnonzero(np.diff(codes[order])) + 1):
        levels, index = zip(*(np.unique(one[at], return_inverse=True) for one in places), strict=True)
        sizes = tuple(one.size for one in levels)
        if np.prod(sizes, dtype=float) > _MOST_EMPTY * at.size + _FEW:
            raise MMEError(
                f"the coordinates of {at.size:,} records make a grid of {' x '.join(map(str, sizes))} places; take "
                "mme.Spatial, which needs no grid, or whole-numbered rows and columns"
            )
        one = _Places(np.full(sizes, _NONE), sizes)
        one.record[tuple(index)] = at
        for a, (values, i) in enumerate(zip(levels, index, strict=True)):
            gaps[at, a] = np.append(np.inf, np.diff(values))[i]
        where = np.stack(index, axis=1)
        corners[at], complete = one.corners(where)
        whole[at] = complete
        for record, place in zip(at[~complete].tolist(), where[~complete].tolist(), strict=True):
            broken[record] = one.reached(tuple(place))
    records = order[whole[order]]
    return PlotGrid(order, gaps, records, corners[records], _by_size(broken))


def _by_size(broken: dict[int, list[int]]) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    sizes: dict[int, list[int]] = {}
    for record, parents in broken.items():
        sizes.setdefault(len(parents), []).append(record)
    return tuple(
        (
            np.array(records),
            np.array([broken[record] for record in records], dtype=np.int64).reshape(len(records), size),
        )
        for size, records in sorted(sizes.items())
    )


@dataclass(frozen=True, eq=False)
class _Places:
    """The record at each place of one grid, -1 where there is none."""

    record: np.ndarray
    sizes: tuple[int, ...]

    def corners(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The records before each along each set of axes, and whether all of those within the grid have one."""
        m, d = index.shape
        found, complete = np.full((m, 2**d - 1), _NONE), np.ones(m, dtype=bool)
        for j, axes in enumerate(corners_of(d)):
            before = index.copy()
            before[:, axes] -= 1
            inside = (before >= 0).all(axis=1)
            found[inside, j] = self.record[tuple(before[inside].T)]
            complete &= ~inside | (found[:, j] >= 0)
        return found, complete

    def reached(self, place: tuple[int, ...]) -> list[int]:
        """The records that the one here depends on, of those before it, through places without a record."""
        needed, found, seen = self._needed, dict[int, None](), set[tuple[int, ...]]()
        waiting = [place]
        while waiting:
            here = waiting.pop()
            steps = product((-1, 0), repeat=len(place)) if here == place else product((-1, 0, 1), repeat=len(place))
            for step in steps:
                there = tuple(i + s for i, s in zip(here, step, strict=True))
                inside = all(0 <= i < size for i, size in zip(there, self.sizes, strict=True))
                if not inside or there >= place or there in seen:
                    continue
                seen.add(there)
                if self.record[there] >= 0:
                    found[int(self.record[there])] = None
                elif needed[there]:
                    waiting.append(there)
        return list(found)

    @cached_property
    def _needed(self) -> np.ndarray:
        """Places at or behind which, along all axes, there is a record: the others are of no account."""
        needed = self.record >= 0
        for axis in range(needed.ndim):
            needed = np.flip(np.logical_or.accumulate(np.flip(needed, axis), axis=axis), axis)
        return np.asarray(needed)
