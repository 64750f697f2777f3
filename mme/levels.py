"""A grouping factor: labels -> integer codes and sorted levels."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError, MMEWarning
from mme.labels import code_columns, label_array

# A dense presence table beats sorting while it is not much longer than the data.
_TABLE_PER_ROW = 4


def factorise(groups: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Code the labels of a grouping factor: ``groups[i] == levels[codes[i]]``.

    Parameters
    ----------
    groups : (n,) array, list, Series or Categorical
        Labels: strings, integers, booleans or whole floats. Missing labels are refused.
    name : str
        The factor's name, for messages.

    Returns
    -------
    codes : (n,) int64
        Position of each label among the levels.
    levels : (J,) array
        The labels that occur, sorted (strings by code point; a Categorical keeps its own order).

    Raises
    ------
    MMEError
        The labels are not one-dimensional, or some are missing.

    Examples
    --------
    >>> codes, levels = factorise(["b", "a", "b"], "g")
    >>> codes.tolist(), levels.tolist()
    ([1, 0, 1], ['a', 'b'])
    """
    groups = getattr(groups, "array", groups)  # a pandas Series is its array
    if hasattr(groups, "categories") and hasattr(groups, "codes"):
        return _used(np.asarray(groups.codes, dtype=np.int64), np.asarray(groups.categories), name)
    labels = np.asarray(groups)
    if labels.dtype.kind in "US" and not isinstance(groups, np.ndarray):
        labels = np.asarray(groups, dtype=object)  # as text a NaN among strings would be the label 'nan'
    if labels.ndim != 1:
        raise MMEError(f"grouping factor '{name}': labels must be one-dimensional, got shape {labels.shape}")
    if labels.dtype.kind in "iub":
        return _factorise_integers(labels)
    if labels.dtype.kind == "f":
        _check_floats(labels, name)
        levels, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int64, copy=False), levels
    return _factorise_objects(labels, name)


def factorise_together(vectors: Sequence[Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Code several vectors of labels by their common levels: codes (vectors, n), -1 where a label is missing.

    Examples
    --------
    >>> codes, levels = factorise_together((["c", "b"], [None, "a"]), "g")
    >>> codes.tolist(), levels.tolist()
    ([[2, 1], [-1, 0]], ['a', 'b', 'c'])
    """
    by_vector, distinct = code_columns({f"grouping factor '{name}' ({a + 1})": one for a, one in enumerate(vectors)})
    sizes = [codes.size for codes in by_vector.values()]
    if len(set(sizes)) > 1:
        raise MMEError(f"grouping factor '{name}': its label vectors have {', '.join(map(str, sizes))} labels")
    rank, levels = factorise(label_array(distinct), name)
    place = np.append(rank, -1)  # the code -1 is the last one
    return place[np.array(list(by_vector.values()))], levels


def match(labels: Any, levels: np.ndarray, name: str) -> np.ndarray:
    """Codes of new labels among known levels; -1 where the label is not known.

    Examples
    --------
    >>> match(["b", "z"], np.array(["a", "b"], dtype=object), "g").tolist()
    [1, -1]
    """
    codes, found = factorise(labels, name)
    return positions(found, levels)[codes]


def positions(labels: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Where each of these labels stands among the levels; -1: nowhere.

    Examples
    --------
    >>> positions(np.array([7, 9]), np.array([9, 8])).tolist()
    [-1, 0]
    """
    if labels.dtype.kind == levels.dtype.kind == "i" and np.array_equal(labels, levels):
        return np.arange(levels.size)
    position = {level: j for j, level in enumerate(levels.tolist())}
    return np.array([position.get(label, -1) for label in labels.tolist()], dtype=np.int64)


def _factorise_integers(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if labels.size == 0:
        return np.zeros(0, dtype=np.int64), labels
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int8)
    lowest, highest = int(labels.min()), int(labels.max())
    if highest - lowest >= _TABLE_PER_ROW * labels.size:
        levels, codes = np.unique(labels, return_inverse=True)
        return codes.astype(np.int64, copy=False), levels
    offset = labels.astype(np.int64, copy=False) - lowest
    present = np.zeros(highest - lowest + 1, dtype=bool)
    present[offset] = True
    levels = np.flatnonzero(present)
    if levels.size == present.size:
        return offset, levels + lowest
    return (np.cumsum(present) - 1)[offset], levels + lowest


def _factorise_objects(labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    if labels.size > 10_000 or "pandas" in sys.modules:  # hashing beats sorting; not worth its import for a few labels
        return _hashed(labels, name)
    missing = sum(label is None or type(label).__name__ == "NAType" or label != label for label in labels.tolist())
    if missing:
        raise missing_labels(missing, labels.size, name)
    try:
        levels, codes = np.unique(labels, return_inverse=True)
    except TypeError:  # labels of several types
        return _hashed(labels, name)
    return codes.astype(np.int64, copy=False), levels.astype(object)


def _hashed(labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    import pandas as pd

    try:
        codes, levels = pd.factorize(labels.astype(object))
    except TypeError:
        raise MMEError(f"grouping factor '{name}' holds lists or other objects; give labels or numbers") from None
    try:
        order = np.argsort(levels)
    except TypeError:
        order = np.argsort(levels.astype(str), kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    if (codes < 0).any():
        raise missing_labels(int((codes < 0).sum()), labels.size, name)
    return rank[codes].astype(np.int64, copy=False), np.asarray(levels, dtype=object)[order]


def _used(codes: np.ndarray, levels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Drop the levels that do not occur, keeping their order."""
    if codes.size and codes.min() < 0:
        raise missing_labels(int((codes < 0).sum()), codes.size, name)
    present = np.bincount(codes, minlength=levels.size) > 0
    if present.all():
        return codes, levels
    return (np.cumsum(present) - 1)[codes], levels[present]


def _check_floats(labels: np.ndarray, name: str) -> None:
    bad = ~np.isfinite(labels)
    if bad.any():
        raise missing_labels(int(bad.sum()), labels.size, name)
    if (labels != np.round(labels)).any():
        warnings.warn(
            f"grouping factor '{name}' holds continuous numbers "
            f"(for example {labels[labels != np.round(labels)][0]:g}); each distinct value becomes a level. If it is a "
            "covariate, put it left of the bar.",
            MMEWarning,
            stacklevel=2,
        )


def missing_labels(count: int, n: int, name: str) -> MMEError:
    """The error for records without a label."""
    return MMEError(
        f"grouping factor '{name}': {count} of {n} labels are missing; drop those rows or give them their own level"
    )


def varies_within(codes: np.ndarray, groups: np.ndarray) -> bool:
    """Whether codes, (n,) or (q, n), differ between records of one group (n,)."""
    first = np.zeros((*codes.shape[:-1], int(groups.max()) + 1), dtype=np.int64)
    first[..., groups] = codes
    return bool((first[..., groups] != codes).any())
