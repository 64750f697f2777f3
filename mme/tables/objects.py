"""Arrays of Python objects -> numbers, dates or a factor, by what the objects are."""

from __future__ import annotations

import sys
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables import dates
from mme.tables.codes import (
    HASH_ABOVE,
    all_missing,
    as_text,
    distinct_values,
    in_order,
    object_array,
    told_apart,
    with_gaps,
)
from mme.tables.column import Column, Exact, Factor
from mme.tables.spelling import label, labels_of


def from_objects(values: np.ndarray, title: str) -> Column:
    """A column of Python objects by what they are: all text, all numbers, all dates, or labels of several kinds."""
    kind = _plain(values)
    if kind == "text":
        return coded_text(values, title)
    if kind == "integers":
        return _of_integers(values, values, np.zeros(values.size, dtype=bool))
    missing = _missing(values)
    present = values[~missing] if missing.any() else values
    types = set(map(type, present.tolist()))
    if not types:
        return all_missing(values)
    if _all(types, str):
        return coded_text(cleared(values, missing), title)
    if _all(types, bool | np.bool_):
        codes = np.full(values.size, -1, dtype=np.int64)
        codes[~missing] = present.astype(bool)
        return Factor(codes, np.array([False, True]))
    if _all(types, dates.DATES) or _all(types, dates.SPANS):
        codes, distinct = distinct_values(cleared(values, missing), title)
        return dates.from_objects([*distinct, None])[codes]  # the code -1 finds the last place
    if _all(types, int | np.integer) and not _any(types, bool | np.timedelta64):
        return _of_integers(values, present, missing)
    if _all(types, Real | Decimal | np.floating) and not _any(types, bool | np.bool_ | np.timedelta64):
        return _of_reals(present, missing, types)
    strange = next((value for value in present.tolist() if isinstance(value, _NO_LABELS)), None)
    if strange is not None:
        raise MMEError(
            f"{title} holds lists or other objects ({type(strange).__name__}), where a row has one value; give labels "
            "or numbers"
        )
    return _of_several_kinds(cleared(values, missing), title)


def cleared(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """A copy of the objects (n,) with None where they are missing."""
    if not missing.any():
        return values
    held = values.copy()
    held[missing] = None
    return held


_NO_LABELS = (list, dict, set, np.ndarray, complex)


def _all(types: set[type], wanted: Any) -> bool:
    return all(issubclass(kind, wanted) for kind in types)


def _any(types: set[type], wanted: Any) -> bool:
    return any(issubclass(kind, wanted) for kind in types)


def _plain(values: np.ndarray) -> str:
    """What long columns often are, found at once: ``"text"``, ``"integers"``, or ``""``."""
    if values.size > HASH_ABOVE:
        import pandas as pd

        return {"string": "text", "integer": "integers"}.get(pd.api.types.infer_dtype(values, skipna=False), "")
    return "text" if is_text(values.tolist()) else ""


def _missing(values: np.ndarray) -> np.ndarray:
    if values.size > HASH_ABOVE or "pandas" in sys.modules:
        import pandas as pd

        try:
            return np.asarray(pd.isna(values))
        except ArithmeticError:  # a Decimal that signals cannot be compared
            signals = [isinstance(value, Decimal) and value.is_nan() for value in values.tolist()]
            return np.asarray(pd.isna(np.where(signals, np.nan, values)))
    return np.array([value is None or _is_no_number(value) for value in values.tolist()], dtype=bool)


def _is_no_number(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def coded_text(values: np.ndarray, title: str) -> Column:
    """Code an array of texts (n,) by its sorted distinct values; empty cells are missing."""
    if values.size > HASH_ABOVE:
        codes, texts = distinct_values(values, title)
        return as_text(in_order(codes, [str(text) for text in texts])) if texts else all_missing(values)
    given = values.tolist()
    levels = sorted(map(str, set(given).difference((None,))))
    place: dict[Any, int] = {text: code for code, text in enumerate(levels)} | {None: -1}
    codes = np.array([place[text] for text in given], dtype=np.int64)
    return Factor(codes, object_array(levels), "text") if levels else all_missing(values)


def _of_integers(values: np.ndarray, present: np.ndarray, missing: np.ndarray) -> Column:
    try:
        numbers = (np.where(missing, 0, values) if missing.any() else values).astype(np.int64)
    except OverflowError:
        codes = np.full(values.size, -1, dtype=np.int64)
        within, levels = distinct_values(np.array([int(value) for value in present.tolist()], dtype=object), "")
        codes[~missing] = within
        ordered = in_order(codes, levels)
        return Exact(ordered.codes, ordered.categories)
    return with_gaps(numbers, missing) if missing.any() else numbers


def _of_reals(present: np.ndarray, missing: np.ndarray, types: set[type]) -> Column:
    numbers = np.full(missing.size, np.nan)
    numbers[~missing] = present.astype(float)
    if Decimal not in types:
        return numbers
    codes, distinct = distinct_values(present, "")
    long = [value for value in distinct if isinstance(value, Decimal) and len(value.as_tuple().digits) > 15]
    if not long or all(Decimal(float(value)) == value for value in long):
        return numbers
    everywhere = np.full(missing.size, -1, dtype=np.int64)
    everywhere[~missing] = codes
    ordered = in_order(everywhere, distinct)
    ordered = told_apart(ordered.codes, ordered.categories)
    return Exact(ordered.codes, object_array(labels_of(ordered.categories)))


def _of_several_kinds(values: np.ndarray, title: str) -> Factor:
    """Each value by its label: 1 and "1" are one, 1 and True are two, though Python has them equal."""
    if _any(set(map(type, values.tolist())), bool | np.bool_):
        values = object_array([label(v) if isinstance(v, bool | np.bool_) else v for v in values.tolist()])
    codes, levels = distinct_values(values, title)
    try:
        factor = in_order(codes, levels)
        return as_text(told_apart(factor.codes, object_array(_printed(factor.categories.tolist(), title))))
    except TypeError:  # several types have no order
        apart = told_apart(codes, object_array(_printed(levels, title)))
        return as_text(in_order(apart.codes, apart.categories.tolist()))


def _printed(values: list[Any], title: str) -> list[str]:
    try:
        return [label(value) for value in values]
    except UnicodeDecodeError:
        raise MMEError(f"{title} holds bytes that are not text in UTF-8; decode them first") from None


def is_text(values: list[Any]) -> bool:
    """Whether every value is a ``str``."""
    return set(map(type, values)) <= {str}
