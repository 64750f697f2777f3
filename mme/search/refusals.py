"""Models that a search refuses with an error, before it starts or at its end."""

from __future__ import annotations

from math import sqrt

import numpy as np

from mme.engine.objective import Objective
from mme.errors import MMEError
from mme.model.problem import Model
from mme.numeric.optimize import Minimum
from mme.search.endless import can_fit_any_response
from mme.solution.estimates import Estimates

# A search that went this far, in coordinates of order one, may be running after a response without residuals.
FAR = 1e6
# With sigma given so many times smaller than the residuals about the fixed effects, theta has no digits: the criterion
# is the square of this, and its logarithms are of order one.
_FINEST = 1e9


def require_search(theta: object) -> None:
    """Refuse bounds where nothing is searched."""
    if theta is not None:
        raise MMEError("theta= evaluates there without a search, which bounds= are for: give one of them")


def check_columns(model: Model) -> None:
    """Refuse to search for a variance of which the data say nothing."""
    for term in model.terms:
        if (acting := term.acting).all():
            continue
        for j in np.flatnonzero(~acting).tolist():
            raise MMEError(
                f"column '{term.columns[j]}' of term '{term.name}' is zero in every record: nothing can be said about "
                "its variance; leave it out"
            )


def check_sigma_within_reach(objective: Objective) -> None:
    """Refuse a given sigma beside which the residuals of least squares are so large that theta has no digits."""
    sigma, squares = objective.model.sigma, objective.basis.squares
    if sigma is None:
        return
    spread = sqrt(squares / objective.model.n)
    if spread > _FINEST * sigma:
        raise MMEError(
            f"sigma was given as {sigma:.3g}, and the residuals about the fixed effects are of size {spread:.3g}: so "
            "far apart double precision does not tell variances from one another; give sigma in the units of "
            f"the response '{objective.model.response}'"
        )


def require_residuals(objective: Objective, minimum: Minimum, found: np.ndarray, ended: tuple[str, ...] = ()) -> None:
    """Refuse a criterion that falls without bound as sigma goes to zero, as far as rounding lets it.

    Where some records alone have no residuals, ``ended`` are the parameters that say it.
    """
    model = objective.model
    if ended or (minimum.endless and can_fit_any_response(objective)):
        return  # so says the verdict
    if np.isfinite(minimum.value) and not minimum.endless:
        if model.sigma is not None or not (np.abs(minimum.x) > FAR).any():
            return
        if _has_residuals(objective, minimum, found):
            return
    raise MMEError(
        f"the random effects ({', '.join(term.name for term in model.terms)}) and the fixed effects fit the "
        f"response '{model.response}' exactly: no residual variance is left to estimate"
    )


def _has_residuals(objective: Objective, minimum: Minimum, found: np.ndarray) -> bool:
    try:
        share = Estimates(objective, found).sigma / sqrt(objective.basis.squares / objective.model.n)
    except MMEError:
        return False
    if share > 1e-6:
        return True
    further = objective(10.0 * found)  # n - p - q > 0 records are left: each gains 2 log 10 where the fit is exact
    return bool(share >= 1e-12 and np.isfinite(further) and further >= minimum.value - 1.0)
