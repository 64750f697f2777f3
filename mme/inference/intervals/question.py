"""One parameter held at a value: which points its others can make around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mme.covariance.held import Held
from mme.inference.intervals.deviance import Point


@dataclass(frozen=True, eq=False)
class Question:
    """One parameter to be held, and the others around it: coordinates x of order one -> a point.

    ``start`` is x at the maximum of the likelihood, ``radius`` about how far off it may be later; ``step`` a first step
    of the parameter.
    """

    name: str
    estimate: float
    bounds: tuple[float, float]
    step: float
    start: np.ndarray
    radius: np.ndarray
    even: np.ndarray
    point: Callable[[np.ndarray, float], Point]

    def without(self, given: np.ndarray) -> Question:
        """The question with some of its coordinates not free: they stay as they are at the start."""
        if not given.any():
            return self
        free, at, point = ~given, self.start, self.point

        def whole(x: np.ndarray, value: float) -> Point:
            full = at.copy()
            full[free] = x
            return point(full, value)

        return replace(self, start=at[free], radius=self.radius[free], even=self.even[free], point=whole)


@dataclass(frozen=True, eq=False)
class Around:
    """Coordinates of what is free around a held standard deviation or correlation, and the point that they make.

    They are theta of the ``others``, the free entries of the term's own T, phi, and sigma in units of its estimate;
    ``inner`` leads from the term's theta in the user's columns to that in its axes.
    """

    own: slice
    inner: Callable[[np.ndarray], np.ndarray]
    others: np.ndarray
    held: Held
    scale: np.ndarray
    rooted: np.ndarray
    phi: int
    sigma: float
    times_sigma: bool
    sigma_free: bool

    def point(self, x: np.ndarray, value: float) -> Point:
        """Theta, phi and sigma where the parameter has this value."""
        free = x[: self.scale.size]
        free = np.where(self.rooted, free**2, free) / self.scale
        sigma = self.sigma * float(x[-1]) if self.sigma_free else None
        if self.times_sigma:
            value = value / abs(self.sigma if sigma is None else sigma) if sigma != 0.0 else 0.0
        theta = np.empty(self.others.size + self.own.stop - self.own.start)
        theta[self.others] = free[: self.others.size]
        theta[self.own] = self.inner(self.held.theta(free[self.others.size :], value))
        return Point(theta, x[free.size : free.size + self.phi], sigma)
