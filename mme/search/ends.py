"""Parameters of residuals and of processes that end far out: where R or K is singular, or where no more changes.

Coordinates are logarithms of ratios, ranges and shares, or Fisher's z, so that d = exp(-|x|) is the distance from the
end. Near it the criterion is one of

    C_end + O(d),    a limit that has all of the model's other parameters: this one is at its edge,
    c log d,         some records, or sums of them, are fitted exactly beside the others: there is no minimum.

The second is told where the least residual left of a record beside the others of its group is the rounding of the
response, by the decades before that: their falls do not become less. All that is far out goes back together; what is
small there is sigma, in whose units theta stays, or a part of the residuals, beside which it does not: the lower of
both tells. A parameter at its edge is held where the criterion has come to its limit and the numbers still have digits,
and the others are searched again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mme.model.problem import Model
from mme.numeric.counted import NO_VALUE
from mme.numeric.optimize import Minimum, evaluate_only
from mme.search.elsewhere import continued
from mme.search.endless import value_at
from mme.search.joint import Joint, Sought
from mme.search.progress import Report
from mme.search.searched import Searched, growing
from mme.search.verdict import search_names
from mme.solution.estimates import Estimates

# Coordinates beyond this are far out: ratios and shares of one to thousands, correlations within 1e-7 of one.
_FAR = 8.0
# Those of processes, of which only the limit itself says that they have come to it: correlations within 1e-5 of one.
_NEAR_ONE = 6.0
_DECADE = float(np.log(10.0))
# Residuals of this share of the response's are rounding; the fall in a decade before that is none of O(d) where it is
# as large as this, and in each of a few decades nearly the same.
_ROUNDING, _FALL, _STEADY, _DECADES = 1e-6, 0.5, 0.6, 4
# Where searches may have stopped on the way there, and how far the way is looked at.
_SMALL, _MOST, _NOTHING_MORE = 1e-4, 20, 40.0
# At its edge is what gains no more than this by so many decades more; it is held where it is as near to the limit.
_SETTLED, _FURTHER, _INWARDS = 1e-6, 3.0, 6.0
# How much higher than where a search ended, among rounding, the limit may be.
_ROUGHLY = 1e-2
# Why a search stops that needs no more evaluations, and coordinates that are on their way then.
_BEYOND = 4.0
ON_THE_WAY = "the criterion falls towards an end of the residuals"
# How far off the other parameters may be.
_NEAR = 0.1


class Ended(NamedTuple):
    """A minimum beside what is held at its edge, ``names``."""

    searched: Searched
    minimum: Minimum
    names: tuple[str, ...] = ()


def at_their_ends(
    joint: Joint, searched: Searched, minimum: Minimum, report: Report | None, flat: bool = False
) -> Ended:
    """The minimum beside the parameters of residuals and of processes at their edges, or that there is none.

    ``flat``: others may mean nothing any more, as the range of a correlation whose share is zero.
    """
    k, names = joint.model.k, np.array(search_names(joint.model))
    of_residuals, of_processes = np.arange(searched.first.size) >= k, _of_processes(joint.model)
    if minimum.endless or not (of_residuals | of_processes).any():
        return Ended(searched, minimum)
    here = searched.parameters(minimum.x)
    if minimum.reason == ON_THE_WAY:
        far = of_residuals & (np.abs(here) > _BEYOND)
        return Ended(searched, replace(minimum, endless=True), tuple(names[far].tolist()))
    far = of_residuals & searched.free & (np.abs(here) > _FAR)
    looked = of_residuals & searched.free if flat or minimum.curvature.flat else far
    looked = looked | (of_processes & searched.free & (np.abs(here) > _NEAR_ONE))
    if far.any() and _least_share(joint, here) < _SMALL:
        on_the_way, value, spent = _falls_steadily(joint, here, far)
        minimum = replace(minimum, evaluations=minimum.evaluations + spent)
        if on_the_way is None and _falls_to_the_last_digit(joint, here, far, minimum.value):
            on_the_way, value = here, minimum.value
        if on_the_way is not None:
            x = searched.x(on_the_way)
            return Ended(searched, replace(minimum, x=x, value=value, endless=True), tuple(names[far].tolist()))
    held, at, spent = _held(joint, here, looked, minimum.value)
    minimum = replace(minimum, evaluations=minimum.evaluations + spent)
    if not at.any() and (held == here).all():
        return Ended(searched, minimum)
    kept = replace(searched, first=held, estimated=searched.estimated & ~at, free=searched.free & ~at)
    told, other = _told(searched, kept, report), beside(joint, searched, kept, minimum, report)
    if not at.any() and not other.value < minimum.value - _SETTLED:
        return Ended(searched, replace(minimum, evaluations=other.evaluations))
    found = at_their_ends(joint, kept, other, told, flat=True)
    held_too = {*names[at].tolist(), *found.names}
    return found._replace(names=tuple(name for name in names.tolist() if name in held_too))


def falls_from(joint: Joint, searched: Searched, parameters: np.ndarray, far: float) -> tuple[np.ndarray | None, int]:
    """Where rounding begins, if the criterion falls without bound as the residuals' parameters beyond ``far`` go out.

    Evaluations are the second.
    """
    of_residuals = np.arange(parameters.size) >= joint.model.k
    found, _, spent = _falls_steadily(joint, parameters, of_residuals & searched.free & (np.abs(parameters) > far))
    return found, spent


def _falls_to_the_last_digit(joint: Joint, here: np.ndarray, far: np.ndarray, value: float) -> bool:
    """Whether the criterion, ``value`` here, falls as these go out until it has no digits, a step further."""
    residual, k = joint.model.residual, joint.model.k
    assert residual is not None

    def moved(steps: float) -> float:
        return value_at(joint, np.append(here[:k], residual.further(here[k:], far[k:], steps)))

    return not np.isfinite(moved(1.0)) and moved(-1.0) > value + _FALL


def _of_processes(model: Model) -> np.ndarray:
    """Which parameters (k + phi,) are those of relationships."""
    sizes = [part.k - part.inner.k if part.relationship is not None else 0 for part in model.structures]
    own = [np.arange(part.k) >= part.k - count for part, count in zip(model.structures, sizes, strict=True)]
    return np.concatenate([*own, np.zeros(0 if model.residual is None else model.residual.k, dtype=bool)])


def _falls_steadily(joint: Joint, here: np.ndarray, far: np.ndarray) -> tuple[np.ndarray | None, float, int]:
    """Where rounding begins and the criterion, if it falls by as much in each decade before that; evaluations."""
    k, sizes, found, spent = joint.model.k, growing(joint.model), list[_Point](), 1
    here = np.where(far, np.clip(here, -_NOTHING_MORE, _NOTHING_MORE), here)

    def further(decades: int) -> _Point:
        """So many decades further out."""
        out = here.copy()
        if joint.model.residual is not None:
            out[k:] = joint.model.residual.further(here[k:], far[k:], decades * _DECADE)
        return min(
            (_point(joint, x) for x in (np.where(sizes, out * 10.0**decades, out), out)), key=lambda of: of.value
        )

    end, lowest = 0, further(0)
    while end < _MOST and (more := further(end + 1)).value < lowest.value:
        end, lowest, spent = end + 1, more, spent + 1
    if lowest.share > _ROUNDING:
        return None, lowest.value, 2 * spent
    for decades in range(end, -_MOST, -1):
        point, spent = further(decades), spent + 1
        if point.share > _ROUNDING:
            found.append(point)
        if len(found) == _DECADES:
            break
    falls = np.diff([point.value for point in found])
    steady = falls.size and np.isfinite(falls).all() and (falls > max(_FALL, _STEADY * falls.max())).all()
    return (found[0].parameters, found[0].value, 2 * spent) if steady else (None, lowest.value, 2 * spent)


@dataclass(frozen=True, eq=False)
class _Point:
    """Parameters, the criterion, and the least residual standard deviation of a record beside those of its group.

    The last is a share of the response's.
    """

    parameters: np.ndarray
    value: float
    share: float


def _point(joint: Joint, parameters: np.ndarray) -> _Point:
    return _Point(parameters, value_at(joint, parameters), _least_share(joint, parameters))


def _least_share(joint: Joint, parameters: np.ndarray) -> float:
    """The least residual standard deviation of a record beside the others of its group, of the response's."""
    k = joint.model.k
    try:
        objective = joint.at(parameters[k:])
        sigma = Estimates(objective, parameters[:k]).sigma
    except NO_VALUE:
        return 0.0
    with np.errstate(over="ignore", divide="ignore"):
        least = sigma / np.sqrt(np.max(objective.whitening.precision))
    return float(least / np.std(joint.model.y_less_offset))


