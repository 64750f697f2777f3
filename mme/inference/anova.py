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

from typing import TYPE_CHECKING

import numpy as np

from mme.algebra import Terms
from mme.basis import independent_columns
from mme.columns import INTERCEPT, Coded, Variable, build
from mme.contrasts import Contrast
from mme.errors import MMEError
from mme.inference.contrasts import FTest, aliases, reference
from mme.inference.grid import synthetic_rows
from mme.syntax import Node, deparse

if TYPE_CHECKING:
    import pandas as pd

    from mme.fit import Fit

# Weights below this share of the largest are rounding.
_ZERO = 1e-9


def anova_table(fit: Fit, kind: int | str, ddf: str) -> pd.DataFrame:
    """``sum_sq, mean_sq, num_df, den_df, F, p``, one row a term of the fixed part.

    The mean square is F sigma^2, before any scale of Kenward and Roger's.
    """
    import pandas as pd

    to = reference(fit, ddf)
    rows = term_contrasts(fit, kind)
    tests = {term: to.f_test(L, L @ to.beta) if len(L) else FTest(np.nan, 0, np.nan) for term, L in rows.items()}
    mean_square = np.array([test.F / test.scale * fit.sigma**2 for test in tests.values()])
    numerator = np.array([test.numerator for test in tests.values()], dtype=int)
    return pd.DataFrame(
        {
            "sum_sq": mean_square * numerator,
            "mean_sq": mean_square,
            "num_df": numerator,
            "den_df": [test.denominator for test in tests.values()],
            "F": [test.F for test in tests.values()],
            "p": [test.p for test in tests.values()],
        },
        index=pd.Index(list(rows), name="term"),
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


def _owners(fit: Fit) -> np.ndarray:
    """The term of each column of X; in a fit by arrays each column is one."""
    spec = fit.specification
    return np.array(fit.model.x_names if spec is None else spec.column_terms, dtype=object)


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
    estimated, to_user, kept = _estimable_functions(fit)
    columns = _owners(fit)[kept]
    contained, functions = containment(fit), estimated.T.copy()
    out = {}
    for term in _by_degree(fit):
        own, larger = columns == term, np.isin(columns, contained[term])
        if larger.any():
            functions[:, own] -= _projection(functions[:, larger], functions[:, own])
        weights = np.linalg.lstsq(estimated.T, functions[:, own], rcond=None)[0].T
        weights[np.abs(weights) < _ZERO * np.abs(weights).max(initial=1.0)] = 0.0
        out[term] = weights @ to_user
    return {term: out.get(term, np.zeros((0, owners.size))) for term in dict.fromkeys(_owners(fit))}


def _projection(onto: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return onto @ np.linalg.lstsq(onto, columns, rcond=None)[0]


def _estimable_functions(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What each coefficient estimates among the parameters of the overparametrised model.

    As in lmerTest the coefficients are those of treatment contrasts, X_t; the overparametrised X_o has a column a
    level for each factor of each term. Rows of a synthetic table in general position give the maps X_o = X_t M and
    X = X_t N, and A of X = X_kept A what of them the data can tell.

    Returns
    -------
    functions : (p, columns of X_o)
    to_user : (p, p)
        Coefficients of X_t from those of X.
    kept : (p,)
        Which columns of X_t these are.
    """
    spec = fit.specification
    variables, n = synthetic_rows(spec)
    treated = {node: _treated(value) for node, value in variables.items()}
    X, X_t = build(spec.fixed, variables, n).values, build(spec.fixed, treated, n).values
    parts = [build(Terms(False, (term,)), treated, n).values for term in spec.fixed.terms]
    X_o = np.column_stack([*([np.ones(n)] if spec.fixed.intercept else []), *parts])
    M, N = np.linalg.lstsq(X_t, X_o, rcond=None)[0], np.linalg.lstsq(X_t, X, rcond=None)[0]
    B = np.linalg.lstsq(N.T, aliases(fit).T, rcond=None)[0].T  # X_t of the data = X_kept B
    kept = np.arange(B.shape[1])
    if fit.dropped:
        seen = _triangle(fit) @ B
        length = np.linalg.norm(seen, axis=0)
        kept = independent_columns(seen / np.where(length > 0.0, length, 1.0))
    to_user = np.linalg.inv(B[:, kept])
    functions = to_user @ B @ M
    functions[np.abs(functions) < _ZERO * np.abs(functions).max()] = 0.0
    return functions, to_user, kept


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
    return {
        name: tuple(other for larger, other in names.items() if _contains(larger, term, set(spec.codings)))
        for term, name in names.items()
    }


def _contains(larger: tuple[Node, ...], term: tuple[Node, ...], factors: set[Node]) -> bool:
    return set(term) < set(larger) and set(term) - factors == set(larger) - factors


def _by_degree(fit: Fit) -> list[str]:
    """The terms' names, the largest first."""
    terms = fit.specification.fixed.terms
    return [":".join(map(deparse, term)) for term in sorted(terms, key=len, reverse=True)]
