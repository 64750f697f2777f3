r"""What is left of log-gamma functions in the constants of densities.

Loader (2000), Fast and accurate computation of binomial probabilities:

    log Gamma(x + 1) = (x + 1/2) log x - x + log(2 pi)/2 + S(x)

With S, a density is its highest value over the means, a sum of S and logarithms, less half a deviance: differences of
log-gamma functions, which are 1e10 at counts of 1e9, leave no digits of a density of order one.
"""

from __future__ import annotations

import numpy as np

LOG_2PI = float(np.log(2.0 * np.pi))
# Stirling's series, 1/(12 x) - 1/(360 x^3) + ..., is exact from here on.
_LARGE = 16.0
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def remainder(x: np.ndarray) -> np.ndarray:
    """S(x) (n,) for x > 0.

    Examples
    --------
    >>> remainder(np.array([1.0, 1000.0])).round(9)
    array([0.08106147, 0.00008333])
    """
    return _by_recurrence(np.asarray(x, dtype=float), _series, lambda x: (x + 0.5) * np.log1p(1.0 / x) - 1.0)


def remainder_slope(x: np.ndarray) -> np.ndarray:
    """dS/dx (n,) for x > 0: digamma(x) = log x - 1/(2 x) + dS/dx."""
    return _by_recurrence(
        np.asarray(x, dtype=float), _series_slope, lambda x: np.log1p(1.0 / x) - (x + 0.5) / (x * (x + 1.0))
    )


def log_choose(n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The highest value over p of log[ n!/(a! b!) p^a (1 - p)^b ], n = a + b: zero where a or b is."""
    out = np.zeros(n.shape)
    inner = (a > 0.0) & (b > 0.0)
    n, a, b = n[inner], a[inner], b[inner]
    out[inner] = remainder(n) - remainder(a) - remainder(b) + 0.5 * (np.log(n / a) - np.log(b) - LOG_2PI)
    return out


def log_count(y: np.ndarray) -> np.ndarray:
    """The highest value over mu of log[ mu^y exp(-mu) / y! ]: zero where y is."""
    out = np.zeros(y.shape)
    inner = y > 0.0
    y = y[inner]
    out[inner] = -remainder(y) - 0.5 * (np.log(y) + LOG_2PI)
    return out


def _by_recurrence(x: np.ndarray, series, step) -> np.ndarray:  # type: ignore[no-untyped-def]
    """A function by its series where x is large, elsewhere by f(x) = f(x + 1) + step(x)."""
    small = x < _LARGE
    if not small.any():
        return series(x)
    out, at = np.zeros(x.shape), x.copy()
    while small.any():
        out[small] += step(at[small])
        at[small] += 1.0
        small = at < _LARGE
    return out + series(at)


def _series(x: np.ndarray) -> np.ndarray:
    square, total = 1.0 / (x * x), np.zeros(x.shape)
    for coefficient in reversed(_SERIES):
        total = total * square + coefficient
    return total / x


def _series_slope(x: np.ndarray) -> np.ndarray:
    square, total = 1.0 / (x * x), np.zeros(x.shape)
    for k in range(len(_SERIES) - 1, -1, -1):
        total = total * square - (2 * k + 1) * _SERIES[k]
    return total * square
