"""The observed information of many parameters: differences of the exact score, two a parameter.

Differences of the criterion take two for each pair of parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.derivatives.average import average_information
from mme.derivatives.score import Score, has_score, score
from mme.derivatives.uncertainty import Meetings
from mme.engine.objective import Objective
from mme.numeric.limits import limits

# Of so few parameters differences of the criterion are as quick.
_FEW = 6
# A step in standard errors: the third derivatives that are left weigh a millionth, rounding of the score less.
_STEP = 1e-3
# Operations of a score for each one of an evaluation, and for each record and column of [X y].
_FACTORS, _A_RECORD = 20.0, 100.0


@dataclass(frozen=True, eq=False)
class ObservedInformation:
    """Gradient (k,) and Hessian (k, k) of the criterion by what is free of it, and the slopes (k, size) of a vector."""

    gradient: np.ndarray
    hessian: np.ndarray
    slopes: np.ndarray


def hessian_by_slopes(objective: Objective, at: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """Second derivatives of the criterion by the free entries of ``at`` = (theta, phi); None where slopes do not serve.

    Where they would take minutes it is average information.
    """
    if free.sum() <= _FEW or not has_score(objective):
        return None
    if not _is_quick(objective, int(free.sum())):
        here = _score(objective, at, Meetings())
        return None if here is None else average_information(here)[np.ix_(free, free)]
    found = observed(objective, at, free, lambda one, theta: np.zeros(0))
    return None if found is None else found.hessian


def observed(
    objective: Objective, at: np.ndarray, free: np.ndarray, vector: Callable[[Objective, np.ndarray], np.ndarray]
) -> ObservedInformation | None:
    """Central differences of the score, and beside it of ``vector(objective, theta)``; None where they do not serve."""
    if free.sum() <= _FEW or not has_score(objective) or not _is_quick(objective, int(free.sum())):
        return None
    k, meetings = objective.model.k, Meetings()
    here = _score(objective, at, meetings)
    if here is None:
        return None
    curve = np.maximum(np.abs(average_information(here).diagonal()[free]), np.finfo(float).tiny)
    rows = []
    for i, step in zip(np.flatnonzero(free).tolist(), _STEP * np.sqrt(2.0 / curve), strict=True):
        ends = []
        for parameters in (at + step * np.eye(at.size)[i], at - step * np.eye(at.size)[i]):
            found = _score(objective, parameters, meetings)
            if found is None:
                return None
            ends.append(np.append(found.gradient[free], vector(found.objective, parameters[:k])))
        rows.append((ends[0] - ends[1]) / (2.0 * step))
    both, count = np.array(rows), int(free.sum())
    hessian = both[:, :count]
    return ObservedInformation(here.gradient[free], 0.5 * (hessian + hessian.T), both[:, count:])


def _score(objective: Objective, parameters: np.ndarray, meetings: Meetings) -> Score | None:
    k = objective.model.k
    return score(objective.at(parameters[k:]), parameters[:k], meetings)


def _is_quick(objective: Objective, k: int) -> bool:
    """Whether 2 k scores take no more than some minutes, by their operations."""
    one = _FACTORS * objective.flops + _A_RECORD * objective.model.n * (objective.system.p + 1)
    return 2 * k * one <= limits().hessian_operations
