r"""Bootstrap: the model fitted again to responses drawn from itself, or to groups drawn from the data.

A refit takes over all that does not depend on y (:meth:`mme.engine.objective.Objective.with_response`) and starts from
the theta that the responses were drawn from. Replicate i has a random stream of its own, made of the seed and i, so
that results do not depend on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.natural import natural_values, parameter_bounds, parameter_names, residual_names
from mme.fitted.record import Fitted
from mme.inference.intervals.bootstrapped import Behind, Bootstrap
from mme.inference.intervals.case_groups import groups_left_out, resampled_groups
from mme.inference.intervals.refits import (
    Refitter,
    Worker,
    collected,
    parameters_of,
    replicates,
    safe_start_method,
)
from mme.inference.intervals.whole import AllParameters
from mme.numeric.bars import Progress, reporter
from mme.numeric.delta import unbounded
from mme.numeric.limits import limits
from mme.numeric.processors import processors
from mme.results.components import accuracy
from mme.results.resample import DRAWS
from mme.search.found import Found
from mme.search.loop import search
from mme.tables.arguments import count, entropy, is_word
from mme.tables.arrays import shown

# Replicates that are searched together before progress is told.
_TOGETHER = 250


@dataclass(frozen=True, eq=False)
class LinearBehind(Behind):
    """A linear fit, all of whose parameters are determined, among ``whole``; groups are levels of ``by``."""

    fit: Fitted
    whole: AllParameters
    refitter: Refitter
    processes: int
    by: Any

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Of standard deviations, correlations, parameters of the residuals and fixed effects."""
        model = self.fit.model
        of_residual = () if model.residual is None else model.residual.bounds
        free = ((-np.inf, np.inf),) * len(self.fit.fixed_names)
        low, high = self.whole.spread(np.array([*parameter_bounds(model), *of_residual, *free]).T)
        return low, high

    def without_groups(self) -> np.ndarray:
        """By refits to the records of the others."""
        parts = groups_left_out(self.fit, self.by)
        return self._made(replace(self.refitter, parts=parts), parts.parts)[:, : self.whole.open.size]

    def standard_errors(self, theta: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By the observed information, and of fixed effects given theta."""
        own = self.whole.spread(errors_of(self.fit))
        worker = ReplicateErrors(self.fit, self.refitter, theta, self._phi(values[:, self.whole.places]))
        return own, self._made(worker, len(theta))

    def _made(self, worker: Worker, n: int) -> np.ndarray:
        pieces = replicates(worker, n, min(self.processes, n), safe_start_method(self.fit.objective))
        rows = collected(pieces, n, lambda done: None)[0]
        return self.whole.spread(rows[:, : self.whole.places.size])

    def _phi(self, values: np.ndarray) -> np.ndarray:
        """Coordinates (n, r) of the residual structure from all parameters (n, P); of those given, as they are."""
        structure = self.fit.model.residual
        if structure is None:
            return np.zeros((len(values), 0))
        end = values.shape[1] - len(self.fit.fixed_names)
        natural = values[:, end - structure.k : end]
        natural = np.where(np.isnan(natural), structure.natural(self.fit.optimum.phi), natural)
        return np.array([structure.coordinates(row) for row in natural])


@dataclass(eq=False)
class ReplicateErrors:
    """Standard errors of replicates by their numbers, which ended at theta (n, k) and phi (n, r)."""

    fit: Fitted
    refitter: Refitter
    theta: np.ndarray
    phi: np.ndarray

    def __call__(self, numbers: range) -> tuple[np.ndarray, list[str]]:
        """One row per replicate, NaN for one that failed."""
        rows, reasons = [], list[str]()
        for number in numbers:
            try:
                rows.append(errors_of(self._fit(number)))
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
                rows.append(np.full(len(parameter_names(self.fit.model, self.fit.fixed_names)), np.nan))
        return np.array(rows), reasons

    def _fit(self, number: int) -> Fitted:
        theta, phi = self.theta[number], self.phi[number]
        if np.isnan(theta).any():
            raise MMEError("there is no replicate")
        objective = self.refitter.sample(number).at(phi)
        optimum = replace(self.fit.optimum, theta=theta, phi=phi)
        return replace(self.fit, model=objective.model, objective=objective, optimum=optimum)


def errors_of(fit: Fitted) -> np.ndarray:
    """Standard errors (P,) of all parameters, on the scale without bounds; NaN where there is none."""
    model, structure = fit.model, fit.model.residual
    bounds = [*parameter_bounds(model), *(() if structure is None else structure.bounds)]
    low, high = np.array(bounds).reshape(-1, 2).T

    def scaled(theta: np.ndarray, phi: np.ndarray, sigma: float) -> np.ndarray:
        of_residual = np.zeros(0) if structure is None else structure.natural(phi)
        return unbounded(np.append(natural_values(model, theta, sigma), of_residual), low, high)

    with np.errstate(invalid="ignore", divide="ignore"):
        return np.append(fit.once(accuracy).standard_errors(scaled), fit.estimates.se)


def bootstrap(
    fit: Fitted,
    n: int,
    seed: int | None,
    workers: int | None,
    progress: Progress,
    *,
    searching: Callable[..., Found] = search,
    start_method: str | None = None,
    draws: str = "parametric",
    by: Any = None,
) -> Bootstrap:
    """Draw n responses from a fit and fit its model to each, by ``searching``; see ``fit.bootstrap()``.

    ``start_method`` is how processes begin, "fork" or "spawn"; None: as the model allows.
    """
    n, workers = count(n, "n"), None if workers is None else count(workers, "workers")
    if not is_word(draws, DRAWS):
        raise MMEError(f"draws must be one of {', '.join(map(repr, DRAWS))}; got {shown(draws)}")
    origin: Any = entropy(seed).entropy
    whole, asked, fit = AllParameters.of(fit), fit, fit.determined
    whole.warn(asked, "the bootstrap has no values of")
    known, plan = fit.objective, fit.objective.plan
    given = fit.theta_given and fit.model.held is None
    parts = resampled_groups(fit, by, origin) if draws == "cases" else None
    refitter = Refitter(fit.model, fit.theta, fit.optimum.phi, plan, given, origin, known, searching, draws)
    refitter.parts, refitter.alike = parts, fit.optimum
    assert draws == "cases" or refitter.simulator is not None  # refused before processes begin
    wanted = processors() if workers is None else int(workers)
    processes, least = min(wanted, int(n)), 1
    if n >= limits().responses_together and refitter.batch is not None:  # no process begins as quickly
        processes, least = 1, _TOGETHER
    pieces = replicates(refitter, int(n), processes, start_method or safe_start_method(known), least)
    table, reasons = collected(pieces, int(n), reporter("bootstrap", int(n), progress))
    P, k = whole.places.size, fit.model.k
    given_phi = fit.model.as_given.phi
    if given_phi is not None:  # they are the same in all refits: nothing can be said of their spread
        names = residual_names(fit.model, fit.fixed_names)
        first = P - len(fit.fixed_names) - len(names)
        table[:, first + np.flatnonzero(~np.isnan(given_phi))] = np.nan
    return Bootstrap(
        names=whole.names,
        theta_names=fit.theta_names,
        estimates=whole.spread(parameters_of(fit.objective, fit.theta)),
        values=whole.spread(table[:, :P]),
        theta=table[:, P : P + k],
        singular=table[:, P + k] == 1.0,
        converged=table[:, P + k + 1] == 1.0,
        failures=reasons,
        seed=origin,
        behind=LinearBehind(fit, whole, refitter, wanted, by),
    )
