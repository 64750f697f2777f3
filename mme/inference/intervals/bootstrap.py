"""Parametric bootstrap: the model fitted again to responses drawn from itself.

A refit takes over all that does not depend on y (:meth:`mme.objective.Objective.with_response`) and starts from the
theta that the responses were drawn from. Replicate i has a random stream of its own, made of the seed and i, so that
results do not depend on the number of processes.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mme.engine.criterion import residual_sd
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.engine.pls import pwrss
from mme.errors import MMEError
from mme.fitted.natural import parameter_values, residual_names
from mme.fitted.record import Fitted
from mme.inference.intervals.whole import Whole
from mme.model.problem import Model
from mme.numeric.lapack import triangular_solve
from mme.numeric.limits import Limits, limits, set_limits
from mme.results.simulate import Simulator
from mme.search.loop import Found, search
from mme.solution.estimates import Estimates
from mme.tables.arguments import check_level, count, entropy, is_word
from mme.tables.arrays import shown
from mme.tables.names import unlike

if TYPE_CHECKING:
    import pandas as pd

Progress = bool | Callable[[int, int], None]

# Pieces of work a process: enough for the progress line, and for no process to wait long for the last.
_PIECES = 16
_KINDS = ("percentile", "basic", "normal")


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Replicates of a parametric bootstrap.

    Attributes
    ----------
    names : tuple of str
        Parameters: ``sd_x|g``, ``cor_x2.x1|g``, ``sigma``, those of a residual structure, then the fixed effects.
    estimates : (P,) array
        Their values in the fit that the responses were drawn from.
    values : (n, P) array
        Those of each refit; NaN where it failed, and for a correlation beside a standard deviation of zero.
    theta : (n, k) array
        The relative covariance parameters of each refit.
    singular, converged : (n,) bool
        Whether a refit ended on the boundary; whether its search converged.
    failures : dict
        Why refits failed, and how many did for each reason.
    seed : int
        Makes the same replicates again.
    """

    names: tuple[str, ...]
    theta_names: tuple[str, ...]
    estimates: np.ndarray
    values: np.ndarray
    theta: np.ndarray
    singular: np.ndarray
    converged: np.ndarray
    failures: dict[str, int]
    seed: int

    @property
    def n(self) -> int:
        """Replicates asked for."""
        return int(self.values.shape[0])

    @property
    def n_failed(self) -> int:
        """Replicates that gave no estimates."""
        return sum(self.failures.values())

    @cached_property
    def replicates(self) -> pd.DataFrame:
        """A row a replicate: the parameters, ``theta_...``, ``singular`` and ``converged``."""
        import pandas as pd

        theta = pd.DataFrame(self.theta, columns=unlike((f"theta_{name}" for name in self.theta_names), self.names))
        singular, converged = unlike(("singular", "converged"), self.names)
        flags = pd.DataFrame({singular: self.singular, converged: self.converged})
        return pd.concat([pd.DataFrame(self.values, columns=list(self.names)), theta, flags], axis=1)

    def summary(self) -> pd.DataFrame:
        """``estimate, bias, se`` and ``n``, the replicates that have a value, of each parameter."""
        import pandas as pd

        found = np.isfinite(self.values)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(found, self.values, 0.0).sum(axis=0) / found.sum(axis=0)
            squares = np.where(found, self.values - mean, 0.0) ** 2
            se = np.sqrt(squares.sum(axis=0) / np.maximum(found.sum(axis=0) - 1, 0))
        columns = {"estimate": self.estimates, "bias": mean - self.estimates, "se": se, "n": found.sum(axis=0)}
        return pd.DataFrame(columns, index=list(self.names))

    def confint(self, level: float = 0.95, kind: str = "percentile") -> pd.DataFrame:
        """``lower, upper`` of each parameter, from the replicates that did not fail.

        Parameters
        ----------
        level : float
            Coverage aimed at.
        kind : str
            ``"percentile"``: quantiles of the replicates; ``"basic"``: twice the estimate less these; ``"normal"``: the
            estimate less its bias, plus and minus a normal quantile of standard errors (Davison & Hinkley 1997, ch. 5).
        """
        import pandas as pd

        if not is_word(kind, _KINDS):
            raise MMEError(f"kind must be one of {', '.join(map(repr, _KINDS))}; got {shown(kind)}")
        check_level(level)
        if kind == "normal":
            table = self.summary()
            half = ndtri(0.5 + level / 2.0) * table["se"]
            middle = table["estimate"] - table["bias"]
            return pd.DataFrame({"lower": middle - half, "upper": middle + half})
        tails = [(1.0 - level) / 2.0, (1.0 + level) / 2.0]
        ends = np.array([_quantiles(column[np.isfinite(column)], tails) for column in self.values.T])
        if kind == "basic":
            ends = 2.0 * self.estimates[:, None] - ends[:, ::-1]
        return pd.DataFrame(ends, index=list(self.names), columns=["lower", "upper"])

    def __repr__(self) -> str:
        text = f"Bootstrap of {self.n} replicates, seed {self.seed}: {int(self.singular.sum())} singular, "
        text += f"{int((~self.converged).sum()) - self.n_failed} not converged, {self.n_failed} failed"
        reasons = "".join(f"\n  {count} x {reason}" for reason, count in self.failures.items())
        return f"{text}{reasons}\n{self.summary().to_string()}"


def _quantiles(values: np.ndarray, tails: list[float]) -> np.ndarray:
    """Quantile p is the (n + 1) p-th of n values."""
    return np.quantile(values, tails, method="weibull") if values.size else np.full(2, np.nan)


