r"""What is left of log-gamma functions in the constants of densities.

Loader (2000), Fast and accurate computation of binomial probabilities:

    log Gamma(x + 1) = (x + 1/2) log x - x + log(2 pi)/2 + S(x)

With S, a density is its highest value over the means, a sum of S and logarithms, less half a deviance: differences of
log-gamma functions, which are 1e10 at counts of 1e9, leave no digits of a density of order one.
"""

from __future__ import annotations

from math import prod

import numpy as np

LOG_2PI = float(np.log(2.0 * np.pi))
# Stirling's series, 1/(12 x) - 1/(360 x^3) + ..., is exact from here on.
_LARGE = 16.0
# So many records or more look their constants up in a table.
_MANY = 1000
_SERIES = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def remainder(x: np.ndarray, order: int = 0) -> np.ndarray:
    """S(x), or its derivative of an order up to three, for x > 0.

    digamma(x) = log x - 1/(2 x) + S'(x), trigamma(x) = 1/x + 1/(2 x^2) + S''(x).

    Examples
    --------
    >>> remainder(np.array([1.0, 1000.0])).round(9)
    array([0.08106147, 0.00008333])
    """
    x = np.asarray(x, dtype=float)
    if order == 0 and _of_whole.size and x.size and x.min() >= 1.0 and (x == np.rint(x)).all():
        few = x <= _LARGE
        found = _of_whole[np.where(few, x, 1.0).astype(np.intp)]
        return found if few.all() else np.where(few, found, _series(x, 0))
    out, at = np.zeros(x.shape), x.copy()
    small = at < _LARGE
    while small.any():
        out[small] += _step(at[small], order)
        at[small] += 1.0
        small = at < _LARGE
    return out + _series(at, order)


# S(k) for whole k up to where the series is exact; nothing while it is made.
_of_whole = np.zeros(0)


def excess(x: np.ndarray) -> np.ndarray:
    """exp(x) - 1 - x, of which a small x leaves no digits without its series."""
    small = np.abs(x) < 0.05
    t = np.where(small, x, 0.0)
    series = np.zeros(t.shape)
    for k in range(10, 2, -1):
        series = (series + 1.0) * (t / k)
    return np.where(small, 0.5 * t * t * (1.0 + series), np.expm1(x) - x)


def log_choose(n: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The highest value over p of log[ n!/(a! b!) p^a (1 - p)^b ], n = a + b: zero where a or b is."""
    out = np.zeros(n.shape)
    inner = (a > 0.0) & (b > 0.0)
    n, a, b = n[inner], a[inner], b[inner]
    of_n, of_a, of_b = remainder(np.array([n, a, b]))
    out[inner] = of_n - of_a - of_b + 0.5 * (np.log(n / a) - np.log(b) - LOG_2PI)
    return out


def log_count(y: np.ndarray) -> np.ndarray:
    """The highest value over mu of log[ mu^y exp(-mu) / y! ]: zero where y is.

    Many records of small counts look theirs up.
    """
    if y.size > _MANY and 4.0 * (largest := float(y.max())) < y.size and (y == np.rint(y)).all():
        return log_count(np.arange(largest + 1.0))[y.astype(np.int64)]
    out = np.zeros(y.shape)
    inner = y > 0.0
    y = y[inner]
    out[inner] = -remainder(y) - 0.5 * (np.log(y) + LOG_2PI)
    return out


def _step(x: np.ndarray, order: int) -> np.ndarray:
    """S(x) - S(x + 1), or its derivative of this order."""
    if order == 0:
        return (x + 0.5) * np.log1p(1.0 / x) - 1.0
    u = x * (x + 1.0)
    if order == 1:
        return np.log1p(1.0 / x) - (x + 0.5) / u
    return 0.5 / u**2 if order == 2 else -(2.0 * x + 1.0) / u**3


def _series(x: np.ndarray, order: int) -> np.ndarray:
    """The sum of c_k x^-(2k + 1), or its derivative of this order."""
    square, total = 1.0 / (x * x), np.zeros(x.shape)
    for k in range(len(_SERIES) - 1, -1, -1):
        factor = prod(-(2.0 * k + 1.0 + j) for j in range(order))
        total = total * square + factor * _SERIES[k]
    return total / x ** (1 + order)


_of_whole = np.concatenate(([0.0], remainder(np.arange(1.0, _LARGE + 1.0))))
