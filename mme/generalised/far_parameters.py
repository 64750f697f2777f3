r"""Parameters of a family that go to their limit: a dispersion of zero, the infinite size of Poisson's counts.

Where effects of nearly each record explain all spread, or counts spread no more than Poisson's, the criterion has a
limit there, F + c exp(-|tau|): what is left to gain is its slope. The parameter is held where that is nothing. Of an
exact fit the slope does not vanish: the likelihood rises without end.
"""

from __future__ import annotations

import numpy as np

from mme.generalised.criterion import Criterion, CriterionAt
from mme.generalised.descent import TOLERANCE, descended
from mme.generalised.problem import Problem
from mme.numeric.quasi_newton import Descent

# Coordinates so far from where the search began are looked at; where they are put, and the slope that is none.
_FAR, _PLACES, _NOTHING = 7.0, np.arange(8.0, 31.0, 2.0), 1e-6
# Further out a search has run away.
_NOWHERE = 100.0
# A step of one in the logarithm of a range that changes the criterion by less shows that it is at its end.
_FLAT = 1e-4
# Steps outwards after which it is asked again, and changes of the criterion that are none.
_OUTWARDS, _SAME = (0.5, 3.0), 1e-9
# What the criterion may be above that of the search, whose digits can be lost there.
_ROUNDING = 1e-2


def held_where_flat(criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray) -> Descent[CriterionAt]:
    """The optimum with parameters of relationships held where a range further out makes no difference any more.

    Far out K^-1 loses its digits, and slopes are rounding. ``free`` is told.
    """
    for j in relationship_parameters(criterion.problem):
        descent = _followed_outwards(criterion, descent, free, j)
        if free[j] and _is_at_its_end(criterion, descent, j):
            free[j] = False
            descent = descended(criterion, descent.x, descent.at, free)
        if descent.promised <= TOLERANCE or not free[j] or not _FAR < abs(descent.x[j]) < _NOWHERE:
            continue
        nearer = descent.x.copy()
        nearer[j] -= np.copysign(1.0, nearer[j])
        at = criterion.at(criterion.point(nearer))
        if at is not None and abs(at.value - descent.at.value) < _FLAT:
            free[j] = False
            criterion.keep(descent.at)
            descent = descended(criterion, descent.x, descent.at, free)
    criterion.keep(descent.at)
    return descent


def _followed_outwards(
    criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray, j: int
) -> Descent[CriterionAt]:
    """The optimum from further out, as long as it is lower there.

    What is left to gain, c exp(-|x_j|), is its slope and its curvature; steps that have learned another curvature end
    before. The slope tells how far out nothing is left.
    """
    while free[j] and _FAR < abs(descent.x[j]) < _NOWHERE:
        further = descent.x.copy()
        steps = max(np.log(max(abs(descent.at.gradient()[j]), _SAME) / _SAME), _OUTWARDS[-1])
        further[j] += np.copysign(steps, further[j])
        at = criterion.at(criterion.point(further))
        if at is None or not at.value < descent.at.value - _SAME:
            break
        criterion.keep(at)
        descent = descended(criterion, further, at, free)
    return descent


def _is_at_its_end(criterion: Criterion, descent: Descent[CriterionAt], j: int) -> bool:
    """Whether the criterion stays what it is however much further out the logarithm of a range is."""
    for step in _OUTWARDS:
        further = descent.x.copy()
        further[j] += np.copysign(step, further[j])
        at = criterion.at(criterion.point(further))
        if at is None or not abs(at.value - descent.at.value) < _SAME:
            return False
    return True


def relationship_parameters(problem: Problem) -> list[int]:
    """Places among theta of the parameters of relationships."""
    found = list[int]()
    for block in problem.blocks:
        if block.is_parametric:
            thetas = block.theta_slices[0]
            found += range(thetas.start + block.structures[0].inner.k, thetas.stop)
    return found


def held_at_limits(
    criterion: Criterion, descent: Descent[CriterionAt], free: np.ndarray, first: np.ndarray
) -> Descent[CriterionAt]:
    """The optimum with parameters at their limits held there, which ``free`` is told; ``first`` is tau at the start."""
    k = free.size - first.size
    for j in range(k, free.size):
        off = float(descent.x[j] - first[j - k])
        if free[j] and abs(off) > _FAR:
            others = free.copy()
            others[j] = False
            found = _at_limit(criterion, descent, others, j, first[j - k] + np.copysign(_PLACES, off))
            if found is not None:
                free[j], descent = False, found
    criterion.keep(descent.at)
    return descent


def _at_limit(
    criterion: Criterion, descent: Descent[CriterionAt], others: np.ndarray, j: int, places: np.ndarray
) -> Descent[CriterionAt] | None:
    """The optimum of the others where the slope by the parameter is none; None where it has no such place."""
    x = descent.x.copy()
    for place in places.tolist():
        x[j] = place
        at = criterion.at(criterion.point(x))
        if at is None:
            return None
        criterion.keep(at)
        found = descended(criterion, x, at, others)
        x = found.x.copy()
        if abs(float(found.at.gradient()[j])) < _NOTHING:
            return found if found.at.value <= descent.at.value + _ROUNDING else None
    return None
