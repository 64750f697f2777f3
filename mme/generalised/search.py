r"""The outer loop: minimise (L) over theta, gamma and tau together, by its exact gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mme.errors import MMEError
from mme.generalised.columns import Effects
from mme.generalised.criterion import Criterion, CriterionAt
from mme.generalised.descent import descended, found_by_values
from mme.generalised.far_parameters import held_at_limits, held_where_flat
from mme.generalised.fold import is_fold
from mme.generalised.idle import idle
from mme.generalised.laplace import Laplace, Psi
from mme.generalised.problem import Problem
from mme.generalised.quadrature import require_quadrature
from mme.generalised.signs import other_modes, starts
from mme.generalised.start import at_most, beside, calmer, constant, near, start
from mme.generalised.wall import Wall
from mme.numeric.limits import limits
from mme.numeric.quasi_newton import Descent

# More than this still to gain is no optimum.
GAIN = 1e-6
# A standard deviation of eta below this share is tried at zero.
_SMALL = 1e-3
# A covariance of which this is left is none.
_NOTHING = 1e-6
# Zero may cost this.
COSTS = 1e-9
# A second start has standard deviations so many times as large.
_WIDE = 4.0
# Times that modes are looked for beyond those of an optimum.
_ROUNDS = 8
# Starts by signs that are searched from: the lowest.
_LOWEST = 5


@dataclass(frozen=True, eq=False)
class SearchEnd:
    """Where the search ended; ``free`` are the parameters that are not held, at zero where that cost nothing.

    ``given``: theta was, and is held.
    """

    criterion: Criterion
    at: Laplace
    descent: Descent[CriterionAt]
    free: np.ndarray
    given: bool = False


def search(
    problem: Problem,
    *,
    expected: bool = False,
    points: int = 1,
    by_values: bool = False,
    first: Psi | None = None,
    given: bool = False,
    modes: Effects | None = None,
    tell: Callable[[int, float, Psi], None] | None = None,
) -> SearchEnd:
    """The minimum of (L); of (Q) with so many points, from the minimum of (L); or of (F), with none.

    ``by_values``: without gradients, by values of the criterion alone. ``given``: with theta as at ``first``.
    ``modes`` are near those at ``first``. ``tell`` gets each evaluation.
    """
    if points > 1:
        require_quadrature(problem, points)
        first = search(problem, first=first, given=given, modes=modes, tell=tell).at.at
        first = first if given else near(problem, first)
    criterion = Criterion(problem, expected, points, tell=tell)
    criterion.u = modes
    at = _begun(criterion, first, given)
    if points == 1 and not expected and not problem.family.everywhere:
        criterion.wall = Wall.of(criterion.different, at.curved.mode.eta)
        at = criterion.at(at.at) or at
    point = at.at
    free = np.ones(point.x.size, dtype=bool)
    k = problem.model.k
    free[:k] = problem.free
    if points == 0:
        free[k : k + point.gamma.size] = False
    criterion.keep(at)
    if given:
        free[:k] = False
        descent = descended(criterion, point.x, at, free)
        return SearchEnd(criterion, descent.at.laplace, descent, free, given=True)
    if by_values:
        found = found_by_values(criterion, point.x, at, free)
        return _without_idle(SearchEnd(criterion, found.at.laplace, found, free))
    descent = _beyond_fold(criterion, descended(criterion, point.x, at, free), free)
    if first is None:
        descent = _from_elsewhere(criterion, descent, point, free)
    if first is None and problem.family.even:
        descent = _over_signs(criterion, descent, free)
    descent = held_where_flat(criterion, descent, free)
    end = _without_small(criterion, descent, free)
    # thresholds have no limit, and an exact fit has none
    if problem.family.has_intercept and not problem.family.exact(problem.data, end.at.at.tau):
        descent = held_at_limits(criterion, end.descent, free, point.tau)
        end = replace(end, at=descent.at.laplace, descent=descent)
    return end


def _from_elsewhere(
    criterion: Criterion, descent: Descent[CriterionAt], point: Psi, free: np.ndarray
) -> Descent[CriterionAt]:
    """The lowest optimum from other starts too: of few records, and where outliers can have drawn the first away."""
    problem = criterion.problem
    if problem.n <= limits().records_of_second_start:
        if problem.model.k > 1 or problem.family.even or criterion.wall is not None:
            descent = _lower(criterion, descent, replace(point, theta=_WIDE * point.theta), free)
        for other in calmer(problem, point):
            descent = _lower(criterion, descent, other, free)
    if at_most(problem, point):
        small = replace(point, theta=np.where(problem.model.diagonal, 0.0, point.theta))
        descent = _lower(criterion, descent, near(problem, small), free)
    if descent.promised > GAIN:
        descent = _lower(criterion, descent, near(problem, constant(problem.merged)), free)
    return descent


def _lower(criterion: Criterion, descent: Descent[CriterionAt], other: Psi, free: np.ndarray) -> Descent[CriterionAt]:
    """The lower of an optimum and the one that is found from another start: few records, or signs, can have two."""
    at = criterion.at(other)
    if at is not None:
        criterion.keep(at)
        found = descended(criterion, other.x, at, free)
        settles = found.promised <= GAIN < descent.promised and found.at.value <= descent.at.value + COSTS
        if settles or found.at.value < descent.at.value - COSTS:
            return found
    criterion.keep(descent.at)
    return descent


def _beyond_fold(criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray) -> Descent[CriterionAt]:
    """A minimum near that of the expected information, where the search fell to where a mode ceases to be.

    Of the fast criterion one near Laplace's, where it found no end: standard deviations can run away from it.
    """
    if descent.promised <= GAIN or criterion.points > 1 or (criterion.points == 1 and not _folds(criterion, descent)):
        return descent
    point = search(criterion.problem, expected=criterion.points == 1).at.at
    criterion.u = criterion.gamma = criterion.known = None
    other = criterion.at(point)
    if other is not None:
        criterion.keep(other)
        found = descended(criterion, other.at.x, other, free)
        if found.promised <= GAIN:
            return found
    criterion.keep(descent.at)
    return descent


def _folds(criterion: Criterion, descent: Descent[CriterionAt]) -> bool:
    """Whether a mode ceases to be where the search ended."""
    can = not (criterion.expected or criterion.problem.family.canonical)
    return can and is_fold(descent.at.laplace)


def _over_signs(criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray) -> Descent[CriterionAt]:
    """The lowest optimum that other signs of eta lead to, of modes and of parameters."""
    best, found = _of_modes(criterion, descent, free), list[CriterionAt]()
    for other in starts(criterion.different):
        criterion.u = other_modes(criterion.different, other, criterion.different.columns.nothing())
        at = criterion.at(other)
        found += [] if at is None else [at]
    for at in sorted(found, key=lambda one: one.value)[:_LOWEST]:
        criterion.keep(at)
        end = _of_modes(criterion, descended(criterion, at.at.x, at, free), free)
        best = end if end.at.value < best.at.value - COSTS else best
    criterion.keep(best.at)
    return best


def _of_modes(criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray) -> Descent[CriterionAt]:
    """The optimum with modes of other signs, as long as these are better."""
    for _ in range(_ROUNDS):
        point = descent.at.at
        criterion.u = other_modes(criterion.different, point, descent.at.u)
        at = criterion.at(point)
        if at is None or not at.value < descent.at.value - COSTS:
            break
        criterion.keep(at)
        descent = descended(criterion, descent.x, at, free)
    return descent


def _why(problem: Problem) -> str:
    """What to do about it."""
    if problem.family.everywhere:
        return "rescale the covariates or the offset"
    return (
        f"by the {problem.family.link} link of the {problem.family.name} family eta must be positive at every record; "
        "use the log link"
    )


def _begun(criterion: Criterion, first: Psi | None, given: bool = False) -> CriterionAt:
    """The criterion at a first point, or at the best of several where relationships have parameters."""
    problem = criterion.problem
    point = start(problem.merged) if first is None else first
    if not given and problem.undetermined is not None:
        point = replace(point, theta=np.where(problem.free, point.theta, 0.0))
    nothing = replace(point, theta=problem.model.coordinates.inner(np.zeros(problem.model.k)))
    at = criterion.at(point) or criterion.at(nothing) or criterion.at(constant(problem.merged))
    if at is None:
        raise MMEError(f"the likelihood has no value at the start: {_why(problem)}")
    others = (criterion.at(other) for other in (beside(problem, point) if first is None else ()))
    return min([at, *(other for other in others if other is not None)], key=lambda one: one.value)


def _without_small(criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray) -> SearchEnd:
    """Standard deviations that are nearly zero at zero, where that costs nothing, then what is left of their rows."""
    model = criterion.problem.model
    size = np.append(criterion.problem.sizes(), np.zeros(free.size - model.k))
    for j, bound in nearly_zero(model.diagonal):
        if not free[j] or abs(descent.x[j]) * size[j] > bound or _is_any_number(criterion, j):
            continue
        x = descent.x.copy()
        x[j] = 0.0
        at = criterion.at(criterion.point(x))
        if at is None or at.value > descent.at.value + COSTS:
            continue
        kept = np.delete(np.arange(int(free.sum())), int(free[:j].sum()))
        free[j] = False
        criterion.keep(at)
        descent = descended(criterion, x, at, free, descent.inverse[np.ix_(kept, kept)])
    return _without_idle(SearchEnd(criterion, descent.at.laplace, descent, free))


def _without_idle(end: SearchEnd) -> SearchEnd:
    """The same end, with parameters held of which nothing depends there: they have no curvature."""
    k = end.criterion.problem.model.k
    found = idle(end.criterion.problem, end.descent.x[:k])
    if not found.any():
        return end
    searched = np.flatnonzero(end.free)
    kept = ~np.append(found, np.zeros(end.free.size - k, dtype=bool))[searched]
    end.free[searched] = kept
    inverse, gradient = end.descent.inverse[np.ix_(kept, kept)], end.descent.gradient[kept]
    return replace(end, descent=replace(end.descent, inverse=inverse, gradient=gradient))


def nearly_zero(diagonal: np.ndarray) -> list[tuple[int, float]]:
    """Places of theta (k,) in the order in which they are tried at zero, and below which part of eta they are."""
    variances, others = np.flatnonzero(diagonal).tolist(), np.flatnonzero(~diagonal).tolist()
    return [*((j, _SMALL) for j in variances), *((j, _NOTHING) for j in others)]


def _is_any_number(criterion: Criterion, j: int) -> bool:
    """Whether zero is a number like others to an entry of theta: a correlation of a word's own, a range."""
    if criterion.problem.model.diagonal[j]:
        return False
    for block in criterion.problem.blocks:
        for part, thetas in zip(block.structures, block.theta_slices, strict=True):
            if thetas.start <= j < thetas.stop:
                return part.inner.entries is None or j >= thetas.start + part.inner.k
    return False
