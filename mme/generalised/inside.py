"""Coefficients by which eta is positive at every record, where a link needs it."""

from __future__ import annotations

import numpy as np

# How far to go of the way to where some eta is zero.
_SHARE = 0.9


def inside(Q: np.ndarray, offset: np.ndarray, gamma: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Gamma (p,), or where some of offset + Q'gamma is not positive the part of the way to it, from one where all are.

    ``near`` has the size of eta. Gamma comes back as it is where no coefficients make all eta positive.
    """
    eta = offset + gamma @ Q
    if not gamma.size or eta.min(initial=1.0) > 0.0:
        return gamma
    size = float(np.mean(np.abs(near)))
    one = Q.mean(axis=1)  # that of a constant, as Q has rows of unit mean square
    first = max(size, size - 1.1 * float(offset.min())) * one
    if not (offset + first @ Q > 0.1 * size).all():
        first = _deepest(Q, offset, size)
    start = offset + first @ Q
    if not (start > 0.0).all():
        return gamma
    low = eta <= 0.0
    share = _SHARE * float((start[low] / (start[low] - eta[low])).min())
    return np.asarray(first + share * (gamma - first))


def _deepest(Q: np.ndarray, offset: np.ndarray, size: float) -> np.ndarray:
    """Gamma of the largest least eta, up to a size: a linear programme."""
    from scipy.optimize import linprog  # slow to import

    p = len(Q)
    found = linprog(
        np.append(np.zeros(p), -1.0),
        A_ub=np.column_stack([-Q.T, np.ones(offset.size)]),
        b_ub=offset,
        bounds=[(None, None)] * p + [(None, size)],
    )
    return np.zeros(p) if found.x is None else np.asarray(found.x[:p])
