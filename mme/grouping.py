"""Grouping factors: the columns named right of a bar -> codes and levels, crossed where they are joined by colons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mme.bars import Bar
from mme.errors import MMEError
from mme.evaluate import Evaluator, missing
from mme.frame import Basis, Factor, labels_of
from mme.levels import factorise, factorise_together
from mme.syntax import Call, Name

_EXACT = 2.0**53  # whole floats below are integers


def columns(bar: Bar, evaluator: Evaluator) -> list[np.ndarray | Factor]:
    """Return the columns that a bar crosses, as they are in the table."""
    names = [node.args[0] if isinstance(node, Call) else node for node in bar.factors]
    found = [evaluator.column(name) for name in names if isinstance(name, Name)]
    for column in found:
        if isinstance(column, Basis):
            raise MMEError(f"grouping factor '{bar.name}' has {len(column.suffixes)} columns; give one of them")
    return [column for column in found if not isinstance(column, Basis)]


def code(parts: Sequence[np.ndarray | Factor], kept: np.ndarray | None, name: str) -> Factor:
    """Code a grouping factor on the rows kept (None: all); ``a`` varies slowest among the levels of ``a:b``.

    Examples
    --------
    >>> crossed = code([np.array([2.0, 1.0, 2.0]), np.array([7, 7, 7])], None, "a:b")
    >>> crossed.codes.tolist(), crossed.categories.tolist()
    ([1, 0, 1], ['1:7', '2:7'])
    """
    factors = [_single(part, kept, name) for part in parts]
    crossed = factors[0]
    for factor in factors[1:]:
        width = factor.categories.size
        codes, used = factorise(crossed.codes * width + factor.codes, name)
        left, right = labels_of(crossed.categories), labels_of(factor.categories)
        labels = np.empty(used.size, dtype=object)
        labels[:] = [f"{left[pair // width]}:{right[pair % width]}" for pair in used.tolist()]
        crossed = Factor(codes, labels)
    return crossed


def code_together(parts: Sequence[np.ndarray | Factor], kept: np.ndarray | None, name: str) -> Factor:
    """Code columns by their common levels: ``codes`` (columns, n), -1 where a label is missing.

    Examples
    --------
    >>> family = code_together([np.array([3.0, 2.0]), np.array([np.nan, 1.0])], None, "animal")
    >>> family.codes.tolist(), family.categories.tolist()
    ([[2, 1], [-1, 0]], [1, 2, 3])
    """
    columns = []
    for part in parts:
        present = ~missing(part) if kept is None else ~missing(part) & kept
        factor = _single(part, present, name)
        column = np.full(present.size, None, dtype=object)
        column[present] = factor.categories[factor.codes]
        columns.append(column if kept is None else column[kept])
    return Factor(*factorise_together(columns, name))


def known(parts: Sequence[np.ndarray | Factor], levels: np.ndarray, name: str) -> Factor:
    """Code the labels of new data, -1 where one is missing.

    A label that prints as one of ``levels`` becomes that level, so that 7, 7.0 and "7" are the same.

    Examples
    --------
    >>> found = known([np.array([7.0, np.nan, 9.0])], np.array(["7", "8"], dtype=object), "g")
    >>> found.codes.tolist(), found.categories.tolist()
    ([0, -1, 1], ['7', 9])
    """
    complete = ~np.logical_or.reduce([missing(part) for part in parts])
    if complete.all():
        factor = code(parts, None, name)
        return Factor(factor.codes, _as_known(factor.categories, levels))
    codes, categories = np.full(complete.size, -1), np.zeros(0, dtype=object)
    if complete.any():
        factor = code(parts, complete, name)
        codes[complete], categories = factor.codes, _as_known(factor.categories, levels)
    return Factor(codes, categories)


def known_together(parts: Sequence[np.ndarray | Factor], levels: np.ndarray, name: str) -> Factor:
    """Code columns of new data as :func:`known`, by their common labels: ``codes`` (columns, n)."""
    return Factor(*factorise_together([spelt_out(known([part], levels, name)) for part in parts], name))


def spelt_out(factor: Factor) -> np.ndarray:
    """Return the label of each row, None where it is missing."""
    labels = np.full(factor.categories.size + 1, None, dtype=object)  # the code -1 finds the last place
    labels[:-1] = factor.categories
    return labels[factor.codes]


def _as_known(categories: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Replace the labels that print as one of ``levels`` by that level."""
    if categories.dtype.kind == levels.dtype.kind == "i":
        return categories  # integers print alike where they are equal
    printed = dict(zip(labels_of(levels), levels.tolist(), strict=True))
    found = np.empty(categories.size, dtype=object)
    pairs = zip(labels_of(categories), categories.tolist(), strict=True)
    found[:] = [printed.get(label, level) for label, level in pairs]
    return found


def _single(part: np.ndarray | Factor, kept: np.ndarray | None, name: str) -> Factor:
    if isinstance(part, Factor):
        return Factor(*factorise(part if kept is None else Factor(part.codes[kept], part.categories), name))
    values = part if kept is None else part[kept]
    if values.dtype.kind in "Mm":
        values = np.datetime_as_string(values) if values.dtype.kind == "M" else values.astype(np.int64)
    codes, levels = factorise(values, name)
    if levels.dtype.kind == "f" and (np.abs(levels) < _EXACT).all() and (levels == np.round(levels)).all():
        levels = levels.astype(np.int64)
    return Factor(codes, levels)
