"""One descent of the criterion: by its gradient, to the bound of eta where there is one, or by its values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np

from mme.generalised.criterion import Criterion, CriterionAt
from mme.generalised.problem import Problem
from mme.generalised.scoring import first_inverse
from mme.numeric.optimize import minimise
from mme.numeric.quasi_newton import Descent, descend

# What a further step may still gain.
TOLERANCE = 1e-13
# No coordinate, which are of the size of eta, changes by more in a step.
FAR = 3.0
# Probabilities of categories have no more to gain below this.
_CERTAIN = 1e-6
# Times that the multipliers of a bound are brought along.
_WALLS = 30


@dataclass(frozen=True, eq=False)
class Free:
    """(L) as a function of the free parameters."""

    of: CriterionAt
    free: np.ndarray

    @property
    def value(self) -> float:
        """(L)."""
        return self.of.value

    def gradient(self) -> np.ndarray:
        """By the free parameters."""
        return self.of.gradient()[self.free]


def descended(
    criterion: Criterion, x: np.ndarray, at: CriterionAt, free: np.ndarray, inverse: np.ndarray | None = None
) -> Descent[CriterionAt]:
    """The minimum over the free parameters, from an inverse Hessian that is known or from Fisher's."""

    def again(from_: Descent[CriterionAt], at: CriterionAt) -> Descent[CriterionAt]:
        return _descend_freely(criterion, from_.x, at, free, from_.inverse)

    return _to_the_bound(criterion, _descend_freely(criterion, x, at, free, inverse), again)


def found_by_values(criterion: Criterion, x: np.ndarray, at: CriterionAt, free: np.ndarray) -> Descent[CriterionAt]:
    """The minimum by values of the criterion alone, and Newton steps on their differences: a check of the other one."""

    def again(from_: Descent[CriterionAt], at: CriterionAt) -> Descent[CriterionAt]:
        return _by_values(criterion, from_.x, at, free)

    return _to_the_bound(criterion, _by_values(criterion, x, at, free), again)


def _to_the_bound(
    criterion: Criterion,
    found: Descent[CriterionAt],
    again: Callable[[Descent[CriterionAt], CriterionAt], Descent[CriterionAt]],
) -> Descent[CriterionAt]:
    """The minimum within the wall, where there is one: its multipliers are brought along until they settle."""
    for _ in range(_WALLS):
        wall = None if criterion.wall is None else criterion.wall.moved(found.at.curved.mode.eta)
        if wall is None:
            break
        criterion.wall = wall
        at = criterion.at(found.at.at)
        if at is None:
            break
        criterion.keep(at)
        found = again(found, at)
    return found


def _descend_freely(
    criterion: Criterion, x: np.ndarray, at: CriterionAt, free: np.ndarray, inverse: np.ndarray | None = None
) -> Descent[CriterionAt]:
    """BFGS over the free parameters at one wall."""

    def function(z: np.ndarray) -> Free | None:
        full = x.copy()
        full[free] = z
        found = criterion.at(criterion.point(full))
        return None if found is None else Free(found, free)

    def accepted(_: np.ndarray, found: Free) -> None:
        criterion.keep(found.of)

    can_be_endless = at.at.tau.size > 0 or not criterion.problem.family.has_intercept
    if inverse is None:
        inverse = first_inverse(at.curved)
        inverse = inverse if free.all() else inverse[np.ix_(free, free)]
    found = descend(
        function,
        x[free],
        Free(at, free),
        inverse,
        accepted=accepted,
        tolerance=TOLERANCE,
        most=FAR,
        endless=(lambda found: _is_endless(criterion.problem, found.of)) if can_be_endless else None,
    )
    full = x.copy()
    full[free] = found.x
    return Descent(full, found.at.of, found.gradient, found.inverse, found.promised, found.steps, found.reason)


def _is_endless(problem: Problem, at: CriterionAt) -> bool:
    """Whether the family's parameters tell that the criterion falls without end, or all categories are certain."""
    tau = at.at.tau
    if not problem.family.has_intercept and at.value < _CERTAIN:
        return True
    return bool(problem.family.without_maximum(tau) or problem.family.exact(problem.data, tau))


def _by_values(criterion: Criterion, x: np.ndarray, at: CriterionAt, free: np.ndarray) -> Descent[CriterionAt]:
    """By values of the criterion alone, at one wall."""
    inverse = first_inverse(at.curved)[np.ix_(free, free)]
    size, k = np.sqrt(inverse.diagonal()), int(free[: criterion.problem.model.k].sum())
    even = np.zeros(size.size, dtype=bool)
    even[:k] = criterion.problem.model.diagonal[free[: criterion.problem.model.k]]

    def whole(z: np.ndarray) -> np.ndarray:
        full = x.copy()
        full[free] = z * size
        return full

    def value(z: np.ndarray) -> float:
        found = criterion.at(criterion.point(whole(z)))
        return inf if found is None else found.value

    minimum = minimise(value, x[free] / size, np.ones(size.size), even=even)
    end = criterion.at(criterion.point(whole(minimum.x)))
    assert end is not None
    curve = minimum.curvature
    inverse = np.linalg.pinv(curve.hessian) * np.outer(size, size)
    promised, reason = curve.expected_decrease, minimum.reason
    return Descent(whole(minimum.x), end, curve.gradient / size, inverse, promised, minimum.evaluations, reason)
