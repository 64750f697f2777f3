"""-2 log likelihood as a function of the parameters, each mode found from the last one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mme.generalised.columns import Effects, Prior
from mme.generalised.laplace import Laplace, Point
from mme.generalised.mode import find_mode
from mme.generalised.problem import Problem
from mme.generalised.quadrature import Quadrature
from mme.numeric.cholesky import NotPositiveDefiniteError


@dataclass(eq=False)
class Criterion:
    """(L), or (Q), as a function of the point; each mode is found from the last one that was kept.

    Attributes
    ----------
    problem : Problem
        The model.
    expected : bool
        Whether H in the determinant has the expected information.
    points : int
        Nodes of a quadrature along each coefficient; one is Laplace's approximation.
    u : Effects or None
        The mode to begin with.
    evaluations, passes : int
        What was done: points, and passes over the records.
    """

    problem: Problem
    expected: bool = False
    points: int = 1
    u: Effects | None = None
    evaluations: int = 0
    passes: int = field(default=0)

    def at(self, point: Point) -> Laplace | None:
        """The criterion at a point; None where there is no mode."""
        problem = self.problem
        self.evaluations += 1
        if not np.isfinite(point.x).all():
            return None
        prior = Prior.at(problem.blocks, point.theta)
        fixed = problem.offset + point.gamma @ problem.Q
        first = problem.columns.nothing() if self.u is None else self.u
        mode = find_mode(problem, prior, fixed, point.tau, first)
        if mode is None or mode.factor is None:
            return None
        self.passes += mode.passes
        factor = mode.factor
        if self.expected and not problem.family.canonical:
            try:
                factor = problem.equations.factor(prior, mode.density.expected)
            except NotPositiveDefiniteError:
                return None
        found = (
            Laplace(problem, point, mode, factor, self.expected)
            if self.points == 1
            else Quadrature(problem, point, mode, factor, False, self.points)
        )
        return found if np.isfinite(found.value) else None

    def point(self, x: np.ndarray) -> Point:
        """The point of parameters x."""
        k = self.problem.model.k
        p = len(self.problem.Q)
        return Point(x[:k], x[k : k + p], x[k + p :])
