"""The coordinates of a separable field, read: AR1("row") * AR1("col")."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.decay import Decay
from mme.residual.base import Column
from mme.residual.field import BoundField
from mme.residual.grid import build_grid
from mme.residual.reading import Labels, Reader
from mme.tables.names import unlike

# Distances are whole numbers to within this, which leaves room for places that were computed.
_WHOLE = 1e-6


@dataclass(frozen=True, eq=False)
class Axis:
    """A coordinate of a field, the factor of separate fields if there is one, and the kind of :class:`Decay`."""

    place: Any
    group: Any
    kind: str

    @property
    def called(self) -> str:
        """What the coordinate is called in names and messages; "" for an array."""
        return self.place if isinstance(self.place, str) else str(getattr(self.place, "name", None) or "")


def bind_field(axes: Sequence[Axis], column: Column, n: int) -> BoundField:
    """Read the coordinates and groups of a field.

    Raises
    ------
    MMEError
        Two records at one place, a coordinate that does not vary, distances that are no whole numbers.
    """
    title = " x ".join({"ar1": "AR1", "exponential": "Exponential"}[axis.kind] for axis in axes)
    reader = Reader(title, column, n)
    groups = read_groups(reader, axes)
    places, decays = zip(*(_read(reader, axis, groups) for axis in axes), strict=True)
    _require_distinct(reader, groups, places, axes)
    words = [f"{decay.word}.{axis.called or j + 1}" for j, (axis, decay) in enumerate(zip(axes, decays, strict=True))]
    grid = build_grid(groups.codes, places)
    return BoundField(n, unlike(words), groups.codes, np.array(places), tuple(decays), grid, title)


def read_groups(reader: Reader, axes: Sequence[Axis]) -> Labels:
    """The combinations of the groups that are given; one for all records where none is."""
    given = [axis.group for axis in axes if axis.group is not None]
    distinct: list[Any] = []
    for one in given:
        if not any(one is other or (isinstance(one, str) and one == other) for other in distinct):
            distinct.append(one)
    if not distinct:
        return Labels(np.zeros(reader.n, dtype=np.int64), ["all"], "field")
    return reader.labels(distinct[0], "group") if len(distinct) == 1 else reader.labels(list(distinct), "group")


def _read(reader: Reader, axis: Axis, groups: Labels) -> tuple[np.ndarray, Decay]:
    """The places (n,) along a coordinate, and the decay of correlations."""
    read = reader.steps if axis.kind == "ar1" else reader.times
    places, title = read(axis.place, "coordinate", groups)
    title = title.removeprefix("coordinate ")
    order = np.lexsort((places, groups.codes))
    gaps = np.diff(places[order])[np.diff(groups.codes[order]) == 0]
    gaps = gaps[gaps > 0.0]
    if not gaps.size:
        raise reader.error(
            f"{title} does not differ between the records of any {groups.title}, so that nothing can be said of "
            "correlation along it; leave that factor out"
        )
    if axis.kind == "exponential":
        return places, Decay("exponential", float(np.median(gaps)))
    whole = np.rint(gaps)
    if (np.abs(gaps - whole) > _WHOLE).any() or (whole == 0.0).any():
        odd = gaps[(np.abs(gaps - whole) > _WHOLE) | (whole == 0.0)][0]
        raise reader.error(
            f"{title} must be whole numbers of steps, but two neighbours are {odd:g} apart; use Exponential, which "
            "takes any distances, or number the places"
        )
    return places, Decay("ar1", float(np.median(whole)))


def _require_distinct(reader: Reader, groups: Labels, places: Sequence[np.ndarray], axes: Sequence[Axis]) -> None:
    """Refuse two records at one place."""
    order = np.lexsort((*places, groups.codes))
    same = np.diff(groups.codes[order]) == 0
    again = reduce(np.logical_and, [np.diff(one[order]) == 0 for one in places], same)
    if not again.any():
        return
    i = int(order[int(np.argmax(again))])
    where = ", ".join(f"{axis.called or 'coordinate'} {one[i]:g}" for axis, one in zip(axes, places, strict=True))
    within = "" if groups.J == 1 else f" of {groups.title} '{groups.levels[groups.codes[i]]}'"
    raise MMEError(
        f"{reader.structure}: two records are at {where}{within} ({int(again.sum())} such repetitions in all); average "
        "them, say .with_nugget() for an error of each record, or name the trials by group="
    )
