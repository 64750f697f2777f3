"""Which levels of two blocks meet: in a record, or in a level of the absorbed block. Patterns alone, no values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.sparse as sp

from mme.numeric.limits import limits
from mme.numeric.sums import Cells

# Columns of a matrix from which its share of entries is told: to a tenth.
_SAMPLED = 32
# Places from which is told how far effects reach, in so many steps, past those that no more than this share meet.
_STARTS, _REACH, _PASSABLE = 16, 5, 0.98

# The place among a family's blocks of each (row, column).
Find = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of cells in one level of the absorbed block, level by level: cells i and j, their levels, and how many."""

    i: np.ndarray
    j: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    counts: np.ndarray

    def without_levels(self) -> Pairs:
        """The pairs without the levels of their cells, which are needed for numbering alone and take as much memory."""
        none = np.zeros(0, dtype=np.int64)
        return replace(self, rows=none, cols=none)


@dataclass(frozen=True, eq=False)
class Numbering:
    """Rows and columns (count,) of the blocks that occur, and ``find``, which gives the number of a (row, column)."""

    rows: np.ndarray
    cols: np.ndarray
    find: Find


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


def number(
    pairs: Pairs,
    direct: tuple[np.ndarray, np.ndarray],
    known: tuple[np.ndarray, np.ndarray],
    same: bool,
    shape: tuple[int, int],
) -> tuple[Numbering, np.ndarray]:
    """Number the blocks that occur: in pairs, in records (``direct``) or as ``known``; and the block of each pair."""
    n_rows, n_cols = shape
    size = n_rows * (n_rows + 1) // 2 if same else n_rows * n_cols
    if pairs.i.size * limits().blocks_for_a_pair <= size:
        return _number_few(pairs, direct, known, n_cols)
    wide = np.int32 if 2 * size < 2**31 else np.int64
    place = _place(same, n_rows, n_cols, wide)
    of_pairs, occurs = place(pairs.rows, pairs.cols), np.zeros(size, dtype=bool)
    occurs[of_pairs] = occurs[place(*known)] = True
    everything = everywhere(same, n_rows, n_cols)
    if occurs.all():
        return Numbering(everything.rows, everything.cols, place), of_pairs
    rank = np.cumsum(occurs, dtype=wide) - 1
    found = Numbering(everything.rows[occurs], everything.cols[occurs], lambda i, j: rank[place(i, j)])
    return found, rank[of_pairs]


def _number_few(
    pairs: Pairs, direct: tuple[np.ndarray, np.ndarray], known: tuple[np.ndarray, np.ndarray], n_cols: int
) -> tuple[Numbering, np.ndarray]:
    """Number the blocks as :func:`number` does, where few of all occur: by search among their sorted keys."""
    # Records that meet in a cell of two factors share a level of the absorbed one: its pairs are the pattern.
    met = (pairs.rows, pairs.cols) if pairs.i.size else direct
    key = np.unique(np.concatenate([rows.astype(np.int64) * n_cols + cols for rows, cols in (met, known)]))

    def find(i: np.ndarray, j: np.ndarray) -> np.ndarray:
        return np.searchsorted(key, i.astype(np.int64) * n_cols + j)

    return Numbering(key // n_cols, key % n_cols, find), find(pairs.rows, pairs.cols)


def everywhere(same: bool, n_rows: int, n_cols: int) -> Numbering:
    """All blocks: row by row, or those of one factor with itself in its lower triangle, down the columns."""
    return (_everywhere_of_few if n_rows * n_cols <= limits().blocks_remembered else _everywhere)(same, n_rows, n_cols)


def _everywhere(same: bool, n_rows: int, n_cols: int) -> Numbering:
    if same:
        cols, rows = np.triu_indices(n_rows)
    else:
        rows, cols = np.divmod(np.arange(n_rows * n_cols), n_cols)
    return Numbering(rows, cols, _place(same, n_rows, n_cols, np.int64))


_everywhere_of_few = lru_cache(maxsize=32)(_everywhere)


def _place(same: bool, n_rows: int, n_cols: int, wide: type) -> Find:
    """The places of blocks among all of them."""
    if same:
        return lambda i, j: np.asarray(j.astype(wide) * (2 * n_rows - j - 1) // 2 + i)
    return lambda i, j: np.asarray(i.astype(wide) * n_cols + j)


def product_count(crossings: list[Cells], widths: list[int], J: int, weights: int) -> int:
    """Products that the sum over levels in (S) takes, ``weights`` of W a level; each is an entry of the scatter."""
    columns = np.zeros(J)
    for found, width in zip(crossings, widths, strict=True):
        columns += width * np.bincount(found.rows, minlength=J)
    return int(weights * (columns * (columns + 1) / 2).sum())


def filled_share(crossings: list[Cells], widths: list[int]) -> float:
    """The share of the pairs of random effects that meet in a level of the absorbed block, from some columns of all."""
    meets, weight = _incidence(crossings, widths)
    some = np.random.default_rng(0).choice(weight.size, size=_SAMPLED, p=weight / weight.sum())
    found = (meets.T.tocsr() @ meets[:, some]).tocoo()
    return float(weight[found.row].sum() / (_SAMPLED * weight.sum()))


def spread(crossings: list[Cells], widths: list[int]) -> float:
    """The share of the random effects that some of them reach by few steps from one to others that they meet.

    Levels that very many meet are not passed through: they are eliminated last. Factors whose effects meet their
    neighbours alone have small separators, and reach few; where most are reached from anywhere there is no order of
    elimination that would not fill in.
    """
    meets, weight = _incidence(crossings, widths)
    by_effect, by_level = (np.asarray(meets.sum(axis=axis)).ravel() for axis in (0, 1))
    passable = [by <= np.quantile(by, _PASSABLE) for by in (by_effect, by_level)]
    meets = sp.csr_array(meets.multiply(passable[0][None, :]).multiply(passable[1][:, None]))
    back, rng = meets.T.tocsr(), np.random.default_rng(0)
    start = rng.choice(np.flatnonzero(passable[0]), size=_STARTS)
    reached = np.zeros((weight.size, _STARTS), dtype=np.float32)
    reached[start, np.arange(_STARTS)] = 1.0
    for _ in range(_REACH):
        reached = np.sign(reached + back @ np.sign(meets @ reached))
    return float(np.median(weight @ reached) / weight.sum())


def _incidence(crossings: list[Cells], widths: list[int]) -> tuple[sp.csc_array, np.ndarray]:
    """Which levels of the absorbed block meet which levels of the others (one each), and the width of these."""
    rows, cols, weights, start = list[np.ndarray](), list[np.ndarray](), list[np.ndarray](), 0
    for found, width in zip(crossings, widths, strict=True):
        J = int(found.cols.max()) + 1
        rows.append(found.rows)
        cols.append(start + found.cols)
        weights.append(np.full(J, float(width)))
        start += J
    level, effect = np.concatenate(rows), np.concatenate(cols)
    return sp.csc_array((np.ones(level.size, dtype=np.float32), (level, effect))), np.concatenate(weights)
