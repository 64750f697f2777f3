"""Loops over a pedigree, parents before offspring: run through :func:`mme.numeric.kernels.kernel`.

``sire`` and ``dam`` hold positions; a negative one is an unknown parent. P has 1/2 in row i at the parents of i and
T = (I - P)^-1, so that A = T D T' with D the diagonal of Mendelian sampling variances.
"""

from __future__ import annotations

import numpy as np


def generations(sire: np.ndarray, dam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Generation of each animal: 0 for a founder, else 1 + that of its later parent; and a loop, if there is one.

    A depth-first walk to the founders; a loop comes back as its members, each the offspring of the one before it.
    """
    n = sire.size
    unseen, on_path = -1, -2
    generation = np.full(n, unseen)
    path = np.empty(n, dtype=np.int64)
    for start in range(n):
        if generation[start] != unseen:
            continue
        path[0], depth = start, 1
        generation[start] = on_path
        while depth > 0:
            i = path[depth - 1]
            s, d = sire[i], dam[i]
            s_done = s < 0 or generation[s] >= 0
            parent = d if s_done else s
            if s_done and (d < 0 or generation[d] >= 0):
                of_sire = generation[s] if s >= 0 else -1
                of_dam = generation[d] if d >= 0 else -1
                generation[i] = 1 + max(of_sire, of_dam)
                depth -= 1
            elif generation[parent] == on_path:
                first = depth - 1
                while path[first] != parent:
                    first -= 1
                return generation, path[first:depth][::-1].copy()
            else:
                generation[parent] = on_path
                path[depth] = parent
                depth += 1
    return generation, path[:0].copy()


def ancestry(
    marked: np.ndarray, position: np.ndarray, sire: np.ndarray, dam: np.ndarray, last: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The marked animals and all their ancestors, parents first, with sires and dams by position among them.

    ``last`` is the last marked. ``position`` (n,) is filled for the members; ``marked`` (n,) comes back empty.
    """
    size = 0
    for i in range(last, -1, -1):
        if marked[i]:
            size += 1
            if sire[i] >= 0:
                marked[sire[i]] = True
            if dam[i] >= 0:
                marked[dam[i]] = True
    member = np.empty(size, dtype=np.int64)
    member_sire, member_dam = np.full(size, -1), np.full(size, -1)
    at = 0
    for i in range(last + 1):
        if marked[i]:
            marked[i] = False
            member[at] = i
            position[i] = at
            if sire[i] >= 0:
                member_sire[at] = position[sire[i]]
            if dam[i] >= 0:
                member_dam[at] = position[dam[i]]
            at += 1
    return member, member_sire, member_dam


def trace_up(W: np.ndarray, columns: np.ndarray, sire: np.ndarray, dam: np.ndarray) -> None:
    """W <- T'E with E the unit vectors at ``columns``: non-zero at these animals and their ancestors only."""
    n, width = W.shape
    reached = np.zeros(n, dtype=np.bool_)
    W[:] = 0.0
    for b in range(columns.size):
        W[columns[b], b] = 1.0
        reached[columns[b]] = True
    for i in range(n - 1, -1, -1):
        if reached[i]:
            s, d = sire[i], dam[i]
            if s >= 0:
                reached[s] = True
                for b in range(width):
                    W[s, b] += 0.5 * W[i, b]
            if d >= 0:
                reached[d] = True
                for b in range(width):
                    W[d, b] += 0.5 * W[i, b]


def pass_down(W: np.ndarray, sire: np.ndarray, dam: np.ndarray, scale: np.ndarray) -> None:
    """W <- T diag(scale) W, in place."""
    for i in range(W.shape[0]):
        s, d, v = sire[i], dam[i], scale[i]
        if s >= 0 and d >= 0:
            for b in range(W.shape[1]):
                W[i, b] = v * W[i, b] + 0.5 * (W[s, b] + W[d, b])
        elif s >= 0 or d >= 0:
            known = max(s, d)
            for b in range(W.shape[1]):
                W[i, b] = v * W[i, b] + 0.5 * W[known, b]
        else:
            for b in range(W.shape[1]):
                W[i, b] *= v
