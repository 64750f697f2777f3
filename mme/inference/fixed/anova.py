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

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.fitted.made_dense import made_dense
from mme.fitted.record import Fitted
from mme.formula.columns import INTERCEPT
from mme.inference.fixed.reference import FTest, Reference
from mme.inference.fixed.treatment import (
    ROUNDING,
    WHOLE,
    Treatment,
    containment,
    name_of,
    owners_of,
    sum_of_products,
    treatment,
    triangle_of,
)
from mme.inference.fixed.wide_anova import notes_of_many, wide_tests
from mme.numeric.rank import independent_columns, unit_columns
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

# A note names at most so many cells.
_FEW_CELLS = 6


def anova_table(fit: Fitted, kind: int | str, to: Reference) -> pd.DataFrame:
    """``sum_sq, mean_sq, num_df, den_df, F, p``, one row a term of the fixed part that has something to test.

    The mean square is F sigma^2, before any scale of Kenward and Roger's; tests by clusters have none, and no columns
    of squares. ``attrs["note"]`` says which terms have no row, and on what tests of type III depend where cells are
    empty.
    """
    import pandas as pd

    tests, notes = term_tests(fit, kind, to)
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
    return noted(table if to.has_mean_squares else table.drop(columns=["sum_sq", "mean_sq"]), notes)


def wald_table(fit: Record, kind: int | str, to: Reference) -> pd.DataFrame:
    """``chisq, df, p``: Wald's chi-square tests of the same hypotheses, noted as those of :func:`anova_table`."""
    import pandas as pd

    tests, notes = term_tests(fit, kind, to)
    df = np.array([test.numerator for test in tests.values()], dtype=int)
    table = pd.DataFrame(
        {
            "chisq": df * np.array([test.F for test in tests.values()], dtype=float),
            "df": df,
            "p": np.array([test.p for test in tests.values()], dtype=float),
        },
        index=pd.Index(list(tests), name="term", dtype=object),
    )
    return noted(table, notes)


def noted(table: pd.DataFrame, notes: list[str]) -> pd.DataFrame:
    """The table with its notes, which are warnings too."""
    if notes:
        table.attrs["note"] = " ".join(notes)
        warn(table.attrs["note"])
    return table


def term_tests(fit: Record, kind: int | str, to: Reference) -> tuple[dict[str, FTest], list[str]]:
    """The test of each term of the fixed part that has something to test, and notes on the tests."""
    if isinstance(fit, Fitted) and fit.model.is_wide and (found := wide_tests(fit, kind, to)) is not None:
        return found, notes_of_many(fit, found)
    several = len(_terms(fit)) > 1 and len(fit.fixed_names) > 1
    if isinstance(fit, Fitted) and _is_third(kind):
        fit = made_dense(fit, "anova() of type 3 where terms contain others")
    treated = treatment(fit) if _is_third(kind) and several and fit.specification is not None else None
    rows = _term_contrasts(fit, kind if several else 1, treated)
    tests = {term: to.f_test(L, L @ to.beta) for term, L in rows.items() if len(L)}
    notes = list(_untested(fit, [term for term in rows if term not in tests]))
    notes += notes_of_many(fit, tests) if isinstance(fit, Fitted) else []
    if treated is not None:
        notes += _of_empty_cells(fit, treated, list(tests))
    return tests, notes


def _untested(fit: Record, terms: list[str]) -> Iterator[str]:
    """A sentence on why these terms have no row in the table."""
    owners = _kept_owners(fit)
    dropped = [term for term in terms if term not in owners]
    if dropped:
        yield f"No test of {', '.join(dropped)}: earlier columns determine all of its columns."
    for term in terms:
        if term not in dropped:
            yield f"No test of {term}: the data do not tell it from the terms that contain it."


def _of_empty_cells(fit: Record, treated: Treatment, terms: list[str]) -> Iterator[str]:
    """A sentence on what tests of type III mean where combinations of levels have no records."""
    contained, empty = containment(fit), {}
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


def _term_contrasts(fit: Record, kind: int | str, treated: Treatment | None) -> dict[str, np.ndarray]:
    """The hypothesis (q, p) of each term on the estimated coefficients, by the term's name."""
    if str(kind) in ("1", "I"):
        rows = _sequential(fit)
    else:
        rows = _marginal(fit, treated) if _is_third(kind) else _partial(fit)
    return {term: rows[term] for term in _terms(fit)}


