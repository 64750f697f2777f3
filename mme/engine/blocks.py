"""Terms on one grouping factor, put side by side: the blocks of Z that the engine works with.

A record has one entry a column, at its level. Where records of several levels are whitened together, by a residual
structure whose groups the factor crosses, row i of W Z is sum_j W_ij z_j: an entry for each W_ij that is not zero.

Terms on the same factor share their levels, so their columns of Z together are block-diagonal by level and
their T's stand on the diagonal of one larger T. Columns are those of the terms' axes (``axes.py``), scaled to unit
mean square when they are whitened: slopes over calendar years or in millionths of a unit are then alike. A block has
b = T u in its own columns; :meth:`Block.effects` and its neighbours lead back to the user's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.covariance.axes import Axes
from mme.covariance.base import GStructure
from mme.engine.spectrum import Spectrum, require_memory, spectrum
from mme.model.term import Term
from mme.numeric.sums import Cells, Column, by_column, cells, level_sums, picked
from mme.residual.whitening import Whitening
from mme.tables.levels import varies_within


@dataclass(frozen=True, eq=False)
class Block:
    """One grouping factor with the q columns of all its terms, weighted and scaled; None is a column of ones.

    They are Z C^-1 / ``scale`` whitened, with ``C`` and ``inverse`` = C^-1 of the axes of all terms, None where all are
    the user's own. ``inside``: theta is given in the axes, not in the user's columns. All this times the orthogonal
    ``turn``', where there is one: an axis for each direction in which the columns lie within X (``span.py``).
    ``codes`` are (n,), or (q, n) where each column has levels of its own: Z'Z is then not block-diagonal by level. With
    ``records`` codes and columns are of entries, in the order of the records that they belong to, a record's own first.
    """

    codes: np.ndarray
    J: int
    q: int
    columns: tuple[Column, ...]
    scale: np.ndarray
    structures: tuple[GStructure, ...]
    terms: tuple[int, ...]
    theta_slices: tuple[slice, ...]
    column_slices: tuple[slice, ...]
    relationship: Any = None
    records: np.ndarray | None = None
    C: np.ndarray | None = None
    inverse: np.ndarray | None = None
    inside: bool = False
    turn: np.ndarray | None = None

    @property
    def by_column(self) -> bool:
        """Whether each coefficient has levels of its own: codes are (q, n), not (n,)."""
        return by_column(self.codes)

    @property
    def is_block_diagonal(self) -> bool:
        """Whether M of this block alone is block-diagonal by level: what absorption asks for."""
        return self.relationship is None and not self.by_column and self.records is None

    @property
    def is_spherical(self) -> bool:
        """Whether it has one level, whose q coefficients have one variance and no correlations: T is a number."""
        return self.J == 1 and len(self.structures) == 1 and self.structures[0].is_spherical

    @property
    def n_weights(self) -> int:
        """How many entries of W_g a level has: q^2, or their diagonal."""
        return self.q if self.is_spherical else self.q**2

    @cached_property
    def spectrum(self) -> Spectrum:
        """Z of a spherical block by its singular values."""
        return spectrum(np.array([np.ones(self.codes.size) if c is None else c for c in self.columns]))

    @cached_property
    def gram(self) -> np.ndarray:
        """Inner products (J, q, q) of the columns over the records of each level of the first of the two."""
        return level_sums(self.codes, self.J, self.columns, self.columns)

    @property
    def by_record(self) -> Block:
        """A block with an entry a record, its own, and the levels of its first column: what a start takes it for."""
        if self.records is None:
            return replace(self, codes=self.codes[0]) if self.by_column else self
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
        return self.structures[0].relationship is not None

    def coordinates(self, theta: np.ndarray) -> np.ndarray:
        """The parameters of the relationship at theta, which has some."""
        return self.structures[0].coordinates(theta[self.theta_slices[0]])

    def relationship_at(self, theta: np.ndarray) -> Any:
        """The relationship at theta."""
        return self.structures[0].related(self.relationship, theta[self.theta_slices[0]])

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor (q, q) of the block's own columns: b = T u. In the axes lower triangular."""
        if self.q == 1 and self.structures[0].entries is not None:
            return np.array([[theta[self.theta_slices[0].start] * self.scale[0]]])
        if self.is_spherical:
            T = np.zeros((self.q, self.q))
            T.flat[:: self.q + 1] = abs(theta[self.theta_slices[0].start]) * self.scale[0]
            return T
        T = self._given_T(theta)
        if self.C is not None and not self.inside:
            T = self.C @ T
        return self._turned(T if self._has_unit_scale else T * self.scale[:, None])

    @cached_property
    def _has_unit_scale(self) -> bool:
        """Whether no column was scaled, as those of axes are."""
        return bool((self.scale == 1.0).all())

    def viewed(self, *, inside: bool) -> Block:
        """The same block as a function of theta in the axes, or in the user's columns."""
        twin = Block.__new__(Block)
        vars(twin).update(vars(self), inside=inside)
        return twin

    def _turned(self, b: np.ndarray) -> np.ndarray:
        return b if self.turn is None else self.turn @ b

    def turned(self, turn: np.ndarray) -> Block:
        """The same block with columns times turn'."""
        columns = np.array([np.ones(self.codes.shape[-1]) if c is None else c for c in self.columns])
        return replace(self, columns=tuple(turn @ columns), turn=turn)

    def _given_T(self, theta: np.ndarray) -> np.ndarray:
        """T of the columns that theta is of."""
        if len(self.structures) == 1:
            return self.structures[0].T(theta[self.theta_slices[0]])
        T = np.zeros((self.q, self.q))
        for part, thetas, columns in zip(self.structures, self.theta_slices, self.column_slices, strict=True):
            T[columns, columns] = part.T(theta[thetas])
        return T

    def effects(self, b: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Effects (..., q) of the user's columns from those of the block's: zero where theta has no variance."""
        b = (b if self.turn is None else b @ self.turn) / self.scale
        if self.inverse is None:
            return b
        b = b @ self.inverse.T
        return b if self.inside else np.where(self._given_T(theta).any(axis=1), b, 0.0)

    def covariance(self, H: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Covariances (..., q, q) of effects of the user's columns from those of the block's."""
        half = np.swapaxes(self.effects(H, theta), -1, -2)
        return np.swapaxes(self.effects(half, theta), -1, -2)

    def rows(self, Z: np.ndarray) -> np.ndarray:
        """Rows (..., q) of the block's columns from those of the user's, records not whitened."""
        if self.inverse is None and self.turn is None:
            return Z if (self.scale == 1.0).all() else Z / self.scale
        change = (np.eye(self.q) if self.inverse is None else self.inverse) / self.scale
        return Z @ (change if self.turn is None else change @ self.turn.T)

    def moved(self, f: np.ndarray) -> np.ndarray:
        """Effects (q,) of the block's columns from those of the user's: what :meth:`effects` undoes."""
        return self._turned((f if self.C is None or self.inside else self.C @ f) * self.scale)

    @property
    def size(self) -> np.ndarray:
        """The root mean square (q,) of the columns that theta is of, whitened."""
        if self.C is None or self.inside:
            return self.scale
        return np.linalg.norm(self.scale[:, None] * self.C, axis=0)


def build_blocks(
    terms: tuple[Term, ...],
    structures: tuple[GStructure, ...],
    whiten: Whitening,
    axes: tuple[Axes | None, ...] = (),
) -> tuple[Block, ...]:
    """Group the terms by grouping factor, in order of first appearance, their columns in their axes and whitened."""
    axes = axes or (None,) * len(terms)
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
        _block(terms, structures, thetas, axes, tuple(group), whiten)
        if W is None or not crosses
        else _mixed(_block(terms, structures, thetas, axes, tuple(group), Whitening()), W)
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
        and not (one.by_column or other.by_column)
        and (one.codes is other.codes or np.array_equal(one.codes, other.codes))
    )


