"""The whole Schur complement, for a dense factor: added up by :mod:`mme.engine.accumulation`, no product is listed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import scipy.sparse as sp

from mme.engine.accumulation import LevelRows
from mme.engine.blocks import Block
from mme.engine.families import CrossFamily
from mme.engine.lambdas import lambda_columns, sandwich
from mme.engine.meetings import everywhere
from mme.engine.schur import Crossing
from mme.engine.schur_pattern import lower_penalty, penalty_values
from mme.numeric.cholesky import SymmetricFactor
from mme.numeric.sums import Cells


@dataclass(frozen=True, eq=False)
class MetBlocks:
    """The blocks (cells, q_row, q_col) of M of two grouping factors that meet in records.

    Those of their entries that are ``lower`` stand at ``places`` of the square by columns.
    """

    cells: Cells
    lower: np.ndarray
    places: np.ndarray


@dataclass(frozen=True, eq=False)
class SumPattern:
    """What of the sums no weights change; ``met`` and ``rows`` are of the blocks of Z and of the absorbed levels."""

    blocks: tuple[Block, ...]
    offsets: np.ndarray
    rows: LevelRows
    met: dict[tuple[int, int], MetBlocks]
    penalty: tuple[np.ndarray, np.ndarray]
    border: int

    is_whole = True

    @property
    def m(self) -> int:
        """Number of random effects."""
        return int(self.offsets[-1])

    def kept(self, *, for_weights: bool) -> SumPattern:
        """Itself: it has nothing that only other weights ask for."""
        return self

    @cached_property
    def families(self) -> tuple[CrossFamily, ...]:
        """All blocks, as if they were listed."""
        found, start = list[CrossFamily](), 0
        for t_col, t_row in combinations_with_replacement(range(len(self.blocks)), 2):
            one, other = self.blocks[t_row], self.blocks[t_col]
            whole = everywhere(t_row == t_col, one.J, other.J)
            stop = start + whole.rows.size * one.q * other.q
            found.append(CrossFamily(t_row, t_col, whole.rows, whole.cols, (one.q, other.q), slice(start, stop)))
            start = stop
        return tuple(found)


def sum_pattern(blocks: tuple[Block, ...], offsets: np.ndarray, rows: LevelRows, border: int) -> SumPattern:
    """The pattern for blocks whose ``rows`` the absorbed levels meet."""
    met = {}
    for t_col, t_row in combinations_with_replacement(range(len(blocks)), 2):
        cells = _own_cells(blocks[t_row]) if t_row == t_col else blocks[t_row].cells(blocks[t_col])
        met[t_row, t_col] = _met_blocks(cells, (t_row, t_col), blocks, offsets)
    return SumPattern(blocks, offsets, rows, met, lower_penalty(blocks, offsets), border)


def _own_cells(block: Block) -> Cells:
    """The cells of a factor with itself: its levels, where a record has one of them."""
    if block.by_column or block.entries is not None:
        return block.own_cells()
    each = np.arange(block.J)
    return Cells(block.codes, each, each)


def _met_blocks(cells: Cells, pair: tuple[int, int], blocks: tuple[Block, ...], offsets: np.ndarray) -> MetBlocks:
    q_row, q_col = (blocks[t].q for t in pair)
    i, j = np.indices((q_row, q_col))
    row = offsets[pair[0]] + cells.rows[:, None, None] * q_row + i
    col = offsets[pair[1]] + cells.cols[:, None, None] * q_col + j
    lower = row >= col
    return MetBlocks(cells, lower, (col * int(offsets[-1]) + row)[lower])


@dataclass(frozen=True, eq=False)
class SchurSum:
    """S as a function of W and T, made anew from the cells each time.

    ``crossing`` are the B of each block (cells, q, q_t) at its ``cells``, ``entries_of_B`` (e, q) the same level by
    level; ``products`` and ``penalty`` are those of (S).
    """

    pattern: SumPattern
    products: dict[tuple[int, int], Crossing]
    crossing: list[np.ndarray]
    cells: list[Cells]
    entries_of_B: np.ndarray
    penalty: np.ndarray

    @cached_property
    def among(self) -> sp.csr_array:
        """Z_2'Z_2 (m, m), whole."""
        m, values, places = self.pattern.m, [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
        for pair, at in self.pattern.met.items():
            values.append(self.products[pair].values[at.lower])
            places.append(at.places)
        place = np.concatenate(places)
        return _both_sides(np.concatenate(values), place % m, place // m, m)

    @cached_property
    def precision(self) -> sp.csr_array:
        """K^-1 (x) I (m, m), whole."""
        return _both_sides(self.penalty, *self.pattern.penalty, self.pattern.m)

    @cached_property
    def precision_diagonals(self) -> list[np.ndarray]:
        """The diagonal of K^-1 (J,) of each block."""
        whole, offsets = self.precision.diagonal(), self.pattern.offsets.tolist()
        parts = zip(self.pattern.blocks, offsets[:-1], offsets[1:], strict=True)
        return [whole[start : stop : block.q] for block, start, stop in parts]

    @property
    def families(self) -> tuple[CrossFamily, ...]:
        """All blocks."""
        return self.pattern.families

    def square(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """The lower triangle of M (m, m) in Fortran order, by (S'); zero above."""
        pattern, q = self.pattern, self.entries_of_B.shape[1]
        full, U = np.zeros((pattern.m, pattern.m), order="F"), np.eye(q)[:, :, None] - W.reshape(q, q, -1)
        are_numbers = all(factor.size == 1 for factor in T)
        B = self.entries_of_B if are_numbers else pattern.rows.moved(self.crossing, T)
        pattern.rows.subtract(full, B, np.ascontiguousarray(U.transpose(2, 0, 1)))
        if are_numbers:  # not of every cell
            Lambda = np.repeat([factor[0, 0] for factor in T], np.diff(pattern.offsets))
            full *= Lambda
            full *= Lambda[:, None]
        flat = full.reshape(-1, order="F")  # the large diagonal last: the sums before are rounded to their own size
        for (t_row, t_col), at in pattern.met.items():
            blocks = self.products[t_row, t_col].values.copy()
            sandwich(T[t_row].T, blocks, T[t_col])
            flat[at.places] += blocks[at.lower]
        row, col = pattern.penalty
        flat[col * pattern.m + row] += self.penalty
        return full

    def with_penalty(self, penalty: np.ndarray) -> SchurSum:
        """The complement with other values of K^-1 (x) I."""
        return replace(self, penalty=penalty)

    def penalty_of(self, u: np.ndarray) -> float:
        """u'(K^-1 (x) I)u, of which the pattern has the lower triangle."""
        i, j = self.pattern.penalty
        return float((np.where(i == j, 1.0, 2.0) * self.penalty * u[i]) @ u[j])

    def selected(self, factor: SymmetricFactor, T: list[np.ndarray]) -> np.ndarray:
        """H = Lambda M^-1 Lambda' (m, m), whole."""
        blocks, offsets, transposed = self.pattern.blocks, self.pattern.offsets, [one.T for one in T]
        half = lambda_columns(blocks, offsets, factor.inverse(), transposed)
        return lambda_columns(blocks, offsets, np.ascontiguousarray(half.T), transposed)

    def of_whole(self, whole: np.ndarray) -> np.ndarray:
        """H itself."""
        return whole

    def by_family(self, H: np.ndarray) -> np.ndarray:
        """The entries of H, family by family."""
        offsets, parts = self.pattern.offsets, [np.zeros(0)]
        for family in self.families:
            i, j = np.indices(family.shape)
            rows = offsets[family.t_row] + family.rows[:, None, None] * family.shape[0] + i
            cols = offsets[family.t_col] + family.cols[:, None, None] * family.shape[1] + j
            parts.append(H[rows, cols].ravel())
        return np.concatenate(parts)

    def diagonal_blocks(self, H: np.ndarray, t: int) -> np.ndarray:
        """The diagonal blocks (J, q, q) of H of one grouping factor."""
        start, stop = self.pattern.offsets[t : t + 2].tolist()
        at = np.arange(start, stop).reshape(-1, self.pattern.blocks[t].q)
        return np.asarray(H[at[:, :, None], at[:, None, :]])

    def through(self, H: np.ndarray, q: int) -> np.ndarray:
        """B_g H B_g' of every level as (q, q, J)."""
        return self.pattern.rows.through(H, self.entries_of_B)


def schur_sum(
    pattern: SumPattern,
    blocks: tuple[Block, ...],
    crossing: tuple[Crossing, ...],
    entries: np.ndarray,
    penalty: np.ndarray | None,
) -> SchurSum:
    """The values of S for these columns of the blocks and the ``entries`` of the B_g.

    ``penalty`` are the values of K^-1 (x) I where they are known.
    """
    products = {
        pair: Crossing(met.cells, met.cells.sums(blocks[pair[0]].columns, blocks[pair[1]].columns))
        for pair, met in pattern.met.items()
    }
    known = penalty_values(blocks) if penalty is None else penalty
    B, cells = [one.values for one in crossing], [one.cells for one in crossing]
    return SchurSum(pattern, products, B, cells, entries, known)


def _both_sides(values: np.ndarray, row: np.ndarray, col: np.ndarray, m: int) -> sp.csr_array:
    """A symmetric matrix from its lower triangle."""
    lower = sp.csr_array(sp.coo_array((values, (row, col)), shape=(m, m)))
    return sp.csr_array(lower + sp.tril(lower, -1).T)