def _terms(fit: Record) -> list[str]:
    """The terms of the fixed part but the intercept."""
    return list(dict.fromkeys(name for name in owners_of(fit).tolist() if name != INTERCEPT))


def _is_third(kind: int | str) -> bool:
    """Whether the type is the third.

    Raises
    ------
    MMEError
        It is not known.
    """
    if str(kind) not in ("1", "I", "2", "II", "3", "III"):
        raise MMEError(f"type must be 1, 2 or 3, got {shown(kind)}")
    return str(kind) in ("3", "III")


def _kept_owners(fit: Record) -> np.ndarray:
    return np.asarray(owners_of(fit)[fit.basis.kept])


def _sequential(fit: Record) -> dict[str, np.ndarray]:
    """The hypotheses of type I: each term beyond those before it."""
    owners = _kept_owners(fit)
    rows = _forward(triangle_of(fit))
    return {term: rows[owners == term] for term in dict.fromkeys(owners_of(fit))}


def _partial(fit: Record) -> dict[str, np.ndarray]:
    """The hypotheses of type II: each term beyond all others that do not contain it."""
    owners, contained = _kept_owners(fit), containment(fit)
    terms = dict.fromkeys(owners_of(fit))
    out = {term: np.eye(owners.size)[owners == term] for term in terms}
    within = [term for term in terms if contained.get(term)]
    R = triangle_of(fit) if within else np.zeros((0, 0))
    for term in within:
        last = [term, *contained[term]]
        order = np.concatenate(
            [np.flatnonzero(~np.isin(owners, last)), *(np.flatnonzero(owners == one) for one in last)]
        )
        rows = np.zeros_like(R)
        rows[:, order] = _forward(np.asarray(np.linalg.qr(R[:, order], mode="r")))
        out[term] = rows[owners[order] == term]
    return out


def _forward(R: np.ndarray) -> np.ndarray:
    """Rows of R over its diagonal: Doolittle's U of X'X."""
    return R / np.diag(R)[:, None]


def _marginal(fit: Record, treated: Treatment | None) -> dict[str, np.ndarray]:
    """The hypotheses of type III: lmerTest's, on the estimable part."""
    owners = _kept_owners(fit)
    if treated is None:
        return {term: np.eye(owners.size)[owners == term] for term in dict.fromkeys(owners_of(fit))}
    contained, functions, columns = containment(fit), treated.functions.T, treated.owners[treated.places]
    out = {}
    for term in map(name_of, fit.specification.fixed.terms):
        own = _beyond(functions[:, columns == term], functions[:, np.isin(columns, contained[term])])
        weights = own[treated.places].T  # at the solution whose other parameters are zero
        weights = _estimable_part(fit, weights[weights.any(axis=1)] @ treated.to_user)
        out[term] = np.hstack([weights, np.zeros((len(weights), owners.size - weights.shape[1]))])
    for term in dict.fromkeys(owners_of(fit)[fit.model.p_given :]):
        out[term] = np.eye(owners.size)[owners == term]
    return out


def _beyond(own: np.ndarray, larger: np.ndarray) -> np.ndarray:
    """The columns of ``own`` made orthogonal to those of ``larger``; exactly zero where these span them.

    What is rounding is told by the size of a column before, not by that of what is left.
    """
    directions = unit_columns(larger)
    Q = np.linalg.qr(directions[:, independent_columns(directions)])[0]
    left = own - Q @ (Q.T @ own)
    left[np.abs(left) <= ROUNDING * np.linalg.norm(own, axis=0)] = 0.0
    return np.asarray(left)


def _estimable_part(fit: Record, rows: np.ndarray) -> np.ndarray:
    """Rows on the kept columns of X; of rows on all columns, their combinations that the kept ones determine."""
    kept, A = fit.basis.kept[fit.basis.kept < fit.model.p_given], fit.aliasing.A
    if rows.shape[1] == kept.size:
        return rows
    size = fit.aliasing.size[: rows.shape[1]]
    gap = rows - rows[:, kept] @ A[: kept.size, : rows.shape[1]]
    U, sizes, _ = np.linalg.svd(gap / size)
    rank = np.count_nonzero(sizes > WHOLE * np.abs(rows / size).max(initial=0.0))
    left = sum_of_products(U[:, rank:].T, rows)[:, kept]
    return left[left.any(axis=1)]
