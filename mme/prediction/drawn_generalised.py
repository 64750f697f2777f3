r"""Predictions of generalised models with simulated parameters, from the distribution that their intervals state.

    psi = (theta, gamma, tau) ~ N(psi_hat, Sigma),     b = b_hat + E (psi - psi_hat) + Lambda H^-1/2 z

with E of :mod:`mme.generalised.moves`. The last part is H^-1 r with r ~ N(0, H), H = Lambda'Z'W Z Lambda + K^-1:
r = Lambda'Z'W^1/2 z_1 + K^-1/2 z_2, for which a W below zero (log f not concave there) counts as zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.columns import Effects
from mme.numeric.factor import factorise
from mme.numeric.memory import require
from mme.prediction.drawn import of_new_levels
from mme.prediction.generalised import widened_fit
from mme.prediction.new_record import checked_weights
from mme.prediction.predictor import check_words, chosen_columns, kept_columns, only, predictor, undetermined
from mme.prediction.rows import GivenRows, coded_rows, given_rows, rows_of_fit
from mme.tables.arguments import count, is_word, random_numbers
from mme.tables.arrays import shown


def drawn_generalised(
    fit: GeneralisedFitted,
    newdata: Any,
    kind: str,
    random: Any,
    new_levels: str,
    interval: str | None,
    weights: Any,
    n: int,
    seed: int | np.random.Generator | None,
) -> Any:
    """(rows, n) draws of the mean, of eta, or by ``interval="prediction"`` of a new response."""
    check_words(new_levels, interval, ("confidence", "prediction"))
    n, rng = count(n, "draws", "of draws"), random_numbers(seed)
    if not is_word(kind, ("response", "link")) or (kind == "link" and interval == "prediction"):
        raise MMEError(f"draws are of type='response', or of means alone of 'link'; got {shown(kind)}")
    if is_word(random, ("average",)):
        raise MMEError("draws are given b: write random=True, False or names; a new level's effects are drawn too")
    columns = chosen_columns(fit, random)
    chosen, given = tuple(columns), None
    if newdata is None:
        records = rows_of_fit(fit, chosen)
    else:
        given = given_rows(fit, newdata, chosen)
        fit = widened_fit(fit, chosen, [factor for factor, _ in given.groups])
        records = coded_rows(fit.model, given, chosen, fit.model.terms, new_levels)
    records = only(records, columns)
    trials = _trials(fit, newdata, weights, records.X.shape[0]) if interval == "prediction" else None
    out = _drawn(fit, records, given, n, rng, kind, trials)
    if newdata is not None and fit.dropped:
        out[undetermined(fit, records)] = np.nan
    return records.rows.aligned(out, "predicted")


def _trials(fit: GeneralisedFitted, newdata: Any, weights: Any, n: int) -> np.ndarray:
    if newdata is None and weights is None:
        return fit.problem.data.weights
    return checked_weights(fit.family, weights, newdata, n)


def _drawn(
    fit: GeneralisedFitted,
    records: Any,
    given: GivenRows | None,
    n: int,
    rng: np.random.Generator,
    kind: str,
    trials: np.ndarray | None,
) -> np.ndarray:
    """(rows, n); ``trials`` (rows,): of new responses."""
    estimates, family, X = fit.estimates, fit.family, kept_columns(fit, records)
    moves = estimates.moves
    if not np.isfinite(moves.beta).all():
        raise MMEError("what the parameters leave uncertain is not known at this optimum (see diagnose()): no draws")
    rows = records.X.shape[0]
    require(8 * rows * n, f"{n:,} draws of {rows:,} predictions need", ": draw fewer at a time, with other seeds")
    T = fit.model.T(fit.model.coordinates.outer(fit.searched.at.at.theta))
    given_parameters, out = _GivenParameters(fit), np.empty((rows, n))
    for s in range(n):
        z = rng.standard_normal(moves.beta.shape[1])
        moved = [np.einsum("amg,m->ag", one, z) for one in moves.b]
        b = given_parameters.by_term([one + other for one, other in zip(moved, given_parameters(rng), strict=True)])
        b = [mode + one for mode, one in zip(estimates.b, b, strict=True)]
        eta = predictor(X, estimates.beta + moves.beta @ z, b, records) + of_new_levels(records, given, T, rng)
        tau = estimates.tau + moves.tau @ z
        if trials is not None:
            out[:, s] = family.draw(eta, trials, tau, rng)
        else:
            out[:, s] = family.mean(eta, tau) if kind == "response" else eta
    return out


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
