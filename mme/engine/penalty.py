"""The penalty u'(K(x)^-1 (x) I)u of relationships with parameters, as theta changes it: values on a fixed pattern."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block


@dataclass(frozen=True, eq=False)
class Penalty:
    """``penalty(theta)`` gives the values of K^-1 (x) I of all blocks, in the order of ``Schur.penalty``, and log|K|.

    ``sources`` say where each value of a parametric block stands among those that its relationship gives.
    """

    blocks: tuple[Block, ...]
    at: tuple[slice, ...]
    sources: tuple[np.ndarray, ...]
    first: np.ndarray

    @classmethod
    def of(cls, blocks: tuple[Block, ...], first: np.ndarray) -> Penalty | None:
        """The penalty of some blocks; None where no relationship has parameters.

        ``first`` are the values of the other relationships, in their places.
        """
        if not any(block.is_parametric for block in blocks):
            return None
        ends = list(accumulate(_length(block) for block in blocks))
        cuts = [slice(end - _length(block), end) for block, end in zip(blocks, ends, strict=True)]
        among = [(block, cut) for block, cut in zip(blocks, cuts, strict=True) if block.is_parametric]
        return cls(
            tuple(block for block, _ in among),
            tuple(cut for _, cut in among),
            tuple(_source(block) for block, _ in among),
            first,
        )

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, float]:
        """The values of the penalty at theta, in their places, and what theta changes of log|K (x) I|."""
        values, logdet = self.first.copy(), 0.0
        for block, at, source in zip(self.blocks, self.at, self.sources, strict=True):
            x = block.coordinates(theta)
            values[at] = block.relationship.values_at(x)[source]
            logdet += block.q * block.relationship.logdet_at(x)
        return values, logdet


def _length(block: Block) -> int:
    """Entries of the lower triangle of K^-1 (x) I."""
    if block.relationship is None:
        return block.J * block.q
    return int(sp.tril(block.relationship.precision).nnz) * block.q


def _source(block: Block) -> np.ndarray:
    """Where each value of the penalty, laid out as in ``schur.py``, stands among those of the relationship."""
    given = block.relationship.cols.astype(np.int64) * block.J + block.relationship.rows
    order, lower = np.argsort(given), sp.coo_array(sp.tril(block.relationship.precision))
    found = np.searchsorted(given[order], lower.col.astype(np.int64) * block.J + lower.row)
    return np.repeat(order[found], block.q)
