r"""F tests of the terms of the fixed part: types I, II and III.

The hypotheses are those of SAS and of lmerTest (Goodnight 1978, SAS Technical Report R-101; Kuznetsova et al. 2017).
With X'X = R'R for X as the user coded it, unweighted,

    type I    rows of R for the term's columns, scaled to a unit diagonal: each term after those before it
    type II   the same after moving the term, and behind it the terms that contain it, to the end
    type III  what the term's coefficients estimate in the overparametrised model, made orthogonal to what those of
              the terms that contain it estimate

A term contains another when it has all of its variables and more factors, on the same covariates.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mme.algebra import Terms
from mme.basis import independent_columns
from mme.columns import INTERCEPT, Coded, Variable, build
from mme.contrasts import Contrast
from mme.errors import MMEError, MMEWarning
from mme.inference.contrasts import reference
from mme.inference.grid import synthetic_rows
from mme.syntax import Node, deparse

if TYPE_CHECKING:
    import pandas as pd

    from mme.fit import Fit

# What is left of a function beside those it is made orthogonal to, as a share of it, that is rounding.
_ROUNDING = 1e-9
# A note names at most so many cells.
_FEW_CELLS = 6
# Entries of a map between codings are whole numbers to this.
_WHOLE = 1e-6


def anova_table(fit: Fit, kind: int | str, ddf: str) -> pd.DataFrame:
    """``sum_sq, mean_sq, num_df, den_df, F, p``, one row a term of the fixed part that has something to test.

    The mean square is F sigma^2, before any scale of Kenward and Roger's. ``attrs["note"]`` says which terms have no
    row, and on what tests of type III depend where cells are empty.
    """
    import pandas as pd

    to = reference(fit, ddf)
    rows = term_contrasts(fit, kind)
    tests = {term: to.f_test(L, L @ to.beta) for term, L in rows.items() if len(L)}
    mean_square = np.array([test.F / test.scale * fit.sigma**2 for test in tests.values()])
    numerator = np.array([test.numerator for test in tests.values()], dtype=int)
    table = pd.DataFrame(
        {
            "sum_sq": mean_square * numerator,
            "mean_sq": mean_square,
            "num_df": numerator,
            "den_df": np.array([test.denominator for test in tests.values()], dtype=float),
            "F": np.array([test.F for test in tests.values()], dtype=float),
            "p": np.array([test.p for test in tests.values()], dtype=float),
        },
        index=pd.Index(list(tests), name="term", dtype=object),
    )
    notes = [*_untested(fit, [term for term in rows if term not in tests]), *_of_empty_cells(fit, kind, list(tests))]
    if notes:
        table.attrs["note"] = " ".join(notes)
        warnings.warn(table.attrs["note"], MMEWarning, stacklevel=3)
    return table


def _untested(fit: Fit, terms: list[str]) -> Iterator[str]:
    """Why these terms have no row."""
    owners = _kept_owners(fit)
    dropped = [term for term in terms if term not in owners]
    if dropped:
        yield f"No test of {', '.join(dropped)}: earlier columns determine all of its columns."
    for term in terms:
        if term not in dropped:
            yield f"No test of {term}: the data do not tell it from the terms that contain it."


def _of_empty_cells(fit: Fit, kind: int | str, terms: list[str]) -> Iterator[str]:
    """What tests of type III mean where combinations of levels have no records."""
    if not _is_third(kind) or fit.specification is None or not fit.dropped:
        return
    treated, contained = _treatment(fit), containment(fit)
    empty = {}
    for term in contained:
        cells = treated.names[treated.empty & (treated.owners == term)].tolist()
        if cells and any(term in contained[other] for other in terms):
            empty[term] = cells
    concerned = [term for term in terms if set(contained[term]) & set(empty)]
    if concerned:
        cells = [cell for several in empty.values() for cell in several]
        more = f" and {len(cells) - _FEW_CELLS} more" if len(cells) > _FEW_CELLS else ""
        yield (
            f"No records in {', '.join(cells[:_FEW_CELLS])}{more}: what type 3 tests of {', '.join(concerned)} compare "
            "depends on which cells are empty and on the order of the levels; type 2 does not."
        )


def term_contrasts(fit: Fit, kind: int | str) -> dict[str, np.ndarray]:
    """The hypothesis (q, p) of each term on the estimated coefficients, by the term's name.

    Raises
    ------
    MMEError
        The type is not known.
    """
    types = {"1": _sequential, "I": _sequential, "2": _partial, "II": _partial, "3": _marginal, "III": _marginal}
    if str(kind) not in types:
        raise MMEError(f"type must be 1, 2 or 3, got {kind!r}")
    terms = list(dict.fromkeys(name for name in _owners(fit) if name != INTERCEPT))
    if len(terms) <= 1 or len(fit.fixed_names) <= 1:
        return {term: L for term, L in _sequential(fit).items() if term in terms}
    return {term: L for term, L in types[str(kind)](fit).items() if term in terms}


def _is_third(kind: int | str) -> bool:
    return str(kind) in ("3", "III")


def _owners(fit: Fit) -> np.ndarray:
    """The term of each column of X; in a fit by arrays each column is one, and so are groups of unknown parents."""
    spec, model = fit.specification, fit.model
    of_groups = [
        f"groups of {model.terms[one.term].name}"
        for one in model.unknown_parents
        for _ in range(one.columns.start, one.columns.stop)
    ]
    given = model.x_names[: model.p_given] if spec is None else spec.column_terms
    return np.array([*given, *of_groups], dtype=object)


def _kept_owners(fit: Fit) -> np.ndarray:
    return np.asarray(_owners(fit)[fit.objective.basis.kept])


def _sequential(fit: Fit) -> dict[str, np.ndarray]:
    """Type I."""
    owners = _kept_owners(fit)
    rows = _forward(_triangle(fit))
    return {term: rows[owners == term] for term in dict.fromkeys(_owners(fit))}


def _partial(fit: Fit) -> dict[str, np.ndarray]:
    """Type II."""
    owners, R, contained = _kept_owners(fit), _triangle(fit), containment(fit)
    out: dict[str, np.ndarray] = {}
    for term in dict.fromkeys(_owners(fit)):
        if not contained.get(term):
            out[term] = np.eye(owners.size)[owners == term]
            continue
        last = [term, *contained[term]]
        order = np.concatenate(
            [np.flatnonzero(~np.isin(owners, last)), *(np.flatnonzero(owners == one) for one in last)]
        )
        rows = np.zeros_like(R)
        rows[:, order] = _forward(np.asarray(np.linalg.qr(R[:, order], mode="r")))
        out[term] = rows[owners[order] == term]
    return out


def _triangle(fit: Fit) -> np.ndarray:
    """R of the QR of X's kept columns, neither weighted nor whitened."""
    if fit.model.weights is None and fit.model.residual is None:
        return fit.objective.basis.R
    return np.asarray(np.linalg.qr(fit.model.X[:, fit.objective.basis.kept], mode="r"))


