"""Where the records of a fit lie: whole-numbered rows and columns, in one field or several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.plot.pictured import Pictured
from mme.tables.arrays import as_array
from mme.tables.column import Factor, WideColumn
from mme.tables.levels import factorise

# Places are whole numbers to within this, which leaves room for those that were computed.
_WHOLE = 1e-6


@dataclass(frozen=True, eq=False)
class PlotPlaces:
    """Coordinates of the records (n,) by name, as numbers and as given; ``members`` are the rows of each field."""

    names: tuple[str, ...]
    numbers: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]
    called: str
    labels: np.ndarray
    fields: tuple[Any, ...]
    members: tuple[np.ndarray, ...]


def places_of(seen: Pictured, given: Sequence[Any], by: Any) -> PlotPlaces:
    """Read coordinates, each a column or an array, and the factor of separate fields.

    Raises
    ------
    MMEError
        There is no such column, it holds no numbers, or not whole ones; an array has another length.
    """
    words = ("row", "col")
    read = [_column(seen, one, word) for one, word in zip(given, words, strict=True)]
    numbers = tuple(_whole(values, name) for name, values in read)
    n = seen.fit.model.n
    called, labels = ("field", np.full(n, "")) if by is None else _column(seen, by, "by")
    codes, fields = factorise(labels, called)
    order = np.argsort(codes, kind="stable")
    members = tuple(np.split(order, np.cumsum(np.bincount(codes))[:-1]))
    names = tuple(name for name, _ in read)
    values = tuple(values for _, values in read)
    return PlotPlaces(names, numbers, values, called, labels, tuple(fields.tolist()), members)


def _column(seen: Pictured, given: Any, role: str) -> tuple[str, np.ndarray]:
    """The name and the values (n,) of a column of the table, or of an array."""
    n = seen.fit.model.n
    if not isinstance(given, str):
        values = as_array(given, role)
        if values.shape != (n,):
            raise MMEError(f"{role} must be a column, or {n} values, one a record; got shape {values.shape}")
        return str(getattr(given, "name", None) or role), values
    if seen.frame is None:
        raise MMEError(f"{role}: this fit has not kept its table; give the {n} values of '{given}' themselves")
    if given not in seen.frame:
        raise MMEError(f"{role}: unknown column '{given}'")
    column = seen.frame.column(given)
    if isinstance(column, WideColumn):
        raise MMEError(f"{role}: '{given}' has {len(column.suffixes)} columns; give one of them")
    return given, column.categories[column.codes] if isinstance(column, Factor) else column


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise MMEError(f"'{name}' must hold numbers of rows or columns, got {values[0]!r}") from None
    odd = ~(np.abs(numbers - np.rint(numbers)) < _WHOLE)
    if odd.any():
        raise MMEError(f"'{name}' must be whole numbers of plots, got {numbers[odd][0]:g}")
    return numbers
