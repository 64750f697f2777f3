"""Where the entries of S and M stand (``schur.py``): made once for a model, whatever its weights, phi and response.

M = Lambda'S Lambda + K^-1 (x) I is kept in whole (q_row x q_col) blocks, so that Lambda'S Lambda has the pattern of S.
The values of S are those of its blocks, family by family: a family is of two grouping factors.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.families import CrossFamily, OfSizes, add_family, lower_triangle, of_sizes, places_of
from mme.engine.meetings import everywhere, level_pairs, number
from mme.engine.scatter import FamilyPairs, LevelScatter, SortedScatter
from mme.numeric.limits import limits
from mme.numeric.sums import Cells

_NONE = (np.zeros(0, dtype=np.int64),) * 2


@dataclass(frozen=True, eq=False)
class Direct:
    """The cells in which records have both levels of a family: those of ``lower`` add to its blocks ``at``.

    A factor whose records have several levels meets itself off the diagonal too, on both sides of it: one counts.
    """

    cells: Cells
    lower: np.ndarray | slice
    at: np.ndarray


@dataclass(frozen=True, eq=False)
class SchurPattern:
    """Families of blocks of S, the lower triangle of M, and where K^-1 (x) I stands in it.

    ``row``, ``col`` are the lower triangle in CSC order, ``source`` is where its entries stand among the values of S,
    ``penalty_at`` which of them K^-1 (x) I has. ``is_dense``: an absorbed level meets all effects, or they are few;
    ``scatter`` is None there, and where it was not kept. A dense (P) of this and ``border`` more columns is filled in
    the order of the values. ``of_sizes`` is known of few effects, as models of one shape follow one another.
    """

    offsets: np.ndarray
    families: tuple[CrossFamily, ...]
    direct: tuple[Direct, ...]
    is_dense: bool
    scatter: LevelScatter | SortedScatter | None
    row: np.ndarray
    col: np.ndarray
    source: np.ndarray
    penalty_at: np.ndarray
    border: int
    of_sizes: OfSizes | None = None

    @property
    def m(self) -> int:
        """Number of random effects."""
        return int(self.offsets[-1])

    @cached_property
    def size(self) -> int:
        """Number of values of S."""
        return self.families[-1].values.stop if self.families else 0

    @property
    def is_whole(self) -> bool:
        """Whether it serves for other weights: it has the places of all products."""
        return self.scatter is not None or self.is_dense

    def kept(self, *, for_weights: bool) -> SchurPattern:
        """The same for many weights; or without the places of products, which are as large as the map made of them."""
        if self.scatter is None:
            return self
        return replace(self, scatter=self.scatter.sorted() if for_weights else None)

    @cached_property
    def in_order(self) -> bool:
        """Whether the values stand in CSC order already, as those of one scalar factor do."""
        return bool(self.source.size == self.size and (self.source[1:] > self.source[:-1]).all())

    @cached_property
    def square_places(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Where the values stand in (P), column by column, and which of them (None: all) are of the lower triangle."""
        order = np.argsort(self.source)
        return self._square[order], None if self.source.size == self.size else self.source[order]

    @cached_property
    def square_penalty(self) -> np.ndarray:
        """Where the values of K^-1 (x) I stand in (P)."""
        return self._square[self.penalty_at]

    @property
    def _square(self) -> np.ndarray:
        return self.col * (self.m + self.border) + self.row

    def lower(self) -> sp.csc_array:
        """The pattern of M: its lower triangle with ones for values."""
        pointers = np.concatenate(([0], np.cumsum(np.bincount(self.col, minlength=self.m))))
        return sp.csc_array((np.ones(self.row.size), self.row, pointers), shape=(self.m, self.m))

    def diagonal_blocks(self, H: np.ndarray, t: int) -> np.ndarray:
        """(J, q, q) diagonal blocks of one factor, of a matrix on the pattern, family by family."""
        for family in self.families:
            if family.t_row == family.t_col == t:
                return np.asarray(family.blocks(H)[family.diagonal])
        raise IndexError(t)

    def by_family(self, lower: np.ndarray) -> np.ndarray:
        """A symmetric matrix on the pattern, family by family, from its entries at (``row``, ``col``)."""
        values = np.zeros(self.size)
        values[self.source] = lower
        for family in self.families:
            if family.t_row == family.t_col:  # the triangle holds the lower half of its diagonal blocks
                blocks, diagonal = family.blocks(values), family.diagonal
                half = np.tril(blocks[diagonal])
                blocks[diagonal] = half + np.tril(half, -1).transpose(0, 2, 1)
        return values

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column in M of all values."""
        return places_of(self.families, self.offsets) if self.of_sizes is None else self.of_sizes.places


def schur_pattern(
    blocks: tuple[Block, ...],
    offsets: np.ndarray,
    crossing: tuple[Cells, ...],
    absorbed: Block | None,
    q: int,
    border: int,
    *,
    dense: bool = False,
) -> SchurPattern:
    """The pattern for blocks whose cells with the absorbed one, of q columns after its QR, are ``crossing``.

    A small one that is ``dense`` has every entry, as products of whole matrices make S sooner than the places of all
    products are found.
    """
    J, m = 0 if absorbed is None else absorbed.J, int(offsets[-1])
    small = dense and (m * q) ** 2 * J <= limits().dense_factor_entries
    whole = absorbed is not None and (small or absorbed.is_spherical or any(block.is_spherical for block in blocks))
    families, direct, pairs = list[CrossFamily](), list[Direct](), list[FamilyPairs]()
    for t_col, t_row in combinations_with_replacement(range(len(blocks)), 2):
        one, other, same = blocks[t_row], blocks[t_col], t_row == t_col
        cells = one.own_cells() if same else one.cells(other)
        lower = cells.rows >= cells.cols if same else slice(None)
        met = cells.rows[lower], cells.cols[lower]
        if whole:
            found = everywhere(same, one.J, other.J)
        else:
            known = _related(one) if same else _NONE
            of_family = level_pairs(crossing[t_row], crossing[t_col], same, J)
            found, block = number(of_family, met, known, same, (one.J, other.J))
            of_family = of_family.without_levels()
            pairs.append(FamilyPairs(of_family, block, found.rows.size, (one.q, other.q)))
        direct.append(Direct(cells, lower, found.find(*met)))
        add_family(families, (t_row, t_col), found, (one.q, other.q))
    few = whole and m * m <= limits().blocks_remembered
    known_sizes = of_sizes(tuple((block.J, block.q) for block in blocks)) if few else None
    row, col, source = lower_triangle(families, offsets) if known_sizes is None else known_sizes.triangle
    return SchurPattern(
        offsets,
        tuple(families),
        tuple(direct),
        whole,
        None if whole else LevelScatter(tuple(pairs), q, J),
        row,
        col,
        source,
        _penalty_places(blocks, offsets, row, col),
        border,
        known_sizes,
    )


def _related(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the lower triangle of K^-1 where levels are related."""
    if block.relationship is None:
        return _NONE
    lower = sp.coo_array(sp.tril(block.relationship.precision))
    return lower.row.astype(np.int64), lower.col.astype(np.int64)


