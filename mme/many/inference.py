r"""Estimates, variances of contrasts and what their degrees of freedom take, for each of many responses.

With the factor of (N), R_X' over c', and z = R^-T c of a contrast c'beta (:mod:`mme.engine.basis`),

    gamma = R_X^-1 c,        var(c'beta) = sigma^2 |R_X'^-1 z|^2,

and Satterthwaite's degrees of freedom take the Hessian of the criterion and the slopes of log var(c'beta), sigma
profiled out (:mod:`mme.inference.fixed.satterthwaite`): by central differences at two lengths of steps, extrapolated.
Loops are written for the compiler.
"""

from __future__ import annotations

import numpy as np

from mme.many.descent import criterion_of, units_at
from mme.many.reduction import BORDER, ROOM, SCALE, K, P

# Steps of the differences, by units of curvature one, which are at most so many natural units; then twice as long.
_STEP, _RANGE = 0.01, 30.0


def estimate_all(
    sums: np.ndarray,
    theta: np.ndarray,
    contrasts: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    gamma: np.ndarray,
    told: np.ndarray,
    variances: np.ndarray,
) -> None:
    """Gamma (B, p), the criterion and sigma^2 (B, 2) and variances (B, contrasts) at theta (B, k)."""
    room, part = np.empty(at[ROOM]), np.empty(at[P])
    for b in range(theta.shape[0]):
        told[b, 0] = criterion_of(theta[b], at, design, sums[b], room)
        told[b, 1] = sigma_square(at, design, room)
        p, border = at[P], at[BORDER]
        for a in range(p - 1, -1, -1):
            s = room[border + p * (p + 1) + a]
            for c in range(a + 1, p):
                s -= room[border + c * (p + 1) + a] * gamma[b, c]
            gamma[b, a] = s / room[border + a * (p + 2)]
        for c in range(contrasts.shape[0]):
            variances[b, c] = told[b, 1] * square_of(contrasts[c], at, room, part)


def sigma_square(at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """sigma^2: as given, or pwrss over its degrees of freedom."""
    sigma, last = design[at[SCALE] + 3], room[at[BORDER] + (at[P] + 1) ** 2 - 1]
    return last**2 / design[at[SCALE] + 1] if np.isnan(sigma) else sigma**2


def square_of(z: np.ndarray, at: np.ndarray, room: np.ndarray, part: np.ndarray) -> float:
    """|R_X'^-1 z|^2."""
    p, border, square = at[P], at[BORDER], 0.0
    for a in range(p):
        s = z[a]
        for c in range(a):
            s -= room[border + a * (p + 1) + c] * part[c]
        part[a] = s / room[border + a * (p + 2)]
        square += part[a] ** 2
    return square


def slopes_all(
    sums: np.ndarray,
    theta: np.ndarray,
    contrasts: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    hessian: np.ndarray,
    slopes: np.ndarray,
    unit: np.ndarray,
) -> None:
    """Hessian (B, k, k) of the criterion, slopes (B, contrasts, k) of log variances, in the units found (B, k)."""
    k, size = at[K], contrasts.shape[0]
    room, part, trial, rises = np.empty(at[ROOM]), np.empty(at[P]), np.empty(k), np.empty((k, k))
    for b in range(theta.shape[0]):
        units_at(theta[b], at, design, unit[b])
        value = criterion_of(theta[b], at, design, sums[b], room)
        hessian[b], slopes[b] = 0.0, 0.0
        for tried in range(3):  # for the length of steps, then at two lengths
            h = _STEP if tried < 2 else 2.0 * _STEP
            share = (0.0, 4.0 / 3.0, -1.0 / 3.0)[tried]
            for i in range(k):
                for j in range(i if tried == 0 else 0, i + 1):
                    rises[i, j] = 0.0
                    for sign in (1.0, -1.0):
                        trial[:] = theta[b]
                        trial[i] += sign * h * unit[b, i]
                        if j < i:
                            trial[j] += sign * h * unit[b, j]
                        rises[i, j] += (criterion_of(trial, at, design, sums[b], room) - value) / h**2
                        if j == i and tried > 0:
                            for c in range(size):
                                v = sigma_square(at, design, room) * square_of(contrasts[c], at, room, part)
                                slopes[b, c, i] += 0.5 * share * sign * np.log(v) / h
            for i in range(k):
                if tried == 0:
                    unit[b, i] *= min(max(1.0 / np.sqrt(max(abs(rises[i, i]), 1e-8)), 1.0 / _RANGE), _RANGE)
                    continue
                for j in range(i + 1):
                    own = rises[i, i] if i == j else 0.5 * (rises[i, j] - rises[i, i] - rises[j, j])
                    hessian[b, i, j] += share * own
                    if j < i:
                        hessian[b, j, i] += share * own
