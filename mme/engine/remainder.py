"""What is left of Z after absorption: its products with N and with the absorbed block, and its Schur complement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import accumulate

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import Absorbed, Levels, Projected
from mme.engine.accumulation import LevelRows
from mme.engine.blocks import Block
from mme.engine.complement import Complement
from mme.engine.lambdas import lambda_columns
from mme.engine.schur import Crossing, Schur, schur
from mme.engine.schur_pattern import SchurPattern, schur_pattern
from mme.engine.schur_sum import SumPattern, schur_sum, sum_pattern
from mme.numeric.limits import limits
from mme.numeric.panels import panels
from mme.numeric.sums import Cells


@dataclass(frozen=True, eq=False)
class RemainderPattern:
    """Where the products of the remainder stand: made once for a model, whatever its weights, phi and response.

    ``crossing`` are the cells of the absorbed block with each of the others, ``q`` the columns of a level after its QR,
    ``rows`` what each of its levels meets.
    """

    offsets: np.ndarray
    crossing: tuple[Cells, ...]
    q: int
    J: int
    rows: LevelRows
    schur: SchurPattern | SumPattern

    @property
    def is_whole(self) -> bool:
        """Whether it serves for other weights."""
        return self.schur.is_whole

    def kept(self, *, for_weights: bool) -> RemainderPattern:
        """The pattern with the places of all products, for steps to other weights; or without them."""
        return replace(self, schur=self.schur.kept(for_weights=for_weights))

    def entries(self, crossing: tuple[Crossing, ...]) -> np.ndarray:
        """The entries (e, q) of the B_g, from the inner products of the blocks with the orthogonal columns."""
        return self.rows.entries([one.values for one in crossing])

    def applied(self, entries: np.ndarray) -> np.ndarray | sp.csc_array:
        """(Q'Z_2)' from its entries, as products with it are quickest: a small one is dense."""
        is_small = int(self.offsets[-1]) * self.q * self.J <= limits().dense_factor_entries
        if is_small:
            return self.rows.written_out(entries).transpose(2, 1, 0).reshape(int(self.offsets[-1]), -1)
        return self.rows.matrix(entries)


@dataclass(frozen=True, eq=False)
class Remainder:
    """The random effects that were not absorbed, m in all.

    ``crossing`` = Q'Z_t of each block, ``C`` = Z_2'(I - QQ')N (m, p + 1), ``B`` = (Q'Z_2)' (m, q J) with column
    a J + g, ``applied`` the same as an evaluation applies it, ``schur`` as in (S).
    """

    blocks: tuple[Block, ...]
    pattern: RemainderPattern
    crossing: tuple[Crossing, ...]
    applied: np.ndarray | sp.csc_array
    C: np.ndarray
    schur: Complement

    @property
    def offsets(self) -> np.ndarray:
        """Where the effects of each block begin, and their number."""
        return self.pattern.offsets

    @cached_property
    def m(self) -> int:
        """Number of random effects left."""
        return int(self.offsets[-1])

    @cached_property
    def B(self) -> sp.csc_array:
        """(Q'Z_2)' (m, q J), without its zeros."""
        if isinstance(self.applied, np.ndarray):
            return self.pattern.rows.matrix(self.pattern.entries(self.crossing))
        return self.applied

    def between(self, V: np.ndarray) -> np.ndarray:
        """B V for V (q J, c)."""
        return np.asarray(self.applied @ V)

    @cached_property
    def by_level(self) -> sp.csr_array:
        """B' (q J, m), row a J + g."""
        return sp.csr_array(self.B.T)

    def with_response(self, r: np.ndarray) -> Remainder:
        """The remainder for another response: r (1, n) is the last column of N less its part between levels."""
        last = [block.sums(r).reshape(-1, 1) for block in self.blocks]
        return replace(self, C=np.hstack([self.C[:, :-1], np.concatenate(last)]))

    def at(self, penalty: np.ndarray | None) -> Remainder:
        """The remainder at other values of K^-1 (x) I; None keeps those that it has."""
        return self if penalty is None else replace(self, schur=self.schur.with_penalty(penalty))

    def through(self, H: np.ndarray, levels: Levels) -> np.ndarray:
        """B_g H B_g' of every level as (q, q, J), for a symmetric H on the pattern of M, family by family."""
        if levels.singular is None:
            return self.schur.through(H, levels.R.shape[0])
        assert isinstance(self.schur, Schur)  # a spherical block is absorbed by a listed complement alone
        pattern = self.schur.pattern
        triplets = H[pattern.source], (pattern.row, pattern.col)
        lower = sp.csr_array(sp.coo_array(triplets, shape=(self.m, self.m)))
        whole = lower + sp.tril(lower, -1).T
        return np.asarray((self.B.T @ (whole @ self.B)).toarray())[:, :, None]

    def transpose_lambda(self, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda'V for V (m, c)."""
        return lambda_columns(self.blocks, self.offsets, V, T)

    def apply_lambda(self, V: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda V for V (m, c)."""
        return lambda_columns(self.blocks, self.offsets, V, [factor.T for factor in T])


def remainder_pattern(
    blocks: tuple[Block, ...],
    absorbed: Block | None,
    crossing: tuple[Cells, ...],
    border: int,
    *,
    summed: bool = False,
    dense: bool = False,
) -> RemainderPattern:
    """The pattern for these blocks, of which only levels and numbers of columns are looked at, and ``border`` of N.

    A complement that is ``summed`` has no list of its products; nor has a small one whose factor is ``dense``.
    """
    offsets = np.array(list(accumulate((block.J * block.q for block in blocks), initial=0)), dtype=np.int64)
    q, J = (1, 0) if absorbed is None else (absorbed.rank, absorbed.J)
    rows = LevelRows.of(blocks, offsets, crossing, J)
    pattern: SchurPattern | SumPattern
    if summed:
        pattern = sum_pattern(blocks, offsets, rows, border)
    else:
        pattern = schur_pattern(blocks, offsets, crossing, absorbed, q, border, dense=dense)
    return RemainderPattern(offsets, crossing, q, J, rows, pattern)


def remainder(
    pattern: RemainderPattern,
    blocks: tuple[Block, ...],
    absorbed: Absorbed,
    rows: Projected,
    C: np.ndarray,
    penalty: np.ndarray | None = None,
) -> Remainder:
    """Products of the blocks among themselves and with the absorbed block, once for all theta, beside those with N, C.

    ``penalty`` are the values of K^-1 (x) I, where they are known.
    """
    crossing = tuple(
        _crossing(absorbed, rows, block, cells) for block, cells in zip(blocks, pattern.crossing, strict=True)
    )
    entries = pattern.entries(crossing)
    applied = pattern.applied(entries)
    complement: Complement
    if isinstance(pattern.schur, SumPattern):
        complement = schur_sum(pattern.schur, blocks, crossing, entries, penalty)
    else:
        complement = schur(pattern.schur, blocks, crossing, absorbed.levels, applied, penalty)
    return Remainder(blocks, pattern, crossing, applied, C, complement)


def sums_within(blocks: tuple[Block, ...], rows: Projected) -> np.ndarray:
    """Z_2'(I - QQ')N (m, p + 1)."""
    sums = [block.sums(rows.N) for block in blocks]
    return np.concatenate([np.zeros((0, rows.N.shape[0])), *(part.reshape(-1, part.shape[2]) for part in sums)])


@cache
def no_remainder(absorbed_columns: int, n_columns: int) -> Remainder:
    """The remainder of a model with one grouping factor: nothing, in the right shapes."""
    none, offsets = np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)
    B, C = sp.csc_array((0, absorbed_columns)), np.zeros((0, n_columns))
    of_schur = SchurPattern(offsets, (), (), True, None, none, none, none, none, n_columns)
    rows = LevelRows.of((), offsets, (), absorbed_columns)
    pattern = RemainderPattern(offsets, (), 1, absorbed_columns, rows, of_schur)
    return Remainder((), pattern, (), B, C, Schur(of_schur, {}, np.zeros(0), B, B, np.zeros(0)))


def _crossing(absorbed: Absorbed, rows: Projected, block: Block, found: Cells) -> Crossing:
    """Q'Z_t: inner products with the orthogonal columns, divided by their lengths."""
    if absorbed.levels.J == 0:
        return Crossing(found, np.zeros((0, 1, block.q)))
    inverse = np.divide(1.0, rows.lengths, out=np.zeros(rows.lengths.shape), where=rows.lengths > 0.0)
    values = found.sums(rows.Z, block.columns)
    for cut in panels(found.count):
        values[cut] *= inverse[found.rows[cut], :, None]
    return Crossing(found, values)
