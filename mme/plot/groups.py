"""Observed and fitted profiles of the groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import Effects
from mme.fitted.record import Fitted
from mme.model.problem import Model
from mme.model.wide import dense_columns
from mme.plot.style import (
    BLUE,
    GREY,
    INK,
    LIGHT,
    NAMED,
    POINTS,
    VERMILION,
    central,
    density,
    drawn_effects,
    hide_between,
    legend_above,
    new_axes,
    one_axes,
    spread,
)
from mme.tables.arguments import is_word
from mme.tables.arrays import numbers, shown
from mme.tables.frame import labels_of

# Panels of a lattice, in rows of six; lines of a spaghetti plot.
_PANELS, _IN_A_ROW, _STRANDS = 24, 6, 300
# Records of a group that a panel or a line is drawn through: more would lie on each other.
_KNOTS = 300


def groups(fit: Fitted, x: Any = None, term: str | None = None, *, kind: str | None = None, ax: Any = None) -> Any:
    """Observed and fitted values of every group over a covariate.

    A group of more than 300 records is drawn by an even choice of them from its lowest x to its highest. Behind fitted
    lines in one picture more than 3000 records are cells shaded by the logarithm of their count.

    Parameters
    ----------
    x : str or (N,) array, optional
        A column of X or of a random term, by name, or a value a row of the data. None: the first that varies.
    term : str, optional
        The grouping factor, or a term on it, whose levels are the groups; None: the first.
    kind : str, optional
        ``"lattice"``: a panel a group, records and the group's fitted line over that of the population; beyond 24
        groups an even choice from the lowest to the highest BLUP. ``"spaghetti"``: the fitted lines of all groups
        (beyond 300 an even choice) in one. None: a lattice up to 24 groups.

    Returns
    -------
    Axes, for a lattice (rows, columns) array of Axes
    """
    one = drawn_effects(fit, term)
    t = one.terms[0]
    if kind is not None and not is_word(kind, ("lattice", "spaghetti")):
        raise MMEError(f"kind must be 'lattice' or 'spaghetti', got {shown(kind)}")
    values, name = _covariate(fit, x, one)
    if kind == "spaghetti" or (kind is None and one.n_levels > _PANELS):
        return _spaghetti(fit, t, values, name, one_axes(ax, (5.6, 4.4)))
    return _lattice(fit, t, values, name)


def _dense(model: Model) -> dict[str, np.ndarray]:
    """The columns of a wide X that most records have."""
    return {model.x_names[j]: model.X[:, [j]].toarray()[:, 0] for j in dense_columns(model.X).tolist()}


def _covariate(fit: Fitted, x: Any, of: Effects) -> tuple[np.ndarray, str]:
    """The values (n,) and name of the covariate."""
    model = fit.model
    columns = dict(zip(model.x_names, model.X.T, strict=True)) if not model.is_wide else _dense(model)
    for term in model.terms:
        if term.covariates is not None:
            columns |= dict(zip(term.columns, term.covariates.T, strict=True))
    if x is not None and not isinstance(x, str):
        values = numbers(x, "x")
        if values.shape not in ((fit.rows.kept.size,), (model.n,)):
            raise MMEError(f"x has shape {values.shape} for {fit.rows.kept.size} rows of the data")
        return fit.rows.used(values), str(getattr(x, "name", None) or "x")
    varying = [name for name, values in columns.items() if np.ptp(values) > 0.0]
    if x is None:
        own = [name for name in of.fixed if name in varying]
        if not varying:
            raise MMEError("no covariate of this model varies: give x, a value a row of the data")
        x = (own or varying)[0]
    if x not in columns:
        raise MMEError(f"there is no column '{x}' in the model ({', '.join(varying)}); give x as an array")
    return columns[x], x


def _by_level(fit: Fitted, t: int) -> np.ndarray:
    """Levels with records in the order of their first BLUP."""
    order = np.argsort(fit.estimates.b[t][:, 0], kind="stable")
    count = np.bincount(fit.model.terms[t].first_codes, minlength=order.size)
    return np.asarray(order[count[order] > 0])


def _strands(codes: np.ndarray, x: np.ndarray, chosen: np.ndarray, count: int) -> list[np.ndarray]:
    """Records of each chosen level, of ``count``, in the order of x; an even choice where there are many."""
    wanted = np.zeros(count, dtype=bool)
    wanted[chosen] = True
    here = np.flatnonzero(wanted[codes])
    here = here[np.lexsort((x[here], codes[here]))]
    ends = np.searchsorted(codes[here], np.arange(count + 1))
    strands = [here[ends[g] : ends[g + 1]] for g in chosen.tolist()]
    return [strand[spread(strand.size, _KNOTS)] for strand in strands]


def _lattice(fit: Fitted, t: int, x: np.ndarray, name: str) -> np.ndarray:
    term, order = fit.model.terms[t], _by_level(fit, t)
    chosen = order[spread(order.size, _PANELS)]
    rows = -(-chosen.size // _IN_A_ROW)
    columns = -(-chosen.size // rows)
    axes = new_axes(rows, columns, (1.5 * columns + 0.6, 1.5 * rows + 0.7), sharex=True, sharey=True)
    strands = _strands(term.first_codes, x, chosen, term.n_levels)
    most = max(strand.size for strand in strands)
    for ax, label, here in zip(axes.ravel(), labels_of(term.levels[chosen]), strands, strict=False):
        ax.plot(x[here], fit.estimates.population[here], color=GREY, linewidth=1.0, linestyle="--", label="population")
        ax.plot(x[here], fit.estimates.fitted[here], color=BLUE, linewidth=1.4, label="group")
        _records(ax, x[here], fit.model.y[here], most)
        ax.set_title(label, fontsize=8)
    hide_between(axes, chosen.size)
    figure = axes[0, 0].figure
    figure.supxlabel(name, fontsize=9)
    figure.supylabel(fit.model.response, fontsize=9)
    note = f"{chosen.size} of {order.size:,} levels of {term.group}" if chosen.size < order.size else term.group
    figure.suptitle(f"{note}, from the lowest to the highest BLUP", x=0.01, ha="left", fontsize=9.5)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper right", ncols=3, frameon=False, fontsize=8.5)
    return axes


def _records(ax: Any, x: np.ndarray, y: np.ndarray, most: int) -> None:
    """Records of a panel: marks on the lines, or, where ``most`` in a panel would hide these, dots behind."""
    if most <= NAMED:
        ax.scatter(x, y, s=9.0, facecolor="white", edgecolor=INK, linewidth=0.7, zorder=3, label="records")
    else:
        name = f"records, at most {_KNOTS} a group" if most == _KNOTS else "records"
        ax.scatter(x, y, s=5.0, color=GREY, alpha=0.6, linewidth=0.0, zorder=1, label=name)


def _spaghetti(fit: Fitted, t: int, x: np.ndarray, name: str, ax: Any) -> Any:
    from matplotlib.collections import LineCollection

    term, order = fit.model.terms[t], _by_level(fit, t)
    chosen = order[spread(order.size, _STRANDS)]
    if fit.model.n <= POINTS:
        ax.scatter(x, fit.model.y, s=5.0, color=LIGHT, linewidth=0.0, zorder=1, label="records")
    else:
        density(ax, x, fit.model.y, GREY)
    strands = _strands(term.first_codes, x, chosen, term.n_levels)
    width, faint = (float(np.interp(np.log10(chosen.size), [1.0, 2.5], ends)) for ends in ([1.2, 0.5], [0.9, 0.35]))
    lines = [np.column_stack([x[strand], fit.estimates.fitted[strand]]) for strand in strands]
    label = "groups" if chosen.size == order.size else f"{chosen.size} of {order.size:,} groups"
    ax.add_collection(LineCollection(lines, colors=BLUE, linewidths=width, alpha=faint, zorder=2, label=label))
    at, mean = _population(fit, x)
    ax.plot(at, mean, color=VERMILION, linewidth=2.0, zorder=4, label="population")
    ax.set_xlim(*central(x, 1.0, 0.03))
    ax.set_ylim(*central(fit.model.y, 0.998, 0.05))
    ax.set_xlabel(name)
    ax.set_ylabel(fit.model.response)
    ax.set_title(f"Fitted lines by {term.group}", pad=18)
    legend_above(ax)
    return ax


def _population(fit: Fitted, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean population value at each value of x, over at most a hundred runs of them."""
    order = np.argsort(x)
    steps = np.flatnonzero(np.diff(x[order])) + 1
    runs = np.split(order, steps) if steps.size < 100 else np.array_split(order, 100)
    return np.array([x[run].mean() for run in runs]), np.array([fit.estimates.population[run].mean() for run in runs])
