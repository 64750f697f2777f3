"""Observed and fitted profiles of the groups."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.effects import Effects
from mme.fitted.record import Fitted
from mme.formula.syntax import names_in
from mme.model.problem import Model
from mme.model.wide import dense_columns
from mme.plot.group_lines import GroupLine, group_lines, lines_table, population_line
from mme.plot.pictured import Pictured
from mme.plot.style import (
    BLUE,
    GREY,
    INK,
    LIGHT,
    NAMED,
    POINTS,
    VERMILION,
    axes_of_panels,
    central,
    density,
    drawn_effects,
    hide_between,
    legend_above,
    one_axes,
    spread,
    whole_numbers,
)
from mme.plot.words import abridged, response_of
from mme.tables.arguments import is_word, yes_or_no
from mme.tables.arrays import numbers, shown
from mme.tables.frame import labels_of

# Panels of a lattice; lines of a spaghetti plot.
_PANELS, _STRANDS = 24, 300
# Up to so many panels are larger.
_FEW = 6
# Records of a group that a panel or a line is drawn through: more would lie on each other.
_KNOTS = 300
# Characters of a name above a panel.
_TITLE = 20
# Points of the line of the population.
_ALONG = 100


def groups(
    seen: Pictured,
    x: Any = None,
    term: str | None = None,
    *,
    kind: str | None = None,
    data: bool = False,
    ax: Any = None,
) -> Any:
    """Observed and fitted values of every group over a covariate.

    Along a group's line the covariate alone changes: other variables are at what is typical of the group's records,
    numbers at their mean, factors at the most frequent level. A group of more than 300 records is drawn by an even
    choice of them from its lowest x to its highest. Behind fitted lines in one picture more than 3000 records are cells
    shaded by the logarithm of their count.

    Parameters
    ----------
    x : str or (N,) array, optional
        A column of numbers that the formula uses, or one value per row of the data. None: the first that varies, of the
        group's random effects if they have one. Of a fit by arrays a column of X or of a random term.
    term : str, optional
        The grouping factor, or a term on it, whose levels are the groups; None: the first.
    kind : str, optional
        ``"lattice"``: one panel per group, records and the group's fitted line over that of the population; beyond 24
        groups an even choice from the lowest to the highest BLUP. ``"spaghetti"``: the fitted lines of all groups
        (beyond 300 an even choice) in one. None: a lattice up to 24 groups.

    data : bool
        Return the points of the lines that would be drawn: the level, x, ``fitted``, ``population``.

    Returns
    -------
    Axes, for a lattice (rows, columns) array of Axes; a DataFrame for ``data=True``
    """
    fit = seen.fit
    assert isinstance(fit, Fitted)
    one = drawn_effects(fit, term)
    if kind is not None and not is_word(kind, ("lattice", "spaghetti")):
        raise MMEError(f"kind must be 'lattice' or 'spaghetti', got {shown(kind)}")
    values, name, known = _covariate(seen, x, one)
    order = _by_level(fit, one.terms[0])
    in_one = kind == "spaghetti" or (kind is None and one.n_levels > _PANELS)
    chosen = order[spread(order.size, _STRANDS if in_one else _PANELS)]
    lines = group_lines(seen, one, values, name if known else None, chosen)
    if yes_or_no(data, "data"):
        return lines_table(lines, one, name)
    if in_one:
        found = population_line(seen, values, name) if known else None
        return _spaghetti(
            seen, one, values, name, lines, order.size, found or _population(values, lines), one_axes(ax, (5.6, 4.4))
        )
    return _lattice(fit, one.terms[0], values, name, lines, order.size)


def has_covariate(seen: Pictured) -> bool:
    """Whether there is something for :func:`groups` to draw the records over by itself."""
    model = seen.fit.model
    return bool(model.terms) and bool(_varying(_columns(seen, drawn_effects(seen.fit, None))))


def _columns(seen: Pictured, of: Effects) -> dict[str, np.ndarray]:
    """What records can be drawn over, by name."""
    return _of_matrices(seen.fit.model) if seen.frame is None else _of_formula(seen, of)


def _varying(columns: dict[str, np.ndarray]) -> list[str]:
    return [name for name, values in columns.items() if np.ptp(values) > 0.0]


def _dense(model: Model) -> dict[str, np.ndarray]:
    """The columns of a wide X that most records have."""
    return {model.x_names[j]: model.X[:, [j]].toarray()[:, 0] for j in dense_columns(model.X, model.p_given).tolist()}


def _covariate(seen: Pictured, x: Any, of: Effects) -> tuple[np.ndarray, str, bool]:
    """The values (n,) and name of the covariate, and whether it is a column of the formula's."""
    fit = seen.fit
    if x is not None and not isinstance(x, str):
        values = numbers(x, "x")
        if values.shape not in ((fit.rows.kept.size,), (fit.model.n,)):
            raise MMEError(f"x has shape {values.shape} for {fit.rows.kept.size} rows of the data")
        return fit.rows.used(values), str(getattr(x, "name", None) or "x"), False
    columns = _columns(seen, of)
    varying = _varying(columns)
    if x is None:
        own = [name for name in of.fixed if name in varying]
        if not varying:
            raise MMEError("no covariate of this model varies: give x, a value a row of the data")
        several = [name for name in varying if np.unique(columns[name]).size > 2]
        x = (own or several or varying)[0]
    if x not in columns:
        raise MMEError(f"there is no column '{x}' in the model ({', '.join(varying)}); give x as an array")
    return columns[x], x, seen.frame is not None


