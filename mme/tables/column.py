"""What a column of a table is, whatever library it came from: an array, a coded factor, or several under one name."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Factor:
    """A coded column: row i holds ``categories[codes[i]]``, code -1 is a missing value.

    Categories are integers, floats, booleans or text, and no two of them have one label. ``kind`` is ``"text"`` of a
    column of text, which is no factor to R's ``as.numeric``, ``"ordered"`` where the categories are declared to have an
    order, ``"factor"`` otherwise.
    """

    codes: np.ndarray
    categories: np.ndarray
    kind: str = "factor"

    @property
    def logical(self) -> bool:
        """Whether the two categories are False and True."""
        return self.categories.dtype.kind == "b"

    @property
    def ordered(self) -> bool:
        """Whether the categories are declared to have an order."""
        return self.kind == "ordered"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.codes.size)

    def chosen(self, rows: np.ndarray) -> Factor:
        """These rows of it."""
        return replace(self, codes=self.codes[rows])


class Exact(Factor):
    """Numbers with more digits than doubles have: as labels they keep all digits, as covariates they are rounded."""

    @property
    def rounded(self) -> np.ndarray:
        """The numbers as doubles, missing ones NaN."""
        return np.append([float(value) for value in self.categories.tolist()], np.nan)[self.codes]


@dataclass(frozen=True)
class WideColumn:
    """Several columns under one name; ``suffixes`` follow it in the names of the coefficients."""

    values: np.ndarray
    suffixes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def chosen(self, rows: np.ndarray) -> WideColumn:
        """These rows of it."""
        return replace(self, values=self.values[rows])


Column = np.ndarray | Factor | WideColumn
# What a column holds, in words, by column.
Kinds = dict[str, str]


def kind_of(column: Column) -> str:
    """What a column holds, in a word or two; the empty text for a column without a value."""
    if isinstance(column, WideColumn):
        return f"{len(column.suffixes)} columns"
    if isinstance(column, Factor):
        return "truth values" if column.logical else "labels" if column.categories.size else ""
    if column.dtype.kind in "Mm":
        return "dates"
    if column.dtype.kind != "f" or (column.size and not np.isnan(column[0])):
        return "numbers"
    return "" if np.isnan(column).all() else "numbers"
