r"""What is left of Z after absorption: its Schur complement on a fixed pattern, linear in the level weights.

With B = Q'Z_2 (one row a level and column of the absorbed term) the Schur complement of the other random effects is

    S(theta) = Z_2'(I - QQ')Z_2 + sum_g B_g' W_g B_g,      W_g = (I + R_g T T' R_g')^-1                          (S)

so every entry of S is a constant plus a fixed linear map (``scatter``) of the entries of the W_g: an evaluation is
one sparse matrix-vector product, never a product of sparse matrices. The pattern is kept in whole (q_t x q_t') blocks,
level by level, so that Lambda' S Lambda has the pattern of S.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
import scipy.sparse as sp

from mme.absorption import Absorbed, Levels
from mme.blocks import Block
from mme.crossproducts import Cells, cells, level_sums


@dataclass(frozen=True, eq=False)
class Family:
    """Blocks of S between two grouping factors: rows are levels of ``t_row``, columns levels of ``t_col``."""

    t_row: int
    t_col: int
    rows: np.ndarray
    cols: np.ndarray
    shape: tuple[int, int]
    values: slice

    @property
    def count(self) -> int:
        """Number of (q_row x q_col) blocks."""
        return int(self.rows.size)


@dataclass(frozen=True, eq=False)
class Remainder:
    """The random effects that were not absorbed, m in all: S as families of blocks, B and the pattern of M."""

    blocks: tuple[Block, ...]
    offsets: np.ndarray
    families: tuple[Family, ...]
    constant: np.ndarray
    scatter: sp.csr_array
    B: sp.csr_array
    C: np.ndarray
    row: np.ndarray
    col: np.ndarray
    source: np.ndarray

    @property
    def m(self) -> int:
        """Number of random effects left."""
        return int(self.offsets[-1])

    def lower(self) -> sp.csc_array:
        """The pattern of M: its lower triangle with ones for values."""
        pointers = np.concatenate(([0], np.cumsum(np.bincount(self.col, minlength=self.m))))
        return sp.csc_array((np.ones(self.row.size), self.row, pointers), shape=(self.m, self.m))

    def schur_values(self, W: np.ndarray) -> np.ndarray:
        """Entries of S(theta), family by family, from the level weights W (q, q, J)."""
        return np.asarray(self.constant + self.scatter @ W.ravel())

    def scaled(self, values: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Entries of M = Lambda' S Lambda + I on the lower triangle (``row``, ``col``)."""
        out = np.empty_like(values)
        for family in self.families:
            left, right = T[family.t_row], T[family.t_col]
            block = values[family.values].reshape(family.count, *family.shape)
            out[family.values] = _sandwich(left, block, right).ravel()
        entries = out[self.source]
        entries[self.row == self.col] += 1.0
        return entries

    def transpose_lambda(self, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda' V for V (m, c)."""
        return self._by_level(V, [factor.T for factor in T])

    def apply_lambda(self, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda V for V (m, c)."""
        return self._by_level(V, T)

    def _by_level(self, V: np.ndarray, factors: list[np.ndarray]) -> np.ndarray:
        out = np.empty_like(V)
        for block, factor, start in zip(self.blocks, factors, self.offsets[:-1].tolist(), strict=True):
            at = slice(start, start + block.J * block.q)
            if block.q == 1:
                out[at] = V[at] * factor[0, 0]
            else:
                out[at] = np.matmul(factor, V[at].reshape(block.J, block.q, -1)).reshape(V[at].shape)
        return out


def _sandwich(left: np.ndarray, block: np.ndarray, right: np.ndarray) -> np.ndarray:
    if left.shape == right.shape == (1, 1):
        return np.asarray(block * (left[0, 0] * right[0, 0]))
    return np.asarray(left.T @ block @ right)


def build_remainder(blocks: tuple[Block, ...], absorbed: Absorbed) -> Remainder:
    """Cross-products of the blocks among themselves, with the absorbed block and with N, once for all theta."""
    order, N_rows = absorbed.order.order, absorbed.N_within.T
    codes = [block.codes[order] for block in blocks]
    values = [block.rows(order) for block in blocks]
    offsets = np.concatenate(([0], np.cumsum([block.J * block.q for block in blocks], dtype=np.int64)))
    C = [
        level_sums(c, b.J, v, N_rows).reshape(-1, N_rows.shape[1])
        for b, c, v in zip(blocks, codes, values, strict=True)
    ]
    crossing = [_crossing(absorbed, b, c, v) for b, c, v in zip(blocks, codes, values, strict=True)]
    families, constant, scatter = _families(blocks, codes, values, crossing, absorbed.levels)
    row, col, source = _pattern(families, offsets)
    B = _stack(crossing, blocks, offsets, absorbed.levels)
    C_all = np.concatenate([np.zeros((0, absorbed.within.shape[0])), *C])
    return Remainder(blocks, offsets, families, constant, scatter, B, C_all, row, col, source)


@dataclass(frozen=True, eq=False)
class Crossing:
    """Q'Z_t by cell: the cells (g, level of t) and their (q, q_t) values."""

    cells: Cells
    values: np.ndarray


def _crossing(absorbed: Absorbed, block: Block, codes: np.ndarray, values: np.ndarray) -> Crossing:
    J = absorbed.levels.J
    if J == 0:
        none = np.zeros(0, dtype=np.int64)
        return Crossing(Cells(none, none, none), np.zeros((0, 1, block.q)))
    g = np.repeat(np.arange(J), absorbed.order.counts)
    found = cells(g, codes, J, block.J)
    return Crossing(found, found.sums(absorbed.Q.T, values))


def pairs_forecast(absorbing: Block, others: list[Block]) -> int:
    """Number of pairs of cells that the scatter would list, counted before it is built (an upper bound)."""
    records = np.bincount(absorbing.codes, minlength=absorbing.J).astype(float)
    widths = [np.minimum(records, block.J) for block in others]
    total = sum(float((a * b).sum()) for a, b in combinations_with_replacement(widths, 2))
    return int(total * absorbing.q**2)


def _families(
    blocks: tuple[Block, ...],
    codes: list[np.ndarray],
    values: list[np.ndarray],
    crossing: list[Crossing],
    levels: Levels,
) -> tuple[tuple[Family, ...], np.ndarray, sp.csr_array]:
    """Pattern, constant part Z'Z - sum_g B_g'B_g and scatter of (S), one family of blocks a pair of factors."""
    families: list[Family] = []
    constants: list[np.ndarray] = [np.zeros(0)]
    q, J = levels.R.shape[0], levels.J
    scatters: list[sp.csr_array] = [sp.csr_array((0, q * q * J))]
    unit_weights = np.repeat(np.eye(q).ravel(), J)
    start = 0
    for t_col, t_row in combinations_with_replacement(range(len(blocks)), 2):
        row_block, col_block = blocks[t_row], blocks[t_col]
        direct = cells(codes[t_row], codes[t_col], row_block.J, col_block.J)
        direct_key = direct.rows * col_block.J + direct.cols
        i, j = _pairs(crossing[t_row].cells, crossing[t_col].cells, t_row == t_col, J)
        pair_key = crossing[t_row].cells.cols[i] * col_block.J + crossing[t_col].cells.cols[j]
        # Records that meet in a cell of two factors share a level of the absorbed one: its pairs are the pattern.
        key, block_of_pair = (direct_key, pair_key) if J == 0 else np.unique(pair_key, return_inverse=True)
        sums = np.zeros((key.size, row_block.q, col_block.q))
        sums[np.searchsorted(key, direct_key)] = direct.sums(values[t_row], values[t_col])
        scatter = _scatter(crossing[t_row], crossing[t_col], (i, j), block_of_pair, key.size, J)
        constants.append(sums.ravel() - scatter @ unit_weights)
        scatters.append(scatter)
        stop = start + sums.size
        families.append(Family(t_row, t_col, key // col_block.J, key % col_block.J, sums.shape[1:], slice(start, stop)))
        start = stop
    return tuple(families), np.concatenate(constants), sp.vstack(scatters, format="csr")


def _pairs(left: Cells, right: Cells, same: bool, J: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs of cells in one level of the absorbed term; for one factor with itself the lower triangle."""
    n_left, n_right = np.bincount(left.rows, minlength=J), np.bincount(right.rows, minlength=J)
    counts = n_left * n_right
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    width = np.repeat(n_right, counts)
    i = np.repeat(np.cumsum(n_left) - n_left, counts) + within // width
    j = np.repeat(np.cumsum(n_right) - n_right, counts) + within % width
    if same:
        lower = i >= j
        return i[lower], j[lower]
    return i, j


def _scatter(
    left: Crossing, right: Crossing, pairs: tuple[np.ndarray, np.ndarray], block_of_pair: np.ndarray, count: int, J: int
) -> sp.csr_array:
    """The map from vec(W) (q q J) to the blocks: entry (i, j) of a block gains B_left[a, i] W[a, b] B_right[b, j]."""
    q, q_left = left.values.shape[1:]
    q_right = right.values.shape[2]
    g = left.cells.rows[pairs[0]]
    data, rows, columns = [], [], []
    for a, b, i, j in np.ndindex(q, q, q_left, q_right):
        data.append(left.values[pairs[0], a, i] * right.values[pairs[1], b, j])
        rows.append((block_of_pair * q_left + i) * q_right + j)
        columns.append((a * q + b) * J + g)
    triplets = (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns)))
    return sp.coo_array(triplets, shape=(count * q_left * q_right, q * q * J)).tocsr()


def _pattern(families: tuple[Family, ...], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lower triangle of M in CSC order: row, column and position among the families' values."""
    none = np.zeros(0, dtype=np.int64)
    rows, cols, sources = [none], [none], [none]
    for family in families:
        i, j = np.indices(family.shape)
        row = offsets[family.t_row] + family.rows[:, None, None] * family.shape[0] + i
        col = offsets[family.t_col] + family.cols[:, None, None] * family.shape[1] + j
        source = np.arange(family.values.start, family.values.stop).reshape(row.shape)
        lower = row >= col
        rows.append(row[lower])
        cols.append(col[lower])
        sources.append(source[lower])
    row, col, source = np.concatenate(rows), np.concatenate(cols), np.concatenate(sources)
    order = np.lexsort((row, col))
    return row[order], col[order], source[order]


def _stack(crossing: list[Crossing], blocks: tuple[Block, ...], offsets: np.ndarray, levels: Levels) -> sp.csr_array:
    """B' as (m, q J): row = random effect left, column = a J + g."""
    q, J = levels.R.shape[0], levels.J
    none = np.zeros(0, dtype=np.int64)
    data, rows, cols = [np.zeros(0)], [none], [none]
    for cross, block, offset in zip(crossing, blocks, offsets[:-1].tolist(), strict=True):
        for a, i in np.ndindex(*cross.values.shape[1:]):
            data.append(cross.values[:, a, i])
            rows.append(offset + cross.cells.cols * block.q + i)
            cols.append(a * J + cross.cells.rows)
    triplets = (np.concatenate(data), (np.concatenate(rows), np.concatenate(cols)))
    return sp.csr_array(sp.coo_array(triplets, shape=(int(offsets[-1]), q * J)))
