"""The density of one record in compiled loops, from one exponential: as plain Python, which those who loop compile.

Its values are log f less what eta does not change, y eta - mean for a count: good to rounding while counts are below
1e5; the density itself (:class:`mme.family.base.Density`) has its digits for all. A negative binomial count of size k
leaves out :func:`rising` and log y!, and is Poisson's as k grows; other families have no k.
"""

from __future__ import annotations

import math

import numpy as np

# Kinds: mme.family.binomial.BINOMIAL, mme.family.poisson.POISSON, mme.family.negative_binomial.SIZED.
_LOGIT, _SIZED = 0, 2


def slopes(kind: int, k: float, y: float, weight: float, eta: float) -> tuple[float, float]:
    """Slope and W of a record."""
    if kind == _LOGIT:
        e = math.exp(-abs(eta))
        larger = 1.0 / (1.0 + e)
        p = larger if eta >= 0.0 else 1.0 - larger
        return weight * (y - p), weight * larger * (e * larger)
    mean = math.exp(eta)
    if kind == _SIZED:
        q = 1.0 / (1.0 + mean / k)
        return weight * q * (y - mean), weight * (y + k) * (mean / k) * q * q
    return weight * (y - mean), weight * mean


def whole(kind: int, k: float, y: float, weight: float, eta: float) -> tuple[float, float, float, float]:
    """log f less what eta does not change, its slope, W and dW / d eta of a record."""
    if kind == _LOGIT:
        e = math.exp(-abs(eta))
        larger = 1.0 / (1.0 + e)
        p = larger if eta >= 0.0 else 1.0 - larger
        w = weight * larger * (e * larger)
        return weight * (y * eta - max(eta, 0.0) - math.log1p(e)), weight * (y - p), w, w * (1.0 - 2.0 * p)
    mean = math.exp(eta)
    if kind == _SIZED:
        q = 1.0 / (1.0 + mean / k)
        w = weight * (y + k) * (mean / k) * q * q
        return weight * (y * eta - (y + k) * math.log1p(mean / k)), weight * q * (y - mean), w, w * (2.0 * q - 1.0)
    w = weight * mean
    return weight * (y * eta - mean), weight * (y - mean), w, w


def by_size(k: float, y: float, weight: float, eta: float) -> tuple[float, float, float]:
    """Derivatives of those by log k: of log f, of its slope and of W."""
    x = math.exp(eta) / k
    q = 1.0 / (1.0 + x)
    p = x * q
    value = weight * ((y + k) * p - k * math.log1p(x))
    return value, weight * p * (y * q - k * p), weight * p * q * (2.0 * k * p - y * (q - p))


def rising(k: float, above: np.ndarray) -> tuple[float, float]:
    """Sum of a log (k)(k+1)...(k+y-1) / k^y over the records, and its derivative by log k.

    ``above`` (j,) has the sum of the weights a of the counts y > j.
    """
    j = np.arange(1, above.size)
    return (above[1:] * np.log1p(j / k)).sum(), -(above[1:] * (j / (k + j))).sum()
