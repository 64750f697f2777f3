"""The delta method: what the Hessian of the criterion says of functions of (theta, phi)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Step of the differences in a parameter, in units of its standard error: the functions are smooth on that scale.
_STEP = 1e-3


def parameter_covariance(hessian: np.ndarray) -> np.ndarray:
    """2 H^-1 on the parameters that were estimated; those given have no variance, flat ones none that is finite.

    Examples
    --------
    >>> parameter_covariance(np.array([[8.0, np.nan], [np.nan, np.nan]]))
    array([[0.25, 0.  ],
           [0.  , 0.  ]])
    """
    cov = np.zeros_like(hessian)
    free = np.isfinite(np.diag(hessian))
    both = np.ix_(free, free)
    size = np.sqrt(np.abs(np.diag(hessian[both])))
    size[size == 0.0] = 1.0
    values, vectors = np.linalg.eigh(hessian[both] / np.outer(size, size))
    inverse = np.where(values > 1e-10 * values.max(initial=0.0), 2.0 / np.where(values > 0, values, 1.0), np.nan)
    cov[both] = (vectors * inverse) @ vectors.T / np.outer(size, size)
    return cov


def jacobian(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Derivatives of f (m,) by each of x (k,), (m, k), by central differences on the scale of standard errors."""
    columns = []
    for i, sd in enumerate(spread.tolist()):
        step = np.zeros(x.size)
        step[i] = _STEP * sd if sd > 0 else 1e-6
        columns.append((f(x + step) - f(x - step)) / (2.0 * step[i]))
    return np.array(columns).T


def unbounded(v: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The value on a scale without bounds; a lower bound is finite where the upper is."""
    above, below = np.log(v - low), np.log(high - v)
    return np.where(np.isinf(low), v, np.where(np.isinf(high), above, above - below))


def bounded(u: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Back from the scale without bounds."""
    from scipy.special import expit  # slow to import

    with np.errstate(over="ignore"):  # an end at infinity
        above = low + np.exp(u)
    return np.where(np.isinf(low), u, np.where(np.isinf(high), above, low + (high - low) * expit(u)))
