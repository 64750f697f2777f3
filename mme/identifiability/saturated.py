r"""Terms with as many random effects as records: whether their variances can be told from the residual ones.

Parameters psi of V are identifiable where the derivatives dV/dpsi are linearly independent at a point in general
position (Rothenberg 1971, Econometrica 39:577-591). Those of a term's theta, of sigma^2 and of the residual structure's
phi, relative to R = sigma^2 W^-1, have the Gram matrix

    tr( W Z (K (x) dG_k) Z' W Z (K (x) dG_l) Z' ),      G = T T'                                                   (I)

which is sum_g tr(S_g dG_k S_g dG_l), S_g = Z_g'W Z_g, where levels and records are independent: one pass over the
records. Elsewhere it is summed over sets of records by themselves, taken in whole where these are unrelated.

With fewer effects than records, replicates tell them apart; what terms have in common is for
:mod:`mme.identifiability.identified`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components

from mme.covariance.base import GStructure
from mme.errors import MMEError
from mme.model.problem import Model
from mme.model.term import Term
from mme.numeric.sums import level_sums
from mme.relationship.known import positive_definite
from mme.residual import Bound
from mme.tables.labels import name

# Derivatives whose Gram matrix, of unit diagonal, has a smaller eigenvalue are dependent: differences have ten digits.
_DEPENDENT = 1e-12
# A parameter with less than this share of a dependence has no part in it.
_PART = 1e-5
# Operations on levels before more of them are looked at, and the fewest levels to look at first.
_OPERATIONS, _FEWEST = 1e9, 64
# Numbers of the products of the columns of Z in one set of records, the most records of a set, and the most sets.
_NUMBERS, _RECORDS, _SETS = 1e7, 256, 8
# Numbers of all dG beyond which a saturated term is refused by its count: thousands of parameters.
_MOST = 5e7
# Of central differences.
_STEP = 1e-5
# Related levels up to which K is made whole.
_LEVELS = 5000


def require_identifiable(model: Model, known: str = "sigma= if the residual scale is known") -> None:
    """Refuse to search for variances of a term that cannot be told from the residual variance, where that is unknown.

    ``known`` is what to give instead.

    Raises
    ------
    MMEError
        A combination of them changes nothing; the message says of what.
    """
    for term, part in zip(model.terms, model.structures, strict=True):
        if model.sigma is not None or part.relationship is not None or not _is_saturated(term, model):
            continue
        if part.k > 1 and part.k * part.q**2 > _MOST:
            raise _refusal(term, term.columns, model.residual, known)
        found = _confounded(term, part, model)
        if found is not None:
            G = np.tensordot(found[: part.k], _derivatives(part), axes=1)
            concerned = np.flatnonzero(np.abs(G).max(axis=0) > _PART * np.abs(G).max()).tolist()
            raise _refusal(term, [term.columns[a] for a in concerned], model.residual, known)


def _confounded(term: Term, part: GStructure, model: Model) -> np.ndarray | None:
    """A combination of the derivatives by theta, sigma^2 and phi that is zero and has parts of both."""
    if term.n_levels == 1 and part.is_spherical:
        return None  # a level of one set of coefficients: ZZ' is no multiple of R
    dG, K, weights, residual = _derivatives(part), _diagonal(term), model.weights, model.residual
    if K is not None and not term.by_column and (residual is None or residual.group is None):
        return _by_levels(term, dG, K, weights, residual, model.n_records - model.n)
    return _by_sets(term, dG, weights, residual)


def _is_saturated(term: Term, model: Model) -> bool:
    """Whether there are as many random effects as records, of levels that may be related."""
    if term.relationship is None or term.by_column:
        return term.n_effects >= model.n_records
    records = None if model.compressed is None else model.compressed.counts
    return int(np.bincount(term.codes, records, minlength=term.n_levels).max()) <= term.q


def _derivatives(part: GStructure) -> np.ndarray:
    """dG/dtheta (k, q, q) at a point in general position, by central differences."""
    rng = np.random.default_rng(0)
    L = np.eye(part.q) + 0.4 * np.tril(rng.uniform(-1.0, 1.0, (part.q, part.q)))
    theta = part.nearest(L @ L.T, np.full(part.q, 0.1)) * rng.uniform(0.8, 1.2, part.k)
    out = np.empty((part.k, part.q, part.q))
    for k in range(part.k):
        step = _STEP * np.eye(part.k)[k]
        above, below = part.T(theta + step), part.T(theta - step)
        out[k] = (above @ above.T - below @ below.T) / (2.0 * _STEP)
    return out


def _diagonal(term: Term) -> np.ndarray | None:
    """diag K (J,) where levels are unrelated; None where they are related."""
    if term.relationship is None:
        return np.ones(term.n_levels)
    precision = sp.csc_array(term.relationship.precision)
    diagonal = precision.diagonal()
    return 1.0 / diagonal if precision.nnz == np.count_nonzero(diagonal) else None


# -- records independent, levels unrelated: exact, over all of them ---------------------------------------------------


def _by_levels(
    term: Term, dG: np.ndarray, K: np.ndarray, weights: np.ndarray | None, residual: Bound | None, more: int
) -> np.ndarray | None:
    """(I) from a few levels, then, if these do not tell the parameters apart, from all.

    So many ``more`` records than rows have residuals alone.
    """
    q = term.q
    first = max(_FEWEST, int(_OPERATIONS / (q**4 + len(dG) * q**3)))
    some = term.codes < first
    sd = np.zeros(term.n) if residual is None else residual.log_sd(_in_general_position(residual))
    root = np.sqrt(K)[term.codes] * np.exp(-sd) * (1.0 if weights is None else np.sqrt(weights))
    slopes = _variance_slopes(residual, term.n)
    for at in (some, slice(None)) if not some.all() else (slice(None),):
        columns = [root[at]] if term.covariates is None else list((term.covariates[at] * root[at, None]).T)
        codes = term.codes[at]
        gram = _level_gram(codes, columns, dG, slopes[:, at])
        gram[len(dG), len(dG)] += more if isinstance(at, slice) else 0
        dependence = _dependence(gram, len(dG))
        if dependence is None:
            return None
    return dependence


def _level_gram(codes: np.ndarray, columns: list[np.ndarray], dG: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """(I) of theta, then of the variances of records, whose derivatives are the rows of ``slopes`` (m, n)."""
    k, q = dG.shape[:2]
    used, codes = np.unique(codes, return_inverse=True)
    S = level_sums(codes, used.size, columns, columns)
    if k <= q:
        A = np.einsum("gij,kjl->kgil", S, dG)
        own = np.einsum("kgil,mgli->km", A, A)
    else:
        P = np.einsum("gjk,gli->jkli", S, S, optimize=True).reshape(q * q, q * q)
        # tr(dG S dH S) = sum dG_ij S_jk dH_kl S_li
        P = P.reshape(q, q, q, q).transpose(3, 0, 1, 2).reshape(q * q, q * q)
        own = dG.reshape(k, -1) @ P @ dG.reshape(k, -1).T
    Z = np.array(columns)
    along = np.array([np.einsum("in,ij,jn->n", Z, one, Z, optimize=True) for one in dG])
    return np.block([[own, along @ slopes.T], [slopes @ along.T, slopes @ slopes.T]])


def _variance_slopes(residual: Bound | None, n: int) -> np.ndarray:
    """Derivatives of log var(e_i): by log sigma^2, and by each parameter of a variance function (1 + k, n)."""
    if residual is None:
        return np.ones((1, n))
    x = _in_general_position(residual)
    steps = _STEP * np.eye(residual.k)
    slopes = [(residual.log_sd(x + step) - residual.log_sd(x - step)) / _STEP for step in steps]
    return np.array([np.ones(n), *slopes])


def _in_general_position(residual: Bound) -> np.ndarray:
    return residual.start() + np.random.default_rng(1).uniform(0.1, 0.4, residual.k)


# -- records or levels that are related: exact where sets of them are taken in whole ----------------------------------


def _by_sets(term: Term, dG: np.ndarray, weights: np.ndarray | None, residual: Bound | None) -> np.ndarray | None:
    """(I) set by set, until these tell the parameters apart; a dependence is one where all records have been seen."""
    if term.relationship is not None and term.n_levels > _LEVELS:
        return None
    cap = max(2, min(_RECORDS, int(np.sqrt(_NUMBERS) / term.q)))
    size = len(dG) + 1 + (0 if residual is None else residual.k)
    gram, seen, dependence = np.zeros((size, size)), 0, None
    for records in _sets(term, residual, cap):
        gram += _set_gram(term, dG, weights, residual, records)
        seen += records.size
        dependence = _dependence(gram, len(dG))
        if dependence is None:
            return None
    return dependence if seen == term.n else None


def _sets(term: Term, residual: Bound | None, cap: int) -> Iterator[np.ndarray]:
    """Records that share no level, relative or residual group with others, some such sets together; the first few.

    Of a larger set only the first ``cap`` records are taken, so that the sets do not add up to all records.
    """
    n, J = term.n, term.n_levels
    record = np.tile(np.arange(n), len(term.codes) if term.by_column else 1)
    pairs: list[tuple[np.ndarray, np.ndarray]] = [(record, n + term.codes.ravel())]
    if term.relationship is not None:
        known = sp.coo_array(term.relationship.precision)
        pairs.append((np.asarray(n + known.row), np.asarray(n + known.col)))
    if residual is not None and residual.group is not None:
        pairs.append((np.arange(n), n + J + residual.group))
    rows, cols = (np.concatenate(ends) for ends in zip(*pairs, strict=True))
    size = n + J + (0 if residual is None or residual.group is None else int(residual.group.max()) + 1)
    graph = sp.coo_array((np.ones(rows.size), (rows, cols)), shape=(size, size))
    part = connected_components(graph, directed=False)[1][:n]
    order = np.argsort(part, kind="stable")
    ends = np.flatnonzero(np.diff(part[order], append=-1)) + 1
    begin = 0
    for _ in range(_SETS):
        if begin >= n:
            return
        whole = ends[(ends > begin) & (ends <= begin + cap)]
        if whole.size:
            yield order[begin : whole[-1]]
            begin = int(whole[-1])
        else:
            yield order[begin : begin + cap]
            begin = int(ends[np.searchsorted(ends, begin, side="right")])


def _set_gram(
    term: Term, dG: np.ndarray, weights: np.ndarray | None, residual: Bound | None, records: np.ndarray
) -> np.ndarray:
    """(I) of some records, by their covariances: of theta, then of sigma^2 and of phi."""
    m, codes = records.size, np.atleast_2d(term.codes)[:, records]
    levels, codes = np.unique(codes, return_inverse=True)
    codes = np.broadcast_to(codes.reshape(-1, m), (term.q, m))
    z = np.ones((m, term.q)) if term.covariates is None else term.covariates[records]
    K = np.eye(levels.size) if term.relationship is None else _among(term, levels)
    random = np.zeros((len(dG), m, m))
    for a, b in np.ndindex(term.q, term.q):
        if dG[:, a, b].any():
            random += dG[:, a, b, None, None] * (K[np.ix_(codes[a], codes[b])] * np.outer(z[:, a], z[:, b]))
    sd = np.ones(m) if weights is None else 1.0 / np.sqrt(weights[records])
    derivatives = np.concatenate([random, np.outer(sd, sd) * _residual_derivatives(residual, records)])
    flat = derivatives.reshape(len(derivatives), -1)
    return np.asarray(flat @ flat.T)


def _among(term: Term, levels: np.ndarray) -> np.ndarray:
    """K among some levels."""
    unit = np.zeros((term.n_levels, levels.size))
    unit[levels, np.arange(levels.size)] = 1.0
    factor = positive_definite(sp.csc_array(term.relationship.precision), term.levels)
    return np.asarray(factor.solve(unit)[levels])


def _residual_derivatives(residual: Bound | None, records: np.ndarray) -> np.ndarray:
    """R and dR/dphi (1 + k, m, m) among some records, of weight one."""
    if residual is None:
        return np.eye(records.size)[None]
    x = _in_general_position(residual)
    steps = _STEP * np.eye(residual.k)
    slopes = [residual.covariance(x + step, records) - residual.covariance(x - step, records) for step in steps]
    return np.array([residual.covariance(x, records), *(slope / (2.0 * _STEP) for slope in slopes)])


# -- what depends on what ---------------------------------------------------------------------------------------------


def _dependence(gram: np.ndarray, k: int) -> np.ndarray | None:
    """A combination of the derivatives that is zero and has parts of theta, the first k, and of the residuals."""
    size = np.sqrt(np.diag(gram))
    size[size == 0.0] = 1.0
    values, vectors = np.linalg.eigh(gram / np.outer(size, size))
    null = vectors[:, values < _DEPENDENT * len(gram)]
    of_theta, of_residuals = (np.linalg.svd(part, compute_uv=False) > _PART for part in (null[:k], null[k:]))
    if not null.size or of_theta.sum() + of_residuals.sum() <= null.shape[1]:
        return None  # what there is concerns theta alone, or the residuals alone
    combination = null @ np.linalg.svd(null[k:])[2][0]
    return np.asarray(combination / size)


def _refusal(term: Term, columns: Sequence[str], residual: Bound | None, known: str) -> MMEError:
    """The error that says whose variances are in the combination."""
    other = "the residual variance" if residual is None else f"the residual structure ({residual.kind})"
    if term.relationship is not None:
        other += ", as no two of them are related,"
    if term.q == 1:
        return MMEError(
            f"grouping factor '{term.name}' has as many levels as there are records ({term.n}): its variance and "
            f"{other} cannot be told apart. Give {known}, or leave the term out."
        )
    return MMEError(
        f"term '{term.name}' has {term.n_levels} levels x {term.q} coefficients = {term.n_effects} random effects for "
        f"{term.n} records: the variance of {name(list(columns))} and {other} cannot be told apart. Use fewer "
        f"coefficients a level, another structure, or give {known}."
    )
