"""Parametric bootstrap of generalised models: the model fitted again to responses drawn from itself.

A refit takes over all that does not depend on y (:meth:`mme.generalised.problem.Problem.with_data`) and starts from the
parameters that the responses were drawn from. Replicate i has a random stream of its own, made of the seed and i.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family, Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.generalised_refit import searched_again
from mme.fitted.natural import generalised_names, generalised_values
from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.generalised.sparse import SparseEquations
from mme.generalised.verdict import judge
from mme.inference.intervals.bootstrap import Bootstrap
from mme.inference.intervals.refits import Progress, collected, replicates, reporter
from mme.many.generalised_refits import GeneralisedBatch
from mme.model.problem import Model
from mme.numeric.limits import limits
from mme.numeric.processors import processors
from mme.results.simulate import GeneralisedSimulator
from mme.tables.arguments import count, entropy

# Replicates that are searched together before progress is told.
_TOGETHER = 250


@dataclass(eq=False)
class GeneralisedRefitter:
    """Draws and fits replicates by their numbers. A process that does not share memory assembles the model anew."""

    model: Model
    family: Family
    data: Observed
    at: Psi
    expected: bool
    points: int
    given: bool
    entropy: Any
    known: Problem | None
    batch: GeneralisedBatch | None = None
    threads: int = 1

    def __getstate__(self) -> dict[str, Any]:
        fields = ("model", "family", "at", "expected", "points", "given", "entropy")
        data = Observed(self.data.y, self.data.weights, self.data.levels)
        return {name: getattr(self, name) for name in fields} | {"data": data, "known": None}

    @cached_property
    def problem(self) -> Problem:
        """What no response changes."""
        return self.known or Problem(self.model, self.family, self.data)

    @cached_property
    def simulator(self) -> GeneralisedSimulator:
        """Draws responses at the estimates."""
        return GeneralisedSimulator(self.problem, self.at)

    def __call__(self, numbers: range) -> tuple[np.ndarray, list[str]]:
        """A row a replicate (parameters, theta, singular, converged), NaN and a reason for those that failed."""
        k, p, r = self.at.theta.size, self.at.gamma.size, self.at.tau.size
        rows = np.full((len(numbers), 2 * k + r + p + 2), np.nan)
        reasons, every = [], list(range(len(numbers)))
        for i in every if self.batch is None else self._together(self.batch, numbers, rows):
            try:
                rows[i] = self._replicate(numbers[i])
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
        return rows, reasons

    def _together(self, batch: GeneralisedBatch, numbers: range, rows: np.ndarray) -> list[int]:
        """Fill the rows of replicates that are found together; which are left to be searched by themselves."""
        points, _, left = batch.search([self._drawn(number) for number in numbers], self.threads)
        for i in np.flatnonzero(~left).tolist():
            theta, singular = batch.outer(points[i])
            at = batch.fit.searched.criterion.point(points[i])
            rows[i] = np.concatenate([parameters_of(self.problem, theta, at), theta, [float(singular), 1.0]])
        return np.flatnonzero(left).tolist()

    def _drawn(self, number: int) -> Observed:
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(number,)))
        return Observed(self.simulator(rng, 1)[:, 0], self.data.weights, self.data.levels)

    def _replicate(self, number: int) -> np.ndarray:
        problem = self.problem.with_data(self._drawn(number))
        as_in = Criterion(problem, self.expected, self.points)
        found = searched_again(problem, as_in, self.at, given=self.given)
        optimum = judge(problem, found)
        values = parameters_of(problem, optimum.theta, found.at.at)
        flags = [float(bool(optimum.boundary)), float(optimum.converged)]
        return np.concatenate([values, optimum.theta, flags])


def parameters_of(problem: Problem, theta: np.ndarray, at: Psi) -> np.ndarray:
    """Standard deviations and correlations, natural parameters of the family, and beta."""
    return generalised_values(problem.model, theta, problem.family.natural(at.tau), problem.beta(at.gamma))


def bootstrap_generalised(
    fit: GeneralisedFitted,
    n: int,
    seed: int | None,
    workers: int | None,
    progress: Progress,
    *,
    start_method: str | None = None,
) -> Bootstrap:
    """Draw n responses from a fit and fit its model to each; see ``GeneralisedFit.bootstrap()``."""
    n, workers = count(n, "n"), None if workers is None else count(workers, "workers")
    origin: Any = entropy(seed).entropy
    problem, criterion, at = fit.problem, fit.searched.criterion, fit.searched.at.at
    told = (criterion.expected, criterion.points, fit.searched.given)
    refitter = GeneralisedRefitter(fit.model, fit.family, problem.data, at, *told, origin, problem)
    processes, least = min(processors() if workers is None else workers, n), 1
    batch = GeneralisedBatch.of(fit) if n >= limits().responses_together else None
    if batch is not None and batch.together is not None:  # no process begins as quickly
        refitter.batch, refitter.threads, processes, least = batch, processes, 1, _TOGETHER
    pieces = replicates(refitter, n, processes, start_method or _safe_start_method(problem), least)
    (table, reasons), k = collected(pieces, n, reporter(progress, n)), fit.model.k
    P = table.shape[1] - k - 2
    return Bootstrap(
        names=generalised_names(fit.model, fit.family.parameter_names(problem.data), fit.fixed_names),
        theta_names=fit.theta_names,
        estimates=parameters_of(problem, fit.theta, at),
        values=table[:, :P],
        theta=table[:, P : P + k],
        singular=table[:, P + k] == 1.0,
        converged=table[:, P + k + 1] == 1.0,
        failures=reasons,
        seed=origin,
    )


def _safe_start_method(problem: Problem) -> str:
    """Fork shares what is assembled, but CHOLMOD's threads do not survive it."""
    sparse = isinstance(problem.equations, SparseEquations)
    sparse = sparse or any(term.relationship is not None for term in problem.model.terms)  # to draw from
    return "fork" if sys.platform == "linux" and not sparse else "spawn"
