"""Follow one parameter of a likelihood away from its estimate, knot by knot, the others at their best.

A knot is begun where its neighbours nearer the estimate point to, and may end in another valley of the others than the
lowest. Where zeta falls on the way outwards, the knots before are begun again from that after, valley by valley
inwards, so that zeta falls only where the likelihood itself does.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from mme.errors import warn
from mme.inference.intervals.curves import Curve
from mme.inference.intervals.question import Question
from mme.numeric.interpolate import crossing, lagrange_weights

# Joint 99% regions of two parameters reach sqrt(chi2_2(0.99)) on each profile.
_REACH = 3.035
# Knots stand about this far apart on zeta; no step may go further than the second.
_STEP, _LONGEST = 0.5, 0.9
# A step grows at most by this: the first is a guess.
_GROWTH = 8.0
# Two steps that gain no more than this on zeta, the second so much longer, have left nothing to gain before the bound.
_FLAT = 1e-4
_MOST_KNOTS = 60
# Values nearer than so many spacings of floating-point numbers are not told apart.
_ULPS = 4.0
_REFINEMENTS = 8
# A knot this near to a limit, on zeta, leaves nothing to interpolation.
_ON_LIMIT = 1e-4
# Zeta falls where it is smaller than before by more than this.
_FALLS = 1e-6
# A deviance this far below the minimum is another minimum, unless the value is the estimate but for this share of it.
_LOWER = 1e-4
_SAME = 1e-6


@dataclass(frozen=True, eq=False)
class Knot:
    """One point of a profile: the value held, zeta, where the search for the others ended, and all parameters there.

    ``curvature`` is what the search knows of it, for those that begin here.
    """

    value: float
    zeta: float
    x: np.ndarray
    curvature: Any
    parameters: np.ndarray


class Tracer(ABC):
    """Follows one parameter away from its estimate, where the deviance is ``deviance``."""

    def __init__(self, question: Question, deviance: float) -> None:
        self.question, self.deviance = question, deviance

    def curve(self, origin: Knot, z: float) -> Curve:
        """Both sides of the profile."""
        down, up = (self.side(origin, direction, z) for direction in (-1.0, 1.0))
        knots = [knot for knot in (*reversed(down[1:]), *up) if np.isfinite(knot.value) and not np.isnan(knot.zeta)]
        low, high = self.question.bounds
        return Curve(
            self.question.name,
            self.question.estimate,
            self.question.bounds,
            np.array([knot.value for knot in knots]),
            np.array([knot.zeta for knot in knots]),
            np.array([knot.parameters for knot in knots]),
            (down[-1].value == low, up[-1].value == high),
            (bool(np.isnan(down[-1].zeta)), bool(np.isnan(up[-1].zeta))),
        )

    def side(self, origin: Knot, direction: float, z: float) -> list[Knot]:
        """Knots from the estimate outwards, until zeta has gone far enough or the parameter is at its bound."""
        knots = self._outwards(origin, direction, z)
        lower = [knots.pop()] if np.isnan(knots[-1].zeta) else []
        self._mend(knots)
        for _ in range(_REFINEMENTS):
            if not self._refine(knots, direction * z):
                break
            self._mend(knots)
        return knots + lower

    def _outwards(self, origin: Knot, direction: float, z: float) -> list[Knot]:
        """Knots about equally far apart on zeta, from the estimate to beyond z, or to a deviance below the fit's."""
        bound, reach = self.question.bounds[direction > 0], max(_REACH, z + _STEP)
        knots, step, leap, ends = [origin], self.question.step, True, False
        while abs(knots[-1].zeta) < reach and knots[-1].value != bound and len(knots) < _MOST_KNOTS:
            last = knots[-1]
            value = last.value + direction * step
            if not np.isfinite(value) or (value - bound) * direction >= 0.0 or (leap and _is_flat(knots)):
                value = bound
            new = self.knot(value, knots)
            if np.isnan(new.zeta):
                knots.append(new)
                break
            gained = abs(new.zeta) - abs(last.zeta)
            longest = _LONGEST if np.isfinite(value) else _FLAT
            apart = _ULPS * np.spacing(abs(last.value))
            if gained > longest and abs(value - last.value) <= 2.0 * apart:  # nothing lies between the two
                end = direction * (reach + 1.0)
                knots.append(new if np.isfinite(new.zeta) else replace(new, zeta=end, parameters=last.parameters))
                step = abs(value - last.value)
                continue
            if gained > longest and (len(knots) + 1 < _MOST_KNOTS or np.isinf(gained)):
                step, leap = min(step, abs(value - last.value)) * max(_STEP / gained, 0.1), leap and value != bound
                step, ends = max(step, apart), ends or (np.isinf(gained) and np.isfinite(value))
                continue
            if ends and abs(gained) < _FLAT and len(knots) > 1:  # the end of the likelihood is near: it takes its place
                knots.pop()
            knots.append(new)
            step = abs(value - last.value) * min(_STEP / max(gained, 1e-12), _GROWTH)
        return knots

    def _mend(self, knots: list[Knot]) -> None:
        """Begin knots again from the one after wherever that is lower: from the outermost inwards."""
        for i in range(len(knots) - 2, 0, -1):
            here, after = knots[i], knots[i + 1]
            if abs(here.zeta) > abs(after.zeta) + _FALLS and np.isfinite(here.value):
                again = self.knot(here.value, [after])
                if abs(again.zeta) < abs(here.zeta):
                    knots[i] = again

    def _refine(self, knots: list[Knot], zeta: float) -> bool:
        """Add a knot at the limit as the others have it; whether there was anything to add."""
        reached = np.abs([knot.zeta for knot in knots])
        if reached.max() < abs(zeta) or len(knots) < 3 or np.abs(reached - abs(zeta)).min() < _ON_LIMIT:
            return False
        value = crossing(abs(zeta), reached, np.array([knot.value for knot in knots]))
        if value in [knot.value for knot in knots]:
            return False
        after = int(np.argmax(reached > abs(zeta)))
        new = self.knot(value, knots[max(after - 2, 0) : after + 1])
        if np.isinf(new.zeta):  # no covariance matrix so near its edge, to rounding
            return False
        knots.insert(after, new)
        return True

    @abstractmethod
    def knot(self, value: float, near: list[Knot]) -> Knot:
        """The best of the others at one value, begun where the knots nearby point to."""

    def at_minimum(self, value: float, deviance: float, x: np.ndarray, curvature: Any, parameters: np.ndarray) -> Knot:
        """The knot where the search for the others ended; a deviance lower than the fit's is told, and has no zeta."""
        rise = deviance - self.deviance
        if rise < -_LOWER:
            apart = abs(value - self.question.estimate) > _SAME * abs(value)
            warn(
                f"the profile of {self.question.name} found a deviance lower by {-rise:.2g} at {value:.6g}: the fit is "
                f"not at the maximum of the likelihood{', and its profile ends there' if apart else ''}"
            )
            if apart:
                return Knot(value, np.nan, x, curvature, parameters)
        zeta = float(np.sign(value - self.question.estimate)) * sqrt(max(rise, 0.0))
        return Knot(value, zeta, x, curvature, parameters)

    def nowhere(self, value: float, x: np.ndarray, parameters: int) -> Knot:
        """A value at which there is no likelihood."""
        end = float(np.copysign(np.inf, value - self.question.estimate))
        return Knot(value, end, x, None, np.full(parameters, np.nan))


def _is_flat(knots: list[Knot]) -> bool:
    """Whether the last two steps gained nothing."""
    return len(knots) > 2 and abs(knots[-1].zeta) - abs(knots[-3].zeta) < _FLAT


def extrapolate(value: float, knots: list[Knot]) -> np.ndarray:
    """Lagrange's polynomial through the last knots, as far beyond them as a step may be."""
    if len(knots) > 1 and not abs(value - knots[-1].value) <= _GROWTH * abs(knots[-1].value - knots[0].value):
        return knots[-1].x
    weights = lagrange_weights(value, np.array([knot.value for knot in knots]))
    return np.asarray(weights @ np.array([knot.x for knot in knots]))
