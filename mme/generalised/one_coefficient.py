r"""The pass of :mod:`mme.generalised.one_pass` for one coefficient a level: numbers in place of small matrices.

Random intercepts over many levels are the commonest large models, and this is three times as fast there.
"""

from __future__ import annotations

import math

import numpy as np

from mme.family.point import by_size, slopes, whole

# As in mme.generalised.one_pass.
_SIZED = 2
_NEAR = 0.05
_CLOSE = 1e-12
_STEPS, _HALVINGS = 100, 40
# Its arguments, as mme.numeric.machine_code calls them.
ARGUMENTS = "i f I1 F2 F2 F2 F2 F2 F1 F1 I1"


def one_coefficient(
    kind: int,
    k: float,
    starts: np.ndarray,
    records: np.ndarray,
    T: np.ndarray,
    u: np.ndarray,
    room: np.ndarray,
    by_T: np.ndarray,
    by_gamma: np.ndarray,
    by_k: np.ndarray,
    steps: np.ndarray,
) -> float:
    """As :func:`mme.generalised.one_pass.one_pass`, for T (1, 1), with seven numbers of ``room`` for each record."""
    total, lost, t = 0.0, 0.0, T[0, 0]
    for g in range(len(u)):
        first, n = starts[g], starts[g + 1] - starts[g]
        x, taken = _mode(kind, k, records, first, n, t, u[g, 0], room)
        if taken < 0:
            return math.inf
        steps[0] += taken
        u[g, 0] = x
        value, slope = _at_mode(kind, records, first, n, t, x, room, by_gamma, by_k)
        by_T[0, 0] += slope
        value -= lost
        grown = total + value
        lost = (grown - total) - value
        total = grown
    return total


def _mode(
    kind: int, k: float, records: np.ndarray, first: int, n: int, t: float, x: float, room: np.ndarray
) -> tuple[float, int]:
    """The mode of a level, and the steps taken, -1 where there is none; ``room`` gets the density of its records."""
    last = False
    for taken in range(_STEPS):
        force, H = -x, 1.0
        if last:
            for i in range(n):
                at = first + i
                eta = records[at, 2] + t * records[at, 3] * x
                y, weight = records[at, 0], records[at, 1]
                room[i, 0], room[i, 1], room[i, 2], room[i, 3] = whole(kind, k, y, weight, eta)
                if kind == _SIZED:
                    room[i, 4], room[i, 5], room[i, 6] = by_size(k, y, weight, eta)
            return x, taken
        for i in range(first, first + n):
            m = t * records[i, 3]
            slope, w = slopes(kind, k, records[i, 0], records[i, 1], records[i, 2] + m * x)
            force += m * slope
            H += w * m * m
        if not H > 0.0:
            return x, -1
        d = force / H
        decrement = d * force
        if not decrement < math.inf:
            return x, -1
        last = decrement < _CLOSE
        step = 1.0
        if decrement > _NEAR:
            before = _loss(kind, k, records, first, n, t, x)
            for _ in range(_HALVINGS):
                if _loss(kind, k, records, first, n, t, x + step * d) <= before - 1e-4 * step * decrement:
                    break
                step *= 0.5
        x += step * d
    return x, -1


def _loss(kind: int, k: float, records: np.ndarray, first: int, n: int, t: float, x: float) -> float:
    """-log of the penalised density of one level."""
    loss = 0.5 * x * x
    for i in range(first, first + n):
        loss -= whole(kind, k, records[i, 0], records[i, 1], records[i, 2] + t * records[i, 3] * x)[0]
    return loss


def _at_mode(
    kind: int,
    records: np.ndarray,
    first: int,
    n: int,
    t: float,
    x: float,
    room: np.ndarray,
    by_gamma: np.ndarray,
    by_k: np.ndarray,
) -> tuple[float, float]:
    """The part of a level in (L) and in its derivative by T; see :mod:`mme.generalised.laplace`."""
    H, value, lost = 1.0, 0.0, 0.0
    for i in range(n):
        m = t * records[first + i, 3]
        H += room[i, 2] * m * m
        part = room[i, 0] - lost
        grown = value + part
        lost = (grown - value) - part
        value = grown
    s, Zc, Zl, A = 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        z = records[first + i, 3]
        m = t * z
        slope, w, hW = room[i, 1], room[i, 2], m * m / H * room[i, 3]
        s += m * hW / H
        Zl += z * slope
        A += w * z * m
        room[i, 0], room[i, 1] = hW - 2.0 * slope, w * m
        if kind == _SIZED:
            by_k[0] += m * m / H * room[i, 6] - 2.0 * room[i, 4]
            room[i, 5] *= m
    for i in range(n):
        c = room[i, 0] - room[i, 1] * s
        if kind == _SIZED:
            by_k[0] += s * room[i, 5]
        Zc += records[first + i, 3] * c
        for j in range(by_gamma.size):
            by_gamma[j] += records[first + i, 4 + j] * c
    return math.log(H) + x * x - 2.0 * value, Zc * x + Zl * s + 2.0 * A / H
