"""What all responses share and what an evaluation overwrites, laid out for the compiled loops.

Three vectors, as the compiler takes minutes for functions of sixty arrays: ``at`` has counts, where each array begins,
and whole numbers; ``design`` what all responses share; ``room`` what a response brings and an evaluation overwrites.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Counts: parameters; coefficients of an absorbed level, w = p + 1, absorbed levels and their classes, pairs of
# coefficients, features (one, and the pairs of each class); components, the most effects of one, other blocks and the
# most coefficients of theirs, rows of Z'N, products of merged components, rows of Q'N kept for wide components.
K, Q, W, J, C, PAIRS, FEATURES, F, MOST, BLOCKS, WIDEST, ROWS, PRODUCTS, KEPT = range(14)
# Whole numbers: the class of each level; of each component its effects, how many it stands for (0: it stands alone),
# its first term, where its products, Q'Z (-1: it has terms), matrices and rows begin, its first level; of each term its
# feature, where its Z'Z and Z'N begin; of each level its first effect and block; coefficients of the other blocks; of
# each entry of theta its row of T and its column among all terms.
MEMBERS, SIZE, MERGED, FIRST_TERM, GAMMA_AT, WIDE_AT, S_AT, N_AT, FIRST_LEVEL = range(14, 23)
FEATURE, ZZ_AT, ZN_AT, LEVEL_AT, LEVEL_BLOCK, REST_Q, ROW, COLUMN = range(23, 31)
# Of the design: T of the absorbed block by theta, R and levels of each class, T of the other blocks by theta, Z'Z of
# terms, Q'Z of wide components; what the criterion adds (constants, n or n - p, one for REML, sigma or NaN), natural
# units of theta.
T_BASIS, R, COUNTS, REST_BASIS, ZZ, WIDE, SCALE, UNIT = range(31, 39)
# Of the room, with a response in them: sums of N'N by feature (w, w), rows of Z'N, products (w, w), rows of Q'N.
G, ZN, GAMMA, V = range(39, 43)
# What an evaluation overwrites: of the absorbed block T, and A, L^-1 and the features of each class; the border; T of
# the other blocks; of components S and its factor (m, m), N and L^-1 Lambda'N (m, w); of a wide one Y and beside N.
T, A, L, OMEGA, BORDER, REST_T, S, FACTOR, N, SOLVED, Y, Y_N, PART = range(43, 56)
# Slopes of the criterion by the border, the features, T and T of the other blocks; three (m, m) and one (m, w).
BORDER_BAR, OMEGA_BAR, T_BAR, REST_T_BAR, INVERSE, OTHER, PRODUCT, BESIDE = range(56, 64)
PLACES = 64


@dataclass(frozen=True, eq=False)
class LoopLayout:
    """The vectors ``at`` and ``design``, and a ``room`` that holds the sums of X, with zeros for those of a response.

    A response has ``width`` sums, in the order of :func:`put_response`.
    """

    at: np.ndarray
    design: np.ndarray
    room: np.ndarray

    @property
    def width(self) -> int:
        """Number of sums that a response brings."""
        at = self.at
        return int((at[FEATURES] + at[PRODUCTS]) * at[W] + at[ROWS] + at[KEPT])

    @property
    def unit(self) -> np.ndarray:
        """Natural units of theta (k,)."""
        return self.design[self.at[UNIT] : self.at[UNIT] + self.at[K]]

    @classmethod
    def of(
        cls,
        counts: list[int],
        integers: list[np.ndarray],
        numbers: list[np.ndarray],
        brought: list[np.ndarray],
        room: list[int],
    ) -> LoopLayout:
        """Lay the counts, whole numbers and numbers out, one after another, and note where each begins."""
        assert len(counts) + len(integers) + len(numbers) + len(brought) + len(room) == PLACES
        whole = _starts([one.size for one in integers]) + PLACES
        shared = _starts([one.size for one in numbers])
        own = _starts([*(one.size for one in brought), *room])
        at = np.concatenate([counts, whole, shared, own, *(one.ravel() for one in integers)]).astype(np.int64)
        design = np.concatenate([np.asarray(one, dtype=float).ravel() for one in numbers])
        return cls(at, design, np.concatenate([*(one.ravel() for one in brought), np.zeros(sum(room))]))


def _starts(sizes: list[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(sizes)])[:-1].astype(np.int64)


def put_response(y: np.ndarray, at: np.ndarray, room: np.ndarray) -> None:
    """Put the sums of one response into the room: columns of y in G, Z'y, in the products, and Q'y."""
    w = at[W]
    i = put_squares(y, 0, room, at[G], at[FEATURES], w)
    for row in range(at[ROWS]):
        room[at[ZN] + row * w + w - 1] = y[i]
        i += 1
    i = put_squares(y, i, room, at[GAMMA], at[PRODUCTS], w)
    for row in range(at[KEPT]):
        room[at[V] + row * w + w - 1] = y[i]
        i += 1


def put_squares(y: np.ndarray, i: int, room: np.ndarray, first: int, count: int, w: int) -> int:
    """Copy y into the last row and column of matrices (w, w); return where in y the next numbers begin."""
    for u in range(count):
        for a in range(w):
            room[first + (u * w + a) * w + w - 1] = y[i]
            room[first + (u * w + w - 1) * w + a] = y[i]
            i += 1
    return i


def copy_vector(source: np.ndarray, into: np.ndarray) -> None:
    """Copy a vector over another. An assignment of slices takes seconds to compile, for the message of its error."""
    for i in range(source.size):
        into[i] = source[i]


def copy_matrix(source: np.ndarray, into: np.ndarray) -> None:
    """Copy a matrix over another, as :func:`copy_vector` does a vector."""
    for i in range(into.shape[0]):
        for j in range(into.shape[1]):
            into[i, j] = source[i, j]
