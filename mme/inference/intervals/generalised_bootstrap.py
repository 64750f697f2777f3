"""Bootstrap of generalised models: the model fitted again to responses drawn from itself, or to groups of the data.

A refit takes over all that does not depend on y (:meth:`mme.generalised.problem.Problem.with_data`) and starts from the
parameters that the responses were drawn from. Replicate i has a random stream of its own, made of the seed and i.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family.base import Family, Observed
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.generalised_refit import searched_again
from mme.fitted.natural import covariance_bounds, generalised_names, generalised_values
from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.generalised.search import SearchEnd
from mme.generalised.sparse import SparseEquations
from mme.generalised.verdict import judge
from mme.inference.intervals.bootstrapped import Behind, Bootstrap
from mme.inference.intervals.case_groups import groups_left_out, resampled_groups
from mme.inference.intervals.generalised_wald import natural_errors
from mme.inference.intervals.refits import Worker, collected, replicates
from mme.many.generalised_refits import GeneralisedBatch
from mme.model.cases import LeftOut, Resampled
from mme.model.problem import Model
from mme.numeric.bars import Progress, reporter
from mme.numeric.limits import limits
from mme.numeric.processors import processors
from mme.results.generalised_variances import family_bounds
from mme.results.simulate import GeneralisedSimulator
from mme.tables.arguments import count, entropy, is_word
from mme.tables.arrays import shown

# Replicates that are searched together before progress is told.
_TOGETHER = 250
_DRAWS = ("parametric", "cases")


@dataclass(eq=False)
class GeneralisedRefitter:
    """Draws and fits replicates by their numbers. A process that does not share memory assembles the model anew.

    ``parts`` says of which groups a replicate has the records; None: of all, with a response of its own.
    """

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
    parts: Resampled | LeftOut | None = None

    def __getstate__(self) -> dict[str, Any]:
        fields = ("model", "family", "at", "expected", "points", "given", "entropy", "parts")
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
        """One row per replicate (parameters, theta, singular, converged), NaN and a reason for those that failed."""
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

    def sample(self, number: int) -> tuple[Problem, Psi]:
        """The problem of a replicate, and the parameters of the fit in its coordinates.

        Raises
        ------
        MMEError
            Groups were drawn that do not determine all fixed effects.
        """
        if self.parts is None:
            return self.problem.with_data(self._drawn(number)), self.at
        cases, levels = self.parts.cases, self.parts.levels(number)
        made = Problem(cases.of(levels), self.family, self.data.at(cases.records(levels)))
        if made.basis.kept.size < len(cases.model.x_names):
            raise MMEError("the groups of a sample do not determine all fixed effects")
        theta = made.model.coordinates.inner(self.model.coordinates.outer(self.at.theta))
        return made, Psi(theta, made.gamma(self.problem.beta(self.at.gamma)), self.at.tau)

    def found(self, number: int) -> tuple[Problem, SearchEnd]:
        """The problem of a replicate, and where its search ended."""
        problem, near = self.sample(number)
        return problem, searched_again(problem, Criterion(problem, self.expected, self.points), near, given=self.given)

    def _replicate(self, number: int) -> np.ndarray:
        problem, found = self.found(number)
        optimum = judge(problem, found)
        values = parameters_of(problem, optimum.theta, found.at.at)
        flags = [float(bool(optimum.boundary)), float(optimum.converged)]
        return np.concatenate([values, optimum.theta, flags])


def parameters_of(problem: Problem, theta: np.ndarray, at: Psi) -> np.ndarray:
    """Standard deviations and correlations, natural parameters of the family, and beta."""
    return generalised_values(problem.model, theta, problem.family.natural(at.tau), problem.beta(at.gamma))


@dataclass(frozen=True, eq=False)
class GeneralisedBehind(Behind):
    """A generalised fit; groups are levels of ``by``."""

    fit: GeneralisedFitted
    refitter: GeneralisedRefitter
    processes: int
    by: Any

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of standard deviations, correlations, the family's parameters and fixed effects."""
        free = ((-np.inf, np.inf),) * len(self.fit.fixed_names)
        low, high = np.array([*covariance_bounds(self.fit.model), *family_bounds(self.fit), *free]).T
        return low, high

    def without_groups(self) -> np.ndarray:
        """By refits to the records of the others."""
        parts = groups_left_out(self.fit, self.by)
        return self._made(replace(self.refitter, parts=parts, batch=None), parts.parts)

    def standard_errors(self, theta: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the Hessian of the criterion of each, searched again."""
        return errors_of(self.fit), self._made(GeneralisedReplicateErrors(self.fit, self.refitter), len(theta))

    def _made(self, worker: Worker, n: int) -> np.ndarray:
        pieces = replicates(worker, n, min(self.processes, n), _safe_start_method(self.fit.problem))
        return collected(pieces, n, lambda done: None)[0][:, : self.bounds[0].size]


@dataclass(eq=False)
class GeneralisedReplicateErrors:
    """Standard errors of replicates by their numbers."""

    fit: GeneralisedFitted
    refitter: GeneralisedRefitter

    def __call__(self, numbers: range) -> tuple[np.ndarray, list[str]]:
        """One row per replicate, NaN for one that failed."""
        rows, reasons = [], list[str]()
        for number in numbers:
            try:
                problem, found = self.refitter.found(number)
                made = replace(self.fit, model=problem.model, problem=problem, searched=found)
                rows.append(errors_of(replace(made, optimum=judge(problem, found))))
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
                rows.append(np.full(self.fit.model.k + self.fit.optimum.tau.size + len(self.fit.fixed_names), np.nan))
        return np.array(rows), reasons


def errors_of(fit: GeneralisedFitted) -> np.ndarray:
    """Standard errors of all parameters, on the scale without bounds; NaN where there is none."""
    return np.append(natural_errors(fit).unbounded_se, np.linalg.norm(fit.estimates.half, axis=0))


def bootstrap_generalised(
    fit: GeneralisedFitted,
    n: int,
    seed: int | None,
    workers: int | None,
    progress: Progress,
    *,
    start_method: str | None = None,
    draws: str = "parametric",
    by: Any = None,
) -> Bootstrap:
    """Draw n responses, or as many groups, from a fit and fit its model to each; see ``GeneralisedFit.bootstrap()``."""
    n, workers = count(n, "n"), None if workers is None else count(workers, "workers")
    if not is_word(draws, _DRAWS):
        raise MMEError(f"draws must be one of {', '.join(map(repr, _DRAWS))}; got {shown(draws)}")
    origin: Any = entropy(seed).entropy
    problem, criterion, at = fit.problem, fit.searched.criterion, fit.searched.at.at
    told = (criterion.expected, criterion.points, fit.searched.given)
    refitter = GeneralisedRefitter(fit.model, fit.family, problem.data, at, *told, origin, problem)
    refitter.parts = resampled_groups(fit, by, origin) if draws == "cases" else None
    wanted = processors() if workers is None else workers
    processes, least = min(wanted, n), 1
    together = refitter.parts is None and n >= limits().responses_together
    batch = GeneralisedBatch.of(fit) if together else None
    if batch is not None and batch.together is not None:  # no process begins as quickly
        refitter.batch, refitter.threads, processes, least = batch, processes, 1, _TOGETHER
    pieces = replicates(refitter, n, processes, start_method or _safe_start_method(problem), least)
    (table, reasons), k = collected(pieces, n, reporter("bootstrap", n, progress)), fit.model.k
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
        behind=GeneralisedBehind(fit, refitter, wanted, by),
    )


def _safe_start_method(problem: Problem) -> str:
    """Fork shares what is assembled, but CHOLMOD's threads do not survive it."""
    sparse = isinstance(problem.equations, SparseEquations)
    sparse = sparse or any(term.relationship is not None for term in problem.model.terms)  # to draw from
    return "fork" if sys.platform == "linux" and not sparse else "spawn"
