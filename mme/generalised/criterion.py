"""-2 log likelihood as a function of the parameters, each mode found from the last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from mme.generalised.columns import Effects, Prior
from mme.generalised.equations import FactorOfH
from mme.generalised.fast import Fast, fast
from mme.generalised.known import at_mode
from mme.generalised.laplace import Laplace, Psi
from mme.generalised.level_totals import LevelTotals
from mme.generalised.mode import find_mode
from mme.generalised.near_mode import mode_near
from mme.generalised.problem import Problem
from mme.generalised.quadrature import Quadrature
from mme.generalised.scalar_effects import are_scalar, of_scalars
from mme.generalised.sorted_records import SortedRecords
from mme.generalised.wall import Wall, Walled
from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.kept import kept


class CriterionAt(Protocol):
    """The criterion at a point."""

    @property
    def at(self) -> Psi:
        """The point at which this criterion was evaluated."""

    @property
    def value(self) -> float:
        """-2 log L, every constant included."""

    def gradient(self) -> np.ndarray:
        """By theta, gamma and tau."""

    @property
    def u(self) -> Effects:
        """The mode, from which the next one is found."""

    @property
    def laplace(self) -> Laplace:
        """The criterion by Laplace's approximation, with the density and the factor at its mode."""

    @property
    def curved(self) -> Laplace:
        """The criterion but for a constant, made of as few records as determine it."""


