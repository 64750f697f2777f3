"""Grouping factors: the columns named right of a bar -> codes and levels, crossed where they are joined by colons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mme.errors import MMEError
from mme.formula.bar import Bar
from mme.formula.evaluate import Evaluator
from mme.formula.syntax import Call, Name
from mme.formula.values import missing
from mme.numeric.sums import pair_numbers
from mme.tables.column import Factor, WideColumn
from mme.tables.intake import labels
from mme.tables.levels import factorise, factorise_together
from mme.tables.spelling import labels_of, places


def columns(bar: Bar, evaluator: Evaluator) -> list[np.ndarray | Factor]:
    """The columns that a bar crosses, as they are in the table; a column of one level where it names none."""
    if not bar.factors:
        return [Factor(np.zeros(evaluator.frame.n, dtype=np.int64), np.array(["all"], dtype=object))]
    found = list[np.ndarray | Factor]()
    for node in bar.factors:
        name = node.args[0] if isinstance(node, Call) else node
        assert isinstance(name, Name)
        column = evaluator.column(name)
        if isinstance(column, WideColumn):
            raise MMEError(f"grouping factor '{bar.name}' has {len(column.suffixes)} columns; give one of them")
        if isinstance(node, Call) and isinstance(column, np.ndarray) and column.dtype.kind == "f":
            column = labels(column, bar.name, "grouping factor")[1]  # factor() says that numbers are levels
        found.append(column)
    return found


def code(parts: Sequence[np.ndarray | Factor], kept: np.ndarray | None, name: str) -> Factor:
    """Code a grouping factor on the rows kept (None: all); ``a`` varies slowest among the levels of ``a:b``.

    Examples
    --------
    >>> crossed = code([np.array([2.0, 1.0, 2.0]), np.array([7, 7, 7])], None, "a:b")
    >>> crossed.codes.tolist(), crossed.categories.tolist()
    ([1, 0, 1], ['1:7', '2:7'])
    """
    return cross(code_each(parts, kept, name), name)


def code_each(parts: Sequence[np.ndarray | Factor], kept: np.ndarray | None, name: str) -> list[Factor]:
    """Code each of the columns that are crossed, on the rows kept (None: all)."""
    return [_single(part, kept, name) for part in parts]


def cross(factors: Sequence[Factor], name: str) -> Factor:
    """The combinations of levels that occur, written ``a:b``."""
    crossed = factors[0]
    for factor in factors[1:]:
        width = factor.categories.size
        pairs = pair_numbers(crossed.codes, factor.codes, crossed.categories.size, width)
        codes, used = factorise(pairs, name)
        left, right = labels_of(crossed.categories), labels_of(factor.categories)
        labels = np.empty(used.size, dtype=object)
        labels[:] = [f"{left[pair // width]}:{right[pair % width]}" for pair in used.tolist()]
        if len(set(labels.tolist())) < labels.size:
            raise _written_alike(labels, name)
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
        codes = np.full(present.size, -1)
        codes[present] = factor.codes
        columns.append(Factor(codes if kept is None else codes[kept], factor.categories))
    return Factor(*factorise_together(columns, name))


def known(parts: Sequence[np.ndarray | Factor], levels: Sequence[np.ndarray], name: str) -> Factor:
    """Code the labels of new data, -1 where one is missing.

    A label of the value of one of ``levels``, which are those of each part, becomes that level: 7, 7.0 and "7" are one.

    Examples
    --------
    >>> found = known([np.array([7.0, np.nan, 9.0])], [np.array(["7", "8"], dtype=object)], "g")
    >>> found.codes.tolist(), found.categories.tolist()
    ([0, -1, 1], ['7', 9])
    """
    complete = ~np.logical_or.reduce([missing(part) for part in parts])
    if not complete.any():
        return Factor(np.full(complete.size, -1), np.zeros(0, dtype=object))
    each = code_each(parts, None if complete.all() else complete, name)
    factor = cross([_as_known(one, own) for one, own in zip(each, levels, strict=True)], name)
    if complete.all():
        return factor
    codes = np.full(complete.size, -1)
    codes[complete] = factor.codes
    return Factor(codes, factor.categories)


def known_together(parts: Sequence[np.ndarray | Factor], levels: np.ndarray, name: str) -> Factor:
    """Code columns of new data as :func:`known`, by their common labels: ``codes`` (columns, n)."""
    return Factor(*factorise_together([known([part], [levels], name) for part in parts], name))


def spelt_out(factor: Factor) -> np.ndarray:
    """Return the label of each row, None where it is missing."""
    labels = np.full(factor.categories.size + 1, None, dtype=object)  # the code -1 finds the last place
    labels[:-1] = factor.categories
    return labels[factor.codes]


def _as_known(factor: Factor, levels: np.ndarray) -> Factor:
    """The same factor, its labels that spell one of ``levels`` replaced by that level."""
    if factor.categories.dtype.kind == levels.dtype.kind == "i":
        return factor
    place = places(factor.categories, levels)
    found = factor.categories.astype(object)
    found[place >= 0] = levels[place[place >= 0]]
    one_each = np.where(place < 0, levels.size + np.arange(place.size), place)  # "7" and "7.0" may both be 7
    distinct, first, merged = np.unique(one_each, return_index=True, return_inverse=True)
    if distinct.size == place.size:
        return Factor(factor.codes, found)
    return Factor(merged[factor.codes], found[first])


def _single(part: np.ndarray | Factor, kept: np.ndarray | None, name: str) -> Factor:
    if kept is not None:
        part = replace(part, codes=part.codes[kept]) if isinstance(part, Factor) else part[kept]
    return Factor(*factorise(part, name))


def _written_alike(labels: np.ndarray, name: str) -> MMEError:
    twice = Counter(labels.tolist()).most_common(1)[0][0]
    return MMEError(
        f"grouping factor '{name}': two combinations of levels are both written '{twice}'; replace the colons in the "
        "labels by another sign"
    )
