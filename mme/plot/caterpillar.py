"""The caterpillar: BLUPs with intervals, sorted."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.effects import Effects
from mme.plot.centred import lines_at_means
from mme.plot.style import (
    BLUE,
    GREY,
    INK,
    LIGHT,
    LINES,
    NAMED,
    drawn_effects,
    legend_above,
    row_of_axes,
)
from mme.plot.words import abridged, effect_words, room, units
from mme.tables.arguments import check_level, is_word, yes_or_no
from mme.tables.arrays import shown
from mme.tables.frame import labels_of

if TYPE_CHECKING:
    import pandas as pd

# Runs of neighbouring levels that a band of many intervals is drawn from.
_RUNS = 250


def caterpillar(
    fit: Record,
    term: str | None = None,
    *,
    level: float = 0.95,
    variance: str = "pev",
    sort: bool = True,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """BLUPs, or modes, of a grouping factor with intervals, sorted; one axes per coefficient.

    Intervals that leave zero out are blue and filled. With more than 60 levels only the first and last are named; with
    more than 400 the intervals become a band: their mean and range over runs of neighbours. Beside slopes over a
    covariate that is far from zero, such as a calendar year, intercepts are those at its mean, and the title says so.

    Parameters
    ----------
    term : str, optional
        A grouping factor, or one of its terms; None: the first factor.
    level : float
        Coverage of the intervals. The variances count as known: the quantile is the normal one, as in lme4.
    variance : str
        ``"pev"``: var(b_hat - b), the uncertainty of beta included; ``"condvar"``: var(b | y), lme4's.
    sort : bool
        Whether levels are sorted by their BLUP; otherwise they stand in their own order, from the top.
    data : bool
        Return the table behind the picture.
    ax : Axes or sequence of Axes, optional
        One for each coefficient.

    Returns
    -------
    (q,) array of Axes; a DataFrame for ``data=True``: level, coefficient, ``estimate, lower, upper``
    """
    if not is_word(variance, ("pev", "condvar")):
        raise MMEError(f"variance must be 'pev' or 'condvar', got {shown(variance)}")
    check_level(level)
    sort = yes_or_no(sort, "sort")
    one = drawn_effects(fit, term)
    T, names = lines_at_means(fit, one)
    b = one.beside(fit.estimates.b) @ T.T
    by_term = fit.estimates.pev if variance == "pev" else fit.estimates.condvar
    V = one.variances(
        [
            T @ by_term[t] @ T.T if t in one.terms and names != list(one.columns) else by_term[t]
            for t in range(len(by_term))
        ]
    )
    half = ndtri(0.5 + level / 2.0) * np.sqrt(np.maximum(V, 0.0))
    if yes_or_no(data, "data"):
        return _table(one, names, b, half)
    called, measure = effect_words(fit)
    height = max(0.17 * one.n_levels + 1.3, 2.4) if one.n_levels <= NAMED else 4.8
    axes = row_of_axes(ax, one.q, (4.3 + room(abridged(labels_of(one.levels))), height))
    for j, here in enumerate(axes):
        order = np.argsort(b[:, j], kind="stable") if sort else np.arange(one.n_levels)[::-1]
        here.axvline(0.0, color=INK, linewidth=0.7, zorder=4)
        (partial(_band, called=called) if one.n_levels > LINES else _lines)(here, b[order, j], half[order, j])
        _name_levels(here, one, order, first=j == 0, ranked=sort)
        here.set_xlabel(f"{called} with {100 * level:g}% interval\n({units(measure, names[j])})")
        here.set_title(f"{names[j]} by {one.name}", pad=18)
        legend_above(here)
    return axes


def _table(one: Effects, names: list[str], b: np.ndarray, half: np.ndarray) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(
        {
            one.group: np.repeat(one.levels, one.q),
            "coefficient": np.tile(np.array(names, dtype=object), one.n_levels),
            "estimate": b.ravel(),
            "lower": (b - half).ravel(),
            "upper": (b + half).ravel(),
        }
    )


def _lines(ax: Any, b: np.ndarray, half: np.ndarray) -> None:
    """One line and one mark a level."""
    at, apart = np.arange(b.size), np.abs(b) > half
    width, size = (float(np.interp(b.size, [10, 300], ends)) for ends in ([1.6, 0.5], [20.0, 3.0]))
    for chosen, colour, face, name in (
        (~apart, GREY, "white", "interval covers zero"),
        (apart, BLUE, BLUE, "leaves zero out"),
    ):
        if chosen.any():
            ax.hlines(at[chosen], (b - half)[chosen], (b + half)[chosen], color=colour, linewidth=width, zorder=2)
            ax.scatter(
                b[chosen], at[chosen], s=size, facecolor=face, edgecolor=colour, linewidth=0.8, zorder=3, label=name
            )
    ax.grid(axis="x")


def _band(ax: Any, b: np.ndarray, half: np.ndarray, *, called: str) -> None:
    """Mean and range of the intervals over runs of neighbouring levels."""
    runs = np.array_split(np.arange(b.size), _RUNS)
    rank, low, high = np.array([run.mean() for run in runs]), b - half, b + half
    outer = [low[run].min() for run in runs], [high[run].max() for run in runs]
    mean = [low[run].mean() for run in runs], [high[run].mean() for run in runs]
    ax.fill_betweenx(rank, *outer, color=LIGHT, linewidth=0.0, zorder=1, label="range of intervals")
    ax.fill_betweenx(rank, *mean, color=BLUE, alpha=0.35, linewidth=0.0, zorder=2, label="mean interval")
    ax.plot([b[run].mean() for run in runs], rank, color=BLUE, linewidth=1.3, zorder=3, label=called)
    ax.grid(axis="x")


def _name_levels(ax: Any, term: Effects, order: np.ndarray, *, first: bool, ranked: bool) -> None:
    """Names of all levels, or of the first and the last."""
    named = term.n_levels <= NAMED
    at = np.arange(term.n_levels) if named else np.array([0, term.n_levels - 1])
    ax.set_yticks(at, abridged(labels_of(term.levels[order[at]])))
    ax.tick_params(axis="y", length=0.0)
    margin = 0.01 * term.n_levels
    ax.set_ylim(-0.6 - margin, term.n_levels - 0.4 + margin)
    if first:
        ax.set_ylabel(term.group if named else f"{term.n_levels:,} levels of {term.group}" + ", sorted" * ranked)
