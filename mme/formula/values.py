"""Columns as the functions of a formula take them: numbers, truth values, labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.codings import Contrast
from mme.tables.arrays import shown
from mme.tables.coding import coded
from mme.tables.column import Column, Exact, Factor, WideColumn
from mme.tables.dates import days
from mme.tables.spelling import labels_of, places

State = dict[str, Any]


def numeric(value: Any, what: str) -> Any:
    """Return numbers, booleans as 0 and 1, dates and spans in days; refuse labels, naming ``what``."""
    if isinstance(value, Exact):
        return value.rounded
    if isinstance(value, Factor):
        if not value.logical:
            raise MMEError(f"{what} needs numbers, but {_labelled(value)}")
        return np.where(value.codes < 0, np.nan, value.codes)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "Mm":
            return days(value)
        return value.astype(float, copy=False)
    if isinstance(value, WideColumn) and value.values.shape[1] == 1:
        return value.values[:, 0]
    if isinstance(value, (int, float)):
        return value
    found = repr(value)
    if isinstance(value, WideColumn | Contrast):
        found = f"{len(value.suffixes)} columns" if isinstance(value, WideColumn) else "a contrast"
    raise MMEError(f"{what} needs numbers, one a row, but was given {found}")


def missing(value: Column) -> np.ndarray:
    """Return the (n,) mask of missing values."""
    if isinstance(value, Factor):
        return value.codes < 0
    if isinstance(value, WideColumn):
        return np.asarray(np.isnan(value.values).any(axis=1))
    return np.isnat(value) if value.dtype.kind in "Mm" else np.isnan(value)


def logical(truth: Any, *operands: Any) -> Factor:
    """Return a comparison as a factor of False and True, missing where an operand is."""
    codes = np.asarray(truth).astype(np.int64)
    for operand in operands:
        if isinstance(operand, np.ndarray):
            codes = np.where(np.isnan(operand), -1, codes)
    return Factor(codes, np.array([False, True]))


def examples(factor: Factor) -> str:
    """The first three labels of a factor, for messages."""
    labels = labels_of(factor.categories)
    return ", ".join(map(shown, labels[:3])) + (", ..." if len(labels) > 3 else "")


def _labelled(factor: Factor) -> str:
    """Why a factor is not numeric, in words: its labels, or the few of them that do not read as numbers."""
    labels = labels_of(factor.categories)
    strays = np.array([_number(label) is None for label in labels] + [False])[factor.codes]
    known = factor.codes >= 0
    if 2 * strays.sum() > known.sum():
        return f"was given labels ({examples(factor)})"
    if not strays.any():
        return f"was given text that spells them ({examples(factor)}): convert the column"
    row = int(strays.argmax())
    more = f", nor are {int(strays.sum()) - 1} others" if strays.sum() > 1 else ""
    return f"'{labels[factor.codes[row]]}' in row {row + 1} is none{more}; mend it, or make it missing"


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None


def finite(x: np.ndarray, name: str) -> np.ndarray:
    """The finite numbers of a column; a column without any is refused, naming the function that asked."""
    known: np.ndarray = x[np.isfinite(x)]
    if known.size == 0:
        raise MMEError(f"{name}() of a column that holds no number")
    return known


def as_factor(value: Any, what: str) -> Factor:
    """Code a column as a factor; numbers become labels, sorted as numbers."""
    if isinstance(value, Factor):
        return value
    if not isinstance(value, np.ndarray):
        raise MMEError(f"{what} needs a column")
    return coded(value, what)


def recoded(factor: Factor, labels: list[str]) -> np.ndarray:
    """Codes among these labels; -1 where one is missing, -2 where it is not among them."""
    place = places(factor.categories, np.array(labels, dtype=object))
    return np.append(np.where(place < 0, -2, place), -1)[factor.codes]


def remembered_codes(state: State, factor: Factor, occurring: bool, what: str) -> np.ndarray:
    """Codes among the labels of the fit: all that were declared, or those that occurred."""
    if "labels" not in state:
        here = np.bincount(factor.codes[factor.codes >= 0], minlength=factor.categories.size) > 0
        state["labels"] = labels_of(factor.categories[here] if occurring else factor.categories)
    codes = recoded(factor, state["labels"])
    if (codes == -2).any():
        label = labels_of(factor.categories)[factor.codes[np.argmax(codes == -2)]]
        raise MMEError(
            f"{what}: the fit did not see the level '{label}'; its levels were {quoted_list(state['labels'])}"
        )
    return codes


def as_list(value: Any) -> list[Any]:
    """One value, or the values of ``c()``, as a list."""
    return value if isinstance(value, list) else [value]


def quoted_list(labels: list[str]) -> str:
    """The first few labels in quotes, for messages."""
    return ", ".join(f"'{label}'" for label in labels[:8]) + (", ..." if len(labels) > 8 else "")
