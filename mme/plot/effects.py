"""Pictures of fixed effects: the mean of the response over one variable, by others, with the records behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.formula.parser import parse_expression
from mme.formula.syntax import names_in
from mme.plot.effects_table import Effect, effect
from mme.plot.pictured import Pictured
from mme.plot.placing import Placing, spelt
from mme.plot.style import GREY, POINTS, SERIES, axes_of_panels, hide_between, legend_above, named_handles, spread
from mme.plot.words import response_of
from mme.tables.arguments import yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Lines of one panel, told apart by colour; and panels.
_COLOURS, _PANELS = len(SERIES), 24
# Levels that stand side by side below a picture; and characters of their names.
_ABREAST, _CHARACTERS = 12, 60


def effects(
    seen: Pictured,
    x: str,
    by: str | Sequence[str] = (),
    *,
    at: Mapping[str, Any] | None = None,
    scale: str | None = None,
    level: float = 0.95,
    ddf: str = "satterthwaite",
    records: bool = True,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """The mean of the response over a variable of the fixed part, with intervals, and the records behind.

    Means are those of ``fit.means()``: averaged over the levels of the other factors, covariates at their means, random
    effects of zero. A number has a line with a band, a factor points with intervals; a column of two numbers counts as
    a factor.

    Parameters
    ----------
    x : str
        A factor, or a covariate.
    by : str or two of them, optional
        Variables that lines differ by: the first by colour (beyond seven levels by panels), the second by panels. A
        covariate is at its mean and one standard deviation from it, unless ``at`` says where.
    at : mapping, optional
        Where covariates are, as in ``fit.means()``.
    scale : str, optional
        ``"link"`` (the scale of the model) or ``"response"``; None: the response's of a generalised fit, the model's of
        a linear one, where ``"response"`` undoes log(y) and its like.
    level : float
        Coverage of the intervals.
    ddf : str
        Degrees of freedom of a linear fit, as in ``fit.coefficients()``.
    records : bool
        Whether to draw the records behind, where the fit has its table; of more than 3000 an even choice is drawn.
    data : bool
        Return the table of means and intervals that would be drawn.

    Returns
    -------
    Axes, for several panels an array of them; a DataFrame for ``data=True``
    """
    found = effect(seen, x, by, at, scale, level, ddf)
    if yes_or_no(data, "data"):
        return found.table
    return _drawn(seen, found, level, records=yes_or_no(records, "records"), joined=False, ax=ax)


def interaction(
    seen: Pictured,
    x: str,
    by: str,
    *,
    at: Mapping[str, Any] | None = None,
    scale: str | None = None,
    level: float = 0.95,
    ddf: str = "satterthwaite",
    records: bool = False,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """Means over x within the levels of another variable, joined by lines: parallel where the two do not interact.

    The parameters are those of ``effects``. With two covariates the lines run over the first, at the mean of the second
    and one standard deviation on either side.

    Returns
    -------
    Axes, for several panels an array of them; a DataFrame for ``data=True``
    """
    found = effect(seen, x, by, at, scale, level, ddf)
    if yes_or_no(data, "data"):
        return found.table
    return _drawn(seen, found, level, records=yes_or_no(records, "records"), joined=True, ax=ax)


def _drawn(seen: Pictured, found: Effect, level: float, *, records: bool, joined: bool, ax: Any) -> Any:
    behind = _Records(seen, found) if records else None
    colour, panels = _split(found)
    shown = _chosen(panels, found.table)
    places = Placing(seen, found, _upright(found), joined)
    axes = axes_of_panels(ax, len(shown), (places.width, places.height) if len(shown) == 1 else (2.6, 2.4))
    for here, part in zip(axes.ravel(), shown, strict=False):
        _panel(here, found, found.table[_are(found.table, part)], colour, places, behind, part)
    _describe(axes, seen, found, places, len(shown), level)
    return axes.ravel()[0] if len(shown) == 1 else axes


def _split(found: Effect) -> tuple[str | None, list[str]]:
    """What lines differ by in colour, and what panels differ by."""
    names = list(found.by)
    own = [name for name in names if name == "category"] or names
    if not own or found.table[own[0]].nunique() > _COLOURS:
        return None, names
    return own[0], [name for name in names if name != own[0]]


def _chosen(panels: list[str], table: pd.DataFrame) -> list[dict[str, Any]]:
    """The levels of each panel, an even choice of many."""
    if not panels:
        return [{}]
    each = table[panels].drop_duplicates().to_dict("records")
    return [each[k] for k in spread(len(each), _PANELS).tolist()]


def _are(table: pd.DataFrame, levels: Mapping[str, Any]) -> np.ndarray:
    mask = np.ones(len(table), dtype=bool)
    for name, value in levels.items():
        mask &= (table[name] == value).to_numpy()
    return mask


def _upright(found: Effect) -> bool:
    """Whether the levels of a factor are short enough to stand side by side; a covariate lies below in any case."""
    labels = [spelt(value) for value in found.table[found.x].unique()] if found.is_factor else []
    return len(labels) <= _ABREAST and sum(map(len, labels)) <= _CHARACTERS


class _Records:
    """The records, on the axes of an effect: where each is, and which levels of by it has."""

    def __init__(self, seen: Pictured, found: Effect) -> None:
        self.at: dict[str, np.ndarray] = {}
        self.y: np.ndarray | None = None
        categories = isinstance(seen.fit, GeneralisedFitted) and not seen.fit.family.has_intercept
        if categories or (isinstance(seen.fit, GeneralisedFitted) and not found.on_response):
            return
        for name in [found.x, *found.by]:
            node = seen.factor(name)
            values = seen.labels(node) if node is not None else seen.numbers(name)
            if values is not None and (node is not None or name == found.x or found.table[name].nunique() == 2):
                self.at[name] = values
        if found.x in self.at:
            self.y = seen.response if found.back is None else found.back.mean(seen.response)

    def of(self, levels: Mapping[str, Any]) -> np.ndarray:
        """Positions of the records at these levels; of all, where a level is a value of a covariate."""
        assert self.y is not None
        mask = np.ones(self.y.size, dtype=bool)
        for name, value in levels.items():
            mask &= self.at[name] == value if name in self.at else True
        rows = np.flatnonzero(mask)
        return rows[spread(rows.size, POINTS)]


def _panel(
    ax: Any,
    found: Effect,
    table: pd.DataFrame,
    colour: str | None,
    places: Placing,
    behind: _Records | None,
    part: Mapping[str, Any],
) -> None:
    levels = table[colour].unique().tolist() if colour is not None else [None]
    apart = colour is not None and behind is not None and colour in behind.at
    if behind is not None and behind.y is not None and not apart:
        rows = behind.of(part)
        places.records(ax, behind.at[found.x][rows], behind.y[rows], GREY, 0, 1)
    for k, value in enumerate(levels):
        lines = table if colour is None else table[(table[colour] == value).to_numpy()]
        own = part if colour is None else {**part, colour: value}
        if apart and behind is not None and behind.y is not None:
            rows = behind.of(own)
            places.records(ax, behind.at[found.x][rows], behind.y[rows], SERIES[k], k, len(levels))
        places.line(ax, lines, None if colour is None else spelt(value), k, len(levels))
    if part:
        ax.set_title(", ".join(f"{name} {spelt(value)}" for name, value in part.items()), fontsize=8.5)


def _describe(axes: np.ndarray, seen: Pictured, found: Effect, places: Placing, count: int, level: float) -> None:
    """Names of axes, a legend, and a title that says what the band is."""
    first = axes.ravel()[0]
    for here in axes.ravel()[:count]:
        places.ticks(here, many=count > 1)
    y, title = _response(seen, found), f"{found.x} on {response_of(seen.fit)}: mean with {100 * level:g}% interval"
    across, up = (found.x, y) if places.upright else (y, found.x)
    if count == 1:
        first.set_xlabel(across)
        first.set_ylabel(up)
        has_legend = bool(first.get_legend_handles_labels()[1])
        rows = legend_above(first, name=_split(found)[0] or "") if has_legend else 0
        first.set_title(title, pad=6 + 13 * rows)
        return
    hide_between(axes, count)
    figure = first.figure
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9.5)
    handles, names = named_handles(first, _split(found)[0] or "")
    if names:
        figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8.5)


def _response(seen: Pictured, found: Effect) -> str:
    fit, name = seen.fit, response_of(seen.fit)
    if isinstance(fit, GeneralisedFitted):
        if not fit.family.has_intercept:
            return f"probability of a category of {name}" if found.on_response else f"linear predictor of {name}"
        share = fit.family.name == "binomial"
        return (
            f"{'probability of' if share else 'mean of'} {name}"
            if found.on_response
            else f"{fit.family.link} of {name}"
        )
    return f"{_inside(seen)}  (back from {name})" if found.on_response else name


def _inside(seen: Pictured) -> str:
    """The column that a transformed response is made of."""
    names = sorted(names_in(parse_expression(seen.fit.specification.response)))
    return names[0] if names else response_of(seen.fit)
