"""The functions of a formula that make factors, their contrasts and indicators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.codings import KINDS, Contrast, ContrastedFactor, completed, contrast_of, named
from mme.formula.values import State, as_factor, as_list, examples, quoted_list, recoded, remembered_codes
from mme.tables.arrays import shown
from mme.tables.column import Factor, WideColumn
from mme.tables.spelling import labels_of, places

# Levels of an interaction, or intervals of a cut, beyond which they are a slip.
MOST_LEVELS = 100_000


def factor_of(state: State, x: Any, levels: Any = None, labels: Any = None, ordered: Any = None) -> Factor:
    """R's ``factor``: ``levels`` in their order, called ``labels``; what is not among the levels is missing."""
    factor = as_factor(x, "factor()")
    kind = factor.kind if ordered is None and factor.ordered else "ordered" if ordered else "factor"
    if labels is not None and levels is None:
        remembered_codes(state, factor, True, "factor()")
        levels = state["labels"]
    if levels is None:
        return Factor(factor.codes, factor.categories, kind)
    wanted = labels_of(np.array(as_list(levels), dtype=object))
    codes = np.maximum(recoded(factor, wanted), -1)
    if len(set(wanted)) < len(wanted):
        raise MMEError(f"factor() has a level twice: {quoted_list(wanted)}")
    if labels is None:
        return Factor(codes, np.array(wanted, dtype=object), kind)
    called = labels_of(np.array(as_list(labels), dtype=object))
    if len(called) != len(wanted):
        raise MMEError(f"factor() has {len(called)} labels for {len(wanted)} levels ({quoted_list(wanted)})")
    distinct = list(dict.fromkeys(called))  # levels of one label become one
    place = np.array([distinct.index(label) for label in called] + [-1])
    return Factor(place[codes], np.array(distinct, dtype=object), kind)


def ordered_factor(state: State, x: Any, levels: Any = None, labels: Any = None) -> Factor:
    """R's ``ordered``: a factor whose levels have an order."""
    return factor_of(state, x, levels, labels, ordered=True)


def contrasted(
    state: State, x: Any, contrast: Any = None, how_many: Any = None, base: Any = None, levels: Any = None
) -> Factor:
    """``C(f)``, ``C(f, sum)``, ``C(f, contr.treatment, base = 2)``, ``C(f, Treatment("b"))``, ``C(o, poly, 2)``.

    ``C(f, c(-1, 0, 1))`` has this contrast, and the others that it leaves.
    """
    factor = as_factor(x, "C()") if levels is None else factor_of(state, x, levels)
    if contrast is None:
        contrast = contrast_of(factor)
    elif isinstance(contrast, str):
        contrast = named(contrast)
    elif isinstance(contrast, list):
        contrast = _own(contrast)
    if not isinstance(contrast, Contrast):
        raise MMEError(f"C() takes {', '.join(f'contr.{kind}' for kind in KINDS)}, or numbers, one a level")
    if base is not None:
        contrast = replace(contrast, base=base, numbered=True)
    if how_many is not None:
        contrast = replace(contrast, how_many=int(how_many))
        if not how_many >= 1:
            raise MMEError(f"C() keeps one contrast at least, got {how_many:g}")
    return ContrastedFactor(factor.codes, factor.categories, factor.kind, contrast)


def cbind(state: State, *columns: Any) -> list[list[Any]]:
    """Contrasts side by side, cbind(c(-1, 0, 1), c(1, -2, 1)); R's other uses of it are columns of the data."""
    if not columns or not all(isinstance(column, list) for column in columns):
        raise MMEError("cbind() takes contrasts, c(-1, 0, 1), ...; give the matrix as a column of the data")
    return list(columns)


def _own(weights: list[Any]) -> Contrast:
    """One contrast, or several by cbind(); the others are orthogonal to these."""
    if not weights:
        raise MMEError("C() takes numbers, one a level, got none")
    columns = weights if isinstance(weights[0], list) else [weights]
    table = np.array(columns, dtype=float).T
    return Contrast("own", weights=tuple(map(tuple, completed(table).tolist())))


def relevel(state: State, x: Any, ref: Any) -> Factor:
    """R's ``relevel``; of an ordered factor, which R refuses, the treatments against ``ref``."""
    factor = as_factor(x, "relevel()")
    J = factor.categories.size
    first = int(places(np.array([ref], dtype=object), factor.categories)[0])
    if first < 0:
        if state:
            return factor  # new data need not hold the level of reference
        raise MMEError(f"relevel(): there is no level '{labels_of(np.array([ref]))[0]}' among {examples(factor)}")
    state["seen"] = True
    order = [first, *(j for j in range(J) if j != first)]
    rank = np.empty(J + 1, dtype=np.int64)
    rank[[*order, -1]] = [*range(J), -1]
    return Factor(rank[factor.codes], factor.categories[order])


def interaction(state: State, *factors: Any, sep: Any = ".") -> Factor:
    """R's ``interaction``: a level for each combination, ``a.b``, the first factor's changing fastest."""
    if not factors:
        raise MMEError("interaction() takes factors, got none")
    given = [as_factor(factor, "interaction()") for factor in factors]
    sizes = [factor.categories.size for factor in given]
    if np.prod(sizes, dtype=float) > MOST_LEVELS:
        raise MMEError(f"interaction() would have {' x '.join(map(str, sizes))} levels; a:b makes those that occur")
    codes = np.zeros(given[0].codes.size, dtype=np.int64)
    for factor, size in zip(reversed(given), reversed(sizes), strict=True):
        codes = np.where((codes < 0) | (factor.codes < 0), -1, codes * size + factor.codes)
    parts = [labels_of(factor.categories) for factor in reversed(given)]
    labels = [str(sep).join(reversed(combination)) for combination in product(*parts)]
    if len(set(labels)) < len(labels):
        raise MMEError(f"interaction() writes two combinations alike; give another sep than {shown(sep)}")
    return Factor(codes, np.array(labels, dtype=object))


def dummy(state: State, x: Any, levelstokeep: Any = None) -> WideColumn:
    """lme4's ``dummy``: an indicator of each of these levels, or of all but the first."""
    codes = remembered_codes(state, as_factor(x, "dummy()"), True, "dummy()")
    labels = state["labels"]
    wanted = labels[1:] if levelstokeep is None else labels_of(np.array(as_list(levelstokeep), dtype=object))
    absent = [label for label in wanted if label not in labels]
    if absent or not wanted:
        raise MMEError(f"dummy() has no level {quoted_list(absent) or 'but one'}; the levels are {quoted_list(labels)}")
    indicators = np.column_stack([np.where(codes < 0, np.nan, codes == labels.index(label)) for label in wanted])
    return WideColumn(indicators, tuple(wanted) if len(wanted) > 1 else ("",))


def contrast(kind: str, numbered: bool) -> Callable[..., Contrast]:
    """R's ``contr.treatment(n, base = 2)``, where n is the number of levels, and Python's ``Treatment("b")``."""

    def call(state: State, first: Any = None, base: Any = None, reference: Any = None, scores: Any = None) -> Contrast:
        if kind == "poly" and isinstance(base, list):
            base, scores = None, base
        own = first if isinstance(first, str) or not numbered else None
        base = next((given for given in (base, reference, own) if given is not None), None)
        return Contrast(kind, base, numbered, tuple(map(float, scores or ())))

    return call
