"""Comparison of nested fits by likelihood ratio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from mme.errors import MMEError, warn
from mme.fitted.common import Record
from mme.fitted.record import Fitted
from mme.fitted.refit import by_method
from mme.inference.comparison.comparable import check_comparable, seen_otherwise, within_span
from mme.inference.comparison.nested import Difference, difference, wilks

if TYPE_CHECKING:
    import pandas as pd

# An error of a likelihood ratio that changes no verdict: p = 0.05 becomes 0.0495 or 0.0505.
_NO_MATTER = 0.02


def anova(*fits: Record, boundary: bool = False) -> pd.DataFrame:
    """Likelihood-ratio tests of nested fits, from the smallest model to the largest."""
    import pandas as pd

    fits = by_one_method(fits)
    check_comparable(fits)
    ordered = sorted(fits, key=lambda fit: fit.dof)
    deviance = np.array([fit.criterion for fit in ordered])
    _require_known(ordered)
    npar = np.array([fit.dof for fit in ordered])
    chisq = np.concatenate(([np.nan], np.maximum(-np.diff(deviance), 0.0)))
    df = np.concatenate(([np.nan], np.diff(npar)))
    labels = _labels(ordered)
    if not boundary:
        apart = _apart(ordered, labels)
        chisq[1:][apart] = df[1:][apart] = np.nan
    table = pd.DataFrame(
        {
            "npar": npar,
            "aic": [fit.aic for fit in ordered],
            "bic": [fit.bic for fit in ordered],
            "loglik": [fit.loglik for fit in ordered],
            "deviance": deviance,
            "chisq": chisq,
            "df": df,
            "p": wilks(df, chisq),
        },
        index=pd.Index(labels, name="model"),
    )
    if not boundary:
        return table
    found = _differences(ordered, labels)
    tails = [one.tail(t) for one, t in zip(found, chisq[1:].tolist(), strict=True)]
    return table.assign(p=[np.nan, *tails], reference=["", *(one.reference for one in found)])


def by_one_method(fits: Sequence[Record]) -> tuple[Record, ...]:
    """The fits with those by least squares, which are of no one method, by that of the others."""
    methods = {fit.method for fit in fits if not _is_least_squares(fit)}
    if len(methods) != 1:
        return tuple(fits)
    (method,) = methods
    return tuple(by_method(fit, method) if _is_least_squares(fit) else fit for fit in fits)


def _is_least_squares(fit: Record) -> TypeGuard[Fitted]:
    """Whether sigma alone is estimated of the variances, so that REML and ML are known at once."""
    return isinstance(fit, Fitted) and fit.model.k == 0 and fit.model.residual is None and fit.model.held is None


def _require_known(fits: list[Record]) -> None:
    """Refuse ratios of likelihoods whose own error, with that of chance in each, could change a verdict."""
    known = [fit.engine.stochastic for fit in fits if isinstance(fit, Fitted)]
    errors = [one.criterion_error for one in known if one is not None]
    if errors and (error := float(np.sqrt(np.sum(np.square(errors))))) > _NO_MATTER:
        raise MMEError(
            f"the iterative engine knows the criterion of these fits with a standard error of {error:.2g}, which a "
            "likelihood ratio may be smaller than; use engine='exact', or tests of the fixed effects (fit.anova())"
        )


def _apart(fits: list[Record], labels: list[str]) -> list[bool]:
    """Whether each fit is no extension of the one before it, which a warning says: their ratio has no reference."""
    found = []
    for j in range(1, len(fits)):
        small, large = fits[j - 1], fits[j]
        why = ""
        if small.dof < large.dof:
            what = seen_otherwise(small, large)
            why = f"other {what}" if what else "" if within_span(small, large) else "other fixed effects"
        if why:
            warn(
                f"{labels[j]} has {why} than {labels[j - 1]} and does not hold it as a special case, so that their "
                "likelihood ratio is no chi-square; compare aic or bic"
            )
        found.append(bool(why))
    return found


def _differences(fits: list[Record], labels: list[str]) -> list[Difference]:
    """How each fit goes beyond the one before it."""
    found = []
    for j in range(1, len(fits)):
        try:
            found.append(difference(fits[j - 1], fits[j]))
        except MMEError as error:
            raise MMEError(f"{labels[j - 1]} beside {labels[j]}: {error}") from None
    return found


def _labels(fits: list[Record]) -> list[str]:
    labels = [fit.formula or f"model {i + 1}" for i, fit in enumerate(fits)]
    if len(set(labels)) == len(labels):
        return labels
    return [f"{label} [{i + 1}]" for i, label in enumerate(labels)]
