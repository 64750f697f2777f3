r"""The Schur complement of the absorbed block on the other random effects, at every theta.

With B_g = Q_g'Z_2 (one row a column of the absorbed block, few columns not zero),

    S(theta) = Z_2'(I - QQ')Z_2 + sum_g B_g' W_g B_g,      W_g = (I + R_g T T' R_g')^-1                           (S)

The first part is computed once. Every entry of the second is a fixed linear map (``scatter``) of the entries of the
W_g, so that an evaluation is one sparse matrix-vector product, never a product of sparse matrices.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations_with_replacement

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import Levels
from mme.engine.blocks import Block
from mme.numeric.sums import Cells

# Entries of a matrix up to which it is multiplied densely.
_DENSE = 2**15


@dataclass(frozen=True, eq=False)
class Crossing:
    """Inner products of two blocks' columns by cell of their levels: (cells, q, q_t)."""

    cells: Cells
    values: np.ndarray


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

    def blocks(self, values: np.ndarray) -> np.ndarray:
        """This family's part of all values, as (count, q_row, q_col)."""
        return values[self.values].reshape(self.count, *self.shape)

    @property
    def diagonal(self) -> np.ndarray:
        """Which blocks stand on the diagonal of S."""
        return np.asarray((self.rows == self.cols) & (self.t_row == self.t_col))


