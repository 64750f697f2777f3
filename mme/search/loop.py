"""The outer loop: minimise the criterion over theta, and over phi where the residuals have a structure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import itemgetter
from time import perf_counter
from typing import Any

import numpy as np

from mme.engine.objective import Objective
from mme.engine.same_design import objective_of
from mme.engine.without_factor import is_awaited, without_factor
from mme.identifiability.identified import undetermined
from mme.identifiability.reduced import Reduced, reduced
from mme.identifiability.saturated import require_identifiable
from mme.identifiability.undetermined import require_determined
from mme.model.problem import Model
from mme.numeric.curvature import CONVERGED, Curvature
from mme.numeric.newton import Derivatives
from mme.numeric.optimize import Minimum, evaluate_only
from mme.search.bent import Place
from mme.search.beside_sigma import asks_for_sigma, beside_sigma
from mme.search.bounded import bounded, viewed
from mme.search.by_probes import TOLERATED, minimum_by_probes
from mme.search.elsewhere import continued, elsewhere, lower
from mme.search.endless import endless_of
from mme.search.ends import Ended, at_their_ends
from mme.search.found import Found
from mme.search.given import given_theta
from mme.search.intrinsic import at_intrinsic_limit
from mme.search.joint import Joint, Sought, first_phi, seconds_within
from mme.search.known_derivatives import (
    AUTO,
    Averages,
    derivatives_at_one,
    derivatives_of,
    exact_later,
    explained,
    forecast,
)
from mme.search.limit import at_its_limit, back_from_its_limit
from mme.search.on_the_way import before_its_end
from mme.search.progress import Progress, Report, finished, reporter
from mme.search.refusals import FAR, check_columns, check_sigma_within_reach, require_residuals, require_search
from mme.search.residual_valleys import of_other_residuals
from mme.search.rotated import rotated
from mme.search.searched import Searched
from mme.search.signs import from_plain_start, of_other_signs
from mme.search.start import Start, start
from mme.search.turned import in_turned_axes
from mme.search.verdict import UNBOUNDED, Optimum, beside_a_fall, curvature_of, judge, of_whole, with_undetermined

# What was chosen and why, for those who ask: logging.getLogger("mme").setLevel(logging.INFO).
_LOG = logging.getLogger("mme")
_AVERAGES = "the exact gradient and average information"


def search(
    model: Model,
    theta: Any,
    progress: Progress,
    first_theta: np.ndarray | None = None,
    assembled: Objective | None = None,
    by: str = AUTO,
    alike: Optimum | None = None,
) -> Found:
    """Minimise the criterion over theta, unless it is given, and over phi, where the residuals have one.

    Entries of theta that the data do not determine are held at zero where that leaves the model as it is. ``by`` is the
    word of ``search=`` that chooses the steps. ``assembled`` is the model's objective at a first phi, if it was made;
    ``alike`` the optimum of the model for another response, whose Hessian serves for first steps.
    """
    first = _first(model) if assembled is None else assembled
    model = first.model if assembled is None else model
    if theta is None and is_awaited(first):
        by_iteration = search(model, None, progress, first_theta, without_factor(first), by)
        chance = by_iteration.objective.engine.stochastic
        if chance is not None and chance.error <= TOLERATED:
            return by_iteration
    if model.bounds is not None:
        require_search(theta)
        return bounded(model, lambda at: search(at, None, progress, first_theta, viewed(first, at), by))
    joint = Joint(model, first)
    if _LOG.isEnabledFor(logging.INFO):
        _LOG.info("%s", joint.latest.engine)
    if theta is None and asks_for_sigma(model):
        return beside_sigma(joint, lambda at: search(at.model, None, progress, first_theta, at, by))
    if theta is not None:
        return _minimised(joint, theta, progress, by=by)
    check_columns(model)
    check_sigma_within_reach(joint.latest)
    among = joint.latest.once(undetermined)
    if among is not None:
        require_determined(model, among)
    if among is None:
        found = _minimised_rotated(joint, progress, first_theta, by, alike)
        among = undetermined(found.objective, thorough=True) if found.optimum.flat else None
        if among is None:
            return found
    elif not among.any_held:
        found = _minimised_rotated(joint, progress, first_theta, by)
    if among.any_held:
        found = _beside_held(joint, reduced(model, among.held), progress, first_theta, by)
    return replace(found, optimum=with_undetermined(found.optimum, among))


def _first(model: Model) -> Objective:
    """The criterion at the first phi; without one, on what is known of the design."""
    return objective_of(model) if model.residual is None else Objective.of(model, phi=first_phi(model))


def _minimised_rotated(
    joint: Joint, progress: Progress, first_theta: np.ndarray | None, by: str, alike: Optimum | None = None
) -> Found:
    """Find the optimum of a model; where a rotation makes its levels independent, that of the rotated one."""
    other = rotated(joint.model)
    if other is None:
        return _minimised(joint, None, progress, first_theta, by, alike=alike)
    among = Joint(other, Objective.of(other, phi=joint.latest.phi))
    _LOG.info("searched with the levels turned by the eigenvectors of their relationship: %s", among.latest.engine)
    found = _minimised(among, None, progress, first_theta, by)
    whole = joint.at(found.objective.phi).having_taken(search=found.objective.engine.seconds["search"])
    return replace(found, objective=whole)


def _beside_held(joint: Joint, rest: Reduced, progress: Progress, first_theta: np.ndarray | None, by: str) -> Found:
    """The optimum of the model without what is held at zero, as one of the whole model."""
    report = progress
    if callable(progress):
        tell = progress

        def report(evaluation: int, value: float, parameters: np.ndarray) -> None:
            tell(evaluation, value, rest.embedded(parameters, 0.0))

    first = None if first_theta is None else first_theta[rest.thetas]
    among = Joint(rest.model, Objective.of(rest.model, phi=joint.latest.phi))
    found = _minimised(among, None, report, first, by)
    whole = joint.at(found.objective.phi).having_taken(search=found.objective.engine.seconds["search"])
    return Found(whole, of_whole(found.optimum, rest))


def _minimised(
    joint: Joint,
    theta: Any,
    progress: Progress,
    first_theta: np.ndarray | None = None,
    by: str = AUTO,
    after: Minimum | None = None,
    alike: Optimum | None = None,
) -> Found:
    """Find the optimum from a given start, from the moments, or from where descents lead.

    Where the descents led to a response without residuals, the search begins again at the moments, ``after`` the
    minimum that it ended at.
    """
    model, outside, inside = joint.model, joint.latest, joint.latest.in_axes
    joint = Joint(model, inside)
    began, given = perf_counter(), theta is not None or model.k == 0
    first, radius, begun = _begin(joint.latest, theta, first_theta, after is None)
    searched, ended = Searched.of(joint.latest, first, given), tuple[str, ...]()
    if not searched.free.any():
        minimum = evaluate_only(lambda x: joint(searched.parameters(x)), np.zeros(0))
        if theta is None and model.held is not None:
            minimum = replace(minimum, reason="all variances were held")
    elif joint.latest.plan.iterative:
        minimum, joint = minimum_by_probes(joint, searched, reporter(progress, searched), begun)
    else:
        spent = (0 if after is None else after.evaluations) + (0 if begun is None else begun.evaluations)
        with np.errstate(invalid="ignore"):  # differences of an infinite criterion
            nearby, report = curvature_of(alike, searched), reporter(progress, searched)
            minimum = _minimum(joint, searched, radius, begun, report, spent, by, nearby, alike is not None)
            if minimum.endless:
                lower = np.inf if after is None else after.value
                minimum = at_its_limit(joint, searched, minimum, searched.widths(radius), report, lower)
            else:
                searched, minimum = in_turned_axes(joint, searched, minimum, radius, progress)
            searched, minimum, ended = _at_limits(joint, searched, minimum, report)
        finished(report)
        gone = not minimum.settled and (minimum.endless or not (np.abs(minimum.x) < FAR).all())
        if begun is not None and begun.valleys is not None and gone:
            again = _minimised(joint, theta, progress, first_theta, by, minimum)
            if again.optimum.verdict != UNBOUNDED or not minimum.value < again.optimum.criterion:
                return replace(again, optimum=beside_a_fall(again.optimum, min(minimum.value, begun.falls_to)))
            minimum = replace(minimum, evaluations=again.optimum.evaluations)
    inner, phi = (parameters := searched.parameters(minimum.x))[: model.k], parameters[model.k :]
    found = model.canonical(given_theta(theta, model, "theta") if given else model.coordinates.outer(inner))
    objective = joint.at(phi)
    objective = outside if objective is inside and not outside.inside else objective.in_columns
    if not given and not objective.plan.iterative:
        found, minimum = _without_zeros(objective, found, inner * searched.scale[: model.k], minimum)
        inner = model.coordinates.without_terms(found, inner)
    require_residuals(objective, minimum, found, ended)
    objective = objective.having_taken(search=perf_counter() - began - seconds_within(objective, outside))
    optimum = judge(minimum, model, Place(found, inner, phi), searched, ended)
    return Found(objective, optimum if begun is None else beside_a_fall(optimum, begun.falls_to))


def _at_limits(joint: Joint, searched: Searched, minimum: Minimum, report: Report | None) -> Ended:
    """The minimum beside sizes of fields, and parameters of residuals and processes, that are at their limits."""
    if not joint.model.has_processes:
        return Ended(searched, minimum)
    kept, minimum, intrinsic = at_intrinsic_limit(joint, searched, minimum, report)
    found = at_their_ends(joint, kept, minimum, None if intrinsic else report)
    return found._replace(names=(*intrinsic, *found.names))


def _minimum(
    joint: Joint,
    searched: Searched,
    radius: np.ndarray,
    begun: Start | None,
    report: Report | None,
    spent: int,
    by: str,
    nearby: Curvature | None = None,
    near: bool = False,
) -> Minimum:
    """The minimum from the first point, ``radius`` away at most; ``spent`` counts the evaluations before.

    ``nearby`` is the curvature of a criterion like this at its minimum, ``near`` whether the search began there.
    """
    criterion, objective = Sought(joint, searched, first=None if begun is None else begun.value), joint.latest
    valleys = None if begun is None else begun.valleys
    x, wide, even = searched.x(searched.first), searched.widths(radius), searched.even
    if valleys is not None and by == AUTO:
        slopes: Derivatives | None = derivatives_at_one(valleys, searched.free)
    else:
        slopes = derivatives_of(joint, searched, by)
    forecast(slopes, x)
    ways = "values alone" if slopes is None else _AVERAGES if isinstance(slopes, Averages) else "exact derivatives"
    _LOG.info("search of %d parameters by %s", x.size, ways)
    later = None if slopes is not None else partial(exact_later, joint, searched, by)
    endless = endless_of(joint, searched)
    nearby = nearby if valleys is None and slopes is None else None
    minimum, is_on_the_way = before_its_end(
        *(joint, searched, criterion, spent),
        lambda f: continued(f, x, wide, even, slopes, report, spent, later, endless, nearby),
    )
    if is_on_the_way:
        return minimum
    if isinstance(slopes, Averages) and slopes.leaves_open(minimum):
        slopes = None
        minimum = continued(criterion, minimum.x, wide, even, slopes, report, minimum.evaluations)
    if joint.model.has_processes and valleys is None and not minimum.endless:
        minimum = back_from_its_limit(joint, searched, minimum, wide, report)

        def begun_at(f: Callable[[np.ndarray], float], at: np.ndarray, spent: int) -> Minimum:
            return continued(f, at, wide, even, slopes, report, spent, endless=endless)

        again = partial(begun_at, criterion)
        minimum = from_plain_start(joint, searched, of_other_signs(joint, searched, minimum, again), again)
        minimum = of_other_residuals(joint, searched, criterion, minimum, begun_at, near)
    if begun is None or valleys is not None or not begun.few_levels or minimum.endless:
        return explained(minimum, slopes)

    def trials(at: Minimum) -> list[np.ndarray]:
        return [searched.x(other) for other in elsewhere(objective, searched.parameters(at.x), at.value, begun)]

    return explained(lower(criterion, minimum, trials, wide, even, slopes, report), slopes)


def _without_zeros(
    objective: Objective, theta: np.ndarray, x: np.ndarray, minimum: Minimum
) -> tuple[np.ndarray, Minimum]:
    """Set theta of the user's coefficients to exact zero where that costs nothing; zeros of the axes are not those."""
    for trial in objective.model.coordinates.without(theta, x):
        value = objective(trial)
        minimum = replace(minimum, evaluations=minimum.evaluations + 1)
        if value <= minimum.value + CONVERGED:
            theta, minimum = np.where(trial == 0.0, 0.0, theta), replace(minimum, value=value)
    return theta, minimum


