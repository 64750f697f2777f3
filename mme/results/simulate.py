"""New responses from a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MemoryForecastError, MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.laplace import Psi
from mme.generalised.problem import Problem
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.factor import NotPositiveDefiniteError, SymmetricFactor, factorise
from mme.numeric.memory import machine_bytes
from mme.numeric.panels import term_values
from mme.solution.estimates import Estimates
from mme.tables.arguments import count, random_numbers


class RandomPart:
    """Draws of Z b, b ~ N(0, K (x) T T'), T in the user's columns and in the units of the response, or of eta."""

    def __init__(self, model: Model, theta: np.ndarray, sigma: float) -> None:
        self.terms, self._T = model.terms, [sigma * T for T in model.T(theta)]
        self._roots = [_relationship_root(term, model.relationship(t, theta)) for t, term in enumerate(model.terms)]

    def add(self, out: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Add draws to (n, nsim)."""
        for t, term in enumerate(self.terms):
            for s in range(out.shape[1]):
                out[:, s] += term_values(term.codes, term.covariates, self.levels(t, term.n_levels, rng))
        return out

    def levels(self, t: int, J: int, rng: np.random.Generator) -> np.ndarray:
        """Effects (J, q) of the levels of a term, or of so many unrelated ones."""
        u, root = rng.standard_normal((J, self.terms[t].q)), self._roots[t]
        return np.asarray((u if root is None else root.backward(u)) @ self._T[t].T)


class Simulator:
    """Draws of X beta + Z b + e, with b ~ N(0, sigma^2 K (x) T T') and e ~ N(0, sigma^2 W^-1/2 R W^-1/2) drawn anew."""

    def __init__(self, estimates: Estimates) -> None:
        self.model, self.sigma = estimates.objective.model, estimates.sigma
        self._mean = estimates.population
        self._random = RandomPart(self.model, estimates.theta, self.sigma)
        self._phi = estimates.objective.phi

    def __call__(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """(n, nsim) responses."""
        out = self._mean[:, None] + self.sigma * self.noise(rng, nsim)
        return self._random.add(out, rng)

    def noise(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """Residuals (n, nsim) in units of sigma."""
        return self._noise(rng.standard_normal((self.model.n, nsim)))

    def _noise(self, z: np.ndarray) -> np.ndarray:
        """Residuals (n, nsim) in units of sigma, W^-1/2 R^1/2 z, from independent draws z (n, nsim)."""
        if self.model.residual is not None:
            z = self.model.residual.colour(self._phi, z.T).T
        root = self.model.root_weights
        return z if root is None else z / root[:, None]


class GeneralisedSimulator:
    """Draws from the family at eta = X beta + Z b + offset, b drawn anew."""

    def __init__(self, problem: Problem, at: Psi) -> None:
        self.problem, self._tau = problem, at.tau
        self._eta = problem.offset + at.gamma @ problem.Q
        self._random = RandomPart(problem.model, problem.model.coordinates.outer(at.theta), 1.0)

    def __call__(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """(n, nsim) responses, on the scale of ``Observed.y``."""
        eta = self._random.add(np.repeat(self._eta[:, None], nsim, axis=1), rng)
        weights, family = self.problem.data.weights, self.problem.family
        try:
            return np.column_stack([family.draw(one, weights, self._tau, rng) for one in eta.T])
        except ValueError:  # NumPy draws no counts beyond 64 bits
            raise MMEError(
                f"the {family.name} family cannot be drawn from here: means go up to "
                f"{float(np.max(family.mean(eta.ravel(), self._tau))):.3g}"
            ) from None


def simulate_responses(estimates: Estimates, nsim: int, seed: int | np.random.Generator | None) -> np.ndarray:
    """(n, nsim) draws of the model at its estimates."""
    return _drawn(Simulator(estimates), estimates.objective.model.n, nsim, seed)


def simulate_generalised(fit: GeneralisedFitted, nsim: int, seed: int | np.random.Generator | None) -> np.ndarray:
    """(n, nsim) draws of a generalised model at its estimates."""
    return _drawn(GeneralisedSimulator(fit.problem, fit.searched.at.at), fit.nobs, nsim, seed)


def _drawn(
    simulator: Simulator | GeneralisedSimulator, n: int, nsim: int, seed: int | np.random.Generator | None
) -> np.ndarray:
    nsim = count(nsim, "nsim", "of simulations")
    if 8 * n * nsim > machine_bytes():
        raise MemoryForecastError(
            f"{nsim:,} simulations of {n:,} records are more than this machine's memory holds: simulate fewer at a "
            "time, with other seeds"
        )
    return simulator(random_numbers(seed), nsim)


def _relationship_root(term: Term, related: Any) -> SymmetricFactor | None:
    """The factor L of K^-1: L^-T z has covariance K."""
    if related is None:
        return None
    try:
        return factorise(related.precision)
    except NotPositiveDefiniteError:
        raise MMEError(
            f"the relationship of term '{term.name}' has no covariance (fixed groups in its pedigree): its effects "
            "cannot be simulated"
        ) from None