@dataclass(frozen=True, eq=False)
class OfMerged:
    """The criterion of all records, by that ``of`` the different ones and a ``constant``."""

    problem: Problem
    of: CriterionAt
    constant: float
    expected: bool
    points: int

    @property
    def at(self) -> Psi:
        """The point at which this criterion was evaluated."""
        return self.of.at

    @property
    def value(self) -> float:
        """-2 log L, every constant included."""
        return self.of.value + self.constant

    def gradient(self) -> np.ndarray:
        """By theta, gamma and tau."""
        return self.of.gradient()

    @property
    def u(self) -> Effects:
        """The mode."""
        return self.of.u

    @property
    def curved(self) -> Laplace:
        """The criterion of the different records alone, which has the same derivatives."""
        return self.of.curved

    @kept
    def laplace(self) -> Laplace:
        """Laplace's approximation at the mode of all records, those alike each by itself."""
        found = at_mode(self.problem, self.at, self.u, expected=self.expected, points=self.points)
        assert found is not None
        return found


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
        Nodes of a quadrature along each coefficient; one is Laplace's approximation, zero the fast criterion (F).
    u, gamma : Effects and array, or None
        The mode to begin with; gamma is part of it where it is searched with u.
    known : FactorOfH or None
        The factor at that mode, where another is dear.
    wall : Wall or None
        The end of eta that some records may reach, once a search has begun; without it modes are inside.
    evaluations, passes : int
        What was done: points, and passes over the records.
    tell : callable or None
        Gets the number of each evaluation, the criterion and the point.
    """

    problem: Problem
    expected: bool = False
    points: int = 1
    u: Effects | None = None
    gamma: np.ndarray | None = None
    known: FactorOfH | None = None
    wall: Wall | None = None
    evaluations: int = 0
    passes: int = 0
    tell: Callable[[int, float, Psi], None] | None = None

    @property
    def different(self) -> Problem:
        """The problem of the different records: what an evaluation passes over."""
        return self.problem.merged

    @kept
    def endless(self) -> Problem:
        """The different records without the end of eta."""
        return self.different.endless

    @kept
    def constant(self) -> float:
        """What the criterion of all records has beside that of the different ones."""
        few, alike = self.different, self.problem.alike
        if alike is None or self.problem.family.merges != "sums":
            return 0.0
        family, eta, tau = self.problem.family, self.problem.family.first_eta(few.data), np.empty(0)
        whole = family.at(self.problem.data, eta[alike.of_record], tau).value.sum()
        return -2.0 * float(whole - family.at(few.data, eta, tau).value.sum())

    @kept
    def records(self) -> SortedRecords | LevelTotals | None:
        """Totals of the levels, or records by level for compiled passes, where these serve."""
        if not self._is_plain:
            return None
        if LevelTotals.serves(self.different):
            return LevelTotals(self.different)
        return SortedRecords(self.different) if SortedRecords.serves(self.different) else None

    @property
    def _is_plain(self) -> bool:
        """Whether it is Laplace's approximation by the observed information."""
        return self.points == 1 and (self.problem.family.canonical or not self.expected)

    @kept
    def of_scalars(self) -> bool:
        """Whether vectors over the levels have all that a pass over few records makes."""
        return self._is_plain and are_scalar(self.different)

    def at(self, point: Psi) -> CriterionAt | None:
        """The criterion at a point; None where there is no mode."""
        found: CriterionAt | None = self._at(point)
        if found is not None and self.different is not self.problem:
            found = OfMerged(self.problem, found, self.constant, self.expected, self.points)
        if found is not None and self.tell is not None:
            self.tell(self.evaluations, found.value, point)
        return found

    def _at(self, point: Psi) -> CriterionAt | None:
        """The criterion at a point, of the different records alone."""
        self.evaluations += 1
        if not np.isfinite(point.x).all():
            return None
        u = self.problem.columns.nothing() if self.u is None else self.u
        if self.points == 0:
            return self._fast(point, u)
        if self.records is None:
            return self._by_vectors(point, u) or self._by_steps(point, u)
        found = self.records.at(point, u[0].T.copy())
        self.passes += 0 if found is None else found.passes
        return found

    def _fast(self, point: Psi, u: Effects) -> Fast | None:
        """Gamma is searched with the mode, from the last one."""
        start = point if self.gamma is None else replace(point, gamma=self.gamma)
        found, passes = fast(self.different, start, u)
        self.passes += passes
        return found if found is not None and np.isfinite(found.value) else None

    def keep(self, found: CriterionAt) -> None:
        """Begin with this mode at the next point."""
        self.u, self.gamma = found.u, found.at.gamma
        of = found.of if isinstance(found, OfMerged) else found
        self.known = of.mode.factor if self.different.equations.dear and isinstance(of, Laplace) else None

    def _by_vectors(self, point: Psi, u: Effects) -> Laplace | None:
        """The criterion of scalar effects; None where these are none, or some H is not positive on the way."""
        if not self.of_scalars or self.wall is not None:
            return None
        found = of_scalars(self.different, point, u[0][0])
        self.passes += 0 if found is None else found.mode.passes
        return found if found is not None and np.isfinite(found.value) else None

    def _by_steps(self, point: Psi, u: Effects) -> Laplace | None:
        """The criterion at a point by Newton steps that all levels take together."""
        problem = self.different if self.wall is None else self.endless
        prior = Prior.at(self.problem.blocks, point.theta)
        fixed = problem.offset + point.gamma @ problem.Q
        mode = None if self.known is None else mode_near(problem, prior, fixed, point.tau, u, self.known)
        mode = mode or find_mode(problem, prior, fixed, point.tau, u)
        if (mode is None or mode.factor is None) and self.u is not None:  # a mode that is far off can be a poor start
            mode = find_mode(problem, prior, fixed, point.tau, problem.columns.nothing())
        if mode is None or mode.factor is None:
            return None
        self.passes += mode.passes
        factor = mode.factor
        if self.expected and not problem.family.canonical:
            try:
                factor = problem.equations.factor(prior, mode.density.expected)
            except NotPositiveDefiniteError:
                return None
        if self.points > 1:
            found: Laplace = Quadrature(problem, point, mode, factor, False, self.points)
        else:
            found = Laplace(problem, point, mode, factor, self.expected)
        if self.wall is not None:
            found = Walled(problem, point, mode, factor, self.expected, self.wall, self.different)
        return found if np.isfinite(found.value) else None

    def point(self, x: np.ndarray) -> Psi:
        """The point of parameters x."""
        k = self.problem.model.k
        p = len(self.problem.Q)
        return Psi(x[:k], x[k : k + p], x[k + p :])