def _begin(
    objective: Objective, theta: Any, first_theta: np.ndarray | None, descending: bool
) -> tuple[np.ndarray, np.ndarray, Start | None]:
    """The first point and the radius of all parameters, theta in the axes: as given, or by the moments."""
    model, phi = objective.model, objective.phi
    spread = np.zeros(0) if model.residual is None else model.residual.radius()
    if theta is not None or model.k == 0:
        given = np.concatenate([model.coordinates.inner(given_theta(theta, model, "theta")), phi])
        return given, np.concatenate([np.zeros(model.k), spread]), None
    require_identifiable(model)
    begun = start(objective, descending=descending and model.held is None)
    free, radius = model.coordinates.free, begun.radius
    first, value = np.where(free, begun.theta, 0.0), begun.value if free.all() else None
    if first_theta is not None:
        near = model.coordinates.inner(first_theta)
        other = np.where(np.abs(near) > 0.1 * radius, near, first)
        value, first = min((value or objective(first), first), (objective(other), other), key=itemgetter(0))
    if model.held is not None:
        first, value = np.where(np.isnan(model.held.values), first, model.held.at(model.sigma)), None
    begun = begun if begun.value == value else replace(begun, value=value)
    return np.concatenate([first, phi]), np.concatenate([radius, spread]), begun
