"""Shrinkage: from each level's own estimate towards the common one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import Effects
from mme.plot.centred import lines_at_means
from mme.plot.style import (
    BLUE,
    GREY,
    INK,
    LINES,
    NAMED,
    POINTS,
    VERMILION,
    central,
    drawn_effects,
    legend_above,
    one_axes,
    spread,
    whole_numbers,
)
from mme.plot.words import abridged, response_of, room, units
from mme.results.shrinkage import shrinkage_table
from mme.tables.arguments import yes_or_no
from mme.tables.frame import labels_of

if TYPE_CHECKING:
    from mme.fitted.record import Fitted

# Radii of the ellipses that hold half and 95% of a bivariate normal distribution, sqrt(-2 log(1 - share)).
_RADII = {"50%": 1.1774, "95%": 2.4477}
# Share of the levels that the axes show where there are many: own estimates of levels with few records lie anywhere.
_SEEN = 0.98
# Width of a character and height of a line of the names of levels, in points.
_WIDE, _HIGH = 4.2, 8.0
# Of many levels arrows are means over cells of the plane, across and up, that hold at least so many.
_CELLS, _LEAST = np.array([13, 11]), 3


@dataclass(frozen=True, eq=False)
class _Levels:
    """Estimates (J, 2) or (J,) of every level without and with pooling, and the common one."""

    term: Effects
    response: str
    own: np.ndarray
    partial: np.ndarray
    pooled: np.ndarray

    @property
    def many(self) -> bool:
        """Whether not every level can be drawn."""
        return self.term.n_levels > LINES

    @property
    def labels(self) -> list[str]:
        """Names of the levels."""
        return abridged(labels_of(self.term.levels))

    def size(self, ends: tuple[float, float]) -> float:
        """A size that falls from ten levels to many."""
        return float(np.interp(np.log10(self.term.n_levels), [1.0, 3.0], ends))


def shrinkage(
    fit: Fitted,
    term: str | None = None,
    *,
    coefficients: tuple[str, str] | None = None,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """Arrows from each level's own estimate (no pooling) to fixed effect + BLUP (partial pooling).

    Several coefficients are drawn in the plane of two of them, with the ellipses that hold 50% and 95% of
    the levels under the estimated prior; a single one on a line, levels sorted by their own estimate. Beyond 60
    levels the axes show 98% of them. Beyond 400 arrows are the field of all levels, means over cells of the plane, and
    beyond 3000 points are an even choice from the middle to the outermost; a note in the picture says so. Beside slopes
    over a covariate that is far from zero, such as a calendar year, intercepts are drawn at its mean.

    Parameters
    ----------
    term : str, optional
        A grouping factor, or one of its terms; None: the first factor.
    coefficients : pair of str, optional
        The two to draw; None: the first two.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    Axes; a DataFrame for ``data=True``, that of ``fit.shrinkage()``
    """
    one = drawn_effects(fit, term)
    table = shrinkage_table(fit.estimates, one)
    if yes_or_no(data, "data"):
        return table
    shape = (one.n_levels, one.q)
    own, partial, pooled = (table[name].to_numpy().reshape(shape) for name in _COLUMNS)
    if one.q == 1:
        return _on_a_line(_Levels(one, response_of(fit), own[:, 0], partial[:, 0], pooled[0]), ax)
    pair = _pair(one, coefficients)
    T, names = lines_at_means(fit, one)
    own, partial, pooled = ((values @ T.T)[:, pair] for values in (own, partial, pooled))
    levels = _Levels(one, response_of(fit), own, partial, pooled[0])
    ax = one_axes(ax, (5.8, 5.4))
    _in_the_plane(levels, ax)
    G = T @ one.together([part.cov for part in fit.varcorr.values()]) @ T.T
    _ellipses(ax, levels.pooled, G[np.ix_(pair, pair)])
    if one.n_levels <= NAMED // 2:
        _label(ax, levels.labels, levels.own)
    _describe_plane(levels, [names[i] for i in pair], ax)
    return ax


_COLUMNS = ("no_pooling", "partial_pooling", "pooled")


def _pair(term: Effects, coefficients: tuple[str, str] | None) -> list[int]:
    if coefficients is None:
        return [0, 1]
    if len(coefficients) != 2 or any(name not in term.columns for name in coefficients):
        raise MMEError(f"coefficients are two of {', '.join(map(repr, term.columns))}; got {coefficients!r}")
    return [term.columns.index(name) for name in coefficients]


def _on_a_line(levels: _Levels, ax: Any) -> Any:
    term, named = levels.term, levels.term.n_levels <= NAMED
    wide = 5.4 + (room(levels.labels) if named else 0.0)
    ax = one_axes(ax, (wide, max(0.17 * term.n_levels + 1.3, 2.4) if named else 4.8))
    order, at = np.argsort(levels.own, kind="stable"), spread(term.n_levels, POINTS)
    own, partial = levels.own[order[at]], levels.partial[order[at]]
    size, many = levels.size((20.0, 3.0)), levels.many
    ax.hlines(at, own, partial, color=GREY, linewidth=levels.size((1.0, 0.3)), rasterized=many, zorder=1)
    style = {"s": size, "rasterized": many, "zorder": 3}
    face = VERMILION if many else "white"
    ax.scatter(own, at, facecolor=face, edgecolor=VERMILION, linewidth=0.0 if many else 0.8, label=_OWN, **style)
    ax.scatter(partial, at, color=BLUE, linewidth=0.0, label=_PARTIAL, **style)
    ax.axvline(levels.pooled[0], color=INK, linewidth=0.9, linestyle="--", zorder=2, label=_POOLED)
    ax.set_yticks(at if named else [], np.array(levels.labels, dtype=object)[order] if named else [])
    ax.tick_params(axis="y", length=0.0)
    ax.set_ylabel(term.group if named else f"{term.n_levels:,} levels of {term.group}, sorted")
    margin = 0.01 * term.n_levels
    ax.set_ylim(-0.6 - margin, term.n_levels - 0.4 + margin)
    if many:
        ax.set_xlim(*central(np.append(own, levels.pooled), _SEEN))
    _note(ax, [f"{at.size:,} of {term.n_levels:,} levels"] if at.size < term.n_levels else [])
    ax.grid(axis="x")
    whole_numbers(ax.xaxis, None)
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlabel(f"{term.columns[0]}  ({units(levels.response, term.columns[0])})")
    ax.set_title(f"Shrinkage by {term.name}", pad=18)
    legend_above(ax)
    return ax


_OWN, _PARTIAL, _POOLED = "no pooling", "partial pooling (BLUP)", "complete pooling"


def _in_the_plane(levels: _Levels, ax: Any) -> None:
    many, order = levels.many, _outwards(levels.own)
    drawn = np.sort(order[spread(order.size, POINTS)])
    own, partial = levels.own[drawn], levels.partial[drawn]
    marks = {"s": levels.size((18.0, 3.0)), "rasterized": many}
    hollow = {"facecolor": VERMILION if many else "white", "linewidth": 0.0 if many else 0.8}
    ax.scatter(*own.T, edgecolor=VERMILION, alpha=0.3 if many else 1.0, zorder=1, label=_OWN, **hollow, **marks)
    ax.scatter(*partial.T, color=BLUE, linewidth=0.0, alpha=0.3 if many else 1.0, zorder=2, label=_PARTIAL, **marks)
    start, move = _field(levels) if many else (levels.own, levels.partial - levels.own)
    arrows = {"scale_units": "xy", "angles": "xy", "scale": 1.0, "color": INK if many else GREY, "zorder": 3}
    arrows["alpha"] = float(np.interp(levels.term.n_levels, [NAMED, 3 * NAMED], [1.0, 0.45])) if not many else 1.0
    shape = {"width": levels.size((0.0035, 0.0015)), "headwidth": 5.0, "headlength": 6.0, "headaxislength": 5.5}
    ax.quiver(*start.T, *move.T, **arrows, **shape)
    pooled = {"marker": "P", "color": INK, "edgecolor": "white", "linewidth": 0.8, "zorder": 6}
    ax.scatter(*levels.pooled[:, None], s=80.0, label=_POOLED, **pooled)


def _field(levels: _Levels) -> tuple[np.ndarray, np.ndarray]:
    """Means (cells, 2) of the own estimates of all levels in cells of the plane, and how far they are drawn."""
    own, move = levels.own, levels.partial - levels.own
    limits = np.array([central(own[:, i], _SEEN) for i in (0, 1)])
    place = np.floor((own - limits[:, 0]) / np.ptp(limits, axis=1) * _CELLS).astype(np.int64)
    inside = ((place >= 0) & (place < _CELLS)).all(axis=1)
    cell = place[inside] @ np.array([1, _CELLS[0]])
    count = np.bincount(cell, minlength=int(np.prod(_CELLS)))
    filled = count >= _LEAST
    sums = [np.bincount(cell, one, minlength=count.size)[filled] for one in (*own[inside].T, *move[inside].T)]
    means = np.array(sums).T / count[filled, None]
    return means[:, :2], means[:, 2:]


def _label(ax: Any, labels: list[str], points: np.ndarray) -> None:
    """Names beside points (J, 2), from the outermost; one that would lie on another is left out."""
    ends = np.array([ax.get_xlim(), ax.get_ylim()])
    at = (points - ends[:, 0]) / np.ptp(ends, axis=1) * 0.78 * 72.0 * ax.figure.get_size_inches()  # points of print
    taken: list[tuple[float, float, float]] = []
    for k in _outwards(points)[::-1].tolist():
        x, y, wide = float(at[k, 0]), float(at[k, 1]), _WIDE * len(labels[k])
        if all(x > x0 + w0 or x0 > x + wide or abs(y - y0) > _HIGH for x0, y0, w0 in taken):
            taken.append((x, y, wide))
            ax.annotate(labels[k], points[k], (4, 3), textcoords="offset points", fontsize=6.5, color=GREY, zorder=5)


def _outwards(points: np.ndarray) -> np.ndarray:
    """Positions of points (J, 2) from the middle to the outermost."""
    distance = np.linalg.norm((points - points.mean(axis=0)) / np.maximum(points.std(axis=0), 1e-300), axis=1)
    return np.argsort(distance, kind="stable")


_LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85}


def _ellipses(ax: Any, centre: np.ndarray, G: np.ndarray) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 181)
    values, vectors = np.linalg.eigh(G)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    for share, radius in _RADII.items():
        points = centre[:, None] + radius * root @ np.array([np.cos(angle), np.sin(angle)])
        ax.plot(*points, color=INK, linewidth=0.8, linestyle=":", zorder=5)
        ax.text(*points[:, np.argmax(points[1])], share, ha="center", va="center", fontsize=7, zorder=7, bbox=_LABEL)


def _describe_plane(levels: _Levels, names: list[str], ax: Any) -> None:
    count = levels.term.n_levels
    notes = [f"points: {POINTS:,} of {count:,} levels"] if count > POINTS else []
    notes += [f"arrows: means of all {count:,} levels by cell"] if levels.many else []
    if count > NAMED:
        limits = np.array([central(np.append(levels.own[:, i], levels.partial[:, i]), _SEEN) for i in (0, 1)])
        ax.set_xlim(*limits[0])
        ax.set_ylim(*limits[1])
        beyond = int(((levels.own < limits[:, 0]) | (levels.own > limits[:, 1])).any(axis=1).sum())
        notes += [f"{beyond:,} own estimates beyond the axes"] if beyond else []
    ax.set_xlabel(f"{names[0]}  ({units(levels.response, names[0])})")
    ax.set_ylabel(f"{names[1]}  ({units(levels.response, names[1])})")
    ax.set_title(f"Shrinkage by {levels.term.name}", pad=18)
    _note(ax, notes)
    legend_above(ax)


def _note(ax: Any, lines: list[str]) -> None:
    """What the picture leaves out, in its corner."""
    if lines:
        place = {"transform": ax.transAxes, "ha": "right", "va": "bottom", "fontsize": 7.5, "zorder": 7}
        ax.text(0.99, 0.01, "\n".join(lines), bbox=_LABEL, **place)
