r"""(L) of counts with a random intercept a level, by the totals of the levels: one exponential a record.

By a log link the effect of a level multiplies all its means, mu_i = exp(f_i) exp(w_g) with w = t u and f the part of
eta that u does not change, so that its mode needs two numbers of its records, S_g = sum a exp(f) and Y_g = sum a y:

    w + t^2 S exp(w) = t^2 Y                                                                                     (W)
    H = 1 + t^2 m,    s = t^3 m / H^2,    m_g = S_g exp(w_g)
    c_i = -2 a_i y_i + k_g a_i mu_i,      k = 2 + t^2 / H - t s

with the names of :mod:`mme.generalised.laplace`, as W = W' = a mu. Whatever steps (W) takes, they are over the levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.family.poisson import POISSON
from mme.generalised.columns import Prior
from mme.generalised.laplace import Laplace, Psi, chain_rule
from mme.generalised.levels import LevelFactors
from mme.generalised.mode import Mode
from mme.generalised.problem import Problem
from mme.generalised.scalar_effects import are_scalar
from mme.numeric.kept import kept
from mme.numeric.sums import sum_by_level

# A mean count up to which the totals, which log f is the small difference of, leave it its digits.
_LARGE = 100.0
# A step in w after which one more ends at the mode to rounding.
_CLOSE = 1e-6
_STEPS = 200


@dataclass(frozen=True, eq=False)
class OfTotals:
    """(L) at a point with its gradient, of the total means ``m`` (J,) at the modes ``w`` / t (J,)."""

    problem: Problem
    at: Psi
    value: float
    by_x: np.ndarray
    fixed: np.ndarray
    modes: np.ndarray
    m: np.ndarray
    passes = 1

    def gradient(self) -> np.ndarray:
        """By theta and gamma."""
        return self.by_x

    @property
    def u(self) -> list[np.ndarray]:
        """The modes (1, J) of the one block."""
        return [self.modes[None]]

    @property
    def curved(self) -> Laplace:
        """Laplace's approximation of all records."""
        return self.laplace

    @kept
    def laplace(self) -> Laplace:
        """The same with eta and the density of each record."""
        problem, prior = self.problem, Prior.at(self.problem.blocks, self.at.theta)
        eta = self.fixed + problem.columns.eta(prior.b(self.u))
        density = problem.family.at(problem.data, eta, self.at.tau)
        factor = LevelFactors(problem.blocks[0], prior.T[0], self.m[None, None])
        mode = Mode(prior, self.u, eta, density, self.value - factor.logdet, factor, 1)
        return Laplace(problem, self.at, mode, factor, expected=False)


@dataclass(frozen=True, eq=False)
class LevelTotals:
    """Counts, what they sum to in each level, and with each column of Q."""

    problem: Problem
    compiled = False

    @staticmethod
    def serves(problem: Problem) -> bool:
        """Whether these are counts by a log link, with an intercept a level and nothing beside it."""
        if problem.family.kind != POISSON or not are_scalar(problem) or problem.blocks[0].columns[0] is not None:
            return False
        return float(problem.data.y.mean()) <= _LARGE

    @kept
    def counts(self) -> np.ndarray:
        """The counts, times their weights (n,)."""
        data = self.problem.data
        return data.y if self.weights is None else data.y * self.weights

    @kept
    def weights(self) -> np.ndarray | None:
        """Prior weights (n,); None where they are ones."""
        weights = self.problem.data.weights
        return None if (weights == 1.0).all() else weights

    @kept
    def Y(self) -> np.ndarray:
        """The total of each level (J,)."""
        return self._by_level(self.counts)

    @kept
    def by_Q(self) -> np.ndarray:
        """Q (a y) (p,)."""
        return np.asarray(self.problem.Q @ self.counts)

    @kept
    def constant(self) -> float:
        """What -2 log f has beside 2 (mean - y eta) a."""
        data = self.problem.data
        at_one = self.problem.family.at(data, np.zeros(data.n), np.empty(0)).value
        offset = self.problem.model.offset
        beside = 0.0 if offset is None else float(self.problem.offset @ self.counts)
        return -2.0 * float(at_one.sum() + data.weights.sum() + beside)

    def _weighted(self, mean: np.ndarray) -> np.ndarray:
        """A mu (n,): zero where a is, whatever mu."""
        if self.weights is None:
            return mean
        return np.multiply(mean, self.weights, out=np.zeros(mean.size), where=self.weights > 0.0)

    def _by_level(self, values: np.ndarray) -> np.ndarray:
        block = self.problem.blocks[0]
        return sum_by_level(block.codes, block.J, None, values)

    def at(self, point: Psi, u: np.ndarray) -> OfTotals | None:
        """(L) at a point, modes searched from u (J, 1); None where some level has no finite mean."""
        problem, block = self.problem, self.problem.blocks[0]
        t = float(block.T(point.theta)[0, 0])
        fixed = point.gamma @ problem.Q
        if problem.model.offset is not None:
            fixed += problem.offset
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self._weighted(np.exp(fixed))
            S = self._by_level(mean)
            w = log_effects(t * t, S, self.Y, t * u[:, 0])
        if w is None:
            return None
        factor = np.exp(w)
        m = S * factor
        u, H = w / t if t else np.zeros(w.size), 1.0 + t * t * m
        log_f = float(point.gamma @ self.by_Q + w @ self.Y - m.sum())
        value = self.constant - 2.0 * log_f + float(u @ u + np.log(H).sum())
        s = t**3 * m / H**2
        k = 2.0 + t * t / H - t * s
        by_T = float((k * m - 2.0 * self.Y) @ u + (self.Y - m) @ s + 2.0 * t * (m / H).sum())
        mean *= (k * factor).take(block.codes)
        by_gamma = problem.Q @ mean - 2.0 * self.by_Q
        gradient = np.concatenate([chain_rule(block, point.theta, np.array([[by_T]])), by_gamma])
        return OfTotals(problem, point, value, gradient, fixed, u, m)


def log_effects(v: float, S: np.ndarray, Y: np.ndarray, first: np.ndarray) -> np.ndarray | None:
    """w (J,) with w + v S exp(w) = v Y, by Newton's method from a first w; None where S is not finite.

    The left side is convex and rises: above the root, and the smaller of v Y and log(Y / S) or zero is, steps go down
    to it and never past it.

    Examples
    --------
    >>> w = log_effects(0.25, np.array([4.0, 2.0]), np.array([4.0, 0.0]), np.zeros(2))
    >>> w.round(4), (w + 0.25 * np.array([4.0, 2.0]) * np.exp(w)).round(9)
    (array([ 0.    , -0.3517]), array([1., 0.]))
    """
    if not np.isfinite(S).all():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.minimum(v * Y, np.fmax(np.log(Y) - np.log(S), 0.0))  # no number of a level without weight
    w, vS, vY = np.minimum(first, above), v * S, v * Y
    for _ in range(_STEPS):
        rising = vS * np.exp(w)
        new = np.minimum(w - (w + rising - vY) / (1.0 + rising), above)
        moved = float(np.abs(new - w).max(initial=0.0))
        w = new
        if moved <= _CLOSE:
            rising = vS * np.exp(w)
            return np.asarray(w - (w + rising - vY) / (1.0 + rising))
    return None
