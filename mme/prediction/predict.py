"""Predictions for new records: population mean plus the BLUPs of known levels, and how far off they may be."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from mme.covariance.base import GStructure
from mme.engine.objective import Objective
from mme.errors import MMEError, MMEWarning
from mme.fitted.effects import named_columns
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.term import UNKNOWN, Term
from mme.numeric.panels import term_values
from mme.numeric.sums import by_column
from mme.prediction.freedom import check_interval, half_widths
from mme.residual import Bound
from mme.solution.estimates import Estimates
from mme.solution.prediction_error import Errors, Part
from mme.tables.arguments import is_word, names_of
from mme.tables.arrays import numbers, shown
from mme.tables.column import Factor
from mme.tables.labels import name as named
from mme.tables.rows import Rows
from mme.tables.spelling import labels_of, places

# Codes of levels that the fit did not see, and of coefficients without a label.
_NEW, _MISSING = -1, -2


@dataclass(frozen=True, eq=False)
class Records:
    """What is predicted: X (n, all columns of the fit), offset, and codes and covariates of the chosen terms.

    Codes are (n,), or (q, n) where each column of a term has levels of its own.
    ``variance`` (n,) is that of the residuals in units of sigma^2 (None: one), times exp(2 log_sd) of ``structure``.
    """

    X: np.ndarray
    offset: np.ndarray | None
    terms: tuple[int, ...]
    codes: tuple[np.ndarray, ...]
    covariates: tuple[np.ndarray | None, ...]
    variance: np.ndarray | None
    rows: Rows
    structure: Bound | None = None


def predict(
    fit: Fitted,
    newdata: Any,
    random: bool | str | Sequence[str],
    new_levels: str,
    interval: str | None,
    level: float,
    ddf: str,
    weights: Any,
) -> Any:
    """Predict the rows of a fit or new ones; see :meth:`Fit.predict`."""
    if not is_word(new_levels, ("error", "population")):
        raise MMEError(f"new_levels must be 'error' or 'population', got {shown(new_levels)}")
    if interval is not None and not is_word(interval, ("confidence", "prediction")):
        raise MMEError(f"interval must be None, 'confidence' or 'prediction', got {shown(interval)}")
    if interval is not None:
        check_interval(level, ddf)
    columns = chosen_columns(fit, random)
    chosen = tuple(columns)
    if newdata is None:
        records, estimates = _records_of_fit(fit, chosen), fit.estimates
    else:
        records, estimates = _new_records(fit, newdata, chosen, new_levels, weights, interval == "prediction")
    records = _only(records, columns)
    mean = _mean(estimates, records)
    if newdata is not None and fit.dropped:
        mean[_undetermined(fit, records)] = np.nan
    if interval is None:
        return records.rows.aligned(mean, "predicted")
    errors = _errors(estimates, records, interval == "prediction")
    return _table(mean, *half_widths(fit, errors, ddf, level), records.rows)


def chosen_columns(fit: Fitted, random: bool | str | Sequence[str]) -> dict[int, np.ndarray]:
    """The terms that ``random`` names, and which of their columns (q,)."""
    if isinstance(random, bool | np.bool_):
        return {t: np.ones(term.q, dtype=bool) for t, term in enumerate(fit.model.terms) if random}
    return named_columns(fit.model, names_of(random, "random"))


def _only(records: Records, columns: dict[int, np.ndarray]) -> Records:
    """The records with zeros for covariates of columns that were not chosen."""
    covariates = [
        values if values is None or columns[t].all() else np.where(columns[t], values, 0.0)
        for t, values in zip(records.terms, records.covariates, strict=True)
    ]
    return replace(records, covariates=tuple(covariates))


def _records_of_fit(fit: Fitted, chosen: tuple[int, ...]) -> Records:
    model = fit.model
    variance = None if model.weights is None else 1.0 / model.weights
    codes = tuple(model.terms[t].codes for t in chosen)
    covariates = tuple(model.terms[t].covariates for t in chosen)
    X = model.X
    if any(one.term not in chosen for one in model.unknown_parents):
        coded = dict(zip(chosen, zip(codes, covariates, strict=True), strict=True))
        X = _with_groups(model, X[:, : model.p_given], coded)
    return Records(X, model.offset, chosen, codes, covariates, variance, fit.rows, model.residual)


def _new_records(
    fit: Fitted, newdata: Any, chosen: tuple[int, ...], new_levels: str, weights: Any, needs_variance: bool
) -> tuple[Records, Estimates]:
    if fit.specification is not None:
        bars = tuple(fit.specification.bars[t] for t in chosen)
        new = replace(fit.specification, bars=bars).rows(newdata, random=bool(chosen))
        X, offset, groups, index = new.X, new.offset, new.groups, new.index
    else:
        X, groups = _array_rows(newdata, fit, chosen)
        offset, index = None, None
    if fit.model.offset is not None and offset is None:
        warnings.warn(
            "the offset of the fit was an array, so that of the new rows is not known: predictions leave it out",
            MMEWarning,
            stacklevel=4,
        )
    parts = [fit.model.structures[t] for t in chosen]
    groups = [(_recognised(part, factor), z) for part, (factor, z) in zip(parts, groups, strict=True)]
    estimates = _extended(fit.estimates, chosen, [factor for factor, _ in groups])
    terms = [estimates.objective.model.terms[t] for t in chosen]
    able = ~np.isnan(X if offset is None else np.column_stack([X, offset])).any(axis=1)
    coded = [_coded(term, factor, z, new_levels, able) for term, (factor, z) in zip(terms, groups, strict=True)]
    codes, covariates = tuple(one for one, _ in coded), tuple(values for _, values in coded)
    X = _with_groups(fit.model, X, dict(zip(chosen, coded, strict=True)))
    variance = _variance(fit, newdata, weights, X.shape[0]) if needs_variance else None
    rows = Rows(np.ones(X.shape[0], dtype=bool), index)
    return Records(X, offset, chosen, codes, covariates, variance, rows), estimates


def _with_groups(model: Model, X: np.ndarray, coded: Mapping[int, tuple[np.ndarray, Any]]) -> np.ndarray:
    """X with the columns of groups of unknown parents: of the term's animals, or, where it is left out, of the mean."""
    columns = [X]
    for one in model.unknown_parents:
        if one.term in coded:
            columns.append(one.rows(*coded[one.term]))
        else:
            columns.append(np.broadcast_to(model.X[:, one.columns].mean(axis=0), (len(X), one.Q.shape[1] * one.q)))
    return np.hstack(columns) if model.unknown_parents else X


