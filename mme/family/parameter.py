"""One parameter of a family held: the coordinate of tau that makes way for it, and what values it can take."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from mme.family.base import Family

# A coordinate of tau this large stands for infinity: exp of it is beyond what any data tell.
INFINITE = 36.0
# Where natural parameters end, or have no end.
_END, _LARGE = 800.0, 1e300


@dataclass(frozen=True, eq=False)
class FamilyParameter:
    """The natural parameter at place ``j``, as a function of the coordinate ``s`` of tau beside ``others``.

    ``s`` is one along which it is linear, if there is one (thresholds move with the first), else its own.
    """

    family: Family
    j: int
    s: int
    linear: bool
    others: np.ndarray

    @classmethod
    def of(cls, family: Family, tau: np.ndarray, j: int) -> FamilyParameter:
        """Describe it near tau."""
        here, there = (np.atleast_2d(family.natural_slope(at))[j] for at in (tau, tau + 1.0))
        along = np.flatnonzero((here == there) & (here != 0.0))
        s = int(along[0]) if along.size else j
        return cls(family, j, s, bool(along.size), np.delete(np.arange(tau.size), s))

    def natural(self, others: np.ndarray, coordinate: float) -> float:
        """Its value."""
        with np.errstate(over="ignore"):
            return float(np.ravel(self.family.natural(np.insert(others, self.s, coordinate)))[self.j])

    def tau(self, others: np.ndarray, value: float) -> np.ndarray:
        """Tau where it has this value, or where its coordinate has, if it is not linear in that."""
        return np.insert(others, self.s, self._coordinate(others, value))

    def bounds(self, others: np.ndarray) -> tuple[float, float]:
        """The values that it can take."""
        low, high = sorted(self.natural(others, end) for end in (-_END, _END))
        return (low if low > -_LARGE else -inf, high if high < _LARGE else inf) if not self.linear else (-inf, inf)

    def _coordinate(self, others: np.ndarray, value: float) -> float:
        """Along a line; elsewhere the value is the coordinate itself."""
        if not self.linear:
            return value
        first = self.natural(others, 0.0)
        return (value - first) / (self.natural(others, 1.0) - first)
