"""Shares of the variance as a picture: fixed effects, random terms, residual."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.fitted.record import Fitted
from mme.plot.style import BLUE, GREY, INK, one_axes
from mme.plot.words import response_of
from mme.results.shares import variance_shares
from mme.tables.arguments import yes_or_no


def variance(fit: Fitted, *, data: bool = False, ax: Any = None) -> Any:
    """Shares of the variance: fixed effects, each random term, residual.

    Parameters
    ----------
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``
    """
    table = variance_shares(fit)
    if yes_or_no(data, "data"):
        return table
    ax = one_axes(ax, (5.2, 0.38 * len(table) + 1.1))
    at = np.arange(len(table))[::-1]
    colours = [INK, *[BLUE] * (len(table) - 2), GREY]
    ax.barh(at, table["share"], height=0.62, color=colours)
    for y, share, value in zip(at.tolist(), table["share"], table["variance"], strict=True):
        text = "not determined" if np.isnan(share) else f"{100 * share:.1f}%   ({value:.4g})"
        ax.text(np.nan_to_num(share) + 0.01, y, text, va="center", fontsize=8.5)
    ax.set_yticks(at, table.index)
    ax.tick_params(axis="y", length=0.0)
    most = float(table["share"].max())
    ax.set_xlim(0.0, 1.3 * most + 0.02)
    ax.set_xticks([tick for tick in ax.get_xticks() if tick <= max(most, 0.1) + 1e-9])
    ax.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f}%")
    ax.set_xlabel(f"share of the variance of {response_of(fit)}  (variance)")
    fixed, residual = table["share"].iloc[0], table["share"].iloc[-1]
    ax.set_title(f"R² {100 * fixed:.1f}% fixed effects, {100 * (1.0 - residual):.1f}% with random ones")
    return ax