def _recognised(part: GStructure, factor: Factor) -> Factor:
    """The factor with its labels as the levels of a relationship with parameters are called."""
    if part.relationship is None:
        return factor
    return replace(factor, categories=part.relationship.recognised(factor.categories))


def _extended(estimates: Estimates, chosen: tuple[int, ...], factors: list[Factor]) -> Estimates:
    """The same fit with levels for what its relationships can place of these labels (new times of known series).

    Levels without records change neither the likelihood nor the other effects, so that what is estimated at the same
    theta is the joint prediction of old and new levels.
    """
    model = estimates.objective.model
    terms, structures = list(model.terms), list(model.structures)
    for t, factor in zip(chosen, factors, strict=True):
        part = structures[t]
        longer = None if part.relationship is None else part.relationship.extended(_occurring(factor))
        if longer is not None:
            terms[t], structures[t] = terms[t].related(longer), part.beside(longer)
    if all(one is other for one, other in zip(terms, model.terms, strict=True)):
        return estimates
    wider = replace(model, terms=tuple(terms), structures=tuple(structures))
    return Estimates(Objective.of(wider, phi=estimates.objective.phi), estimates.theta)


def _array_rows(
    newdata: Any, fit: Fitted, chosen: tuple[int, ...]
) -> tuple[np.ndarray, list[tuple[Factor, np.ndarray | None]]]:
    model = fit.model
    if isinstance(newdata, Mapping) or not isinstance(newdata, tuple | list) or len(newdata) != 2:
        raise MMEError("this fit was made from arrays: newdata must be a pair (X, [Term, ...]) in the order of the fit")
    X, terms = np.atleast_2d(np.asarray(newdata[0], dtype=float)), list(newdata[1])
    names = model.x_names[: model.p_given]
    if X.shape[1] != len(names):
        raise MMEError(f"new X has {X.shape[1]} columns, the fit had {len(names)}: {', '.join(names)}")
    if [(term.q, term.by_column) for term in terms] != [(term.q, term.by_column) for term in model.terms]:
        raise MMEError("the new terms must have the coefficients of the fit's terms, in the same order")
    return X, [(Factor(terms[t].codes, terms[t].levels), terms[t].covariates) for t in chosen]


