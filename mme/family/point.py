"""The density of one record in compiled loops: log f without its constants, slope, W and dW, of one exponential.

``point`` is plain Python; :func:`mme.numeric.kernels.kernel` compiles it with the loop that calls it.
"""

from __future__ import annotations

import math

import numpy as np

# Kinds: mme.family.binomial.BINOMIAL, mme.family.poisson.POISSON.
_LOGIT, _FEW, _WHOLE = 0, 100.0, 1e-14


def point(kind: int, y: float, weight: float, eta: float) -> tuple[float, float, float, float]:
    """Return log f less ``Family.constants``, its slope, W and dW / d eta of a record."""
    if kind == _LOGIT:
        return logit_point(y, weight, eta)
    return log_point(y, weight, eta)


def logit_point(y: float, weight: float, eta: float) -> tuple[float, float, float, float]:
    """s log p + f log q; of more than a hundred trials, less its highest value."""
    e = math.exp(-abs(eta))
    larger = 1.0 / (1.0 + e)
    smaller = e * larger
    p, q = (larger, smaller) if eta >= 0.0 else (smaller, larger)
    soft = math.log1p(e)
    log_p, log_q = min(eta, 0.0) - soft, -max(eta, 0.0) - soft
    s = y * weight
    if abs(s - np.rint(s)) <= _WHOLE * weight:
        s = np.rint(s)
    f = weight - s
    w = weight * p * q
    if weight <= _FEW:
        value = s * log_p + f * log_q
    elif s == 0.0:
        value = f * log_q
    elif f == 0.0:
        value = s * log_p
    else:
        h_s = log_p - (math.log(s / weight) if s < f else math.log1p(-f / weight))
        h_f = log_q - (math.log(f / weight) if f < s else math.log1p(-s / weight))
        value = s * (h_s - math.expm1(h_s)) + f * (h_f - math.expm1(h_f))
    return value, s * q - f * p, w, w * (q - p)


def log_point(y: float, weight: float, eta: float) -> tuple[float, float, float, float]:
    """Less half the deviance of a count."""
    mean = math.exp(eta) if eta < 709.0 else math.inf
    if y == 0.0:
        value = -mean
    else:
        h = eta - math.log(y)
        value = y * (h - (math.expm1(h) if h < 709.0 else math.inf))
    w = weight * mean
    return weight * value, weight * (y - mean), w, w
