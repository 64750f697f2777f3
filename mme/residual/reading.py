"""The columns of a residual structure, read and checked; messages name the structure and the user's column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.arrays import check_range, numbers
from mme.errors import MMEError
from mme.frame import labels_of
from mme.levels import factorise
from mme.residual.base import Column

# What to do about records of one group at the same time.
_REMEDY = "average them, or take a finer group"
_REMEDIES = {"Exponential": "average them, or say nugget=True for a measurement error of each record"}


@dataclass(frozen=True, eq=False)
class Labels:
    """Codes (n,) among printed ``levels``; ``steps`` holds the levels as numbers where they are numbers."""

    codes: np.ndarray
    levels: list[str]
    title: str
    steps: np.ndarray | None = None

    @property
    def J(self) -> int:
        """Number of levels."""
        return len(self.levels)

    @property
    def sizes(self) -> np.ndarray:
        """Records of each level."""
        return np.bincount(self.codes, minlength=self.J)


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads the columns of one structure."""

    structure: str
    column: Column
    n: int

    def error(self, problem: str) -> MMEError:
        """The error with the structure's name before it."""
        return MMEError(f"{self.structure}: {problem}")

    def numbers(self, spec: Any, role: str) -> tuple[np.ndarray, str]:
        """Finite floats (n,), and the column's title for messages."""
        title = _title(spec, role)
        given = self._length(self.column(spec), title)
        values = numbers(given, f"{self.structure}: {title}")
        bad = ~np.isfinite(values)
        if bad.any():
            raise self.error(f"{title} has {int(bad.sum())} missing or infinite values; drop those records")
        check_range(float(np.abs(values).max(initial=0.0)), f"{self.structure}: {title}")
        return values, title

    def labels(self, spec: Any, role: str) -> Labels:
        """Codes and levels of a grouping column."""
        title = _title(spec, role)
        codes, levels = factorise(self._length(self.column(spec), title), spec if isinstance(spec, str) else role)
        return Labels(codes, labels_of(levels), title)

    def occasions(self, spec: Any, role: str) -> Labels:
        """Codes and levels of a column of occasions: in the order of their numbers if all of them read as numbers."""
        title = _title(spec, role)
        given = self._length(self.column(spec), title)
        values = given if hasattr(given, "categories") else np.asarray(given)
        if not hasattr(values, "categories") and values.dtype.kind == "f":
            steps, codes = np.unique(self.numbers(spec, role)[0], return_inverse=True)
            return Labels(codes, labels_of(steps), title, steps)
        codes, levels = factorise(values, spec if isinstance(spec, str) else role)
        places = _as_numbers(levels)
        if places is None or hasattr(values, "categories"):
            return Labels(codes, labels_of(levels), title, places)
        order = np.argsort(places, kind="stable")
        return Labels(np.argsort(order)[codes], labels_of(levels[order]), title, places[order])

    def require_pairs(self, groups: Labels) -> None:
        """Refuse groups of one record each: nothing in them is correlated."""
        if groups.sizes.max(initial=0) < 2:
            raise self.error(f"every {groups.title} has a single record, so that no correlation can be estimated")

    def require_distinct(self, groups: Labels, values: np.ndarray, order: np.ndarray, what: str) -> None:
        """Refuse a group in which a value (time, occasion) comes twice; ``order`` sorts by group and value."""
        again = (np.diff(groups.codes[order]) == 0) & (np.diff(values[order]) == 0)
        if again.any():
            i = order[int(np.argmax(again))]
            here = int(((groups.codes == groups.codes[i]) & (values == values[i])).sum())
            raise self.error(
                f"{groups.title} has {here} records of level '{groups.levels[groups.codes[i]]}' at the same {what} "
                f"({int(again.sum())} such repetitions in all); {_REMEDIES.get(self.structure, _REMEDY)}"
            )

    def _length(self, given: Any, title: str) -> Any:
        given = getattr(given, "array", given)  # a pandas Series is its array
        values = given if hasattr(given, "categories") else np.asarray(given)
        if values.ndim != 1 or len(values) != self.n:
            found = f"{len(values)} values" if values.ndim == 1 else f"shape {values.shape}"
            raise self.error(f"{title} has {found} for {self.n} records")
        return given


def by_group(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The order of records by group and value; records that stand in it are not sorted again."""
    step = np.diff(codes)
    if ((step > 0) | ((step == 0) & (np.diff(values) >= 0))).all():
        return np.arange(codes.size)
    return np.lexsort((values, codes))


def same_group(codes: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Which pairs of the records ``index`` are of one group."""
    return np.equal.outer(codes[index], codes[index])


def _title(spec: Any, role: str) -> str:
    return f"{role} '{spec}'" if isinstance(spec, str) else role


def _as_numbers(levels: np.ndarray) -> np.ndarray | None:
    try:
        steps = np.array([float(level) for level in levels.tolist()])
    except (TypeError, ValueError):
        return None
    return steps if np.isfinite(steps).all() and np.unique(steps).size == steps.size else None