def _penalty_places(blocks: tuple[Block, ...], offsets: np.ndarray, row: np.ndarray, col: np.ndarray) -> np.ndarray:
    """Where the values of :func:`penalty_values` stand among the entries of M."""
    if all(block.relationship is None for block in blocks):
        return np.flatnonzero(row == col)
    m, (i, j) = int(offsets[-1]), lower_penalty(blocks, offsets)
    return np.searchsorted(col * m + row, j * m + i)


def lower_penalty(blocks: tuple[Block, ...], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column in M of the values of :func:`penalty_values`."""
    rows, cols = [_NONE[0]], [_NONE[0]]
    for block, start in zip(blocks, offsets[:-1].tolist(), strict=True):
        lower, each = _lower_precision(block), np.arange(block.q)
        rows.append(start + np.add.outer(lower.row.astype(np.int64) * block.q, each).ravel())
        cols.append(start + np.add.outer(lower.col.astype(np.int64) * block.q, each).ravel())
    return np.concatenate(rows), np.concatenate(cols)


def penalty_values(blocks: tuple[Block, ...]) -> np.ndarray:
    """The lower triangle of K^-1 (x) I, block by block: ones where levels are independent, zeros for columns of X."""
    return np.concatenate([np.zeros(0), *(_penalty_of(block) for block in blocks)])


def _penalty_of(block: Block) -> np.ndarray:
    if block.is_fixed:
        return np.zeros(block.J)
    if block.relationship is None:
        return np.ones(block.J * block.q)
    return np.repeat(_lower_precision(block).data, block.q)


def _lower_precision(block: Block) -> sp.coo_array:
    """The lower triangle of K^-1."""
    known = block.relationship
    return sp.coo_array(sp.eye_array(block.J) if known is None else sp.tril(known.precision))
