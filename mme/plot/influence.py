"""What each group does to the fixed effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mme.diagnosis.influence import cooks_distance
from mme.diagnosis.working import generalised_cooks_distance
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.plot.style import BLUE, GREY, VERMILION, drawn_effects, one_axes
from mme.plot.words import abridged
from mme.tables.arguments import yes_or_no
from mme.tables.frame import labels_of

if TYPE_CHECKING:
    import pandas as pd

# Levels whose names stand beside their distances.
_NAMED = 3
# How a name above its point is aligned in the first, the middle and the last third, so that it ends on the axes.
_SIDES = ("left", "center", "right")


def influence(fit: Record, term: str | None = None, *, data: bool = False, ax: Any = None) -> Any:
    """Cook's distance of every level of a grouping factor: how far the fixed effects move when it leaves.

    The three greatest are named.

    Parameters
    ----------
    term : str, optional
        A grouping factor; None: the first.
    data : bool
        Return the distances, one row per level.

    Returns
    -------
    Axes; a DataFrame for ``data=True``
    """
    one = drawn_effects(fit, term)
    distance = _distances(fit, one.group)
    if yes_or_no(data, "data"):
        return distance.to_frame()
    ax = one_axes(ax, (5.4, 3.9))
    values = distance.to_numpy()
    at, top = np.arange(values.size), np.argsort(-np.nan_to_num(values), kind="stable")[:_NAMED]
    ax.vlines(at, 0.0, values, color=GREY, linewidth=float(np.interp(values.size, [20, 400], [1.6, 0.5])), zorder=1)
    ax.scatter(at, values, s=float(np.interp(values.size, [20, 400], [16.0, 4.0])), color=BLUE, linewidth=0.0, zorder=2)
    ax.scatter(at[top], values[top], s=16.0, color=VERMILION, linewidth=0.0, zorder=3)
    _name(ax, values, top.tolist(), abridged(labels_of(distance.index.to_numpy())))
    ax.set_xlabel(f"{values.size:,} levels of {one.group}")
    ax.set_xticks([])
    ax.set_ylim(0.0, None)
    ax.set_ylabel("Cook's distance")
    ax.set_title(f"Influence of {one.group}", pad=6)
    return ax


def _name(ax: Any, values: np.ndarray, top: list[int], labels: list[str]) -> None:
    """Names beside the greatest."""
    shifts = {"left": (5, 0), "right": (-5, 0), "center": (0, 8)}
    for k, (side, *_) in zip(top, place_names(values, top, [labels[k] for k in top]), strict=True):
        towards = side if side != "center" else _SIDES[3 * k // values.size]
        style = {"textcoords": "offset points", "ha": towards, "va": "center", "fontsize": 7.5}
        ax.annotate(labels[k], (k, values[k]), shifts[side], in_layout=False, **style)


def place_names(values: np.ndarray, top: list[int], labels: list[str]) -> list[tuple[str, float, float, float]]:
    """How each name is aligned, and its start, end and height: on the side where no other is, else above its point."""
    wide, high = 0.017 * values.size, 0.035 * float(np.nanmax(values, initial=0.0))  # of a character, on these axes
    gap = 0.015 * values.size
    taken = [(k - 0.01 * values.size, k + 0.01 * values.size, float(values[k])) for k in top]
    found: list[tuple[str, float, float, float]] = []
    for k, label in zip(top, labels, strict=True):
        length = wide * (len(label) + 1)
        sides = {"left": (k + gap, k + length), "right": (k - length, k - gap)}
        first = ("right", "left") if k > 0.6 * (values.size - 1) else ("left", "right")
        inside = [side for side in first if sides[side][1] <= 1.05 * values.size or side == "right"]
        free = [side for side in inside if _is_free(*sides[side], values[k], taken, high)]
        side = free[0] if free else "center"
        start, end = sides.get(side, (k - 0.5 * length, k + 0.5 * length))
        found.append((side, start, end, float(values[k]) + (0.0 if free else 1.5 * high)))
        taken.append(found[-1][1:])
    return found


def _is_free(start: float, end: float, y: float, taken: list[tuple[float, float, float]], high: float) -> bool:
    return all(end < a or b < start or abs(y - at) > high for a, b, at in taken)


def _distances(fit: Record, group: str) -> pd.Series:
    """Cook's distance by level."""
    if isinstance(fit, GeneralisedFitted):
        found: pd.Series = generalised_cooks_distance(fit, group)
        return found
    assert isinstance(fit, Fitted)
    found = cooks_distance(fit, group)
    return found
