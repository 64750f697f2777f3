"""Lists and NumPy's arrays -> columns."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import numbers
from mme.tables.codes import EXACT, object_array, with_gaps
from mme.tables.column import Column, Factor, WideColumn
from mme.tables.objects import cleared, coded_text, from_objects


def wide_column(values: Any, names: tuple[str, ...], title: str) -> WideColumn:
    """Several columns under one name, as a matrix in R's data frames; one alone has no suffix."""
    values = numbers(values, title)
    if values.shape[1] == 0:
        raise MMEError(f"{title} is a matrix without columns")
    return WideColumn(values, names if values.shape[1] > 1 else ("",))


def listed(values: Any) -> np.ndarray:
    """A list, a tuple or any object that NumPy makes an array of; text stays apart from numbers and missing values."""
    try:
        array = np.asarray(values if hasattr(values, "__array__") or hasattr(values, "__len__") else list(values))
    except ValueError:  # lists of different lengths
        return object_array(list(values))
    mixed = array.dtype.kind in "US" or (array.dtype.kind == "f" and (np.abs(array) >= EXACT).any())
    return object_array(list(values)) if mixed and array.ndim == 1 and not hasattr(values, "__array__") else array


def masked(values: np.ndarray, mask: np.ndarray, title: str) -> Column:
    """A masked array as a column whose masked rows are missing."""
    if values.ndim != 1 or not mask.any():
        return from_numpy(np.where(mask, np.nan, values) if mask.any() else values, title)
    if values.dtype.kind in "iu":
        return with_gaps(values, mask)
    if values.dtype.kind == "f":
        return np.where(mask, np.nan, values)
    if values.dtype.kind in "Mm":
        return np.where(mask, np.array("NaT", dtype=values.dtype), values)
    return from_numpy(cleared(values.astype(object), mask), title)


def from_numpy(values: np.ndarray, title: str) -> Column:
    """An array as a column: numbers and dates as they are, labels and booleans coded, two dimensions a wide column."""
    if values.ndim == 2:
        return wide_column(values, tuple(str(j + 1) for j in range(values.shape[1])), title)
    if values.ndim != 1:
        raise MMEError(f"{title} must have one dimension, or two for a matrix; got shape {values.shape}")
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "b":
        return Factor(values.astype(np.int64), np.array([False, True]))
    if values.dtype.kind in "iuM" or (values.dtype.kind == "f" and values.dtype.itemsize <= 8):
        return values
    if values.dtype.kind == "m":
        return values
    if values.dtype.kind == "f":
        return values.astype(float)
    if values.dtype.kind == "U":
        return coded_text(values.astype(object), title)
    if values.dtype.kind in "OST":
        return from_objects(values.astype(object, copy=False), title)
    raise MMEError(f"{title} holds {values.dtype} values; give real numbers or labels")
