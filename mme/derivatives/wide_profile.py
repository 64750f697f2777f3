"""How quantities of a wide fit, and its criterion, change with theta: differences, an evaluation each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mme.derivatives.units import natural_units
from mme.derivatives.variance_derivatives import ProfileDerivatives
from mme.iterative.minimum import slopes_by_probes
from mme.numeric.differences import central
from mme.solution.estimates import Estimates

# Step as a share of the parameter's natural unit, as in variance_derivatives.py.
_STEP = 0.03
_NONE = np.zeros((0, 0))


def wide_profile(
    origin: Estimates, free: np.ndarray, quantities: Callable[[Estimates], np.ndarray], size: int
) -> tuple[np.ndarray, ProfileDerivatives]:
    """First derivatives (k, size) of quantities by the free entries of theta, and those of the criterion."""
    objective, theta, chance = origin.objective, origin.theta, None
    units = natural_units(objective, theta)[free]
    if objective.plan.iterative:
        chance = slopes_by_probes(objective, theta)

    def values(x: np.ndarray) -> np.ndarray:
        moved = theta.copy()
        moved[free] += _STEP * units * x
        one = Estimates(objective, moved)
        return np.append(quantities(one), 0.0 if chance is not None else one.criterion)

    first, second, _ = central(values, units.size, size + 1)
    step = _STEP * units
    gradient, hessian = first[:, -1] / step, second / np.outer(step, step)
    if chance is not None:
        gradient, hessian = chance.gradient[free], chance.hessian[np.ix_(free, free)]
    profile = ProfileDerivatives(gradient, hessian, _NONE, np.zeros((units.size, 0, 0)), units)
    return first[:, :-1] / step[:, None], profile
