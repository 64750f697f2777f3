"""A search begun again from a lower valley, where one of its trial points lies in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from mme.engine.criterion import of_least_squares
from mme.engine.objective import Objective
from mme.numeric.curvature import CONVERGED, Curvature
from mme.numeric.newton import Derivatives
from mme.numeric.optimize import Minimum, minimise
from mme.search.endless import Endless, value_at
from mme.search.lowest import beside
from mme.search.progress import Report
from mme.search.start import Start

# A search is begun anew in a lower valley at most so often.
_VALLEYS = 3
# A trial with a coordinate so many times as large is far out; one that is higher by no more than this is searched from,
# with at least this share of itself as its radius.
_FAR_OUT, _HARDLY, _RADIUS = 5.0, 0.3, 0.1


def continued(
    criterion: Callable[[np.ndarray], float],
    x: np.ndarray,
    radius: np.ndarray,
    even: np.ndarray,
    derivatives: Derivatives | None,
    progress: Report | None,
    spent: int,
    later: Callable[[], Derivatives | None] | None = None,
    endless: Endless | None = None,
    nearby: Curvature | None = None,
) -> Minimum:
    """Minimise from x; reports and the count of evaluations go on from the ``spent`` ones."""
    report = progress
    if progress is not None:

        def report(evaluation: int, value: float, at: np.ndarray) -> None:
            progress(spent + evaluation, value, at)

    found = minimise(
        criterion,
        x,
        radius,
        even=even,
        nearby=nearby,
        derivatives=derivatives,
        later=later,
        endless=endless,
        progress=report,
    )
    return replace(found, evaluations=found.evaluations + spent) if spent else found


def lower(
    criterion: Callable[[np.ndarray], float],
    minimum: Minimum,
    trials: Callable[[Minimum], list[np.ndarray]],
    radius: np.ndarray,
    even: np.ndarray,
    derivatives: Derivatives | None,
    progress: Report | None,
) -> Minimum:
    """Look for a lower minimum from trial points, and return the lowest that was found.

    Each trial point is judged by one evaluation. One whose criterion is lower than the minimum lies in a lower valley;
    one that is far out and hardly higher may lie on the way down to one.
    """
    for _ in range(_VALLEYS):
        points, values = trials(minimum), list[float]()
        if not points:
            break
        for x in points:
            values.append(value_at(criterion, x))
            minimum = replace(minimum, evaluations=minimum.evaluations + 1)
            if progress is not None:
                progress(minimum.evaluations, values[-1], x)
        further = [(np.abs(x) > _FAR_OUT * np.abs(minimum.x)).any() for x in points]
        promise = np.array(values) - np.where(further, _HARDLY, -CONVERGED)
        best = int(np.argmin(promise))
        if not promise[best] < minimum.value:
            break
        wide = np.maximum(radius, _RADIUS * np.abs(points[best]))
        other = continued(criterion, points[best], wide, even, derivatives, progress, minimum.evaluations)
        lower = other.value < minimum.value - CONVERGED
        minimum = replace(other if lower else minimum, evaluations=other.evaluations)
        if not lower:
            break
    return minimum


def elsewhere(objective: Objective, parameters: np.ndarray, value: float, begun: Start) -> Iterator[np.ndarray]:
    """Parameters at which another valley may be than at these, where the criterion has this value; phi stays.

    The first has no variance at all; it is left out where its criterion is known to be higher. Where the start was
    chosen among several, the structures propose further ones, such as one variance at zero, or away from zero.
    """
    model, k = objective.model, objective.model.k
    theta, phi = parameters[:k], parameters[k:]
    if phi.size or of_least_squares(objective.constants, objective.basis.squares) < value:
        nothing = (part.nothing(piece) for part, piece in zip(model.structures, model.split(theta), strict=True))
        yield np.concatenate([*nothing, phi])
    if begun.agreed:
        return
    for other in beside(objective, theta, begun.size):
        yield np.concatenate([other, phi])
