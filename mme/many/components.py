"""The random effects that are not absorbed: by components, and what lies of them between levels, by class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mme.engine.blocks import Block
from mme.many.classes import Classes
from mme.numeric.limits import limits


@dataclass(frozen=True, eq=False)
class Others:
    """The random effects that are not absorbed, component after component, levels of each in one piece.

    ``within`` (m, n) are their columns of Z less what lies between levels of the absorbed block, ``between`` (q J, m)
    the rest, Q'Z.
    """

    first: np.ndarray
    level_first: np.ndarray
    level_at: np.ndarray
    level_block: np.ndarray
    within: np.ndarray
    between: sp.csc_array

    @property
    def sizes(self) -> np.ndarray:
        """Effects (F,) of each component."""
        return np.diff(self.first)

    def arrays(self) -> list[np.ndarray]:
        """The first effects, Z'(I - QQ')Z of each component, and where it begins."""
        parts = zip(self.first[:-1].tolist(), self.first[1:].tolist(), strict=True)
        squares = [(self.within[start:stop] @ self.within[start:stop].T).ravel() for start, stop in parts]
        return [self.first, np.concatenate([np.zeros(0), *squares]), np.cumsum(self.sizes**2) - self.sizes**2]

    def levels(self) -> list[np.ndarray]:
        """The first levels, where each begins in its component, and its block."""
        return [self.level_first, self.level_at, self.level_block]

    @classmethod
    def of(cls, blocks: tuple[Block, ...], Q: sp.csr_array, n: int) -> Others | None:
        """Take the columns of the blocks apart; None where they are too many for rows of them all."""
        m = sum(block.J * block.q for block in blocks)
        if m * n > limits().information_entries:
            return None
        Z = sp.csc_array(sp.hstack([sp.csc_array((n, 0)), *(_columns(block, n) for block in blocks)]))
        level = np.concatenate([np.zeros(0, int), *_numbered(blocks)])
        block_of = np.repeat(np.arange(len(blocks)), [block.J * block.q for block in blocks])
        between = Q.T @ Z
        met = abs(Z.T) @ abs(Z) + abs(between.T) @ abs(between) + sp.csr_array(level[:, None] == level[None, :])
        component = connected_components(met, directed=False)[1] if m else np.zeros(0, int)
        order = np.lexsort((np.arange(m), level, component))
        component, level, block_of = component[order], level[order], block_of[order]
        first = np.concatenate([np.flatnonzero(np.diff(component, prepend=-1)), [m]]).astype(np.int64)
        starts = np.flatnonzero(np.diff(level, prepend=-1))
        within = (Z - Q @ between).toarray().T[order]
        return cls(
            first=first,
            level_first=np.searchsorted(starts, first).astype(np.int64),
            level_at=(starts - first[component[starts]]).astype(np.int64),
            level_block=block_of[starts].astype(np.int64),
            within=np.ascontiguousarray(within),
            between=sp.csc_array(between)[:, order],
        )


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


@dataclass(frozen=True, eq=False)
class ClassCells:
    """Sums by class for the columns of each component: among themselves, beside X, and the map for those beside y."""

    first: np.ndarray
    class_of: np.ndarray
    ZZ: np.ndarray
    ZZ_at: np.ndarray
    ZX: np.ndarray
    at: np.ndarray
    map: sp.csr_array

    def arrays(self) -> list[np.ndarray]:
        """First cells, classes, sums among the columns and where they begin, those beside X and where these do."""
        return [self.first, self.class_of, self.ZZ, self.ZZ_at, self.ZX, self.at]

    @classmethod
    def of(cls, others: Others, classes: Classes, V: np.ndarray) -> ClassCells:
        """The cells of every component with the classes of the levels that it meets; V (p, q, J) is Q'X."""
        counts, class_of, squares, beside, maps = [0], list[int](), list[np.ndarray](), list[np.ndarray](), []
        (_, q, J), members, pairs = V.shape, classes.members, classes.pairs
        for start, stop in zip(others.first[:-1].tolist(), others.first[1:].tolist(), strict=True):
            part = others.between[:, start:stop]
            levels = np.unique(part.indices % J) if J else np.zeros(0, int)
            for c in np.unique(members[levels]).tolist():
                of = levels[members[levels] == c]
                B = [part[i * J + of].toarray() for i in range(q)]
                class_of.append(c)
                for i, j in pairs:
                    both = classes.both(i, j)
                    squares.append(sum(B[a].T @ B[b] for a, b in both))
                    beside.append(sum(B[a].T @ V[:, b, of].T for a, b in both))
                    maps.append(sum(_placed(B[a].T, b * J + of, q * J) for a, b in both))
            counts.append(len(class_of))
        rows = [len(one) for one in beside[:: len(pairs)]]
        return cls(
            first=np.array(counts, dtype=np.int64),
            class_of=np.array(class_of, dtype=np.int64),
            ZZ=np.concatenate([np.zeros(0), *(one.ravel() for one in squares)]),
            ZZ_at=np.concatenate([[0], np.cumsum([len(pairs) * m**2 for m in rows])])[:-1].astype(np.int64),
            ZX=np.concatenate([np.zeros((0, V.shape[0])), *beside]),
            at=np.concatenate([[0], np.cumsum([len(pairs) * m for m in rows])])[:-1].astype(np.int64),
            map=sp.csr_array(sp.vstack([sp.csr_array((0, q * J)), *maps])),
        )


def _placed(values: np.ndarray, cols: np.ndarray, width: int) -> sp.csr_array:
    """Values (m, levels) in these columns of a wider matrix."""
    m = len(values)
    at = np.repeat(np.arange(m), cols.size), np.tile(cols, m)
    return sp.csr_array(sp.coo_array((values.ravel(), at), shape=(m, width)))
