"""The response as a family of distributions reads it: numbers, counts of two kinds, or labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import numbers
from mme.tables.column import Column, Exact, Factor, WideColumn
from mme.tables.spelling import labels_of

# Numbers (n,), successes and failures (n, 2), or truth values and labels with their codes.
Outcome = np.ndarray | Factor


def outcome_of(column: Column, what: str) -> Outcome:
    """A column as an outcome; labels have the levels that occur, in their order, and none may be missing.

    Truth values keep both levels: that all are true is an outcome, that all are ``"a"`` a mistake.

    Raises
    ------
    MMEError
        There are three columns or more, labels of one level, or missing ones; the message begins with ``what``.

    Examples
    --------
    >>> made = outcome_of(Factor(np.array([2, 0, 2]), np.array(["lo", "mid", "hi"], dtype=object), "ordered"), "y")
    >>> made.codes.tolist(), made.categories.tolist(), made.kind
    ([1, 0, 1], ['lo', 'hi'], 'ordered')
    """
    if isinstance(column, WideColumn):
        return _paired(column, what)
    if isinstance(column, Exact):
        return column.rounded
    if not isinstance(column, Factor):
        return column if column.dtype == np.float64 else numbers(column, what)
    if (missing := int((column.codes < 0).sum())) > 0:
        raise MMEError(f"{what}: {missing} of {column.rows} labels are missing; drop those records")
    if column.logical:
        return column
    occurs = np.bincount(column.codes, minlength=column.categories.size) > 0
    if occurs.sum() < 2:
        only = f"only the level '{labels_of(column.categories[occurs])[0]}'" if occurs.any() else "no level"
        raise MMEError(f"{what} has {only} in the rows used; an outcome of labels needs two levels or more")
    return replace(column, codes=(np.cumsum(occurs) - 1)[column.codes], categories=column.categories[occurs])


def as_numbers(outcome: Outcome) -> np.ndarray:
    """One number a record (n,): the codes of labels, the share of the first of two counts (0 where both are 0).

    Examples
    --------
    >>> as_numbers(np.array([[1.0, 3.0], [0.0, 0.0]])).tolist()
    [0.25, 0.0]
    """
    if isinstance(outcome, Factor):
        return outcome.codes.astype(float)
    if outcome.ndim == 1:
        return outcome
    first, total = outcome[:, 0], outcome.sum(axis=1)
    return np.divide(first, total, out=np.zeros(total.size), where=total != 0.0)


def labels_of_outcome(outcome: Outcome) -> tuple[str, ...]:
    """The labels that the codes stand for; none of numbers."""
    return tuple(labels_of(outcome.categories)) if isinstance(outcome, Factor) else ()


def _paired(column: WideColumn, what: str) -> np.ndarray:
    count = column.values.shape[1]
    if count > 2:
        raise MMEError(f"{what} has {count} columns; two are counted, successes and failures: cbind(s, n - s)")
    values = column.values.astype(float, copy=False)
    return values[:, 0] if count == 1 else values
