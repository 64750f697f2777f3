"""Columns of labels as users have them -> integer codes in order of appearance, missing values told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import shown
from mme.tables.codes import object_array
from mme.tables.column import Factor
from mme.tables.intake import labels
from mme.tables.spelling import labels_of as texts_of
from mme.tables.spelling import places

# Labels a message lists before it counts.
_NAMED = 5


def labels_of(given: Any, what: str) -> list[Any]:
    """A column of labels as a list: integers, or text; missing values become None.

    Examples
    --------
    >>> labels_of(["a", float("nan"), None, 3.0], "sire")
    ['a', None, None, '3']
    >>> labels_of(np.array([7.0, np.nan]), "sire")
    [7, None]
    """
    codes, distinct = code_columns({what: given})
    return [None if code < 0 else distinct[code] for code in codes[what].tolist()]


def code_columns(columns: dict[str, Any]) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Code columns together: ``distinct[codes[column][i]]`` is the label, in order of appearance; -1 is missing.

    Where one column has text and another numbers, 7 and "7" are one label.

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
    factors = [column(given, what) for what, given in columns.items()]
    union, where = _together([factor.categories for factor in factors if factor.categories.size])
    shifts = iter(where)
    codes = [
        np.append(next(shifts), -1)[factor.codes] if factor.categories.size else factor.codes for factor in factors
    ]
    together = np.concatenate(codes)
    rows = np.flatnonzero(together >= 0)
    first = np.full(len(union), together.size)
    first[together[rows[::-1]]] = rows[::-1]  # the last to be written is the first row
    order = np.argsort(first, kind="stable")
    rank = np.append(np.argsort(order), -1)
    ends = np.cumsum([one.size for one in codes])
    return dict(zip(columns, np.split(rank[together], ends[:-1]), strict=True)), union[order].tolist()


def label_array(given: Sequence[Any]) -> np.ndarray:
    """Labels as an array of integers where all are, of objects otherwise."""
    if given and all(isinstance(label, int | np.integer) and not isinstance(label, bool) for label in given):
        try:
            return np.array(given, dtype=np.int64)
        except OverflowError:
            pass
    return object_array(given)


def name(given: Iterable[Any]) -> str:
    """Write a few labels out and count the others.

    Examples
    --------
    >>> name(["a", "b"]), name(range(7))
    ("'a', 'b'", '0, 1, 2, 3, 4 and 2 more')
    """
    every = list(given)
    more = f" and {len(every) - _NAMED} more" if len(every) > _NAMED else ""
    return ", ".join(map(shown, every[:_NAMED])) + more


def column(given: Any, what: str) -> Factor:
    """A column of labels as a factor of those that occur; -1 is missing.

    Raises
    ------
    MMEError
        It is no one-dimensional sequence of labels.
    """
    if isinstance(given, str) or not isinstance(given, Iterable | Factor):
        raise MMEError(f"{what}: a column of labels is needed, got {given!r}")
    _, factor = labels(given, what, "labels")
    present = np.bincount(factor.codes + 1, minlength=factor.categories.size + 1)[1:] > 0
    if present.all():
        return factor
    return Factor(np.append(np.cumsum(present) - 1, -1)[factor.codes], factor.categories[present])


def _together(categories: list[np.ndarray]) -> tuple[np.ndarray, list[np.ndarray]]:
    """The labels of several columns, each once, and where those of each column stand among them."""
    if not categories:
        return np.zeros(0, dtype=object), []
    kinds = {levels.dtype.kind for levels in categories}
    if kinds == {"i"}:
        union, where = np.unique(np.concatenate(categories), return_inverse=True)
        return union, np.split(where, np.cumsum([levels.size for levels in categories])[:-1])
    plain = len(kinds) == 1 and kinds <= set("Of")
    position: dict[Any, int] = {}
    given = [object_array(levels.tolist() if plain else texts_of(levels)) for levels in categories]
    each = [_added(labels, position) for labels in given]
    return object_array(list(position)), each


def _added(labels: np.ndarray, position: dict[Any, int]) -> np.ndarray:
    """Where labels stand among those of the columns before, which they are added to."""
    lost = np.array([label not in position for label in labels.tolist()], dtype=bool)
    if position and lost.any():  # "7.0" is the 7 of another column
        known = object_array(list(position))
        place = places(labels[lost], known)
        labels = labels.copy()
        labels[np.flatnonzero(lost)[place >= 0]] = known[place[place >= 0]]
    return np.array([position.setdefault(label, len(position)) for label in labels.tolist()], dtype=np.int64)
