"""Blocks of Z before weights: terms on one grouping factor, their columns in their axes, and the levels of entries.

What weights and phi make of the columns is the last step, :meth:`BlockPattern.weighted`: everything else is done once
for a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.standardised import Made, WeightedColumn, as_held, is_made, whole
from mme.engine.blocks import Block
from mme.engine.entries import RecordEntries
from mme.engine.spectrum import require_memory
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.kept import kept
from mme.numeric.limits import limits
from mme.numeric.long_columns import LongColumns
from mme.numeric.sums import Column
from mme.residual.mixing import Mixing
from mme.residual.whitening import Whitening
from mme.tables.levels import varies_within


@dataclass(frozen=True, eq=False)
class BlockPattern:
    """A block but for its weights: ``plain`` has the columns of the terms, or of their axes.

    ``in_axes`` (q,) are columns of axes, of unit mean square while records have no weights. Where records of several
    levels are ``mixed`` by a whitening W, the plain block has an entry for each of W's. ``n`` counts records.
    ``merged`` are the entries of the block to which those of W add up, where several are of one record and level.
    """

    plain: Block
    in_axes: tuple[bool, ...]
    mixed: bool
    n: int
    merged: np.ndarray | None = None

    @kept
    def is_unit(self) -> bool:
        """Whether all columns are ones, or of axes, so that records without weights scale none."""
        if all(self.in_axes):  # columns of axes are made when they are asked for
            return True
        return all(one or column is None for one, column in zip(self.in_axes, self.plain.columns, strict=True))

    def weighted(self, whiten: Whitening, W: np.ndarray | None) -> Block:
        """The block of whitened records; ``W`` are the entries of the whitening, if it mixes records."""
        plain = self.plain
        if self.mixed and W is not None:
            columns = [W if column is None else W * column for column in plain.columns]
            if self.merged is not None:
                columns = [np.bincount(self.merged, column) for column in columns]
            size = np.array([_length(column, self.n) for column in columns])
            scaled = tuple(column / length for column, length in zip(columns, size, strict=True))
            return replace(plain, columns=scaled, scale=plain.scale * size)
        as_they_are = whiten.identity and self.n == plain.codes.shape[-1]
        if as_they_are and self.is_unit:
            return plain
        unit = [one and as_they_are for one in self.in_axes]
        if self._is_long and whiten.structure is None:
            return self._by_panels(whiten.weights, unit)
        scaled, scale = _scaled_columns(plain.columns, unit, self.n, whiten)
        for part, at in zip(plain.structures, plain.column_slices, strict=True):
            if part.is_spherical:
                scaled, scale = _of_one_size(scaled, scale, at, self.n)
        return replace(plain, columns=scaled, scale=scale)

    @property
    def _is_long(self) -> bool:
        """Whether the weighted columns are better made by panels of records than held."""
        plain = self.plain
        special = plain.entries is not None or plain.by_column or any(one.is_spherical for one in plain.structures)
        return not special and (1 + plain.q) * plain.codes.size > limits().held_rows

    def _by_panels(self, weights: np.ndarray | None, unit: list[bool]) -> Block:
        """The block whose columns are made when they are asked for."""
        columns, scale = list[Column | Made](), np.ones(self.plain.q)
        for a, (column, is_unit) in enumerate(zip(as_held(vars(self.plain)["columns"]), unit, strict=True)):
            if is_unit or (column is None and weights is None):
                columns.append(column)
            else:
                columns.append(made := WeightedColumn.of(column, weights, self.n))
                scale[a] = made.size
        return replace(self.plain, columns=partial(whole, tuple(columns)), scale=self.plain.scale * scale)


def block_patterns(model: Model, whiten: Whitening) -> tuple[tuple[BlockPattern, ...], Mixing | None]:
    """Group the terms by factor, in order of first appearance; and the pattern of W where it mixes their levels."""
    terms, structures = model.terms, model.structures
    ends = accumulate([s.k for s in structures])
    thetas = [slice(end - s.k, end) for s, end in zip(structures, ends, strict=True)]
    members: list[list[int]] = []
    for t, term in enumerate(terms):
        for group in members:
            if _same_factor(terms[group[0]], term) and term.n_levels > 1:  # one level has singular values of its own
                group.append(t)
                break
        else:
            members.append([t])
    patterns = [_pattern(model, thetas, group) for group in members]
    groups = whiten.groups
    if groups is None:
        return tuple(patterns), None
    crossing = [varies_within(one.plain.codes, groups) for one in patterns]
    if not any(crossing):
        return tuple(patterns), None
    mixing = whiten.mixing()
    mixed = (_mixed(one, mixing) if crosses else one for one, crosses in zip(patterns, crossing, strict=True))
    return tuple(mixed), mixing


def _mixed(pattern: BlockPattern, mixing: Mixing) -> BlockPattern:
    """The pattern whose block has an entry for every W_ij that is not zero: row i of W Z takes z_j of record j."""
    block = pattern.weighted(Whitening(), None)
    j = mixing.cols
    columns = tuple(None if column is None else column[j] for column in block.columns)
    record, codes, merged = mixing.rows, block.codes[j], None
    keys, place = np.unique(record * block.J + codes, return_inverse=True)
    if keys.size < record.size:  # those of one record and level are added up
        record, codes = keys // block.J, keys % block.J
        order = np.lexsort((codes, codes != block.codes[record], record))  # a record's own level first
        record, codes, merged = record[order], codes[order], np.argsort(order)[place.ravel()]
    entries = RecordEntries(record, codes, pattern.n, block.J, block.q)
    mixed = replace(block, codes=codes, columns=columns, entries=entries)
    return BlockPattern(mixed, pattern.in_axes, True, pattern.n, merged)


def _same_factor(one: Term, other: Term) -> bool:
    return (
        one.relationship is None
        and other.relationship is None
        and one.n_levels == other.n_levels
        and not one.by_column
        and (one.held_codes is other.held_codes or np.array_equal(one.held_codes, other.held_codes))
    )


def _pattern(model: Model, thetas: list[slice], members: list[int]) -> BlockPattern:
    """The block of terms on one factor: their columns side by side, in the axes of those terms that have some."""
    terms, axes = [model.terms[t] for t in members], [model.axes[t] for t in members]
    structures = [model.structures[t] for t in members]
    first, widths = terms[0], [term.q for term in terms]
    ends = list(accumulate(widths))
    if first.n_levels == 1:
        require_memory(first.n, first.q)
    C, inverse = (None, None) if all(one is None for one in axes) else _changes(widths, axes)
    plain = Block(
        codes=first.held_codes,
        J=first.n_levels,
        q=sum(widths),
        columns=_side_by_side(terms, axes),
        scale=np.ones(sum(widths)),
        structures=tuple(structures),
        terms=tuple(members),
        theta_slices=tuple([thetas[t] for t in members]),
        column_slices=tuple([slice(end - width, end) for end, width in zip(ends, widths, strict=True)]),
        relationship=first.relationship,
        C=C,
        inverse=inverse,
    )
    in_axes = tuple([one is not None for one, width in zip(axes, widths, strict=True) for _ in range(width)])
    return BlockPattern(plain, in_axes, False, model.n_records)


def _side_by_side(terms: list[Term], axes: list[Axes | None]) -> Any:
    """The columns of the terms; those of axes of one term as they are, which may not be made yet."""
    if len(axes) == 1 and axes[0] is not None:
        return vars(axes[0])["columns"]
    columns = tuple([column for term, one in zip(terms, axes, strict=True) for column in _columns(term, one)])
    return partial(whole, columns) if any(map(is_made, columns)) else columns


def _columns(term: Term, axes: Axes | None) -> Sequence[Column | Made]:
    """The columns of a term, in its axes where it has some; None is a column of ones."""
    if axes is not None:
        return as_held(vars(axes)["columns"])
    if isinstance(term.held_covariates, LongColumns):
        return term.held_covariates.columns
    if term.covariates is None:
        return [None]
    return [None if (column == 1.0).all() else column for column in term.covariates.T]


def _changes(widths: list[int], axes: list[Axes | None]) -> tuple[np.ndarray, np.ndarray]:
    """C and C^-1 of several terms side by side."""
    if len(axes) == 1 and axes[0] is not None:
        return axes[0].C, axes[0].inverse
    C, inverse, start = np.eye(sum(widths)), np.eye(sum(widths)), 0
    for q, one in zip(widths, axes, strict=True):
        if one is not None:
            at = slice(start, start + q)
            C[at, at], inverse[at, at] = one.C, one.inverse
        start += q
    return C, inverse


def _scaled_columns(
    columns: tuple[Column, ...], unit: list[bool], n: int, whiten: Whitening
) -> tuple[tuple[Column, ...], np.ndarray]:
    """The columns, whitened and divided by their root mean square, which is one of those of ``unit``; the divisors."""
    scaled: list[Column] = []
    scale: list[float] = []
    for column, is_unit in zip(columns, unit, strict=True):
        if is_unit:
            scaled.append(column)
            scale.append(1.0)
            continue
        white = column
        if not whiten.identity:
            white = whiten((np.ones(n) if column is None else column)[None, :])[0]
        size = 1.0 if white is None else _length(white, n)
        scaled.append(None if white is None else white / size)
        scale.append(size)
    return tuple(scaled), np.array(scale)


def _of_one_size(
    columns: tuple[Column, ...], scale: np.ndarray, at: slice, n: int
) -> tuple[tuple[Column, ...], np.ndarray]:
    """Columns whose coefficients have one variance divided by one number, the root mean square of their sizes."""
    scale = scale.copy()
    own, scale[at] = scale[at].copy(), np.sqrt(np.mean(scale[at] ** 2))
    back = [
        column if one == other else np.multiply(1.0 if column is None else column, np.full(n, one / other))
        for column, one, other in zip(columns[at], own.tolist(), scale[at].tolist(), strict=True)
    ]
    return (*columns[: at.start], *back, *columns[at.stop :]), scale


def _length(column: np.ndarray, n: int) -> float:
    """The root mean square of a column over n records, one for zeros."""
    return float(np.sqrt(column @ column / n)) or 1.0
