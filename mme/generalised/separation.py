r"""Directions along which the likelihood rises without end: separation, complete or not.

A record whose log f rises towards its bound as eta goes to plus or minus infinity (a success, a failure, a count of
zero) moves that way along delta where s_i x_i'delta > 0, s_i its side; the likelihood has no finite maximum where some
delta makes

    s_i x_i'delta >= 0 for such records, > 0 for some of them, and x_i'delta = 0 for all others,

for any b, and so for the marginal likelihood too (Albert and Anderson 1984, Biometrika 71:1; Konis 2007, DPhil thesis,
Oxford). Where the search ended, records that move have hardly anything left to gain: all others span the complement of
delta, and a linear program of few columns is left. Coefficients of what is orthogonal to all delta have their limits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.generalised.laplace import Laplace
from mme.generalised.problem import Problem
from mme.numeric.lapack import cholesky, cholesky_solve
from mme.numeric.limits import limits

# A record has moved to its end where its -log f is below this.
_LEFT = 1e-3
# Share of the mean square of a column that is rounding; of the largest entry of a direction; of x'delta.
_ROUNDING, _PART, _ZERO = 1e-12, 1e-6, 1e-9
# A coefficient times its column that is on its way to infinity, in eta.
_LARGE = 3.0
# A standard deviation of eta, by links of ratios and counts, that is as good as infinite.
_ENDLESS, _OF_RATIOS = 300.0, ("logit", "probit", "cloglog", "log")
# Records that are looked at before all of them.
_FEW = 256


@dataclass(frozen=True, eq=False)
class Separation:
    """The span (p, d) of all delta of gamma, which records (n,) move along them, and to which ``side``."""

    span: np.ndarray
    moved: np.ndarray
    side: np.ndarray


def sides(problem: Problem, tau: np.ndarray, first: int | None = None) -> np.ndarray:
    """Where log f of each record, or of the first, has its bound: 1 at infinity, -1 at minus infinity, 0 in between."""
    data = problem.data
    if first is not None and first < data.n:
        data = data.at(slice(first))
    return np.where(data.weights > 0.0, problem.family.sides(data, tau), 0)


def separation(at: Laplace, *, converged: bool = True) -> Separation | None:
    """The directions in which the likelihood of beta has no maximum; None where it has one.

    Where the search has not ``converged``, any record may still move, if there are not too many.
    """
    problem, Q = at.problem, at.problem.Q
    settled = -np.asarray(at.mode.density.value) < _LEFT
    if not converged and Q.size <= limits().separation_entries:
        settled = np.ones(problem.n, dtype=bool)
    if not len(Q) or not settled.any():
        return None
    side, counts = sides(problem, at.at.tau), problem.data.weights > 0.0
    movable, moved = settled & (side != 0), np.zeros(problem.n, dtype=bool)
    span = _null_space(Q[:, counts & ~movable])
    while span.shape[1] and (movable & ~moved).any():
        rest = np.flatnonzero(movable & ~moved)
        rises = _recession(side[rest, None] * (Q[:, rest].T @ span))
        if not rises.any():
            break
        moved[rest[rises]] = True
    return Separation(_null_space(Q[:, counts & ~moved]), moved, side) if moved.any() else None


def _null_space(rows: np.ndarray) -> np.ndarray:
    """Orthonormal directions (p, d) to which all these columns of Q (p, m) are orthogonal."""
    if not rows.shape[1]:
        return np.eye(len(rows))
    values, vectors = np.linalg.eigh(rows @ rows.T)
    return vectors[:, values <= _ROUNDING * rows.shape[1] * max(1.0, float(values[-1]) / rows.shape[1])]


def _recession(A: np.ndarray) -> np.ndarray:
    """The rows in which A v is positive for some v with A v >= 0."""
    A = np.where(np.abs(A) > _ZERO * np.abs(A).max(initial=0.0), A, 0.0)
    if A.shape[1] == 1:
        column = A[:, 0] if A[:, 0].max() > 0.0 else -A[:, 0]
        return column > (0.0 if (column >= 0.0).all() else np.inf)
    from scipy.optimize import linprog

    unique = np.unique(A.round(12), axis=0)
    found = linprog(-unique.sum(axis=0), A_ub=-unique, b_ub=np.zeros(len(unique)), bounds=(-1.0, 1.0), method="highs")
    if found.x is None or -found.fun <= _ZERO * np.abs(unique).sum():
        return np.zeros(len(A), dtype=bool)
    along = A @ found.x
    return np.asarray(along > _ZERO * np.abs(along).max())


def growing(problem: Problem, found: Separation) -> np.ndarray:
    """Which of the kept columns of X have coefficients without a limit (p,)."""
    size = np.sqrt((problem.model.X[:, problem.basis.kept] ** 2).mean(axis=0))
    part = np.abs(problem.beta_of_gamma @ found.span).max(axis=1) * size
    return np.asarray(part > _PART * part.max())


def sentence(problem: Problem, found: Separation, gamma: np.ndarray) -> str:
    """What is separated, by which columns, and what to do."""
    X, beta = problem.model.X[:, problem.basis.kept], problem.beta(gamma)
    columns = [problem.model.x_names[j] for j in problem.basis.kept.tolist()]
    grow = np.flatnonzero(growing(problem, found)).tolist()
    large = np.abs(beta) * np.sqrt((X**2).mean(axis=0)) > _LARGE
    ends = [f"'{columns[j]}'" + (f" to {'minus ' * bool(beta[j] < 0.0)}infinity" if large[j] else "") for j in grow]
    cells = [_cell(columns[j], X[:, j], found, problem.family.name == "binomial") for j in grow]
    where = "; ".join(cell for cell in cells if cell)
    counts = problem.data.weights > 0.0
    return (
        f"{'' if found.moved[counts].all() else 'quasi-'}complete separation: the likelihood has no finite maximum. "
        f"{int(found.moved.sum())} of {int(counts.sum())} records are fitted without error as these coefficients grow "
        f"without bound: {', '.join(ends)}{f' ({where})' if where else ''}; their standard errors are infinite. The "
        "criterion, fitted means and all other coefficients are those of the limit. Join levels, or leave a column out"
    )


def _cell(name: str, column: np.ndarray, found: Separation, binary: bool) -> str:
    """Of an indicator: which of its two values holds records of one answer alone."""
    values = np.unique(column[: min(column.size, 1000)])
    if values.size != 2 or not np.isin(column, values).all():
        return ""
    for value in values.tolist():
        here = column == value
        if found.moved[here].all():
            one = np.unique(found.side[here])
            if one.size == 1:
                end = "successes" if one[0] > 0 else "failures" if binary else "zero"
                return f"where {name} = {value:g} all {int(here.sum())} records are {end}"
    return ""


def pure_levels(at: Laplace) -> tuple[int, ...]:
    """The blocks each of whose levels has records of one end, or category, alone: their variance is infinite.

    Levels of one record each say nothing of it, and do not count.
    """
    problem, counts = at.problem, at.problem.data.weights > 0.0
    if problem.family.has_intercept:
        if (sides(problem, at.at.tau, _FEW)[counts[:_FEW]] == 0).any():
            return ()
        side = sides(problem, at.at.tau)
        if (side[counts] == 0).any():
            return ()
    else:
        side = problem.data.y
    if np.unique(side[counts]).size < 2:
        return ()
    found = []
    for b, block in enumerate(problem.blocks):
        if block.by_column or not any(column is None or (column == column[0]).all() for column in block.columns):
            continue
        records = np.bincount(block.codes[counts], minlength=block.J)
        some = np.zeros(block.J)
        some[block.codes[counts]] = side[counts]
        if (some[block.codes[counts]] == side[counts]).all() and (records > 1).any():
            found.append(b)
    return tuple(found)


def of_pure_levels(problem: Problem, blocks: tuple[int, ...]) -> str:
    """The sentence on them."""
    names = " and ".join(f"'{problem.model.terms[problem.blocks[b].terms[0]].group}'" for b in blocks)
    return (
        f"every level of {names} has one answer alone, in all its records: the likelihood rises with the variance of "
        "its effects without end. Laplace's approximation has a maximum, far out, that means nothing: model one answer "
        "a level, or take another grouping factor"
    )


def endless_variances(problem: Problem, theta: np.ndarray) -> str:
    """What is said where the search left standard deviations on their way to infinity, theta in the user's columns.

    Where the records of each level at which a column acts are of one end, or hardly more than its coefficients,
    Laplace's approximation rises with their variance without end, or has a maximum so far out that it means nothing.
    """
    model, found = problem.model, list[str]()
    if problem.family.link not in _OF_RATIOS or not problem.family.whole:
        return ""
    for t, (term, T) in enumerate(zip(model.terms, model.T(theta), strict=True)):
        sd = np.sqrt(np.add.reduce(T * T, axis=1))
        for a in _endless(term.covariates, T, sd).tolist():
            found.append(f"{sd[a]:.2g} of '{model.coefficient_names(t)[a]}' by '{term.group}'")
    if not found:
        return ""
    return (
        f"by this approximation the likelihood rises on and on with variances; the search left standard deviations of "
        f"{', '.join(found)} on the scale of the {problem.family.link} link. The records are too few, or of one answer "
        "alone in each level where these columns act: leave such columns out of their term"
    )


def _endless(Z: np.ndarray | None, T: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Which coefficients, of standard deviations ``sd``, give eta as good as infinite variances.

    What a record has of a term, T'z, is the same about another origin of a covariate, where each coefficient's part is
    another: whether it is endless is asked of T'z, and only then which coefficients it comes from.
    """
    if Z is None or Z.shape[1] != len(T):
        return np.flatnonzero(sd > _ENDLESS)
    parts = sd * np.sqrt(np.einsum("ia,ia->a", Z, Z) / len(Z))
    if parts.sum() <= _ENDLESS or np.sqrt(np.square(Z @ T).sum() / len(Z)) <= _ENDLESS:
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(parts >= min(_ENDLESS, parts.max()))


def across(H: np.ndarray, span: np.ndarray, start: int = 0) -> np.ndarray:
    """The inverse of H (m, m) across the ``span`` (p, d) of the p parameters from ``start`` on; NaN if not definite."""
    m, p = len(H), len(span)
    whole = np.zeros((m, span.shape[1]))
    whole[start : start + p] = span
    U = np.linalg.svd(whole, full_matrices=True)[0][:, span.shape[1] :]
    held = U.T @ H @ U
    size = np.sqrt(np.maximum(held.diagonal(), 0.0))
    if not (np.isfinite(held).all() and (size > 0.0).all()):
        return np.full(H.shape, np.nan)
    L, failed = cholesky(held / np.outer(size, size))
    return np.full(H.shape, np.nan) if failed else np.asarray(U @ (cholesky_solve(L, (U / size).T).T / size).T)
