"""The rows to be predicted, those of the fit or new ones, as columns of X and levels of the terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.covariance.base import GStructure
from mme.engine.objective import Objective
from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.term import Term
from mme.prediction.new_levels import coded_levels
from mme.prediction.new_residuals import NewVariances, new_variances
from mme.residual import Bound
from mme.solution.estimates import Estimates
from mme.tables.arrays import numbers
from mme.tables.column import Factor
from mme.tables.rows import Rows


@dataclass(frozen=True, eq=False)
class PredictedRows:
    """What is predicted: X (n, all columns of the fit), offset, and codes and covariates of the chosen terms.

    X is sparse where that of the fit is.
    Codes are (n,), or (q, n) where each column of a term has levels of its own.
    ``variance`` (n,) is that of the residuals in units of sigma^2 (None: one), times exp(2 log_sd) of ``structure``.
    """

    X: Any
    offset: np.ndarray | None
    terms: tuple[int, ...]
    codes: tuple[np.ndarray, ...]
    covariates: tuple[np.ndarray | None, ...]
    variance: np.ndarray | None
    rows: Rows
    structure: Bound | NewVariances | None = None


def rows_of_fit(fit: Record, chosen: tuple[int, ...]) -> PredictedRows:
    """The rows of the fit, with the chosen terms."""
    model = fit.model
    variance = None if model.weights is None else 1.0 / model.weights
    codes = tuple(model.terms[t].codes for t in chosen)
    covariates = tuple(model.terms[t].covariates for t in chosen)
    X = model.X
    if any(one.term not in chosen for one in model.unknown_parents):
        coded = dict(zip(chosen, zip(codes, covariates, strict=True), strict=True))
        X = _with_groups(model, X[:, : model.p_given], coded)
    return PredictedRows(X, model.offset, chosen, codes, covariates, variance, fit.rows, model.residual)


@dataclass(frozen=True, eq=False)
class GivenRows:
    """New rows as they are given: X, offset, labels and covariates of the chosen terms, the index of the rows."""

    X: Any
    offset: np.ndarray | None
    groups: list[tuple[Factor, np.ndarray | None]]
    index: Any


def new_rows(fit: Fitted, newdata: Any, chosen: tuple[int, ...], new_levels: str) -> tuple[PredictedRows, Estimates]:
    """New rows with the chosen terms, and the estimates with the levels that these rows add to processes in time."""
    given = given_rows(fit, newdata, chosen)
    estimates = extended(fit.estimates, chosen, [factor for factor, _ in given.groups])
    records = coded_rows(fit.model, given, chosen, estimates.objective.model.terms, new_levels)
    return records, estimates


def given_rows(fit: Record, newdata: Any, chosen: tuple[int, ...], *, labels: bool = True) -> GivenRows:
    """Read new rows; without ``labels`` they need not hold the grouping factors, and all are of one level."""
    if fit.specification is not None:
        bars = tuple(fit.specification.bars[t] for t in chosen)
        new = replace(fit.specification, bars=bars).rows(newdata, random=bool(chosen), labels=labels)
        X, offset, groups, index = new.X, new.offset, list(new.groups), new.index
    else:
        X, groups = _array_rows(newdata, fit, chosen)
        offset, index = None, None
    if fit.model.offset is not None and offset is None:
        warn("the offset of the fit was an array, so that of the new rows is not known: predictions leave it out")
    parts = [fit.model.structures[t] for t in chosen]
    if labels:
        groups = [(_recognised(part, factor), z) for part, (factor, z) in zip(parts, groups, strict=True)]
    return GivenRows(X, offset, groups, index)


def coded_rows(
    model: Model, given: GivenRows, chosen: tuple[int, ...], terms: Sequence[Term], new_levels: str
) -> PredictedRows:
    """The rows with their labels as codes of the levels of ``terms``."""
    X, offset = given.X, given.offset
    able = ~has_missing(X)
    if offset is not None:
        able &= ~np.isnan(offset)
    pairs = zip((terms[t] for t in chosen), given.groups, strict=True)
    coded = [coded_levels(term, factor, z, new_levels, able) for term, (factor, z) in pairs]
    codes, covariates = tuple(one for one, _ in coded), tuple(values for _, values in coded)
    X = _with_groups(model, X, dict(zip(chosen, coded, strict=True)))
    rows = Rows(np.ones(X.shape[0], dtype=bool), given.index)
    return PredictedRows(X, offset, chosen, codes, covariates, None, rows)


def has_missing(X: Any) -> np.ndarray:
    """Which rows (n,) of a matrix, sparse or not, miss a value."""
    if not sp.issparse(X):
        return np.asarray(np.isnan(X).any(axis=1))
    rows = sp.coo_array(X)
    out = np.zeros(X.shape[0], dtype=bool)
    out[rows.coords[0][np.isnan(rows.data)]] = True
    return out


def _with_groups(model: Model, X: Any, coded: Mapping[int, tuple[np.ndarray, Any]]) -> Any:
    """X with the columns of groups of unknown parents: of the term's animals, or, where it is left out, of the mean."""
    columns = [X]
    for one in model.unknown_parents:
        if one.term in coded:
            columns.append(one.rows(*coded[one.term]))
        else:
            columns.append(np.broadcast_to(model.means_of_X(one.columns), (X.shape[0], one.Q.shape[1] * one.q)))
    if not model.unknown_parents:
        return X
    return sp.csc_array(sp.hstack([sp.csc_array(one) for one in columns])) if model.is_wide else np.hstack(columns)


