"""The sums of chunks: a triangle for each cell and one for all rows free of Z. Chunks, and other sums, are added.

Cells are the combinations of levels of all grouping factors. A cell holds q rows of m numbers, the triangle of its
[Z N] (:mod:`mme.numeric.triangles`), N = [X y]; rows free of Z have one triangle for all cells. Columns far from zero
are taken from a point near their mean, by the constant in front of them, so that triangles keep the digits of their
spread.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.numeric.panels import panels
from mme.numeric.places import Places
from mme.numeric.triangles import add_counts, add_rows, triangles, with_rows
from mme.streaming.layout import ChunkLayout
from mme.streaming.typical import Typical, together
from mme.tables.column import Column
from mme.tables.growing import GrowingLabels

# A column is taken from a point near its mean where that is so many times its spread away from zero.
_FAR = 3.0
# The share of the first room that is left free.
_BESIDE = 8


@dataclass(frozen=True, eq=False)
class Counts:
    """What adds up: records, rows left out or outside the subset, chunks; of W, where it is not I, log|W|, tr(W^-1)."""

    n: int = 0
    dropped: int = 0
    outside: int = 0
    chunks: int = 0
    logdet_W: float = 0.0
    weighted: bool = False
    trace_inverse_W: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.n + other.n,
            self.dropped + other.dropped,
            self.outside + other.outside,
            self.chunks + other.chunks,
            self.logdet_W + other.logdet_W,
            self.weighted or other.weighted,
            self.trace_inverse_W + other.trace_inverse_W,
        )


@dataclass(frozen=True, eq=False)
class Chunk:
    """The complete rows of a chunk: [Z X y] (m, n), the columns of the grouping factors, roots of weights."""

    D: np.ndarray
    parts: dict[str, Column]
    root: np.ndarray | None
    counts: Counts
    typical: Typical
    offset: Typical


@dataclass(frozen=True, eq=False)
class Placed:
    """Rows [Z X y] (m, n) as they are rotated, their cells (n,), and how many cells there are."""

    cells: np.ndarray
    columns: np.ndarray
    size: int


class Sums:
    """The sums of the chunks that were added so far.

    Attributes
    ----------
    held : (room, q, m)
        Triangles of the cells as :mod:`mme.numeric.triangles` holds them, and room for more.
    counted : (room,)
        Records of each cell, where its triangle does not have their number.
    within : (m - q, m - q)
        The triangle of the rows that are free of Z.
    plain : (m, m)
        The triangle of all rows without their weights; zero where they have none.
    shift : (m,)
        What columns are taken from.
    """

    def __init__(self, layout: ChunkLayout) -> None:
        q, m = layout.q, layout.m
        self.layout = layout
        self.labels = {name: GrowingLabels(name, gapped=len(layout.parts) == 1) for name in layout.parts}
        self.pairs = [Places() for _ in layout.parts[1:]]
        self.held, self.counted = np.zeros((0, q, m)), np.zeros(0, dtype=np.int64)
        self.within, self.plain = np.zeros((m - q, m - q)), np.zeros((m, m))
        self.shift: np.ndarray | None = None
        self.counts, self.typical, self.offset = Counts(), Typical(), Typical()
        self._steps = 0

    @property
    def size(self) -> int:
        """Number of cells."""
        if self.pairs:
            return self.pairs[-1].size
        return sum(labels.size for labels in self.labels.values())

    @property
    def R(self) -> np.ndarray:
        """The triangles (cells, q, m) of all cells."""
        return triangles(self.held[: self.size])

    @property
    def records(self) -> np.ndarray:
        """The records (cells,) of each cell."""
        return np.rint(self._counted_rows).astype(np.int64)

    @property
    def counts_itself(self) -> bool:
        """Whether triangles have the numbers of rows: the first column of Z is the constant, which has no weights."""
        return self.layout.ones == 0 < self.layout.q and self.layout.options.weights is None

    @property
    def _counted_rows(self) -> np.ndarray:
        """The records (cells,) of each cell but for rounding."""
        return (self.held[:, 0, 0] if self.counts_itself else self.counted)[: self.size]

    @property
    def nbytes(self) -> int:
        """Bytes of the triangles of all cells, their counts and their places."""
        each = self.layout.q * self.layout.m * 8 + 8 + 16 * (1 + len(self.pairs))
        return self.size * each

    def add(self, chunk: Chunk) -> None:
        """Add the rows of a chunk, whose arrays are overwritten."""
        self.rotate(self.place(chunk))

    def place(self, chunk: Chunk) -> Placed:
        """Count the rows of a chunk, and tell their cells; its columns are taken from the shift, times the roots."""
        self.counts = self.counts + chunk.counts
        if not chunk.counts.n:
            return Placed(np.zeros(0, dtype=np.int64), chunk.D, self.size)
        self.typical = together(self.typical, chunk.typical)
        self.offset = together(self.offset, chunk.offset)
        cells = self._cells([self.labels[name].codes(column) for name, column in chunk.parts.items()])
        if self.shift is None:
            self.shift = _shift_of(chunk.D, self.layout.ones)
        if not self.counts_itself:
            self.counted = _room(self.counted, self.size)
            add_counts(self.counted, cells, self._steps + chunk.D.size * self.layout.q)
        D = chunk.D
        for j in np.flatnonzero(self.shift).tolist():
            D[j] -= self.shift[j]
        if chunk.root is not None:
            self.plain = with_rows(self.plain, D.T)
            D *= chunk.root
        return Placed(cells, D, self.size)

    def rotate(self, rows: Placed) -> None:
        """Rotate rows into the triangles of their cells; others may be placed meanwhile."""
        self.held = _room(self.held, rows.size)
        self._steps += rows.columns.size * self.layout.q
        left = add_rows(self.held, rows.cells, rows.columns, self._steps)
        self.within = with_rows(self.within, left.T)

    def complete(self) -> None:
        """Leave cells out to which no row came: the chunks were all added."""
        if len(self.labels) != 1:
            return
        came = np.flatnonzero(self._counted_rows)
        if came.size < self.size:
            first = int(came[0]) if came.size and came[-1] - came[0] < came.size else 0
            if not first:
                for cut in panels(came.size):  # in place: none of them moves up
                    self.held[cut] = self.held.take(came[cut], axis=0)
            self.held = self.held[first : first + came.size]
            self.counted = self.counted[came] if self.counted.size else self.counted
        for labels in self.labels.values():
            labels.close_gaps(came)

    def plus(self, other: Sums) -> Sums:
        """The sums of the chunks of both; neither is changed."""
        if not self.layout.same_as(other.layout):
            raise MMEError(
                "the two sums are of other columns: they were made of another formula, or learned other levels or "
                "transforms; make the second from the design of the first, CrossProducts.from_chunks(first.design, ...)"
            )
        if other.counts.n > self.counts.n and other.size > self.size:
            return other.plus(self)
        twin = self.copy()
        twin.counts = self.counts + other.counts
        if other.shift is None:
            return twin
        if twin.shift is None:
            twin.shift = other.shift
        twin.typical, twin.offset = together(self.typical, other.typical), together(self.offset, other.offset)
        rows, within, plain = _moved(other, twin.shift)
        codes = []
        for name, known in self.labels.items():
            twin.labels[name], place = known.merged(other.labels[name])
            codes.append(place)
        each = other.codes()
        cells = twin._cells([place[one] for place, one in zip(codes, each, strict=True)])
        columns = np.ascontiguousarray(rows.T)
        twin.rotate(Placed(np.repeat(cells, self.layout.q), columns, twin.size))
        twin.within = with_rows(twin.within, within)
        if twin.counts.weighted:
            twin.plain = with_rows(twin.plain, plain)
        if not twin.counts_itself:
            twin.counted = _room(twin.counted, twin.size)
            np.add.at(twin.counted, cells, other.records)
        return twin

    def copy(self) -> Sums:
        """Sums that can be added to while these stay as they are."""
        twin = copy(self)
        twin.held, twin.counted = self.held[: self.size].copy(), self.counted[: self.size].copy()
        twin.labels = {name: known.merged(GrowingLabels(name))[0] for name, known in self.labels.items()}
        twin.pairs = [places.copy() for places in self.pairs]
        return twin

    def codes(self) -> list[np.ndarray]:
        """The codes (cells,) of every part, by first appearance."""
        if not self.pairs:
            return [np.arange(self.size)] * len(self.labels)
        found, cells = [], np.arange(self.size)
        for places in reversed(self.pairs):
            keys = places.keys[cells]
            found.append(keys & 0xFFFFFFFF)
            cells = keys >> 32
        return [cells, *reversed(found)]

    def _cells(self, codes: list[np.ndarray]) -> np.ndarray:
        """The cells (n,) of rows by their codes of every part; without any all rows are free of Z."""
        if not codes:
            return np.zeros(0, dtype=np.int64)
        cells = codes[0]
        for places, code in zip(self.pairs, codes[1:], strict=True):
            cells = places.of((cells << 32) | code)
        return cells


def _room(array: np.ndarray, size: int) -> np.ndarray:
    """The array with room for so many cells: pages are moved, and what is new is zero.

    Whoever reads the arrays of sums copies them, so that no view outlives a chunk. The first array is made, in large
    pages, and has some room beside: labels in a narrow range are soon known but for the last ones.
    """
    if not len(array):
        return np.zeros((size + size // _BESIDE, *array.shape[1:]), dtype=array.dtype)
    if size > len(array):
        array.resize((max(size, len(array) + len(array) // 2), *array.shape[1:]), refcheck=False)
    return array


def _shift_of(D: np.ndarray, ones: int) -> np.ndarray:
    """The means of columns (m,) that are far from zero, of those behind the constant; zero of others."""
    mean, sd = D.mean(axis=1), D.std(axis=1)
    far = np.abs(mean) > _FAR * sd
    far[: ones + 1] = False
    return np.where(far, mean, 0.0)


def _moved(sums: Sums, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of all cells (cells q, m), those free of Z (m - q, m - q) and :attr:`Sums.plain`, from another shift."""
    q, m, ones = sums.layout.q, sums.layout.m, sums.layout.ones
    rows = sums.R.reshape(-1, m)
    within, change = sums.within.copy(), (0.0 if sums.shift is None else sums.shift) - shift
    rows += rows[:, [ones]] * change
    if ones >= q:
        within += within[:, [ones - q]] * change[q:]
    return rows, within, sums.plain + sums.plain[:, [ones]] * change
