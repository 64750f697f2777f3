"""New responses from a fitted model."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MemoryForecastError, MMEError
from mme.model.term import Term
from mme.numeric.factor import NotPositiveDefiniteError, SymmetricFactor, factorise
from mme.numeric.memory import machine_bytes
from mme.numeric.panels import term_values
from mme.solution.estimates import Estimates
from mme.tables.arguments import count, random_numbers


class Simulator:
    """Draws of X beta + Z b + e, with b ~ N(0, sigma^2 K (x) T T') and e ~ N(0, sigma^2 W^-1/2 R W^-1/2) drawn anew."""

    def __init__(self, estimates: Estimates) -> None:
        self.model, self.sigma = estimates.objective.model, estimates.sigma
        self._mean = estimates.population
        self._T = [self.sigma * T for T in self.model.T(estimates.theta)]
        self._roots = [
            _relationship_root(term, self.model.relationship(t, estimates.theta))
            for t, term in enumerate(self.model.terms)
        ]
        self._phi = estimates.objective.phi

    def __call__(self, rng: np.random.Generator, nsim: int) -> np.ndarray:
        """(n, nsim) responses."""
        out = self._mean[:, None] + self.sigma * self._noise(rng.standard_normal((self.model.n, nsim)))
        for term, T, root in zip(self.model.terms, self._T, self._roots, strict=True):
            for s in range(nsim):
                u = rng.standard_normal((term.n_levels, term.q))
                b = (u if root is None else root.backward(u)) @ T.T
                out[:, s] += term_values(term.codes, term.covariates, b)
        return np.asarray(out)

    def _noise(self, z: np.ndarray) -> np.ndarray:
        """Residuals (n, nsim) in units of sigma, W^-1/2 R^1/2 z, from independent draws z (n, nsim)."""
        if self.model.residual is not None:
            z = self.model.residual.colour(self._phi, z.T).T
        root = self.model.root_weights
        return z if root is None else z / root[:, None]


def simulate_responses(estimates: Estimates, nsim: int, seed: int | np.random.Generator | None) -> np.ndarray:
    """(n, nsim) draws of the model at its estimates."""
    nsim, n = count(nsim, "nsim", "of simulations"), estimates.objective.model.n
    if 8 * n * nsim > machine_bytes():
        raise MemoryForecastError(
            f"{nsim:,} simulations of {n:,} records are more than this machine's memory holds: simulate fewer at a "
            "time, with other seeds"
        )
    return Simulator(estimates)(random_numbers(seed), nsim)


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
