"""The same generalised model, fitted to another response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.generalised.search import SearchEnd, search
from mme.generalised.start import near
from mme.generalised.verdict import judge
from mme.search.given import given_theta
from mme.tables.arguments import yes_or_no
from mme.tables.arrays import as_array, dimensions, numbers, shown


def refitted_generalised(fit: GeneralisedFitted, y: Any, start_here: bool) -> GeneralisedFitted:
    """Search again with the response y, a row of which is a row of the data or of the rows used.

    Raises
    ------
    MMEError
        The response has another length, or values that the family cannot have.
    """
    first = fit.searched.at.at if yes_or_no(start_here, "start_here") else None
    return refitted_to(fit, observed_again(fit, y), first)


def refitted_to(fit: GeneralisedFitted, data: Observed, first: Psi | None) -> GeneralisedFitted:
    """Search again with what was observed, from a first point if one is known."""
    problem, given = fit.problem.with_data(data), fit.searched.given
    found = searched_again(problem, fit.searched.criterion, fit.searched.at.at if given else first, given=given)
    return replace(fit, model=problem.model, problem=problem, searched=found, optimum=judge(problem, found))


def searched_again(problem: Problem, as_in: Criterion, first: Psi | None, *, given: bool = False) -> SearchEnd:
    """The minimum of the criterion from near a point, or from the start where there is no mode near it.

    ``given``: with theta as at the point.
    """
    if given:
        return search(problem, expected=as_in.expected, points=as_in.points, first=first, given=True)
    if first is not None:
        try:
            return search(problem, expected=as_in.expected, points=as_in.points, first=near(problem, first))
        except MMEError:
            pass
    return search(problem, expected=as_in.expected, points=as_in.points)


def are_responses(fit: GeneralisedFitted, y: Any) -> bool:
    """Whether y (rows, B) are responses, not the successes and failures of one.

    Two columns of a binomial model are such where they add up to the trials of the fit, or are no proportions.
    """
    if dimensions(y) != 2 or np.shape(y)[1] == 1:
        return False
    if np.shape(y)[1] > 2 or fit.family.whole != "trials":
        return True
    values = fit.rows.used(numbers(y, f"response '{fit.model.response}'"))
    if values.shape[0] == fit.nobs and (values.sum(axis=1) == fit.problem.data.weights).all():
        return False
    return bool(((values >= 0.0) & (values <= 1.0)).all())


def observed_again(fit: GeneralisedFitted, y: Any) -> Observed:
    """The response as the family observes it; proportions keep the trials of the fit, others their weights."""
    values, rows = as_array(y, f"response '{fit.model.response}'"), fit.rows.kept.size
    given = len(values) if values.ndim else 1
    if given not in (rows, fit.nobs):
        raise MMEError(f"response '{fit.model.response}' has {given} values for the {rows} rows of the data")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    two_columns = values.ndim == 2 and values.shape[1] == 2
    weights = None if two_columns else fit.problem.data.weights
    return fit.family.observe(fit.rows.used(values), weights, fit.model.response)


def outer_theta(problem: Problem, at: Psi) -> tuple[np.ndarray, bool]:
    """Theta in the user's columns, and whether it is at the edge of the model."""
    model = problem.model
    edge = model.coordinates.edge(at.theta * problem.sizes())
    return model.canonical(model.coordinates.outer(at.theta)), bool(edge.any())


def criterion_at(fit: GeneralisedFitted, theta: Any, beta: Any) -> float:
    """The criterion of a fit at other parameters.

    Raises
    ------
    MMEError
        They are not those of the model, or the likelihood has no value there.
    """
    problem, at, names = fit.problem, fit.searched.at, fit.fixed_names
    if theta is None and beta is None:
        return fit.criterion
    point = at.at
    if theta is not None:
        point = replace(point, theta=fit.model.coordinates.inner(given_theta(theta, fit.model, "theta")))
    if beta is not None:
        if fit.searched.criterion.points == 0:
            raise MMEError("the fast criterion, n_agq=0, has no beta: that of each theta maximises it")
        if isinstance(beta, Mapping):
            if set(beta) != set(names):
                raise MMEError(f"beta must have a number for each of {', '.join(names)}, got {shown(list(beta))}")
            beta = [beta[name] for name in names]
        values = np.atleast_1d(numbers(beta, "beta"))
        if values.shape != (len(names),) or not np.isfinite(values).all():
            raise MMEError(f"beta must be {len(names)} finite numbers ({', '.join(names)}), got {shown(values)}")
        point = replace(point, gamma=problem.gamma(values))
    found = replace(fit.searched.criterion, u=at.u, known=None, wall=None).at(point)
    if found is None:
        raise MMEError("the likelihood has no value there: a mean is out of range, or the modes are not found")
    return found.value
