r"""Predictions with simulated parameters: one draw of (theta, phi, sigma), then of (beta, b) given them, a prediction.

    (theta, phi) ~ N(x, 2 H^-1),     sigma^2 ~ pwrss(theta, phi) / chi^2(n - p),
    (beta, b) given theta, sigma ~ N((beta_hat, b_hat), sigma^2 C^-1)

with H the Hessian of the criterion, profiled over sigma, at the estimates x, and C the matrix of Henderson's equations
at the drawn theta: the posterior distribution with flat priors on beta and log sigma, that of the variances
taken as normal in the axes of the terms. Gelman and Hill's ``sim`` draws the second and third part alone. A level that
the fit did not see has effects of its own, N(0, sigma^2 T T').
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.numeric.memory import require
from mme.numeric.panels import term_values
from mme.numeric.sums import by_column
from mme.prediction.new_levels import NEW
from mme.prediction.predictor import check_words, chosen_columns, kept_columns, only, predictor, undetermined
from mme.prediction.rows import GivenRows, PredictedRows, coded_rows, extended, given_rows, rows_of_fit, with_variances
from mme.results.components import accuracy
from mme.results.draws import effects_drawn
from mme.solution.estimates import Estimates
from mme.tables.arguments import count, random_numbers

# Draws of the variances at which the model cannot be solved are drawn again, so often.
_TRIES = 50


def drawn_predictions(
    fit: Fitted,
    newdata: Any,
    random: Any,
    new_levels: str,
    interval: str | None,
    weights: Any,
    fixed: bool,
    n: int,
    seed: int | np.random.Generator | None,
    call: Mapping[str, Any] | None = None,
) -> Any:
    """(rows, n) draws of x'beta + z'b, or by ``interval="prediction"`` of a new record about it."""
    check_words(new_levels, interval, ("confidence", "prediction"))
    of_record = interval == "prediction"
    n, rng = count(n, "draws", "of draws"), random_numbers(seed)
    columns = chosen_columns(fit, random)
    chosen = tuple(columns)
    given: GivenRows | None = None
    if newdata is None:
        records, origin = rows_of_fit(fit, chosen), fit.estimates
    else:
        given = given_rows(fit, newdata, chosen)
        origin = extended(fit.estimates, chosen, [factor for factor, _ in given.groups])
        records = coded_rows(fit.model, given, chosen, origin.objective.model.terms, new_levels)
        records = with_variances(fit, records, newdata, weights, call) if of_record else records
    records = only(records, columns)
    if not fixed:
        fit.model.require_dense("predict(fixed=False)")
        records = replace(records, X=np.zeros_like(records.X), offset=None)
    X, rows = kept_columns(fit, records), records.X.shape[0]
    require(8 * rows * n, f"{n:,} draws of {rows:,} predictions need", ": draw fewer at a time, with other seeds")
    out = np.empty((rows, n))
    for s in range(n):
        estimates, sigma = _variances(fit, origin, rng)
        beta, b = effects_drawn(estimates, sigma, 1, rng)
        b_drawn = [mean + one[0] for mean, one in zip(estimates.b, b, strict=True)]
        out[:, s] = predictor(X, estimates.beta + beta[0], b_drawn, records)
        T = [sigma * one for one in estimates.objective.model.T(estimates.theta)]
        out[:, s] += of_new_levels(records, given, T, rng)
        if of_record:
            out[:, s] += sigma * _sd(records, estimates.objective.phi) * rng.standard_normal(rows)
    if newdata is not None and fit.dropped:
        out[undetermined(fit, records)] = np.nan
    return records.rows.aligned(out, "predicted")


def _variances(fit: Fitted, origin: Estimates, rng: np.random.Generator) -> tuple[Estimates, float]:
    """The estimates of the effects at variances that are drawn, and the residual standard deviation."""
    constants = fit.objective.constants
    for _ in range(_TRIES):
        theta, phi = fit.once(accuracy).draw(rng)
        try:
            estimates = Estimates(origin.objective.at(phi), theta)
            sigma = estimates.sigma
        except (MMEError, np.linalg.LinAlgError):
            continue
        if np.isfinite(sigma) and sigma > 0.0:
            if constants.sigma is None:
                sigma *= float(np.sqrt(constants.n_effective / rng.chisquare(constants.n_effective)))
            return estimates, sigma
    raise MMEError("the variances are known too badly to be drawn: the model cannot be solved at what they may be")


def of_new_levels(
    records: PredictedRows, given: GivenRows | None, T: list[np.ndarray], rng: np.random.Generator
) -> np.ndarray:
    """Effects (n,) of levels that the fit did not see, one draw a label; records without a label have one each."""
    total = np.zeros(records.X.shape[0])
    if given is None:
        return total
    for t, codes, z, (factor, _) in zip(records.terms, records.codes, records.covariates, given.groups, strict=True):
        if not (is_new := codes == NEW).any():
            continue
        labels = np.where(is_new & (factor.codes >= 0), factor.codes, 0)
        unlabelled = is_new & (factor.codes < 0)
        labels[unlabelled] = len(factor.categories) + np.arange(int(unlabelled.sum()))
        b = rng.standard_normal((int(labels.max()) + 1, len(T[t]))) @ T[t].T
        if by_column(codes) and z is not None:
            total += term_values(labels, np.where(is_new.T, z, 0.0), b)
        else:
            total += np.where(is_new, term_values(labels, z, b), 0.0)
    return total


def _sd(records: PredictedRows, phi: np.ndarray) -> Any:
    """Standard deviations of the residuals, in units of sigma."""
    sd: Any = 1.0 if records.variance is None else np.sqrt(records.variance)
    return sd if records.structure is None else sd * np.exp(records.structure.log_sd(phi))
