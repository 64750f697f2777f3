r"""Questions to a fit whose parameters have bounds: the others stay between theirs.

A parameter between l and h is searched by a coordinate x of which it is a smooth and even function,

    b +- w sin^2(u x / sqrt(w)),      w = h - l,      b +- (u x)^2 where w is infinite,

b the bound that is nearer: it is at b where x is zero, as a variance is zero where its root is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import asin, inf, isfinite, sin, sqrt

import numpy as np

from mme.errors import MMEError
from mme.inference.intervals.deviance import Point
from mme.inference.intervals.question import Question
from mme.model.bounding import Bounds
from mme.model.named import Named, NamedPlace
from mme.residual.given import given_coordinates


@dataclass(frozen=True)
class Fold:
    """The parameter as a function of x, in units of ``unit``."""

    base: float
    sign: float
    width: float
    unit: float

    @classmethod
    def near(cls, low: float, high: float, value: float, unit: float) -> Fold:
        """That of a parameter between two bounds, zero at the nearer of them."""
        below = value - low <= high - value if isfinite(low) else False
        return cls(low if below else high, 1.0 if below else -1.0, high - low, unit)

    def __call__(self, x: float) -> float:
        """The parameter at x."""
        r = sqrt(self.unit) * x
        return self.base + self.sign * (self.width * sin(r / sqrt(self.width)) ** 2 if self.width < inf else r * r)

    def at(self, value: float) -> float:
        """The x of a value."""
        way = max(self.sign * (value - self.base), 0.0)
        r = sqrt(self.width) * asin(sqrt(min(way / self.width, 1.0))) if self.width < inf else sqrt(way)
        return r / sqrt(self.unit)


@dataclass(frozen=True, eq=False)
class Between:
    """Where the bounded parameters stand at a maximum, ``scale`` (k,) times theta of order one."""

    bounds: Bounds
    named: Named
    theta: np.ndarray
    phi: np.ndarray
    sigma: float
    scale: np.ndarray

    @property
    def of_sigma(self) -> tuple[float, float]:
        """What values sigma can have."""
        for place, (low, high) in self._limits():
            if place.kind == "sigma":
                return low, high
        return 0.0, inf

    @property
    def asks_for_sigma(self) -> bool:
        """Whether a bound of theta depends on sigma."""
        return any(self.named.in_units(place) for place, _ in self._limits() if place.kind == "natural")

    def limited(self, bounds: tuple[float, float], kind: str, at: int) -> tuple[float, float]:
        """What values a natural parameter can have: those between its bounds.

        Raises
        ------
        MMEError
            The bounds are those of its ratio to sigma.
        """
        for place, (low, high) in self._limits():
            if place.kind == "ratio" and kind == "natural" and place.at == at:
                natural = self.named.natural_names[at]
                raise MMEError(
                    f"a profile of {natural} beside bounds of {place.name}, its ratio to sigma, is not available; give "
                    f"the bounds of {natural}"
                )
            if (place.kind, place.at) == (kind, at):
                bounds = max(bounds[0], low), min(bounds[1], high)
        return bounds

    def __call__(self, question: Question, thetas: np.ndarray, phis: np.ndarray, sigma_last: bool) -> Question:
        """The question with its coordinates between the bounds: j is entry ``thetas[j]`` or ``phis[j]``, -1 for none.

        ``sigma_last``: the last is sigma, in units of its estimate.
        """
        if sigma_last and self.of_sigma != (0.0, inf):
            question = self._with_sigma(question)
        for place, (low, high) in self._limits():
            of = {"natural": thetas, "ratio": thetas, "phi": phis}.get(place.kind, np.zeros(0))
            for j in np.flatnonzero(of == place.at).tolist():
                question = self._folded(question, place, j, low, high)
        return question

    def _limits(self) -> list[tuple[NamedPlace, tuple[float, float]]]:
        """The bounds of each parameter, of a variance as those of its root."""
        places = ((self.named.place(name, "bounds"), pair) for name, pair in self.bounds.limits.items())
        return [(place, (place.plain(low), place.plain(high))) for place, (low, high) in places]

    def _with_sigma(self, question: Question) -> Question:
        """The question with its last coordinate between the bounds of sigma."""
        fold = Fold.near(*self.of_sigma, self.sigma, self.sigma)

        def within(x: np.ndarray, value: float) -> Point:
            return question.point(_with(x, -1, fold(float(x[-1])) / self.sigma), value)

        return replace(_starting(question, -1, fold.at(self.sigma)), point=within)

    def _folded(self, question: Question, place: NamedPlace, j: int, low: float, high: float) -> Question:
        """The question with its coordinate j between the bounds."""
        of_phi, e = place.kind == "phi", place.at
        in_units = not of_phi and self.named.in_units(place)
        low, high = (self._coordinate(place, at) for at in (low, high))
        scale = 1.0 if of_phi else float(self.scale[e])
        unit = (self.sigma if in_units else 1.0) / scale
        value = float(self.phi[e]) if of_phi else float(self.theta[e]) * unit * scale
        fold = Fold.near(low, high, value, unit)
        point = question.point

        def folded(x: np.ndarray, held: float) -> Point:
            at: Point = point(x, held)
            inside = fold(float(x[j]))
            if of_phi:
                return replace(at, phi=_with(at.phi, e, inside))
            sigma = self.sigma if at.sigma is None else abs(at.sigma)  # none where the model has it known
            return replace(at, theta=_with(at.theta, e, inside / sigma if in_units and sigma > 0.0 else inside))

        return replace(_starting(question, j, fold.at(value)), point=folded)

    def _coordinate(self, place: NamedPlace, value: float) -> float:
        """The coordinate of a bound: in theta, times sigma where it is in its units, or in phi."""
        if not isfinite(value) or place.kind == "ratio":
            return value
        if place.kind == "natural":
            return self.named.coordinate(place, value, "bounds")
        structure = self.named.residual
        assert structure is not None
        low, high = structure.bounds[place.at]
        if not low < value < high:
            return inf if value >= high else -inf
        own = given_coordinates(structure, {place.name: value})
        assert own is not None
        return float(own[place.at])


def _starting(question: Question, j: int, x: float) -> Question:
    """The question whose coordinate j is the root of a distance from a bound, and begins at x."""
    off = float(question.radius[j])
    return replace(
        question,
        start=_with(question.start, j, x),
        radius=_with(question.radius, j, off / (2.0 * max(x, sqrt(off)))),
        even=_with(question.even, j, True),
    )


def _with(values: np.ndarray, at: int, value: float) -> np.ndarray:
    changed = values.copy()
    changed[at] = value
    return changed
