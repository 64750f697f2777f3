"""The values at which covariates are held by default, as :mod:`mme.formula.typical` defines them, from chunks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from mme.errors import MMEError
from mme.formula.columns import Coded, Variable
from mme.formula.reading import Reading
from mme.formula.syntax import Node, deparse, names_in
from mme.formula.values import numeric
from mme.tables.column import Column, WideColumn

# So many values usually show that a column has more than two.
_FIRST = 64


@dataclass(frozen=True)
class Seen:
    """What was seen of a column: the number of values, their sum, and the values themselves while they are two."""

    count: int
    total: float
    values: frozenset[float] | None

    @classmethod
    def of(cls, column: np.ndarray) -> Seen:
        """Note the finite values of a column."""
        known, total = column, float(column.sum())
        if not isfinite(total):
            known = column[np.isfinite(column)]
            total = float(known.sum())
        return cls(known.size, total, _two_at_most(known))

    def __add__(self, other: Seen) -> Seen:
        both = None if self.values is None or other.values is None else self.values | other.values
        return Seen(self.count + other.count, self.total + other.total, None if both and len(both) > 2 else both)

    @property
    def mean(self) -> float:
        """The mean of what was seen."""
        return self.total / self.count if self.count else float("nan")

    @property
    def two(self) -> tuple[float, float] | None:
        """The two values of a column that has no others."""
        if self.values is None or len(self.values) != 2:
            return None
        low, high = sorted(self.values)
        return low, high

    @property
    def middle(self) -> float:
        """The mean; of a column of two values that of the two."""
        return self.mean if self.two is None else 0.5 * (self.two[0] + self.two[1])


# By the name of the column.
Typical = dict[str, Seen]


def together(one: Typical, other: Typical) -> Typical:
    """Join what was seen in the chunks of both."""
    return {**one, **other, **{name: one[name] + other[name] for name in one if name in other}}


def typical_of(reading: Reading, variables: Mapping[Node, Variable], rows: np.ndarray | None) -> Typical:
    """What the rows of a chunk show of the columns that covariates of the fixed part are made of."""
    frame = reading.evaluator.frame
    covariates = [node for node in reading.fixed.variables if not isinstance(variables[node], Coded)]
    found: Typical = {}
    for name in sorted(set().union(*map(names_in, covariates)) & set(frame.names)):
        found |= _of_column(frame.column(name), name, rows)
    for node in covariates:
        names, variable = names_in(node) & set(frame.names), variables[node]
        if isinstance(variable, Coded) or not names or not names.isdisjoint(found):
            continue
        columns, suffixes = (
            (variable.values, variable.suffixes) if isinstance(variable, WideColumn) else (variable[:, None], ("",))
        )
        found |= {deparse(node) + end: Seen.of(column) for end, column in zip(suffixes, columns.T, strict=True)}
    return found


def _of_column(column: Column, name: str, rows: np.ndarray | None) -> Typical:
    if isinstance(column, WideColumn):
        values = column.values if rows is None else column.values[rows]
        return {name + end: Seen.of(one) for end, one in zip(column.suffixes, values.T, strict=True)}
    try:
        values = np.asarray(numeric(column, name))
    except MMEError:
        return {}
    return {name: Seen.of(values if rows is None else values[rows])}


def _two_at_most(values: np.ndarray) -> frozenset[float] | None:
    if len(set(values[:_FIRST].tolist())) > 2:
        return None
    if not values.size:
        return frozenset()
    low, high = float(values.min()), float(values.max())
    return frozenset({low, high}) if ((values == low) | (values == high)).all() else None
