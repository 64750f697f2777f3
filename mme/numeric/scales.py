"""Coordinates: smooth maps from the real line to correlations and shares, exact near both ends."""

from __future__ import annotations

import numpy as np

# Beyond this a coordinate makes no difference that doubles could show (1 - rho^2 = 1e-260), but zeros and infinities.
_LIMIT = 300.0


# Logarithms of standard deviations end here, so that a product of several still stays finite.
_LOG_SD_LIMIT = 100.0


def clipped(x: np.ndarray) -> np.ndarray:
    """The coordinates, kept where all that follows stays finite and above zero."""
    return np.clip(x, -_LIMIT, _LIMIT)


def clipped_log_sd(log_sd: np.ndarray) -> np.ndarray:
    """Logarithms of standard deviations, kept where their exponentials multiply without overflow."""
    return np.clip(log_sd, -_LOG_SD_LIMIT, _LOG_SD_LIMIT)


def fisher(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A correlation rho = tanh x and sqrt(1 - rho^2) = sech x, without cancellation.

    Examples
    --------
    >>> [float(v) for v in fisher(np.float64(np.log(2.0)))]
    [0.6, 0.8]
    """
    x = clipped(x)
    decay = np.exp(-np.abs(x))
    return np.tanh(x), 2.0 * decay / (1.0 + decay**2)


def log_fisher(x: float) -> float:
    """log |tanh x|: -inf at zero, and not rounded to zero for large x.

    Examples
    --------
    >>> bool(np.isclose(log_fisher(-np.log(2.0)), np.log(0.6)))
    True
    """
    size = min(abs(x), _LIMIT)
    if size == 0.0:
        return -np.inf
    if size < 0.5:
        return float(np.log(np.tanh(size)))
    decay = np.exp(-2.0 * size)
    return float(np.log1p(-decay) - np.log1p(decay))


def logistic(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A share p = 1 / (1 + exp(-x)) and 1 - p, without cancellation.

    Examples
    --------
    >>> [float(v) for v in logistic(np.float64(np.log(3.0)))]
    [0.75, 0.25]
    """
    x = clipped(x)
    return 1.0 / (1.0 + np.exp(-x)), 1.0 / (1.0 + np.exp(x))
