"""A function that counts its evaluations and remembers its lowest point."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan

import numpy as np

from mme.errors import MemoryForecastError, MMEError


class Counted:
    """The function with a count, the best point so far and the caller's progress line.

    A point at which f raises, or is not a number, counts as infinite; ``problem`` is the first that was raised.
    """

    def __init__(
        self,
        f: Callable[[np.ndarray], float],
        start: np.ndarray,
        progress: Callable[[int, float, np.ndarray], None] | None,
    ) -> None:
        self.f, self.progress = f, progress
        self.evaluations, self.best, self.x = 0, np.inf, np.array(start)
        self.problem: Exception | None = None

    def __call__(self, x: np.ndarray) -> float:
        """The value at x; one evaluation more."""
        value = self._value(x)
        self.evaluations += 1
        if value < self.best:
            self.best, self.x = value, np.array(x)
        if self.progress is not None:
            self.progress(self.evaluations, value, x)
        return value

    def _value(self, x: np.ndarray) -> float:
        try:
            value = float(self.f(x))
        except MemoryForecastError:
            raise
        except (MMEError, ArithmeticError, np.linalg.LinAlgError) as problem:
            self.problem = self.problem or problem
            return np.inf
        return inf if isnan(value) else value