@dataclass(frozen=True, eq=False)
class Schur:
    """S on its pattern, in whole (q_row x q_col) blocks so that Lambda'S Lambda has the pattern of S.

    ``products`` are the Z_t'Z_s by cell; ``scatter`` maps vec(W) (q q J) to the values; ``row``, ``col`` and ``source``
    are the lower triangle in CSC order and where its entries stand among the values. A dense (P) of this and
    ``border`` more columns is filled in the order of the values.
    """

    blocks: tuple[Block, ...]
    offsets: np.ndarray
    products: dict[tuple[int, int], Crossing]
    families: tuple[Family, ...]
    constant: np.ndarray
    scatter: sp.csr_array | Whole
    row: np.ndarray
    col: np.ndarray
    source: np.ndarray
    penalty_at: np.ndarray
    penalty: np.ndarray
    border: int

    def entries(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """M = Lambda'S Lambda + K^-1 (x) I at (``row``, ``col``)."""
        values = self._values(W, T)
        entries = values if self._in_order else values[self.source]
        entries[self.penalty_at] += self.penalty
        return entries

    def square(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """The lower triangle of M in the top left of (P), a square matrix in Fortran order, zero elsewhere."""
        values, size = self._values(W, T), int(self.offsets[-1]) + self.border
        full = np.zeros((size, size), order="F")
        flat, (places, among) = full.reshape(-1, order="F"), self._places
        flat[places] = values if among is None else values[among]
        flat[self._penalty_places] += self.penalty
        return full

    def _values(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda'S Lambda, family by family."""
        values = self._scattered @ W.ravel()
        values += self.constant
        for family in self.families:
            _sandwich(T[family.t_row].T, family.blocks(values), T[family.t_col])
        return values

    @cached_property
    def _scattered(self) -> np.ndarray | sp.csr_array | Whole:
        """The scatter as an evaluation applies it."""
        return self.scatter if isinstance(self.scatter, Whole) else quickest(self.scatter)

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray | None]:
        """Where the values stand in (P), column by column, and which of them (None: all) are of the lower triangle."""
        order = np.argsort(self.source)
        among = None if self.source.size == self.constant.size else self.source[order]
        return self._place[order], among

    @cached_property
    def _penalty_places(self) -> np.ndarray:
        return self._place[self.penalty_at]

    @property
    def _place(self) -> np.ndarray:
        return self.col * (int(self.offsets[-1]) + self.border) + self.row

    def with_penalty(self, penalty: np.ndarray) -> Schur:
        """The same pattern with other values of K^-1 (x) I."""
        _ = (
            self._in_order,
            self._places,
            self._penalty_places,
            self._scattered,
        )  # of the pattern alone: once, and copied
        twin = copy(self)
        object.__setattr__(twin, "penalty", penalty)
        return twin

    def penalty_of(self, u: np.ndarray) -> float:
        """u'(K^-1 (x) I)u."""
        i, j = self.row[self.penalty_at], self.col[self.penalty_at]
        return float((np.where(i == j, 1.0, 2.0) * self.penalty * u[i]) @ u[j])

    @cached_property
    def _in_order(self) -> bool:
        """Whether the values stand in CSC order already, as those of one scalar factor do."""
        return bool(self.source.size == self.constant.size and (self.source[1:] > self.source[:-1]).all())

    def lower(self) -> sp.csc_array:
        """The pattern of M: its lower triangle with ones for values."""
        m = int(self.offsets[-1])
        pointers = np.concatenate(([0], np.cumsum(np.bincount(self.col, minlength=m))))
        return sp.csc_array((np.ones(self.row.size), self.row, pointers), shape=(m, m))

    def diagonal_blocks(self, H: np.ndarray, t: int) -> np.ndarray:
        """(J, q, q) diagonal blocks of one factor from what :meth:`sandwich` returns."""
        for family in self.families:
            if family.t_row == family.t_col == t:
                return np.asarray(family.blocks(H)[family.diagonal])
        raise IndexError(t)

    def sandwich(self, inverse: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """H = Lambda M^-1 Lambda' on the pattern, family by family, from M^-1 at (``row``, ``col``)."""
        values = self.by_family(inverse)
        for family in self.families:
            _sandwich(T[family.t_row], family.blocks(values), T[family.t_col].T)
        return values

    def by_family(self, lower: np.ndarray) -> np.ndarray:
        """A symmetric matrix on the pattern, family by family, from its entries at (``row``, ``col``)."""
        values = np.zeros(self.constant.size)
        values[self.source] = lower
        for family in self.families:
            if family.t_row == family.t_col:  # the triangle holds the lower half of its diagonal blocks
                blocks, diagonal = family.blocks(values), family.diagonal
                half = np.tril(blocks[diagonal])
                blocks[diagonal] = half + np.tril(half, -1).transpose(0, 2, 1)
        return values

    def through(self, H: np.ndarray, q: int) -> np.ndarray:
        """B_g H B_g' as (q, q, J): the transpose of the scatter, each off-diagonal block counted both ways."""
        halved = H.copy()
        for family in self.families:
            family.blocks(halved)[family.diagonal] *= 0.5
        back = self.scatter.adjoint(halved) if isinstance(self.scatter, Whole) else self.scatter.T @ halved
        G = back.reshape(q, q, -1)
        return np.asarray(G + G.transpose(1, 0, 2))


def quickest(A: sp.csr_array) -> np.ndarray | sp.csr_array:
    """A matrix by which products are quickest: a small one is dense."""
    return A.toarray() if A.shape[0] * A.shape[1] <= _DENSE else A


def lambda_columns(blocks: tuple[Block, ...], offsets: np.ndarray, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
    """Lambda'V for V (m, c): level by level T'V_g."""
    out = np.empty(V.shape)
    for block, factor, start in zip(blocks, T, offsets[:-1].tolist(), strict=True):
        at = slice(start, start + block.J * block.q)
        if block.q == 1:
            np.multiply(V[at], factor[0, 0], out=out[at])
        else:
            out[at] = np.matmul(factor.T, V[at].reshape(block.J, block.q, -1)).reshape(V[at].shape)
    return out


def _is_number(T: np.ndarray) -> bool:
    """Whether T is a number times the identity."""
    if T.shape == (1, 1):
        return True
    if T[0, 0] != T[-1, -1]:
        return False
    diagonal = T.diagonal()
    return bool((diagonal == diagonal[0]).all() and np.count_nonzero(T) == np.count_nonzero(diagonal))


def _sandwich(left: np.ndarray, blocks: np.ndarray, right: np.ndarray) -> None:
    """Blocks become left blocks right, in place."""
    if _is_number(left) and _is_number(right):
        blocks *= left[0, 0] * right[0, 0]
    else:
        blocks[:] = left @ blocks @ right


def product_count(crossings: list[Cells], widths: list[int], J: int, weights: int) -> int:
    """Products that the sum over levels in (S) takes, ``weights`` of W a level; each is an entry of the scatter."""
    columns = np.zeros(J)
    for found, width in zip(crossings, widths, strict=True):
        columns += width * np.bincount(found.rows, minlength=J)
    return int(weights * (columns * (columns + 1) / 2).sum())


def build_schur(
    blocks: tuple[Block, ...],
    offsets: np.ndarray,
    crossing: list[Crossing],
    levels: Levels,
    border: int,
    B: sp.csr_array,
) -> Schur:
    """Pattern, constant part and scatter; ``B`` as in :class:`mme.engine.remainder.Remainder`."""
    families: list[Family] = []
    products: dict[tuple[int, int], Crossing] = {}
    constants: list[np.ndarray] = [np.zeros(0)]
    q, J = levels.R.shape[0], levels.J
    scatters: list[sp.csr_array] = []
    diagonal = levels.singular is not None
    whole = J > 0 and (diagonal or any(block.is_spherical for block in blocks))
    unit_weights = np.ones(q) if diagonal else np.repeat(np.eye(q).ravel(), J)
    start = 0
    for t_col, t_row in combinations_with_replacement(range(len(blocks)), 2):
        one, other = blocks[t_row], blocks[t_col]
        direct = one.cells(other)
        same = t_row == t_col
        pairs = _NO_PAIRS if whole else level_pairs(crossing[t_row].cells, crossing[t_col].cells, same, J)
        known = _related(one) if t_row == t_col else _NONE
        # A block with several levels a record meets itself off the diagonal too: on both sides of it.
        lower = direct.rows >= direct.cols if t_row == t_col else slice(None)
        met = direct.rows[lower], direct.cols[lower]
        if whole:
            rows, cols, where = _everywhere(same, one.J, other.J)
        else:
            rows, cols, block, where = _number(pairs, met, known, same, one.J, other.J)
        values = np.zeros((rows.size, one.q, other.q))
        products[t_row, t_col] = Crossing(direct, direct.sums(one.columns, other.columns))
        values[where(*met)] = products[t_row, t_col].values[lower]
        constants.append(values.ravel())
        if not whole:
            pairs = replace(pairs, rows=_NONE[0], cols=_NONE[1])  # done with: what follows is the peak of memory
            scatters.append(_scatter(crossing[t_row], crossing[t_col], pairs, block, rows.size, J))
            constants[-1] -= scatters[-1] @ unit_weights
        stop = start + values.size
        families.append(Family(t_row, t_col, rows, cols, values.shape[1:], slice(start, stop)))
        start = stop
    scatter: sp.csr_array | Whole
    if whole:
        scatter = Whole(B.toarray().reshape(B.shape[0], -1, J), diagonal, *_places(families, offsets))
        constant = np.concatenate(constants) - scatter @ unit_weights
    else:
        scatter = scatters[0] if len(scatters) == 1 else sp.vstack(scatters, format="csr")
        constant = np.concatenate(constants)
    row, col, source = _lower_triangle(families, offsets)
    penalty_at, penalty = _penalty(blocks, offsets, row, col)
    return Schur(
        blocks,
        offsets,
        products,
        tuple(families),
        constant,
        scatter,
        row,
        col,
        source,
        penalty_at,
        penalty,
        border,
    )


_NONE = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, eq=False)
class Whole:
    """The map from vec(W) to the blocks where a level meets all effects, as one with coefficients of one variance does.

    It is a dense product, sum_ab B_a W_ab B_b' with B (m, q, J), picked at (``row``, ``col``). A W that is always
    ``diagonal`` is given by its diagonal.
    """

    B: np.ndarray
    diagonal: bool
    row: np.ndarray
    col: np.ndarray

    def __matmul__(self, weights: np.ndarray) -> np.ndarray:
        m, q, J = self.B.shape
        if self.diagonal:
            flat = self.B.reshape(m, q * J)
            S = (flat * weights) @ flat.T
        else:
            W = weights.reshape(q, q, J)
            S = np.zeros((m, m))
            for a, b in np.ndindex(q, q):
                S += (self.B[:, a] * W[a, b]) @ self.B[:, b].T
        return np.asarray(S[self.row, self.col])

    def adjoint(self, values: np.ndarray) -> np.ndarray:
        """The transpose of the map: B_g'H B_g (q, q, J), flat, of H with these values and zeros elsewhere."""
        m, q, J = self.B.shape
        H = np.zeros((m, m))
        H[self.row, self.col] = values
        HB = (H @ self.B.reshape(m, q * J)).reshape(m, q, J)
        return np.einsum("mag,mbg->abg", self.B, HB, optimize=True).ravel()


def _related(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the lower triangle of K^-1 where levels are related."""
    if block.relationship is None:
        return _NONE
    lower = sp.coo_array(sp.tril(block.relationship.precision))
    return lower.row.astype(np.int64), lower.col.astype(np.int64)


def _penalty(
    blocks: tuple[Block, ...], offsets: np.ndarray, row: np.ndarray, col: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where K^-1 (x) I stands among the entries of M, and its values."""
    if all(block.relationship is None for block in blocks):
        at = np.flatnonzero(row == col)
        return at, np.ones(at.size)
    m = int(offsets[-1])
    places, values = [], []
    for block, start in zip(blocks, offsets[:-1].tolist(), strict=True):
        K = sp.eye_array(block.J) if block.relationship is None else sp.tril(block.relationship.precision)
        lower, each = sp.coo_array(K), np.arange(block.q)
        i, j = (np.add.outer(at.astype(np.int64) * block.q, each).ravel() for at in (lower.row, lower.col))
        places.append((start + j) * m + start + i)
        values.append(np.repeat(lower.data, block.q))
    return np.searchsorted(col * m + row, np.concatenate(places)), np.concatenate(values)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of cells in one level of the absorbed block, level by level: cells i and j, their levels, the level g."""

    i: np.ndarray
    j: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    counts: np.ndarray


_NO_PAIRS = Pairs(*(_NONE[0],) * 5)


def level_pairs(left: Cells, right: Cells, same: bool, J: int) -> Pairs:
    """All pairs of a left and a right cell of one level; for one factor with itself the lower triangle."""
    n_left, n_right = np.bincount(left.rows, minlength=J), np.bincount(right.rows, minlength=J)
    # Row i of a level's rectangle has all right cells, or, for the lower triangle, as many as cells up to itself.
    first_left = np.cumsum(n_left) - n_left
    rank = np.arange(left.count) - first_left[left.rows]
    length = rank + 1 if same else n_right[left.rows]
    i = np.repeat(np.arange(left.count, dtype=np.int32), length)
    begin = (np.cumsum(n_right) - n_right)[left.rows] - (np.cumsum(length) - length)
    j = np.arange(i.size, dtype=np.int32) + np.repeat(begin.astype(np.int32), length)
    counts = np.bincount(left.rows, length, minlength=J).astype(np.int64)
    # Half-width integers: there may be tens of millions of pairs.
    return Pairs(i, j, left.cols.astype(np.int32)[i], right.cols.astype(np.int32)[j], counts)


def _number(
    pairs: Pairs,
    direct: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray],
    same: bool,
    n_rows: int,
    n_cols: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Rows and columns of the blocks that occur, the block of each pair, and the map from (row, column) to a block."""
    size = n_rows * (n_rows + 1) // 2 if same else n_rows * n_cols
    if pairs.i.size * 4 <= size:
        # Records that meet in a cell of two factors share a level of the absorbed one: its pairs are the pattern.
        met = (pairs.rows, pairs.cols) if pairs.i.size else direct
        key = np.unique(np.concatenate([rows.astype(np.int64) * n_cols + cols for rows, cols in (met, known)]))

        def found(i: np.ndarray, j: np.ndarray) -> np.ndarray:
            return np.searchsorted(key, i.astype(np.int64) * n_cols + j)

        return key // n_cols, key % n_cols, found(pairs.rows, pairs.cols), found
    wide = np.int32 if 2 * size < 2**31 else np.int64

    def place(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        if same:  # the lower triangle down its columns
            return np.asarray(j.astype(wide) * (2 * n_rows - j - 1) // 2 + i)
        return np.asarray(i.astype(wide) * n_cols + j)

    of_pairs, occurs = place(pairs.rows, pairs.cols), np.zeros(size, dtype=bool)
    occurs[of_pairs] = occurs[place(*known)] = True
    cols, rows = np.triu_indices(n_rows) if same else np.divmod(np.arange(size), n_cols)[::-1]
    if occurs.all():
        return rows, cols, of_pairs, place
    rank = np.cumsum(occurs, dtype=wide) - 1
    return rows[occurs], cols[occurs], rank[of_pairs], lambda i, j: rank[place(i, j)]


def _everywhere(
    same: bool, n_rows: int, n_cols: int
) -> tuple[np.ndarray, np.ndarray, Callable[[np.ndarray, np.ndarray], np.ndarray]]:
    """Rows and columns of all blocks, those of one factor in its lower triangle down the columns, and their places."""
    if not same:
        cols, rows = np.divmod(np.arange(n_rows * n_cols), n_cols)[::-1]
        return rows, cols, lambda i, j: i * n_cols + j
    cols, rows = np.triu_indices(n_rows)
    return rows, cols, lambda i, j: j * (2 * n_rows - j - 1) // 2 + i


def _scatter(left: Crossing, right: Crossing, pairs: Pairs, block: np.ndarray, count: int, J: int) -> sp.csr_array:
    """The map from vec(W) (q q J) to the blocks: entry (i, j) of a block gains B_left[a, i] W[a, b] B_right[b, j].

    Pairs come level by level, so each piece is a matrix by columns already; its transpose is a counting sort.
    """
    q, q_left = left.values.shape[1:]
    q_right = right.values.shape[2]
    shape = (count * q_left * q_right, J)
    pointers = np.concatenate(([0], np.cumsum(pairs.counts))).astype(np.int32 if pairs.i.size < 2**31 else np.int64)
    by_weight: list[sp.csr_array] = []
    for a, b in np.ndindex(q, q):
        total: sp.csr_array | None = None
        for i, j in np.ndindex(q_left, q_right):
            data = left.values[pairs.i, a, i] * right.values[pairs.j, b, j]
            entries = block if q_left == q_right == 1 else block * (q_left * q_right) + (i * q_right + j)
            entries = entries.astype(np.int32, copy=False)
            piece = sp.csc_array((data, entries, pointers), shape=shape).tocsr()
            total = piece if total is None else total + piece
        by_weight.append(total)
    return sp.csr_array(by_weight[0] if q == 1 else sp.hstack(by_weight, format="csr"))


def _places(families: list[Family], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column in M of all values of the families."""
    rows, cols = [_NONE[0]], [_NONE[0]]
    for family in families:
        i, j = np.indices(family.shape)
        rows.append((offsets[family.t_row] + family.rows[:, None, None] * family.shape[0] + i).ravel())
        cols.append((offsets[family.t_col] + family.cols[:, None, None] * family.shape[1] + j).ravel())
    return np.concatenate(rows), np.concatenate(cols)


def _lower_triangle(families: list[Family], offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    order = np.argsort(col * offsets[-1] + row, kind="stable")  # merges what comes in order
    return row[order], col[order], source[order]
