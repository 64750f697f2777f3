"""What the moments of a block take of its levels alone, by one loop over few of them.

The algebra is that of :mod:`mme.search.moments` and :mod:`mme.search.weighted_levels`, level by level: with weights
E_g = (I + c^2 R_g'R_g)^-1 and along_g = E_g a_g'a_g, the known side and the matrix of H -> sum_gh X_gh H X_gh',

    sum_g E_g (C_g - a_g'a_g) E_g,
    sum_gh E_g a_g'a_h x E_g a_g'a_h + sum_g (D_g x D_g - along_g x along_g),

x Kronecker's product, D_g = E_g C_g - along_g and C_g = R_g'R_g.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from mme.engine.absorption import Levels
from mme.engine.level_factors import LARGE
from mme.numeric.machine_code import machine_code

# Levels from which on NumPy is as quick, and columns by fixed effects of so few of which all pairs are taken.
_MANY_LEVELS, _FEW_PAIRS = 1_000, 12
_ARGUMENTS = "f i F3 F3 F3 F3 F3 F2 F2 F3"


class LevelMoments(NamedTuple):
    """E_g, E_g R_g' (q, q, J) and E_g a_g' (q, p, J); the known side (q, q), and the matrix (q^2, q^2)."""

    E: np.ndarray
    half: np.ndarray
    weighted_X: np.ndarray
    known: np.ndarray
    square: np.ndarray


def level_moments(levels: Levels, c: float, along_X: np.ndarray, reml: bool) -> LevelMoments | None:
    """The parts of a block with these weights; None without machine code, and where it does not serve.

    Under ML the known side and the matrix are without the fixed effects.
    """
    (q, p, J), R = along_X.shape, levels.R
    if J > _MANY_LEVELS or not 0 < q * p <= _FEW_PAIRS or levels.singular is not None:
        return None
    loop = machine_code(pass_over_moments, _ARGUMENTS, J)
    if loop is None:
        return None
    E, half, weighted_X = np.empty((q, q, J)), np.empty((q, q, J)), np.empty((q, p, J))
    known, square, room = np.zeros((q, q)), np.zeros((q * q, q * q)), np.zeros((2, q * p + q, q * p + q))
    given = map(np.ascontiguousarray, (R, along_X))
    done = loop(c, int(reml), *given, E, half, weighted_X, known, square, room)
    return LevelMoments(E, half, weighted_X, known, square) if done else None


def pass_over_moments(
    c: float,
    reml: int,
    R: np.ndarray,
    along_X: np.ndarray,
    E: np.ndarray,
    half: np.ndarray,
    weighted_X: np.ndarray,
    known: np.ndarray,
    square: np.ndarray,
    room: np.ndarray,
) -> float:
    """The loop of :func:`level_moments`; zero where it does not serve. ``known``, ``square`` and ``room`` are zeros.

    In ``room`` (2, q p + q, q p + q) stand sum_g w_g w_g' of w = E_g a_g' and of a_g', by pairs of their entries, and
    behind them the factor of a level, then D_g and along_g.
    """
    q, p, J = along_X.shape
    at = q * p
    for g in range(J):
        if not _weigh(c, R, E, room, at, g):
            return 0.0
        for i in range(q):
            for a in range(q):
                half[i, a, g] = 0.0
                for b in range(q):
                    half[i, a, g] += E[i, b, g] * R[a, b, g]
            for k in range(p):
                weighted_X[i, k, g] = 0.0
                for b in range(q):
                    weighted_X[i, k, g] += E[i, b, g] * along_X[b, k, g]
        for i in range(q):
            for j in range(q):
                room[0, at + i, at + j] = room[1, at + i, at + j] = 0.0
                for a in range(q):
                    known[i, j] += half[i, a, g] * half[j, a, g]
                    room[0, at + i, at + j] += half[i, a, g] * R[a, j, g]
                for k in range(p if reml else 0):
                    known[i, j] -= weighted_X[i, k, g] * weighted_X[j, k, g]
                    room[1, at + i, at + j] += weighted_X[i, k, g] * along_X[j, k, g]
                room[0, at + i, at + j] -= room[1, at + i, at + j]
        _add_level(room, at, square)
        for i in range(at if reml else 0):
            for j in range(at):
                room[0, i, j] += weighted_X[i // p, i % p, g] * weighted_X[j // p, j % p, g]
                room[1, i, j] += along_X[i // p, i % p, g] * along_X[j // p, j % p, g]
    if reml:
        _add_pairs(room, p, square)
    return 1.0


def _weigh(c: float, R: np.ndarray, E: np.ndarray, room: np.ndarray, at: int, g: int) -> bool:
    """E_g by the triangle L of I + c^2 R_g'R_g; False where its pivots would lose digits."""
    q = E.shape[0]
    for i in range(q):
        for j in range(i + 1):
            s = 0.0
            for a in range(q):
                s += R[a, i, g] * R[a, j, g]
            s *= c * c
            if i == j and not s <= LARGE:
                return False
            s += 1.0 if i == j else 0.0
            for k in range(j):
                s -= room[0, at + i, at + k] * room[0, at + j, at + k]
            room[0, at + i, at + j] = sqrt(s) if i == j else s / room[0, at + j, at + j]
    for k in range(q):  # (L L')^-1, column by column
        for i in range(q):
            E[i, k, g] = 1.0 if i == k else 0.0
            for j in range(i):
                E[i, k, g] -= room[0, at + i, at + j] * E[j, k, g]
            E[i, k, g] /= room[0, at + i, at + i]
        for i in range(q - 1, -1, -1):
            for j in range(i + 1, q):
                E[i, k, g] -= room[0, at + j, at + i] * E[j, k, g]
            E[i, k, g] /= room[0, at + i, at + i]
    return True


def _add_level(room: np.ndarray, at: int, square: np.ndarray) -> None:
    """Add D_g x D_g - along_g x along_g, which stand in the room."""
    q = room.shape[1] - at
    for i in range(q):
        for j in range(q):
            D, along = room[0, at + i, at + j], room[1, at + i, at + j]
            for k in range(q):
                for h in range(q):
                    square[i * q + k, j * q + h] += D * room[0, at + k, at + h] - along * room[1, at + k, at + h]


def _add_pairs(room: np.ndarray, p: int, square: np.ndarray) -> None:
    """Add sum_gh E_g a_g'a_h x E_g a_g'a_h, from sums over levels in the room."""
    q = room.shape[1] // (p + 1)
    for i in range(q):
        for k in range(q):
            for j in range(q):
                for h in range(q):
                    for a in range(p):
                        for b in range(p):
                            square[i * q + k, j * q + h] += (
                                room[0, i * p + a, k * p + b] * room[1, j * p + a, h * p + b]
                            )