def _of_formula(seen: Pictured, of: Effects) -> dict[str, np.ndarray]:
    """The columns of numbers that the formula uses, those of the group's random effects first."""
    spec = seen.fit.specification
    bars = [spec.bars[t] for t in of.terms if t < len(spec.bars)]
    nodes = [*(node for bar in [*bars, *spec.bars] for node in bar.left.variables), *spec.fixed.variables]
    coded = {*spec.codings, *spec.bar_codings}
    names = dict.fromkeys(name for node in nodes if node not in coded for name in sorted(names_in(node)))
    found = {name: seen.numbers(name) for name in names}
    return {name: values for name, values in found.items() if values is not None and np.isfinite(values).all()}


def _of_matrices(model: Model) -> dict[str, np.ndarray]:
    """The columns of X and of the random terms."""
    columns = dict(zip(model.x_names, model.X.T, strict=True)) if not model.is_wide else _dense(model)
    for term in model.terms:
        if term.covariates is not None:
            columns |= dict(zip(term.columns, term.covariates.T, strict=True))
    return columns


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


def _lattice(fit: Fitted, t: int, x: np.ndarray, name: str, lines: list[GroupLine], count: int) -> np.ndarray:
    term, chosen = fit.model.terms[t], np.array([line.level for line in lines])
    few = chosen.size <= _FEW
    axes = axes_of_panels(None, max(chosen.size, 2), (2.6, 2.0) if few else (1.5, 1.5))
    strands = _strands(term.first_codes, x, chosen, term.n_levels)
    most = max(strand.size for strand in strands)
    labels = abridged(labels_of(term.levels[chosen]), _TITLE + 6 * few)
    for ax, label, line, here in zip(axes.ravel(), labels, lines, strands, strict=False):
        ax.plot(line.x, line.population, color=GREY, linewidth=1.0, linestyle="--", label="population")
        ax.plot(line.x, line.group, color=BLUE, linewidth=1.4, label="group")
        _records(ax, x[here], fit.model.y[here], most)
        ax.set_title(label, fontsize=8)
    hide_between(axes, chosen.size)
    whole_numbers(axes[0, 0].xaxis, x, 3)
    figure = axes[0, 0].figure
    figure.supxlabel(name, fontsize=9)
    figure.supylabel(response_of(fit), fontsize=9)
    note = f"{chosen.size} of {count:,} levels of {term.group}" if chosen.size < count else term.group
    figure.suptitle(f"{note}, from the lowest to the highest BLUP", x=0.01, ha="left", fontsize=9.5)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside right upper", frameon=False, fontsize=8.5)
    return axes


def _records(ax: Any, x: np.ndarray, y: np.ndarray, most: int) -> None:
    """Records of a panel: marks on the lines, or, where ``most`` in a panel would hide these, dots behind."""
    if most <= NAMED:
        ax.scatter(x, y, s=9.0, facecolor="white", edgecolor=INK, linewidth=0.7, zorder=3, label="records")
    else:
        name = f"records, at most {_KNOTS} a group" if most == _KNOTS else "records"
        ax.scatter(x, y, s=5.0, color=GREY, alpha=0.6, linewidth=0.0, zorder=1, label=name)


def _spaghetti(
    seen: Pictured,
    one: Effects,
    x: np.ndarray,
    name: str,
    lines: list[GroupLine],
    count: int,
    population: tuple[np.ndarray, np.ndarray],
    ax: Any,
) -> Any:
    from matplotlib.collections import LineCollection

    fit = seen.fit
    if fit.model.n <= POINTS:
        ax.scatter(x, fit.model.y, s=5.0, color=LIGHT, linewidth=0.0, zorder=1, label="records")
    else:
        density(ax, x, fit.model.y, GREY)
    width, faint = (float(np.interp(np.log10(len(lines)), [1.0, 2.5], ends)) for ends in ([1.2, 0.5], [0.9, 0.35]))
    label = "groups" if len(lines) == count else f"{len(lines)} of {count:,} groups"
    curves = [np.column_stack([line.x, line.group]) for line in lines]
    ax.add_collection(LineCollection(curves, colors=BLUE, linewidths=width, alpha=faint, zorder=2, label=label))
    ax.plot(*population, color=VERMILION, linewidth=2.0, zorder=4, label="population")
    ax.set_xlim(*central(x, 1.0, 0.03))
    ax.set_ylim(*central(fit.model.y, 0.998, 0.05))
    whole_numbers(ax.xaxis, x)
    ax.set_xlabel(name)
    ax.set_ylabel(response_of(fit))
    ax.set_title(f"Fitted lines by {one.group}", pad=18)
    legend_above(ax)
    return ax


def _population(x: np.ndarray, lines: list[GroupLine]) -> tuple[np.ndarray, np.ndarray]:
    """The mean of the population's lines of all groups that are drawn, over an even choice of the values of x."""
    values = np.unique(x)
    at = values[spread(values.size, _ALONG)]
    total, count = np.zeros(at.size), np.zeros(at.size)
    for line in lines:
        inside = (at >= line.x[0]) & (at <= line.x[-1])
        total[inside] += np.interp(at[inside], line.x, line.population)
        count += inside
    return at[count > 0], total[count > 0] / count[count > 0]
