"""Many responses of one generalised model with one block of independent levels, searched by compiled loops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.engine.blocks import sizes_of_theta
from mme.errors import MMEError
from mme.family.base import Observed
from mme.family.negative_binomial import SIZED
from mme.family.point import whole
from mme.generalised.criterion import Criterion
from mme.generalised.descent import FAR, TOLERANCE
from mme.generalised.each_response import each_response
from mme.generalised.laplace import Psi, directions
from mme.generalised.problem import Problem
from mme.generalised.scoring import first_inverse
from mme.generalised.search import COSTS, nearly_zero
from mme.generalised.sorted_records import SortedRecords, weights_above
from mme.generalised.start import near
from mme.numeric.descents import DescentsInStep
from mme.numeric.kept import kept
from mme.numeric.kernels import kernel
from mme.numeric.limits import limits
from mme.numeric.processors import in_threads


@dataclass(frozen=True, eq=False)
class LevelEnds:
    """Where searches ended: x (B, m), criterion, what another step promises and evaluations (B,)."""

    x: np.ndarray
    criterion: np.ndarray
    promised: np.ndarray
    evaluations: np.ndarray


@dataclass(frozen=True, eq=False)
class LevelSearches:
    """Searches from one ``point``, at which theta stays where it is ``given``."""

    problem: Problem
    point: Psi
    given: bool = False

    @classmethod
    def of(cls, criterion: Criterion, at: Psi, *, given: bool) -> LevelSearches | None:
        """Make it for the criterion of a fit that ended at a point; None where responses are searched one by one."""
        problem = criterion.problem
        served = criterion.points == 1 and (problem.family.canonical or not criterion.expected)
        if not (served and SortedRecords.can_serve(problem)):
            return None
        structures = problem.blocks[0].structures
        if any(part.entries is None or part.relationship is not None for part in structures):
            return None
        return cls(problem, at if given else near(problem, at), given)

    @kept
    def sorted(self) -> SortedRecords:
        """The different records by level: of any response, those that are one but for y."""
        summed = self.problem.family.merges == "sums"
        return SortedRecords(self.problem.merged if summed else self.problem)

    @kept
    def inverse(self) -> np.ndarray:
        """The inverse Hessian (m, m) to begin with, zero for what is held.

        Raises
        ------
        MMEError
            The likelihood has no value at the point.
        """
        at = Criterion(self.problem).at(self.point)
        if at is None:
            raise MMEError("the likelihood has no value where the searches begin")
        k = self.problem.model.k
        held = np.zeros(self.point.x.size, dtype=bool)
        held[:k] = True if self.given else ~self.problem.free
        found = first_inverse(at.curved)
        found[held] = 0.0
        found[:, held] = 0.0
        return found

    def search(self, responses: Sequence[Observed], threads: int = 1) -> LevelEnds:
        """Search for each response, as many at a time as memory is meant to hold."""
        size = max(1, limits().response_numbers // (6 * self.problem.n))
        parts = [self._searched(responses[at : at + size], threads) for at in range(0, len(responses), size)]
        return LevelEnds(*(np.concatenate(one) for one in zip(*parts, strict=True)))

    def _searched(self, responses: Sequence[Observed], threads: int) -> tuple[np.ndarray, ...]:
        passes = LevelPasses(self, *self._sorted(responses), threads)
        B = len(responses)
        x, begun = np.tile(self.point.x, (B, 1)), np.tile(self.inverse, (B, 1, 1))
        found = DescentsInStep(passes.at, passes.keep, x, begun, TOLERANCE, FAR)
        found.descend(np.arange(B))
        size = sizes_of_theta(self.problem.blocks, self.problem.model.k)
        for j, bound in nearly_zero(self.problem.model.diagonal):
            rows = np.flatnonzero((found.begun[:, j, j] > 0.0) & (np.abs(found.x[:, j]) * size[j] <= bound))
            zero = found.x[rows].copy()
            zero[:, j] = 0.0
            value, g = passes.at(rows, zero)
            none = value <= found.value[rows] + COSTS
            passes.keep(rows, np.flatnonzero(none))
            found.value[rows[none]], found.g[rows[none]] = value[none], g[none]
            found.held(rows[none], j)
            found.descend(rows[none])
        return found.x, found.value + self._constants(responses), found.promised, passes.evaluations

    def _sorted(self, responses: Sequence[Observed]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Y and weights (B, n) of the different records, level by level, and what ``rising`` takes (B, most)."""
        found, order = self.problem.alike if self.sorted.problem is not self.problem else None, self.sorted.order
        few = [data if found is None else found.observed(data) for data in responses]
        Y, weights = np.array([data.y[order] for data in few]), np.array([data.weights[order] for data in few])
        if self.problem.family.kind != SIZED:
            return Y, weights, np.zeros((len(few), 0))
        above = np.zeros((len(few), int(Y.max(initial=0.0)) + 1))
        for row, data in zip(above, few, strict=True):
            own = weights_above(data.y, data.weights)
            row[: own.size] = own
        return Y, weights, above

    def _constants(self, responses: Sequence[Observed]) -> np.ndarray:
        """What the compiled density leaves out of each criterion (B,): at eta of zero and the first tau."""
        family, tau, B = self.problem.family, self.point.tau, len(responses)
        data = Observed(
            np.concatenate([one.y for one in responses]), np.concatenate([one.weights for one in responses])
        )
        eta = np.zeros(data.n)
        left = family.at(data, eta, tau).value
        loop = kernel(compiled_values, data.n * 10)
        loop(family.kind, family.size_of(tau), data.y, data.weights, family.kind == SIZED, left)
        return -2.0 * left.reshape(B, -1).sum(axis=1)


