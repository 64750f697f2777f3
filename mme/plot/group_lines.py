"""The fitted line of each group over a covariate, its other variables at what is typical of the group.

Along a line x alone changes: numbers are at their mean over the group's records, labels at the most frequent one. So a
line is a curve of the model, and not a walk through records that differ in other things too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.fitted.effects import Effects
from mme.fitted.record import Fitted
from mme.formula.syntax import names_in
from mme.formula.values import numeric
from mme.plot.pictured import Pictured
from mme.tables.column import Factor, WideColumn

if TYPE_CHECKING:
    import pandas as pd

# Points of a line.
_POINTS = 60
_DAY = 86_400_000_000_000  # in nanoseconds


@dataclass(frozen=True, eq=False)
class GroupLine:
    """The line of one level: points of x, the group's values there and the population's."""

    level: int
    x: np.ndarray
    group: np.ndarray
    population: np.ndarray


def group_lines(seen: Pictured, one: Effects, x: np.ndarray, name: str | None, chosen: np.ndarray) -> list[GroupLine]:
    """The lines of the chosen levels over x (n,), the column of this name; None: a value that the model does not know.

    Without the table, or over what the model does not know, lines are through the means of fitted values at equal x.
    """
    fit, codes = seen.fit, seen.fit.model.terms[one.terms[0]].first_codes
    assert isinstance(fit, Fitted)
    records = _records(codes, chosen, one.n_levels)
    columns = None if name is None else _typical(seen, codes, chosen, one.n_levels)
    if columns is None or name not in columns:
        return [_through(fit, level, x, rows) for level, rows in zip(chosen.tolist(), records, strict=True)]
    points = [_points(x[rows]) for rows in records]
    sizes = [at.size for at in points]
    new: dict[str, Any] = {key: np.repeat(values, sizes) for key, values in columns.items()}
    new[name] = _dated(np.concatenate(points), seen, name)
    made = fit.specification.rows(new, random=True, labels=False)
    population = made.X[:, fit.basis.kept] @ fit.estimates.beta + (0.0 if made.offset is None else made.offset)
    own, level = np.array(population), np.repeat(chosen, sizes)
    for t in one.terms:
        Z = made.groups[t][1]
        b = fit.estimates.b[t][level]
        own += b[:, 0] if Z is None else (Z * b).sum(axis=1)
    ends = np.cumsum(sizes)[:-1]
    parts = (np.split(values, ends) for values in (np.concatenate(points), own, population))
    return [GroupLine(k, *part) for k, *part in zip(chosen.tolist(), *parts, strict=True)]


def population_line(seen: Pictured, x: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Points of x and the population's values there, other variables at what is typical of all records.

    None without the table, or where the model does not know x.
    """
    fit, everyone = seen.fit, np.zeros(x.size, dtype=np.int64)
    assert isinstance(fit, Fitted)
    columns = _typical(seen, everyone, np.zeros(1, dtype=np.int64), 1)
    if columns is None or name not in columns:
        return None
    at = _points(x)
    new: dict[str, Any] = {key: np.repeat(values, at.size) for key, values in columns.items()}
    new[name] = _dated(at, seen, name)
    made = fit.specification.rows(new, random=False, labels=False)
    return at, made.X[:, fit.basis.kept] @ fit.estimates.beta + (0.0 if made.offset is None else made.offset)


def lines_table(lines: list[GroupLine], one: Effects, name: str) -> pd.DataFrame:
    """One row per point: the level, x, ``fitted`` of the group and of the ``population``."""
    import pandas as pd

    sizes = [line.x.size for line in lines]
    return pd.DataFrame(
        {
            one.group: np.repeat(one.levels[[line.level for line in lines]], sizes),
            name: np.concatenate([line.x for line in lines]),
            "fitted": np.concatenate([line.group for line in lines]),
            "population": np.concatenate([line.population for line in lines]),
        }
    )


def _records(codes: np.ndarray, chosen: np.ndarray, count: int) -> list[np.ndarray]:
    """Positions of the records of each chosen level, of ``count``."""
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(count + 1))
    return [order[ends[g] : ends[g + 1]] for g in chosen.tolist()]


def _points(x: np.ndarray) -> np.ndarray:
    values = np.unique(x)
    return values if values.size <= _POINTS else np.linspace(values[0], values[-1], _POINTS)


def _through(fit: Fitted, level: int, x: np.ndarray, rows: np.ndarray) -> GroupLine:
    """The means of fitted values at equal x, or in runs of many."""
    at, place = np.unique(x[rows], return_inverse=True)
    if at.size > _POINTS:
        place = place * _POINTS // at.size
        at = np.bincount(place, x[rows], _POINTS) / np.bincount(place, minlength=_POINTS)
    count = np.bincount(place, minlength=at.size)
    group, population = (
        np.bincount(place, values[rows], at.size) / count for values in (fit.estimates.fitted, fit.estimates.population)
    )
    return GroupLine(level, at, group, population)


def _typical(seen: Pictured, codes: np.ndarray, chosen: np.ndarray, count: int) -> dict[str, np.ndarray] | None:
    """Of each column that the formula uses the value that is typical of each chosen level; None without the table."""
    spec, frame = seen.fit.specification, seen.frame
    if frame is None or spec.wide or seen.fit.model.p_given < len(seen.fit.model.x_names):
        return None
    nodes = [*spec.fixed.variables, *spec.fixed.offsets, *(node for bar in spec.bars for node in bar.left.variables)]
    names = set().union(*map(names_in, nodes)) | {spec.offset_column, spec.exposure_column}
    in_factors = set().union(*map(names_in, [*spec.codings, *spec.bar_codings]))
    found = {}
    for name in sorted(one for one in names if one is not None and one in frame):
        column = frame.column(name)
        if isinstance(column, WideColumn):
            return None
        if isinstance(column, Factor):
            found[name] = column.categories[_most_frequent(column.codes, codes, count)[chosen]]
            continue
        if name in in_factors:
            values, places = np.unique(column, return_inverse=True)
            found[name] = values[_most_frequent(places, codes, count)[chosen]]
            continue
        values = np.nan_to_num(np.asarray(numeric(column, name), dtype=float))
        means = np.bincount(codes, values, count) / np.maximum(np.bincount(codes, minlength=count), 1)
        found[name] = _dated(means[chosen], seen, name)
    return found


def _most_frequent(values: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """The most frequent of codes (n,) in each of ``count`` groups."""
    counts = np.zeros((count, int(values.max()) + 1))
    known = values >= 0
    np.add.at(counts, (codes[known], values[known]), 1.0)
    return np.asarray(counts.argmax(axis=1))


def _dated(values: np.ndarray, seen: Pictured, name: str) -> np.ndarray:
    """Days as dates, where the column has these."""
    assert seen.frame is not None
    column = seen.frame.column(name)
    if isinstance(column, np.ndarray) and column.dtype.kind in "mM":
        spans = np.round(values * _DAY).astype("timedelta64[ns]")
        return spans if column.dtype.kind == "m" else np.datetime64(0, "ns") + spans
    return values
