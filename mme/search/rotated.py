r"""Related levels made independent, once and for all: the same criterion by far cheaper evaluations.

With K = U diag(d) U' among the levels that have records, and every level with the same rows Z_0 of Z and the same
covariance R_0 of its residuals,

    V = K (x) Z_0 G Z_0' + I (x) R_0,      (U' (x) I) V (U (x) I) = diag(d) (x) Z_0 G Z_0' + I (x) R_0,             (T)

so that the records (U' (x) I)y beside (U' (x) I)X have independent levels whose columns are sqrt(d_g) Z_0: these are
absorbed one by one, where those of a dense K^-1 make one dense factor of all effects. A rotation leaves the criterion
as it is, theta and phi mean what they did (Zhou and Stephens 2014, Nature Methods 11:407-409, for q traits).

A record that a level misses is added with a fixed effect of its own: contrasts of records that are free of it are those
of the others, so that by REML, where n - p and y'Py stay, the criterion is still the same,
|V| |E'V^-1 E| = |V of the others| for the columns E of such effects.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.limits import limits
from mme.residual import Bound
from mme.tables.levels import varies_within

# Squares of the records that are missing, as a share of those of all: beyond, their fixed effects cost what is gained.
_MISSING = 0.1
# W of two levels that are the same but for the order of sums.
_ROUNDING = 1e-10


def rotated(model: Model) -> Model | None:
    """The model of turned records; None where levels are not alike, or little would be gained."""
    if not _is_worth_it(model):
        return None
    used, level = np.unique(model.terms[0].codes, return_inverse=True)
    found = _rectangle(model, level.ravel())
    if found is None:
        return None
    places, pattern = found
    residual = model.residual
    if residual is not None and pattern.size > model.n:
        residual = residual.on(pattern)
        if residual is None:
            return None
    if residual is not None and not _is_alike(residual, places):
        return None
    d, U = _spectrum(model, used)
    levels = np.empty(pattern.size, dtype=np.int64)
    levels[places] = np.arange(used.size)[:, None]
    root = np.sqrt(np.maximum(d, 0.0))[levels]
    columns = _columns(model, pattern.size - model.n)
    columns[:, places] = np.einsum("gh,cgm->chm", U, columns[:, places], optimize=True)
    return replace(
        model,
        y=columns[-1],
        X=np.ascontiguousarray(columns[:-1].T),
        x_names=(*model.x_names, *(f"missing {i + 1}" for i in range(pattern.size - model.n))),
        offset=None,
        terms=tuple(_unrelated(term, pattern, levels, term.levels[used], root) for term in model.terms),
        unknown_parents=(),
        residual=residual,
    )


def _columns(model: Model, more: int) -> np.ndarray:
    """Rows (p + more + 1, n + more): the columns of X, an effect for each of the ``more`` added records, and y."""
    p, n = model.X.shape[1], model.n
    columns = np.zeros((p + more + 1, n + more))
    columns[:p, :n], columns[-1, :n] = model.X.T, model.y_less_offset
    columns[p + np.arange(more), n + np.arange(more)] = 1.0
    return columns


def _is_worth_it(model: Model) -> bool:
    """Whether all terms are of the same levels, with one relationship that has no parameters and is dense."""
    if model.is_wide or model.weights is not None or model.compressed is not None or not model.terms:
        return False
    first, related = model.terms[0], [one.relationship for one in model.terms if one.relationship is not None]
    if not related or any(one is not related[0] for one in related) or first.relationship is None:
        return False
    if any(one.parametric or one.by_column or not np.array_equal(one.codes, first.codes) for one in model.terms):
        return False
    J, q = first.n_levels, sum(one.q for one in model.terms)
    dense = related[0].precision.nnz > limits().nearly_dense * J * J
    return q > 1 and bool(dense) and J * q > limits().dense_whatever_fill and limits().dense_up_to >= J


def _rectangle(model: Model, level: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """The record at each place of each level (J, m), and for each added record the one whose rows it takes.

    A place is a row of Z with its variance of R, as often as it occurs in the level that has it most often. Added
    records are numbered behind the others.
    """
    columns = [column for term in model.terms if term.covariates is not None for column in term.covariates.T]
    if model.residual is not None:
        if model.residual.of_mean.any():
            return None
        columns += [model.residual.log_sd(x) for x in _points(model.residual)]
    n, J = model.n, int(level.max()) + 1
    kinds = np.zeros(n, dtype=np.int64)
    if columns:
        kinds = np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1].ravel()
    counts = np.zeros((J, int(kinds.max()) + 1), dtype=np.int64)
    np.add.at(counts, (level, kinds), 1)
    most = counts.max(axis=0)
    m = int(most.sum())
    if (J * m - n) ** 2 > _MISSING * n * n or (J * m > n and model.method != "REML"):
        return None
    order = np.lexsort((kinds, level))
    starts = np.cumsum(counts.ravel()) - counts.ravel()
    turn = np.arange(n) - np.repeat(starts, counts.ravel())  # which of the records of its kind in its level
    place = (np.cumsum(most) - most)[kinds[order]] + turn
    records = np.full((J, m), -1)
    records[level[order], place] = order
    missing = records < 0
    records[missing] = n + np.arange(int(missing.sum()))
    pattern = np.empty(m, dtype=np.int64)
    pattern[place] = order
    return records, np.append(np.arange(n), pattern[np.nonzero(missing)[1]])


def _points(residual: Bound) -> list[np.ndarray]:
    """Two coordinates of the residual structure in general position."""
    rng = np.random.default_rng(0)
    return [residual.start() + rng.uniform(0.1, 0.4, residual.k) for _ in range(2)]


def _is_alike(residual: Bound, places: np.ndarray) -> bool:
    """Whether W of the residuals is the same in every level, and mixes none."""
    if residual.group is None:  # its variances told the places apart
        return True
    levels = np.empty(places.size, dtype=np.int64)
    levels[places] = np.arange(len(places))[:, None]
    if varies_within(levels, residual.group):
        return False
    rows = np.zeros((places.shape[1], places.size))
    rows[np.arange(len(rows)), places] = 1.0
    for x in _points(residual):
        W = residual.whiten(x, rows)[:, places]
        if np.abs(W - W[:, :1]).max() > _ROUNDING * np.abs(W).max():
            return False
    return True


def _spectrum(model: Model, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """d (J,) and U (J, J) of K among the levels that have records."""
    precision = sp.csc_array(model.terms[0].relationship.precision).toarray()
    if used.size == len(precision):  # the eigenvectors are those of the inverse
        values, U = np.linalg.eigh(precision)
        return 1.0 / values, U
    K = np.linalg.inv(precision)[np.ix_(used, used)]
    d, U = np.linalg.eigh(K)
    return d, U


def _unrelated(term: Term, pattern: np.ndarray, codes: np.ndarray, levels: np.ndarray, root: np.ndarray) -> Term:
    """The term with independent levels, its columns times the roots of d where they were related."""
    covariates = None if term.covariates is None else term.covariates[pattern]
    if term.relationship is not None:
        covariates = root[:, None] if covariates is None else covariates * root[:, None]
    return term.of_levels(codes, levels, covariates)
