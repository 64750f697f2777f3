r"""Links whose eta must be positive, and records whose log f has a finite value at zero: an optimum can lie there.

A count of zero by the identity link has log f = -eta, which goes on to negative eta; what ends at zero is the model.
The modes are found without that end, and the search keeps c_i = eta_i - floor of these records from being negative, by
the augmented Lagrangian (Nocedal and Wright 2006, Numerical Optimization, section 17.3)

    F + sum_i (max(0, lambda_i - rho c_i)^2 - lambda_i^2) / (2 rho),     lambda_i <- max(0, lambda_i - rho c_i)     (A)

whose minimum is that of F with c >= 0 when lambda no longer moves; its curvature across the bound is rho, so that the
inverse of its Hessian is the covariance with the bound held.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mme.generalised.laplace import Laplace
from mme.generalised.problem import Problem

# The bound, and how near to it eta of a record at it is, as shares of the size of eta.
_FLOOR, _NEAR = 1e-8, 5e-9
# Rho to begin with, and at most, over the square of that size; how it grows where eta comes no nearer.
_FIRST, _STIFFEST, _STIFFER, _SLOW = 1e3, 1e8, 10.0, 0.25


@dataclass(frozen=True, eq=False)
class Wall:
    """The bound of some records: their places (m,), lambda (m,), rho, the size of eta, and how far off they were."""

    records: np.ndarray
    multipliers: np.ndarray
    stiffness: float
    size: float
    off: float = np.inf

    @classmethod
    def of(cls, problem: Problem, eta: np.ndarray) -> Wall | None:
        """That of the records which count; None where there are none. ``eta`` (n,) has the size of eta."""
        ends = problem.family.past_bound(problem.data)
        if ends is None or not (ends & (problem.data.weights > 0.0)).any():
            return None
        records = np.flatnonzero(ends & (problem.data.weights > 0.0))
        size = float(np.mean(np.abs(eta)))
        return cls(records, np.zeros(records.size), _FIRST / size**2 * max(1.0, size), size)

    def _force(self, eta: np.ndarray) -> np.ndarray:
        """max(0, lambda - rho c) (m,)."""
        return np.maximum(0.0, self.multipliers - self.stiffness * (eta[self.records] - _FLOOR * self.size))

    def value(self, eta: np.ndarray) -> float:
        """What (A) has beside F."""
        return float((self._force(eta) ** 2 - self.multipliers**2).sum()) / (2.0 * self.stiffness)

    def pull(self, eta: np.ndarray) -> np.ndarray:
        """Its derivative by eta (n,)."""
        out = np.zeros(eta.size)
        out[self.records] = -self._force(eta)
        return out

    def moved(self, eta: np.ndarray) -> Wall | None:
        """The wall with the lambda of a minimum of (A); None where that has settled."""
        distance = eta[self.records] - _FLOOR * self.size
        off = float(np.abs(np.where(self._force(eta) > 0.0, distance, np.minimum(distance, 0.0))).max())
        if off <= _NEAR * self.size:
            return None
        slow = off > _SLOW * self.off and self.stiffness * self.size**2 < _STIFFEST
        stiffness = self.stiffness * (_STIFFER if slow else 1.0)
        return replace(self, multipliers=self._force(eta), stiffness=stiffness, off=off)

    def at_bound(self, eta: np.ndarray) -> np.ndarray:
        """Places of the records that are held at the bound."""
        return self.records[self._force(eta) > 0.0]


@dataclass(frozen=True, eq=False)
class Walled(Laplace):
    """(A) at one point, of modes that know of no bound; ``inside`` is the problem with it."""

    wall: Wall
    inside: Problem

    @property
    def value(self) -> float:
        """(A)."""
        return super().value + self.wall.value(self.mode.eta)

    @property
    def pull(self) -> np.ndarray:
        """The derivative by eta of what (A) has beside F (n,)."""
        return self.wall.pull(self.mode.eta)

    @property
    def laplace(self) -> Laplace:
        """F alone, of the problem with the bound."""
        return Laplace(self.inside, self.at, self.mode, self.factor, self.expected)
