"""A function that counts its evaluations and remembers its lowest point."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan

import numpy as np

from mme.errors import MemoryForecastError, MMEError

# In coordinates of order one a point further out than this is far.
_FAR = 100.0


class EndlessError(Exception):
    """The function falls without bound."""


class Counted:
    """The function with a count, the best point so far and the caller's progress line.

    A point at which f raises, or is not a number, counts as infinite; ``problem`` is the first that was raised. Once
    the lowest point is further out than ``far``, ``endless`` is asked whether f falls without bound from there, and
    again ten times as far out; the search ends by an exception if it does.
    """

    def __init__(
        self,
        f: Callable[[np.ndarray], float],
        start: np.ndarray,
        progress: Callable[[int, float, np.ndarray], None] | None,
        endless: Callable[[np.ndarray], tuple[bool, int]] | None = None,
    ) -> None:
        self.f, self.progress = f, progress
        self.evaluations, self.best, self.x = 0, np.inf, np.array(start)
        self.problem: Exception | None = None
        self.endless, self.far = endless, _FAR if endless is not None else inf

    def __call__(self, x: np.ndarray) -> float:
        """The value at x; one evaluation more."""
        value = self._value(x)
        self.evaluations += 1
        if value < self.best:
            self.best, self.x = value, np.array(x)
        if self.progress is not None:
            self.progress(self.evaluations, value, x)
        if self.best == value < inf and np.abs(x).max(initial=0.0) > self.far:
            self._ask(x)
        return value

    def _ask(self, x: np.ndarray) -> None:
        assert self.endless is not None
        found, evaluations = self.endless(x)
        self.evaluations += evaluations
        if found:
            raise EndlessError
        self.far = 10.0 * float(np.abs(x).max())

    def _value(self, x: np.ndarray) -> float:
        try:
            value = float(self.f(x))
        except MemoryForecastError:
            raise
        except (MMEError, ArithmeticError, np.linalg.LinAlgError) as problem:
            self.problem = self.problem or problem
            return np.inf
        return inf if isnan(value) else value
