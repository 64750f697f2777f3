"""The lowest value of a criterion that falls towards a limit as the residual variance goes to zero beside the others.

Far out the criterion of c theta is that of theta in V = Z (K (x) T T') Z' + R / c^2: it differs from its limit by a
share 1 / c^2. The limit is a point of the model, sigma = 0: a field of plots with errors beside it is the field alone
there. So one goes out until the criterion falls no more, and searches there in coordinates that are of order one again.
Where that falls without bound, to covariances of low rank that fit the response exactly, it was no limit.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.engine.blocks import Block
from mme.numeric.limits import limits
from mme.numeric.optimize import Minimum
from mme.search.elsewhere import continued
from mme.search.endless import can_fit_any_response, endless_of, value_of
from mme.search.joint import Joint, Sought
from mme.search.progress import Report
from mme.search.searched import Searched, growing

# It falls no more where ten times theta gains less than this, before so far out; a fall of more has no limit.
_SETTLED, _STRIDE, _FARTHEST = 5e-7, 10.0, 1e7
# Sizes at which the limit is nearly reached, and evaluations are still quick; those from which a search comes back, and
# how far off they may be.
_LIMIT, _NEAR, _RADIUS = 100.0, 10.0, 0.3
# The criterion there may be higher than at the limit by this; candidates that are higher by more are no start, and a
# limit that is searched has none where it falls by as much.
_SHORT, _HOPELESS = 1e-2, 10.0


def at_its_limit(
    joint: Joint, searched: Searched, minimum: Minimum, radius: np.ndarray, report: Report | None, lower: float
) -> Minimum:
    """The minimum at the limit of the criterion; the given one where there is no limit, or none below ``lower``."""
    grows = growing(joint.model)[searched.free]
    x, value, spent, fall = minimum.x, minimum.value, minimum.evaluations, np.inf
    while np.abs(x[grows]).max() < _FARTHEST:
        further = np.where(grows, _STRIDE * x, x)
        below, spent = value_of(joint, searched, further), spent + 1
        fall = value - below
        if not fall > _SETTLED:
            break  # further out only digits are lost
        x, value = further, below
    minimum = replace(minimum, evaluations=spent)
    if not abs(fall) <= _SETTLED or not min(value, minimum.value) < lower:
        return minimum
    far = replace(minimum, x=x, value=value) if value < minimum.value else minimum
    found = _around(joint, searched, far, grows, radius, report)
    if found.endless:
        return found
    return replace(found, endless=True, settled=True, reason="the criterion comes to its limit without residuals")


def _around(
    joint: Joint, searched: Searched, at: Minimum, grows: np.ndarray | None, radius: np.ndarray, report: Report | None
) -> Minimum:
    """The minimum at the limit: of all parameters, in units of the largest size, or of those that have no size alone.

    ``grows`` marks the sizes; None: only parameters without a size move. The minimum is ``endless`` where the criterion
    falls so far at the limit that it has none.
    """
    unit, units, moves = np.ones(at.x.size), np.ones(searched.first.size), np.ones(at.x.size, dtype=bool)
    if grows is not None:
        unit[grows] = np.abs(at.x[grows]).max()
        radius = np.where(grows, _RADIUS, radius)
    else:
        moves = ~growing(joint.model)[searched.free]
    units[searched.free], free = unit, searched.free.copy()
    free[searched.free] = moves
    if not moves.any():
        return replace(at, endless=False)
    near = replace(searched, first=searched.parameters(at.x), scale=searched.scale / units, free=free)
    first, wide, even = (at.x / unit)[moves], radius[moves], searched.even[moves]
    sought = Sought(joint, near, at.value - _HOPELESS)
    found = continued(sought, first, wide, even, None, report, at.evaluations)
    x = at.x.copy()
    x[moves] = found.x * unit[moves]
    at = replace(at, evaluations=found.evaluations, endless=found.endless)
    if found.endless or not found.value <= at.value:
        return at
    if not moves.all():
        return replace(at, x=x, value=found.value)
    if grows is not None:  # all sizes times one number are the same limit: the largest one stays where it was
        unit = np.where(grows, unit / np.abs(found.x[grows]).max(), unit)
        x = found.x * unit
    bent = found.curvature
    bent = replace(bent, x=x, gradient=bent.gradient / unit, hessian=bent.hessian / np.outer(unit, unit))
    return replace(at, x=x, value=value_of(joint, searched, x), evaluations=found.evaluations + 1, curvature=bent)


def back_from_its_limit(
    joint: Joint, searched: Searched, minimum: Minimum, radius: np.ndarray, report: Report | None
) -> Minimum:
    """Look for a lower minimum from the limit, where a relationship has parameters, and return the lower of the two.

    At the limit the criterion has valleys that it has not elsewhere. The candidate of the relationship that is lowest
    there begins a search at the limit, and then one that comes back from it.
    """
    objective, grows = joint.latest, growing(joint.model)[searched.free]
    block = next((one for one in objective.random if one.is_parametric), None)
    dear = objective.flops > limits().dear_order
    if block is None or dear or not grows.any() or not can_fit_any_response(objective):
        return minimum
    trials = _candidates(searched, minimum.x, grows, block)
    values = [value_of(joint, searched, one) for one in trials]
    best, spent = int(np.argmin(values)), minimum.evaluations + len(trials)
    minimum = replace(minimum, evaluations=spent)
    if not values[best] < minimum.value + _HOPELESS:
        return minimum
    limit = _around(joint, searched, replace(minimum, x=trials[best], value=values[best]), None, radius, report)
    minimum = replace(minimum, evaluations=limit.evaluations)
    if not limit.value < minimum.value + _SHORT:
        return minimum
    near, wide = np.where(grows, limit.x * _NEAR / _LIMIT, limit.x), np.where(grows, _NEAR * _RADIUS, radius)
    endless, even = endless_of(joint, searched), searched.even
    found = continued(Sought(joint, searched), near, wide, even, None, report, limit.evaluations, endless=endless)
    if found.value < min(limit.value, minimum.value):
        return found
    minimum = replace(minimum, evaluations=found.evaluations)
    return replace(limit, evaluations=found.evaluations, endless=True) if limit.value < minimum.value else minimum


def _candidates(searched: Searched, x: np.ndarray, grows: np.ndarray, block: Block) -> list[np.ndarray]:
    """Points near the limit: sizes in the proportions of x, with each candidate of the block's relationship.

    The last has zeros, which in a chain are no correlation: without errors beside it, correlations are weaker.
    """
    far = _LIMIT * np.maximum(np.abs(x), 1.0) / max(1.0, float(np.abs(x[grows]).max()))
    parameters, of_theta = searched.parameters(np.where(grows, far, x)), block.theta_slices[0].stop
    out = []
    for candidate in (*block.relationship.starts(), np.zeros(block.relationship.k)):
        parameters[of_theta - block.relationship.k : of_theta] = candidate
        out.append(searched.x(parameters))
    return out
