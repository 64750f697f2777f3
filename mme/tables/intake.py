"""One column of any library -> numbers, dates or a coded factor, with the labels of :mod:`mme.tables.spelling`."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.coding import coded
from mme.tables.column import Column, Factor, WideColumn
from mme.tables.libraries import from_arrow, from_pandas, from_polars
from mme.tables.sequences import from_numpy, listed, masked, wide_column


def intake(values: Any, name: str, kind: str = "column") -> Column:
    """A column of any library as numbers (NaN is missing), dates (NaT) or a factor; several columns as a wide one.

    Raises
    ------
    MMEError
        It holds neither numbers nor labels; the message says ``kind 'name'``.

    Examples
    --------
    >>> intake([2, None, 1], "x"), intake(["b", None, "a"], "x").codes
    (array([ 2., nan,  1.]), array([ 1, -1,  0]))
    """
    if isinstance(values, Factor):
        return values
    title, kind_of = f"{kind} '{name}'", type(values)  # an attribute of a Series can be one of its labels
    if hasattr(kind_of, "iloc") and hasattr(kind_of, "columns"):
        return wide_column(values.to_numpy(), tuple(map(str, values.columns)), title)
    if hasattr(kind_of, "toarray"):  # of SciPy, sparse
        values = values.toarray()
        values = values.ravel() if 1 in values.shape else values
    return _read(values, title)


def labels(values: Any, name: str, kind: str) -> tuple[np.ndarray | Factor, Factor]:
    """A column of labels as it was read, and coded."""
    if np.ndim(values if isinstance(values, np.ndarray) else values[:1] if isinstance(values, list) else 0) > 1:
        raise MMEError(f"{kind} '{name}' must be one-dimensional, got {len(values)} rows of several values")
    column = intake(values, name, kind)
    factor = coded(column, name, kind)
    return factor if isinstance(column, WideColumn) else column, factor


def _read(values: Any, title: str) -> Column:
    """A column of any container, by the library that made it; what no library made is an array or a list."""
    kind = type(values)
    if hasattr(kind, "combine_chunks") or hasattr(kind, "dictionary_encode"):
        return from_arrow(values, title)
    if hasattr(kind, "to_physical"):
        return from_polars(values, title)
    if kind.__module__.partition(".")[0] == "pandas":
        return from_pandas(values, title)
    if isinstance(values, np.ma.MaskedArray):
        return masked(values.data, np.ma.getmaskarray(values), title)
    if isinstance(values, str | bytes) or not (hasattr(values, "__array__") or hasattr(values, "__iter__")):
        raise MMEError(f"{title} is of type {type(values).__name__}; give an array with a value for each row")
    return from_numpy(values if isinstance(values, np.ndarray) else listed(values), title)
