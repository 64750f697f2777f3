"""A standard deviation or correlation held, and coordinates of order one of what it leaves free in theta."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.held import Held
from mme.model.problem import Model


@dataclass(frozen=True, eq=False)
class Around:
    """Theta of the ``others`` and the free entries of the term's own T; ``place`` is the parameter's in the term.

    ``inner`` leads from the term's theta in the user's columns to that in its axes. ``start`` is what is free at the
    maximum of the likelihood, ``radius`` about how far off it may be later, ``spread`` a first step of the parameter.
    """

    part: GStructure
    place: int
    own: slice
    inner: Callable[[np.ndarray], np.ndarray]
    others: np.ndarray
    held: Held
    scale: np.ndarray
    rooted: np.ndarray
    start: np.ndarray
    radius: np.ndarray
    even: np.ndarray
    spread: float

    @property
    def size(self) -> int:
        """How many coordinates there are."""
        return int(self.scale.size)

    @property
    def times_sigma(self) -> bool:
        """Whether the parameter is in units of sigma."""
        return bool(self.part.times_sigma[self.place])

    def theta(self, x: np.ndarray, value: float) -> np.ndarray:
        """Theta in the axes where the parameter, over sigma if it is in units of sigma, has this value."""
        free = np.where(self.rooted, x**2, x) / self.scale
        theta = np.empty(self.others.size + self.own.stop - self.own.start)
        theta[self.others] = free[: self.others.size]
        theta[self.own] = self.inner(self.held.theta(free[self.others.size :], value))
        return theta

    def step(self, value: float) -> float:
        """A first step along the parameter from a value: of a standard deviation about its standard error."""
        if self.times_sigma:
            return 0.5 * self.spread
        is_bounded = np.isfinite(self.part.natural_bounds[self.place]).all()
        return 0.1 if is_bounded else 0.1 * max(abs(value), 1e-8)


def around(model: Model, theta: np.ndarray, at: int, scale: np.ndarray, radius: np.ndarray) -> Around:
    """What the natural parameter at this place leaves free, theta (k,) in the axes of the terms.

    ``scale`` (k,) times theta is of order one, and about ``radius`` off.
    """
    ends = np.cumsum([part.k for part in model.structures])
    t = int(np.searchsorted(ends, at, side="right"))
    part = model.structures[t]
    own = slice(int(ends[t]) - part.k, int(ends[t]))
    others = np.delete(np.arange(model.k), own)
    axes, place = model.axes[t], at - own.start
    held = part.hold(model.coordinates.outer(theta)[own], place, axes)
    size = scale[own] if axes is None else part.per_row(axes.apart, 1.0)
    sizes = np.concatenate([scale[others], np.where(held.moved, 1.0, size[held.like])])
    rooted = np.concatenate([np.zeros(others.size, dtype=bool), held.rooted])
    begin = np.concatenate([theta[others], held.start]) * sizes
    off = np.concatenate([radius[others], radius[own][held.like]])
    roots = np.sqrt(np.maximum(begin, 0.0))
    return Around(
        part=part,
        place=place,
        own=own,
        inner=(lambda given: given) if axes is None else (lambda given: part.mixed(given, axes.C)),
        others=others,
        held=held,
        scale=sizes,
        rooted=rooted,
        start=np.where(rooted, roots, begin),
        radius=np.where(rooted, off / (2.0 * np.maximum(roots, np.sqrt(off))), off),
        even=np.concatenate([model.diagonal[others], held.even]),
        spread=float(radius[own][place] / size[place]),
    )
