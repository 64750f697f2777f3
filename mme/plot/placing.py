"""Where the points, lines and records of an effect stand: numbers along x, levels of a factor side by side."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.plot.effects_table import Effect
from mme.plot.pictured import Pictured
from mme.plot.style import MARKS, NAMED, SERIES, spread, whole_numbers
from mme.plot.words import abridged, room
from mme.tables import dates

if TYPE_CHECKING:
    import pandas as pd

# The share of the room of a level that its points fill, and its records.
_FILLED, _JITTER = 0.6, 0.32
# Names of levels in a panel of several, at most.
_FEW = 6
# Characters of the name of a level beside an axis.
_LONGEST = 40


def spelt(value: Any) -> str:
    """A level as a person writes it.

    Examples
    --------
    >>> spelt(2.0), spelt("b"), spelt(0.25)
    ('2', 'b', '0.25')
    """
    return f"{value:.6g}" if isinstance(value, (int, float)) and not isinstance(value, bool) else str(value)


@dataclass(frozen=True, eq=False)
class Placing:
    """How an effect lies on its axes.

    ``upright``: means go up, and not to the right; ``joined``: means of levels have a line.
    """

    seen: Pictured
    found: Effect
    upright: bool
    joined: bool = False

    @cached_property
    def levels(self) -> list[Any]:
        """Levels of a factor, in their order; those of a picture that lies on its side go down."""
        return list(self.found.table[self.found.x].unique())

    @property
    def height(self) -> float:
        """Inches of a picture of one panel: a line for each name of a level that lies on its side."""
        return 4.2 if self.upright else max(2.4, 1.3 + 0.17 * min(len(self.levels), NAMED))

    @cached_property
    def names(self) -> list[str]:
        """Names of the levels beside the axis."""
        return abridged([spelt(level) for level in self.levels], _LONGEST)

    @property
    def width(self) -> float:
        """Inches of a picture of one panel."""
        return 5.6 if self.upright else 4.8 + room(self.names)

    def _where(self, x: np.ndarray) -> np.ndarray:
        """Values of x as coordinates."""
        if not self.found.is_factor:
            return np.asarray(x, dtype=float)
        place = {level: k for k, level in enumerate(self.levels)}
        at = np.array([place.get(value, np.nan) for value in x.tolist()], dtype=float)
        return at if self.upright else len(self.levels) - 1.0 - at

    def _dodged(self, at: np.ndarray, k: int, of: int) -> np.ndarray:
        return at + _FILLED * ((k + 0.5) / of - 0.5) * (1.0 if self.upright else -1.0)

    def records(self, ax: Any, x: np.ndarray, y: np.ndarray, colour: str, k: int, of: int) -> None:
        """Records behind, those of a level spread out."""
        rng = np.random.default_rng(0)
        at = self._where(x)
        if self.found.is_factor:
            at = self._dodged(at, k, of) + _JITTER / of * rng.uniform(-1.0, 1.0, at.size)
        values = np.unique(y)
        if values.size == 2 and (values == [0.0, 1.0]).all():  # events
            y = y + 0.025 * rng.uniform(-1.0, 1.0, y.size)
        size = float(np.interp(y.size, [50, 3000], [14.0, 4.0]))
        faint = float(np.interp(np.log10(max(y.size, 1)), [1.5, 3.5], [0.45, 0.2]))
        pair = (at, y) if self.upright else (y, at)
        ax.scatter(*pair, s=size, color=colour, alpha=faint, linewidth=0.0, zorder=1, rasterized=y.size > 1000)

    def line(self, ax: Any, table: pd.DataFrame, label: str | None, k: int, of: int) -> None:
        """Means with intervals: a line with a band, or points with bars."""
        at, colour = self._where(table[self.found.x].to_numpy()), SERIES[k]
        mean, low, high = (table[name].to_numpy() for name in ("mean", "lower", "upper"))
        if not self.found.is_factor:
            ax.fill_between(at, low, high, color=colour, alpha=0.18, linewidth=0.0, zorder=2)
            ax.plot(
                at, mean, color=colour, linewidth=1.8, linestyle=("-", "--", "-.", ":")[k % 4], zorder=4, label=label
            )
            return
        at = self._dodged(at, k, of)
        draw = ax.vlines if self.upright else ax.hlines
        width, size = (float(np.interp(len(self.levels) * of, [8, 100], ends)) for ends in ([1.8, 0.8], [34.0, 8.0]))
        draw(at, low, high, color=colour, linewidth=width, zorder=3)
        pair = (at, mean) if self.upright else (mean, at)
        if self.joined:
            ax.plot(*pair, color=colour, linewidth=1.0, linestyle=("-", "--", "-.", ":")[k % 4], zorder=2)
        marks = {"s": size, "color": colour, "marker": MARKS[k % len(MARKS)], "linewidth": 0.0, "zorder": 4}
        ax.scatter(*pair, label=label, **marks)
        for place in at[np.isnan(mean)].tolist():
            self._without_mean(ax, place, colour)

    def _without_mean(self, ax: Any, at: float, colour: str) -> None:
        """A level that no data estimate is named, in the place of its mean."""
        place = (at, 0.01) if self.upright else (0.99, at)
        across = ax.get_xaxis_transform() if self.upright else ax.get_yaxis_transform()
        sides = {"ha": "center", "va": "bottom"} if self.upright else {"ha": "right", "va": "center"}
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}
        ax.text(*place, "not estimable", transform=across, color=colour, fontsize=7.5, zorder=5, bbox=box, **sides)

    def ticks(self, ax: Any, *, many: bool) -> None:
        """Names of the levels, or whole numbers where values are whole."""
        if self.found.is_factor:
            self._names(ax, many)
        else:
            whole_numbers(ax.xaxis, self.seen.numbers(self.found.x))
            if self._is_date():
                _dates(ax)
        ax.grid(axis="y" if self.upright else "x")

    def _names(self, ax: Any, many: bool) -> None:
        count = len(self.levels)
        most = _FEW if many else NAMED
        chosen = spread(count, most)
        at = chosen if self.upright else count - 1 - chosen
        names = [self.names[k] for k in chosen.tolist()]
        axis = ax.xaxis if self.upright else ax.yaxis
        axis.set_ticks(at, names)
        axis.set_tick_params(length=0.0)
        (ax.set_xlim if self.upright else ax.set_ylim)(-0.6, count - 0.4)

    def _is_date(self) -> bool:
        frame, name = self.seen.frame, self.found.x
        if frame is None or name not in frame:
            return False
        column = frame.raw(name)
        return getattr(getattr(column, "dtype", None), "kind", "") == "M" or dates.is_moment(next(iter(column), None))


def _dates(ax: Any) -> None:
    from matplotlib import dates as ticks

    locator_of: Any = ticks.AutoDateLocator  # matplotlib does not type it
    formatter_of: Any = ticks.ConciseDateFormatter
    locator = locator_of()
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(formatter_of(locator))
