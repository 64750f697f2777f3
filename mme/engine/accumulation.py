r"""The Schur complement added up from the cells of the levels, where a list of its products would be too long.

With U_g = I - W_g = A_g A_g'(I + A_g A_g')^-1, (S) of ``schur.py`` reads

    M = Lambda'Z_2'Z_2 Lambda - sum_g (B_g Lambda)'U_g (B_g Lambda) + K^-1 (x) I.                                (S')

It is made by as many columns at a time as stay in the second-level cache: each level that meets one of them adds its
rows from there downwards. A product takes no memory, and is made anew in every evaluation. Where few levels meet most
rows each, the B_g are written out side by side, and the sum is one product of two matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.level_loops import at_hand, collect, subtract_numbers, subtract_rows, take_numbers, take_rows
from mme.numeric.kernels import kernel
from mme.numeric.limits import limits
from mme.numeric.machine_code import Loop
from mme.numeric.sums import Cells, by_code

# Products that are made one after the other, at least, where any are.
_PRODUCTS = 1000
# Evaluations that a search takes, at least: what each of them loops through is compiled early.
_EVALUATIONS = 20
# Products that are made, at least, where a level is looked at.
_PRODUCTS_A_LOOK = 8
# Products, at least, for each number that is written out.
_PRODUCTS_A_NUMBER = 4


@dataclass(frozen=True, eq=False)
class LevelRows:
    """Which rows of M every absorbed level meets: entries level by level, rows ascending within a level.

    Entry e is at ``level[e]`` and ``row[e]``, and stands at ``gather[e]`` among the values of all crossings (None: they
    are in order). Level g ends at ``ends[g]``. ``steps`` counts the products that make M, ``m`` its rows.
    """

    level: np.ndarray
    row: np.ndarray
    gather: np.ndarray | None
    ends: np.ndarray
    steps: int
    m: int

    @classmethod
    def of(cls, blocks: tuple[Block, ...], offsets: np.ndarray, crossing: tuple[Cells, ...], J: int) -> LevelRows:
        """The rows of blocks whose cells with the absorbed one are ``crossing``."""
        if len(blocks) == 1 and blocks[0].q == 1:  # the cells themselves
            level, row = (x.astype(np.int32, copy=False) for x in (crossing[0].rows, crossing[0].cols))
        else:
            levels, rows = [np.zeros(0, dtype=np.int32)], [np.zeros(0, dtype=np.int32)]
            for cells, block, start in zip(crossing, blocks, offsets[:-1].tolist(), strict=True):
                levels.append(np.repeat(cells.rows.astype(np.int32), block.q))
                rows.append((start + np.add.outer(cells.cols * block.q, np.arange(block.q)).ravel()).astype(np.int32))
            level, row = np.concatenate(levels), np.concatenate(rows)
        row = row.view(np.uint32)  # unsigned: no look for negatives
        gather = None if len(blocks) == 1 else by_code(level, J)  # cells come level by level
        if gather is not None:
            level, row = level[gather], row[gather]
        sizes = np.bincount(level, minlength=J)
        steps = int((sizes.astype(float) * (sizes + 1) / 2).sum())
        return cls(level, row, gather, np.cumsum(sizes), steps, int(offsets[-1]))

    def entries(self, crossing: Sequence[np.ndarray]) -> np.ndarray:
        """The entries (e, q) of the B_g, from the B of each block (cells, q, q_t); of one block of numbers its own."""
        parts = [B.transpose(0, 2, 1).reshape(-1, B.shape[1]) for B in crossing]
        return np.ascontiguousarray(parts[0] if self.gather is None else np.concatenate(parts)[self.gather])

    def moved(self, crossing: Sequence[np.ndarray], T: Sequence[np.ndarray]) -> np.ndarray:
        """The entries (e, q) of the B_g Lambda, for T of each block."""
        whole = [(B.reshape(-1, len(factor)) @ factor).reshape(B.shape) for B, factor in zip(crossing, T, strict=True)]
        return self.entries(whole)

    def matrix(self, entries: np.ndarray) -> sp.csc_array:
        """(B_1' B_2' ...) (m, q J), column a J + g, from the entries of the B_g: their own memory where q is one."""
        (count, q), J = entries.shape, self.ends.size
        wide = np.int32 if q * count < 2**31 else np.int64
        pointers = np.zeros(q * J + 1, dtype=wide)
        pointers[1:] = np.add.outer(np.arange(q) * count, self.ends).ravel()
        rows = self.row.view(np.int32).astype(wide, copy=False)
        indices = rows if q == 1 else np.tile(rows, q)
        return sp.csc_array((entries.T.ravel(), indices, pointers), shape=(self.m, q * J))

    def written_out(self, B: np.ndarray) -> np.ndarray:
        """The B_g (J, q, m) with all their columns."""
        q = B.shape[1]
        flat, place = np.zeros(self.ends.size * q * self.m), self.level.astype(np.int64) * (q * self.m) + self.row
        for a in range(q):
            flat[place + a * self.m] = B[:, a]
        return flat.reshape(-1, q, self.m)

    def subtract(self, full: np.ndarray, B: np.ndarray, U: np.ndarray) -> None:
        """Take sum_g B_g'U_g B_g, U (J, q, q), from the lower triangle of a square in Fortran order."""
        q = B.shape[1]
        if self._is_full(q):
            whole = self.written_out(B)
            times = U * whole if q == 1 else np.matmul(U, whole)
            full -= np.tril(whole.reshape(-1, self.m).T @ times.reshape(-1, self.m))
            return
        loop = self._loop(subtract_numbers if q == 1 else subtract_rows, _EVALUATIONS * q * self.steps)
        given = full.T, self._width, self.ends, self._begins, self.row
        if q == 1:
            loop(*given, B.ravel(), U.ravel())
        else:
            loop(*given, B, U, np.empty(q))

    def through(self, H: np.ndarray, B: np.ndarray) -> np.ndarray:
        """B_g H B_g' of every level as (q, q, J), for a symmetric H (m, m): the transpose of :meth:`subtract`."""
        q = B.shape[1]
        if self._is_full(q):
            whole = self.written_out(B)
            HB = (whole.reshape(-1, self.m) @ H).reshape(whole.shape)
            return np.asarray(np.matmul(whole, HB.transpose(0, 2, 1)).transpose(1, 2, 0))
        half = np.zeros((self.ends.size, q, q))
        loop = self._loop(collect, _EVALUATIONS * q * self.steps)
        loop(half, np.asfortranarray(H).T, self._width, self.ends, self._begins, self.row, B, np.empty(q))
        return np.asarray((half + half.transpose(0, 2, 1)).transpose(1, 2, 0))

    def take_through(self, out: np.ndarray, B: np.ndarray, U: np.ndarray, V: np.ndarray) -> None:
        """Take sum_g B_g'U_g B_g V from ``out`` (m, c), for B (entries, q), U (J, q, q) and V (m, c)."""
        q, c = B.shape[1], V.shape[1]
        loop = self._loop(take_numbers if q == 1 else take_rows, _PRODUCTS * self.level.size * c)
        V = np.ascontiguousarray(V)
        if q == 1:
            loop(out, self.ends, self.row, B.ravel(), U.ravel(), V, np.empty(c))
        else:
            loop(out, self.ends, self.row, B, U, V, np.empty((q, c)), np.empty((q, c)))

    def _loop(self, plain: Loop, steps: int) -> Loop:
        """The loop from disk; where it is not there, the compiler's."""
        return at_hand(plain, self.level.size) or kernel(plain, steps)

    def _is_full(self, q: int) -> bool:
        """Whether the B_g of q rows are written out."""
        return are_written_out(self.level.size, self.steps, self.m, q, self.ends.size)

    @property
    def _begins(self) -> np.ndarray:
        """The first entry (J,) of each level, in memory of its own: the loops count on from there."""
        begins = np.zeros_like(self.ends)
        begins[1:] = self.ends[:-1]
        return begins

    @property
    def _width(self) -> int:
        """Columns at a time; of levels that meet few rows so many that they are not looked at for nothing."""
        looks = _PRODUCTS_A_LOOK * self.m * self.ends.size // max(1, self.steps)
        return max(1, limits().panel_numbers // self.m, min(looks, self.m))


def are_written_out(entries: int, steps: int, m: int, q: int, J: int) -> bool:
    """Whether the B_g (q, m) of J levels are small with all their columns, of which not many are zero."""
    numbers, most = J * m, limits()
    is_repaid = numbers <= most.columns_for_one * entries and _PRODUCTS_A_NUMBER * numbers <= steps
    return is_repaid and q * numbers <= most.pair_numbers


def runs_at_once(entries: int, steps: int, m: int, q: int, J: int) -> bool:
    """Whether the sum over J levels of q columns, which meet so many ``entries`` of m rows, asks for no compiler."""
    if are_written_out(entries, steps, m, q, J):
        return True
    found = [at_hand(loop, entries) for loop in (subtract_numbers if q == 1 else subtract_rows, collect)]
    return None not in found
