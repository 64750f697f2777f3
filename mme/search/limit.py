"""The lowest value of a criterion that falls towards a limit as the residual variance goes to zero beside the others.

Far out the criterion of c theta is that of theta in V = Z (K (x) T T') Z' + R / c^2: it differs from its limit by a
share 1 / c^2. So one goes out until it falls no more, and there finds what has no such size: the parameters of
relationships and of residuals. At the limit a field of plots with errors beside it is the field alone.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mme.numeric.optimize import Minimum
from mme.search.elsewhere import continued
from mme.search.endless import growing, value_of
from mme.search.joint import Joint
from mme.search.progress import Report
from mme.search.searched import Searched

# It falls no more where ten times theta gains less than this, before so far out; a fall of more has no limit.
_SETTLED, _STRIDE, _FARTHEST = 1e-7, 10.0, 1e7


def at_its_limit(
    joint: Joint, searched: Searched, minimum: Minimum, radius: np.ndarray, report: Report | None
) -> Minimum:
    """Where the criterion comes to its limit; the same where it has none, or is no lower there; ``radius`` is of x."""
    grows = growing(joint.latest)[searched.free]
    x, value, spent, fall = minimum.x, minimum.value, minimum.evaluations, np.inf
    while np.abs(x[grows]).max() < _FARTHEST:
        further = np.where(grows, _STRIDE * x, x)
        below, spent = value_of(joint, searched, further), spent + 1
        x, value, fall = further, below, value - below
        if not fall > _SETTLED:
            break
    minimum = replace(minimum, evaluations=spent)
    if not abs(fall) <= _SETTLED:
        return minimum
    minimum = replace(minimum, x=x, value=value) if value < minimum.value else minimum
    rest = ~growing(joint.latest) & searched.free
    if not rest.any():
        return minimum
    beside = replace(searched, first=searched.parameters(minimum.x), free=rest)
    first = minimum.x[~grows]
    found = continued(
        lambda z: joint(beside.parameters(z)), first, radius[~grows], searched.even[~grows], None, report, spent
    )
    minimum = replace(minimum, evaluations=found.evaluations)
    if not found.value < minimum.value:
        return minimum
    at = minimum.x.copy()
    at[~grows] = found.x
    return replace(minimum, x=at, value=found.value)
