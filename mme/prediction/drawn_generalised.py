"""Predictions of generalised models with simulated parameters, from the distribution that their intervals state."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.generalised import GeneralisedFitted
from mme.numeric.memory import require
from mme.prediction.drawn import of_new_levels
from mme.prediction.generalised import widened_fit
from mme.prediction.new_record import checked_weights
from mme.prediction.predictor import check_words, chosen_columns, kept_columns, only, predictor, undetermined
from mme.prediction.rows import GivenRows, coded_rows, given_rows, rows_of_fit
from mme.results.generalised_draws import drawn
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
    family, X = fit.family, kept_columns(fit, records)
    rows = records.X.shape[0]
    require(8 * rows * n, f"{n:,} draws of {rows:,} predictions need", ": draw fewer at a time, with other seeds")
    T = fit.model.T(fit.model.coordinates.outer(fit.searched.at.at.theta))
    out = np.empty((rows, n))
    for s, one in enumerate(drawn(fit, n, rng)):
        eta = predictor(X, one.beta, one.b, records) + of_new_levels(records, given, T, rng)
        if trials is not None:
            out[:, s] = family.draw(eta, trials, one.tau, rng)
        else:
            out[:, s] = family.mean(eta, one.tau) if kind == "response" else eta
    return out
