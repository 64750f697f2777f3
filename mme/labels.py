"""Columns of labels as users have them -> integer codes in order of appearance, missing values told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError

# Labels a message lists before it counts.
_NAMED = 5
# Beyond this many labels the import of pandas is repaid by its hashing.
_HASH_ABOVE = 10_000


def labels_of(given: Any, what: str) -> list[Any]:
    """A column of labels as a list; missing values become None, whole floats integers.

    Examples
    --------
    >>> labels_of(["a", float("nan"), None, 3.0], "sire")
    ['a', None, None, 3.0]
    >>> labels_of(np.array([7.0, np.nan]), "sire")
    [7, None]
    """
    codes, distinct = code_columns({what: given})
    return [None if code < 0 else distinct[code] for code in codes[what].tolist()]


def code_columns(columns: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Code columns together: ``distinct[codes[column][i]]`` is the label, in order of appearance; -1 is missing.

    Raises
    ------
    MMEError
        A column is no one-dimensional sequence of strings or numbers.

    Examples
    --------
    >>> codes, distinct = code_columns({"animal": ["b", "a"], "sire": ["c", None]})
    >>> {column: code.tolist() for column, code in codes.items()}, distinct
    ({'animal': [0, 1], 'sire': [2, -1]}, ['b', 'a', 'c'])
    """
    arrays = {what: _column(given, what) for what, given in columns.items()}
    kind = np.dtype(np.int64) if all(a.dtype.kind == "i" for a in arrays.values()) else np.dtype(object)
    together = np.concatenate([array.astype(kind, copy=False) for array in arrays.values()])
    try:
        codes, distinct = _hashed(together)
    except TypeError as error:
        raise MMEError(f"{', '.join(columns)}: labels must be strings or numbers ({error})") from None
    ends = np.cumsum([array.size for array in arrays.values()])
    return dict(zip(arrays, np.split(codes, ends[:-1]), strict=True)), distinct


def label_array(labels: Sequence[Any]) -> np.ndarray:
    """Labels as an array of integers where all are, of objects otherwise."""
    if labels and all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in labels):
        try:
            return np.array(labels, dtype=np.int64)
        except OverflowError:
            pass
    return _object_array(labels)


def name(labels: Iterable[Any]) -> str:
    """Write a few labels out and count the others.

    Examples
    --------
    >>> name(["a", "b"]), name(range(7))
    ("'a', 'b'", '0, 1, 2, 3, 4 and 2 more')
    """
    every = list(labels)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(repr(label) for label in every[:_NAMED]) + more


def _column(given: Any, what: str) -> np.ndarray:
    """A column as int64 where all labels are integers, as objects otherwise."""
    given = getattr(given, "array", given)  # a pandas Series is its array
    if hasattr(given, "__array__"):
        column = np.asarray(given)
    elif isinstance(given, str) or not isinstance(given, Iterable):
        raise MMEError(f"{what}: a column of labels is needed, got {given!r}")
    else:
        column = _object_array(list(given))  # NumPy itself would make text of NaN beside strings
    if column.ndim != 1:
        raise MMEError(f"{what}: labels must be one-dimensional, got shape {column.shape}")
    if column.dtype.kind == "i":
        return column.astype(np.int64, copy=False)
    return _whole(column) if column.dtype.kind == "f" else column.astype(object)


def _whole(column: np.ndarray) -> np.ndarray:
    """Integers that a missing value has made floats, as integers again."""
    missing = np.isnan(column)
    numbers = np.where(missing, 0.0, column)
    if not (np.abs(numbers) < 2**53).all() or (numbers != np.floor(numbers)).any():
        return column.astype(object)
    if not missing.any():
        return numbers.astype(np.int64)
    labels = numbers.astype(np.int64).astype(object)
    labels[missing] = None
    return labels


def _hashed(labels: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    if labels.size > _HASH_ABOVE:
        import pandas as pd

        codes, distinct = pd.factorize(labels)
        return codes.astype(np.int64, copy=False), distinct.tolist()
    position: dict[Any, int] = {}
    for label in labels.tolist():
        if not _is_missing(label):
            position.setdefault(label, len(position))
    # a missing value may not be equal to itself
    codes = np.array([-1 if _is_missing(x) else position[x] for x in labels.tolist()], dtype=np.int64)
    return codes, list(position)


def _is_missing(label: Any) -> bool:
    return label is None or type(label).__name__ in ("NAType", "NaTType") or label != label


def _object_array(labels: Sequence[Any]) -> np.ndarray:
    out = np.empty(len(labels), dtype=object)
    out[:] = labels
    return out
