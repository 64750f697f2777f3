r"""Orthogonal absorption of a random term whose levels are independent of each other.

With the QR of each level's rows, Z_g = Q_g R_g, every other column N splits into its part within levels,
(I - QQ')N, and N_g = Q_g'N. For every T the Schur complement of the term is

    N'(I - QQ')N  +  sum_g N_g' (I + R_g T T' R_g')^-1 N_g,        log|M| = sum_g log|I + R_g T T' R_g'|       (A)

a sum of positive semi-definite pieces: nothing is subtracted, so nothing cancels, and T may be singular.
Arrays have the level as their last axis, so that a step of the small algebra is one operation over all levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from mme.engine.blocks import Block
from mme.engine.level_qr import level_qr, swept, without
from mme.numeric.lapack import qr_triangle
from mme.numeric.limits import limits
from mme.numeric.sums import sum_by_level


@dataclass(frozen=True, eq=False)
class Levels:
    """Per-level triangles R (q, q, J), projections V (m, q, J) of m columns, and how many levels each stands for.

    One level whose T is a number has R (r, q, 1) by its ``singular`` values (r,), R R' = S^2, instead of a triangle.
    """

    R: np.ndarray
    V: np.ndarray
    multiplicity: np.ndarray | None = None
    singular: np.ndarray | None = None

    @property
    def J(self) -> int:
        """Number of (pseudo-)levels."""
        return int(self.R.shape[2])

    def chunks(self) -> tuple[Levels, ...]:
        """The levels in pieces whose intermediate arrays stay in the second-level cache."""
        step = limits().levels_in_panel
        if step >= self.J:
            return (self,)
        cuts = [slice(start, start + step) for start in range(0, self.J, step)]
        weights = [None if self.multiplicity is None else self.multiplicity[cut] for cut in cuts]
        pieces = [(self.R[:, :, cut].copy(), self.V[:, :, cut].copy()) for cut in cuts]
        return tuple(Levels(R, V, weight) for (R, V), weight in zip(pieces, weights, strict=True))


@dataclass(frozen=True, eq=False)
class Projected:
    """Rows after absorption: N less its part between levels (m, n), and orthogonal columns of Z (None: ones).

    Q_g has the columns of Z divided by ``lengths`` (J, q).
    """

    codes: np.ndarray
    N: np.ndarray
    Z: list[np.ndarray | None]
    lengths: np.ndarray

    def without_N(self) -> Projected:
        """The same of Z alone: N is as large as all of X."""
        return replace(self, N=np.zeros((0, self.N.shape[1])))


@dataclass(frozen=True, eq=False)
class Absorbed:
    """A block after its QR: its levels, and ``NN`` = N'(I - QQ')N; of a small model also (I - QQ')N, ``within``."""

    levels: Levels
    NN: np.ndarray
    within: np.ndarray | None = None

    def exchanged(self, levels: Levels, N: np.ndarray, r: np.ndarray) -> Absorbed:
        """The same with another last column of N (m, n), whose part within is r (1, n)."""
        if self.within is not None:
            within = np.concatenate([self.within[:-1], r])
            return Absorbed(levels, within @ within.T, within)
        NN = self.NN.copy()
        NN[-1] = NN[:, -1] = N @ r[0]  # with I - QQ' applied once
        return Absorbed(levels, NN)


def absorb(block: Block, N: np.ndarray) -> tuple[Absorbed, Projected]:
    """QR of every level's rows of the block, all levels at once; N (m, n) is split into within and between.

    Modified Gram-Schmidt on [Z N] as one matrix. Each inner product is one weighted count of the records by level.
    """
    if block.is_spherical:
        return _absorb_spherical(block, N)
    J, codes = block.J, block.codes
    together = codes.size * J <= limits().numbers_of_indicators
    if together and not block.has_qr and (found := block.qr_beside(N)) is not None:
        of, V, within = found
        return Absorbed(Levels(of.R, V), within @ within.T, within), Projected(codes, within, list(of.Z), of.lengths)
    of = block.qr if together else level_qr(codes, J, block.columns)
    at_once = together and not of.in_order
    levels = block.indicators if at_once else codes
    # Columns of N one by one, or X's at once: y by itself, so that its sums are those of an absorption of y alone.
    last = len(N) - 1
    of_X_and_y = [slice(last), slice(last, None)] if last else [slice(None)]
    rows: Sequence[Any] = of_X_and_y if at_once else range(len(N))
    V, within = np.empty((len(N), block.q, J)), N.copy()
    for j, (z, inverse) in enumerate(zip(of.Z, of.inverse, strict=True)):
        for at in rows:
            along = sum_by_level(levels, J, z, within[at]) * inverse
            V[at, j] = along * of.R[j, j]
            without(within[at], along, codes, z, out=within[at])
    absorbed = Absorbed(Levels(of.R, V), within @ within.T, within if together else None)
    return absorbed, Projected(codes, within, list(of.Z), of.lengths)


def projected(block: Block, row: np.ndarray) -> Levels:
    """The levels of a block beside one row (n,), of which nothing else is made."""
    codes, J = block.codes, block.J
    if block.is_spherical or codes.size * J <= limits().numbers_of_indicators:
        return absorb(block, row[None, :])[0].levels
    of = level_qr(codes, J, block.columns)
    return Levels(of.R, (swept(of, codes, J, row.copy()) * of.lengths.T)[None])


def _absorb_spherical(block: Block, N: np.ndarray) -> tuple[Absorbed, Projected]:
    """One level by its singular value decomposition (:mod:`mme.engine.spectrum`)."""
    U, V, within = block.spectrum.U, np.zeros((N.shape[0], block.spectrum.s.size)), N
    for _ in range(2):  # twice is enough
        along = within @ U.T
        V, within = V + along, within - along @ U
    levels = Levels(block.spectrum.R[:, :, None], V[:, :, None], singular=block.spectrum.s)
    lengths = np.ones((1, block.spectrum.s.size))
    return Absorbed(levels, within @ within.T), Projected(block.codes, within, list(U), lengths)


def absorb_nothing(N: np.ndarray) -> tuple[Absorbed, Projected]:
    """The absorption of a block without levels: everything is within."""
    none = Levels(np.zeros((1, 1, 0)), np.zeros((N.shape[0], 1, 0)))
    return Absorbed(none, N @ N.T), Projected(np.zeros(0, dtype=np.int64), N, [None], np.zeros((0, 1)))


def merge(levels: Levels) -> Levels:
    """Levels with equal R_g stand for each other in (A): each class shrinks to at most q m pseudo-levels.

    sum_g N_g' W N_g over a class depends on the stacked rows vec(N_g) only through their Gram matrix, so the
    triangle of their QR serves as well. A random intercept over a million groups of a few dozen sizes keeps a
    few dozen classes. Few levels stay as they are: sorting them takes longer than all that it saves.
    """
    m, q, J = levels.V.shape
    if m * q * J <= limits().unmerged_numbers:
        return levels
    classes, members = classes_of(levels.R)
    sizes = np.bincount(members, minlength=classes.size)
    kept_rows = np.minimum(sizes, m * q)
    if kept_rows.sum() > J // 2:
        return levels
    V = levels.V.reshape(m * q, J)[:, np.argsort(members, kind="stable")].T
    starts = np.cumsum(sizes) - sizes
    pieces = [
        V[start : start + size] if size <= m * q else qr_triangle(V[start : start + size])
        for start, size in zip(starts.tolist(), sizes.tolist(), strict=True)
    ]
    merged = np.ascontiguousarray(np.concatenate(pieces).T).reshape(m, q, -1)
    return Levels(
        R=np.ascontiguousarray(np.repeat(levels.R[:, :, classes], kept_rows, axis=2)),
        V=merged,
        multiplicity=np.repeat(sizes / kept_rows, kept_rows),
    )


def classes_of(R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First member of each class of bitwise equal R_g, and the class of each level."""
    q, _, J = R.shape
    upper = R[0] if q == 1 else R[_upper(q)]
    # Equal triangles have equal images on a random direction; unequal ones only by an accident that is checked.
    image = upper[0] if q == 1 else _direction(len(upper)) @ upper
    _, first, members = np.unique(image, return_index=True, return_inverse=True)
    if not np.array_equal(upper, upper[:, first[members]]):
        return np.arange(J), np.arange(J)
    return first, members


@cache
def _upper(q: int) -> tuple[np.ndarray, ...]:
    return np.triu_indices(q)


@cache
def _direction(size: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(size)
