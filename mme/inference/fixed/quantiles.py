"""Quantiles of t for many degrees of freedom at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import ndtri, stdtrit

from mme.numeric.panels import panels
from mme.tables.arguments import check_level

# Degrees of freedom from which t is the normal distribution to all digits.
_NORMAL = 1e15
# Of so many intervals the quantile is interpolated: from these degrees of freedom on it is smooth in their reciprocal.
_MANY, _SMOOTH, _DEGREE = 16_384, 2.0, 24
# Coefficients of the polynomial below this share of the quantile are rounding.
_ROUNDING = 1e-13


def t_quantile(level: float, df: np.ndarray) -> np.ndarray:
    """Half the width (m,) of an interval at this level, in standard errors.

    Raises
    ------
    MMEError
        The level is no share.

    Examples
    --------
    >>> t_quantile(0.95, np.array([4.0, np.inf])).round(3).tolist()
    [2.776, 1.96]
    """
    check_level(level)
    upper = 0.5 + level / 2.0

    def quantile(df: np.ndarray) -> np.ndarray:
        return np.asarray(np.where(df > _NORMAL, ndtri(upper), stdtrit(np.minimum(df, _NORMAL), upper)))

    if df.size and (df == df.flat[0]).all():
        return np.full(df.shape, quantile(df.flat[0]))
    enough = df >= _SMOOTH
    if (many := np.count_nonzero(enough)) < _MANY:
        return quantile(df)
    if many < df.size:
        out = np.empty(df.shape)
        out[enough], out[~enough] = _interpolated(quantile, df[enough]), quantile(df[~enough])
        return out
    return _interpolated(quantile, df)


def _interpolated(quantile: Callable[[np.ndarray], np.ndarray], df: np.ndarray) -> np.ndarray:
    """The quantiles (m,) of a great many degrees of freedom, from those of a few.

    Coefficients of a polynomial in 1 / df fall faster than 0.4^k, so that its powers lose no digits.
    """
    s = 1.0 / df
    low, high = float(s.min()), float(s.max())
    if low == high:
        return np.full(df.shape, quantile(df[:1]))
    smooth = np.polynomial.Chebyshev.interpolate(lambda s: quantile(1.0 / s), _DEGREE, (low, high))
    powers = smooth.trim(_ROUNDING * abs(smooth.coef[0])).convert(kind=np.polynomial.Polynomial)
    for cut in panels(s.size):
        s[cut] = powers(s[cut])
    return s
