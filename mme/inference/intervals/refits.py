"""Replicates of a bootstrap: a model drawn from and fitted again, in one process or in several."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mme.engine.criterion import residual_sd
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.engine.pls import pwrss
from mme.errors import MMEError, warn
from mme.fitted.natural import parameter_values
from mme.many.refits import in_columns, is_found
from mme.many.searches import Searches
from mme.model.cases import LeftOut, Resampled
from mme.model.problem import Model
from mme.numeric.lapack import triangular_solve
from mme.numeric.limits import Limits, limits, set_limits
from mme.results.resample import drawn_by
from mme.results.simulate import Simulator
from mme.search.found import Found
from mme.search.known_derivatives import AUTO
from mme.search.loop import search
from mme.search.verdict import Optimum
from mme.solution.estimates import Estimates

# Rows of replicates by their numbers, and reasons of those that failed.
Worker = Callable[[range], tuple[np.ndarray, list[str]]]
# Pieces of work a process: enough for the progress line, and for no process to wait long for the last.
_PIECES = 16


@dataclass(eq=False)
class Refitter:
    """Draws and fits replicates by their numbers. A process that does not share memory assembles the model anew.

    ``parts`` says of which groups a replicate has the records; None: of all, with a response of its own. The Hessian of
    ``alike``, the optimum of the fit, serves for first steps.
    """

    model: Model
    theta: np.ndarray
    phi: np.ndarray
    plan: Plan
    given: bool
    entropy: Any
    known: Objective | None
    searching: Callable[..., Found] = search
    draws: str = "parametric"
    parts: Resampled | LeftOut | None = None
    alike: Optimum | None = None

    def __getstate__(self) -> dict[str, Any]:
        fields = ("model", "theta", "phi", "plan", "given", "entropy", "searching", "draws", "parts", "alike")
        return {name: getattr(self, name) for name in fields} | {"known": None}

    @cached_property
    def objective(self) -> Objective:
        """The model's criterion at the phi of the fit."""
        return self.known or Objective.of(self.model, phi=self.phi, plan=self.plan)

    @cached_property
    def simulator(self) -> Simulator:
        """Draws responses at the estimates."""
        return drawn_by(self.draws, Estimates(self.objective, self.theta))

    @cached_property
    def batch(self) -> Searches | None:
        """Searches many replicates together; None where each is searched by itself."""
        if self.given or self.parts is not None or self.searching is not search:
            return None
        return Searches.of(self.objective)

    def __call__(self, numbers: range) -> tuple[np.ndarray, list[str]]:
        """One row per replicate (parameters, theta, singular, converged), NaN and a reason for those that failed."""
        width = parameters_of(self.objective, self.theta).size + self.model.k + 2
        rows = np.full((len(numbers), width), np.nan)
        together = len(numbers) >= limits().responses_together and self.batch is not None
        alone = self._together(numbers, rows) if together else np.ones(len(numbers), dtype=bool)
        reasons = []
        for i in np.flatnonzero(alone).tolist():
            try:
                rows[i] = self._replicate(numbers[i])
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
        return rows, reasons

    def _together(self, numbers: range, rows: np.ndarray) -> np.ndarray:
        """Fill the rows of replicates that are found together; which (n,) are left to be searched by themselves."""
        batch = self.batch
        assert batch is not None
        Y = np.array([self._drawn(number) for number in numbers])
        near = np.tile(self.model.coordinates.inner(self.theta), (len(Y), 1))
        ends = batch.search(Y, np.zeros((0, batch.objective.system.p)), near)
        theta, singular = in_columns(batch, ends.theta)
        found = is_found(batch, ends)
        phi = self.objective.phi
        for i in np.flatnonzero(found).tolist():
            values = parameter_values(self.model, theta[i], phi, ends.sigma[i], ends.beta[i])
            rows[i] = np.concatenate([values, theta[i], [float(singular[i]), 1.0]])
        return ~found

    def _drawn(self, number: int) -> np.ndarray:
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(number,)))
        return self.simulator(rng, 1)[:, 0]

    def sample(self, number: int) -> Objective:
        """The criterion of a replicate: of a response drawn, or of the records of some groups.

        Raises
        ------
        MMEError
            These do not determine all fixed effects.
        """
        if self.parts is None:
            return self.objective.with_response(self._drawn(number))
        cases = self.parts.cases
        made = Objective.of(cases.of(self.parts.levels(number)), phi=self.phi)
        if made.basis.kept.size < len(cases.model.x_names):
            raise MMEError("the groups of a sample do not determine all fixed effects")
        return made

    def _replicate(self, number: int) -> np.ndarray:
        objective = self.sample(number)
        theta = self.theta if self.given else None
        found = self.searching(objective.model, theta, False, self.theta, objective, AUTO, self.alike)
        flags = [float(bool(found.optimum.boundary)), float(found.optimum.converged)]
        return np.concatenate([parameters_of(found.objective, found.optimum.theta), found.optimum.theta, flags])


