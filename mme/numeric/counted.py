"""A function that counts its evaluations and remembers its lowest point."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan

import numpy as np

from mme.errors import MemoryForecastError, MMEError

# In coordinates of order one a point further out than this is far.
_FAR = 100.0
# What a point without a value raises: the library, arithmetic, or what a user's own structure has to say.
NO_VALUE = (MMEError, ArithmeticError, ValueError, RuntimeError)


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
        return self._told(self._value(x), x)

    def many(self, points: np.ndarray) -> np.ndarray:
        """The values (S,) at points (S, k), S evaluations more: at once, where f has a way to."""
        at_once = getattr(self.f, "many", None)
        values = None if at_once is None else self._caught(at_once, points)
        if values is None or self.progress is not None:
            found = map(self._value, points) if values is None else np.where(np.isnan(values), inf, values).tolist()
            return np.array([self._told(value, x) for value, x in zip(found, points, strict=True)])
        values[np.isnan(values)] = inf
        if values.size:
            lowest = int(values.argmin())
            self.evaluations += values.size - 1
            self._told(float(values[lowest]), points[lowest])
        return values

    def _told(self, value: float, x: np.ndarray) -> float:
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
        except NO_VALUE as problem:
            self.problem = self.problem or problem
            return np.inf
        return inf if isnan(value) else value

    def _caught(self, at_once: Callable[[np.ndarray], np.ndarray], points: np.ndarray) -> np.ndarray | None:
        """The values of all points; None where one of them raises, which only it may answer for."""
        try:
            return at_once(points)
        except MemoryForecastError:
            raise
        except NO_VALUE:
            return None