def _forward(R: np.ndarray) -> np.ndarray:
    """Rows of R over its diagonal: Doolittle's U of X'X."""
    return R / np.diag(R)[:, None]


def _marginal(fit: Fit) -> dict[str, np.ndarray]:
    """Type III."""
    owners = _kept_owners(fit)
    if fit.specification is None:
        return {term: np.eye(owners.size)[owners == term] for term in dict.fromkeys(_owners(fit))}
    treated, contained = _treatment(fit), containment(fit)
    functions, columns = treated.functions.T.copy(), treated.owners[treated.places]
    out = {}
    for term in _by_degree(fit):
        own, larger = columns == term, np.isin(columns, contained[term])
        functions[:, own] = _beyond(functions[:, own], functions[:, larger])
        weights = functions[np.ix_(treated.places, own)].T  # at the solution whose other parameters are zero
        weights = _estimable_part(fit, weights[weights.any(axis=1)] @ treated.to_user)
        out[term] = np.hstack([weights, np.zeros((len(weights), owners.size - weights.shape[1]))])
    for term in dict.fromkeys(_owners(fit)[fit.model.p_given :]):
        out[term] = np.eye(owners.size)[owners == term]
    return {term: out.get(term, np.zeros((0, owners.size))) for term in dict.fromkeys(_owners(fit))}


def _beyond(own: np.ndarray, larger: np.ndarray) -> np.ndarray:
    """The columns of ``own`` made orthogonal to those of ``larger``; exactly zero where these span them.

    What is rounding is told by the size of a column before, not by that of what is left.
    """
    length = np.linalg.norm(larger, axis=0)
    directions = larger[:, length > 0.0] / length[length > 0.0]
    Q = np.linalg.qr(directions[:, independent_columns(directions)])[0]
    left = own - Q @ (Q.T @ own)
    left -= Q @ (Q.T @ left)
    size = np.linalg.norm(own, axis=0)
    left[:, np.linalg.norm(left, axis=0) <= _ROUNDING * size] = 0.0
    left[np.abs(left) <= _ROUNDING * size] = 0.0
    return np.asarray(left)


