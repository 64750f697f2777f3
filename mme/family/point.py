"""The density of one record in compiled loops, from one exponential: as plain Python, which those who loop compile.

Its values are log f less what eta does not change, y eta - mean for a count: good to rounding while counts are below
1e5; the density itself (:class:`mme.family.base.Density`) has its digits for all.
"""

from __future__ import annotations

import math

# Kinds: mme.family.binomial.BINOMIAL, mme.family.poisson.POISSON.
_LOGIT = 0


def slopes(kind: int, y: float, weight: float, eta: float) -> tuple[float, float]:
    """Slope and W of a record."""
    if kind == _LOGIT:
        e = math.exp(-abs(eta))
        larger = 1.0 / (1.0 + e)
        p = larger if eta >= 0.0 else 1.0 - larger
        return weight * (y - p), weight * larger * (e * larger)
    mean = math.exp(eta)
    return weight * (y - mean), weight * mean


def whole(kind: int, y: float, weight: float, eta: float) -> tuple[float, float, float, float]:
    """log f less what eta does not change, its slope, W and dW / d eta of a record."""
    if kind == _LOGIT:
        e = math.exp(-abs(eta))
        larger = 1.0 / (1.0 + e)
        p = larger if eta >= 0.0 else 1.0 - larger
        w = weight * larger * (e * larger)
        return weight * (y * eta - max(eta, 0.0) - math.log1p(e)), weight * (y - p), w, w * (1.0 - 2.0 * p)
    mean = math.exp(eta)
    w = weight * mean
    return weight * (y * eta - mean), weight * (y - mean), w, w
