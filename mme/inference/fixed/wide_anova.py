r"""F tests of the terms of a wide X, none of which contains another: types II and III are then the same, beta_t = 0.

A term of few columns is tested by their covariance. One of many is tested without it: with v = X_t beta_t

    beta_t' cov(beta_t)^-1 beta_t = v'P v / sigma^2,                                                              (F)

P that of the model without the term's columns, which is what its equations leave of v as a response.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np
import scipy.sparse as sp

from mme.engine.objective import Objective
from mme.engine.pls import pwrss
from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.formula.columns import INTERCEPT
from mme.inference.fixed.reference import FTest, Reference
from mme.inference.fixed.treatment import owners_of
from mme.model.wide import stays_sparse

# Rows of a hypothesis up to which degrees of freedom are computed.
FEW = 100


def wide_tests(fit: Fitted, kind: int | str, to: Reference) -> dict[str, FTest] | None:
    """The test of each term; None where type 1, or terms that contain others, take more of X than their columns."""
    if fit.specification is None:
        fit.model.require_dense("anova() of a fit of arrays")
    terms = [frozenset(term) for term in fit.specification.fixed.terms]
    containing = any(one < other for one, other in permutations(terms, 2))
    if containing or str(kind) in ("1", "I"):
        return None
    owners = owners_of(fit)[fit.basis.kept]
    tests = {}
    for term in dict.fromkeys(owners[owners != INTERCEPT].tolist()):
        columns = np.flatnonzero(owners == term)
        L = np.zeros((columns.size, owners.size))
        L[np.arange(columns.size), columns] = 1.0
        tests[term] = to.f_test(L, to.beta[columns])
    return tests


def notes_of_many(fit: Fitted, tests: dict[str, FTest]) -> list[str]:
    """What is said of tests of a wide X whose degrees of freedom are not computed."""
    many = [term for term, test in tests.items() if fit.model.is_wide and test.numerator > FEW]
    if not many:
        return []
    return [f"The test of {', '.join(many)} is chi-square: den_df of so many columns is taken as infinite."]


def chi_square(fit: Fitted, columns: np.ndarray) -> float:
    """(F) of these of the kept columns over their number."""
    model, kept = fit.model, fit.basis.kept
    own, others = kept[columns], np.setdiff1d(kept, kept[columns])
    v = np.asarray(model.X[:, own] @ fit.estimates.beta[columns])
    X = sp.csc_array(model.X[:, others])
    rest = model.beside(
        y=v,
        X=X if stays_sparse(X) else np.asarray(X.toarray(), order="F"),
        x_names=tuple(model.x_names[j] for j in others.tolist()),
        offset=None,
        sigma=fit.sigma,
    )
    try:
        border = Objective.of(rest).evaluate(fit.theta).border
    except MMEError:
        return float("nan")
    return pwrss(border) / (fit.sigma**2 * columns.size)
