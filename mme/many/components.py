"""The random effects that are not absorbed, parted: two parts share neither a record nor an absorbed level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mme.engine.blocks import Block
from mme.many.balance import pieces, turned_levels
from mme.many.classes import Classes
from mme.numeric.limits import limits

# Components of these sizes are looked at for balance, where what they meet is of so few classes.
_LARGE, _LARGEST, _FEW_SUMS = 9, 600, 60


@dataclass(frozen=True, eq=False)
class EffectComponent:
    """Effects of some levels, those of each level in one piece.

    Attributes
    ----------
    block_of, level_at : (levels,)
        Block and first effect of each level.
    within : (m, n) array
        Columns of Z less what lies between levels of the absorbed block.
    between : (q J, m) sparse
        The rest, Q'Z.
    """

    block_of: np.ndarray
    level_at: np.ndarray
    within: np.ndarray
    between: sp.csc_array

    @property
    def m(self) -> int:
        """Effects."""
        return len(self.within)

    def squares(self, classes: Classes) -> Iterator[tuple[int, int, np.ndarray, np.ndarray]]:
        """Class, packed entry, levels of the class that are met, and Z'Z (m, m) of them, as in (C)."""
        J, B = classes.members.size, self.between
        levels = np.unique(B.indices % J) if J else np.zeros(0, int)
        for c in np.unique(classes.members[levels]).tolist():
            of = levels[classes.members[levels] == c]
            parts = [B[i * J + of] for i in range(classes.R.shape[1])]
            for e, (i, j) in enumerate(classes.pairs):
                yield c, e, of, sum((parts[a].T @ parts[b]).toarray() for a, b in classes.both(i, j))

    def apart(self, classes: Classes) -> list[EffectComponent]:
        """The components that it falls into when levels are turned into contrasts; itself where it stays whole."""
        met = np.unique(classes.members[np.unique(self.between.indices % max(classes.members.size, 1))])
        if not _LARGE <= self.m <= _LARGEST or met.size * len(classes.pairs) > _FEW_SUMS:
            return [self]
        matrices = [self.within @ self.within.T, *(square for _, _, _, square in self.squares(classes))]
        q = np.diff(np.append(self.level_at, self.m))
        terms = [
            self.level_at[self.block_of == t][:, None] + np.arange(q[self.block_of == t][0])
            for t in np.unique(self.block_of)
        ]
        U = turned_levels(matrices, terms)
        if U is None:
            return [self]
        piece = pieces([U.T @ M @ U for M in matrices], terms)
        turned = EffectComponent(self.block_of, self.level_at, U.T @ self.within, sp.csc_array(self.between @ U))
        return [turned._of(piece, i, q) for i in range(piece.max() + 1)]

    def _of(self, piece: np.ndarray, i: int, q: np.ndarray) -> EffectComponent:
        at, levels = np.flatnonzero(piece == i), piece[self.level_at] == i
        begins = np.cumsum(q[levels]) - q[levels]
        return EffectComponent(self.block_of[levels], begins, self.within[at], self.between[:, at])


def components_of(blocks: tuple[Block, ...], Q: sp.csr_array, n: int, classes: Classes) -> list[EffectComponent] | None:
    """All components of the blocks; None where their effects are too many for rows of them all."""
    m = sum(block.J * block.q for block in blocks)
    if m * n > limits().information_entries:
        return None
    if m == 0:
        return []
    Z = sp.csc_array(sp.hstack([_columns(block, n) for block in blocks]))
    level = np.concatenate(list(_numbered(blocks)))
    block_of = np.repeat(np.arange(len(blocks)), [block.J * block.q for block in blocks])
    between = sp.csc_array(Q.T @ Z)
    J = max(classes.members.size, 1)  # rows of Q'Z are i J + g: columns of one level meet by W, whichever they are
    of_level = sp.csc_array((np.abs(between.data), between.indices % J, between.indptr), shape=(J, m))
    met = abs(Z.T) @ abs(Z) + of_level.T @ of_level + sp.csr_array(level[:, None] == level[None, :])
    component = connected_components(met, directed=False)[1]
    within = (Z - Q @ between).toarray().T
    found = []
    order = np.argsort(component, kind="stable")
    for at in np.split(order, np.flatnonzero(np.diff(component[order])) + 1):
        begins = np.flatnonzero(np.diff(level[at], prepend=-1))
        whole = EffectComponent(block_of[at][begins], begins, np.ascontiguousarray(within[at]), between[:, at])
        found += whole.apart(classes)
    return found


def _columns(block: Block, n: int) -> sp.csc_array:
    """Z (n, J q) of a block, level after level."""
    record = np.arange(n)
    values = np.concatenate([np.ones(n) if column is None else column for column in block.columns])
    cols = np.concatenate([block.codes * block.q + j for j in range(block.q)])
    return sp.csc_array(sp.coo_array((values, (np.tile(record, block.q), cols)), shape=(n, block.J * block.q)))


def _numbered(blocks: tuple[Block, ...]) -> Iterator[np.ndarray]:
    """The number of the level of each effect, counted through all blocks."""
    before = 0
    for block in blocks:
        yield before + np.repeat(np.arange(block.J), block.q)
        before += block.J
