"""The linear predictor that has a given mean, and the means between two of them."""

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


def between(family: Family, ends: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the largest mean (n,) for eta between two ends (2, n).

    Where eta must be positive and an end is not, the mean is that of eta towards zero: zero, or infinite.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        means = np.array([family.mean(end, tau) for end in ends])
        if not family.everywhere:
            rises = family.mean_slope(np.ones(1), tau)[0] > 0.0
            means[ends <= 0.0] = 0.0 if rises else np.inf
        low, high = np.minimum(*means), np.maximum(*means)
        if family.even:
            low = np.where(ends[0] * ends[1] < 0.0, family.mean(np.zeros(low.size), tau), low)
    return low, high
