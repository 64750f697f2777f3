"""A grouping factor: labels -> integer codes and sorted levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError, warn
from mme.tables.intake import labels
from mme.tables.labels import code_columns, label_array
from mme.tables.spelling import places


def factorise(groups: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Code the labels of a grouping factor: ``groups[i] == levels[codes[i]]``.

    Parameters
    ----------
    groups : (n,) array, list, Series or Categorical
        Labels: text, integers, booleans, whole floats, dates. Missing labels are refused.
    name : str
        The factor's name, for messages.

    Returns
    -------
    codes : (n,) int64
        Position of each label among the levels.
    levels : (J,) array
        The labels that occur, sorted (text by code point; a Categorical keeps its own order): integers where all are,
        dates as text.

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
    column, factor = labels(groups, name, "grouping factor")
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        _check_floats(column, name)
    missing = int(np.count_nonzero(factor.codes < 0))
    if missing:
        raise missing_labels(missing, factor.codes.size, name)
    return _used(factor.codes, factor.categories) if column is factor else (factor.codes, factor.categories)


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


def match(given: Any, levels: np.ndarray, name: str) -> np.ndarray:
    """Codes of new labels among known levels; -1 where the label is not known, or missing.

    Examples
    --------
    >>> match(["b", "z", None], np.array(["a", "b"], dtype=object), "g").tolist()
    [1, -1, -1]
    """
    _, found = labels(given, name, "grouping factor")
    return np.append(places(found.categories, levels), -1)[found.codes]


def _used(codes: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Drop the levels that do not occur, keeping their order."""
    present = np.zeros(levels.size, dtype=bool)
    present[codes] = True
    if present.all():
        return codes, levels
    return (np.cumsum(present) - 1)[codes], levels[present]


def _check_floats(labels: np.ndarray, name: str) -> None:
    bad = ~np.isfinite(labels)
    if bad.any():
        raise missing_labels(int(bad.sum()), labels.size, name)
    if (labels != np.round(labels)).any():
        warn(
            f"grouping factor '{name}' holds continuous numbers "
            f"(for example {labels[labels != np.round(labels)][0]:g}); each distinct value becomes a level. If it is a "
            "covariate, put it left of the bar."
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


def runs_across(groups: np.ndarray, codes: np.ndarray) -> bool:
    """Whether groups (n,) run across levels (n,), with several records in each cell, which could be a group itself.

    Examples
    --------
    >>> plot, block = np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 1, 1, 1, 1])
    >>> runs_across(plot, block), runs_across(plot, np.arange(8)), runs_across(block, block)
    (True, False, False)
    """
    if not varies_within(codes, groups):
        return False
    _, sizes = np.unique(groups * (int(codes.max()) + 1) + codes, return_counts=True)
    return int(sizes.min()) > 1