def _recognised(part: GStructure, factor: Factor) -> Factor:
    """The factor with its labels as the levels of a relationship with parameters are called."""
    if part.relationship is None:
        return factor
    return replace(factor, categories=part.relationship.recognised(factor.categories))


def extended(estimates: Estimates, chosen: tuple[int, ...], factors: list[Factor]) -> Estimates:
    """The same fit with levels for what its relationships can place of these labels (new times of known series).

    Levels without records change neither the likelihood nor the other effects, so that what is estimated at the same
    theta is the joint prediction of old and new levels.
    """
    wider = widened(estimates.objective.model, chosen, factors)
    if wider is None:
        return estimates
    return Estimates(Objective.of(wider, phi=estimates.objective.phi), estimates.theta)


def widened(model: Model, chosen: tuple[int, ...], factors: list[Factor]) -> Model | None:
    """The model with such levels; None where there are none."""
    terms, structures = list(model.terms), list(model.structures)
    for t, factor in zip(chosen, factors, strict=True):
        part = structures[t]
        longer = None if part.relationship is None else part.relationship.extended(_occurring(factor))
        if longer is not None:
            terms[t], structures[t] = terms[t].related(longer), part.beside(longer)
    if all(one is other for one, other in zip(terms, model.terms, strict=True)):
        return None
    return model.exchanging(terms=tuple(terms), structures=tuple(structures))


def _array_rows(
    newdata: Any, fit: Record, chosen: tuple[int, ...]
) -> tuple[Any, list[tuple[Factor, np.ndarray | None]]]:
    model = fit.model
    if isinstance(newdata, Mapping) or not isinstance(newdata, tuple | list) or len(newdata) != 2:
        raise MMEError("this fit was made from arrays: newdata must be a pair (X, [Term, ...]) in the order of the fit")
    X, terms = _array_of(newdata[0], model), list(newdata[1])
    names = model.x_names[: model.p_given]
    if X.shape[1] != len(names):
        shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
        raise MMEError(f"new X has {X.shape[1]} columns, the fit had {len(names)}: {shown}")
    if [(term.q, term.by_column) for term in terms] != [(term.q, term.by_column) for term in model.terms]:
        raise MMEError("the new terms must have the coefficients of the fit's terms, in the same order")
    return X, [(Factor(terms[t].codes, terms[t].levels), terms[t].covariates) for t in chosen]


def _array_of(X: Any, model: Model) -> Any:
    """New rows of X as they are given; of a wide fit sparse, by columns."""
    if model.is_wide:
        return sp.csc_array(X if sp.issparse(X) else np.atleast_2d(np.asarray(X, dtype=float)))
    return np.atleast_2d(np.asarray(X.toarray() if sp.issparse(X) else X, dtype=float))


def with_variances(
    fit: Fitted, records: PredictedRows, newdata: Any, weights: Any, call: Mapping[str, Any] | None
) -> PredictedRows:
    """The new rows with the variances of their residuals: from their weights, else as the structure reads them."""
    n = records.X.shape[0]
    if weights is not None:
        return replace(records, variance=_by_weights(newdata, weights, n))
    if fit.model.weights is not None:
        raise MMEError(
            "the residual variance of this fit differs from record to record: give weights= for the new rows, a "
            "number a row or a column of theirs (variance = sigma^2 / weight)"
        )
    return replace(records, structure=new_variances(fit, newdata, n, call))


def _by_weights(newdata: Any, weights: Any, n: int) -> np.ndarray:
    """Variance of new residuals in units of sigma^2."""
    values = numbers(newdata[weights] if isinstance(weights, str) else weights, "weights")
    if values.ndim > 1 or values.size not in (1, n) or not (values > 0.0).all():
        raise MMEError(f"weights must be {n} positive numbers, one a new row")
    return np.broadcast_to(1.0 / values, (n,))


def _occurring(factor: Factor) -> np.ndarray:
    """The labels that occur."""
    codes = np.unique(factor.codes)
    return factor.categories[codes[codes >= 0]]
