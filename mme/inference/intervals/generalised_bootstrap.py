"""Parametric bootstrap of generalised models: the model fitted again to responses drawn from itself.

A refit takes over all that does not depend on y (:meth:`mme.generalised.problem.Problem.with_data`) and starts from the
parameters that the responses were drawn from. Replicate i has a random stream of its own, made of the seed and i.
"""

from __future__ import annotations

import sys
from collections import Counter
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
from mme.inference.intervals.refits import Progress, replicates, reporter
from mme.model.problem import Model
from mme.numeric.processors import processors
from mme.results.simulate import GeneralisedSimulator
from mme.tables.arguments import count, entropy


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
        reasons = []
        for row, number in zip(rows, numbers, strict=True):
            try:
                row[:] = self._replicate(number)
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
        return rows, reasons

    def _replicate(self, number: int) -> np.ndarray:
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(number,)))
        y, data = self.simulator(rng, 1)[:, 0], self.data
        problem = self.problem.with_data(Observed(y, data.weights, data.levels))
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
    refitter = GeneralisedRefitter(
        fit.model,
        fit.family,
        problem.data,
        at,
        criterion.expected,
        criterion.points,
        fit.searched.given,
        origin,
        problem,
    )
    processes = min(processors() if workers is None else workers, n)
    rows: list[np.ndarray] = []
    reasons: Counter[str] = Counter()
    report = reporter(progress, n)
    for piece, failed in replicates(refitter, n, processes, start_method or _safe_start_method(problem)):
        rows.append(piece)
        reasons.update(failed)
        report(sum(map(len, rows)))
    table, k = np.concatenate(rows), fit.model.k
    of_family = fit.family.parameter_names(problem.data)
    P = table.shape[1] - k - 2
    return Bootstrap(
        names=generalised_names(fit.model, of_family, fit.fixed_names),
        theta_names=fit.theta_names,
        estimates=parameters_of(problem, fit.theta, at),
        values=table[:, :P],
        theta=table[:, P : P + k],
        singular=table[:, P + k] == 1.0,
        converged=table[:, P + k + 1] == 1.0,
        failures=dict(reasons),
        seed=origin,
    )


def _safe_start_method(problem: Problem) -> str:
    """Fork shares what is assembled, but CHOLMOD's threads do not survive it."""
    sparse = isinstance(problem.equations, SparseEquations)
    sparse = sparse or any(term.relationship is not None for term in problem.model.terms)  # to draw from
    return "fork" if sys.platform == "linux" and not sparse else "spawn"
