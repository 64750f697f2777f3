"""x'beta + z'b of rows that are to be predicted: which terms, what the data of the fit do not determine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from mme.engine.blocks import Block
from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.fitted.effects import named_columns
from mme.model.problem import Model
from mme.numeric.panels import term_values
from mme.numeric.sums import by_column
from mme.prediction.new_levels import NEW
from mme.prediction.rows import PredictedRows
from mme.solution.prediction_error import Part
from mme.tables.arguments import is_word, names_of
from mme.tables.arrays import shown
from mme.tables.rows import Rows


def check_words(new_levels: str, interval: str | None, intervals: tuple[str, ...]) -> None:
    """Refuse words that there are not.

    Raises
    ------
    MMEError
        One of them is not known.
    """
    if not is_word(new_levels, ("error", "population")):
        raise MMEError(f"new_levels must be 'error' or 'population', got {shown(new_levels)}")
    if interval is not None and not is_word(interval, intervals):
        words = ["None", *map(repr, intervals)]
        raise MMEError(f"interval must be {', '.join(words[:-1])} or {words[-1]}, got {shown(interval)}")


def chosen_columns(fit: Record, random: bool | str | Sequence[str]) -> dict[int, np.ndarray]:
    """The terms that ``random`` names, and which of their columns (q,)."""
    if isinstance(random, bool | np.bool_):
        return {t: np.ones(term.q, dtype=bool) for t, term in enumerate(fit.model.terms) if random}
    return named_columns(fit.model, names_of(random, "random"))


def only(records: PredictedRows, columns: dict[int, np.ndarray]) -> PredictedRows:
    """The records with zeros for covariates of columns that were not chosen."""
    covariates = [
        values if values is None or columns[t].all() else np.where(columns[t], values, 0.0)
        for t, values in zip(records.terms, records.covariates, strict=True)
    ]
    return replace(records, covariates=tuple(covariates))


def predictor(X: Any, beta: np.ndarray, b: Sequence[np.ndarray], records: PredictedRows) -> np.ndarray:
    """X beta + Z b + offset, X of the kept columns; a level that was not seen has the expectation of b, zero."""
    mean = X @ beta
    if records.offset is not None:
        mean = mean + records.offset
    for t, codes, covariates in zip(records.terms, records.codes, records.covariates, strict=True):
        if by_column(codes) and covariates is not None:
            covariates = np.where(codes.T == NEW, 0.0, covariates)
        new = codes < 0
        if not new.any():
            mean += term_values(codes, covariates, b[t])
            continue
        values = term_values(np.where(new, 0, codes), covariates, b[t])
        mean += values if by_column(codes) else np.where(new, 0.0, values)
    return mean


def undetermined(fit: Record, records: PredictedRows) -> np.ndarray:
    """Which rows (n,) the data of the fit do not determine: those whose x is no combination of rows of its X."""
    unknown = ~fit.aliasing.estimable(records.X)
    if unknown.any():
        first = int(np.argmax(unknown))
        row = first if records.rows.index is None else records.rows.index[first]
        causes = fit.aliasing.causes(records.X[unknown], fit.model.x_names)
        warn(
            f"{int(unknown.sum())} of {unknown.size} rows cannot be predicted and are NaN (first: row {row}): in the "
            f"data of the fit {causes}, and in these rows not"
        )
    return unknown


def kept_columns(fit: Record, records: PredictedRows) -> Any:
    """The columns of X that the others do not determine."""
    kept = fit.basis.kept
    return records.X if kept.size == records.X.shape[1] else records.X[:, kept]


def parts_of(model: Model, blocks: Sequence[Block], records: PredictedRows) -> list[Part]:
    """The chosen terms by grouping factor, their covariates in the scaled columns of its block."""
    n, parts = records.X.shape[0], list[Part]()
    place = {t: i for i, t in enumerate(records.terms)}
    for b, block in enumerate(blocks):
        chosen = [t for t in block.terms if t in place]
        if not chosen:
            continue
        codes = records.codes[place[chosen[0]]]
        z = np.zeros((n, block.q), order="F")
        for t, columns in zip(block.terms, block.column_slices, strict=True):
            if t not in place:
                continue
            if not np.array_equal(records.codes[place[t]], codes):
                names = " and ".join(repr(model.terms[s].name) for s in chosen)
                raise MMEError(f"terms {names} share their levels in the fit, but not in the new rows")
            covariates = records.covariates[place[t]]
            z[:, columns] = 1.0 if covariates is None else covariates
        z = block.rows(z)
        if by_column(codes):  # a column by itself has one level a record
            parts += [Part(b, own, z * column) for own, column in zip(codes, np.eye(block.q), strict=True)]
        else:
            parts.append(Part(b, codes, z))
    return parts


def table(mean: np.ndarray, ends: tuple[np.ndarray, np.ndarray], se: np.ndarray, df: np.ndarray, rows: Rows) -> Any:
    """``fit, lower, upper, se, df``; a row without a prediction has none of them."""
    import pandas as pd

    by_column = np.array([mean, *ends, se, df])
    if (unknown := np.isnan(mean)).any():
        by_column[1:, unknown] = np.nan
    names = ["fit", "lower", "upper", "se", "df"]
    return pd.DataFrame(rows.full(by_column.T), index=rows.index, columns=names, copy=False)
