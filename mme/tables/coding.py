"""Any column -> a factor; the declared categories of any library keep their order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables import dates
from mme.tables.codes import code_present, coded_floats, coded_integers, object_array, told_apart
from mme.tables.column import Column, Factor, WideColumn
from mme.tables.objects import from_objects, is_text
from mme.tables.sequences import from_numpy
from mme.tables.spelling import labels_of


def coded(values: Column, name: str, kind: str = "column") -> Factor:
    """Code an array of numbers, dates or labels; levels sorted (text by code point), missing ones -1.

    Examples
    --------
    >>> made = coded(np.array([3.0, np.nan, 1.0]), "x")
    >>> made.codes.tolist(), made.categories.tolist()
    ([1, -1, 0], [1, 3])
    """
    if isinstance(values, Factor):
        return values
    if isinstance(values, WideColumn):
        raise MMEError(f"{kind} '{name}' must be one-dimensional, got shape {values.values.shape}")
    if values.dtype.kind in "iu":
        return Factor(*coded_integers(values))
    if values.dtype.kind == "f":
        return coded_floats(values)
    if values.dtype.kind in "Mm":
        codes, moments = code_present(~np.isnat(values), values.astype(np.int64, copy=False))
        return Factor(codes, object_array(dates.text_of(moments.astype(values.dtype))))
    return coded(from_objects(values, f"{kind} '{name}'"), name, kind)


def declared(codes: np.ndarray, categories: Any, title: str, ordered: bool) -> Factor:
    """A categorical of any library: its order is kept."""
    held = categories if isinstance(categories, np.ndarray) else object_array(list(categories))
    if held.dtype.kind != "O" or not is_text(held.tolist()):
        held = _levels(from_numpy(held, title), title)
    factor = told_apart(codes, held) if _repeats(held) else Factor(codes, held)
    return replace(factor, kind="ordered") if ordered else factor


def _levels(column: Column, title: str) -> np.ndarray:
    """The values of a column as levels: integers or floats where all are, FALSE and TRUE, or labels."""
    factor = coded(column, "", title)
    codes, categories = factor.codes, factor.categories
    if categories.dtype.kind in "iuf" and codes.size and codes.min() >= 0:
        return categories[codes]
    if factor.logical and codes.tolist() == [0, 1]:
        return categories
    texts = categories if categories.dtype.kind == "O" else object_array(labels_of(categories))
    return object_array([*texts.tolist(), None])[codes]


def _repeats(levels: np.ndarray) -> bool:
    """Whether two levels have one label, or one has none."""
    if levels.dtype.kind in "iu":
        return bool(np.unique(levels).size < levels.size)
    values = levels.tolist()
    if levels.dtype.kind == "O" and is_text(values):
        return len(set(values)) < len(values)
    return len(set(labels_of(levels))) < len(values) or (levels.dtype.kind == "O" and None in values)
