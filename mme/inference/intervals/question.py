"""One parameter held at a value: which points its others can make around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Question:
    """One parameter to be held, and the others around it: coordinates x of order one -> a point of the likelihood.

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
    point: Callable[[np.ndarray, float], Any]

    def without(self, given: np.ndarray) -> Question:
        """The question with some of its coordinates not free: they stay as they are at the start."""
        if not given.any():
            return self
        free, at, point = ~given, self.start, self.point

        def whole(x: np.ndarray, value: float) -> Any:
            full = at.copy()
            full[free] = x
            return point(full, value)

        return replace(self, start=at[free], radius=self.radius[free], even=self.even[free], point=whole)
