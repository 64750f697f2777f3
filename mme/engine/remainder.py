"""What is left of Z after absorption: its products with N and with the absorbed block, and its Schur complement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import Absorbed, Levels, Projected
from mme.engine.blocks import Block
from mme.engine.schur import Crossing, Schur, build_schur, lambda_columns, quickest
from mme.numeric.sums import Cells


@dataclass(frozen=True, eq=False)
class Remainder:
    """The random effects that were not absorbed, m in all.

    ``crossing`` = Q'Z_t of each block, ``C`` = Z_2'(I - QQ')N (m, p + 1), ``B`` = (Q'Z_2)' (m, q J) with column
    a J + g, ``schur`` as in (S).
    """

    blocks: tuple[Block, ...]
    offsets: np.ndarray
    crossing: tuple[Crossing, ...]
    B: sp.csr_array
    C: np.ndarray
    schur: Schur

    @cached_property
    def m(self) -> int:
        """Number of random effects left."""
        return int(self.offsets[-1])

    def between(self, V: np.ndarray) -> np.ndarray:
        """B V for V (q J, c)."""
        return np.asarray(self._B @ V)

    @cached_property
    def _B(self) -> np.ndarray | sp.csr_array:
        return quickest(self.B)

    def with_response(self, r: np.ndarray) -> Remainder:
        """The same, for another last column r (1, n) of N less its part between levels."""
        last = [block.sums(r).reshape(-1, 1) for block in self.blocks]
        return replace(self, C=np.hstack([self.C[:, :-1], np.concatenate(last)]))

    def at(self, penalty: np.ndarray | None) -> Remainder:
        """The same, for other values of K^-1 (x) I; None: those that it has."""
        return self if penalty is None else replace(self, schur=self.schur.with_penalty(penalty))

    def through(self, H: np.ndarray, levels: Levels) -> np.ndarray:
        """B_g H B_g' of every level as (q, q, J), for a symmetric H on the pattern of M, family by family."""
        if levels.singular is None:
            return self.schur.through(H, levels.R.shape[0])
        triplets = H[self.schur.source], (self.schur.row, self.schur.col)
        lower = sp.csr_array(sp.coo_array(triplets, shape=(self.m, self.m)))
        whole = lower + sp.tril(lower, -1).T
        return np.asarray((self.B.T @ (whole @ self.B)).toarray())[:, :, None]

    def transpose_lambda(self, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda'V for V (m, c)."""
        return lambda_columns(self.blocks, self.offsets, V, T)

    def apply_lambda(self, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda V for V (m, c)."""
        return lambda_columns(self.blocks, self.offsets, V, [factor.T for factor in T])


def build_remainder(blocks: tuple[Block, ...], absorbed: Absorbed, rows: Projected, found: list[Cells]) -> Remainder:
    """Cross-products of the blocks among themselves, with the absorbed block and with N, once for all theta.

    ``found`` are the cells of the absorbed block with each of the others.
    """
    offsets = np.concatenate(([0], np.cumsum([block.J * block.q for block in blocks], dtype=np.int64)))
    crossing = [_crossing(absorbed, rows, block, cells) for block, cells in zip(blocks, found, strict=True)]
    C = [block.sums(rows.N) for block in blocks]
    B = _stack(crossing, blocks, offsets, absorbed.levels.R.shape[0], absorbed.levels.J)
    return Remainder(
        blocks=blocks,
        offsets=offsets,
        crossing=tuple(crossing),
        B=B,
        C=np.concatenate([np.zeros((0, rows.N.shape[0])), *(part.reshape(-1, part.shape[2]) for part in C)]),
        schur=build_schur(blocks, offsets, crossing, absorbed.levels, rows.N.shape[0], B),
    )


@cache
def no_remainder(absorbed_columns: int, n_columns: int) -> Remainder:
    """The remainder of a model with one grouping factor: nothing, in the right shapes."""
    none, offsets = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    B = sp.csr_array((0, absorbed_columns))
    schur = Schur((), offsets, {}, (), np.zeros(0), B, none, none, none, none, np.zeros(0), n_columns)
    return Remainder((), offsets, (), B, np.zeros((0, n_columns)), schur)


def _crossing(absorbed: Absorbed, rows: Projected, block: Block, found: Cells) -> Crossing:
    """Q'Z_t: inner products with the orthogonal columns, divided by their lengths."""
    if absorbed.levels.J == 0:
        return Crossing(found, np.zeros((0, 1, block.q)))
    lengths = rows.lengths[found.rows]
    inverse = np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0.0)
    return Crossing(found, found.sums(rows.Z, block.columns) * inverse[:, :, None])


def _stack(crossing: list[Crossing], blocks: tuple[Block, ...], offsets: np.ndarray, q: int, J: int) -> sp.csr_array:
    none = np.zeros(0, dtype=np.int64)
    data, rows, cols = [np.zeros(0)], [none], [none]
    for cross, block, offset in zip(crossing, blocks, offsets[:-1].tolist(), strict=True):
        for a, i in np.ndindex(*cross.values.shape[1:]):
            data.append(cross.values[:, a, i])
            rows.append(offset + cross.cells.cols * block.q + i)
            cols.append(a * J + cross.cells.rows)
    triplets = (np.concatenate(data), (np.concatenate(rows), np.concatenate(cols)))
    return sp.csr_array(sp.coo_array(triplets, shape=(int(offsets[-1]), q * J)))
