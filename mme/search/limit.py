"""The lowest value of a criterion that falls towards a limit as the residual variance goes to zero beside the others.

Far out the criterion of c theta is that of theta in V = Z (K (x) T T') Z' + R / c^2: it differs from its limit by a
share 1 / c^2. The limit is a point of the model, sigma = 0: a field of plots with errors beside it is the field alone
there. So one goes out until the criterion falls no more, and searches there in coordinates that are of order one again.
Where that falls without bound, to covariances of low rank that fit the response exactly, it was no limit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mme.engine.blocks import Block
from mme.numeric.counted import EndlessError
from mme.numeric.curvature import Curvature
from mme.numeric.limits import limits
from mme.numeric.optimize import Minimum
from mme.search.elsewhere import continued
from mme.search.endless import can_fit_any_response, endless_of, value_of
from mme.search.joint import Joint, Sought
from mme.search.known_derivatives import AUTO, exact_later
from mme.search.progress import Report
from mme.search.searched import Searched, growing

# It falls no more where ten times theta gains less than this, or will gain so much by the law of its falls, before so
# far out; a fall of more has no limit. From so far out on two decades are looked at before.
_SETTLED, _NEARLY, _STRIDE, _FARTHEST, _FAR, _DECADES = 5e-7, 2e-6, 10.0, 1e7, 1e3, 2
# Differences of a criterion of so few parameters are cheap. A search near the limit that takes more evaluations than
# this comes to none.
_FEW, _MOST = 3, 400
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
    x, limit, spent = _near_limit_of_ray(joint, searched, minimum.x, grows)
    minimum = replace(minimum, evaluations=minimum.evaluations + spent)
    if not limit < min(lower, minimum.value + _SHORT):
        return minimum
    found = _around(joint, searched, replace(minimum, x=x, value=value_of(joint, searched, x)), grows, radius, report)
    if found.endless:
        return found
    further = _further(joint, searched, found, grows)
    return replace(further, endless=True, settled=True, reason="the criterion comes to its limit without residuals")


def _further(joint: Joint, searched: Searched, at: Minimum, grows: np.ndarray) -> Minimum:
    """The minimum with sizes ten times as large, where the criterion is still lower there."""
    unit = np.where(grows, _STRIDE, 1.0)
    x = unit * at.x
    value = value_of(joint, searched, x)
    if not value < at.value - _SETTLED:
        return at
    return replace(at, x=x, value=value, curvature=_in_units(at.curvature, unit, x))


def _in_units(bent: Curvature, unit: np.ndarray, x: np.ndarray) -> Curvature:
    """The curvature of f where x is that of f(x / unit)."""
    return replace(bent, x=x, gradient=bent.gradient / unit, hessian=bent.hessian / np.outer(unit, unit))


def _near_limit_of_ray(
    joint: Joint, searched: Searched, x: np.ndarray, grows: np.ndarray
) -> tuple[np.ndarray, float, int]:
    """Where on the way out from zero through x the criterion is near its limit, the limit, and evaluations.

    The limit is infinite where there is none. In each decade the criterion falls by a hundredth of the fall before, so
    that two falls tell the third; where x is far out itself, they are looked for before it. Far enough is a decade
    before what falls no more, with more digits.
    """
    x = np.where(grows, x / _STRIDE**_DECADES, x) if np.abs(x[grows]).max() > _FAR else x
    value, before, spent = value_of(joint, searched, x), np.inf, 1
    while np.abs(x[grows]).max() < _FARTHEST:
        further = np.where(grows, _STRIDE * x, x)
        below, spent = value_of(joint, searched, further), spent + 1
        fall = value - below
        if abs(fall) <= _SETTLED:
            return x, value, spent
        if not fall > 0.0:
            break  # further out only digits are lost
        if before < np.inf and fall**2 <= _NEARLY * before and fall < before / _STRIDE:
            return x, below, spent
        x, value, before = further, below, fall
    return x, np.inf, spent


@dataclass(eq=False)
class _Brief:
    """The criterion near a limit; after so many evaluations it has none, and counts as falling without bound."""

    f: Sought
    left: int

    def __call__(self, x: np.ndarray) -> float:
        """The criterion at x."""
        self._spend(1)
        return self.f(x)

    @property
    def about(self) -> float | None:
        """The size of the criterion where it takes many points at once."""
        return self.f.about

    def many(self, points: np.ndarray) -> np.ndarray:
        """The criterion (S,) at points (S, k)."""
        self._spend(len(points))
        return self.f.many(points)

    def _spend(self, evaluations: int) -> None:
        self.left -= evaluations
        if self.left < 0:
            raise EndlessError


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
    sought = _Brief(Sought(joint, near, at.value - _HOPELESS), _MOST)
    slopes = exact_later(joint, near, AUTO) if first.size > _FEW else None
    found = continued(sought, first, wide, even, slopes, report, at.evaluations)
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
    bent, value = _in_units(found.curvature, unit, x), value_of(joint, searched, x)
    return replace(at, x=x, value=value, evaluations=found.evaluations + 1, curvature=bent)


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
