"""Likelihood ratio tests of single deletions from the random part, as lmerTest's ``ranova`` has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.formula.updating import reduced_random
from mme.inference.comparison.nested import Difference, difference, wilks
from mme.inference.selection.no_random_effects import beyond_nothing, nothing_random

if TYPE_CHECKING:
    import pandas as pd

# (formula) -> the fit of it to the same records: what holds a record as ``internals``.
Refitted = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Deletion:
    """One model without a part of its random terms: its fit, and what the ratio is compared with at the boundary."""

    label: str
    formula: str
    fit: Any
    beyond: Difference | None
    why: str = ""  # no reference at the boundary is known


def ranova(fit: Record, refitted: Refitted) -> pd.DataFrame:
    """``npar, loglik, aic, lrt, df, p, p_boundary, reference``: one row per deletion, the model itself first."""
    return table_of(fit, deletions(fit, refitted))


def deletions(fit: Record, refitted: Refitted) -> list[Deletion]:
    """The models with a part of the random terms less.

    Raises
    ------
    MMEError
        There are no random terms, or the fit is not by formula.
    """
    if not fit.model.terms:
        raise MMEError("ranova tests random terms, and this model has none: it is fitted by least squares")
    if fit.formula is None:
        raise MMEError("ranova needs a fit by formula (mme.lmer, mme.glmer), which says what may be left out")
    found = []
    for label, formula in reduced_random(fit.formula, fit.specification.fixed).items():
        if (nothing := nothing_random(fit, formula)) is not None:
            found.append(Deletion(label, formula, nothing, beyond_nothing(fit)))
            continue
        smaller = refitted(formula)
        found.append(Deletion(label, formula, smaller, *_beyond(smaller.internals, fit)))
    return found


def _beyond(small: Record, large: Record) -> tuple[Difference | None, str]:
    """What the larger model has beyond the smaller; None, and why, where no reference for it is known."""
    try:
        return difference(small, large), ""
    except MMEError as error:
        return None, str(error)


def table_of(fit: Record, found: list[Deletion]) -> pd.DataFrame:
    """The table of these deletions."""
    import pandas as pd

    smaller = [one.fit.internals for one in found]
    lrt = np.maximum([one.criterion - fit.criterion for one in smaller], 0.0)
    df = np.array([fit.dof - one.dof for one in smaller], dtype=float)
    beyond = [one.beyond for one in found]
    tails = [np.nan if one is None else one.tail(t) for one, t in zip(beyond, lrt.tolist(), strict=True)]
    table = pd.DataFrame(
        {
            "npar": [fit.dof, *(one.dof for one in smaller)],
            "loglik": [fit.loglik, *(one.loglik for one in smaller)],
            "aic": [fit.aic, *(one.aic for one in smaller)],
            "lrt": [np.nan, *lrt],
            "df": [np.nan, *df],
            "p": [np.nan, *wilks(df, lrt)],
            "p_boundary": [np.nan, *tails],
            "reference": ["", *("" if one is None else one.reference for one in beyond)],
        },
        index=pd.Index(["<none>", *(one.label for one in found)], name="deletion"),
    )
    table.attrs["notes"] = tuple(dict.fromkeys(f"p_boundary of {one.label}: {one.why}." for one in found if one.why))
    return table
