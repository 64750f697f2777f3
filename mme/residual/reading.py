"""The columns of a residual structure, read and checked; messages name the structure and the user's column."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from mme.errors import MMEError, warn
from mme.numeric.sums import pair_numbers
from mme.residual.base import Column
from mme.tables.arrays import as_array, check_range, numbers
from mme.tables.frame import Factor, WideColumn, intake, labels_of
from mme.tables.levels import factorise
from mme.tables.order import distances, in_turn, order_of, unequal
from mme.tables.times import as_one

# What labels need whose order matters.
_DECLARED = "a declared order: pd.Categorical(..., categories=[...], ordered=True), or an Enum of Polars"
# What to do about records of one group at the same time.
_REMEDY = "average them, or take a finer group, such as 'block/plot' where plots are numbered anew in each block"
_REMEDIES = {"Exponential": "average them, or say nugget=True for a measurement error of each record"}


@dataclass(frozen=True, eq=False)
class Labels:
    """Codes (n,) among printed ``levels``; of occasions their ``places`` in time, and how these are known."""

    codes: np.ndarray
    levels: list[str]
    title: str
    places: np.ndarray = field(default_factory=lambda: np.zeros(0))
    known: str = "numbers"

    @property
    def guessed(self) -> bool:
        """Whether nothing but the alphabet says that this is the order of the levels."""
        return self.known == "sorted"

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
        given = self._given(spec, title)
        values = numbers(given, f"{self.structure}: {title}")
        bad = ~np.isfinite(values)
        if bad.any():
            raise self.error(f"{title} has {int(bad.sum())} missing or infinite values; drop those records")
        check_range(float(np.abs(values).max(initial=0.0)), f"{self.structure}: {title}")
        return values, title

    def labels(self, spec: Any, role: str) -> Labels:
        """Codes and levels of a grouping column, or of several crossed: a table, or a list of arrays."""
        title, parts = _title(spec, role), _parts(spec)
        if parts is not None:
            if not parts:
                raise self.error(f"{title} has no columns; give a label for each record")
            return reduce(_crossed, [self.labels(part, role) for part in parts])
        codes, levels = factorise(self._given(spec, title), spec if isinstance(spec, str) else role)
        return Labels(codes, labels_of(levels), title)

    def times(self, spec: Any, role: str, groups: Labels) -> tuple[np.ndarray, str]:
        """Numbers (n,) of which those that differ by rounding alone are one, and the column's title."""
        values, title = self.numbers(spec, role)
        return as_one(groups.codes, values), title

    def steps(self, spec: Any, role: str, groups: Labels) -> tuple[np.ndarray, str]:
        """Times (n,), or the places of categories whose order is declared, one step apart; and the column's title."""
        title = _title(spec, role)
        column = self._column(spec, title)
        if not isinstance(column, Factor):
            return self.times(spec, role, groups)
        found = self.occasions(spec, role, groups)
        if found.guessed and (column.kind == "text" or self._is_doubtful(found, groups)):
            raise self.error(f"{title} must be numeric, got text ({found.levels[0]}); labels need {_DECLARED}")
        if found.known == "declared" and distances(found.levels, found.places) is not found.places:
            self.compare_spacing(found)
        return found.places[found.codes], title

    def occasions(self, spec: Any, role: str, groups: Labels) -> Labels:
        """Codes and levels of a column of occasions in their order (``order.py``)."""
        title = _title(spec, role)
        column = self._column(spec, title)
        if not isinstance(column, Factor):
            times = self.times(spec, role, groups)[0]
            places, first, codes = np.unique(times, return_index=True, return_inverse=True)
            shown = factorise(column[first], title)[1] if column.dtype.kind in "mM" else places
            return Labels(codes, labels_of(shown), title, places)
        order = order_of(column.categories, column.kind)
        codes, levels = factorise(Factor(column.codes, np.arange(column.categories.size)), title)
        sequence = np.argsort(order.places[levels], kind="stable")
        rank, kept = np.argsort(sequence), levels[sequence]
        return Labels(rank[codes], labels_of(column.categories[kept]), title, order.places[kept], order.known)

    def doubt(self, occasions: Labels, groups: Labels) -> None:
        """Say in what order labels are taken where nothing but the alphabet says so."""
        if self._is_doubtful(occasions, groups):
            warn(
                f"{self.structure} takes the levels of {occasions.title} in alphabetical order "
                f"({_shown(occasions.levels)}); another needs {_DECLARED}"
            )

    def compare_spacing(self, occasions: Labels) -> None:
        """Say so where levels are taken to be one step apart, but are not in their numbers or as they are declared."""
        if unequal(distances(occasions.levels, occasions.places)):
            warn(
                f"{self.structure} takes neighbouring levels of {occasions.title} to be one step apart, but they are "
                f"{_shown(occasions.levels)}; Exponential reads the distances"
            )

    def require_pairs(self, groups: Labels) -> None:
        """Refuse groups of one record each: nothing in them is correlated."""
        if (groups.sizes < 2).all():
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

    def _is_doubtful(self, occasions: Labels, groups: Labels) -> bool:
        """Whether another order than the alphabet's may be meant, and would be another model: not of two levels."""
        return occasions.guessed and occasions.J > 2 and not in_turn(groups.codes, occasions.codes)

    def _column(self, spec: Any, title: str) -> np.ndarray | Factor:
        """A column as numbers, dates or a factor."""
        column = intake(self._given(spec, title), title)
        if isinstance(column, WideColumn):
            raise self.error(f"{title} is a matrix of {len(column.suffixes)} columns; give one column")
        return column

    def _given(self, spec: Any, title: str) -> Any:
        """A column as it is, of the right length."""
        if not isinstance(spec, str) and as_array(spec, f"{self.structure}: {title}").ndim == 0:
            raise self.error(f"{title} must be the name of a column or an array, got {spec!r}")
        given = self.column(spec)
        given = getattr(given, "array", given)  # a pandas Series is its array
        values: Any = given if hasattr(given, "categories") else as_array(given, f"{self.structure}: {title}")
        if values.ndim != 1 or len(values) != self.n:
            found = f"{len(values)} values" if values.ndim == 1 else f"shape {values.shape}"
            raise self.error(f"{title} has {found} for {self.n} records")
        return given


def same_group(codes: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Which pairs of the records ``index`` are of one group."""
    return np.equal.outer(codes[index], codes[index])


def _parts(spec: Any) -> list[Any] | None:
    """The columns that are crossed: those of a table, or of a list of columns."""
    if hasattr(spec, "iloc") and hasattr(spec, "columns"):
        return [spec.iloc[:, j] for j in range(len(spec.columns))]
    if hasattr(spec, "get_columns") or hasattr(spec, "column_names"):  # of Polars, of Arrow
        return list(spec.get_columns() if hasattr(spec, "get_columns") else spec.columns)
    several = isinstance(spec, list | tuple) and bool(spec) and all(as_array(one, "a column").ndim == 1 for one in spec)
    return list(spec) if several else None


def _crossed(one: Labels, other: Labels) -> Labels:
    """The combinations of two columns that occur; the first varies slowest."""
    used, codes = np.unique(pair_numbers(one.codes, other.codes, one.J, other.J), return_inverse=True)
    pairs = [divmod(pair, other.J) for pair in used.tolist()]
    return Labels(codes, [f"{one.levels[i]}:{other.levels[j]}" for i, j in pairs], one.title)


def _shown(levels: list[str]) -> str:
    return ", ".join(levels[:8]) + (", ..." if len(levels) > 8 else "")


def _title(spec: Any, role: str) -> str:
    return f"{role} '{spec}'" if isinstance(spec, str) else role
