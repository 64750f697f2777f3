r"""Records that share a row of X and Z and an offset: one record of the summed weights says what all of them say.

Log f of binomial and Poisson records is linear in their sums, a (y A(eta) + B(eta)) but for what no parameter changes:
answers of factor designs are counts of few different records. Of other families records have to share y as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.engine.blocks import Block
from mme.family.base import Observed
from mme.numeric.kept import kept
from mme.numeric.limits import limits

# Odd numbers that mix the bits of a column into those of others.
_MIX, _FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)
# Records of a few levels, which show whether there are many alike.
_SAMPLE = 2000


@dataclass(frozen=True, eq=False)
class Alike:
    """``of_record`` (n,) is the number of the different record that each record is like."""

    of_record: np.ndarray
    first: np.ndarray

    @property
    def count(self) -> int:
        """Number of different records."""
        return int(self.first.size)

    def observed(self, data: Observed) -> Observed:
        """Weights summed, and the weighted mean of y, that of records alike."""
        weights = np.bincount(self.of_record, data.weights, self.count)
        if self._equal(data.y):
            return Observed(data.y[self.first], weights, data.levels)
        total = np.bincount(self.of_record, data.weights * data.y, self.count)
        y = np.divide(total, weights, out=np.zeros(self.count), where=weights > 0.0)
        return Observed(y, weights, data.levels)

    def block(self, block: Block) -> Block:
        """A block of Z that has the different records alone."""
        twin = Block.__new__(Block)
        columns = tuple(None if column is None else column[self.first] for column in block.columns)
        vars(twin).update(vars(block), codes=block.codes[self.first], columns=columns)
        for made in ("gram", "spectrum"):
            vars(twin).pop(made, None)
        return twin

    def _equal(self, column: np.ndarray) -> bool:
        return bool((column[self.first][self.of_record] == column).all())

    @kept
    def share(self) -> float:
        """How many different records there are for each record: one where none is like another."""
        return self.count / max(self.of_record.size, 1)


def alike(blocks: Sequence[Block], numbers: Sequence[np.ndarray]) -> Alike | None:
    """Number the records that differ in their levels or ``numbers`` ((n,) each); None where that does not pay.

    Whether it does, a few levels of the first block show.
    """
    if any(block.by_column or block.entries is not None for block in blocks):
        return None
    codes = [block.codes for block in blocks if block.J > 1]
    few = _few(blocks[0])
    if few is not None:
        seen = np.unique(_hashes([one[few] for one in numbers], [one[few] for one in codes])).size
        if seen > limits().merged_share * few.size:
            return None
    _, first, of_record = np.unique(_hashes(numbers, codes), return_index=True, return_inverse=True)
    found = Alike(of_record.ravel(), first)
    pays = found.share <= limits().merged_share
    return found if pays and all(found._equal(one) for one in (*numbers, *codes)) else None


def _few(block: Block) -> np.ndarray | None:
    """All records of a few levels, spread over the block; None where these are most of the records."""
    n = block.codes.size
    levels = max(1, round(block.J * _SAMPLE / n))
    if 2 * levels >= block.J:
        return None
    chosen = np.zeros(block.J, dtype=bool)
    chosen[(np.arange(levels) * block.J) // levels] = True
    found = np.flatnonzero(chosen[block.codes])
    return found if found.size else None


def _hashes(numbers: Sequence[np.ndarray], codes: Sequence[np.ndarray]) -> np.ndarray:
    """A number of 64 bits a record; that those of two are one by chance is looked at afterwards."""
    bits = [(one + 0.0).view(np.uint64) for one in numbers]  # -0 is 0
    out = np.zeros(len((*numbers, *codes)[0]), dtype=np.uint64)
    for one in (*bits, *(code.astype(np.uint64) for code in codes)):
        out ^= one
        out *= _MIX
        out ^= out >> _FOLD
    return out
