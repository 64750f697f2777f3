"""Terms on one grouping factor, put side by side: the blocks of Z that the engine works with.

A record has one entry a column, at its level. Where records of several levels are whitened together, by a residual
structure whose groups the factor crosses, row i of W Z is sum_j W_ij z_j: an entry for each W_ij that is not zero.

Terms on the same factor share their levels, so their columns of Z together are block-diagonal by level and
their T's stand on the diagonal of one larger T. Columns are scaled to unit mean square: slopes over thousands of
days or in millionths of a unit are then alike, and b = T u is undone in :meth:`Block.T`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.covariance import Entries, Extended, Structure
from mme.crossproducts import Cells, Column, cells, level_sums, picked
from mme.levels import varies_within
from mme.model import related
from mme.terms import Term
from mme.whitening import Whitening


@dataclass(frozen=True, eq=False)
class Block:
    """One grouping factor with the q columns of all its terms, weighted and scaled; None is a column of ones.

    ``codes`` are (n,), or (q, n) where each column has levels of its own: Z'Z is then not block-diagonal by level. With
    ``records`` codes and columns are of entries, in the order of the records that they belong to, a record's own first.
    """

    codes: np.ndarray
    J: int
    q: int
    columns: tuple[Column, ...]
    scale: np.ndarray
    structures: tuple[Structure, ...]
    terms: tuple[int, ...]
    theta_slices: tuple[slice, ...]
    column_slices: tuple[slice, ...]
    relationship: Any = None
    records: np.ndarray | None = None

    @property
    def is_block_diagonal(self) -> bool:
        """Whether M of this block alone is block-diagonal by level: what absorption asks for."""
        return self.relationship is None and self.codes.ndim == 1 and self.records is None

    @property
    def by_record(self) -> Block:
        """A block with an entry a record, its own, and the levels of its first column: what a start takes it for."""
        if self.records is None:
            return self if self.codes.ndim == 1 else replace(self, codes=self.codes[0])
        own = np.flatnonzero(np.diff(self.records, prepend=-1))
        return replace(self, codes=self.codes[own], columns=tuple(picked(self.columns, own)), records=None)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Z'rows' (J, q, m), for rows (m, n)."""
        rows = rows if self.records is None else rows[:, self.records]
        return level_sums(self.codes, self.J, self.columns, list(rows))

    def cells(self, other: Block) -> Cells:
        """Cells of the levels of two blocks whose entries meet on a record."""
        left, right = _meetings(self.records, other.records)
        one, two = (codes if at is None else codes[at] for codes, at in ((self.codes, left), (other.codes, right)))
        return replace(cells(one, two, self.J, other.J), left=left, right=right)

    @property
    def logdet_K(self) -> float:
        """What theta does not change of log |K (x) I|: zero for independent levels."""
        if self.relationship is None or self.is_parametric:
            return 0.0
        return self.q * float(self.relationship.logdet)

    @property
    def is_parametric(self) -> bool:
        """Whether the relationship has parameters: the last entries of the term's theta."""
        return isinstance(self.structures[0], Extended)

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """The parameters of the relationship at theta, which has some."""
        part = self.structures[0]
        assert isinstance(part, Extended)
        return part.coordinates(theta[self.theta_slices[0]])

    def relationship_at(self, theta: np.ndarray) -> Any:
        """The relationship at theta."""
        return related(self.structures[0], self.relationship, theta[self.theta_slices[0]])

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The scaled relative covariance factor (q, q), lower triangular: b = scale^-1 T u."""
        if self.q == 1 and type(self.structures[0]) is Entries:
            return np.array([[theta[self.theta_slices[0].start] * self.scale[0]]])
        T = np.zeros((self.q, self.q))
        for part, thetas, columns in zip(self.structures, self.theta_slices, self.column_slices, strict=True):
            T[columns, columns] = part.T(theta[thetas])
        return T * self.scale[:, None]


def build_blocks(terms: tuple[Term, ...], structures: tuple[Structure, ...], whiten: Whitening) -> tuple[Block, ...]:
    """Group the terms by grouping factor, in order of first appearance, their columns whitened."""
    ends = np.cumsum([s.k for s in structures]).tolist()
    thetas = tuple(slice(end - s.k, end) for s, end in zip(structures, ends, strict=True))
    members: list[list[int]] = []
    for t, term in enumerate(terms):
        for group in members:
            if _same_factor(terms[group[0]], term):
                group.append(t)
                break
        else:
            members.append([t])
    crossing = [whiten.groups is not None and varies_within(terms[group[0]].codes, whiten.groups) for group in members]
    W = whiten.matrix() if any(crossing) else None
    return tuple(
        _block(terms, structures, thetas, tuple(group), whiten)
        if W is None or not crosses
        else _mixed(_block(terms, structures, thetas, tuple(group), Whitening()), W)
        for group, crosses in zip(members, crossing, strict=True)
    )


def _mixed(block: Block, W: sp.csr_array) -> Block:
    """The block whitened by W: an entry of a record for every record j that has a part in it."""
    W = sp.coo_array(W)
    order = np.lexsort((W.row != W.col, W.row))
    i, j, weight = W.row[order], W.col[order], W.data[order]
    columns = [weight if column is None else weight * column[j] for column in block.columns]
    size = np.array([_length(column, block.codes.size) for column in columns])
    return replace(
        block,
        codes=block.codes[j],
        columns=tuple(column / length for column, length in zip(columns, size, strict=True)),
        scale=block.scale * size,
        records=i.astype(np.int64),
    )


def _meetings(left: np.ndarray | None, right: np.ndarray | None) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Entries of two blocks on the same record, from the records of theirs (None: every record has one).

    Two blocks of several entries have those of one W: records have the same number in both.
    """
    if left is None or right is None:
        return right, left  # the entry of a record in the one is the record itself; None: all in turn
    sizes = np.bincount(left)
    first, per_entry = np.cumsum(sizes) - sizes, sizes[left]
    one = np.repeat(np.arange(left.size), per_entry)
    start = np.cumsum(per_entry) - per_entry
    return one, np.arange(one.size) - np.repeat(start - first[left], per_entry)


