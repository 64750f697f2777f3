r"""Z of all blocks, from effects to records and back; effects of a block are (q, J), the level last.

eta = X beta + Z Lambda u + offset: b = T u in the columns of the blocks (:mod:`mme.engine.blocks`), which are axes of
unit mean square, so that theta and u do not know the units of a covariate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.numeric.limits import limits
from mme.numeric.sums import coding, sum_by_level

Effects = list[np.ndarray]


@dataclass(frozen=True, eq=False)
class Columns:
    """The blocks of Z of n records."""

    blocks: tuple[Block, ...]
    n: int

    def eta(self, b: Effects) -> np.ndarray:
        """Z b (n,)."""
        total = np.zeros(self.n)
        for block, effects in zip(self.blocks, b, strict=True):
            for a, column in enumerate(block.columns):
                part = effects[a].take(coding(block.codes, a))
                if column is not None:
                    part *= column
                total += part
        return total

    def transposed(self, r: np.ndarray) -> Effects:
        """Z'r, block by block."""
        return [_transposed(block, r) for block in self.blocks]

    def transposed_rows(self, rows: np.ndarray) -> list[np.ndarray]:
        """Z'r of each row r of (m, n), block by block (m, q, J)."""
        return [_of_rows(block, rows) for block in self.blocks]

    def nothing(self) -> Effects:
        """Effects of zero."""
        return [np.zeros((block.q, block.J)) for block in self.blocks]


def _transposed(block: Block, r: np.ndarray) -> np.ndarray:
    """Z'r of one block (q, J)."""
    columns = enumerate(block.columns)
    return np.array([sum_by_level(coding(block.codes, a), block.J, column, r) for a, column in columns])


def _of_rows(block: Block, rows: np.ndarray) -> np.ndarray:
    """Z'r of one block for each row (m, q, J): of few records by one product with the indicators of levels."""
    if block.by_column or block.codes.size * block.J > limits().numbers_of_indicators:
        return np.array([_transposed(block, row) for row in rows]).reshape(len(rows), block.q, block.J)
    out = np.empty((len(rows), block.q, block.J))
    for a, column in enumerate(block.columns):
        out[:, a] = sum_by_level(block.indicators, block.J, column, rows)
    return out


@dataclass(frozen=True, eq=False)
class Prior:
    """u ~ N(0, K (x) I) and b = T u at one theta; ``precision`` is K^-1 of each block, None for the identity."""

    theta: np.ndarray
    T: list[np.ndarray]
    precision: list[sp.csr_array | None]
    logdet_K: float

    @classmethod
    def at(cls, blocks: tuple[Block, ...], theta: np.ndarray) -> Prior:
        """The prior at theta in the axes."""
        related = [block.relationship_at(theta) for block in blocks]
        logdet = sum(block.q * float(one.logdet) for block, one in zip(blocks, related, strict=True) if one is not None)
        precision = [None if one is None else sp.csr_array(one.precision) for one in related]
        return cls(theta, [block.T(theta) for block in blocks], precision, logdet)

    def b(self, u: Effects) -> Effects:
        """Lambda u."""
        return [T @ one for T, one in zip(self.T, u, strict=True)]

    def transposed(self, b: Effects) -> Effects:
        """Lambda'b."""
        return [T.T @ one for T, one in zip(self.T, b, strict=True)]

    def penalty(self, u: Effects) -> Effects:
        """K^-1 u."""
        return [one if P is None else (P @ one.T).T for P, one in zip(self.precision, u, strict=True)]


def inner(one: Effects, other: Effects) -> float:
    """The inner product of effects."""
    return float(sum(np.vdot(a, b) for a, b in zip(one, other, strict=True)))


def along(u: Effects, step: float, direction: Effects) -> Effects:
    """u + step d."""
    return [a + step * b for a, b in zip(u, direction, strict=True)]
