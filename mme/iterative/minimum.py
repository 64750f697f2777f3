r"""The minimum of the criterion by average information, where no evaluation of it is made: traces are of probes.

The probes are the same at every theta, so that the steps have an end, theta_K. Over draws of K probes it is off the
minimum by H^-1 e, e the error of the gradient, whose covariance C / K the probes show. In units of standard errors,
sqrt(2 c'H^-1 c) of a combination c'theta, no combination at all is off by more than

    T sqrt(largest eigenvalue of H^-1/2 (C / 2 K) H^-1/2),      T^2 = k (K - 1) / (K - k) F(0.95; k, K - k),         (E)

with 95 % confidence: Hotelling's quantile for k parameters, that of t for one. Probes are doubled until it is small.

Steps are Newton's, shortened where the slope along them says that they went past the minimum. A diagonal entry of T may
cross zero, where others of its column do not vanish: T and T with a column turned have the same T T'.
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
# The largest error (E) in standard errors for which no more probes are drawn.
TOLERATED = 0.02
# A step is too long where the slope at its end rises by more than this share of what it fell by at its beginning.
_PAST = 0.5
# Times a step is shortened, and to which shares of itself.
_SHORTER, _SHARES = 4, (0.1, 0.6)
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
        """Standard deviations, of either sign, far enough from zero to be divided by."""
        return np.where(self.even & (np.abs(x) < FLOOR), np.copysign(FLOOR, x), x)

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
        place, ended = _stepped(search, x, probes, report, taken)
        x, probes, taken = place.x, place.probes, place.taken
        at = place.curvature
        error = _error(place.slopes, at) if ended else np.inf
        if error <= TOLERATED or not ended or 2 * probes.count > limits().most_probes:
            break
        probes = probes.doubled()
    zeros = even & (np.abs(x) <= FLOOR)
    found = Stochastic(probes=probes.count, error=error, iterations=place.iterations, steps=taken)
    return Settled(np.where(zeros, 0.0, x), at, taken, found)


@dataclass(frozen=True, eq=False)
class _Place:
    """Where steps stand: x, the slopes and the curvature there, probes solved there, and evaluations so far."""

    x: np.ndarray
    slopes: ProbedSlopes
    curvature: Curvature
    probes: Probes
    iterations: int
    taken: int


def _stepped(
    search: _Search,
    x: np.ndarray,
    probes: Probes,
    report: Callable[[int, float, np.ndarray], None] | None,
    before: int,
) -> tuple[_Place, bool]:
    """Where steps with these probes end, and whether they gain nothing more there."""

    def arrived(x: np.ndarray, probes: Probes, taken: int) -> _Place:
        slopes, solved, iterations = search.at(x, probes)
        if report is not None:
            report(taken, np.nan, x)
        at = judged(x, 0.0, slopes.gradient, slopes.hessian, np.ones(x.size))
        return _Place(x, slopes, at, solved, iterations, taken)

    place = arrived(x, probes, before + 1)
    while place.taken - before < limits().probed_steps:
        newton, saddle = _held(search, place)
        decrease = float(0.5 * np.abs(newton @ place.slopes.gradient))
        if decrease <= _SETTLED and not saddle:
            settled = replace(place.curvature, expected_decrease=decrease, saddle=False)
            return replace(place, curvature=settled), True
        most = np.abs(newton) / (_SHARE * np.abs(place.x) + _LEAST)
        step = newton * min(1.0, 1.0 / max(most.max(), 1e-300))
        for _ in range(_SHORTER):
            ahead = arrived(search.floored(place.x + step), place.probes, place.taken + 1)
            share = _share(place, ahead, step)
            place = replace(place, taken=ahead.taken)
            if share == 1.0:
                break
            step = share * step
        place = ahead
    return place, False


def _share(place: _Place, ahead: _Place, step: np.ndarray) -> float:
    """How much of a step to take: all of it, or where the secant of the slopes along it is zero."""
    falls = abs(float(place.slopes.gradient @ step)) + max(0.0, -float(step @ place.slopes.hessian @ step))
    rises = float(ahead.slopes.gradient @ step)
    return 1.0 if rises <= _PAST * falls else float(np.clip(falls / (falls + rises), *_SHARES))


def _held(search: _Search, place: _Place) -> tuple[np.ndarray, bool]:
    """The Newton step, without coordinates at the floor that stay there, and whether it leaves a saddle."""
    x, at = place.x, place.curvature
    stays = search.even & (np.abs(x) <= FLOOR) & (np.abs(x + at.newton) <= 2.0 * FLOOR) & (x * at.gradient >= 0.0)
    if not stays.any():
        return at.newton, at.saddle
    step, kept = np.zeros(x.size), ~stays
    rest = judged(x[kept], 0.0, at.gradient[kept], at.hessian[np.ix_(kept, kept)], np.ones(int(kept.sum())))
    step[kept] = rest.newton
    return step, rest.saddle


def _error(slopes: ProbedSlopes, at: Curvature) -> float:
    """(E): how far, in standard errors, chance can move the coordinates that are neither at the edge nor flat."""
    values, vectors = np.linalg.eigh(at.hessian)
    kept = values > 1e-8 * max(float(values.max()), 1e-300)
    half = vectors[:, kept] / np.sqrt(values[kept])
    largest = np.linalg.eigvalsh(0.5 * half.T @ slopes.noise @ half).max(initial=0.0)
    count, k = len(slopes.by_probe), int(kept.sum())
    quantile = k * (count - 1) / (count - k) * float(fdtri(k, count - k, 0.95))
    return float(np.sqrt(quantile * max(largest, 0.0)))


def slopes_by_probes(objective: Objective, theta: np.ndarray) -> ProbedSlopes:
    """Gradient and average information of the criterion: its values are of chance, and no differences are taken."""
    point = IteratedPoint.of(objective, theta)
    probes, z, _ = Probes(limits().probes).solved(point)
    return slopes_at(point, traces(point, probes, z), np.ones(theta.size))
