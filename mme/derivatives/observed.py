"""The observed information of many parameters: differences of the exact score, two a parameter.

Differences of the criterion take two for each pair of parameters.
"""

from __future__ import annotations

import numpy as np

from mme.derivatives.average import average_information
from mme.derivatives.score import has_score, score
from mme.derivatives.uncertainty import Meetings
from mme.engine.objective import Objective
from mme.numeric.limits import limits

# Of so few parameters differences of the criterion are as quick.
_FEW = 6
# A step in standard errors: the third derivatives that are left weigh a millionth, rounding of the score less.
_STEP = 1e-3
# Operations of a score for each one of an evaluation, and for each record and column of [X y].
_FACTORS, _A_RECORD = 20.0, 100.0


def hessian_by_slopes(objective: Objective, at: np.ndarray, free: np.ndarray) -> np.ndarray | None:
    """Second derivatives of the criterion by the free entries of ``at`` = (theta, phi); None where slopes do not serve.

    Where that would take minutes it is average information.
    """
    if free.sum() <= _FEW or not has_score(objective):
        return None
    k, meetings = objective.model.k, Meetings()

    def slopes(parameters: np.ndarray) -> np.ndarray | None:
        found = score(objective.at(parameters[k:]), parameters[:k], meetings)
        return None if found is None else found.gradient[free]

    here = score(objective.at(at[k:]), at[:k], meetings)
    if here is None:
        return None
    average = average_information(here)[np.ix_(free, free)]
    if not _is_quick(objective, int(free.sum())):
        return average
    curve = np.maximum(np.abs(np.diag(average)), np.finfo(float).tiny)
    rows = []
    for i, step in zip(np.flatnonzero(free).tolist(), _STEP * np.sqrt(2.0 / curve), strict=True):
        aside = step * np.eye(at.size)[i]
        ahead, behind = slopes(at + aside), slopes(at - aside)
        if ahead is None or behind is None:
            return None
        rows.append((ahead - behind) / (2.0 * step))
    hessian = np.array(rows)
    return 0.5 * (hessian + hessian.T)


def _is_quick(objective: Objective, k: int) -> bool:
    """Whether 2 k scores take no more than some minutes, by their operations."""
    one = _FACTORS * objective.engine.flops + _A_RECORD * objective.model.n * (objective.system.p + 1)
    return 2 * k * one <= limits().hessian_operations
