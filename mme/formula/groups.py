"""The grouping factors of all bars: their codes, their levels, and the relationships of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula import grouping
from mme.formula.apart import as_written, with_records
from mme.formula.bar import Bar
from mme.formula.level_products import field_of, is_product_of_levels, product_of_levels, require_related
from mme.formula.reading import Reading
from mme.model.term_columns import UNKNOWN
from mme.relationship.ornstein import ornstein_uhlenbeck
from mme.tables.codes import narrow
from mme.tables.frame import Factor
from mme.tables.names import as_known
from mme.tables.spelling import labels_of


@dataclass(frozen=True, eq=False)
class Groups:
    """Grouping factors by their names.

    Attributes
    ----------
    bars : the bars, in lme4's order of their terms.
    factors : the codes of the rows, and the levels of the terms.
    levels : the labels of the rows; those of a process along a series are series, its levels also have times.
    parts : the levels of each column of those that are crossed.
    related : the relationships of the levels.
    """

    bars: tuple[Bar, ...]
    factors: dict[str, Factor]
    levels: dict[str, np.ndarray]
    parts: dict[str, tuple[np.ndarray, ...]]
    related: dict[str, Any]


def code_groups(reading: Reading, rows: np.ndarray | None, relationship: Any) -> Groups:
    """Code the grouping factors on these rows (None: all)."""
    bars, together = with_records(reading.parsed.bars, reading.values, rows), reading.together
    each = {name: grouping.code_each(p, rows, name) for name, p in reading.groups.items() if name not in together}
    factors = {name: grouping.cross(columns, name) for name, columns in each.items()}
    factors |= {name: grouping.code_together(reading.groups[name], rows, name) for name in together}
    levels = {name: factor.categories for name, factor in factors.items()}
    parts = {name: tuple(one.categories for one in columns) for name, columns in each.items() if len(columns) > 1}
    related = by_factor(relationship, factors, bars)
    require_related(bars, related)
    for name, times in reading.times.items():
        codes, related[name] = ornstein_uhlenbeck(factors[name], times if rows is None else times[rows], name)
        factors[name] = Factor(codes, related[name].levels)
    used = set()
    for bar in {bar.name: bar for bar in bars}.values():  # those of dsum() have one factor
        at = reading.places.get(bar.name)
        at = at if at is None or rows is None else at[:, rows]
        if is_product_of_levels(bar):
            used |= set(bar.related)
            factors[bar.name], related[bar.name] = product_of_levels(bar, each[bar.name], related, at)
        elif at is not None:
            codes, related[bar.name] = field_of(bar, factors[bar.name] if bar.factors else None, at)
            factors[bar.name] = Factor(codes, related[bar.name].levels)
    related = {name: one for name, one in related.items() if name in factors or name not in used}
    factors = {name: replace(factor, codes=narrow(factor.codes)) for name, factor in factors.items()}
    return Groups(in_order(bars, factors), factors, levels, parts, related)


def in_order(bars: tuple[Bar, ...], factors: Mapping[str, Factor]) -> tuple[Bar, ...]:
    """lme4's order (mkReTrms): ``if any(diff(nl) > 0): rev(order(nl))``, else as written."""
    sizes = [factors[bar.name].categories.size for bar in bars]
    if all(a >= b for a, b in pairwise(sizes)):
        return bars
    ordered = [bars[i] for i in np.argsort(sizes, kind="stable")[::-1]]
    whole = dict.fromkeys(map(as_written, ordered))  # those of dsum() keep the order of their levels
    return tuple(bar for one in whole for bar in bars if as_written(bar) == one)


def by_factor(relationship: Any, factors: Mapping[str, Factor], bars: tuple[Bar, ...]) -> dict[str, Any]:
    """Relationships by grouping factor.

    A relationship that is given without a name belongs to the only ``A(g)``, or to the only factor whose levels it has.

    Raises
    ------
    MMEError
        It could belong to no factor, or to several.
    """
    if relationship is None or isinstance(relationship, Mapping):
        return {as_known(name, factors): of for name, of in (relationship or {}).items()}
    if not hasattr(relationship, "levels"):
        raise MMEError(
            f"relationship is a mapping from a grouping factor to its pedigree, {{'animal': pedigree}}; got "
            f"{type(relationship).__name__}"
        )
    related = {name for bar in bars for name in bar.related}
    if len(related) == 1:
        return dict.fromkeys(related, relationship)
    if len(factors) == 1:
        return dict.fromkeys(factors, relationship)
    known = {*labels_of(np.asarray(relationship.levels)), *map(str, UNKNOWN)}
    fits = [name for name, factor in factors.items() if known.issuperset(labels_of(factor.categories))]
    if len(fits) != 1:
        found = f"has the levels of {' and '.join(map(repr, fits))}" if fits else "has the levels of none of them"
        raise MMEError(
            f"relationship is given without the name of its grouping factor ({', '.join(map(repr, factors)) or 'none'})"
            f" and {found}: write relationship={{'{next(iter(fits or factors), 'animal')}': ...}}"
        )
    return {fits[0]: relationship}