def _held(joint: Joint, here: np.ndarray, looked: np.ndarray, value: float) -> tuple[np.ndarray, np.ndarray, int]:
    """The parameters, those at an edge where the criterion comes to its limit; which they are; evaluations.

    None are, where it is lower further in: the parameters are there.
    """
    held, at, spent = here.copy(), np.zeros(here.size, dtype=bool), 0
    for i in np.flatnonzero(looked).tolist():
        step = np.copysign(_DECADE, here[i])

        def moved(decades: float, i: int = i, step: float = step) -> float:
            trial = held.copy()
            trial[i] += decades * step
            return value_at(joint, trial)

        decades, limit, nearer = _FURTHER, value, moved(_FURTHER)
        spent += 1
        if i < joint.model.k and nearer < limit:  # searches of a process stop on the way, and there is nothing behind
            limit, nearer, spent = nearer, moved(2.0 * _FURTHER), spent + 1
        if abs(nearer - limit) > _SETTLED and abs(here[i]) > _FAR:  # so far out there may be rounding alone
            decades = 0.0
            while decades > max(-_INWARDS, 2.0 - held[i] / step) and abs(nearer - limit) > _SETTLED:
                decades, spent = decades - 1.0, spent + 1
                nearer, limit = moved(decades), nearer
        at[i] = abs(nearer - limit) < _SETTLED and limit < value + _ROUGHLY
        while at[i] and held[i] / step + decades > 1.0:
            spent, inwards = spent + 1, moved(decades - 1.0)
            if inwards < min(limit, value) - _SETTLED:  # a plateau behind a minimum
                inside = held.copy()
                inside[i] += (decades - 1.0) * step
                return inside, np.zeros(at.size, dtype=bool), spent
            if not abs(inwards - limit) < _SETTLED or held[i] / step + decades <= 2.0:
                break
            decades -= 1.0
        if at[i]:
            held[i] += decades * step
    return held, at, spent


def beside(
    joint: Joint, searched: Searched, kept: Searched, minimum: Minimum, report: Report | None, radius: float = _NEAR
) -> Minimum:
    """The minimum over those parameters that are still free where others are held at the first ones of ``kept``."""
    if not kept.free.any():
        only = evaluate_only(lambda _: joint(kept.first), np.zeros(0))
        return replace(only, evaluations=minimum.evaluations + 1, reason=minimum.reason)
    x, told = kept.x(kept.first), _told(searched, kept, report)
    return continued(Sought(joint, kept), x, np.full(x.size, radius), kept.even, None, told, minimum.evaluations)


def _told(searched: Searched, kept: Searched, report: Report | None) -> Report | None:
    """Reports of a search of fewer parameters, as those of all."""
    if report is None:
        return None
    return lambda count, value, x: report(count, value, searched.x(kept.parameters(x)))
