"""Predictions for new records: population mean plus the BLUPs of known levels, and how far off they may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mme.fitted.record import Fitted
from mme.prediction.freedom import check_interval, half_widths
from mme.prediction.predictor import (
    check_words,
    chosen_columns,
    kept_columns,
    only,
    parts_of,
    predictor,
    table,
    undetermined,
)
from mme.prediction.rows import PredictedRows, new_rows, rows_of_fit, with_variances
from mme.solution.estimates import Estimates
from mme.solution.prediction_error import Errors
from mme.solution.wide_records import wide_records
from mme.tables.arguments import yes_or_no


def predict(
    fit: Fitted,
    newdata: Any,
    random: bool | str | Sequence[str],
    new_levels: str,
    interval: str | None,
    level: float,
    ddf: str,
    weights: Any,
    fixed: bool = True,
    call: Mapping[str, Any] | None = None,
) -> Any:
    """Predict the rows of a fit or new ones; see ``fit.predict()``."""
    check_words(new_levels, interval, ("confidence", "prediction"))
    if interval is not None:
        check_interval(level, ddf)
    columns = chosen_columns(fit, random)
    chosen = tuple(columns)
    if newdata is None:
        records, estimates = rows_of_fit(fit, chosen), fit.estimates
    else:
        records, estimates = new_rows(fit, newdata, chosen, new_levels)
        records = with_variances(fit, records, newdata, weights, call) if interval == "prediction" else records
    records = only(records, columns)
    if not yes_or_no(fixed, "fixed"):
        fit.model.require_dense("predict(fixed=False)")
        records = replace(records, X=np.zeros_like(records.X), offset=None)
    X = kept_columns(fit, records)
    fitted = newdata is None and random is True and fixed
    mean = fit.estimates.fitted.copy() if fitted else predictor(X, estimates.beta, estimates.b, records)
    if newdata is not None and fit.dropped:
        mean[undetermined(fit, records)] = np.nan
    if interval is None:
        return records.rows.aligned(mean, "predicted")
    errors = _errors(estimates, X, records, interval == "prediction")
    half, se, df = half_widths(fit, errors, ddf, level)
    return table(mean, (mean - half, mean + half), se, df, records.rows)


def _errors(estimates: Estimates, X: Any, records: PredictedRows, of_record: bool) -> Errors:
    """What the errors of the mean, or of a record about it, depend on."""

    def residual(phi: np.ndarray) -> np.ndarray | float:
        own = 1.0 if records.variance is None else records.variance
        return own if records.structure is None else own * np.exp(2.0 * records.structure.log_sd(phi))

    parts = parts_of(estimates.objective.model, estimates.objective.blocks, records)
    if estimates.objective.model.is_wide:
        X, more = wide_records(estimates.objective, X)
        parts += more
    return Errors(estimates, X, parts, residual if of_record else None)
