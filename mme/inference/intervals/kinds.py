r"""Intervals from replicates t*_1 .. t*_R of an estimate t (Davison & Hinkley 1997, chapter 5).

With q(p) the quantile of the replicates, the (R + 1) p-th of them, and alpha the share of each tail,

    percentile     q(alpha), q(1 - alpha)
    basic          2 t - q(1 - alpha), 2 t - q(alpha)
    normal         t - bias -+ z se,  bias and se of the replicates
    bca            q(p) at  p = Phi(w + (w + z) / (1 - a (w + z))),  z = -+ z_(1-alpha),                            (B)
                   w = Phi^-1(share of t* below t),  a = sum L^3 / (6 (sum L^2)^1.5),  L_g = mean - t_(g),
                   t_(g) the estimate without group g (Efron 1987, J. Amer. Statist. Assoc. 82:171)
    studentised    u - s z*(1 - alpha), u - s z*(alpha),  z* = (u* - u) / s*,                                       (T)
                   u the estimate on the scale without bounds (log of a standard deviation, Fisher's z), s its
                   standard error.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

KINDS = ("percentile", "basic", "normal", "bca", "studentised")
# Studentised limits take replicates that have a standard error: nearly all must.
_WITHOUT = 0.05


def tails(level: float) -> np.ndarray:
    """The share below the lower limit, and below the upper."""
    return np.array([(1.0 - level) / 2.0, (1.0 + level) / 2.0])


def quantiles(values: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Quantile p is the (n + 1) p-th of the n values that are there; NaN where none is."""
    there = values[np.isfinite(values)]
    if not there.size or np.isnan(p).any():
        return np.full(p.size, np.nan)
    return np.asarray(np.quantile(there, p, method="weibull"))


def percentile(values: np.ndarray, level: float) -> np.ndarray:
    """Limits (P, 2) from replicates (R, P)."""
    return np.array([quantiles(column, tails(level)) for column in values.T]).reshape(-1, 2)


def basic(estimates: np.ndarray, values: np.ndarray, level: float) -> np.ndarray:
    """Limits (P, 2): the percentiles, mirrored at the estimates (P,)."""
    return np.asarray(2.0 * estimates[:, None] - percentile(values, level)[:, ::-1])


def bca(estimates: np.ndarray, values: np.ndarray, without: np.ndarray, level: float) -> np.ndarray:
    """(B), of the estimates without each group (groups, P); NaN where all replicates are on one side of the estimate.

    Examples
    --------
    >>> values = np.arange(1.0, 100.0)[:, None]
    >>> bca(np.array([50.5]), values, np.array([[49.0], [50.0], [51.0]]), 0.9).round(6).tolist()
    [[5.266627, 95.255751]]
    """
    z, out = ndtri(tails(level)), np.full((estimates.size, 2), np.nan)
    for i, (estimate, column, left) in enumerate(zip(estimates, values.T, without.T, strict=True)):
        there = column[np.isfinite(column)]
        if not there.size:
            continue
        w, a = ndtri(share_below(there, float(estimate))), acceleration(left)
        if np.isfinite(w):
            out[i] = quantiles(there, ndtr(w + (w + z) / (1.0 - a * (w + z))))
    return out


def share_below(values: np.ndarray, estimate: float) -> float:
    """The share of the values below the estimate; those that are equal count half."""
    return float((values < estimate).mean() + 0.5 * (values == estimate).mean())


def acceleration(without: np.ndarray) -> float:
    """Of (B), from the estimates without each group (groups,); zero where none moves it.

    Examples
    --------
    >>> round(acceleration(np.array([3.0, 2.0, 2.0, 1.0, -3.0])), 6)
    0.087218
    """
    there = without[np.isfinite(without)]
    if there.size < 2:
        return 0.0
    L = there.mean() - there
    square = float(L @ L)
    return float((L**3).sum() / (6.0 * square**1.5)) if square > 0.0 else 0.0


def studentised(u: np.ndarray, se: np.ndarray, u_of: np.ndarray, se_of: np.ndarray, level: float) -> np.ndarray:
    """(T), limits (P, 2) on the scale without bounds, from replicates (R, P) and their standard errors.

    NaN for a parameter without a standard error, in the fit or in more than one replicate of twenty.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        z = (u_of - u) / se_of
    z[~np.isfinite(z)] = np.nan
    few = np.isnan(z).mean(axis=0) > _WITHOUT
    return np.where(few[:, None], np.nan, u[:, None] - se[:, None] * percentile(z, level)[:, ::-1])
