"""A criterion without bound: some effects and X fit the response exactly, and sigma falls to zero beside them.

With m such effects the criterion falls by 2 (n - p - m) log 10 each time theta grows tenfold, until the residuals are
as small as the rounding of the response. Where the records have residuals the criterion rises before that; where
m = n - p it falls towards a limit at infinity.
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np

from mme.engine.objective import Objective
from mme.engine.pls import pwrss
from mme.numeric.counted import NO_VALUE
from mme.search.joint import Joint
from mme.search.searched import Searched, growing

# Each ten times the criterion must not rise by more than this, up to so far out in coordinates of order one.
_RISE, _STRIDE, _FARTHEST = 1e-3, 10.0, 1e10
# Residuals of this share of the response are none where effects can fit any response, by covariances of low rank in a
# direction that is found the better the larger they are; elsewhere records may have residuals as small.
_NONE, _LEAST = 1e-6, 1e-8

# Whether f falls without bound from x on, and the evaluations that it took to know.
Endless = Callable[[np.ndarray], tuple[bool, int]]


def endless_of(joint: Joint, searched: Searched) -> Endless | None:
    """Make the function that tells whether the criterion falls without bound; None where it cannot."""
    if joint.model.sigma is not None or not joint.model.k:
        return None

    def endless(x: np.ndarray) -> tuple[bool, int]:
        grows, none = growing(joint.model)[searched.free], _NONE if can_fit_any_response(joint.latest) else _LEAST
        value, evaluations = value_of(joint, searched, x), 1
        while 0.0 < np.abs(x[grows]).max(initial=0.0) < _FARTHEST:
            x = np.where(grows, _STRIDE * x, x)
            before, value, evaluations = value, value_of(joint, searched, x), evaluations + 1
            if not value < before + _RISE:
                return False, evaluations
            if _residual_share(joint, searched.parameters(x)) < none:
                return True, evaluations
        return False, evaluations

    return endless


def can_fit_any_response(objective: Objective) -> bool:
    """Whether there are as many effects as records, so that the criterion may have no bound for any response."""
    effects = sum(block.J * block.q for block in objective.blocks)
    return effects + len(objective.basis.R) >= objective.model.n_records


def value_of(joint: Joint, searched: Searched, x: np.ndarray) -> float:
    """The criterion; infinite where it has no value."""
    return value_at(joint, searched.parameters(x))


def value_at(criterion: Callable[[np.ndarray], float], parameters: np.ndarray) -> float:
    """The criterion at parameters; infinite where it has no value."""
    try:
        return criterion(parameters)
    except NO_VALUE:
        return np.inf


def _residual_share(joint: Joint, parameters: np.ndarray) -> float:
    """Sigma as a share of the residual standard deviation of least squares."""
    objective = joint.latest
    squares = pwrss(objective.contrasts(parameters[: joint.model.k])[1])
    of_least_squares = objective.basis.squares
    return sqrt(max(squares, 0.0) / of_least_squares) if of_least_squares else 1.0
