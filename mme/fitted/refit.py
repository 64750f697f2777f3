"""The same model, fitted to another response."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from mme.engine.objective import Objective
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.search.loop import search
from mme.tables.arguments import yes_or_no
from mme.tables.arrays import numbers


def refitted(
    fit: Fitted, y: Any, start_here: bool, near: np.ndarray | None = None, *, alike: bool | None = None
) -> Fitted:
    """Search again with the response y, one value a row of the data or of the rows used, from ``near`` if it is known.

    ``alike``: whether the Hessian of the fit serves for first steps; None: where the search starts from the fit.

    Raises
    ------
    MMEError
        The response has another length, or holds no numbers.
    """
    values = numbers(y, f"response '{fit.model.response}'")
    given, rows = len(values) if values.ndim else 1, fit.rows.kept.size
    if given not in (rows, fit.nobs):
        raise MMEError(f"response '{fit.model.response}' has {given} values for the {rows} rows of the data")
    objective = fit.objective.with_response(fit.rows.used(values))
    theta = fit.theta if fit.theta_given and fit.model.held is None else None
    begin = (fit.theta if near is None else near) if yes_or_no(start_here, "start_here") else None
    known = fit.optimum if (start_here if alike is None else alike) else None
    found = search(objective.model, theta, fit.progress, begin, objective, alike=known)
    return replace(fit, model=objective.model, optimum=found.optimum, objective=found.objective)


def by_method(fit: Fitted, method: str) -> Fitted:
    """The fit of the same model by REML or ML; the fit itself where that is its method."""
    if fit.method == method:
        return fit
    objective = Objective.of(fit.model.beside(method=method), phi=fit.optimum.phi)
    theta = fit.theta if fit.theta_given and fit.model.held is None else None
    found = search(objective.model, theta, fit.progress, fit.theta, objective)
    return replace(fit, model=objective.model, optimum=found.optimum, objective=found.objective)
