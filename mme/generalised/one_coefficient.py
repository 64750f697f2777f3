r"""The pass of :mod:`mme.generalised.one_pass` for one coefficient a level: numbers in place of small matrices.

Random intercepts over many levels are the commonest large models, and this is three times as fast there.
"""

from __future__ import annotations

import math

import numpy as np

from mme.family.point import slopes, whole

# As in mme.generalised.one_pass.
_NEAR = 0.05
_CLOSE = 1e-12
_STEPS, _HALVINGS = 100, 40


def one_coefficient(
    kind: int,
    starts: np.ndarray,
    records: np.ndarray,
    T: np.ndarray,
    u: np.ndarray,
    by_T: np.ndarray,
    by_gamma: np.ndarray,
) -> tuple[float, int]:
    """As :func:`mme.generalised.one_pass.one_pass`, for T (1, 1)."""
    J, t = len(u), T[0, 0]
    most = 0
    for g in range(J):
        most = max(most, starts[g + 1] - starts[g])
    room = np.empty((most, 2))
    total, steps = 0.0, 0
    for g in range(J):
        first, n = starts[g], starts[g + 1] - starts[g]
        x, H, taken = _mode(kind, records, first, n, t, u[g, 0])
        if taken < 0:
            return 0.0, -1
        steps += taken
        u[g, 0] = x
        value, slope = _at_mode(kind, records, first, n, t, x, H, room, by_gamma)
        total += value
        by_T[0, 0] += slope
    return total, steps


def _mode(kind: int, records: np.ndarray, first: int, n: int, t: float, x: float) -> tuple[float, float, int]:
    """The mode of a level, its H, and the steps taken, -1 where there is no mode."""
    last = False
    for taken in range(_STEPS):
        force, H = -x, 1.0
        for i in range(first, first + n):
            m = t * records[i, 3]
            slope, w = slopes(kind, records[i, 0], records[i, 1], records[i, 2] + m * x)
            force += m * slope
            H += w * m * m
        if not H > 0.0:
            return x, H, -1
        if last:
            return x, H, taken
        d = force / H
        decrement = d * force
        if not decrement < math.inf:
            return x, H, -1
        last = decrement < _CLOSE
        step = 1.0
        if decrement > _NEAR:
            before = _loss(kind, records, first, n, t, x)
            for _ in range(_HALVINGS):
                if _loss(kind, records, first, n, t, x + step * d) <= before - 1e-4 * step * decrement:
                    break
                step *= 0.5
        x += step * d
    return x, H, -1


def _loss(kind: int, records: np.ndarray, first: int, n: int, t: float, x: float) -> float:
    """-log of the penalised density of one level."""
    loss = 0.5 * x * x
    for i in range(first, first + n):
        loss -= whole(kind, records[i, 0], records[i, 1], records[i, 2] + t * records[i, 3] * x)[0]
    return loss


def _at_mode(
    kind: int,
    records: np.ndarray,
    first: int,
    n: int,
    t: float,
    x: float,
    H: float,
    room: np.ndarray,
    by_gamma: np.ndarray,
) -> tuple[float, float]:
    """The part of a level in (L) and in its derivative by T; see :mod:`mme.generalised.laplace`."""
    total, s, Zc, Zl, A = math.log(H) + x * x, 0.0, 0.0, 0.0, 0.0
    for i in range(n):
        z = records[first + i, 3]
        m = t * z
        value, slope, w, change = whole(
            kind, records[first + i, 0], records[first + i, 1], records[first + i, 2] + m * x
        )
        hW = m * m / H * change
        total -= 2.0 * value
        s += m * hW / H
        Zl += z * slope
        A += w * z * m
        room[i, 0], room[i, 1] = hW - 2.0 * slope, w * m
    for i in range(n):
        c = room[i, 0] - room[i, 1] * s
        Zc += records[first + i, 3] * c
        for j in range(by_gamma.size):
            by_gamma[j] += records[first + i, 4 + j] * c
    return total, Zc * x + Zl * s + 2.0 * A / H
