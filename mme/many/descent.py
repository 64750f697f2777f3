r"""The search for one of many responses: Newton steps on central differences, within a region of trust.

Steps of the first differences are a share of the natural unit of each entry of theta, sqrt(u_i^2 + sum_j x_j^2) over
the row of T that it stands in (``derivatives/units.py``); later ones are such that f rises enough to be told. The
criterion is even in each column of T, so that a variance of zero is a stationary point as any other, and needs no
bound.

Loops are written for the compiler: they run once for each response. ``work`` has their small arrays, row by row: x, a
trial, a step, the steps h of differences, the gradient, the Hessian and its eigenvectors, shares of h, rises of f.
"""

from __future__ import annotations

import numpy as np

from mme.many.reduction import BORDER, COLUMN, ROOM, ROW, SCALE, UNIT, K, P, reduced

# Steps of the first differences, as a share of the natural unit; later ones are up to so many times as long or short,
# which they become by at most this factor a round.
_STEP, _RANGE, _CHANGE = 2e-3, 100.0, 8.0
# Rounding of a criterion (``numeric/curvature.py``), and the least second difference, as a share of the one aimed at.
_NOISE, _LEAST = 2e-15, 0.03
# A search ends where a Newton step promises no more than this (``numeric/curvature.py``).
_CONVERGED = 1e-9
_ROUNDS = 60
# Curvature below this share of the largest, scaled, is not told from zero.
_FLAT = 1e-5
# Negative curvature beyond this share of the largest is a saddle, which is left by so many units of the curvature.
_SADDLE, _ESCAPE = 1e-3, 0.3
# A column of T shorter than this share of its unit is tried at zero, and stays there if the criterion is no higher.
_TINY, _ROUNDING = 0.1, 1e-9
# Sweeps of Jacobi's rotations that a small matrix takes at most.
_SWEEPS = 30


def search_all(
    sums: np.ndarray,
    starts: np.ndarray,
    common: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    theta: np.ndarray,
    told: np.ndarray,
) -> None:
    """Search for each response (B, sums) from the lowest of its own starts (B, own, k) and the common ones (m, k).

    Into ``theta`` (B, k) and ``told`` (B, 3): the criterion, what another step promises, evaluations.
    """
    k = at[K]
    room, work = np.empty(at[ROOM]), np.empty((2 * k + 7, k))
    x, trial = work[0], work[1]
    for b in range(sums.shape[0]):
        y, value = sums[b], np.inf
        x[:] = common[0]
        for i in range(common.shape[0] + starts.shape[1]):
            for j in range(k):
                trial[j] = common[i, j] if i < common.shape[0] else starts[b, i - common.shape[0], j]
            f = criterion_of(trial, at, design, y, room)
            if f < value:
                x[:], value = trial, f
        told[b, 2] = common.shape[0] + starts.shape[1]
        told[b, 0] = value
        work[-2], work[-1] = _STEP, -1.0
        descended(at, design, y, room, work, told[b])
        theta[b] = x


def criterion_of(x: np.ndarray, at: np.ndarray, design: np.ndarray, y: np.ndarray, room: np.ndarray) -> float:
    """The criterion at theta (``engine/criterion.py``); infinite where no residual variance is left."""
    logdet, p, scale = reduced(x, at, design, y, room), at[P], at[SCALE]
    if not np.isfinite(logdet):
        return np.inf
    fixed, n, reml, sigma = design[scale], design[scale + 1], design[scale + 2], design[scale + 3]
    product, value, left = 1.0, logdet + fixed, room[at[BORDER] + (p + 1) ** 2 - 1] ** 2
    for a in range(p):
        product *= room[at[BORDER] + a * (p + 2)]
    if reml > 0.0:
        value += 2.0 * np.log(product)
    if np.isnan(sigma):
        return value + n * (1.0 + np.log(2.0 * np.pi * left / n))
    return value + n * np.log(2.0 * np.pi * sigma**2) + left / sigma**2


