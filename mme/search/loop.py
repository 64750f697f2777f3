"""The outer loop: minimise the criterion over theta, and over phi where the residuals have a structure."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from mme.derivatives.slopes import criterion_slopes
from mme.engine.basis import orthonormalise
from mme.engine.objective import Objective
from mme.errors import MMEError, MMEWarning
from mme.identifiability.identified import undetermined
from mme.identifiability.reduced import Reduced, reduced
from mme.identifiability.saturated import require_identifiable
from mme.identifiability.undetermined import require_determined
from mme.model.problem import Model
from mme.numeric.curvature import CONVERGED
from mme.numeric.newton import Derivatives
from mme.numeric.optimize import Minimum, evaluate_only, minimise
from mme.residual.whitening import Whitening
from mme.search.given import given_theta
from mme.search.start import Start, start
from mme.search.valleys import Valleys
from mme.search.verdict import Optimum, Place, judge, of_whole, with_undetermined
from mme.solution.estimates import Estimates

Progress = bool | Callable[[int, float, np.ndarray], None]

# A search that went this far, in coordinates of order one, may be running after a response without residuals.
_FAR = 1e6
# A search is begun anew in a lower valley at most so often.
_VALLEYS = 3
# A trial with a coordinate so many times as large is far out; one that is higher by no more than this is searched from,
# with at least this share of itself as its radius.
_FAR_OUT, _HARDLY, _RADIUS = 5.0, 0.3, 0.1
# Differences of a criterion of so few parameters are cheap; of more, closed forms are worth their making.
_FEW = 6
# A search without them among more parameters is forecast, at so many evaluations for each pair.
_MANY, _EVALUATIONS_A_PAIR = 40, 8


@dataclass(frozen=True, eq=False)
class Found:
    """Where the loop ended: the objective at the final phi, theta (k,), phi (coordinates), and the verdict."""

    objective: Objective
    theta: np.ndarray
    optimum: Optimum


class Joint:
    """The criterion as a function of (theta, phi): each new phi whitens the records and assembles them anew.

    Theta is given as the first objective takes it: in the user's columns, or in the axes.
    """

    def __init__(self, model: Model, first: Objective) -> None:
        self.model = model
        self._latest = first

    @property
    def latest(self) -> Objective:
        """The criterion at the phi asked for last; at the start, the first."""
        return self._latest

    def at(self, phi: np.ndarray) -> Objective:
        """The criterion as a function of theta at one phi; the latest is kept."""
        self._latest = self._latest.at(phi)
        return self._latest

    def __call__(self, parameters: np.ndarray) -> float:
        """The criterion at theta and phi, one after the other in ``parameters`` (k + r,)."""
        k = self.model.k
        return self.at(parameters[k:])(parameters[:k])


def search(
    model: Model,
    theta: Any,
    progress: Progress,
    first_theta: np.ndarray | None = None,
    assembled: Objective | None = None,
) -> Found:
    """Minimise over what is free: theta unless it is given, phi if the residuals have one.

    What the data do not determine of theta is held at zero, where that leaves the model as it is. ``assembled`` is the
    model's objective at a first phi, where there is one already.
    """
    joint = Joint(model, Objective.of(model, phi=_first_phi(model)) if assembled is None else assembled)
    if theta is not None:
        return _minimised(joint, theta, progress)
    _check_columns(model)
    among = undetermined(joint.latest)
    if among is not None:
        require_determined(model, among)
    if among is None:
        found = _minimised(joint, None, progress, first_theta)
        among = undetermined(found.objective, thorough=True) if found.optimum.flat else None
        if among is None:
            return found
    elif not among.any_held:
        found = _minimised(joint, None, progress, first_theta)
    if among.any_held:
        found = _beside_held(joint, reduced(model, among.held), progress, first_theta)
    return replace(found, optimum=with_undetermined(found.optimum, among))


def _beside_held(joint: Joint, rest: Reduced, progress: Progress, first_theta: np.ndarray | None) -> Found:
    """The optimum of the model without what is held at zero, as one of the whole model."""
    report = progress
    if callable(progress):
        tell = progress

        def report(evaluation: int, value: float, parameters: np.ndarray) -> None:
            tell(evaluation, value, rest.embedded(parameters, 0.0))

    first = None if first_theta is None else first_theta[rest.thetas]
    among = Joint(rest.model, Objective.of(rest.model, phi=joint.latest.phi))
    found = _minimised(among, None, report, first)
    optimum = of_whole(found.optimum, rest)
    whole = joint.at(found.objective.phi).having_taken(search=found.objective.engine.seconds["search"])
    return Found(whole, optimum.theta, optimum)


def _minimised(
    joint: Joint,
    theta: Any,
    progress: Progress,
    first_theta: np.ndarray | None = None,
    descending: bool = True,
    before: int = 0,
) -> Found:
    """The optimum from what is given, or from where descents lead, unless that is after a response without residuals.

    ``before`` counts evaluations of an earlier try.
    """
    model, joint = joint.model, Joint(joint.model, joint.latest.in_axes)
    objective = joint.latest
    began = perf_counter()
    given = theta is not None or model.k == 0
    first, radius, begun = _begin(objective, theta, first_theta, descending)
    scale = np.concatenate([objective.theta_scale, np.ones(objective.phi.size)])
    estimated = np.ones(first.size, dtype=bool)
    estimated[: model.k] = not given
    if model.phi is not None:
        estimated[model.k :] = np.isnan(model.phi)
    free = estimated & np.concatenate([model.coordinates.free, np.ones(objective.phi.size, dtype=bool)])

    all_free, unit = bool(free.all()), scale[free]

    def parameters_at(x: np.ndarray) -> np.ndarray:
        if all_free:
            return np.asarray(x / unit)
        parameters = first.copy()
        parameters[free] = x / unit
        return parameters

    def criterion(x: np.ndarray) -> float:
        return joint(parameters_at(x))

    if not free.any():
        minimum = evaluate_only(criterion, np.zeros(0))
    else:
        even = np.concatenate([model.diagonal, np.zeros(objective.phi.size, dtype=bool)])[free]
        report = _reporter(progress, model, parameters_at, free)
        with np.errstate(invalid="ignore"):  # differences of an infinite criterion
            x, wide = (first * scale)[free], (radius * scale)[free]
            spent = before + (0 if begun is None else begun.evaluations)
            valleys = None if begun is None else begun.valleys
            slopes = _derivatives(joint, parameters_at, scale, free) if valleys is None else _at_one(valleys, free)
            _forecast(slopes, x)
            minimum = _continued(criterion, x, wide, even, slopes, report, spent)
            if valleys is not None and not (np.abs(minimum.x) < _FAR).all():
                return _minimised(joint, theta, progress, first_theta, False, minimum.evaluations)
            if begun is not None and begun.few_levels and valleys is None:

                def trials(x: np.ndarray) -> list[np.ndarray]:
                    return [(other * scale)[free] for other in _elsewhere(objective, parameters_at(x), begun)]

                minimum = _lower(criterion, minimum, trials, wide, even, slopes, report)
    parameters = parameters_at(minimum.x)
    inner, phi = np.split(parameters, [model.k])
    found = model.canonical(given_theta(theta, model, "theta") if given else model.coordinates.outer(inner))
    objective = joint.at(phi).in_columns
    if not given:
        found, minimum = _without_zeros(objective, found, inner * scale[: model.k], minimum)
    _require_residuals(objective, minimum, found)
    objective = objective.having_taken(search=perf_counter() - began)
    return Found(objective, found, judge(minimum, model, Place(found, inner, phi), scale, estimated, free))


def _continued(
    criterion: Callable[[np.ndarray], float],
    x: np.ndarray,
    radius: np.ndarray,
    even: np.ndarray,
    derivatives: Derivatives | None,
    progress: Callable[[int, float, np.ndarray], None] | None,
    spent: int,
) -> Minimum:
    """The minimum found from x, counted and told of from the evaluations that were spent before."""
    report = progress
    if progress is not None:

        def report(evaluation: int, value: float, at: np.ndarray) -> None:
            progress(spent + evaluation, value, at)

    found = minimise(criterion, x, radius, even=even, derivatives=derivatives, progress=report)
    return replace(found, evaluations=found.evaluations + spent)


def _lower(
    criterion: Callable[[np.ndarray], float],
    minimum: Minimum,
    trials: Callable[[np.ndarray], list[np.ndarray]],
    radius: np.ndarray,
    even: np.ndarray,
    derivatives: Derivatives | None,
    progress: Callable[[int, float, np.ndarray], None] | None,
) -> Minimum:
    """The minimum, or a lower one that is reached from a trial point, each judged by one evaluation.

    A trial that is lower lies in a lower valley; one that is far out and hardly higher may lie on the way down to one.
    """
    for _ in range(_VALLEYS):
        points, values = trials(minimum.x), list[float]()
        for x in points:
            values.append(criterion(x))
            minimum = replace(minimum, evaluations=minimum.evaluations + 1)
            if progress is not None:
                progress(minimum.evaluations, values[-1], x)
        further = [(np.abs(x) > _FAR_OUT * np.abs(minimum.x)).any() for x in points]
        promise = np.array(values) - np.where(further, _HARDLY, -CONVERGED)
        best = int(np.argmin(promise))
        if not promise[best] < minimum.value:
            break
        wide = np.maximum(radius, _RADIUS * np.abs(points[best]))
        other = _continued(criterion, points[best], wide, even, derivatives, progress, minimum.evaluations)
        lower = other.value < minimum.value - CONVERGED
        minimum = replace(other if lower else minimum, evaluations=other.evaluations)
        if not lower:
            break
    return minimum


def _elsewhere(objective: Objective, parameters: np.ndarray, begun: Start) -> Iterator[np.ndarray]:
    """Parameters at which another valley may be; phi stays.

    No variance at all; and where the start was one of several, variances one by one at zero or from zero, as the
    structures say.
    """
    model, k = objective.model, objective.model.k
    theta, phi = np.split(parameters, [k])
    pieces, sizes = model.split(theta), model.split(begun.size)
    yield np.concatenate([*(part.nothing(piece) for part, piece in zip(model.structures, pieces, strict=True)), phi])
    if begun.agreed:
        return
    for t, (part, piece, own) in enumerate(zip(model.structures, pieces, sizes, strict=True)):
        for other in part.elsewhere(piece, own):
            yield np.concatenate([*pieces[:t], other, *pieces[t + 1 :], phi])


def _derivatives(
    joint: Joint, parameters_at: Callable[[np.ndarray], np.ndarray], scale: np.ndarray, free: np.ndarray
) -> Derivatives | None:
    """Gradient and Hessian of the criterion by what is searched, scaled; none where phi is part of it."""
    if free.size > joint.model.k or free.sum() <= _FEW:
        return None

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        found = criterion_slopes(joint.latest, parameters_at(x))
        if found is None:
            return None
        gradient, hessian = found
        return gradient[free] / scale[free], hessian[np.ix_(free, free)] / np.outer(scale[free], scale[free])

    return derivatives


def _at_one(valleys: Valleys, free: np.ndarray) -> Derivatives:
    """Gradient and Hessian by what is searched."""

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        whole = np.zeros(free.size)
        whole[free] = x
        value, gradient, hessian = valleys(whole[None])
        return (gradient[0, free], hessian[0][np.ix_(free, free)]) if np.isfinite(value[0]) else None

    return derivatives


def _forecast(derivatives: Derivatives | None, x: np.ndarray) -> None:
    """Say what a search of many parameters will cost where derivatives have no closed form."""
    if x.size <= _MANY or (derivatives is not None and derivatives(x) is not None):
        return
    evaluations = _EVALUATIONS_A_PAIR * x.size * (x.size + 1) // 2
    warnings.warn(
        f"{x.size} variance parameters are searched by differences, as their derivatives have no closed form here: "
        f"that takes about {evaluations:,} evaluations of the criterion. Fewer columns, diag() or cs() take fewer; "
        "progress=True shows where the search is",
        MMEWarning,
        stacklevel=2,
    )


def _without_zeros(
    objective: Objective, theta: np.ndarray, x: np.ndarray, minimum: Minimum
) -> tuple[np.ndarray, Minimum]:
    """Exact zeros for the user's coefficients too, where they cost nothing: an axis has none of its own for them."""
    for trial in objective.model.coordinates.without(theta, x):
        value = objective(trial)
        minimum = replace(minimum, evaluations=minimum.evaluations + 1)
        if value <= minimum.value + CONVERGED:
            theta, minimum = np.where(trial == 0.0, 0.0, theta), replace(minimum, value=value)
    return theta, minimum


