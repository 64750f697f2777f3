"""What a user gives as numbers -> float arrays of our own, or a sentence that says what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables import dates

# Beyond these sizes products of a few numbers leave the range of doubles (1e-308 to 1e308) and sums of squares turn
# into zero or infinity: silently another model.
LARGEST, SMALLEST = 1e100, 1e-100
# Signs of a value that a message shows.
_LONGEST = 60


def numbers(values: Any, what: str) -> np.ndarray:
    """A float array of these values, missing ones NaN; dates and spans of time in days (:mod:`mme.tables.dates`).

    The array is new, unless what is given cannot change: a float array that owns its memory and is read only.

    Raises
    ------
    MMEError
        They are text, complex or objects: a label is not a number even if it reads like one.

    Examples
    --------
    >>> numbers([1, None, 2.5], "y")
    array([1. , nan, 2.5])
    """
    if isinstance(values, np.ma.MaskedArray):
        held = values.data.astype(values.dtype if values.dtype.kind in "fcMm" else object)
        held[np.ma.getmaskarray(values)] = _gap(values.dtype)
        values = held
    array = as_array(values, what)
    if array.dtype.kind in "biuf":
        fixed = array.dtype == float and array.flags.owndata and not array.flags.writeable
        return array if fixed else np.array(array, dtype=float)
    if array.dtype.kind in "Mm":
        return dates.days(array)
    if array.dtype.kind == "O":
        flat = [None if _absent(value) else value for value in array.ravel().tolist()]
        known = [value for value in flat if value is not None]
        if known and any(all(isinstance(value, kind) for value in known) for kind in (dates.DATES, dates.SPANS)):
            return dates.days(dates.from_objects(flat)).reshape(array.shape)
        odd = [value for value in known if not isinstance(value, Real | Decimal | np.bool_)]
        if odd:
            raise MMEError(f"{what} must be numeric, got {type(odd[0]).__name__} ({shown(odd[0])})")
        try:
            return np.array([np.nan if value is None else float(value) for value in flat]).reshape(array.shape)
        except OverflowError:
            raise MMEError(f"{what} has a whole number beyond 1e308, the largest of doubles") from None
    example = f" ({str(array.flat[0])[:_LONGEST]})" if array.size else ""
    kind = "complex numbers" if array.dtype.kind == "c" else "text" if array.dtype.kind in "UST" else str(array.dtype)
    raise MMEError(f"{what} must be numeric, got {kind}{example}")


def numbers_by_column(values: Any, names: Sequence[Any], what: str) -> np.ndarray:
    """A float array (n, m) of these values; a column that holds no numbers is named.

    Examples
    --------
    >>> numbers_by_column(np.array([[1, "a"]], dtype=object), ["x", "f"], "response")
    Traceback (most recent call last):
    mme.errors.MMEError: response 'f' must be numeric, got str ('a')
    """
    try:
        return numbers(values, what)
    except MMEError:
        for j, name in enumerate(names):
            numbers(values[:, j], f"{what} {shown(name)}")
        raise


def as_array(values: Any, what: str) -> np.ndarray:
    """What a user gives, as an array; an array of objects where NumPy has no type for the numbers of its library."""
    try:
        return np.asarray(values)
    except Exception:  # of any library, or of lists of several lengths
        listed = getattr(values, "to_list", None) or getattr(values, "to_pylist", None)
        given = listed() if listed else []
    if not given or any(isinstance(value, list) for value in given):
        raise MMEError(f"{what} must be one value a row, got rows that hold several values or none") from None
    held = np.empty(len(given), dtype=object)
    held[:] = given
    return held


def dimensions(values: Any) -> int:
    """How many axes an array has, or what could be one: 0 for a number; lists of several lengths are one axis.

    Examples
    --------
    >>> dimensions(2.0), dimensions([1, 2]), dimensions([[1, 2], [3]]), dimensions(np.ones((2, 3)))
    (0, 1, 1, 2)
    """
    try:
        return np.ndim(values)
    except ValueError:
        return 1


def shown(value: Any) -> str:
    """A value in a message: as Python writes it, on one line, cut where it is long.

    Examples
    --------
    >>> shown(np.int64(7)), shown([np.str_("a"), np.True_]), shown("a" * 99)
    ('7', "['a', True]", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...")
    """
    text = " ".join(repr(_plain(value)).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def _plain(value: Any) -> Any:
    """A value with Python's scalars for NumPy's, those in lists, tuples and dicts too."""
    if isinstance(value, np.generic):
        return value.item()
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    if type(value) is dict:
        return {_plain(key): _plain(own) for key, own in value.items()}
    return value


def check_range(largest: float, what: str) -> None:
    """Refuse numbers, of this largest size, whose squares or products would overflow or vanish."""
    if largest > LARGEST or 0.0 < largest < SMALLEST:
        raise MMEError(
            f"{what} has values of size {largest:.0e}: their squares and products leave the range of double precision; "
            "give it in other units"
        )


def _gap(dtype: np.dtype) -> Any:
    """What stands for a masked value."""
    return np.nan if dtype.kind in "fc" else np.array("NaT", dtype=dtype) if dtype.kind in "Mm" else None


def _absent(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()  # one that signals cannot be compared
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):  # pandas' NA is neither equal to itself nor unequal; nor, as a whole, is an array
        return not hasattr(value, "__len__")