def _variance(fit: Fitted, newdata: Any, weights: Any, n: int) -> np.ndarray | None:
    """Variance of new residuals in units of sigma^2, from the weights of the new rows."""
    model = fit.model
    if weights is None:
        if model.weights is not None or (model.residual is not None and model.residual.log_sd(fit.objective.phi).any()):
            raise MMEError(
                "the residual variance of this fit differs from record to record: give weights= for the new rows, a "
                "number a row or a column of theirs (variance = sigma^2 / weight)"
            )
        return None
    values = numbers(newdata[weights] if isinstance(weights, str) else weights, "weights")
    if values.ndim > 1 or values.size not in (1, n) or not (values > 0.0).all():
        raise MMEError(f"weights must be {n} positive numbers, one a new row")
    return np.broadcast_to(1.0 / values, (n,))


def _coded(
    term: Term, factor: Factor, covariates: np.ndarray | None, new_levels: str, able: np.ndarray
) -> tuple[np.ndarray, np.ndarray | None]:
    """Codes and covariates of a term; where each column has labels of its own (q, n), zero for the missing ones."""
    if not by_column(factor.codes) or covariates is None:
        return _codes(term, factor, new_levels, able), covariates
    factor = _without_unknown(term, factor)
    codes = _codes(term, factor, new_levels, able)
    for a, b in combinations(range(len(codes)), 2):
        strange = (codes[a] == _NEW) & (codes[b] == _NEW) & (factor.codes[a] == factor.codes[b])
        if strange.any():
            raise MMEError(
                f"grouping factor '{term.group}': {shown(factor.categories[factor.codes[a][strange][0]])}, which the "
                "fit did not see, has two coefficients of one new record: predict it apart"
            )
    missing = codes == _MISSING
    return np.where(missing, codes[0], codes), np.where(missing.T, 0.0, covariates)


def _without_unknown(term: Term, factor: Factor) -> Factor:
    """Missing labels for what stands for an unknown one among related levels."""
    if term.relationship is None:
        return factor
    labels = labels_of(factor.categories)
    known = places(factor.categories, term.levels) >= 0
    is_mark = [label in UNKNOWN and not here for label, here in zip(labels, known.tolist(), strict=True)]
    return replace(factor, codes=np.where(np.array([*is_mark, True])[factor.codes], -1, factor.codes))


