"""Backward elimination: of random terms by likelihood ratio, then of fixed ones by F or likelihood ratio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError, warn
from mme.formula.updating import without_term
from mme.inference.selection.fixed_terms import drop1, name_of, scope
from mme.inference.selection.no_random_effects import NoRandomEffects
from mme.inference.selection.random_terms import deletions, table_of
from mme.results.frames import framed
from mme.tables.arguments import names_of, number

if TYPE_CHECKING:
    import pandas as pd

_CHOSEN = (
    "the model that is left was chosen by its p-values: those that it reports now, its standard errors and its "
    "intervals do not know that, and are too small. Report the model that you set out with, or test on other data"
)


@dataclass(frozen=True, eq=False)
class Reduction:
    """What backward elimination left.

    Attributes
    ----------
    fit : Fit or GeneralisedFit
        The model that is left.
    random, fixed : DataFrame
        What went, ``eliminated`` 1, 2, ... in its order, and what stayed, 0.
    """

    fit: Any
    random: pd.DataFrame
    fixed: pd.DataFrame

    def __repr__(self) -> str:
        parts = [f"Left: {self.fit.formula}"]
        for title, table in (("Random effects", self.random), ("Fixed effects", self.fixed)):
            if len(table):
                parts.append(f"{title}:\n{table!r}")
        return "\n\n".join(parts)


def reduction(start: Any, alpha_random: float, alpha_fixed: float, keep: str | Sequence[str], ddf: str) -> Reduction:
    """Leave out what is not significant, the largest p-value first."""
    limits = [_share(alpha_random, "alpha_random"), _share(alpha_fixed, "alpha_fixed")]
    kept = names_of(keep, "keep")
    known = [name_of(term) for term in start.internals.specification.fixed.terms] if start.formula else []
    if unknown := [name for name in kept if name not in known]:
        raise MMEError(f"keep: {', '.join(map(repr, unknown))} is no term of the fixed part; they are {known}")
    fit, random = _without_random(start, limits[0])
    fit, fixed = _without_fixed(fit, limits[1], kept, ddf)
    if fit is not start:
        warn(_CHOSEN)
    return Reduction(fit, framed(random), framed(fixed))


def _share(given: float, name: str) -> float:
    return number(given, f"{name} must lie between 0 and 1", lambda alpha: 0.0 <= alpha <= 1.0)


def _without_random(fit: Any, alpha: float) -> tuple[Any, pd.DataFrame]:
    """The fit without random terms whose p-value is larger than alpha, and the table of the steps."""
    import pandas as pd

    steps = list[Any]()
    while fit.internals.model.terms:
        found = deletions(fit.internals, fit._refitted)
        table = table_of(fit.internals, found)
        if not steps:
            steps.append(table.iloc[[0]].assign(eliminated=float("nan")))
        p = table["p"].iloc[1:].fillna(-np.inf).to_numpy()
        p = np.where([isinstance(one.fit, NoRandomEffects) for one in found], -np.inf, p)  # glmer fits none without
        if not (p > alpha).any():
            steps.append(table.iloc[1:].assign(eliminated=0.0))
            break
        worst = int(p.argmax())
        steps.append(table.iloc[[1 + worst]].assign(eliminated=float(len(steps))))
        fit = found[worst].fit
    return fit, _first(pd.concat(steps)) if steps else pd.DataFrame()


def _without_fixed(fit: Any, alpha: float, keep: Sequence[str], ddf: str) -> tuple[Any, pd.DataFrame]:
    """The fit without fixed terms whose p-value is larger than alpha, and the table of the steps."""
    import pandas as pd

    steps = list[Any]()
    while True:
        record = fit.internals
        table = drop1(record, fit._refitted, None, ddf).drop(index="<none>", errors="ignore")
        p = table["p"].where(~table.index.isin(list(keep)), -np.inf).fillna(-np.inf).to_numpy()
        if not (p > alpha).any():
            steps.append(table.assign(eliminated=0.0))
            return fit, _first(pd.concat(steps))
        worst = int(p.argmax())
        steps.append(table.iloc[[worst]].assign(eliminated=float(len(steps) + 1)))
        (term,) = [one for one in scope(record) if name_of(one) == table.index[worst]]
        fit = fit._refitted(without_term(str(fit.formula), record.specification.fixed, term))


def _first(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its column ``eliminated`` first."""
    return table[["eliminated", *(name for name in table.columns if name != "eliminated")]]
