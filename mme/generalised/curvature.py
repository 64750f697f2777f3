r"""The Hessian of the criterion at an optimum, by differences of its exact gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Laplace
from mme.generalised.scoring import by_gamma

# Half the width of a difference, in standard errors: the gradient has twelve digits, its cubic part is a millionth.
_STEP = 1e-3


def hessian(criterion: Criterion, at: Laplace, free: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Second derivatives (m, m) by the free parameters among theta, gamma and tau, from central differences.

    ``inverse`` (m, m) is an inverse Hessian, as far as it is known: of the size of the differences.
    """
    x, places = at.at.x, np.flatnonzero(free)
    near = replace(criterion, u=at.u)
    size = np.sqrt(2.0 * np.maximum(inverse.diagonal(), 0.0))
    size[size == 0.0] = 1.0
    H = np.empty((places.size, places.size))
    for row, j in enumerate(places.tolist()):
        H[row] = _difference(near, x, j, _STEP * float(size[row]), free)
    return 0.5 * (H + H.T)


def _difference(criterion: Criterion, x: np.ndarray, j: int, step: float, free: np.ndarray) -> np.ndarray:
    """The derivative of the gradient (m,) by one parameter; NaN where there is no mode beside the optimum."""
    ends = []
    for sign in (1.0, -1.0):
        other = x.copy()
        other[j] += sign * step
        found = criterion.at(criterion.point(other))
        if found is None:
            return np.full(int(free.sum()), np.nan)
        ends.append(found.gradient()[free])
    return np.asarray((ends[0] - ends[1]) / (2.0 * step))


def covariance(H: np.ndarray) -> np.ndarray | None:
    """2 H^-1, the covariance of the parameters of a criterion on the scale of -2 log L; None if H is not definite."""
    if not np.isfinite(H).all():
        return None
    size = np.sqrt(np.maximum(H.diagonal(), 0.0))
    if not (size > 0.0).all():
        return None
    values, vectors = np.linalg.eigh(H / np.outer(size, size))
    if not values.min(initial=1.0) > 1e-10:
        return None
    return np.asarray(2.0 * (vectors / values) @ vectors.T / np.outer(size, size))


def expected_given_theta(at: Laplace) -> np.ndarray:
    """The Hessian by gamma (p, p) with theta and tau held, of the expected information."""
    expected = at.problem.equations.factor(at.mode.prior, at.mode.density.expected)
    return by_gamma(replace(at, factor=expected, expected=True))


def given_theta(at: Laplace) -> np.ndarray:
    """The covariance of gamma (p, p) with theta and tau held: lme4's from RX; NaN where it has none."""
    H = expected_given_theta(at)
    held = covariance(H)
    return np.full(H.shape, np.nan) if held is None else held
