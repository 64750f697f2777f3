"""The checked, frozen problem. Everything the user's arrays can have wrong is found here, once."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.covariance.axes import Axes, build_axes
from mme.covariance.base import GStructure
from mme.covariance.coordinates import Coordinates
from mme.covariance.extended import Extended
from mme.covariance.words import structure
from mme.errors import MMEError, MMEWarning
from mme.model.term import Term, renamed
from mme.model.unknown_parents import UnknownParents, separate
from mme.relationship.parametric import Parametric
from mme.residual import Bound, bind
from mme.residual.base import Column
from mme.residual.given import given_coordinates
from mme.tables.arguments import is_word
from mme.tables.arrays import check_range, numbers, shown
from mme.tables.levels import runs_across, varies_within
from mme.tables.names import first_unlike, quoted, unlike


@dataclass(frozen=True, eq=False)
class Model:
    """y (n,), X (n, p), terms, prior weights and offset; all finite, all of one length.

    The last columns of X are those of ``unknown_parents``, whose fixed groups are no part of the terms. ``phi`` has the
    coordinates of parameters of the residual structure that are given, NaN for the others; None: all are estimated.
    """

    y: np.ndarray
    X: np.ndarray
    x_names: tuple[str, ...]
    response: str
    terms: tuple[Term, ...]
    structures: tuple[GStructure, ...]
    weights: np.ndarray | None
    offset: np.ndarray | None
    method: str
    sigma: float | None
    residual: Bound | None = None
    phi: np.ndarray | None = None
    unknown_parents: tuple[UnknownParents, ...] = ()

    @property
    def n(self) -> int:
        """Number of records."""
        return int(self.y.size)

    @property
    def p_given(self) -> int:
        """Number of columns of X that the user gave."""
        return self.unknown_parents[0].start if self.unknown_parents else len(self.x_names)

    @cached_property
    def k(self) -> int:
        """Length of theta."""
        return sum(part.k for part in self.structures)

    @cached_property
    def theta_names(self) -> tuple[str, ...]:
        """lme4's names of theta."""
        return told_apart(self.terms, [part.names for part in self.structures])

    def split(self, theta: np.ndarray) -> list[np.ndarray]:
        """Theta, term by term."""
        ends = list(accumulate(part.k for part in self.structures))
        return [theta[end - part.k : end] for part, end in zip(self.structures, ends, strict=True)]

    def T(self, theta: np.ndarray) -> list[np.ndarray]:
        """Each term's relative covariance factor in the user's units."""
        return [part.T(piece) for part, piece in zip(self.structures, self.split(theta), strict=True)]

    def relationship(self, t: int, theta: np.ndarray) -> Any:
        """The relationship of a term at theta, None for independent levels."""
        return self.structures[t].related(self.terms[t].relationship, self.split(theta)[t])

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The same covariances with non-negative diagonals of T."""
        pieces = zip(self.structures, self.split(theta), strict=True)
        return np.concatenate([part.canonical(piece) for part, piece in pieces]) if self.terms else theta

    @property
    def diagonal(self) -> np.ndarray:
        """Which entries of theta are zero on a singular fit."""
        return np.concatenate([np.zeros(0, dtype=bool), *(part.diagonal for part in self.structures)])

    @cached_property
    def coordinates(self) -> Coordinates:
        """Theta in the axes of the terms, where it is searched."""
        return Coordinates(self.structures, self.axes)

    @cached_property
    def axes(self) -> tuple[Axes | None, ...]:
        """Those of each term (``axes.py``), None where the columns are searched in as they are."""
        pairs = zip(self.terms, self.structures, strict=True)
        return tuple(_axes(term, part, self.weights) for term, part in pairs)

    def with_response(self, y: Any) -> Model:
        """The same model for another response."""
        return self.beside(y=_response(y, self.n, self.response))

    def with_weights(self, weights: Any) -> Model:
        """The same model with other prior weights; the axes of its terms stay."""
        return self.beside(weights=_weights(weights, self.n, "weights"))

    def beside(self, **changes: Any) -> Model:
        """The same random part, of which the axes are at hand, beside something else."""
        twin = replace(self, **changes)
        vars(twin)["axes"] = self.axes
        return twin


def _as_it_is(given: Any) -> Any:
    """A column of a residual structure that is no name: the array itself, with the order of its categories."""
    return given


def build_model(
    y: Any,
    X: Any,
    terms: Sequence[Term],
    *,
    method: str = "REML",
    REML: bool | None = None,
    weights: Any = None,
    offset: Any = None,
    sigma: float | None = None,
    residual: Any = None,
    phi: Any = None,
    column: Column = _as_it_is,
    x_names: Sequence[str] | None = None,
    response: str = "y",
    weights_name: str = "weights",
) -> Model:
    """Check the arrays of a problem and freeze them.

    Raises
    ------
    MMEError
        Something is missing, infinite, of the wrong length, without variation or not identifiable; the message
        names it.
    """
    method = estimation_method(method, REML)
    real = isinstance(sigma, int | float | np.integer | np.floating)
    if sigma is not None and not (real and 0.0 < sigma <= sys.float_info.max):
        raise MMEError(f"sigma must be a positive number, or None to estimate it; got {shown(sigma)}")
    response = str(getattr(y, "name", None) or response)
    values = _response(y, None, response)
    columns, names = _fixed(X, values.size, x_names)
    terms = _named_apart(terms)
    for term in terms:
        _check_term(term, values.size)
    terms, columns, names, unknown_parents = separate(terms, columns, names)
    bound = None if residual is None else _residual(residual, column, values.size, terms)
    return Model(
        y=values,
        X=columns,
        x_names=names,
        response=response,
        terms=terms,
        structures=tuple(_structure(term) for term in terms),
        weights=None if weights is None else _weights(weights, values.size, weights_name),
        offset=None if offset is None else _vector(offset, values.size, "offset"),
        method=method,
        sigma=None if sigma is None else float(sigma),
        residual=bound,
        phi=given_coordinates(bound, phi),
        unknown_parents=unknown_parents,
    )


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


def told_apart(
    terms: Sequence[Term], write: Sequence[Callable[[str, Sequence[str]], Sequence[str]]]
) -> tuple[str, ...]:
    """Names of the parameters of all terms, ``write[t](term, columns)`` of each: no two alike.

    A term is called by its grouping factor where that will do, else by its own name (``g.1``); columns with dots are
    put in backticks where names would be alike without.
    """
    names: list[str] = []
    for term, written in zip(terms, write, strict=True):
        ways = ((of, columns) for columns in (term.columns, quoted(term.columns)) for of in (term.group, term.name))
        names += first_unlike((written(of, columns) for of, columns in ways), names)
    return tuple(names)


def _structure(term: Term) -> GStructure:
    part, relationship = structure(term.covariance, term.q, term.name), term.relationship
    if not isinstance(relationship, Parametric):
        return part
    if len(relationship.rows) == term.n_levels:
        raise MMEError(
            f"term '{term.name}': no two levels of its relationship are neighbours (no series has two times), so that "
            f"nothing can be said about its {' and '.join(relationship.names)}"
        )
    return Extended(part, relationship)


def _axes(term: Term, part: GStructure, weights: np.ndarray | None) -> Axes | None:
    """Axes where the covariance is one in any columns, and the columns of a record have one level."""
    if not part.mixes or term.covariates is None or term.by_column:
        return None
    return build_axes(term.covariates, weights)


def _residual(residual: Any, column: Column, n: int, terms: Sequence[Term]) -> Bound:
    """Read the residual structure and check it against the random terms."""
    bound = bind(residual, column, n)
    if bound.group is None:
        return bound
    groups = int(bound.group.max()) + 1
    for term in terms:
        varies = varies_within(term.codes, bound.group)
        if varies and term.by_column:
            raise MMEError(
                f"term '{term.name}' varies within the groups of the residual structure, and its coefficients have "
                "levels of their own: the two do not go together; nest the residual's groups in it, or leave one out"
            )
        if varies:
            _compare_groups(bound, term, terms)
        same = term.relationship is None and term.n_levels == groups and not varies
        if bound.absorbs_intercept and same and _has_intercept(term):
            raise MMEError(
                f"the residual structure and the random intercept '{term.name}' on the same groups describe the same "
                "covariance: they cannot be told apart; leave one of them out"
            )
    return bound


def _has_intercept(term: Term) -> bool:
    """Whether one variance of a term, free of its others, is that of a constant within levels."""
    if term.covariates is None:
        return True
    if is_word(term.covariance, ("diagonal",)):
        return bool((np.ptp(term.covariates, axis=0) == 0.0).any())
    if not is_word(term.covariance, ("unstructured",)) or term.by_column:
        return False
    ones = np.ones(term.n)
    return bool(np.allclose(term.covariates @ np.linalg.lstsq(term.covariates, ones)[0], ones, rtol=0.0, atol=1e-9))


def _compare_groups(bound: Bound, crossed: Term, terms: Sequence[Term]) -> None:
    """Say so where groups of the residuals run across the levels of a term, and may be several groups of one label.

    Another term is the crossing of both: with (1 | block/plot) in the model, groups by plot alone are no plots. Or each
    cell holds records enough to be a group, which of structures with times a time that stands twice would tell.
    """
    groups = bound.group
    if groups is None or crossed.by_column or not varies_within(groups, crossed.codes):
        return
    for finer in terms:
        nested = not finer.by_column and not varies_within(np.array([groups, crossed.codes]), finer.codes)
        if nested and np.unique(groups * crossed.n_levels + crossed.codes).size == np.unique(finer.codes).size:
            warnings.warn(
                f"residual: its groups run across the levels of '{crossed.group}', though the model has "
                f"'{finer.group}', which keeps these apart; where the groups' labels are used anew in each level of "
                f"'{crossed.group}', write their combination, such as 'block/plot'",
                MMEWarning,
                stacklevel=4,
            )
            return
    if bound.absorbs_intercept and runs_across(groups, crossed.codes):
        warnings.warn(
            f"residual: its groups run across the levels of '{crossed.group}' with several records in each; where the "
            f"groups' labels are used anew in each level of '{crossed.group}', write their combination, such as "
            "'block/plot'",
            MMEWarning,
            stacklevel=4,
        )


def _response(y: Any, n: int | None, name: str) -> np.ndarray:
    values = _vector(y, n, f"response '{name}'")
    if values.size == 0:
        raise MMEError(f"response '{name}' is empty: there are no records to fit")
    return values


def _vector(values: Any, n: int | None, what: str) -> np.ndarray:
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


def _fixed(X: Any, n: int, names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    names = names if names is not None else getattr(X, "columns", None)
    columns = np.asarray(_numeric_columns(X.toarray() if sp.issparse(X) else X), order="F")
    if columns.ndim == 1:
        columns = columns[:, None]
    if columns.ndim != 2 or columns.shape[0] != n:
        raise MMEError(f"X must have shape ({n}, p) to match the response, got {columns.shape}")
    labels = tuple(f"x{j + 1}" for j in range(columns.shape[1])) if names is None else unlike(map(str, names))
    if len(labels) != columns.shape[1]:
        raise MMEError(f"{len(labels)} names for {columns.shape[1]} columns of X")
    if n == 0:
        return columns, labels
    largest = np.maximum(columns.max(axis=0), -columns.min(axis=0))
    bad = ~np.isfinite(largest)
    if bad.any():
        found = ", ".join(f"'{label}'" for label, is_bad in zip(labels, bad.tolist(), strict=True) if is_bad)
        raise MMEError(f"X has missing or infinite values in {found}; drop those records or mend them")
    for label, size in zip(labels, largest.tolist(), strict=True):
        check_range(size, f"column '{label}' of X")
    return columns, labels


def _numeric_columns(X: Any) -> np.ndarray:
    """X as floats of our own; a data frame by its columns, so that the one that is not numeric is named."""
    if not hasattr(X, "iloc") or not hasattr(X, "columns"):
        return numbers(X, "X")
    columns = [numbers(X.iloc[:, j], f"column '{name}' of X") for j, name in enumerate(X.columns)]
    return np.array(columns).T if columns else np.zeros((len(X), 0))


def _weights(weights: Any, n: int, name: str) -> np.ndarray:
    values = _vector(weights, n, name)
    if (values <= 0).any():
        raise MMEError(
            f"{name} must be positive (the variance of a record is sigma^2 / weight): {int((values < 0).sum())} are "
            f"negative and {int((values == 0).sum())} are zero; drop those records"
        )
    check_range(float(values.min()), name)
    return values


def _named_apart(terms: Sequence[Term]) -> tuple[Term, ...]:
    """Terms under one name become g, g.1, g.2, as in lme4."""
    if isinstance(terms, Term) or not isinstance(terms, Iterable):
        raise MMEError(f"terms must be a list of mme.Term objects, got {type(terms).__name__}; write [term]")
    if getattr(terms, "ndim", 1) != 1:
        raise MMEError(f"terms must be a list of mme.Term objects, got {type(terms).__name__}")
    for term in terms:
        if not isinstance(term, Term):
            raise MMEError(f"terms must be mme.Term objects, got {type(term).__name__}")
    return renamed(terms)


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
    if term.n_levels < 2 and (term.q < 2 or term.covariance != "homogeneous diagonal"):
        raise MMEError(
            f"grouping factor '{term.name}' has one level ({shown(term.levels[0])}): a variance between levels needs "
            f"two{_of_one_level(term.q)}"
        )
    if term.covariates is not None:
        for column, largest in zip(term.columns, np.abs(term.covariates).max(axis=0).tolist(), strict=True):
            check_range(largest, f"column '{column}' of term '{term.name}'")
