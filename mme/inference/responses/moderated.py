r"""Variances of many estimates, squeezed towards what they have in common (Smyth 2004).

A variance v_j on df_j degrees of freedom is taken for v0_j chi^2(df_j) / df_j, and 1 / v0_j for chi^2(d) / (d v0) over
the responses. Then log v_j, less what its own chi-square makes of it, has mean log v0 and variance

    trigamma(df_j / 2) + trigamma(d / 2),

which give d and v0 by moments; given these the variance of response j is (d v0 + df_j v_j) / (d + df_j).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import digamma, polygamma

# Degrees of freedom of the prior beyond which all responses have one variance.
_COMMON = 1e7


@dataclass(frozen=True, eq=False)
class Moderated:
    """Squeezed variances and their degrees of freedom (m,), and the prior: v0 on d degrees of freedom."""

    variance: np.ndarray
    df: np.ndarray
    v0: float
    d: float


def moderated(variance: np.ndarray, df: np.ndarray) -> Moderated:
    """Squeeze variances (m,) on df (m,) degrees of freedom; those that are not there, or zero, stay as they are.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> true = 2.0 * 8 / rng.chisquare(8, 20000)
    >>> found = moderated(true * rng.chisquare(5, 20000) / 5, np.full(20000, 5.0))
    >>> round(found.d), round(found.v0, 1)
    (8, 2.0)
    """
    there = np.isfinite(variance) & (variance > 0.0) & np.isfinite(df) & (df > 0.0)
    if there.sum() < 2:
        return Moderated(variance.copy(), df.copy(), float("nan"), 0.0)
    half = 0.5 * df[there]
    e = np.log(variance[there]) - digamma(half) + np.log(half)
    excess = float(np.var(e, ddof=1) - polygamma(1, half).mean())
    d = 2.0 * _inverse_trigamma(excess) if excess > 2.0 / _COMMON else np.inf  # trigamma(d / 2) is 2 / d there
    v0 = float(np.exp(e.mean() + (0.0 if np.isinf(d) else digamma(0.5 * d) - np.log(0.5 * d))))
    out, total = variance.copy(), df.copy()
    total[there] += d
    out[there] = v0 if np.isinf(d) else (d * v0 + df[there] * variance[there]) / (d + df[there])
    return Moderated(out, total, v0, float(d))


def _inverse_trigamma(x: float) -> float:
    """The positive y with trigamma(y) = x."""
    return float(np.exp(brentq(lambda log_y: float(polygamma(1, np.exp(log_y))) - x, -30.0, 30.0, xtol=1e-12)))
