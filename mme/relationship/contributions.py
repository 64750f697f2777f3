"""What each animal has of each group of unknown parents, sparse: few groups an animal where there are many."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def sparse_contributions(sire: np.ndarray, dam: np.ndarray, groups: int) -> sp.csr_array:
    """Q (n, groups), by generations: half of each parent's; parents from n on are groups, below zero unknown.

    Examples
    --------
    >>> sparse_contributions(np.array([1, 3, 4]), np.array([2, 3, 3]), 2).toarray()
    array([[0.75, 0.25],
           [1.  , 0.  ],
           [0.5 , 0.5 ]])
    """
    n, parents = sire.size, np.concatenate([sire, dam])
    of = np.flatnonzero(parents >= n)
    handed = sp.csr_array((np.full(of.size, 0.5), (of % n, parents[of] - n)), shape=(n, groups))
    known = [np.where(one < n, one, -1) for one in (sire, dam)]
    order, sizes = _by_generation(*known)
    place = np.empty(n, dtype=np.int64)
    place[order] = np.arange(n)
    Q = handed[order[: sizes[0]]]
    for members in np.split(order[sizes[0] :], np.cumsum(sizes[1:])[:-1]):
        part = handed[members]
        for parent in known:
            have = np.flatnonzero(parent[members] >= 0)
            entries = (np.full(have.size, 0.5), (have, place[parent[members[have]]]))
            part = part + sp.csr_array(entries, shape=(members.size, Q.shape[0])) @ Q
        Q = sp.vstack([Q, part], format="csr")
    return sp.csr_array(Q[place])


def _by_generation(sire: np.ndarray, dam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Animals (n,), those without known parents first, and how many each generation has."""
    n, generation = sire.size, np.full(sire.size + 1, -1)  # at -1: no parent
    while True:
        later = 1 + np.maximum(generation[sire], generation[dam])
        if np.array_equal(later, generation[:n]):
            return np.argsort(later, kind="stable"), np.bincount(later)
        generation[:n] = later
