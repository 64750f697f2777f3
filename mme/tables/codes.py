"""Integers, floats or Python values -> integer codes and the values that occur, each once and in order."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.limits import limits
from mme.tables.column import Column, Exact, Factor
from mme.tables.spelling import label

# A dense presence table beats sorting while it is not much longer than the data.
_TABLE_PER_ROW = 4
# Whole numbers below are doubles without rounding.
EXACT = 2**53
# Beyond this many labels the import of pandas is repaid by its hashing.
HASH_ABOVE = 10_000
# Up to so many labels a dictionary is quicker, where pandas is loaded too.
_FEW = 1000
# Floats that differ by less, as a share of their size, may have one label.
_ALIKE = 1e-14


def coded_integers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,) of integers and the sorted integers that occur."""
    if values.size == 0:
        return np.zeros(0, dtype=np.int64), values
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest >= _TABLE_PER_ROW * values.size or highest >= 2**63:
        levels, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64, copy=False), levels if highest >= 2**63 else levels.astype(np.int64)
    offset = values.astype(np.int64, copy=False) - lowest
    present = np.zeros(highest - lowest + 1, dtype=bool)
    present[offset] = True
    (levels,) = present.nonzero()
    if levels.size == present.size:
        return offset, levels + lowest
    return (np.cumsum(present) - 1)[offset], levels + lowest


def narrow(codes: np.ndarray) -> np.ndarray:
    """Codes in 32 bits where there are many, half of the memory; sums and products of them belong into 64."""
    many = 2 * codes.size > limits().held_rows
    return codes.astype(np.int32, copy=False) if many and codes.max(initial=0) < 2**31 else codes


def code_present(present: np.ndarray, integers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code the integers that are present, -1 elsewhere."""
    if present.all():
        return coded_integers(integers)
    codes = np.full(integers.size, -1, dtype=np.int64)
    codes[present], levels = coded_integers(integers[present])
    return codes, levels


def coded_floats(values: np.ndarray) -> Factor:
    """Code floats: NaN is missing, and numbers apart by rounding alone are one level."""
    present = ~np.isnan(values)
    known = values if present.all() else values[present]
    if (np.abs(known) < EXACT).all() and (known == np.floor(known)).all():
        return Factor(*code_present(present, np.where(present, values, 0.0).astype(np.int64)))
    levels, within = np.unique(known, return_inverse=True)
    codes = np.full(values.size, -1, dtype=np.int64)
    codes[present] = within
    if values.dtype.itemsize < 8:  # 0.1 in single precision is the label 0.1
        levels = np.array([float(str(level)) for level in levels])
    levels = levels.astype(float, copy=False)
    with np.errstate(invalid="ignore"):  # of two infinities
        close = np.diff(levels) <= _ALIKE * np.abs(levels[1:])
    return told_apart(codes, levels) if close.any() else Factor(codes, levels)


def told_apart(codes: np.ndarray, levels: np.ndarray) -> Factor:
    """Levels of one label are one level; a level without one (None) is missing."""
    first: dict[str, int] = {}
    place = [-1 if value is None else first.setdefault(label(value), len(first)) for value in levels.tolist()]
    kept = np.unique(np.array(place), return_index=True)[1]
    kept = kept[np.array(place)[kept] >= 0]
    return Factor(np.array([*place, -1])[codes], levels[kept])


def with_gaps(values: np.ndarray, missing: np.ndarray) -> Column:
    """Integers of which some are missing: doubles that hold them, or else a factor that does."""
    known = values[~missing]
    if known.size == 0 or (int(known.max()) <= EXACT and int(known.min()) >= -EXACT):
        numbers = values.astype(float)
        numbers[missing] = np.nan
        return numbers
    return Exact(*code_present(~missing, values))


def as_text(factor: Factor) -> Factor:
    """The same factor, marked as a column of text."""
    return replace(factor, kind="text")


def distinct_values(values: np.ndarray, title: str) -> tuple[np.ndarray, list[Any]]:
    """Codes by first appearance, -1 for None, and the values."""
    try:
        if values.size > HASH_ABOVE or (values.size > _FEW and "pandas" in sys.modules):
            import pandas as pd

            codes, distinct = pd.factorize(values)
            return codes.astype(np.int64, copy=False), list(distinct)
        given = values.tolist()
        first = dict.fromkeys(given)
        first.pop(None, None)
        place = {value: i for i, value in enumerate(first)} | {None: -1}
        codes = np.array([place[value] for value in given], dtype=np.int64)
    except TypeError:
        raise MMEError(f"{title} holds lists or other objects; give labels or numbers") from None
    return codes, list(first)


def all_missing(values: Any) -> np.ndarray:
    """A column in which everything is missing."""
    return np.full(len(values), np.nan)


def in_order(codes: np.ndarray, levels: list[Any]) -> Factor:
    """A factor with these levels in order; ``codes`` (n,) are places among ``levels`` as they are, -1 for none."""
    by_value = sorted(range(len(levels)), key=levels.__getitem__)
    rank = np.full(len(levels) + 1, -1)  # the code -1 finds the last place
    rank[by_value] = np.arange(len(levels))
    return Factor(rank[codes], object_array([levels[j] for j in by_value]))


def object_array(values: Sequence[Any]) -> np.ndarray:
    """Any values as an array of objects with one dimension, lists among them too."""
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out