def descended(
    at: np.ndarray, design: np.ndarray, y: np.ndarray, room: np.ndarray, work: np.ndarray, told: np.ndarray
) -> None:
    """Go down from x until a step promises nothing."""
    x, trial, step, reach = work[0], work[1], work[2], 1e300
    if not np.isfinite(told[0]):
        told[1] = np.inf
        return
    for _ in range(_ROUNDS):
        told[2] += differences(told[0], at, design, y, room, work)
        turned(told[0], at[K], work)
        lifted = 0.0
        length = stepped(at[K], work, lifted, told)
        lower = np.inf
        while told[1] > _CONVERGED:
            while length > reach:
                lifted = 2.0 * lifted if lifted > 0.0 else 1e-3 * largest_of(at[K], work)
                length = stepped(at[K], work, lifted, told)
            if not told[1] > _CONVERGED:
                break
            for j in range(at[K]):
                trial[j] = x[j] + step[j]
            lower = criterion_of(trial, at, design, y, room)
            told[2] += 1
            if lower < told[0]:
                break
            reach = 0.25 * length
        if not lower < told[0]:
            break
        reach = max(reach, 3.0 * length) if told[0] - lower > 0.5 * told[1] else length
        x[:], told[0] = trial, lower
    if told[1] <= _CONVERGED:  # what is left gains less than rounding, and is a share of a standard error still
        for j in range(at[K]):
            trial[j] = x[j] + step[j]
        lower = criterion_of(trial, at, design, y, room)
        if lower <= told[0] + _CONVERGED:
            x[:], told[0] = trial, min(lower, told[0])
    zeros_tried(at, design, y, room, work, told)


def differences(
    value: float, at: np.ndarray, design: np.ndarray, y: np.ndarray, room: np.ndarray, work: np.ndarray
) -> int:
    """Central differences of the criterion at x: steps, and in units of these gradient and Hessian.

    With s_ij = f(x + h_i + h_j) + f(x - h_i - h_j) - 2 f(x) and s_ii along one axis, H_ij = (s_ij - s_ii - s_jj) / 2.
    """
    k, x, trial, h, gradient, H = at[K], work[0], work[1], work[3], work[4], work[5:]
    next_steps(value, at, design, work)
    for i in range(k):
        gradient[i] = 0.0
        for j in range(i + 1):
            H[i, j] = 0.0
            for sign in (1.0, -1.0):
                trial[:] = x
                trial[i] += sign * h[i]
                if j < i:
                    trial[j] += sign * h[j]
                rise = criterion_of(trial, at, design, y, room) - value
                H[i, j] += rise
                if j == i:
                    gradient[i] += 0.5 * sign * rise
    for i in range(k):
        for j in range(i):
            H[i, j] = 0.5 * (H[i, j] - H[i, i] - H[j, j])
            H[j, i] = H[i, j]
    return k * (k + 1)


def next_steps(value: float, at: np.ndarray, design: np.ndarray, work: np.ndarray) -> None:
    """Steps of which the second differences balance rounding against truncation, from those that there were."""
    k, x, h, share, rise = at[K], work[0], work[3], work[-2], work[-1]
    target = np.sqrt(_NOISE * (abs(value) + 100.0))
    units_at(x, at, design, h)
    for i in range(k):
        if rise[i] >= 0.0:
            share[i] *= min(max(np.sqrt(target / max(rise[i], 1e-30)), 1.0 / _CHANGE), _CHANGE)
            share[i] = min(max(share[i], _STEP / _RANGE), _STEP * _RANGE)
        h[i] *= share[i]


def units_at(x: np.ndarray, at: np.ndarray, design: np.ndarray, unit: np.ndarray) -> None:
    """Natural units sqrt(u_i^2 + sum_j x_j^2) at theta, over the row of T of each entry."""
    for i in range(x.size):
        square = design[at[UNIT] + i] ** 2
        for j in range(x.size):
            if design[at[ROW] + j] == design[at[ROW] + i]:
                square += x[j] ** 2
        unit[i] = np.sqrt(square)