def parameters_of(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Standard deviations, correlations, sigma, natural parameters of the residual structure, and beta."""
    if objective.model.is_wide:
        at = Estimates(objective, theta)
        return parameter_values(objective.model, theta, objective.phi, at.sigma, at.beta)
    border, p = objective.triangle(theta)[1], objective.system.p
    gamma = triangular_solve(border[:p, :p], border[p, :p], transposed=True)
    sigma = residual_sd(objective.constants, pwrss(border))
    return parameter_values(objective.model, theta, objective.phi, sigma, objective.basis.coefficients(gamma))


_refitter: Worker | None = None


def _begin(refitter: Worker, bounds: Limits) -> None:
    """Make a process ready: its part of the work, its limits, and one thread for each of its matrix libraries."""
    global _refitter
    _refitter = refitter
    set_limits(bounds)
    with suppress(ImportError):
        import threadpoolctl

        threadpoolctl.threadpool_limits(1)


def _work(numbers: range) -> tuple[np.ndarray, list[str]]:
    assert _refitter is not None
    return _refitter(numbers)


def replicates(
    refitter: Worker, n: int, processes: int, method: str, least: int = 1
) -> Iterator[tuple[np.ndarray, list[str]]]:
    """The replicates in order, in pieces of at least so many."""
    size = max(least, n // (_PIECES * processes))
    pieces = [range(first, min(first + size, n)) for first in range(0, n, size)]
    if processes == 1:
        yield from map(refitter, pieces)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(processes, context, _begin, (refitter, limits())) as pool:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside idle threads of the BLAS
                found = pool.map(_work, pieces)
            yield from found
        except BrokenProcessPool:
            raise MMEError(
                "the processes of the bootstrap ended early: memory ran out, or the script that calls it starts them "
                "again; put the call under  if __name__ == '__main__':  or use workers=1"
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def collected(
    pieces: Iterator[tuple[np.ndarray, list[str]]], n: int, report: Callable[[int], None]
) -> tuple[np.ndarray, dict[str, int]]:
    """All rows and how often each reason was given; what an interruption leaves, which is said."""
    rows: list[np.ndarray] = []
    reasons: Counter[str] = Counter()
    try:
        for piece, failed in pieces:
            rows.append(piece)
            reasons.update(failed)
            report(sum(map(len, rows)))
    except KeyboardInterrupt:
        if not rows:
            raise
        done = f"interrupted: {sum(map(len, rows))} of {n} replicates are done"
        warn(done)
    return np.concatenate(rows), dict(reasons)


def safe_start_method(objective: Objective) -> str:
    """Fork shares the assembled model, but CHOLMOD's threads do not survive it: a forked factorisation never ends."""
    sparse = bool(objective.rest) and not objective.plan.dense
    sparse = sparse or any(term.relationship is not None for term in objective.model.terms)  # to draw from
    return "fork" if sys.platform == "linux" and not sparse else "spawn"
