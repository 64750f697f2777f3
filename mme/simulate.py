"""New responses from a fitted model."""

from __future__ import annotations

import numpy as np

from mme.errors import MMEError
from mme.estimates import Estimates, term_values


def simulate_responses(estimates: Estimates, nsim: int, seed: int | np.random.Generator | None) -> np.ndarray:
    """(n, nsim) draws of X beta + Z b + e, with b ~ N(0, sigma^2 T T') and e ~ N(0, sigma^2 / w) drawn anew."""
    if not isinstance(nsim, int | np.integer) or nsim < 1:
        raise MMEError(f"nsim must be a whole number of simulations, at least 1; got {nsim!r}")
    rng = np.random.default_rng(seed)
    model, sigma = estimates.objective.model, estimates.sigma
    noise = sigma if model.weights is None else sigma / np.sqrt(model.weights)[:, None]
    out = estimates.population[:, None] + noise * rng.standard_normal((model.n, nsim))
    for term, T in zip(model.terms, model.T(estimates.theta), strict=True):
        for s in range(nsim):
            b = sigma * rng.standard_normal((term.n_levels, term.q)) @ T.T
            out[:, s] += term_values(term.codes, term.covariates, b)
    return np.asarray(out)