def _first_phi(model: Model) -> np.ndarray:
    if model.residual is None:
        return np.zeros(0)
    root = None if model.weights is None else np.sqrt(model.weights)
    y = model.y if model.offset is None else model.y - model.offset
    first = model.residual.start(orthonormalise(model.X, y, Whitening(root)).r)
    return first if model.phi is None else np.where(np.isnan(model.phi), first, model.phi)


def _begin(
    objective: Objective, theta: Any, first_theta: np.ndarray | None, descending: bool
) -> tuple[np.ndarray, np.ndarray, Start | None]:
    """First point and radius of all parameters, theta in the axes; what the moments say unless theta is given."""
    model, phi = objective.model, objective.phi
    spread = np.zeros(0) if model.residual is None else model.residual.radius()
    if theta is not None or model.k == 0:
        inner = model.coordinates.inner(given_theta(theta, model, "theta"))
        return np.concatenate([inner, phi]), np.concatenate([np.zeros(model.k), spread]), None
    require_identifiable(model)
    begun = start(objective, descending=descending)
    first, radius = np.where(model.coordinates.free, begun.theta, 0.0), begun.radius
    if first_theta is not None:
        near = model.coordinates.inner(first_theta)
        other = np.where(np.abs(near) > 0.1 * radius, near, first)
        first = other if objective(other) < objective(first) else first
    return np.concatenate([first, phi]), np.concatenate([radius, spread]), begun


