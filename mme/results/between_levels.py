"""Prediction errors between any two levels: their covariances, and the variances of differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import effects
from mme.results.breeding_values import chosen_term, records_of
from mme.results.line_means import ErrorOfSum
from mme.results.line_means import average_difference as mean_difference
from mme.tables.arguments import yes_or_no
from mme.tables.labels import label_array, labels_of
from mme.tables.labels import name as named
from mme.tables.spelling import places

if TYPE_CHECKING:
    import pandas as pd


# Of a record, a term and some of its levels: cov(b_hat - b) between each two (levels, levels, q, q).
ErrorBetween = Callable[[Any, int, np.ndarray], np.ndarray]


def pev_matrix(
    fit: Record, name: str | None, levels: Any, differences: bool, error_between: ErrorBetween
) -> pd.DataFrame:
    """cov(b_hat - b) among levels (several coefficients stand level by level), or the variances of differences.

    Raises
    ------
    MMEError
        A level is not of the term, or differences are asked of several coefficients.
    MemoryForecastError
        The matrix of so many levels would not fit.
    """
    import pandas as pd

    t = chosen_term(fit, name, "pev_matrix")
    term, one = fit.model.terms[t], effects(fit.model, "term")[t]
    g = np.arange(term.n_levels) if levels is None else _found(term.levels, levels, term.name)
    pev = one.own(error_between(fit, t, g), t, 2)
    if one.q == 1:
        index = pd.Index(term.levels[g], name=term.group)
    else:
        index = pd.MultiIndex.from_product([term.levels[g], one.columns], names=[term.group, "effect"])
    C = pev.transpose(0, 2, 1, 3).reshape(g.size * one.q, g.size * one.q)
    if yes_or_no(differences, "differences"):
        if one.q > 1:
            raise MMEError(f"pev_matrix: differences are of one coefficient; '{term.name}' has {one.q}")
        own = np.diag(C)
        C = own[:, None] + own - 2.0 * C
        np.fill_diagonal(C, 0.0)
    return pd.DataFrame(C, index=index, columns=index)


def average_difference(fit: Record, name: str | None, error_of_sum: ErrorOfSum) -> float:
    """The mean over pairs of levels with records of the variance of b_hat_g - b_hat_h - (b_g - b_h).

    Raises
    ------
    MMEError
        The term has several coefficients, or one level with records.
    """
    t = chosen_term(fit, name, "average_difference")
    term, one = fit.model.terms[t], effects(fit.model, "term")[t]
    used = records_of(fit, t)[:, 0] > 0
    if one.q > 1 or used.sum() < 2:
        raise MMEError(f"average_difference: '{term.name}' has {one.q} coefficients, {used.sum()} levels with records")
    if fit.varcorr[term.name].cov[0, 0] <= 0.0:
        return 0.0
    trace = float(one.variances(fit.estimates.pev)[used, 0].sum())
    return mean_difference(trace, error_of_sum(fit, t, used.astype(float)), int(used.sum()))


def _found(known: np.ndarray, levels: Any, term: str) -> np.ndarray:
    labels = labels_of([levels] if isinstance(levels, str) else levels, "levels")
    at = places(label_array(labels), known)
    if (at < 0).any():
        strange = [label for label, place in zip(labels, at.tolist(), strict=True) if place < 0]
        raise MMEError(f"{named(strange)}: not among the levels of '{term}'")
    return at
