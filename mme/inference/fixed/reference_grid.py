"""The fixed part on a reference grid: every combination of factors' levels, covariates at what is typical of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.formula.columns import Coded, Variable, build
from mme.formula.evaluate import Evaluator
from mme.formula.syntax import Node, deparse
from mme.formula.values import numeric
from mme.inference.fixed.grid import columns_in, suffixes_of
from mme.inference.fixed.occurrence import MOST_ENTRIES, Axis, Occurrence
from mme.tables.frame import Frame, WideColumn


@dataclass(frozen=True, eq=False)
class Grid(Occurrence):
    """Every combination of the levels of the factors in the fixed part and of the values of some covariates."""

    def labels(self, axis: Axis) -> Sequence[Any]:
        """The levels of a factor, the values of a covariate."""
        if not isinstance(axis, str):
            return self.spec.codings[axis].labels
        return [int(value) if value.is_integer() else value for value in self.values[axis].tolist()]

    def means(self, wanted: Sequence[Axis], weights: str = "equal") -> np.ndarray:
        """Rows of X averaged over all axes but these: (combinations of their labels, columns).

        The others have equal weights, those of their records (``"proportional"``), or those of their records at the
        wanted combination (``"cells"``).

        The columns of a term change along the axes of its variables alone, so that only axes that meet in a term, or
        are nested in each other, are crossed with each other. Of nested factors the combinations that occur count,
        first within the outer ones, as in emmeans; the mean of one that does not is NaN. Over a factor that is nested
        in the wanted one records are counted by cell.

        Raises
        ------
        MMEError
            The value of a covariate is not known, or the grid is too large.
        """
        owners, shape = np.array(self.spec.column_terms, dtype=object), [self.size(axis) for axis in wanted]
        crossed = self._crossed()
        weights = "cells" if weights == "proportional" and self._within_wanted(wanted) else weights
        sizes = [[self.size(axis) for axis in axes] for axes, _ in crossed]
        self._forecast(sum(map(prod, sizes)), prod(shape))
        starts = np.cumsum([0, *map(prod, sizes)]).tolist()
        places = {axis: np.zeros(starts[-1], dtype=np.intp) for axis in [*self.factors, *self.values]}
        for (axes, _), size, start, stop in zip(crossed, sizes, starts[:-1], starts[1:], strict=True):
            for axis, place in zip(axes, np.indices(size).reshape(len(size), prod(size)), strict=True):
                places[axis][start:stop] = place
        X = self.rows(places, starts[-1])
        cells = dict(zip(wanted, np.indices(shape).reshape(len(shape), prod(shape)), strict=True))
        L = np.empty((prod(shape), owners.size))
        for (axes, terms), size, start, stop in zip(crossed, sizes, starts[:-1], starts[1:], strict=True):
            columns = np.isin(owners, terms)
            if not columns.any():
                continue
            L[:, columns] = self.averaged(X[start:stop, columns], size, axes, cells, weights)
        return L

    def averaged(
        self, X: Any, size: list[int], axes: list[Axis], cells: Mapping[Axis, np.ndarray], weights: str
    ) -> np.ndarray:
        """The means (cells, columns) of the rows of X at all places of these axes, whose numbers are ``size``."""
        part = X.reshape(*size, X.shape[1])
        if weights != "equal":
            return self._weighted(part, axes, cells, by_cell=weights == "cells")
        return np.asarray(self._averaged(part, axes, cells)[tuple(cells[axis] for axis in axes if axis in cells)])

    def _forecast(self, rows: int, wanted: int) -> None:
        if max(self.entries(rows), wanted * self.X.shape[1]) > MOST_ENTRIES:
            raise MMEError(
                f"the reference grid would have {max(rows, wanted)} rows, combinations of levels and values, by "
                f"{self.X.shape[1]} columns of X; give L to contrast() for the combinations of interest"
            )

    def _crossed(self) -> list[tuple[list[Axis], list[str]]]:
        """Axes that meet in terms, directly or by way of others, and these terms; those without any come last."""
        groups: list[tuple[list[Axis], list[str]]] = []
        for term in self.spec.fixed.terms:
            axes = list(dict.fromkeys(axis for node in term for axis in self._axes(node)))
            met = [group for group in groups if set(group[0]) & set(axes)]
            groups = [group for group in groups if not set(group[0]) & set(axes)]
            names = [":".join(map(deparse, term)), *(name for _, terms in met for name in terms)]
            groups.append((list(dict.fromkeys([*axes, *(axis for group in met for axis in group[0])])), names))
        for nest in self.nests:
            met = [group for group in groups if set(group[0]) & set(nest)]
            groups = [group for group in groups if not set(group[0]) & set(nest)]
            together = list(dict.fromkeys(axis for axes, _ in met for axis in axes))
            groups.append((together, [name for _, terms in met for name in terms]))
        known = {name for _, terms in groups for name in terms}
        return [*groups, ([], [name for name in dict.fromkeys(self.spec.column_terms) if name not in known])]

    def _averaged(self, part: np.ndarray, axes: list[Axis], wanted: Mapping[Axis, np.ndarray]) -> np.ndarray:
        """The mean over the axes that are not wanted, factors within their nests first; columns come last."""
        others = [k for k, axis in enumerate(axes) if axis not in wanted]
        nests = [self.occurring(nest, axes) for nest in self.nests if set(nest) <= set(axes)]
        if not nests:
            return np.asarray(part.mean(axis=tuple(others)))
        occurs = np.broadcast_to(np.logical_and.reduce(np.broadcast_arrays(*nests)), part.shape[:-1])[..., None]
        outer: dict[Axis, int] = {node: len(nodes) for node, nodes in self.nested.items()}
        for k in sorted(others, key=lambda k: -outer.get(axes[k], 0)):
            some = occurs.sum(axis=k, keepdims=True)
            with np.errstate(invalid="ignore"):  # nothing occurs
                part = np.where(occurs, part, 0.0).sum(axis=k, keepdims=True) / some
            occurs = some > 0
        return np.squeeze(np.where(occurs, part, np.nan), axis=tuple(others))

    def _weighted(
        self, part: np.ndarray, axes: list[Axis], wanted: Mapping[Axis, np.ndarray], *, by_cell: bool
    ) -> np.ndarray:
        """The mean over the axes that are not wanted, by the records there; NaN where there are none."""
        others = [axis for axis in axes if axis not in wanted]
        own = [axis for axis in axes if axis in wanted]
        part = np.moveaxis(part, [axes.index(axis) for axis in others], range(len(others)))
        part = part.reshape(-1, *part.shape[len(others) :])
        n = next(iter(wanted.values())).size
        within = self.counted_at(others, wanted, by_cell=by_cell)
        counts = self.counts([*within, *(axis for axis in others if self.is_of_records(axis))])
        W = np.broadcast_to(counts[tuple(wanted[axis] for axis in within)].reshape(-1, len(part)), (n, len(part)))
        at: tuple[Any, ...] = (slice(None), *(wanted[axis] for axis in own))
        rows = part[at]  # (others, combinations, columns)
        if rows.ndim == 2:
            rows = np.broadcast_to(rows[:, None, :], (len(part), n, rows.shape[1]))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.einsum("wo,owc->wc", W, rows) / W.sum(axis=1)[:, None])

    def _axes(self, node: Node) -> list[Axis]:
        """The axes along which a variable changes."""
        if node in self.spec.codings:
            return [node]
        text = deparse(node)
        if text in self.values:
            return [text]
        names = {text + suffix for suffix in self.spec.matrices.get(node, ())} or columns_in(self.spec, node)
        return [self.bound[name][0] if name in self.bound else name for name in names & {*self.bound, *self.values}]

    def rows(self, places: Mapping[Axis, np.ndarray], n: int) -> Any:
        """X (n, columns) where each axis is at these places, f(mean(x)) for a transform of a column without one."""
        return build(self.spec.fixed, self.variables(places, n), n).values

    def variables(self, places: Mapping[Axis, np.ndarray], n: int) -> dict[Node, Variable]:
        """The variables of the fixed part where each axis is at these places."""
        columns = {name: np.full(n, mean) for name, mean in self.spec.means.items()}
        columns |= {name: at_level[places[node]] for name, (node, at_level) in self.bound.items()}
        columns |= {name: values[places[name]] for name, values in self.values.items()}
        return {
            node: Coded(places[node], self.spec.codings[node])
            if node in self.spec.codings
            else _covariate(self, node, columns)
            for node in self.spec.fixed.variables
        }


def _covariate(grid: Grid, node: Node, columns: Mapping[str, np.ndarray]) -> np.ndarray | WideColumn:
    spec, text = grid.spec, deparse(node)
    matrix = spec.matrices.get(node)
    if matrix is not None:
        return WideColumn(np.column_stack([columns[text + suffix] for suffix in matrix]), matrix)
    if text in grid.values:
        return columns[text]
    names = columns_in(spec, node)
    unknown = sorted(names - set(columns))
    if not unknown:
        frame = Frame({name: columns[name] for name in names} or {"": np.zeros(1)})
        value = Evaluator(frame, spec.formula, spec.states).value(node)
        return value if isinstance(value, WideColumn) else np.asarray(numeric(value, f"'{text}'"))
    suffixes = suffixes_of(spec, node)
    if suffixes is not None and all(text + suffix in columns for suffix in suffixes):
        return WideColumn(np.column_stack([columns[text + suffix] for suffix in suffixes]), suffixes)
    if text in columns:  # what is made of labels alone has a mean of its own
        return columns[text]
    raise MMEError(
        f"'{text}' is in the model, and {', '.join(unknown)} has no mean, for it does not hold numbers; "
        f"give a value of {text} itself: at={{'{text}': ...}}"
    )