def _check_columns(model: Model) -> None:
    """Refuse to search for a variance of which the data say nothing."""
    for term in model.terms:
        empty = () if term.covariates is None else np.flatnonzero(~term.covariates.any(axis=0)).tolist()
        for j in empty:
            raise MMEError(
                f"column '{term.columns[j]}' of term '{term.name}' is zero in every record: nothing can be said about "
                "its variance; leave it out"
            )


def _require_residuals(objective: Objective, minimum: Minimum, found: np.ndarray) -> None:
    """Refuse a criterion that falls without bound as sigma goes to zero, as far as rounding lets it."""
    model = objective.model
    if np.isfinite(minimum.value):
        if model.sigma is not None or not (np.abs(minimum.x) > _FAR).any():
            return
        if _has_residuals(objective, minimum, found):
            return
    raise MMEError(
        f"the random effects ({', '.join(term.name for term in model.terms)}) and the fixed effects fit the "
        f"response '{model.response}' exactly: no residual variance is left to estimate"
    )


def _has_residuals(objective: Objective, minimum: Minimum, found: np.ndarray) -> bool:
    try:
        share = Estimates(objective, found).sigma / np.sqrt(np.mean(objective.basis.r**2))
    except MMEError:
        return False
    if share > 1e-6:
        return True
    further = objective(10.0 * found)  # n - p - q > 0 records are left: each gains 2 log 10 where the fit is exact
    return bool(share >= 1e-12 and np.isfinite(further) and further >= minimum.value - 1.0)


def _reporter(
    progress: Progress, model: Model, parameters_at: Callable[[np.ndarray], np.ndarray], free: np.ndarray
) -> Callable[[int, float, np.ndarray], None] | None:
    if progress is False:
        return None

    def parameters(x: np.ndarray) -> np.ndarray:
        """(theta, phi) in the user's columns; of what is searched, where theta is given."""
        at = parameters_at(x)
        if model.k and not free[: model.k].any():
            return at[free]
        return np.concatenate([model.coordinates.outer(at[: model.k]), at[model.k :]])

    if callable(progress):
        return lambda evaluation, value, x: progress(evaluation, value, parameters(x))

    def line(evaluation: int, value: float, x: np.ndarray) -> None:
        print(f"{evaluation:5d}  {value:18.8f}  theta {np.round(parameters(x), 6).tolist()}", file=sys.stderr)

    return line
