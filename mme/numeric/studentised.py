r"""The studentised range of k independent normal means: how far the largest is from the smallest.

    P(R > w) = k integral phi(z) Phi(z)^(k-1) (1 - (1 - Phi(z - w) / Phi(z))^(k-1)) dz,

which is no difference of numbers near one, so that small probabilities keep their digits; and with a standard error on
df degrees of freedom the mean of P(R > q s) over s, s^2 ~ chi^2 / df, along log s. Both by rules of Gauss and Legendre,
for all arguments at once (SciPy integrates adaptively, one argument after the other).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.special import chdtri, gammaincinv, gammaln, log_ndtr

# Nodes over z, and over log s; the tails beyond are below 1e-16.
_NODES, _SCALES = 96, 160
_LOW, _HIGH = -8.5, 9.0
# Arguments handled at a time: eight million numbers.
_CHUNK = 500
# Of so many arguments those of the normal distribution are read off a table, to eight digits.
_MANY, _TABLE, _WIDEST = 200, 801, 50.0
# Where a quantile is no longer sought.
_FAR = 1e5


def range_sf(q: np.ndarray, k: int, df: np.ndarray) -> np.ndarray:
    """P(range > q s) of k means (m,), for q and df (m,); df may be infinite, NaN gives NaN.

    Examples
    --------
    >>> range_sf(np.array([3.314493, 3.958]), 3, np.array([np.inf, 16.0])).round(4)
    array([0.05  , 0.0327])
    """
    if np.size(q) < _MANY:
        return over_scale(lambda w: _of_normal(w, k), q, df)
    from scipy.interpolate import CubicSpline

    w = np.linspace(0.0, _WIDEST, _TABLE)
    between = CubicSpline(w, np.log(np.maximum(_of_normal(w, k), np.finfo(float).tiny)))
    return over_scale(lambda w: np.exp(between(np.minimum(w, _WIDEST))), q, df)


def over_scale(of_normal: Callable[[np.ndarray], np.ndarray], q: np.ndarray, df: np.ndarray) -> np.ndarray:
    """P(W > q s) (m,), where P(W > w) is ``of_normal``: the mean over s, s^2 ~ chi^2 / df; NaN gives NaN."""
    q, df = np.broadcast_arrays(np.asarray(q, dtype=float), np.asarray(df, dtype=float))
    out = np.full(q.shape, np.nan)
    known = ~(np.isnan(q) | np.isnan(df))
    for one in np.unique(df[known]):
        places = np.flatnonzero(known & (df == one))
        for start in range(0, places.size, _CHUNK):
            at = places[start : start + _CHUNK]
            out[at] = of_normal(q[at]) if np.isinf(one) else _averaged(of_normal, q[at], float(one))
    return np.minimum(out, 1.0)


def range_isf(p: float, k: int, df: float = np.inf) -> float:
    """The q with P(range > q s) = p of k means, by a standard error on df degrees of freedom; infinite beyond 1e5.

    Examples
    --------
    >>> round(range_isf(0.05, 3), 4), round(range_isf(0.05, 3, 10.0), 3)
    (3.3145, 3.877)
    """
    from scipy.optimize import brentq

    at = np.array([df])
    if float(range_sf(np.array([_FAR]), k, at)[0]) > p:
        return float("inf")
    return float(brentq(lambda w: float(range_sf(np.array([w]), k, at)[0]) - p, 1e-8, _FAR, xtol=1e-12))


def _of_normal(w: np.ndarray, k: int) -> np.ndarray:
    """P(R > w) for w of any shape."""
    z, weights = _rule(_LOW, _HIGH, _NODES)
    with np.errstate(divide="ignore"):  # a range of zero: all means are within none
        within = np.log1p(-np.exp(log_ndtr(z - w[..., None]) - log_ndtr(z)))
    density = weights * np.exp(-0.5 * z * z - 0.5 * np.log(2.0 * np.pi) + (k - 1) * log_ndtr(z))
    return np.asarray(-k * np.expm1((k - 1) * within) @ density)


def _averaged(of_normal: Callable[[np.ndarray], np.ndarray], q: np.ndarray, df: float) -> np.ndarray:
    """The mean over s = exp(x): its density along x is 2 (df/2)^(df/2) / Gamma(df/2) s^df exp(-df s^2 / 2)."""
    low = 0.5 * np.log(max(2.0 * gammaincinv(0.5 * df, 1e-18), 1e-280) / df)
    x, weights = _rule(float(low), float(0.5 * np.log(chdtri(df, 1e-18) / df)), _SCALES)
    log_density = np.log(2.0) + 0.5 * df * np.log(0.5 * df) - gammaln(0.5 * df) + df * x - 0.5 * df * np.exp(2.0 * x)
    out = np.empty(q.shape)
    for start in range(0, q.size, 64):
        part = slice(start, start + 64)
        out[part] = of_normal(q[part, None] * np.exp(x)) @ (weights * np.exp(log_density))
    return out


@cache
def _legendre(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    return np.polynomial.legendre.leggauss(nodes)


def _rule(low: float, high: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on an interval."""
    x, w = _legendre(nodes)
    half = 0.5 * (high - low)
    return low + half * (x + 1.0), half * w
