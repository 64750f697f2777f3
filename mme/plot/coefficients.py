"""Fixed effects with their intervals, of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.inference.fixed.contrasts import t_table
from mme.inference.fixed.methods import reference
from mme.inference.fixed.quantiles import t_quantile
from mme.inference.fixed.reference import Reference
from mme.inference.fixed.shown import is_cheap
from mme.inference.fixed.z_tables import normal_reference
from mme.paper.estimates import printed
from mme.plot.centred import centring, rounded
from mme.plot.style import BLUE, INK, MARKS, NAMED, SERIES, legend_above, one_axes
from mme.plot.words import abridged, response_of, room
from mme.tables.arguments import check_level, names_of, yes_or_no
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_INTERCEPT = "(Intercept)"
# The share of the room of a coefficient that those of several models fill.
_FILLED = 0.6
# Characters of the name of a coefficient.
_LONGEST = 44
_SHOWN = ["estimate", "se", "lower", "upper"]


def coefficients(
    fit: Record,
    *others: Any,
    names: Sequence[str] | None = None,
    intercept: bool = False,
    centre: bool = True,
    level: float = 0.95,
    ddf: str | None = None,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """Fixed effects with their intervals, one row each; those of several models side by side.

    Beside an interaction with a covariate that is far from zero, such as a calendar year, other effects are drawn at
    the covariate's mean, and the axis says so: at zero they would be far from any record, and hide the rest.

    Parameters
    ----------
    *others : Fit or GeneralisedFit
        Further models.
    names : sequence of str, optional
        What the models are called; None: their formulas, or numbers where these are alike.
    intercept : bool
        Whether to draw the intercept, which is often far from all others.
    centre : bool
        Whether effects beside interactions with a covariate, from whose values zero is farther than they are apart, are
        those at its mean; False: as the summary has them, at zero.
    level : float
        Coverage of the intervals.
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
    at: dict[str, float] = {}
    table = _table(records, called, level, ddf, at if yes_or_no(centre, "centre") else None)
    if not yes_or_no(intercept, "intercept") and (table["term"] != _INTERCEPT).any():
        table = table[table["term"] != _INTERCEPT].reset_index(drop=True)
    if yes_or_no(data, "data"):
        return table
    terms = list(dict.fromkeys(table["term"]))
    labels = abridged(terms, _LONGEST)
    row = 0.17 if len(terms) > NAMED else 0.22 + 0.1 * len(records)
    ax = one_axes(ax, (5.2 + room(labels), max(1.6, 1.2 + row * len(terms))))
    ax.axvline(0.0, color=INK, linewidth=0.7, zorder=1)
    for k, name in enumerate(called):
        _model(ax, table[table["model"] == name], terms, k, len(records), name)
    ax.set_yticks(np.arange(len(terms)), labels[::-1])
    ax.tick_params(axis="y", length=0.0)
    ax.set_ylim(-0.6, len(terms) - 0.4)
    ax.grid(axis="x")
    ax.locator_params(axis="x", nbins=7)
    means = ", ".join(f"{name} {rounded(mean)}" for name, mean in at.items())
    ax.set_xlabel(_measure(records) + (f"\nother effects at the mean, {means}" if at else ""))
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


def _table(
    records: list[Record], called: list[str], level: float, ddf: str | None, at: dict[str, float] | None
) -> pd.DataFrame:
    """Estimates and intervals; those at means of covariates, which are entered into ``at``, unless that is None."""
    import pandas as pd

    parts = []
    for record, name in zip(records, called, strict=True):
        L, means = centring(record) if at is not None else (None, {})
        fixed = printed(record, ddf, level).fixed if not means else _at_means(record, L, ddf, level)
        parts.append(fixed[_SHOWN].rename_axis("term").reset_index().assign(model=name))
        if at is not None:
            at |= means
    table = pd.concat(parts, ignore_index=True)
    return table[["model", "term", *_SHOWN]]


def _at_means(record: Record, L: Any, ddf: str | None, level: float) -> pd.DataFrame:
    """The combinations L of the fixed effects, with intervals as in the summary."""
    check_level(level)
    if isinstance(record, GeneralisedFitted):
        to: Reference = normal_reference(record, "hessian")
    else:
        assert isinstance(record, Fitted)
        to = reference(record, ddf or ("satterthwaite" if is_cheap(record) else "none"))
    table = t_table(to, L, 0.0, list(record.fixed_names))
    half = t_quantile(level, table["df"].to_numpy()) * table["se"]
    return table.assign(lower=table["estimate"] - half, upper=table["estimate"] + half)


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