def _block(
    terms: tuple[Term, ...],
    structures: tuple[GStructure, ...],
    thetas: tuple[slice, ...],
    axes: tuple[Axes | None, ...],
    members: tuple[int, ...],
    whiten: Whitening,
) -> Block:
    first = terms[members[0]]
    widths = [terms[t].q for t in members]
    ends = np.cumsum(widths).tolist()
    columns = tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))
    if first.n_levels == 1 and structures[members[0]].is_spherical:
        require_memory(first.n, first.q)
    found = [_columns(terms[t], axes[t]) for t in members]
    unit = [
        axes[t] is not None and whiten.identity for t, width in zip(members, widths, strict=True) for _ in range(width)
    ]
    scaled, scale = _scaled_columns([column for part in found for column in part], unit, first.n, whiten)
    for t, at in zip(members, columns, strict=True):
        if structures[t].is_spherical:
            scaled, scale = _of_one_size(scaled, scale, at, first.n)
    C, inverse = (None, None) if all(axes[t] is None for t in members) else _changes(widths, [axes[t] for t in members])
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
        C=C,
        inverse=inverse,
    )


def _columns(term: Term, axes: Axes | None) -> list[Column]:
    """The columns of a term, in its axes where it has some; None is a column of ones."""
    if axes is not None:
        return list(axes.columns)
    if term.covariates is None:
        return [None]
    return [None if (column == 1.0).all() else column for column in term.covariates.T]


def _changes(widths: list[int], axes: list[Axes | None]) -> tuple[np.ndarray, np.ndarray]:
    """C and C^-1 of several terms side by side."""
    C, inverse, start = np.eye(sum(widths)), np.eye(sum(widths)), 0
    for q, one in zip(widths, axes, strict=True):
        if one is not None:
            at = slice(start, start + q)
            C[at, at], inverse[at, at] = one.C, one.inverse
        start += q
    return C, inverse


def _scaled_columns(
    columns: list[Column], unit: list[bool], n: int, whiten: Whitening
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
