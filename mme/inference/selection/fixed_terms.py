"""Tests of the terms of the fixed part that no other term contains, as lmerTest's and lme4's ``drop1`` have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.formula.syntax import Node, deparse
from mme.formula.updating import marginal_terms, without_term
from mme.inference.comparison.nested import wilks
from mme.inference.fixed.anova import anova_table
from mme.inference.fixed.methods import reference
from mme.inference.selection.random_terms import Refitted
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_TESTS = ("F", "LRT", "Chisq")


def drop1(fit: Record, refitted: Refitted, test: str | None, ddf: str) -> pd.DataFrame:
    """F tests or likelihood ratio tests of the terms that may be left out.

    Raises
    ------
    MMEError
        The test is another, F is asked of a generalised model, or the fit is not by formula.
    """
    linear = isinstance(fit, Fitted)
    chosen = ("F" if linear else "LRT") if test is None else test.upper() if isinstance(test, str) else test
    if not is_word(chosen, _TESTS):
        raise MMEError(f"test must be 'F' or 'LRT' (likelihood ratio), got {shown(test)}")
    if chosen == "F":
        if not isinstance(fit, Fitted):
            raise MMEError("F tests are of linear models: use test='LRT', or anova() for Wald's chi-square")
        return f_tests(fit, ddf)
    return _likelihood_ratios(fit, refitted)


def f_tests(fit: Fitted, ddf: str) -> pd.DataFrame:
    """``sum_sq, mean_sq, num_df, den_df, F, p`` of the terms that may be left out."""
    table = anova_table(fit, 2, reference(fit, ddf))  # of a term that no other contains, type 2 is that without it
    kept = [name for name in map(name_of, scope(fit)) if name in table.index]
    return table.loc[kept]


def scope(fit: Record) -> list[tuple[Node, ...]]:
    """The terms of the fixed part that may be left out.

    Raises
    ------
    MMEError
        The fit is not by formula.
    """
    if fit.specification is None:
        raise MMEError("drop1 needs a fit by formula (mme.lmer, mme.glmer), which knows the terms; see test()")
    return marginal_terms(fit.specification.fixed)


def name_of(term: tuple[Node, ...]) -> str:
    """A term as tables call it."""
    return ":".join(map(deparse, term))


def _likelihood_ratios(fit: Record, refitted: Refitted) -> pd.DataFrame:
    """``aic, lrt, df, p``: the model by maximum likelihood first."""
    import pandas as pd

    by_ml = {"method": "ML"} if isinstance(fit, Fitted) else {}
    whole = fit if fit.method == "ML" else refitted(str(fit.formula), **by_ml).internals
    terms = scope(fit)
    smaller = [
        refitted(without_term(str(fit.formula), fit.specification.fixed, term), **by_ml).internals for term in terms
    ]
    lrt = np.maximum([one.criterion - whole.criterion for one in smaller], 0.0)
    df = np.array([whole.dof - one.dof for one in smaller], dtype=float)
    return pd.DataFrame(
        {
            "aic": [whole.aic, *(one.aic for one in smaller)],
            "lrt": [np.nan, *lrt],
            "df": [np.nan, *df],
            "p": [np.nan, *wilks(df, lrt)],
        },
        index=pd.Index(["<none>", *map(name_of, terms)], name="term"),
    )
