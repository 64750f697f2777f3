r"""Differences of exact slopes: the Hessian of the criterion, and slopes of the variances of contrasts.

One stencil serves the search, with steps to one side, and degrees of freedom, with steps to both. Steps are a share of
the natural unit of each entry of theta, sqrt(u_i^2 + sum_j x_j^2) over the row of T that it stands in
(``derivatives/units.py``). Loops are written for the compiler.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mme.many.layout import BORDER, ROW, SCALE, UNIT, W
from mme.many.reduction import reduced


def criterion_of(x: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """The criterion at theta (``engine/criterion.py``); infinite where no residual variance is left."""
    logdet, w, scale = reduced(x, at, design, room), at[W], at[SCALE]
    if not np.isfinite(logdet):
        return np.inf
    fixed, n, reml, sigma = design[scale], design[scale + 1], design[scale + 2], design[scale + 3]
    product, value, left = 1.0, logdet + fixed, room[at[BORDER] + w * w - 1] ** 2
    for a in range(w - 1):
        product *= room[at[BORDER] + a * (w + 1)]
    if reml > 0.0:
        value += 2.0 * np.log(product)
    if np.isnan(sigma):
        return value + n * (1.0 + np.log(2.0 * np.pi * left / n))
    return value + n * np.log(2.0 * np.pi * sigma**2) + left / sigma**2


def units_at(x: np.ndarray, at: np.ndarray, design: np.ndarray, unit: np.ndarray) -> None:
    """Natural units sqrt(u_i^2 + sum_j x_j^2) at theta, over the row of T of each entry."""
    for i in range(x.size):
        square = design[at[UNIT] + i] ** 2
        for j in range(x.size):
            if at[at[ROW] + j] == at[at[ROW] + i]:
                square += x[j] ** 2
        unit[i] = np.sqrt(square)


def hessian_at(
    x: np.ndarray,
    share: float,
    contrasts: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    room: np.ndarray,
    unit: np.ndarray,
    gradient: np.ndarray,
    H: np.ndarray,
    along: np.ndarray,
    evaluate: Callable[..., float],
    slopes: Callable[..., None],
) -> None:
    """Hessian (k, k) in units (k,), from the gradient (k,) at x, given in plain theta.

    With contrasts (c, p) steps go to both sides, and ``along`` (c, k) are the slopes of their log variances.
    ``evaluate`` and ``slopes`` are :func:`criterion_of` and that of ``adjoint.py``.
    """
    k, both = x.size, contrasts.shape[0] > 0
    trial, found, log_variances = x.copy(), np.empty(k), np.empty(contrasts.shape[0])
    units_at(x, at, design, unit)
    for i in range(k):
        for j in range(k):
            H[i, j] = 0.0 if both else -gradient[j]
        for side in range(2 if both else 1):
            sign = 1.0 - 2.0 * side
            trial[i] = x[i] + sign * share * unit[i]
            if not np.isfinite(evaluate(trial, at, design, room)):
                H[i, i] = np.inf
                continue
            log_variances_of(contrasts, at, design, room, log_variances)
            for c in range(contrasts.shape[0]):
                along[c, i] = sign * log_variances[c] if side == 0 else (along[c, i] + sign * log_variances[c]) / 2.0
                if side == 1:
                    along[c, i] /= share
            slopes(at, design, room, found)
            for j in range(k):
                H[i, j] += sign * found[j]
        trial[i] = x[i]
        for j in range(k):
            H[i, j] *= unit[j] / (2.0 * share if both else share)
    for i in range(k):
        for j in range(i):
            H[i, j] = 0.5 * (H[i, j] + H[j, i])
            H[j, i] = H[i, j]


def log_variances_of(
    contrasts: np.ndarray, at: np.ndarray, design: np.ndarray, room: np.ndarray, out: np.ndarray
) -> None:
    """Logarithms of the variances of contrasts (c, p), sigma^2 |R_X'^-1 z|^2."""
    part = np.empty(at[W] - 1)
    for c in range(contrasts.shape[0]):
        out[c] = np.log(sigma_square(at, design, room) * square_of(contrasts[c], at, room, part))


def sigma_square(at: np.ndarray, design: np.ndarray, room: np.ndarray) -> float:
    """sigma^2: as given, or pwrss over its degrees of freedom."""
    sigma, last = design[at[SCALE] + 3], room[at[BORDER] + at[W] ** 2 - 1]
    return last**2 / design[at[SCALE] + 1] if np.isnan(sigma) else sigma**2


def square_of(z: np.ndarray, at: np.ndarray, room: np.ndarray, part: np.ndarray) -> float:
    """|R_X'^-1 z|^2."""
    square, w, border = 0.0, at[W], at[BORDER]
    for a in range(w - 1):
        s = z[a]
        for c in range(a):
            s -= room[border + a * w + c] * part[c]
        part[a] = s / room[border + a * (w + 1)]
        square += part[a] ** 2
    return square
