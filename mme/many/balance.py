r"""Levels of balanced designs turned into contrasts that do not meet.

Levels of a term are independent and alike, so that b = (U (x) I) c with an orthogonal U leaves the model as it is. What
an evaluation takes of Z are matrices between the levels of terms; where these generate a small algebra, as in designs
that are balanced, or balanced within lists (Nelder 1965, Proc. R. Soc. A 283:147), a U that makes them block-diagonal
at once is found as the eigenvectors of a random symmetric element of the algebra (Murota et al. 2010, Japan J. Indust.
Appl. Math. 27:125). Whatever U is found, the result is exact: a design without balance only stays in one piece.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse.csgraph import connected_components

# What is below this share of the largest entry is zero.
ZERO = 1e-12


def turned_levels(matrices: list[np.ndarray], terms: list[np.ndarray]) -> np.ndarray | None:
    """Rotate effects so that matrices (m, m) between them fall apart; an orthogonal (m, m), None where none does.

    ``terms`` has (levels, q) places of each term's effects.
    """
    rng = np.random.default_rng(0)
    m = sum(one.size for one in terms)
    U, largest = np.zeros((m, m)), max(np.abs(one).max() for one in matrices)
    for own in terms:
        mixed = np.zeros((len(own), len(own)))
        for M in matrices:
            for a in range(own.shape[1]):
                for other in terms:
                    for b in range(other.shape[1]):
                        block = M[np.ix_(own[:, a], other[:, b])] / largest
                        mixed += rng.standard_normal() * (block @ block.T)
                        if other is own:
                            mixed += rng.standard_normal() * (block + block.T)
        vectors = np.linalg.eigh(mixed)[1]
        for a in range(own.shape[1]):
            U[np.ix_(own[:, a], own[:, a])] = vectors
    return U if _largest_piece([U.T @ M @ U for M in matrices], terms) <= m // 2 else None


def pieces(matrices: list[np.ndarray], terms: list[np.ndarray]) -> np.ndarray:
    """The piece (m,) that each effect falls into: those of a level, and those that a matrix joins."""
    m, largest = sum(one.size for one in terms), max(np.abs(one).max() for one in matrices)
    joined = np.zeros((m, m), dtype=bool)
    for own in terms:
        for a in range(own.shape[1]):
            joined[own[:, 0], own[:, a]] = True
    for M in matrices:
        joined |= np.abs(M) > ZERO * largest
    return np.asarray(connected_components(joined, directed=False)[1])


def _largest_piece(matrices: list[np.ndarray], terms: list[np.ndarray]) -> int:
    return int(np.bincount(pieces(matrices, terms)).max())
