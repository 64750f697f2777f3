"""The fixed part in treatment contrasts, as lmerTest states its hypotheses of type III, and what they estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.fitted.common import Record, once
from mme.fitted.generalised import GeneralisedFitted
from mme.formula.algebra import Terms
from mme.formula.codings import Contrast
from mme.formula.columns import Coded, Variable, build
from mme.formula.syntax import Node, deparse
from mme.inference.fixed.grid import synthetic_rows
from mme.model.wide import dense_columns
from mme.numeric.lapack import cholesky
from mme.numeric.memory import require
from mme.numeric.rank import independent_columns, unit_columns

# What is left of a sum whose terms cancel, as a share of them, that is rounding.
ROUNDING = 1e-9
# Entries of a map between codings are whole numbers to this.
WHOLE = 1e-6


def owners_of(fit: Record) -> np.ndarray:
    """The term of each column of X; in a fit by arrays each column is one, and so are groups of unknown parents."""
    spec, model = fit.specification, fit.model
    of_groups = [
        f"groups of {model.terms[one.term].name}"
        for one in model.unknown_parents
        for _ in range(one.columns.start, one.columns.stop)
    ]
    given = model.x_names[: model.p_given] if spec is None else spec.column_terms
    return np.array([*given, *of_groups], dtype=object)


def triangle_of(fit: Record) -> np.ndarray:
    """R of the QR of X's kept columns, neither weighted nor whitened; behind thresholds, of these about their means.

    Raises
    ------
    MMEError
        The fit has sums of weighted records alone.
    """
    if fit.model.compressed is not None and fit.model.compressed.weighted:
        return np.asarray(np.linalg.qr(once(fit, "anova() of type 1 or 2").X[:, fit.basis.kept], mode="r"))
    if isinstance(fit, GeneralisedFitted) and not fit.family.has_intercept:
        X = fit.problem.counting.model.X[:, fit.basis.kept]
        return np.asarray(np.linalg.qr(X - X.mean(axis=0), mode="r"))
    if fit.model.is_wide:
        return _triangle_of_sparse(sp.csc_array(fit.model.X[:, fit.basis.kept]))
    if fit.model.weights is None and fit.model.residual is None:
        return fit.basis.R
    return np.asarray(np.linalg.qr(fit.model.X[:, fit.basis.kept], mode="r"))


def _triangle_of_sparse(X: sp.csc_array) -> np.ndarray:
    """R of the QR of sparse independent columns, by the Cholesky factor of X'X.

    Behind a constant it is taken about the means: of x far from zero X'X has few digits of what R is made of.
    """
    n, p = X.shape
    require(24 * p * p, f"the triangle of {p:,} columns of X needs", "; anova(type=3) of terms apart does without")
    dense = dense_columns(X)
    D, S = X[:, dense].toarray(), X
    has_constant = bool(dense.size and dense[0] == 0 and np.ptp(D[:, 0]) == 0.0)
    mean = np.asarray(X.mean(axis=0)).ravel() if has_constant else np.zeros(p)
    D -= mean[dense]
    gram = (S.T @ S).toarray() - n * np.outer(mean, mean)
    gram[:, dense] = (S.T @ D) - np.outer(mean, D.sum(axis=0))
    gram[dense] = gram[:, dense].T
    gram[np.ix_(dense, dense)] = D.T @ D
    first = int(has_constant)
    size = np.sqrt(np.diag(gram)[first:])
    L, failed = cholesky(gram[first:, first:] / np.outer(size, size))
    if failed:
        raise MMEError("the columns of X are so nearly dependent that their order cannot be tested; anova(type=3) can")
    R = np.zeros((p, p))
    R[first:, first:] = L.T * size
    R[:first] = np.sqrt(n) * mean
    return R


def containment(fit: Record) -> dict[str, tuple[str, ...]]:
    """By term, the terms that contain it."""
    spec = fit.specification
    if spec is None:
        return {}
    names = {term: name_of(term) for term in spec.fixed.terms}
    found = {
        name: tuple(other for larger, other in names.items() if _contains(larger, term, set(spec.codings)))
        for term, name in names.items()
    }
    return found | dict.fromkeys(owners_of(fit)[fit.model.p_given :].tolist(), ())


def name_of(term: tuple[Node, ...]) -> str:
    """A term as a table names it."""
    return ":".join(map(deparse, term))


def _contains(larger: tuple[Node, ...], term: tuple[Node, ...], factors: set[Node]) -> bool:
    return set(term) < set(larger) and set(term) - factors == set(larger) - factors


@dataclass(frozen=True, eq=False)
class Treatment:
    """The model in treatment contrasts, X_t, as lmerTest states its hypotheses, beside the overparametrised X_o.

    X_o has one column per level for each factor of each term.

    Attributes
    ----------
    functions : (p, columns of X_o)
        X_o = X_t[:, kept] functions: what each coefficient of X_t estimates among the parameters of X_o.
    places : (p,)
        Which columns of X_o those of X_t are.
    to_user : (p, p), or (p, columns of X) where codings of the user's own leave out a part of X_t
        Coefficients of X_t from those of X.
    owners, names : (columns of X_o,)
        Their terms, and what they are called.
    empty : (columns of X_o,)
        Which of them are products of levels that no record has.
    """

    functions: np.ndarray
    places: np.ndarray
    to_user: np.ndarray
    owners: np.ndarray
    names: np.ndarray
    empty: np.ndarray


def treatment(fit: Record) -> Treatment:
    """Treatment coding of a fit's fixed effects, and what of it the data can tell.

    Rows of a synthetic table in general position give the maps X_o = X_t M and X = X_t N; A of X = X_kept A says which
    combinations of them the data determine.
    """
    spec = fit.specification
    variables, n = synthetic_rows(spec)
    treated = {node: _treated(value) for node, value in variables.items()}
    X, X_t = build(spec.fixed, variables, n), build(spec.fixed, treated, n)
    parts = [build(Terms(spec.fixed.intercept, ()), treated, n)]
    parts += [build(Terms(False, (term,)), treated, n) for term in spec.fixed.terms]
    X_o = np.column_stack([part.values for part in parts])
    owners, names = (np.array([name for part in parts for name in getattr(part, of)]) for of in ("owners", "names"))
    M = _whole(np.linalg.lstsq(X_t.values, X_o, rcond=None)[0])
    made, kept, to_user = _in_treatment(fit, X.values, X_t.values)
    at = {pair: j for j, pair in enumerate(zip(owners.tolist(), names.tolist(), strict=True))}
    places = np.array([at[X_t.owners[j], X_t.names[j]] for j in kept.tolist()], dtype=np.intp)
    functions = sum_of_products(made, M)
    crossed = np.isin(owners, [name_of(term) for term in spec.fixed.terms if len(term) > 1])
    return Treatment(functions, places, to_user, owners, names, ~functions.any(axis=0) & crossed)


def _in_treatment(fit: Record, X: np.ndarray, X_t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A_t of X_t = X_t[:, kept] A_t in the data, the kept columns, and their coefficients from those of X's.

    Groups of unknown parents stand behind the columns of the formula, and have no part in them.
    """
    kept = fit.basis.kept[fit.basis.kept < X.shape[1]]
    A = fit.aliasing.A[: kept.size, : X.shape[1]]
    if np.array_equal(X, X_t):
        return A, kept, np.eye(len(A))
    largest = np.abs(X).max(axis=0, initial=0.0)
    unit = np.where(largest > 0.0, largest, 1.0)  # of contrasts that a user gives; what follows is of X / unit
    N = _without_rounding(np.linalg.lstsq(X_t, X / unit, rcond=None)[0])
    if np.linalg.matrix_rank(N) < len(N):  # fewer contrasts than the levels have: X_t says more than the model does
        return np.eye(len(N)), np.arange(len(N)), N * unit
    of_kept = unit[kept]
    B = sum_of_products(of_kept[:, None] * A / unit, _without_rounding(np.linalg.pinv(N)))  # X_t of the data = X_kept B
    # X_kept has full rank, so that B alone tells; columns of X_t far from zero look alike.
    seen = (np.linalg.norm(fit.basis.R, axis=0)[: kept.size] / of_kept)[:, None] * B
    kept = independent_columns(unit_columns(seen))
    inverse = np.linalg.inv(B[:, kept])
    A_t = sum_of_products(inverse, B)
    A_t[:, kept] = np.eye(kept.size)
    return A_t, kept, inverse * of_kept


def sum_of_products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The product of two maps; exactly zero where its terms cancel."""
    product = one @ other
    product[np.abs(product) <= ROUNDING * (np.abs(one) @ np.abs(other))] = 0.0
    return np.asarray(product)


def _without_rounding(M: np.ndarray) -> np.ndarray:
    """A map between codings, zero where an entry is rounding beside the largest of its column."""
    return np.where(np.abs(M) <= ROUNDING * np.abs(M).max(axis=0, initial=0.0), 0.0, M)


def _whole(M: np.ndarray) -> np.ndarray:
    """M with whole entries where they are whole but for rounding: products of levels are sums of products."""
    rounded = np.rint(M)
    return rounded if (np.abs(M - rounded) < WHOLE).all() else M


def _treated(variable: Variable) -> Variable:
    if not isinstance(variable, Coded):
        return variable
    return Coded(variable.codes, type(variable.coding)(variable.coding.labels, Contrast("treatment")))