def turned(value: float, k: int, work: np.ndarray) -> None:
    """The Hessian by unit diagonal, in its own place by Jacobi's rotations: eigenvalues, and eigenvectors below it."""
    h, gradient, H, V, rise = work[3], work[4], work[5 : 5 + k], work[5 + k : 5 + 2 * k], work[-1]
    floor = _LEAST * np.sqrt(_NOISE * (abs(value) + 100.0))
    for i in range(k):
        rise[i] = abs(H[i, i])
    for i in range(k):
        size = np.sqrt(max(rise[i], floor))
        gradient[i] /= size
        h[i] /= size
        for j in range(k):
            H[i, j] /= size * np.sqrt(max(rise[j], floor))
            V[i, j] = 1.0 if i == j else 0.0
    for _ in range(_SWEEPS):
        off, size = 0.0, 0.0
        for i in range(k):
            size += H[i, i] ** 2
            for j in range(i):
                off += H[i, j] ** 2
        if not off > 1e-30 * size:
            break
        for i in range(k):
            for j in range(i):
                if H[i, j] != 0.0:
                    rotated(k, i, j, H, V)


def rotated(k: int, i: int, j: int, H: np.ndarray, V: np.ndarray) -> None:
    """One rotation, by which H[i, j] vanishes."""
    half = 0.5 * (H[j, j] - H[i, i]) / H[i, j]
    t = (1.0 if half >= 0.0 else -1.0) / (abs(half) + np.sqrt(1.0 + half * half))
    c = 1.0 / np.sqrt(1.0 + t * t)
    s = t * c
    for a in range(k):
        one, two = H[a, i], H[a, j]
        H[a, i], H[a, j] = c * one - s * two, s * one + c * two
    for a in range(k):
        one, two = H[i, a], H[j, a]
        H[i, a], H[j, a] = c * one - s * two, s * one + c * two
    for a in range(k):
        one, two = V[a, i], V[a, j]
        V[a, i], V[a, j] = c * one - s * two, s * one + c * two


def largest_of(k: int, work: np.ndarray) -> float:
    """The largest eigenvalue, in size."""
    largest = 1e-300
    for i in range(k):
        largest = max(largest, abs(work[5 + i, i]))
    return largest


def stepped(k: int, work: np.ndarray, lifted: float, told: np.ndarray) -> float:
    """The step -(|H| + lifted)^-1 g, or off a saddle, and its length by the curvature; what it promises is told."""
    step, h, gradient, H, V = work[2], work[3], work[4], work[5 : 5 + k], work[5 + k : 5 + 2 * k]
    largest, promised, square = largest_of(k, work), 0.0, 0.0
    for j in range(k):
        step[j] = 0.0
    for i in range(k):
        size, along = abs(H[i, i]), 0.0
        if size <= _FLAT * largest:
            continue
        for j in range(k):
            along += V[j, i] * gradient[j]
        t = -along / (size + lifted)
        least = _ESCAPE * size / (size + lifted)
        if H[i, i] < -_SADDLE * largest and abs(t) < least:
            t = least if t >= 0.0 else -least
        promised -= along * t + 0.5 * H[i, i] * t * t
        square += t * t
        for j in range(k):
            step[j] += V[j, i] * t * h[j]
    told[1] = promised
    return np.sqrt(square)


def zeros_tried(
    at: np.ndarray, design: np.ndarray, y: np.ndarray, room: np.ndarray, work: np.ndarray, told: np.ndarray
) -> None:
    """Columns of T that are nearly zero made exact zeros, where that costs nothing."""
    k, x, trial = at[K], work[0], work[1]
    for first in range(k):
        column, largest = design[at[COLUMN] + first], 0.0
        for i in range(k):
            trial[i] = x[i]
            if design[at[COLUMN] + i] == column:
                largest = max(largest, abs(x[i]) / design[at[UNIT] + i])
                trial[i] = 0.0
        if 0.0 < largest < _TINY:
            f = criterion_of(trial, at, design, y, room)
            told[2] += 1
            if f <= told[0] + _ROUNDING:
                x[:], told[0] = trial, f
