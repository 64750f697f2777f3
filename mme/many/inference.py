r"""Estimates, variances of contrasts, and the derivatives that their degrees of freedom need, for many responses.

With the factor of (N), R_X' over c', and z = R^-T c of a contrast c'beta (:mod:`mme.engine.basis`),

    gamma = R_X^-1 c,        var(c'beta) = sigma^2 |R_X'^-1 z|^2,

and Satterthwaite's degrees of freedom take the Hessian of the criterion and the slopes of log var(c'beta), sigma
profiled out (:mod:`mme.inference.fixed.satterthwaite`). Loops are written for the compiler.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mme.many.curvature import hessian_at, sigma_square, square_of
from mme.many.layout import BORDER, W, put_response

# Steps of the differences for degrees of freedom, as a share of the natural unit.
_SHARE = 1e-3


def estimate_all(
    sums: np.ndarray,
    theta: np.ndarray,
    contrasts: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    room: np.ndarray,
    gamma: np.ndarray,
    told: np.ndarray,
    variances: np.ndarray,
    evaluate: Callable[..., float],
) -> None:
    """Estimate responses at theta (B, k): gamma (B, p), criterion and sigma^2 (B, 2), variances (B, contrasts)."""
    w, border = at[W], at[BORDER]
    p = w - 1
    part = np.empty(p)
    for b in range(theta.shape[0]):
        put_response(sums[b], at, room)
        told[b, 0] = evaluate(theta[b], at, design, room)
        told[b, 1] = sigma_square(at, design, room)
        for a in range(p - 1, -1, -1):
            s = room[border + p * w + a]
            for c in range(a + 1, p):
                s -= room[border + c * w + a] * gamma[b, c]
            gamma[b, a] = s / room[border + a * (w + 1)]
        for c in range(contrasts.shape[0]):
            variances[b, c] = told[b, 1] * square_of(contrasts[c], at, room, part)


def slopes_all(
    sums: np.ndarray,
    theta: np.ndarray,
    contrasts: np.ndarray,
    at: np.ndarray,
    design: np.ndarray,
    room: np.ndarray,
    hessian: np.ndarray,
    along: np.ndarray,
    evaluate: Callable[..., float],
    slopes: Callable[..., None],
) -> None:
    """Find the Hessian (B, k, k) and the slopes of log variances of contrasts (B, contrasts, k), in natural units."""
    unit, none = np.empty(theta.shape[1]), np.empty(theta.shape[1])
    for b in range(theta.shape[0]):
        put_response(sums[b], at, room)
        hessian_at(theta[b], _SHARE, contrasts, at, design, room, unit, none, hessian[b], along[b], evaluate, slopes)
