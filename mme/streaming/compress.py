"""Sums -> the rows of a model: the triangles of cells by the order of their labels, then the rows free of Z."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.apart import column_names, term_name
from mme.formula.bar import Bar
from mme.formula.grouping import cross
from mme.formula.groups import by_factor, in_order
from mme.formula.level_products import require_related
from mme.formula.specification import Specification
from mme.formula.syntax import deparse
from mme.model.compressed import Compressed, EachOnce
from mme.model.term import Term, renamed
from mme.numeric.triangles import triangles
from mme.streaming.layout import ChunkLayout
from mme.streaming.sums import Sums
from mme.tables.column import Factor


@dataclass(frozen=True, eq=False)
class CompressedRows:
    """What a model takes: y (n,), X (n, p) and the terms of rows that stand for records, and what a formula learned."""

    y: np.ndarray
    X: np.ndarray
    terms: tuple[Term, ...]
    compressed: Compressed
    spec: Specification


def compress(sums: Sums, relationship: Any = None) -> CompressedRows:
    """The rows that have the likelihood of all records.

    Raises
    ------
    MMEError
        There are no complete rows.
    """
    layout = sums.layout
    if not sums.counts.n:
        raise MMEError(f"none of the {sums.counts.dropped} rows is complete")
    parts, cells = _parts(sums)
    D, at, of_cells = _rows(sums, cells)
    each = {name: Factor(factor.codes[at], factor.categories) for name, factor in parts.items()}
    factors = {bar.name: cross([each[deparse(one)] for one in bar.factors], bar.name) for bar in layout.bars}
    bars = in_order(layout.bars, factors)
    related = by_factor(relationship, factors, bars)
    require_related(bars, related)
    terms = _terms(layout, bars, factors, D, related)
    counts = np.zeros(at.size, dtype=np.int64)
    counts[np.unique(at[:of_cells], return_index=True)[1]] = sums.records[cells]
    compressed = Compressed(
        n=sums.counts.n,
        ones=np.ascontiguousarray(D[:, layout.ones]),
        counts=counts,
        logdet_W=sums.counts.logdet_W,
        weighted=sums.counts.weighted,
        plain=_each_once(sums, bars) if sums.counts.weighted and sums.plain.any() else None,
    )
    levels = {name: factor.categories for name, factor in factors.items()}
    crossed = {
        bar.name: tuple(parts[deparse(one)].categories for one in bar.factors) for bar in bars if len(bar.factors) > 1
    }
    X = np.asfortranarray(D[:, list(layout.of_X)])
    return CompressedRows(D[:, -1].copy(), X, terms, compressed, _specification(sums, bars, levels, crossed))


def _parts(sums: Sums) -> tuple[dict[str, Factor], np.ndarray]:
    """Every column of the grouping factors on the cells, and the cells in the order of their labels."""
    found = {}
    for (name, labels), codes in zip(sums.labels.items(), sums.codes(), strict=True):
        rank, levels = labels.in_order()
        found[name] = Factor(rank[codes], levels)
    order = np.lexsort([factor.codes for factor in reversed(found.values())]) if found else np.zeros(0, dtype=np.int64)
    return {name: Factor(factor.codes[order], factor.categories) for name, factor in found.items()}, order


def _rows(sums: Sums, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The rows (n, m) of the triangles that are not zero, the cell of each, and how many of them belong to cells.

    Rows free of Z come last; their cell is the first one, whose Z is zero in them.
    """
    q, m, ones = sums.layout.q, sums.layout.m, sums.layout.ones
    R = triangles(sums.held.take(cells, axis=0)).reshape(-1, m)
    some = R.any(axis=1)
    at = np.repeat(np.arange(cells.size), q)[some]
    within = sums.within[sums.within.any(axis=1)]
    D = np.zeros((at.size + len(within), m))
    D[: at.size], D[at.size :, q:] = R[some], within
    if sums.shift is not None and sums.shift.any():
        D += D[:, [ones]] * sums.shift
    return D, np.append(at, np.zeros(len(within), dtype=np.int64)), at.size


def _each_once(sums: Sums, bars: tuple[Bar, ...]) -> EachOnce:
    """The rows of all records without their weights."""
    layout = sums.layout
    D = sums.plain if sums.shift is None else sums.plain + sums.plain[:, [layout.ones]] * sums.shift
    places = dict(zip(layout.bars, layout.of_bars, strict=True))
    return EachOnce(
        X=D[:, list(layout.of_X)],
        Z=tuple(D[:, list(places[bar])] for bar in bars),
        ones=D[:, layout.ones],
        inverse=sums.counts.trace_inverse_W / sums.counts.n,
    )


def _terms(
    layout: ChunkLayout, bars: tuple[Bar, ...], factors: Mapping[str, Factor], D: np.ndarray, related: Mapping[str, Any]
) -> tuple[Term, ...]:
    for name in related:
        if name not in factors:
            known = ", ".join(f"'{factor}'" for factor in factors) or "none"
            raise MMEError(f"relationship is given for '{name}', but the formula's grouping factors are {known}")
    places = dict(zip(layout.bars, zip(layout.of_bars, layout.basis_names, strict=True), strict=True))
    terms = []
    for bar in bars:
        at, names = places[bar]
        covariates, relationship = D[:, list(at)], related.get(bar.name)
        options = {"covariance": bar.covariance, "relationship": relationship, "columns": column_names(bar, names)}
        terms.append(Term(factors[bar.name], covariates, name=bar.name, **options).renamed(term_name(bar)))
    return renamed(terms)


def _specification(
    sums: Sums, bars: tuple[Bar, ...], levels: dict[str, np.ndarray], parts: dict[str, tuple[np.ndarray, ...]]
) -> Specification:
    layout, learned = sums.layout, sums.layout.learned
    return Specification(
        formula=layout.formula,
        response=deparse(layout.reading.parsed.response),
        fixed=layout.reading.fixed,
        bars=bars,
        column_terms=layout.owners,
        offset_column=layout.options.offset,
        states=learned.states,
        codings=learned.codings | layout.own,
        bar_codings={node: learned.codings[node] for node in layout.own},
        levels=levels,
        parts=parts,
        means={name: seen.mean for name, seen in sums.typical.items() if seen.count},
        two_valued={name: seen.two for name, seen in sums.typical.items() if seen.two is not None},
        offset_mean=sums.offset["offset"].middle if sums.offset else 0.0,
    )