@dataclass(frozen=True, eq=False)
class Treatment:
    """The model in treatment contrasts, X_t, as lmerTest states its hypotheses, beside the overparametrised X_o.

    X_o has a column a level for each factor of each term.

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


def _treatment(fit: Fit) -> Treatment:
    """Rows of a synthetic table in general position give the maps X_o = X_t M and X = X_t N, and A of X = X_kept A
    what of them the data can tell."""
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
    functions = _sum_of_products(made, M)
    crossed = np.isin(owners, [":".join(map(deparse, term)) for term in spec.fixed.terms if len(term) > 1])
    return Treatment(functions, places, to_user, owners, names, ~functions.any(axis=0) & crossed)


def _in_treatment(fit: Fit, X: np.ndarray, X_t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A_t of X_t = X_t[:, kept] A_t in the data, the kept columns, and their coefficients from those of X's.

    Groups of unknown parents stand behind the columns of the formula, and have no part in them.
    """
    kept = fit.aliasing.kept[fit.aliasing.kept < X.shape[1]]
    A = fit.aliasing.A[: kept.size, : X.shape[1]]
    if np.array_equal(X, X_t):
        return A, kept, np.eye(len(A))
    N = _without_rounding(np.linalg.lstsq(X_t, X, rcond=None)[0])
    if np.linalg.matrix_rank(N) < len(N):  # fewer contrasts than the levels have: X_t says more than the model does
        return np.eye(len(N)), np.arange(len(N)), N
    B = _sum_of_products(A, _without_rounding(np.linalg.pinv(N)))  # X_t of the data = X_kept B
    R = _triangle(fit)[: kept.size, : kept.size]
    seen = R @ B
    length = np.linalg.norm(seen, axis=0)
    kept = independent_columns(seen / np.where(length > 0.0, length, 1.0))
    to_user = np.linalg.inv(B[:, kept])
    A_t = _sum_of_products(to_user, B)
    A_t[:, kept] = np.eye(kept.size)
    return A_t, kept, to_user


def _estimable_part(fit: Fit, rows: np.ndarray) -> np.ndarray:
    """Rows on the kept columns of X; of rows on all columns, their combinations that the kept ones determine."""
    kept, A = fit.aliasing.kept, fit.aliasing.A
    kept = kept[kept < fit.model.p_given]
    if rows.shape[1] == kept.size:
        return rows
    gap = rows - rows[:, kept] @ A[: kept.size, : rows.shape[1]]
    U, sizes, _ = np.linalg.svd(gap)
    rank = np.count_nonzero(sizes > _WHOLE * np.abs(rows).max(initial=0.0))
    return np.asarray((U[:, rank:].T @ rows)[:, kept])


def _sum_of_products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The product of two maps; exactly zero where its terms cancel."""
    product = one @ other
    product[np.abs(product) <= _ROUNDING * (np.abs(one) @ np.abs(other))] = 0.0
    return np.asarray(product)


def _without_rounding(M: np.ndarray) -> np.ndarray:
    """A map between codings, zero where an entry is rounding beside the largest of its column."""
    return np.where(np.abs(M) <= _ROUNDING * np.abs(M).max(axis=0, initial=0.0), 0.0, M)


def _whole(M: np.ndarray) -> np.ndarray:
    """M with whole entries where they are whole but for rounding: products of levels are sums of products."""
    rounded = np.rint(M)
    return rounded if (np.abs(M - rounded) < _WHOLE).all() else M


def _treated(variable: Variable) -> Variable:
    if not isinstance(variable, Coded):
        return variable
    return Coded(variable.codes, type(variable.coding)(variable.coding.labels, Contrast("treatment")))


def containment(fit: Fit) -> dict[str, tuple[str, ...]]:
    """By term, the terms that contain it."""
    spec = fit.specification
    if spec is None:
        return {}
    names = {term: ":".join(map(deparse, term)) for term in spec.fixed.terms}
    found = {
        name: tuple(other for larger, other in names.items() if _contains(larger, term, set(spec.codings)))
        for term, name in names.items()
    }
    return found | dict.fromkeys(_owners(fit)[fit.model.p_given :].tolist(), ())


def _contains(larger: tuple[Node, ...], term: tuple[Node, ...], factors: set[Node]) -> bool:
    return set(term) < set(larger) and set(term) - factors == set(larger) - factors


def _by_degree(fit: Fit) -> list[str]:
    """The terms' names, the largest first."""
    terms = fit.specification.fixed.terms
    return [":".join(map(deparse, term)) for term in sorted(terms, key=len, reverse=True)]
