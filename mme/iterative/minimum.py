r"""The minimum of the criterion by average information, where no evaluation of it is made: traces are of probes.

The probes are the same at every theta, so that the steps have an end, theta_K. Over draws of K probes it is off the
minimum by H^-1 e, e the error of the gradient, whose covariance C / K the probes show. In units of standard errors,
sqrt(2 c'H^-1 c) of a combination c'theta, no combination at all is off by more than

    T sqrt(largest eigenvalue of H^-1/2 (C / 2 K) H^-1/2),      T^2 = k (K - 1) / (K - k) F(0.95; k, K - k),         (E)

with 95 % confidence: Hotelling's quantile for k parameters, that of t for one. Probes are doubled until it is small.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import fdtri

from mme.engine.objective import Objective
from mme.engine.plan import Stochastic
from mme.iterative.point import FLOOR, IteratedPoint
from mme.iterative.steps import ProbedSlopes, slopes_at
from mme.iterative.traces import Probes, traces
from mme.numeric.curvature import Curvature, judged
from mme.numeric.limits import limits

# A step that promises less on the criterion's scale moves theta by a hundredth of the errors that are tolerated.
_SETTLED = 2e-8
_STEPS = 40
# The largest error (E) in standard errors for which no more probes are drawn.
_TOLERATED = 0.02
# No coordinate moves by more than this share of itself, and this much, in one step.
_SHARE, _LEAST = 0.5, 0.05


@dataclass(frozen=True, eq=False)
class Settled:
    """Where the steps end: coordinates x, the curvature there, how many steps, and what of it is of chance."""

    x: np.ndarray
    curvature: Curvature
    steps: int
    stochastic: Stochastic


@dataclass(frozen=True, eq=False)
class _Search:
    """Theta of coordinates x is ``parameters(x)``; ``scale`` (k,) are units of all of it, of which some is ``free``."""

    objective: Objective
    parameters: Callable[[np.ndarray], np.ndarray]
    scale: np.ndarray
    free: np.ndarray
    even: np.ndarray

    def floored(self, x: np.ndarray) -> np.ndarray:
        """Standard deviations that are not negative, and far enough from zero to be divided by."""
        return np.where(self.even, np.maximum(np.abs(x), FLOOR), x)

    def at(self, x: np.ndarray, probes: Probes) -> tuple[ProbedSlopes, Probes, int]:
        """ProbedSlopes by x, and the probes there."""
        point = IteratedPoint.of(self.objective, self.parameters(x))
        probes, z, iterations = probes.solved(point)
        found = slopes_at(point, traces(point, probes, z), self.scale)
        chosen = np.ix_(self.free, self.free)
        return ProbedSlopes(found.by_probe[:, self.free], found.hessian[chosen]), probes, iterations


def settle(
    objective: Objective,
    first: np.ndarray,
    parameters: Callable[[np.ndarray], np.ndarray],
    scale: np.ndarray,
    free: np.ndarray,
    even: np.ndarray,
    report: Callable[[int, float, np.ndarray], None] | None = None,
) -> Settled:
    """Take steps from x = ``first`` until they gain nothing, with probes enough for what is tolerated."""
    search = _Search(objective, parameters, scale, free, even)
    probes, x, taken = Probes(limits().probes), search.floored(first), 0
    while True:
        x, at, slopes, probes, steps, iterations = _stepped(search, x, probes, report, taken)
        taken += steps
        error = _error(slopes, at)
        if error <= _TOLERATED or 2 * probes.count > limits().most_probes:
            break
        probes = probes.doubled()
    zeros = even & (x <= FLOOR)
    found = Stochastic(probes=probes.count, error=error, iterations=iterations, steps=taken)
    return Settled(np.where(zeros, 0.0, x), at, taken, found)


def _stepped(
    search: _Search,
    x: np.ndarray,
    probes: Probes,
    report: Callable[[int, float, np.ndarray], None] | None,
    before: int,
) -> tuple[np.ndarray, Curvature, ProbedSlopes, Probes, int, int]:
    """Where steps with these probes end."""
    last = np.inf
    for taken in range(1, _STEPS + 1):
        slopes, probes, iterations = search.at(x, probes)
        at = judged(x, 0.0, slopes.gradient, slopes.hessian, np.ones(x.size))
        if report is not None:
            report(before + taken, np.nan, x)
        newton = _held(search, at, x)
        decrease = float(0.5 * np.abs(newton @ slopes.gradient))
        if decrease <= _SETTLED:
            return x, replace(at, expected_decrease=decrease, saddle=False), slopes, probes, taken, iterations
        share = 1.0 if decrease < last else 0.5
        most = np.abs(newton) / (_SHARE * np.abs(x) + _LEAST)
        x = search.floored(x + newton * min(share, 1.0 / max(most.max(), 1e-300)))
        last = decrease
    return x, at, slopes, probes, taken, iterations


def _held(search: _Search, at: Curvature, x: np.ndarray) -> np.ndarray:
    """The Newton step, without coordinates at the floor that it would take below."""
    down = search.even & (x <= FLOOR) & (at.newton <= 0.0)
    if not down.any():
        return at.newton
    step, kept = np.zeros(x.size), ~down
    rest = judged(x[kept], 0.0, at.gradient[kept], at.hessian[np.ix_(kept, kept)], np.ones(int(kept.sum())))
    step[kept] = rest.newton
    return step


def _error(slopes: ProbedSlopes, at: Curvature) -> float:
    """(E): how far, in standard errors, chance can move the coordinates that are neither at the edge nor flat."""
    values, vectors = np.linalg.eigh(at.hessian)
    kept = values > 1e-8 * max(float(values.max()), 1e-300)
    half = vectors[:, kept] / np.sqrt(values[kept])
    largest = np.linalg.eigvalsh(0.5 * half.T @ slopes.noise @ half).max(initial=0.0)
    count, k = len(slopes.by_probe), int(kept.sum())
    quantile = k * (count - 1) / (count - k) * float(fdtri(k, count - k, 0.95))
    return float(np.sqrt(quantile * max(largest, 0.0)))