def _same_factor(one: Term, other: Term) -> bool:
    return (
        one.relationship is None
        and other.relationship is None
        and one.n_levels == other.n_levels
        and one.codes.ndim == other.codes.ndim == 1
        and (one.codes is other.codes or np.array_equal(one.codes, other.codes))
    )


def _block(
    terms: tuple[Term, ...],
    structures: tuple[Structure, ...],
    thetas: tuple[slice, ...],
    members: tuple[int, ...],
    whiten: Whitening,
) -> Block:
    first = terms[members[0]]
    widths = [terms[t].q for t in members]
    ends = np.cumsum(widths).tolist()
    columns = tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))
    scaled, scale = _scaled_columns([terms[t].covariates for t in members], first.n, whiten)
    return Block(
        codes=first.codes,
        J=first.n_levels,
        q=sum(widths),
        columns=scaled,
        scale=scale,
        structures=tuple(structures[t] for t in members),
        terms=members,
        theta_slices=tuple(thetas[t] for t in members),
        column_slices=columns,
        relationship=first.relationship,
    )


def _scaled_columns(
    covariates: list[np.ndarray | None], n: int, whiten: Whitening
) -> tuple[tuple[Column, ...], np.ndarray]:
    """The columns divided by their root mean square, and those divisors."""
    columns: list[Column] = []
    scale: list[float] = []
    for column in (c for part in covariates for c in ([None] if part is None else part.T)):
        if column is not None and (column == 1.0).all():
            column = None
        if not whiten.identity:
            column = whiten((np.ones(n) if column is None else column)[None, :])[0]
        size = 1.0 if column is None else _length(column, n)
        columns.append(None if column is None else column / size)
        scale.append(size)
    return tuple(columns), np.array(scale)


def _length(column: np.ndarray, n: int) -> float:
    """The root mean square of a column over n records, one for zeros."""
    return float(np.sqrt(column @ column / n)) or 1.0
