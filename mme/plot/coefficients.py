"""Fixed effects with their intervals, of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.paper.estimates import printed
from mme.plot.style import BLUE, INK, MARKS, SERIES, legend_above, one_axes
from mme.plot.words import response_of
from mme.tables.arguments import names_of, yes_or_no
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_INTERCEPT = "(Intercept)"
# The share of the room of a coefficient that those of several models fill.
_FILLED = 0.6


def coefficients(
    fit: Record,
    *others: Any,
    names: Sequence[str] | None = None,
    intercept: bool = False,
    level: float = 0.95,
    ddf: str | None = None,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """Fixed effects with their intervals, a row each; of several models side by side.

    Parameters
    ----------
    *others : Fit or GeneralisedFit
        Further models.
    names : sequence of str, optional
        What the models are called; None: their formulas, or numbers where these are alike.
    intercept : bool
        Whether to draw the intercept, which is often far from all others.
    level : float
        Of the intervals.
    ddf : str, optional
        As in ``fit.coefficients()``; None: as in the summary.
    data : bool
        Return the table: ``model, term, estimate, se, lower, upper``.

    Returns
    -------
    Axes; a DataFrame for ``data=True``
    """
    records = [fit, *map(_record, others)]
    called = _names(records, names)
    table = _table(records, called, level, ddf)
    if not yes_or_no(intercept, "intercept") and (table["term"] != _INTERCEPT).any():
        table = table[table["term"] != _INTERCEPT].reset_index(drop=True)
    if yes_or_no(data, "data"):
        return table
    terms = list(dict.fromkeys(table["term"]))
    ax = one_axes(ax, (5.8, max(1.6, 1.2 + (0.22 + 0.1 * len(records)) * len(terms))))
    ax.axvline(0.0, color=INK, linewidth=0.7, zorder=1)
    for k, name in enumerate(called):
        _model(ax, table[table["model"] == name], terms, k, len(records), name)
    ax.set_yticks(np.arange(len(terms)), terms[::-1])
    ax.tick_params(axis="y", length=0.0)
    ax.set_ylim(-0.6, len(terms) - 0.4)
    ax.grid(axis="x")
    ax.locator_params(axis="x", nbins=7)
    ax.set_xlabel(_measure(records))
    rows = legend_above(ax) if len(records) > 1 else 0
    ax.set_title(f"Fixed effects with {100 * level:g}% intervals", pad=6 + 13 * rows)
    return ax


def _record(other: Any) -> Record:
    found = getattr(other, "internals", other)
    if not isinstance(found, Record):
        raise MMEError(f"coefficients() draws fits as mme.lmer, mme.fit and mme.glmer return them, got {shown(other)}")
    return found


def _names(records: list[Record], names: Sequence[str] | None) -> list[str]:
    if names is not None:
        found = names_of(names, "names")
        if len(found) != len(records) or len(set(found)) < len(found):
            raise MMEError(f"names: {len(records)} different names are needed, one a model, got {found}")
        return found
    formulas = [record.formula or "" for record in records]
    apart = len(set(formulas)) == len(formulas) and all(formulas)
    return formulas if apart and max(map(len, formulas)) <= 60 else [f"model {k + 1}" for k in range(len(records))]


def _table(records: list[Record], called: list[str], level: float, ddf: str | None) -> pd.DataFrame:
    import pandas as pd

    parts = []
    for record, name in zip(records, called, strict=True):
        fixed = printed(record, ddf, level).fixed[["estimate", "se", "lower", "upper"]]
        parts.append(fixed.rename_axis("term").reset_index().assign(model=name))
    table = pd.concat(parts, ignore_index=True)
    return table[["model", "term", "estimate", "se", "lower", "upper"]]


def _model(ax: Any, table: pd.DataFrame, terms: list[str], k: int, of: int, name: str) -> None:
    at = np.array([len(terms) - 1.0 - terms.index(term) for term in table["term"]])
    at -= _FILLED * ((k + 0.5) / of - 0.5)
    colour = BLUE if of == 1 else SERIES[k % len(SERIES)]
    ax.hlines(at, table["lower"], table["upper"], color=colour, linewidth=1.6, zorder=2)
    marks = {"s": 26.0, "color": colour, "marker": MARKS[k % len(MARKS)], "linewidth": 0.0, "zorder": 3}
    ax.scatter(table["estimate"], at, label=name, **marks)


def _measure(records: list[Record]) -> str:
    """What the estimates are in."""
    first = records[0]
    if isinstance(first, GeneralisedFitted):
        return f"estimate  ({first.family.link} of {response_of(first)})"
    return f"estimate  ({response_of(first)})"
