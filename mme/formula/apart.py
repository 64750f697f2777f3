r"""A random term with a covariance of its own for each level of a factor: ``dsum((x | g) | arm)``.

    b_g = (b_g1, ..., b_gK),    var(b_g) = diag(G_1, ..., G_K)

There is one term per level: the columns of the whole term times the indicator of the level.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mme.errors import FormulaError, MMEError
from mme.formula.algebra import Terms
from mme.formula.bar import Bar
from mme.formula.bars import Parsed
from mme.formula.evaluate import Evaluator, Value
from mme.formula.nesting import levels_of
from mme.formula.syntax import Call, Name, Node, Text, deparse
from mme.formula.values import State
from mme.tables.column import Factor, WideColumn
from mme.tables.spelling import labels_of


def each_level(bar: Bar, evaluator: Evaluator) -> tuple[Bar, ...]:
    """The terms that a bar of ``dsum()`` stands for, one a level that occurs; another bar, and one of them, as it is.

    Raises
    ------
    FormulaError
        The factor has one level.
    """
    if bar.by is None or bar.level is not None:
        return (bar,)
    factor = evaluator.value(bar.by)
    assert isinstance(factor, Factor)
    return at_levels(bar, labels_of(factor.categories[np.unique(factor.codes[factor.codes >= 0])]), evaluator.formula)


def at_levels(bar: Bar, labels: Sequence[str], formula: str) -> tuple[Bar, ...]:
    """The terms of a bar of ``dsum()`` at these levels.

    Raises
    ------
    FormulaError
        There is one level.
    """
    if len(labels) < 2:
        found = f"the one level '{labels[0]}'" if labels else "no level"
        start = 0 if bar.by is None else bar.by.start
        raise FormulaError.at(formula, start, f"dsum(): '{named_by(bar)}' has {found}; leave it out")
    return tuple(at_level(bar, label) for label in labels)


def at_all_levels(parsed: Parsed, labels: Mapping[Node, list[str]]) -> tuple[Parsed, dict[str, State]]:
    """The formula with the terms of these levels in place of ``dsum()``, and what their indicators learned.

    Raises
    ------
    MMEError
        The levels of a factor are not known.
    """
    bars, states = list[Bar](), dict[str, State]()
    for bar in parsed.bars:
        if bar.by is not None and bar.by not in labels:
            raise MMEError(
                f"dsum() of '{bar.name}' has a term for each level of a column of all rows, which takes a pass of its "
                "own; give chunks that can be read again, no iterator and no Dask frame, or a table in memory"
            )
        terms = (bar,) if bar.by is None else at_levels(bar, labels[bar.by], parsed.formula)
        states |= {deparse(one.left.terms[0][0]): {"labels": labels[bar.by]} for one in terms if bar.by is not None}
        bars += terms
    return replace(parsed, bars=tuple(bars)), states


def at_level(bar: Bar, label: str) -> Bar:
    """The term of one level, the indicator of the level first in each product.

    Examples
    --------
    >>> bar = Bar(Terms(True, ((Name("x"),),)), "g", (Name("g"),), by=Name("arm"))
    >>> [":".join(map(deparse, term)) for term in at_level(bar, "b").left.terms]
    ['dummy(arm, "b")', 'dummy(arm, "b"):x']
    >>> as_written(at_level(bar, "b")) == bar
    True
    """
    assert bar.by is not None
    indicator = Call("dummy", (bar.by, Text(label)), (), bar.by.start)
    products = [*([()] if bar.left.intercept else []), *bar.left.terms]
    return replace(bar, left=Terms(False, tuple((indicator, *term) for term in products)), level=label)


def as_written(bar: Bar) -> Bar:
    """The bar as the user wrote it, from the term of one of its levels."""
    if bar.level is None:
        return bar
    products = [term[1:] for term in bar.left.terms]
    return replace(bar, left=Terms(() in products, tuple(term for term in products if term)), level=None)


def with_records(bars: Sequence[Bar], values: Mapping[Node, Value], rows: np.ndarray | None) -> tuple[Bar, ...]:
    """The bars without those of levels that have no record among these rows (None: all)."""
    return tuple(bar for bar in bars if bar.level is None or _occurs(values[bar.left.terms[0][0]], rows))


def _occurs(indicator: Value, rows: np.ndarray | None) -> bool:
    assert isinstance(indicator, WideColumn)
    return bool(np.nansum(indicator.values if rows is None else indicator.values[rows]))


def named_by(bar: Bar) -> str:
    """The names of the columns whose levels have covariances of their own, ``a:b`` of two."""
    inside = bar.by.args if isinstance(bar.by, Call) else (bar.by,)
    return ":".join(one.value for one in inside if isinstance(one, Name))


def written_by(bar: Bar) -> str:
    """The same as a formula has them."""
    assert bar.by is not None
    inside = bar.by.args if isinstance(bar.by, Call) else (bar.by,)
    plain = isinstance(bar.by, Call) and bar.by == levels_of(inside)
    return ":".join(map(deparse, inside)) if plain else deparse(bar.by)


def term_name(bar: Bar) -> str:
    """``g.level``, or the name of the grouping factor alone."""
    return bar.name if bar.level is None else f"{bar.name}.{bar.level}"


def column_names(bar: Bar, names: Sequence[str]) -> tuple[str, ...]:
    """The names of a basis, as R writes them beside a level: ``SexFemale``, ``SexFemale:age``."""
    if bar.level is None:
        return tuple(names)
    written, short = deparse(bar.left.terms[0][0]), f"{named_by(bar)}{bar.level}"
    return tuple(short + name.removeprefix(written) for name in names)
