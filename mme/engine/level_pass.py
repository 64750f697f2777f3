"""The criterion's pieces at several thetas by one loop over few levels, in which NumPy's calls take most of the time.

The algebra is that of :mod:`mme.engine.stack`, theta by theta and level by level: A_g = R_g T, I + A_g A_g' = L_g L_g',
Y_g = L_g^-1 V_g, and the triangle of (A), N'(I - QQ')N + sum_g Y_g Y_g'.
"""

from __future__ import annotations

from math import log, sqrt

import numpy as np

from mme.engine.absorption import Levels
from mme.engine.level_factors import LARGE
from mme.numeric.machine_code import machine_code

# Levels of all thetas together from which on NumPy is as quick.
_MANY = 2_000
_ARGUMENTS = "F3 F3 F3 F1 F2 F2 F2"
_NO_COUNTS = np.zeros(0)


def pieces_by_level(levels: Levels, NN: np.ndarray, T: np.ndarray) -> np.ndarray | None:
    """log|M|, log|X'V^-1 X| and pwrss (3, S) at T (S, q, q), ``NN`` = N'(I - QQ')N.

    None without machine code, for many levels, for variances so large that pivots lose digits, and without residuals.
    """
    (S, q, _), J = T.shape, levels.J
    if S * J > _MANY:
        return None
    loop = machine_code(pass_over_levels, _ARGUMENTS, S * J)
    if loop is None:
        return None
    m, found = len(NN), np.empty((3, S))
    counts = _NO_COUNTS if levels.multiplicity is None else levels.multiplicity
    room = np.empty((q + q + m + m, max(q, m)))
    given = [np.ascontiguousarray(one, dtype=float) for one in (T, levels.R, levels.V, counts, NN)]
    done = loop(*given, room, found)
    return found if done else None


def pass_over_levels(
    T: np.ndarray,
    R: np.ndarray,
    V: np.ndarray,
    counts: np.ndarray,
    NN: np.ndarray,
    room: np.ndarray,
    found: np.ndarray,
) -> float:
    """The loop of :func:`pieces_by_level`; zero where it does not serve.

    Rows of ``room`` are A (q), L (q), Y (m) and the triangle of (A) (m).
    """
    S, q, J, m = T.shape[0], R.shape[0], R.shape[2], V.shape[0]
    Y, N = 2 * q, 2 * q + m
    for s in range(S):
        found[0, s] = 0.0
        for c in range(m):
            for d in range(c + 1):
                room[N + c, d] = 0.0
        for g in range(J):
            product = _factorise(T, R, room, s, g)
            if product == 0.0:
                return 0.0
            found[0, s] += 2.0 * log(product) * (counts[g] if counts.size else 1.0)
            for c in range(m):
                for i in range(q):
                    y = V[c, i, g]
                    for j in range(i):
                        y -= room[q + i, j] * room[Y + c, j]
                    room[Y + c, i] = y / room[q + i, i]
                for d in range(c + 1):
                    along = 0.0
                    for i in range(q):
                        along += room[Y + c, i] * room[Y + d, i]
                    room[N + c, d] += along
        if not _triangle(NN, room, found, N, s):
            return 0.0
    return 1.0


def _factorise(T: np.ndarray, R: np.ndarray, room: np.ndarray, s: int, g: int) -> float:
    """The product of the pivots of L_g, at T_s; zero where they would lose digits."""
    q, product = R.shape[0], 1.0
    for i in range(q):
        square = 0.0
        for j in range(q):
            a = 0.0
            for k in range(i, q):
                a += R[i, k, g] * T[s, k, j]
            room[i, j] = a
            square += a * a
        if not square <= LARGE:
            return 0.0
        pivot = 1.0 + square
        for j in range(i):
            below = 0.0
            for k in range(q):
                below += room[i, k] * room[j, k]
            for k in range(j):
                below -= room[q + i, k] * room[q + j, k]
            below /= room[q + j, j]
            room[q + i, j] = below
            pivot -= below * below
        room[q + i, i] = sqrt(pivot)
        product *= room[q + i, i]
    return product


def _triangle(NN: np.ndarray, room: np.ndarray, found: np.ndarray, N: int, s: int) -> bool:
    """log|X'V^-1 X| and pwrss of the triangle of (A); False where the response is fitted exactly."""
    m = NN.shape[0]
    found[1, s] = 0.0
    for c in range(m):
        for d in range(c + 1):
            left = room[N + c, d] + NN[c, d]
            for k in range(d):
                left -= room[N + c, k] * room[N + d, k]
            if d < c:
                room[N + c, d] = left / room[N + d, d]
            elif left > 0.0:
                room[N + c, c] = sqrt(left)
                found[1, s] += log(left) if c < m - 1 else 0.0
                found[2, s] = left
            else:
                return False
    return True
