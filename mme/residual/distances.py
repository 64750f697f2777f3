"""Correlations by distance h, in ranges, and their slopes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# A step in the logarithm of Matern's smoothness, whose derivative is by differences.
_STEP = 1e-4


def _exponential(h: np.ndarray, smoothness: float) -> np.ndarray:
    return np.exp(-h)


def _gaussian(h: np.ndarray, smoothness: float) -> np.ndarray:
    return np.exp(-(h**2))


def _spherical(h: np.ndarray, smoothness: float) -> np.ndarray:
    near = np.minimum(h, 1.0)
    return 1.0 - 1.5 * near + 0.5 * near**3


def _rational(h: np.ndarray, smoothness: float) -> np.ndarray:
    return 1.0 / (1.0 + h**2)


def _linear(h: np.ndarray, smoothness: float) -> np.ndarray:
    return np.maximum(1.0 - h, 0.0)


def _matern(h: np.ndarray, smoothness: float) -> np.ndarray:
    """h^nu K_nu(h) 2^(1 - nu) / Gamma(nu); closed forms at one half and three halves."""
    if smoothness == 0.5:
        return np.exp(-h)
    if smoothness == 1.5:
        return (1.0 + h) * np.exp(-h)
    from scipy.special import gammaln, kve

    positive = np.maximum(h, 1e-10)
    log = (1.0 - smoothness) * np.log(2.0) - gammaln(smoothness) + smoothness * np.log(positive)
    with np.errstate(invalid="ignore", over="ignore"):  # K overflows where h is so small that the limit is one
        value = np.exp(log - positive) * kve(smoothness, positive)
    return np.where((h < 1e-10) | ~np.isfinite(value), 1.0, value)


# The correlation at distance h, in ranges.
KINDS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "exponential": _exponential,
    "gaussian": _gaussian,
    "spherical": _spherical,
    "matern": _matern,
    "rational quadratic": _rational,
    "linear": _linear,
}


def log_slope(kind: str, h: np.ndarray, smoothness: float) -> np.ndarray:
    """h f'(h)."""
    if kind == "exponential" or (kind == "matern" and smoothness == 0.5):
        return -h * np.exp(-h)
    if kind == "gaussian":
        return -2.0 * h**2 * np.exp(-(h**2))
    if kind == "spherical":
        return np.where(h < 1.0, -1.5 * h + 1.5 * h**3, 0.0)
    if kind == "rational quadratic":
        return -2.0 * h**2 / (1.0 + h**2) ** 2
    if kind == "linear":
        return np.where(h < 1.0, -h, 0.0)
    if smoothness == 1.5:
        return -(h**2) * np.exp(-h)
    from scipy.special import gammaln, kve

    positive = np.maximum(h, 1e-10)  # (h^nu K_nu)' = -h^nu K_nu-1
    log = (1.0 - smoothness) * np.log(2.0) - gammaln(smoothness) + (smoothness + 1.0) * np.log(positive)
    with np.errstate(invalid="ignore", over="ignore"):
        value = -np.exp(log - positive) * kve(abs(smoothness - 1.0), positive)
    return np.where((h < 1e-10) | ~np.isfinite(value), 0.0, value)


def smoothness_slope(h: np.ndarray, smoothness: float) -> np.ndarray:
    """The derivative of Matern's correlation by the logarithm of its smoothness, by central differences."""
    up, down = (_matern(h, smoothness * float(np.exp(step))) for step in (_STEP, -_STEP))
    return np.asarray((up - down) / (2.0 * _STEP))
