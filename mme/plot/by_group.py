"""Residuals of each group: where a group's records lie off its own fit, and how far they spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.generalised_residuals import generalised_residuals as residuals_of
from mme.diagnosis.residuals import kind_at_hand, scaled_residuals
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.plot.style import BLUE, GREY, INK, LIGHT, NAMED, drawn_effects, one_axes
from mme.plot.words import abridged, room
from mme.tables.arguments import yes_or_no
from mme.tables.frame import labels_of

if TYPE_CHECKING:
    import pandas as pd

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def by_group(fit: Record, term: str | None = None, *, seed: int = 1, data: bool = False, ax: Any = None) -> Any:
    """Standardised residuals of every group as a box, groups sorted by their median (quantile residuals, generalised).

    A box holds the middle half of a group's residuals, its line reaches from the least to the greatest. With more than
    sixty groups the boxes become bands, and only the first and the last group are named.

    Parameters
    ----------
    term : str, optional
        A grouping factor; None: the first.
    seed : int
        Seed of the random numbers in quantile residuals.
    data : bool
        Return the table: ``n, least, lower, median, upper, greatest`` by group.

    Returns
    -------
    Axes; a DataFrame for ``data=True``
    """
    one = drawn_effects(fit, term)
    if isinstance(fit, GeneralisedFitted):
        r = fit.rows.used(np.asarray(residuals_of(fit, "quantile", seed)))
    else:
        assert isinstance(fit, Fitted)
        r = fit.rows.used(np.asarray(scaled_residuals(fit, kind_at_hand(fit))))
    table = _table(r, fit.model.terms[one.terms[0]].first_codes, one.levels, one.group)
    if yes_or_no(data, "data"):
        return table
    kind = "quantile" if isinstance(fit, GeneralisedFitted) else kind_at_hand(fit)
    return _drawn(table, one.group, f"{kind} residual", ax)


def _drawn(table: pd.DataFrame, group: str, measure: str, ax: Any) -> Any:
    count = len(table)
    named = count <= NAMED
    at = np.arange(count)
    chosen = at if named else np.array([0, count - 1])
    names = abridged([labels_of(table.index.to_numpy())[k] for k in chosen.tolist()])
    ax = one_axes(ax, (4.9 + room(names), max(0.17 * count + 1.3, 2.4) if named else 4.8))
    ax.axvline(0.0, color=INK, linewidth=0.7, zorder=1)
    if named:
        ax.hlines(at, table["least"], table["greatest"], color=GREY, linewidth=0.8, zorder=2)
        ax.hlines(at, table["lower"], table["upper"], color=BLUE, alpha=0.5, linewidth=5.0, zorder=3)
    else:
        ax.fill_betweenx(at, table["least"], table["greatest"], color=LIGHT, linewidth=0.0, zorder=1)
        ax.fill_betweenx(at, table["lower"], table["upper"], color=BLUE, alpha=0.35, linewidth=0.0, zorder=2)
    ax.scatter(
        table["median"], at, s=float(np.interp(count, [20, 400], [14.0, 3.0])), color=BLUE, linewidth=0.0, zorder=4
    )
    ax.set_yticks(chosen, names)
    ax.tick_params(axis="y", length=0.0)
    ax.set_ylabel(group if named else f"{count:,} levels of {group}, by their median")
    ax.set_ylim(-0.6 - 0.01 * count, count - 0.4 + 0.01 * count)
    ax.grid(axis="x")
    ax.set_xlabel(measure)
    ax.set_title(f"Residuals by {group}", pad=6)
    return ax


def _table(r: np.ndarray, codes: np.ndarray, levels: np.ndarray, name: str) -> pd.DataFrame:
    """Quantiles of the residuals of each level that has records, sorted by the median."""
    import pandas as pd

    used = np.isfinite(r) & (codes >= 0)
    groups = pd.Series(r[used]).groupby(codes[used])
    table = groups.quantile(list(_SHARES)).unstack()
    table.columns = pd.Index(["least", "lower", "median", "upper", "greatest"])
    table.insert(0, "n", groups.size())
    table.index = pd.Index(levels[table.index.to_numpy()], name=name)
    return table.sort_values("median", kind="stable")
