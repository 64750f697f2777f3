"""Columns of the table that a residual structure names, on the rows used."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula import grouping
from mme.formula.nesting import columns_of
from mme.residual.rstructure import RStructure
from mme.tables.frame import Factor, Frame, WideColumn, intake


def residual_column(frame: Frame, kept: np.ndarray, given: Any) -> Any:
    """A column by name, or an array with one value per row of the data, for the rows used.

    Categories keep their order, in a pandas Categorical. ``"a/b"``, ``"a:b"`` and lists of names are combinations.
    """
    names = (given,) if isinstance(given, str) and given in frame else columns_of(given)
    names = (given,) if isinstance(given, str) and not names else names
    if names and (isinstance(given, str) or len(names) != frame.n or names[0] in frame):
        parts = [_one_column(frame, name) for name in names]
        return _plain(parts[0])[kept] if len(parts) == 1 else _plain(grouping.code(parts, kept, names[0]))
    frame.check_order(given, "a column of the residual structure")
    column = intake(given, "residual")
    values = given if isinstance(column, WideColumn) else _plain(column)
    return values[kept] if len(values) == kept.size else values


def columns_read(residual: Any) -> tuple[str, ...]:
    """The column names that residual structures hold: rows that miss a value there are left out too."""
    structures = residual if isinstance(residual, list | tuple) else [residual]
    held = [value for one in structures if isinstance(one, RStructure) for value in one.reads()]
    names = [value for value in held if isinstance(value, str)]
    return (*names, *(name for value in held for name in columns_of(value)))


def _one_column(frame: Frame, name: str) -> np.ndarray | Factor:
    """A column that a residual structure names."""
    if name not in frame:
        raise MMEError(f"residual: there is no column '{name}' in the data ({', '.join(frame.names)})")
    column = frame.column(name)
    if isinstance(column, WideColumn):
        raise MMEError(f"residual: column '{name}' is a matrix of {len(column.suffixes)} columns; give one column")
    return column


def _plain(column: np.ndarray | Factor) -> Any:
    """A column as an array, or a Categorical whose categories have an order."""
    import pandas as pd

    if not isinstance(column, Factor):
        return column
    if column.kind == "text":
        return grouping.spelt_out(column)
    return pd.Categorical.from_codes(column.codes, column.categories, ordered=column.ordered)
