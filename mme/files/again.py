"""The one check of a whole record: what was read, written again, is what was read.

Whatever reading drops, completes, converts or overlooks differs there: a field too many, an array of another kind, a
covariance that is not of its parameters. Numbers that are computed anew may differ by rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError

# Rounding of what another machine computes anew, as a share of the largest number of its array.
_SAME = 1e-6


def require_same(read: Any, written: Any, where: str = "") -> None:
    """Refuse a content that is not what the record made of it would be written as.

    Parameters
    ----------
    read, written : mapping
        The content of the file, and that of the record. What the file lacks, an earlier version may not have had.

    Raises
    ------
    MMEError
        They differ; the message says where.

    Examples
    --------
    >>> require_same({"a": 1.0}, {"a": 1.0 + 1e-12, "b": None})
    >>> require_same({"a": (1, 2)}, {"a": (1, 3)})
    Traceback (most recent call last):
    mme.errors.MMEError: the file holds something else at a/1 than its fit has
    """
    if unknown := set(read) - set(written):
        raise MMEError(f"the file holds {sorted(map(str, unknown))[0][:40]!r}, which is not part of a fit")
    for name, value in read.items():
        if (place := _difference(value, written[name], f"{where}{name}")) is not None:
            raise MMEError(f"the file holds something else at {place[:80]} than its fit has")


def _difference(one: Any, other: Any, place: str) -> str | None:
    """Where two values differ first; None: nowhere."""
    if one is other:
        return None
    if isinstance(one, np.ndarray):
        return None if isinstance(other, np.ndarray) and _same_arrays(one, other) else place
    if isinstance(one, float) and isinstance(other, float):
        return None if _same_arrays(np.array(one), np.array(other)) else place
    if type(one) is not type(other):
        return place
    if is_dataclass(one) and not isinstance(one, type):
        names = [field.name for field in fields(one)]
        return _first(((getattr(one, name), getattr(other, name)) for name in names), names, place)
    if isinstance(one, Mapping):
        if list(one) != list(other):
            return place
        return _first(zip(one.values(), other.values(), strict=True), list(one), place)
    if isinstance(one, list | tuple):
        return _first(zip(one, other, strict=True), range(len(one)), place) if len(one) == len(other) else place
    return None if not isinstance(one, bool | int | str) or one == other else place


def _first(pairs: Any, names: Any, place: str) -> str | None:
    for (one, other), name in zip(pairs, names, strict=True):
        if (found := _difference(one, other, f"{place}/{name}")) is not None:
            return found
    return None


def _same_arrays(one: np.ndarray, other: np.ndarray) -> bool:
    if (one.dtype != other.dtype and {one.dtype.kind, other.dtype.kind} != {"i"}) or one.shape != other.shape:
        return False  # codes have the width that their levels need, earlier files the widest
    if one.dtype.kind != "f":
        return bool((one == other).all()) if one.dtype.kind != "O" else _same_labels(one.tolist(), other.tolist())
    finite = np.isfinite(one)
    if not np.array_equal(finite, np.isfinite(other)) or not np.array_equal(one[~finite], other[~finite], True):
        return False
    largest = float(np.abs(one[finite]).max(initial=0.0))
    return bool((np.abs(one[finite] - other[finite]) <= _SAME * largest).all())


def _same_labels(one: list[Any], other: list[Any]) -> bool:
    return all(type(a) is type(b) and (a == b or (a != a and b != b)) for a, b in zip(one, other, strict=True))
