"""Residual variances that are functions of the fitted mean.

The means are held, the model with these weights is searched, and its fitted values are the next means, until they stay
where they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.engine.objective import Objective
from mme.errors import warn
from mme.model.problem import Model
from mme.search.found import Found
from mme.search.loop import search
from mme.search.progress import Progress
from mme.solution.estimates import Estimates

# Means that move by less than this share of themselves are those of the fit.
_STILL = 1e-9
# The criterion has no more digits than this share of it.
_SAME = 1e-11
_MOST = 60


def search_about_mean(model: Model, theta: Any, progress: Progress, first: np.ndarray | None, by: str) -> Found:
    """Search until the weights are those of the optimum's own fitted values; once, where no weights depend on them."""
    structure = model.residual
    if structure is None or not structure.of_mean.any():
        return search(model, theta, progress, first, by=by)
    given = np.full(structure.k, np.nan) if model.phi is None else model.phi
    equal = model.beside(phi=np.where(structure.of_mean & np.isnan(given), 0.0, given))
    found = search(equal, theta, progress, first, by=by)
    before, mean = np.inf, _means(found)
    for _ in range(_MOST):
        at = model.beside(residual=structure.about(*mean))
        found = search(at, theta, progress, found.optimum.theta, Objective.of(at, phi=found.objective.phi), by)
        last, mean = mean, _means(found)
        moved = max(float(np.abs(one / other - 1.0).max()) for one, other in zip(mean, last, strict=True))
        value = found.optimum.criterion
        if moved < _STILL or (moved < np.sqrt(_STILL) and abs(value - before) <= _SAME * (1.0 + abs(value))):
            return found
        before = value
    warn(
        f"PowerOfMean: after {_MOST} fits the fitted values still move by {moved:.1g} of themselves; the likelihood is "
        "that of the last weights"
    )
    return found


def _means(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """The fitted values with the random effects and without."""
    at = Estimates(found.objective, found.optimum.theta)
    return at.fitted, at.population
