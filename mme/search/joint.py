"""The criterion as a function of theta and phi together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.engine.basis import orthonormalise
from mme.engine.criterion import of_least_squares
from mme.engine.objective import Objective
from mme.model.problem import Model
from mme.numeric.counted import EndlessError
from mme.residual.whitening import Whitening
from mme.search.searched import Searched


class Joint:
    """The criterion as a function of (theta, phi): each new phi whitens the records and assembles them anew.

    Theta is given as the first objective takes it: in the user's columns, or in the axes.
    """

    def __init__(self, model: Model, first: Objective) -> None:
        self.model = model
        self._latest = first

    @property
    def latest(self) -> Objective:
        """The criterion at the phi asked for last; at the start, the first."""
        return self._latest

    def at(self, phi: np.ndarray) -> Objective:
        """The criterion as a function of theta at one phi; the latest is kept."""
        self._latest = self._latest.at(phi)
        return self._latest

    def __call__(self, parameters: np.ndarray) -> float:
        """The criterion at theta and phi, one after the other in ``parameters`` (k + r,)."""
        k = self.model.k
        return self.at(parameters[k:])(parameters[:k])


@dataclass(frozen=True, eq=False)
class Sought:
    """The criterion as a function of the coordinates of what is searched, at a point or at many.

    Below the ``floor`` it counts as falling without bound, which ends its search. ``first`` is its value at the first
    point, where that has been made: of a large model it is not made again.
    """

    joint: Joint
    searched: Searched
    floor: float = -np.inf
    first: float | None = None

    def __call__(self, x: np.ndarray) -> float:
        """The criterion at x."""
        if self.first is not None and np.array_equal(x, self.searched.x(self.searched.first)):
            return self.first
        value = self.joint(self.searched.parameters(x))
        if value < self.floor:
            raise EndlessError
        return value

    @property
    def about(self) -> float | None:
        """The size of the criterion where it takes a point and all steps from it at once; None: one by one."""
        k = int(self.searched.free.sum())
        if self.joint.latest.phi.size or not self.joint.latest.stacks(1 + 2 * k + k * (k - 1) // 2):
            return None
        return of_least_squares(self.joint.latest.constants, self.joint.latest.basis.squares)

    def many(self, points: np.ndarray) -> np.ndarray:
        """The criterion (S,) at points (S, k): all at once where they have one phi."""
        if self.joint.latest.phi.size:
            return np.array([self(x) for x in points])
        values = self.joint.latest.many(self.searched.many(points))
        if values.min(initial=np.inf) < self.floor:
            raise EndlessError
        return values


def of_least_squares_alone(model: Model) -> np.ndarray:
    """Residuals (n,) of X by weighted least squares."""
    return orthonormalise(model.X, model.y_less_offset, Whitening(model.weights)).r


def seconds_within(objective: Objective, first: Objective) -> float:
    """Seconds that a search which began at ``first`` took for its last objective: none where phi is as it was."""
    return (
        0.0
        if not first.phi.size or np.array_equal(objective.phi, first.phi)
        else sum(objective.engine.seconds.values())
    )


def first_phi(model: Model) -> np.ndarray:
    """The first phi: what the residuals of least squares show, with the entries that are given as they are."""
    if model.residual is None:
        return np.zeros(0)
    first = model.residual.start(of_least_squares_alone(model))
    return first if model.phi is None else np.where(np.isnan(model.phi), first, model.phi)
