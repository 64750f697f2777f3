"""A map of a field: what a fit says of each plot, where the plot lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.residuals import kind_at_hand, scaled_residuals
from mme.errors import MMEError
from mme.fitted.effects import Effects, named_effects
from mme.fitted.record import Fitted
from mme.plot.pictured import Pictured
from mme.plot.places import PlotPlaces, places_of
from mme.plot.shades import diverging, limit, sequential
from mme.plot.style import axes_of_panels, hide_between, matplotlib
from mme.tables.arguments import yes_or_no
from mme.tables.arrays import shown

if TYPE_CHECKING:
    import pandas as pd

_KINDS = ("residuals", "scaled", "fitted", "response")
# Inches of a panel.
_PANEL = 3.9, 3.6


def field_map(
    seen: Pictured,
    row: Any,
    col: Any,
    *,
    show: str = "residuals",
    by: Any = None,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """A map of a trial: one cell per plot, coloured by what the fit says of it; plots without a record are left blank.

    Parameters
    ----------
    row, col : str or (n,) array
        Columns of the table, or values at the records that were used: where each plot lies, down and across.
    show : str
        ``"residuals"``: response less fitted value; ``"scaled"``: these without their correlation, in standard
        deviations; ``"fitted"``; ``"response"``; or a grouping factor or term, whose BLUP every plot then has.
    by : str or (n,) array, optional
        What tells separate fields apart: each has a panel, all have common colours.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes, for several panels an array of them; a DataFrame for ``data=True``: ``field, row, col, value``
    """
    fit = seen.fit
    assert isinstance(fit, Fitted)
    places = places_of(seen, (row, col), by)
    value, words, signed = _shown(fit, show)
    if yes_or_no(data, "data"):
        return _table(places, value)
    matplotlib()
    top = limit(value) if signed else (float(np.nanmin(value)), float(np.nanmax(value)))
    low, high = (-top, top) if isinstance(top, float) else top
    colours = {"cmap": diverging() if signed else sequential(), "vmin": low, "vmax": high}
    axes = axes_of_panels(ax, len(places.fields), _PANEL)
    for here, name, at in zip(axes.ravel(), places.fields, places.members, strict=False):
        image = _draw(here, [one[at] for one in places.numbers], value[at], colours)
        here.set_xlabel(places.names[1])
        here.set_ylabel(places.names[0])
        here.set_title(words if len(places.fields) == 1 else str(name))
    drawn = axes.ravel()[: len(places.fields)]
    if drawn.size > 1:
        hide_between(axes, drawn.size)
    drawn[0].figure.colorbar(image, ax=drawn.tolist(), shrink=0.85, label=words)
    return drawn[0] if drawn.size == 1 else drawn


def _draw(ax: Any, at: Sequence[np.ndarray], value: np.ndarray, colours: dict[str, Any]) -> Any:
    """The cells of one field; rows count from the top, as on paper."""
    rows, cols = (np.arange(np.floor(one.min()), np.ceil(one.max()) + 1) for one in at)
    cells = np.full((rows.size, cols.size), np.nan)
    total, count = np.zeros(cells.shape), np.zeros(cells.shape)
    place = tuple(np.rint(one - first[0]).astype(np.int64) for one, first in zip(at, (rows, cols), strict=True))
    np.add.at(total, place, value)
    np.add.at(count, place, 1.0)
    np.divide(total, count, out=cells, where=count > 0.0)
    image = ax.imshow(
        np.ma.masked_invalid(cells),
        extent=(cols[0] - 0.5, cols[-1] + 0.5, rows[-1] + 0.5, rows[0] - 0.5),
        aspect="auto",
        interpolation="nearest",
        **colours,
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.get_major_locator().set_params(integer=True)
    return image


def _shown(fit: Fitted, show: str) -> tuple[np.ndarray, str, bool]:
    """The value of each record, what it is, and whether it lies about zero."""
    if not isinstance(show, str):
        raise MMEError(f"show must be one of {', '.join(map(repr, _KINDS))}, or a grouping factor; got {shown(show)}")
    response = fit.model.response
    if show == "residuals":
        return fit.model.y - fit.estimates.fitted, f"residual of {response}", True
    if show == "scaled":
        return (
            fit.rows.used(np.asarray(scaled_residuals(fit, kind_at_hand(fit)))),
            f"scaled residual of {response}",
            True,
        )
    if show == "fitted":
        return fit.estimates.fitted, f"fitted {response}", False
    if show == "response":
        return fit.model.y, response, False
    one = named_effects(fit.model, show)
    return _effects_of_records(fit, one), f"BLUP of {one.name}", True


def _effects_of_records(fit: Fitted, one: Effects) -> np.ndarray:
    """What the effects add to each record (n,)."""
    value = np.zeros(fit.model.n)
    for t in one.terms:
        value += fit.model.terms[t].Z @ fit.estimates.effects[t].ravel()
    return value


def _table(places: PlotPlaces, value: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, np.ndarray] = dict(zip(places.names, places.values, strict=True))
    if len(places.fields) > 1:
        columns = {places.called: places.labels, **columns}
    return pd.DataFrame({**columns, "value": value})