def bootstrap(
    fit: Fitted,
    n: int,
    seed: int | None,
    workers: int | None,
    progress: Progress,
    *,
    searching: Callable[..., Found] = search,
    start_method: str | None = None,
) -> Bootstrap:
    """Draw n responses from a fit and fit its model to each, by ``searching``; see :meth:`Fit.bootstrap`.

    ``start_method`` is how processes begin, "fork" or "spawn"; None: as the model allows.
    """
    n, workers = count(n, "n"), None if workers is None else count(workers, "workers")
    origin: Any = entropy(seed).entropy
    whole, asked, fit = Whole.of(fit), fit, fit.determined
    whole.warn(asked, "the bootstrap has no values of")
    known, plan = fit.objective, fit.objective.plan
    refitter = _Refitter(fit.model, fit.theta, fit.optimum.phi, plan, fit.theta_given, origin, known, searching)
    processes = min(_processors() if workers is None else int(workers), int(n))
    rows: list[np.ndarray] = []
    reasons: Counter[str] = Counter()
    report = _reporter(progress, int(n))
    for piece, failed in _pieces(refitter, int(n), processes, start_method or _start_method(known)):
        rows.append(piece)
        reasons.update(failed)
        report(sum(map(len, rows)))
    table = np.concatenate(rows)
    P, k = whole.places.size, fit.model.k
    if fit.model.phi is not None:  # they are the same in all refits: nothing can be said of their spread
        names = residual_names(fit.model, fit.fixed_names)
        first = P - len(fit.fixed_names) - len(names)
        table[:, first + np.flatnonzero(~np.isnan(fit.model.phi))] = np.nan
    return Bootstrap(
        names=whole.names,
        theta_names=fit.theta_names,
        estimates=whole.spread(_parameters(fit.objective, fit.theta)),
        values=whole.spread(table[:, :P]),
        theta=table[:, P : P + k],
        singular=table[:, P + k] == 1.0,
        converged=table[:, P + k + 1] == 1.0,
        failures=dict(reasons),
        seed=origin,
    )


@dataclass(eq=False)
class _Refitter:
    """Draws and fits replicates by their numbers. A process that does not share memory assembles the model anew."""

    model: Model
    theta: np.ndarray
    phi: np.ndarray
    plan: Plan
    given: bool
    entropy: Any
    known: Objective | None
    searching: Callable[..., Found] = search

    def __getstate__(self) -> dict[str, Any]:
        fields = ("model", "theta", "phi", "plan", "given", "entropy", "searching")
        return {name: getattr(self, name) for name in fields} | {"known": None}

    @cached_property
    def objective(self) -> Objective:
        """The model's criterion at the phi of the fit."""
        return self.known or Objective.of(self.model, phi=self.phi, plan=self.plan)

    @cached_property
    def simulator(self) -> Simulator:
        """Draws responses at the estimates."""
        return Simulator(Estimates(self.objective, self.theta))

    def __call__(self, numbers: range) -> tuple[np.ndarray, list[str]]:
        """A row a replicate (parameters, theta, singular, converged), NaN and a reason for those that failed."""
        width = _parameters(self.objective, self.theta).size + self.model.k + 2
        rows = np.full((len(numbers), width), np.nan)
        reasons = []
        for row, number in zip(rows, numbers, strict=True):
            try:
                row[:] = self._replicate(number)
            except (MMEError, ArithmeticError, np.linalg.LinAlgError) as error:
                reasons.append(str(error))
        return rows, reasons

    def _replicate(self, number: int) -> np.ndarray:
        rng = np.random.default_rng(np.random.SeedSequence(self.entropy, spawn_key=(number,)))
        objective = self.objective.with_response(self.simulator(rng, 1)[:, 0])
        found = self.searching(objective.model, self.theta if self.given else None, False, self.theta, objective)
        flags = [float(bool(found.optimum.boundary)), float(found.optimum.converged)]
        return np.concatenate([_parameters(found.objective, found.theta), found.theta, flags])


def _parameters(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """Standard deviations, correlations, sigma, natural parameters of the residual structure, and beta."""
    border, p = objective.triangle(theta)[1], objective.system.p
    gamma = triangular_solve(border[:p, :p], border[p, :p], transposed=True)
    sigma = residual_sd(objective.constants, pwrss(border))
    return parameter_values(objective.model, theta, objective.phi, sigma, objective.basis.coefficients(gamma))


_refitter: _Refitter | None = None


def _begin(refitter: _Refitter, bounds: Limits) -> None:
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


def _pieces(refitter: _Refitter, n: int, processes: int, method: str) -> Iterator[tuple[np.ndarray, list[str]]]:
    """The replicates in order, piece by piece."""
    size = max(1, n // (_PIECES * processes))
    pieces = [range(first, min(first + size, n)) for first in range(0, n, size)]
    if processes == 1:
        yield from map(refitter, pieces)
        return
    import multiprocessing
    import warnings
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


def _start_method(objective: Objective) -> str:
    """Fork shares the assembled model, but CHOLMOD's threads do not survive it: a forked factorisation never ends."""
    sparse = bool(objective.rest) and not objective.plan.dense
    sparse = sparse or any(term.relationship is not None for term in objective.model.terms)  # to draw from
    return "fork" if sys.platform == "linux" and not sparse else "spawn"


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _reporter(progress: Progress, n: int) -> Callable[[int], None]:
    if progress is False:
        return lambda done: None
    if callable(progress):
        return lambda done: progress(done, n)
    began = monotonic()

    def bar(done: int) -> None:
        left = (monotonic() - began) * (n - done) / max(done, 1)
        filled = 30 * done // n
        end = "\n" if done == n else ""
        print(f"\r[{'#' * filled}{'.' * (30 - filled)}] {done}/{n}, {left:.0f} s left ", end=end, file=sys.stderr)

    return bar
