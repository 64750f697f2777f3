"""The door: everything that the arrays of a problem can have wrong is found here, once."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.covariance.base import GStructure
from mme.covariance.extended import Extended
from mme.covariance.words import structure
from mme.errors import MMEError
from mme.model.term import Term, renamed
from mme.model.wide import stays_sparse
from mme.numeric.long_columns import LongColumns, is_long
from mme.numeric.memory import require
from mme.tables.arguments import is_word
from mme.tables.arrays import check_range, numbers, shown
from mme.tables.names import unlike
from mme.tables.row_labels import common_labels, row_labels


def estimation_method(method: Any, REML: bool | None = None) -> str:
    """``"REML"`` or ``"ML"``, of a word in any case, or of ``REML=True`` or ``False`` in its place.

    Examples
    --------
    >>> estimation_method("ml"), estimation_method("REML", False), estimation_method("REML", True)
    ('ML', 'ML', 'REML')
    """
    word = method.upper() if isinstance(method, str) else method
    if not is_word(word, ("REML", "ML")):
        raise MMEError(f"method must be 'REML' or 'ML', got {shown(method)}")
    if REML is None:
        return str(word)
    if not isinstance(REML, bool | np.bool_):
        raise MMEError(f"REML must be True or False, got {shown(REML)}; or write method='ML'")
    if REML and word == "ML":
        raise MMEError("method='ML' and REML=True say two things: leave one of them out")
    return "REML" if REML else "ML"


def check_sigma(sigma: Any) -> float | None:
    """A residual standard deviation that is given; None where it is estimated."""
    real = isinstance(sigma, int | float | np.integer | np.floating)
    if sigma is not None and not (real and 0.0 < sigma <= sys.float_info.max):
        raise MMEError(f"sigma must be a positive number, or None to estimate it; got {shown(sigma)}")
    if sigma is not None:
        check_range(float(sigma), "sigma")
    return None if sigma is None else float(sigma)


def check_response(y: Any, n: int | None, name: str) -> np.ndarray:
    """The response (n,), finite and not empty."""
    values = check_vector(y, n, f"response '{name}'")
    if values.size == 0:
        raise MMEError(f"response '{name}' is empty: there are no records to fit")
    return values


def check_vector(values: Any, n: int | None, what: str) -> np.ndarray:
    """A finite float vector of length n, always a copy."""
    vector = numbers(values, what)
    if vector.ndim == 2 and vector.shape[1] == 1:
        vector = vector[:, 0]
    if vector.ndim != 1:
        raise MMEError(f"{what} must be one-dimensional, got shape {vector.shape}")
    if n is not None and vector.size != n:
        raise MMEError(f"{what} has {vector.size} values for {n} records")
    largest = max(vector.max(), -vector.min()) if vector.size else 0.0
    if not np.isfinite(largest):
        missing, infinite = int(np.isnan(vector).sum()), int(np.isinf(vector).sum())
        raise MMEError(f"{what} has {missing} missing and {infinite} infinite values; drop those records or mend them")
    check_range(largest, what)
    return vector


def check_fixed(X: Any, n: int, names: Sequence[str] | None, *, wide: bool = False) -> tuple[Any, tuple[str, ...]]:
    """X as floats (n, p), column-major and finite, and the names of its columns, no two alike.

    Where it may be ``wide``, a sparse X stays so that is (:mod:`mme.model.wide`), and a long one is held by columns.
    """
    names = names if names is not None else getattr(X, "columns", None)
    columns: Any
    is_sparse = sp.issparse(X)
    if isinstance(X, LongColumns):
        columns = X
    elif wide and is_long(X):
        columns = LongColumns.of(X)
    elif wide and is_sparse and X.shape[0] == n and stays_sparse(X):
        columns = _sparse_columns(X)
    else:
        if is_sparse:
            require(8 * X.shape[0] * X.shape[1], f"X with {X.shape[1]:,} columns, dense, would need")
        columns = np.asarray(_numeric_columns(X.toarray() if is_sparse else X), order="F")
    if len(columns.shape) == 1:
        columns = columns[:, None]
    if len(columns.shape) != 2 or columns.shape[0] != n:
        raise MMEError(f"X must have shape ({n}, p) to match the response, got {columns.shape}")
    labels = tuple(f"x{j + 1}" for j in range(columns.shape[1])) if names is None else unlike(map(str, names))
    if len(labels) != columns.shape[1]:
        raise MMEError(f"{len(labels)} names for {columns.shape[1]} columns of X")
    if n == 0:
        return columns, labels
    largest = _largest(columns)
    bad = ~np.isfinite(largest)
    if bad.any():
        found = ", ".join(f"'{label}'" for label, is_bad in zip(labels, bad.tolist(), strict=True) if is_bad)
        raise MMEError(f"X has missing or infinite values in {found}; drop those records or mend them")
    for label, size in zip(labels, largest.tolist(), strict=True):
        check_range(size, f"column '{label}' of X")
    return columns, labels


def _sparse_columns(X: Any) -> sp.csc_array:
    """A sparse X by columns, as floats of our own."""
    entries = sp.coo_array(X)
    rows, cols = entries.coords
    found = sp.csc_array(sp.coo_array((numbers(entries.data, "X"), (rows, cols)), shape=entries.shape))
    found.sum_duplicates()
    found.eliminate_zeros()
    return found


def _largest(columns: Any) -> np.ndarray:
    """The largest size (p,) of an entry of each column; NaN where one is missing."""
    if isinstance(columns, LongColumns):
        return columns.largest()
    if isinstance(columns, np.ndarray):
        return np.asarray(np.maximum(columns.max(axis=0), -columns.min(axis=0)))
    largest = np.zeros(columns.shape[1])
    with np.errstate(invalid="ignore"):  # a missing value is the largest
        np.maximum.at(largest, np.repeat(np.arange(largest.size), np.diff(columns.indptr)), np.abs(columns.data))
    return largest


def _numeric_columns(X: Any) -> np.ndarray:
    """X as floats of our own; a data frame by its columns, so that the one that is not numeric is named."""
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        return numbers(X, "X")
    columns = [numbers(X.iloc[:, j], f"column '{name}' of X") for j, name in enumerate(X.columns)]
    return np.array(columns).T if columns else np.zeros((len(X), 0))


def check_weights(weights: Any, n: int, name: str, zeros: bool = False) -> np.ndarray:
    """Prior weights (n,), positive and finite: the variance of a record is sigma^2 / weight.

    ``zeros``: the weights multiply log densities, so that a record of weight zero counts for nothing and is kept.
    """
    values = check_vector(weights, n, name)
    if zeros:
        return _check_counting(values, name)
    if (values <= 0).any():
        raise MMEError(
            f"{name} must be positive (the variance of a record is sigma^2 / weight): {int((values < 0).sum())} are "
            f"negative and {int((values == 0).sum())} are zero; drop those records"
        )
    check_range(float(values.min()), name)
    return values


def _check_counting(weights: np.ndarray, name: str) -> np.ndarray:
    """Weights of records some of which may count for nothing."""
    if (weights < 0).any():
        raise MMEError(
            f"{name} must be positive, or zero for records that count for nothing: {int((weights < 0).sum())} are "
            "negative; drop those records or mend them"
        )
    if not (weights > 0).any():
        raise MMEError(f"{name} are zero in all {weights.size} records: nothing is left to fit")
    check_range(float(weights[weights > 0].min()), name)
    return weights


def check_terms(terms: Sequence[Term], n: int) -> tuple[Term, ...]:
    """The terms of n records; those under one name become g, g.1, g.2, as in lme4."""
    if isinstance(terms, Term) or not isinstance(terms, Iterable):
        raise MMEError(f"terms must be a list of mme.Term objects, got {type(terms).__name__}; write [term]")
    if getattr(terms, "ndim", 1) != 1:
        raise MMEError(f"terms must be a list of mme.Term objects, got {type(terms).__name__}")
    for term in terms:
        if not isinstance(term, Term):
            raise MMEError(f"terms must be a list of mme.Term objects, [mme.Term(groups)]; got {type(term).__name__}")
    for term in (apart := renamed(terms)):
        _check_term(term, n)
    return apart


def labels_beside(given: Mapping[str, Any], terms: Sequence[Term]) -> Any:
    """The row labels that what is given by name, and the terms, share; refused where they are in another order."""
    labels = {what: row_labels(values) for what, values in given.items()}
    return common_labels(labels | {f"term '{one.name}'": one.row_labels for one in terms if one.row_labels is not None})


def structure_of(term: Term) -> GStructure:
    """The structure of G of a term, with the parameters of its relationship where that has some."""
    part, relationship = structure(term.covariance, term.q, term.name), term.parametric
    if relationship is None:
        return part
    if len(relationship.rows) == term.n_levels:
        raise MMEError(
            f"term '{term.name}': no two levels of its relationship are neighbours (no series has two times), so that "
            f"nothing can be said about its {' and '.join(relationship.names)}"
        )
    return Extended(part, relationship)


def _of_one_level(q: int) -> str:
    """What to do with several coefficients of one level."""
    if q < 2:
        return ""
    return (
        f", as each of its {q} coefficients is seen once. Coefficients that share one variance, as those of a "
        "penalised spline or of markers do, are diag(... | g, hom = TRUE), or covariance='homogeneous diagonal'"
    )


def _check_term(term: Term, n: int) -> None:
    if term.n != n:
        raise MMEError(f"term '{term.name}' has {term.n} labels for {n} records")
    if term.n_levels < 2 and not structure(term.covariance, term.q, term.name).is_spherical:
        raise MMEError(
            f"grouping factor '{term.name}' has one level ({shown(term.levels[0])}): a variance between levels needs "
            f"two{_of_one_level(term.q)}"
        )
    if term.held_covariates is not None:
        for column, largest in zip(term.columns, _largest(term.held_covariates).tolist(), strict=True):
            check_range(largest, f"column '{column}' of term '{term.name}'")


def check_engine(engine: str, correlated: bool) -> str:
    """One of the words of ``engine=``; residuals with a structure are solved exactly alone."""
    if not is_word(engine, ("auto", "exact", "iterative")):
        raise MMEError(f"engine must be 'auto', 'exact' or 'iterative', got {shown(engine)}")
    if engine == "iterative" and correlated:
        raise MMEError("engine='iterative' takes independent residuals; use engine='exact' with residual=")
    return engine


def check_theta(theta: Any, k: int) -> np.ndarray:
    """Theta as (k,) floats."""
    try:
        at = np.asarray(theta, dtype=float)
    except (TypeError, ValueError, OverflowError):
        at = numbers(theta, "theta")
    if at.shape != (k,):
        raise MMEError(f"theta must be {k} numbers, got shape {at.shape}")
    return at
