r"""The model without random effects: -2 sum log f minimised over gamma, and over tau where the family has parameters.

Without parameters by Fisher's scoring from zero: neither the way nor its end knows the basis of X, nor whether a record
stands twice or has twice the weight. So answers that X separates, whose likelihood has no maximum, get coefficients
that are the same in either form.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.family.base import Density
from mme.generalised.problem import Problem
from mme.generalised.start import without_random_effects
from mme.numeric.kept import kept
from mme.numeric.lapack import cholesky, cholesky_solve
from mme.numeric.quasi_newton import descend

# What a further step may still gain, and the length of a step in standard errors.
_TOLERANCE, _FAR = 1e-14, 5.0
# Of answers that are separated all is gained but this.
_SEPARATED = 1e-6
_STEPS, _HALVINGS = 200, 30


@dataclass(frozen=True, eq=False)
class LikelihoodAt:
    """-2 sum log f at gamma (p,) and tau (r,)."""

    problem: Problem
    gamma: np.ndarray
    tau: np.ndarray

    @kept
    def density(self) -> Density:
        """The density of every record at gamma and tau, with its derivatives by eta."""
        problem = self.problem
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return problem.family.at(problem.data, problem.offset + self.gamma @ problem.Q, self.tau)

    @kept
    def value(self) -> float:
        """-2 log likelihood, every constant included."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return -2.0 * float(self.density.value.sum())

    def gradient(self) -> np.ndarray:
        """By gamma and tau."""
        by_tau = [-2.0 * float(one.value.sum()) for one in self.density.by_parameters]
        return np.concatenate([-2.0 * self.problem.Q @ self.density.slope, by_tau])


def independent(problem: Problem) -> LikelihoodAt:
    """The maximum; where there is none, as with separated answers, a point at which next to nothing is to be gained."""
    gamma, tau = without_random_effects(problem)
    if not tau.size:
        first = LikelihoodAt(problem, np.zeros(gamma.size), tau)
        return _scored(first if np.isfinite(first.value) else LikelihoodAt(problem, gamma, tau))
    return _descended(LikelihoodAt(problem, gamma, tau))


def _scored(at: LikelihoodAt) -> LikelihoodAt:
    """Fisher's scoring with halved steps."""
    problem, Q = at.problem, at.problem.Q
    for _ in range(_STEPS):
        L, failed = cholesky((Q * at.density.expected) @ Q.T)
        if failed or at.value <= _SEPARATED:
            return at
        slope = Q @ at.density.slope
        direction = cholesky_solve(L, slope)
        if not float(slope @ direction) > _TOLERANCE * (1.0 + abs(at.value)):
            return at
        for halving in range(_HALVINGS):
            found = LikelihoodAt(problem, at.gamma + 0.5**halving * direction, at.tau)
            if found.value < at.value:
                break
        else:
            return at
        at = found
    return at


def _descended(first: LikelihoodAt) -> LikelihoodAt:
    """BFGS over gamma and tau."""
    problem, p = first.problem, first.gamma.size

    def at(x: np.ndarray) -> LikelihoodAt | None:
        found = LikelihoodAt(problem, x[:p], x[p:])
        return found if np.isfinite(found.value) else None

    information = 2.0 * (problem.Q * first.density.expected) @ problem.Q.T
    information.flat[:: p + 1] += 1e-10 * max(np.trace(information) / max(p, 1), 1e-300)
    inverse = np.eye(p + first.tau.size) / (2.0 * problem.n)
    inverse[:p, :p] = np.linalg.inv(information) if p else inverse[:p, :p]
    x = np.concatenate([first.gamma, first.tau])
    return descend(at, x, first, inverse, accepted=lambda x, at: None, tolerance=_TOLERANCE, most=_FAR).at
