"""Parameters of which nothing depends where variances are zero."""

from __future__ import annotations

import numpy as np

from mme.covariance.base import GStructure
from mme.generalised.problem import Problem

# A change of a correlation's or a shape's coordinate, and what is left of G's change by rounding.
_STEP, _ROUNDING = 0.37, 1e-12


def idle(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Which entries of theta (k,) do not change the model here.

    Correlations and shapes that leave G = T T' what it is, beside standard deviations of zero; the range of a
    relationship whose term has no variance.
    """
    found = np.zeros(theta.size, dtype=bool)
    for block in problem.blocks:
        for part, thetas in zip(block.structures, block.theta_slices, strict=True):
            own, inner = theta[thetas], part.inner
            G = _covariance(inner, own[: inner.k])
            for j in np.flatnonzero(~part.diagonal).tolist():
                other = own.copy()
                other[j] += _STEP
                moved = _covariance(inner, other[: inner.k]) if j < inner.k else G
                same = np.allclose(moved, G, rtol=0.0, atol=_ROUNDING * G.diagonal().max(initial=0.0))
                found[thetas.start + j] = same and (j < inner.k or not G.any())
    return found


def _covariance(structure: GStructure, theta: np.ndarray) -> np.ndarray:
    """G (q, q) in units of sigma^2."""
    T = structure.T(theta)
    return np.asarray(T @ T.T)
