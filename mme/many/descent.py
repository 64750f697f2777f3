r"""The search for one of many responses: Newton and quasi-Newton steps on exact slopes, within a region of trust.

The Hessian is of differences of slopes (``curvature.py``) where a search begins, where a step fails and where the
search would end; between these it is updated by symmetric rank one (Conn, Gould and Toint 1991), which is as good
near the optimum and takes one slope a step in place of one for each parameter.

The criterion is even in each column of T, so that a variance of zero is a stationary point as any other, and needs no
bound. Loops are written for the compiler: they run once for each response. ``work`` has their
small arrays, row by row: x, a trial, a step, units, the gradient, the one before, the scaled gradient, sizes and a
spare; then the Hessian, its eigenvalues' matrix and eigenvectors; the best x of several ends last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from mme.many.curvature import hessian_at
from mme.many.layout import COLUMN, UNIT, K, W, copy_vector

# Steps of the differences, as a share of the natural unit.
_SHARE = 1e-4
# Rounding of a criterion (``numeric/curvature.py``), and the least curvature, as a share of the one aimed at.
_NOISE, _LEAST = 2e-15, 0.03
# A search ends where a Newton step promises no more than this (``numeric/curvature.py``).
CONVERGED = 1e-9
_ROUNDS = 100
# Steps after which an updated Hessian is made anew.
_UPDATES = 8
# Curvature below this share of the largest, scaled, is not told from zero.
_FLAT = 1e-5
# Negative curvature beyond this share of the largest is a saddle, which is left by so many units of the curvature.
_SADDLE, _ESCAPE = 1e-3, 0.3
# A column of T shorter than this share of its unit is tried at zero, and stays there if the criterion is no higher.
TINY, _ROUNDING = 0.1, 1e-9
# Sweeps of Jacobi's rotations that a small matrix takes at most.
_SWEEPS = 30


class LoopSearch(NamedTuple):
    """One search: the vectors of ``layout.py``, small arrays, what is told of it, and what it calls.

    ``told`` (3,) has the criterion at x, what another step promises, and evaluations so far. ``evaluate`` and
    ``slopes`` are those of ``curvature.py`` and ``adjoint.py``.
    """

    at: np.ndarray
    design: np.ndarray
    room: np.ndarray
    work: np.ndarray
    told: np.ndarray
    evaluate: Callable[..., float]
    slopes: Callable[..., None]


def descend(search: LoopSearch) -> None:
    """Go down from x until a step promises nothing."""
    work, told = search.work, search.told
    x, trial, gradient, before = work[0], work[1], work[4], work[5]
    length, reach, updates = 0.0, 1e300, 0
    if not np.isfinite(told[0]):
        told[1] = np.inf
        return
    differentiate(search)
    for _ in range(_ROUNDS):
        least = diagonalise(told[0], work)
        make_step(work, 0.0, told)
        lower = np.inf
        if updates == 0 or (told[1] > CONVERGED and least >= 0.0 and updates < _UPDATES):
            lower, length, reach = try_step(search, reach)
        if lower < told[0]:
            reach = max(reach, 3.0 * length) if told[0] - lower > 0.5 * told[1] else length
            copy_vector(gradient, before)
            search.slopes(search.at, search.design, search.room, gradient)
            update_hessian(work)
            updates += 1
            copy_vector(trial, x)
            told[0] = lower
        elif updates == 0:
            break
        else:  # nothing is concluded from a Hessian that was updated
            differentiate(search)
            updates = 0
    if told[1] <= CONVERGED:
        take_last_step(search)
    try_zeros(search)


def take_last_step(search: LoopSearch) -> None:
    """Take the last Newton step: what it gains is less than rounding, and is a share of a standard error still."""
    x, trial, step, told = search.work[0], search.work[1], search.work[2], search.told
    for j in range(x.size):
        trial[j] = x[j] + step[j]
    lower = search.evaluate(trial, search.at, search.design, search.room)
    if lower <= told[0] + CONVERGED:
        copy_vector(trial, x)
        told[0] = min(lower, told[0])


def try_step(search: LoopSearch, reach: float) -> tuple[float, float, float]:
    """A trial below x: its criterion (infinite where a step promises nothing), its length, and the reach it needed."""
    work, told, lifted = search.work, search.told, 0.0
    x, trial, step = work[0], work[1], work[2]
    length = make_step(work, lifted, told)
    while told[1] > CONVERGED:
        while length > reach:
            lifted = 2.0 * lifted if lifted > 0.0 else 1e-3 * largest_of(work)
            length = make_step(work, lifted, told)
        if not told[1] > CONVERGED:
            break
        for j in range(x.size):
            trial[j] = x[j] + step[j]
        lower = search.evaluate(trial, search.at, search.design, search.room)
        told[2] += 1
        if lower < told[0]:
            return lower, length, reach
        reach = 0.25 * length
    return np.inf, length, reach


def differentiate(search: LoopSearch) -> None:
    """Gradient and Hessian at x anew, in plain theta."""
    at, design, room, work, evaluate = search.at, search.design, search.room, search.work, search.evaluate
    k, x, unit, gradient = at[K], work[0], work[3], work[4]
    H, none = work[9 : 9 + k], np.empty((0, at[W] - 1))
    evaluate(x, at, design, room)
    search.slopes(at, design, room, gradient)
    hessian_at(x, _SHARE, none, at, design, room, unit, gradient, H, none, evaluate, search.slopes)
    search.told[2] += k + 1


def update_hessian(work: np.ndarray) -> None:
    """Update the Hessian by symmetric rank one, so that it maps the last step to the change of the gradient."""
    k, step, unit, gradient, before, left = work.shape[1], work[2], work[3], work[4], work[5], work[8]
    H, product, size, length = work[9 : 9 + k], 0.0, 0.0, 0.0
    for i in range(k):
        left[i] = (gradient[i] - before[i]) * unit[i]
        for j in range(k):
            left[i] -= H[i, j] * step[j] / unit[j]
        product += left[i] * step[i] / unit[i]
        size += left[i] ** 2
        length += (step[i] / unit[i]) ** 2
    if abs(product) > 1e-8 * np.sqrt(size * length):
        for i in range(k):
            for j in range(k):
                H[i, j] += left[i] * left[j] / product


def diagonalise(value: float, work: np.ndarray) -> float:
    """Diagonalise the Hessian, scaled to a unit diagonal, by Jacobi's rotations, and say how much of a saddle it is.

    Its eigenvalues are left on the diagonal of the second matrix of ``work``, its eigenvectors in the third. Returned
    is the least eigenvalue over the largest where that is clearly negative; zero elsewhere.
    """
    k, unit, gradient, scaled, size = work.shape[1], work[3], work[4], work[6], work[7]
    H, E, V = work[9 : 9 + k], work[9 + k : 9 + 2 * k], work[9 + 2 * k : 9 + 3 * k]
    floor = _LEAST * np.sqrt(_NOISE * (abs(value) + 100.0))
    for i in range(k):
        size[i] = np.sqrt(max(abs(H[i, i]), floor))
        scaled[i] = gradient[i] * unit[i] / size[i]
    for i in range(k):
        for j in range(k):
            E[i, j] = H[i, j] / (size[i] * size[j])
            V[i, j] = 1.0 if i == j else 0.0
    for _ in range(_SWEEPS):
        off, total = 0.0, 0.0
        for i in range(k):
            total += E[i, i] ** 2
            for j in range(i):
                off += E[i, j] ** 2
        if not off > 1e-30 * total:
            break
        for i in range(k):
            for j in range(i):
                if E[i, j] != 0.0:
                    rotate(k, i, j, E, V)
    least, largest = 0.0, largest_of(work)
    for i in range(k):
        least = min(least, E[i, i] / largest)
    return least if least < -_SADDLE else 0.0


def rotate(k: int, i: int, j: int, H: np.ndarray, V: np.ndarray) -> None:
    """Rotate rows and columns i and j of H, so that H[i, j] vanishes, and the columns of V with them."""
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


def largest_of(work: np.ndarray) -> float:
    """The largest eigenvalue, in size."""
    k, largest = work.shape[1], 1e-300
    for i in range(k):
        largest = max(largest, abs(work[9 + k + i, i]))
    return largest


def make_step(work: np.ndarray, lifted: float, told: np.ndarray) -> float:
    """Make the step -(|H| + lifted)^-1 g, longer off a saddle; note what it promises, and return its length."""
    k, step, unit, gradient, size = work.shape[1], work[2], work[3], work[6], work[7]
    E, V = work[9 + k : 9 + 2 * k], work[9 + 2 * k : 9 + 3 * k]
    largest, promised, square = largest_of(work), 0.0, 0.0
    for j in range(k):
        step[j] = 0.0
    for i in range(k):
        curved, along = abs(E[i, i]), 0.0
        if curved <= _FLAT * largest:
            continue
        for j in range(k):
            along += V[j, i] * gradient[j]
        t = -along / (curved + lifted)
        least = _ESCAPE * curved / (curved + lifted)
        if E[i, i] < -_SADDLE * largest and abs(t) < least:
            t = least if t >= 0.0 else -least
        promised -= along * t + 0.5 * E[i, i] * t * t
        square += t * t
        for j in range(k):
            step[j] += V[j, i] * t * unit[j] / size[j]
    told[1] = promised
    return np.sqrt(square)


def try_zeros(search: LoopSearch) -> None:
    """Set columns of T that are nearly zero to exact zero where that costs nothing."""
    at, design, told, x, trial = search.at, search.design, search.told, search.work[0], search.work[1]
    for first in range(at[K]):
        largest = max(leave_column_out(search, first), abs(x[first]) / design[at[UNIT] + first])
        if 0.0 < largest < TINY:
            f = search.evaluate(trial, at, design, search.room)
            told[2] += 1
            if f <= told[0] + _ROUNDING:
                copy_vector(trial, x)
                told[0] = f


def leave_column_out(search: LoopSearch, own: int) -> float:
    """Put x without the column of T of this entry into ``trial``; the largest of its other entries, in their units."""
    at, design, x, trial = search.at, search.design, search.work[0], search.work[1]
    column, others = at[at[COLUMN] + own], 0.0
    for i in range(at[K]):
        trial[i] = x[i]
        if at[at[COLUMN] + i] == column:
            trial[i] = 0.0
            if i != own:
                others = max(others, abs(x[i]) / design[at[UNIT] + i])
    return others
