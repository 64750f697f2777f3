"""An order of animals in which parents come before their offspring, as recursions down a pedigree take them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ParentsFirst:
    """Animals by generation.

    ``order`` (n,) are their positions, parents first; ``rank`` (n + 1,) the place of each in it, and -1 last, of an
    unknown parent; ``parents`` (n,) the ranks of sire and dam, in this order; ``generation`` (n,) that of each animal
    as a parent, one after all for animals without offspring.
    """

    order: np.ndarray
    rank: np.ndarray
    parents: tuple[np.ndarray, np.ndarray]
    generation: np.ndarray

    @classmethod
    def of(cls, sire: np.ndarray, dam: np.ndarray, generation: np.ndarray) -> ParentsFirst:
        """Of parents (n,) by position, -1 where unknown, and the generation (n,) of each animal.

        Examples
        --------
        >>> found = ParentsFirst.of(np.array([1, -1]), np.array([-1, -1]), np.array([1, 0]))
        >>> found.order.tolist(), found.parents[0].tolist()
        ([1, 0], [-1, 0])
        """
        n = generation.size
        as_parent = np.full(n + 1, int(generation.max()) + 1)
        for parent in (sire, dam):
            as_parent[parent] = generation[parent]
        order = np.argsort(as_parent[:n], kind="stable")
        rank = np.empty(n + 1, dtype=np.int64)
        rank[order], rank[-1] = np.arange(n), -1
        return cls(order, rank, (rank[sire[order]], rank[dam[order]]), as_parent[:n])
