"""A search with standard deviations held in units of the response: sigma, which theta is relative to, stands outside.

At each sigma the model is one whose sigma is known and whose held theta is s / sigma. At the optimum of what is free

    dC / d log sigma = 2 n' - 2 pwrss / sigma^2 - sum_held theta_i dC / dtheta_i,

n' = n - p by REML, n by ML, is zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from math import exp, log, sqrt

import numpy as np

from mme.engine.objective import Objective
from mme.engine.pls import pwrss
from mme.errors import MMEError
from mme.model.problem import Model
from mme.search.found import Found
from mme.search.joint import Joint

# Sigma is looked for in so many strides of its logarithm from that of least squares, and found to this share.
_STRIDES, _STRIDE, _EXACT = 12, 1.5, 1e-10
# Share of a held theta that it is moved by to take a slope.
_STEP = 1e-4


def beside_sigma(joint: Joint, search: Callable[[Objective], Found]) -> Found:
    """The optimum over sigma of what ``search`` finds at each."""
    from scipy.optimize import brentq  # slow to import

    found = dict[float, Found]()

    @cache
    def slope(log_sigma: float) -> float:
        sigma = exp(log_sigma)
        found[log_sigma] = search(_at(joint.latest, sigma))
        return _slope(found[log_sigma], sigma)

    low = high = _by_least_squares(joint.latest)
    for _ in range(_STRIDES):
        if slope(low) < 0.0:
            break
        low -= _STRIDE
    for _ in range(_STRIDES):
        if slope(high) > 0.0:
            break
        high += _STRIDE
    if not slope(low) < 0.0 < slope(high):
        raise MMEError("hold: no residual standard deviation goes with the variances that are held")
    at = brentq(slope, low, high, xtol=_EXACT)
    best = found[at] if at in found else search(_at(joint.latest, exp(at)))
    evaluations = sum(one.optimum.evaluations for one in found.values())
    held = best.objective.model.held
    assert held is not None
    model = best.objective.model.beside(held=replace(held, beside_sigma=True))
    return Found(replace(best.objective, model=model), replace(best.optimum, evaluations=evaluations))


def asks_for_sigma(model: Model) -> bool:
    """Whether sigma is to be searched beside what is held of theta."""
    held = model.held
    return held is not None and held.asks_for_sigma and (model.sigma is None or held.beside_sigma)


def _by_least_squares(objective: Objective) -> float:
    """Logarithm of the residual standard deviation of least squares."""
    return log(sqrt(objective.basis.squares / objective.constants.n_effective))


def _at(objective: Objective, sigma: float) -> Objective:
    """The criterion of the model whose sigma is known."""
    held = objective.model.held
    assert held is not None
    model = objective.model.beside(sigma=sigma, held=replace(held, beside_sigma=False))
    return replace(objective, model=model, constants=replace(objective.constants, sigma=sigma))


def _slope(found: Found, sigma: float) -> float:
    """dC / d log sigma."""
    objective, theta = found.objective, found.optimum.theta
    assert objective.model.held is not None
    step = _STEP * np.where(objective.model.held.in_units, theta, 0.0)
    along = (objective(theta + step) - objective(theta - step)) / (2.0 * _STEP)
    squares = pwrss(objective.contrasts(theta)[1])
    return 2.0 * objective.constants.n_effective - 2.0 * squares / sigma**2 - along
