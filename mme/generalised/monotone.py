"""The linear predictor that has a given mean."""

from __future__ import annotations

import numpy as np

from mme.family.base import Family

_DOUBLINGS, _HALVINGS = 60, 200


def eta_of(family: Family, mean: np.ndarray, near: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Eta (n,) with this mean, which is monotone in it, by bisection from ``near``."""
    rises = family.mean_slope(near, tau) >= 0.0
    sign = np.where(rises, 1.0, -1.0)

    def above(eta: np.ndarray) -> np.ndarray:
        """Whether eta is too large."""
        return np.asarray(sign * (family.mean(eta, tau) - mean) > 0.0)

    low, high, width = near.copy(), near.copy(), np.ones(near.size)
    for _ in range(_DOUBLINGS):
        outside = above(low)
        low[outside] -= width[outside]
        beyond = ~above(high)
        high[beyond] += width[beyond]
        width *= 2.0
        if not (outside.any() or beyond.any()):
            break
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        if not ((middle > low) & (middle < high)).any():
            break
        over = above(middle)
        high, low = np.where(over, middle, high), np.where(over, low, middle)
    return 0.5 * (low + high)