def _codes(term: Term, factor: Factor, new_levels: str, able: np.ndarray) -> np.ndarray:
    """Codes of labels among the levels of a term; a record without a label is of a level that the fit did not see.

    ``able`` (n,) marks the records that can be predicted at all.
    """
    position = places(factor.categories, term.levels)
    codes = np.append(position, _MISSING)[factor.codes]
    first = np.atleast_2d(codes)[0]
    if new_levels == "error" and (position == _NEW).any() and (unknown := codes == _NEW).any():
        found = sorted(labels_of(factor.categories[np.unique(factor.codes[unknown])]))
        raise MMEError(
            f"grouping factor '{term.group}' has {len(found)} level(s) that the fit did not see: {named(found)}; use "
            "new_levels='population' to predict them at the population value"
        )
    without = (first == _MISSING) & able
    if new_levels == "error" and without.any():
        raise MMEError(
            f"grouping factor '{term.group}' has no label in {int(without.sum())} of {first.size} new rows; use "
            "new_levels='population' to predict them at the population value"
        )
    first[first == _MISSING] = _NEW
    return codes


def _occurring(factor: Factor) -> np.ndarray:
    """The labels that occur."""
    codes = np.unique(factor.codes)
    return factor.categories[codes[codes >= 0]]


def _mean(estimates: Estimates, records: Records) -> np.ndarray:
    """X beta + Z b + offset; a level that was not seen has the expectation of b, zero."""
    mean = _kept(estimates, records) @ estimates.beta
    if records.offset is not None:
        mean = mean + records.offset
    for t, codes, covariates in zip(records.terms, records.codes, records.covariates, strict=True):
        if by_column(codes) and covariates is not None:
            covariates = np.where(codes.T == _NEW, 0.0, covariates)
        new = codes < 0
        if not new.any():
            mean += term_values(codes, covariates, estimates.b[t])
            continue
        values = term_values(np.where(new, 0, codes), covariates, estimates.b[t])
        mean += values if by_column(codes) else np.where(new, 0.0, values)
    return mean


def _undetermined(fit: Fitted, records: Records) -> np.ndarray:
    """Which rows (n,) the data of the fit do not determine: those whose x is no combination of rows of its X."""
    unknown = ~fit.aliasing.estimable(records.X)
    if unknown.any():
        first = int(np.argmax(unknown))
        row = first if records.rows.index is None else records.rows.index[first]
        causes = fit.aliasing.causes(records.X[unknown], fit.model.x_names)
        warnings.warn(
            f"{int(unknown.sum())} of {unknown.size} rows cannot be predicted and are NaN (first: row {row}): in the "
            f"data of the fit {causes}, and in these rows not",
            MMEWarning,
            stacklevel=4,
        )
    return unknown


def _kept(estimates: Estimates, records: Records) -> np.ndarray:
    """The columns of X that the others do not determine."""
    kept = estimates.objective.basis.kept
    return records.X if kept.size == records.X.shape[1] else records.X[:, kept]


def _errors(estimates: Estimates, records: Records, of_record: bool) -> Errors:
    """What the errors of the mean, or of a record about it, depend on."""

    def residual(phi: np.ndarray) -> np.ndarray | float:
        own = 1.0 if records.variance is None else records.variance
        return own if records.structure is None else own * np.exp(2.0 * records.structure.log_sd(phi))

    return Errors(estimates, _kept(estimates, records), _parts(estimates, records), residual if of_record else None)


def _parts(estimates: Estimates, records: Records) -> list[Part]:
    """The chosen terms by grouping factor, their covariates in the scaled columns of its block."""
    n, model, parts = records.X.shape[0], estimates.objective.model, []
    place = {t: i for i, t in enumerate(records.terms)}
    for b, block in enumerate(estimates.objective.blocks):
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


def _table(mean: np.ndarray, half: np.ndarray, se: np.ndarray, df: np.ndarray, rows: Rows) -> Any:
    """``fit, lower, upper, se, df``; a row without a prediction has none of them."""
    import pandas as pd

    by_column = np.array([mean, half, half, se, df])
    np.subtract(mean, half, out=by_column[1])
    by_column[2] += mean
    if (unknown := np.isnan(mean)).any():
        by_column[3:, unknown] = np.nan
    names = ["fit", "lower", "upper", "se", "df"]
    return pd.DataFrame(rows.full(by_column.T), index=rows.index, columns=names, copy=False)
