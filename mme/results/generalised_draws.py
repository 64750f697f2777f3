r"""Draws of the parameters and the random effects of a generalised fit, from what its intervals state.

    psi = (theta, gamma, tau) ~ N(psi_hat, Sigma),     b = b_hat + E (psi - psi_hat) + Lambda H^-1/2 z

with E of :mod:`mme.generalised.moves`. The last part is Lambda H^-1 r with r ~ N(0, H), H = Lambda'Z'W Z Lambda + K^-1:
r = Lambda'Z'W^1/2 z_1 + K^-1/2 z_2, for which a W below zero (log f not concave there) counts as zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import effects
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.columns import Effects
from mme.numeric.factor import factorise
from mme.results.draws import Draws, require_memory
from mme.tables.arguments import count, random_numbers
from mme.tables.spelling import labels_of


@dataclass(frozen=True, eq=False)
class Drawn:
    """Beta (p,), the effects of each term (J, q) and tau (r,)."""

    beta: np.ndarray
    b: list[np.ndarray]
    tau: np.ndarray


def generalised_draws(fit: GeneralisedFitted, n: int, seed: int | np.random.Generator | None, by: str) -> Draws:
    """``n`` draws of (beta, b) given the data."""
    import pandas as pd

    n, rng, keys = count(n, "n", "of draws"), random_numbers(seed), effects(fit.model, by)
    require_memory(n, sum(b.size for b in fit.estimates.b))
    found = list(drawn(fit, n, rng))
    b = [np.array([one.b[t] for one in found]) for t in range(len(fit.model.terms))]
    return Draws(
        beta=pd.DataFrame([one.beta for one in found], columns=list(fit.fixed_names)),
        b={one.name: one.beside(b) for one in keys},
        labels={one.name: (list(labels_of(one.levels)), list(one.columns)) for one in keys},
    )


def drawn(fit: GeneralisedFitted, n: int, rng: np.random.Generator) -> Iterator[Drawn]:
    """Yield ``n`` draws.

    Raises
    ------
    MMEError
        What the parameters leave uncertain is not known.
    """
    estimates, moves = fit.estimates, fit.estimates.moves
    if not np.isfinite(moves.beta).all():
        raise MMEError("what the parameters leave uncertain is not known at this optimum (see diagnose()): no draws")
    given = _GivenParameters(fit)
    for _ in range(n):
        z = rng.standard_normal(moves.beta.shape[1])
        moved = [np.einsum("amg,m->ag", one, z) for one in moves.b]
        b = given.by_term([one + other for one, other in zip(moved, given(rng), strict=True)])
        b = [mode + one for mode, one in zip(estimates.b, b, strict=True)]
        yield Drawn(estimates.beta + moves.beta @ z, b, estimates.tau + moves.tau @ z)


class _GivenParameters:
    """Draws of b - b_hat at the estimates of all parameters, in the columns of the blocks (q, J)."""

    def __init__(self, fit: GeneralisedFitted) -> None:
        self.estimates, self.mode, self.problem = fit.estimates, fit.searched.at.mode, fit.problem
        self._theta = fit.searched.at.at.theta
        self._root_W = np.sqrt(np.maximum(self.mode.density.observed, 0.0))
        self._roots = [None if P is None else factorise(P) for P in self.mode.prior.precision]

    def __call__(self, rng: np.random.Generator) -> Effects:
        prior, factor = self.mode.prior, self.mode.factor
        assert factor is not None
        of_records = self.problem.columns.transposed(self._root_W * rng.standard_normal(self._root_W.size))
        z = [rng.standard_normal(one.shape) for one in self.mode.u]
        own = [one if root is None else root.backward(one.T).T for one, root in zip(z, self._roots, strict=True)]
        r = [one + other for one, other in zip(prior.transposed(of_records), prior.penalty(own), strict=True)]
        return prior.b(factor.solve(r))

    def by_term(self, b: Effects) -> list[np.ndarray]:
        """In the user's columns, term by term (J, q)."""
        blocks = zip(self.problem.blocks, b, strict=True)
        return self.estimates.by_term([block.effects(one.T, self._theta) for block, one in blocks])