@dataclass(eq=False)
class LevelPasses:
    """(L) of many responses and its gradients, modes from those that were kept last."""

    of: LevelSearches
    Y: np.ndarray
    weights: np.ndarray
    above: np.ndarray
    threads: int

    def __post_init__(self) -> None:
        B, block = len(self.Y), self.of.problem.blocks[0]
        self.modes, self.evaluations = np.zeros((B, block.J, block.q)), np.zeros(B, dtype=np.int64)
        self.along = directions(block, self.of.point.theta)

    def at(self, rows: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (rows,) and gradients (rows, m) at points of these responses."""
        problem, records = self.of.problem, self.of.sorted
        theta, gamma, tau = np.split(x, np.cumsum([problem.model.k, len(problem.Q)]), axis=1)
        k, q = np.array([problem.family.size_of(one) for one in tau]), problem.blocks[0].q
        T = np.zeros((rows.size, q, q))
        for j, D in self.along:
            T += theta[:, j, None, None] * D
        self._trial, by_T, by_gamma = self.modes[rows], np.zeros(T.shape), np.zeros(gamma.shape)
        by_k, value, gamma = np.zeros((rows.size, 1)), np.empty(rows.size), np.ascontiguousarray(gamma)
        shared = (None if q > 1 else 1, problem.family.kind)
        data = (records.starts, records.records, records.offset)
        loop = kernel(each_response, limits().interpreted_steps + 1)

        def run(at: slice) -> None:
            own = (rows[at], self.Y, self.weights, self.above, gamma[at], T[at], self._trial[at])
            loop(*shared, k[at], *data, *own, by_T[at], by_gamma[at], by_k[at], value[at])

        in_threads(run, rows.size, self.threads)
        self.evaluations[rows] += 1
        by_theta = np.zeros(theta.shape)
        for j, D in self.along:
            by_theta[:, j] = np.einsum("ab,gab->g", D, by_T)
        return value, np.concatenate([by_theta, by_gamma, by_k[:, : tau.shape[1]]], axis=1)

    def keep(self, rows: np.ndarray, taken: np.ndarray) -> None:
        """Begin with the modes of the trial that was last evaluated, of those of its rows that took it."""
        self.modes[rows[taken]] = self._trial[taken]


def compiled_values(kind: int, k: float, y: np.ndarray, weights: np.ndarray, rises: bool, left: np.ndarray) -> None:
    """Subtract from ``left`` (n,) what the compiled density has of each record at eta of zero."""
    for i in range(y.size):
        left[i] -= whole(kind, k, y[i], weights[i], 0.0)[0]
        if rises:
            for j in range(1, int(y[i])):
                left[i] -= weights[i] * np.log1p(j / k)
