"""The reference grid of a wide X, whose rows are sparse: means are products with sparse averages."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.fitted.common import Record, each_once
from mme.formula.columns import build
from mme.formula.wide_columns import build_wide
from mme.inference.fixed.bound import columns_of_factors
from mme.inference.fixed.occurrence import Axis
from mme.inference.fixed.reference_grid import Grid
from mme.inference.fixed.summed_grid import SummedGrid


class WideGrid(Grid):
    """:class:`Grid` with sparse rows."""

    def entries(self, rows: int) -> int:
        """The entries of so many rows of X: one a term, the constant, and more where a basis has several columns."""
        suffixes = sum(len(names) for names in self.spec.matrices.values())
        return rows * (1 + len(self.spec.fixed.terms) + suffixes)

    def rows(self, places: Mapping[Axis, np.ndarray], n: int) -> Any:
        """X (n, columns), sparse, where each axis is at these places."""
        variables = self.variables(places, n)
        made = build_wide(self.spec.fixed, variables, n)
        return sp.csr_array(build(self.spec.fixed, variables, n).values if made is None else made.values)

    def averaged(
        self, X: Any, size: list[int], axes: list[Axis], cells: Mapping[Axis, np.ndarray], weights: str
    ) -> np.ndarray:
        """As :meth:`Grid.averaged`: the points (others, cells) that each mean is taken over, and what they weigh."""
        n = next(iter(cells.values())).size
        others = [axis for axis in axes if axis not in cells]
        own = tuple(cells[axis] for axis in axes if axis in cells)
        points = self._by_cell(np.arange(prod(size)).reshape(size), axes, cells, own)
        if weights == "equal":
            W = self._by_cell(self._shares(size, axes, others), axes, cells, own)
        else:
            W = self._records(others, cells, by_cell=weights == "cells")
        points, W = (np.broadcast_to(one, (len(one), n)) for one in (points, W))
        cell = np.broadcast_to(np.arange(n), points.shape)
        average = sp.csr_array(sp.coo_array((W.ravel(), (cell.ravel(), points.ravel())), shape=(n, X.shape[0])))
        return np.asarray((average @ X).toarray())

    def _by_cell(
        self, tensor: np.ndarray, axes: list[Axis], cells: Mapping[Axis, np.ndarray], own: tuple[np.ndarray, ...]
    ) -> np.ndarray:
        """What stands at the points of each cell (others, cells); (others, 1) where all cells have the same."""
        kept = [k for k, axis in enumerate(axes) if axis in cells]
        moved = np.moveaxis(tensor, kept, range(tensor.ndim - len(kept), tensor.ndim))
        moved = moved.reshape(-1, *(tensor.shape[k] for k in kept))
        at: tuple[Any, ...] = (slice(None), *own)
        return np.asarray(moved[at]).reshape(len(moved), -1)

    def _shares(self, size: list[int], axes: list[Axis], others: list[Axis]) -> np.ndarray:
        """Equal weights over the axes that are not wanted, factors within their nests first; NaN where none occurs."""
        shares = np.ones(size)
        occurs = np.ones(size, dtype=bool)
        for nest in self.nests:
            if set(nest) <= set(axes):
                occurs = occurs & self.occurring(nest, axes)
        shares *= occurs
        outer: dict[Axis, int] = {node: len(nodes) for node, nodes in self.nested.items()}
        for axis in sorted(others, key=lambda axis: -outer.get(axis, 0)):
            some = occurs.sum(axis=axes.index(axis), keepdims=True)
            shares = shares / np.maximum(some, 1)
            occurs = some > 0
        return np.where(occurs, shares, np.nan)

    def _records(self, others: list[Axis], cells: Mapping[Axis, np.ndarray], *, by_cell: bool) -> np.ndarray:
        """The shares (others, cells) of the records at each combination of the others, of all or of those of a cell."""
        n = next(iter(cells.values())).size
        sizes = [self.size(axis) for axis in others]
        within = self.counted_at(others, cells, by_cell=by_cell)
        counted = [axis for axis in others if self.is_of_records(axis)]
        counts = self.counts([*within, *counted])[tuple(cells[axis] for axis in within)]
        counts = counts.reshape(-1, *(size if axis in counted else 1 for axis, size in zip(others, sizes, strict=True)))
        W = np.broadcast_to(counts, (n, *sizes)).reshape(n, prod(sizes)).T
        with np.errstate(invalid="ignore"):
            return np.asarray(W / W.sum(axis=0))


def reference_grid(fit: Record, at: Mapping[str, np.ndarray]) -> Grid:
    """The grid with covariates at the values ``at``, at both values of a column that has two, or at their means.

    A transform is that of the mean of its column, f(mean(x)) and not mean(f(x)), unless ``at`` gives its value, or
    that of its column.
    """
    spec, model = fit.specification, fit.model
    X, bound = model.X[:, : model.p_given], columns_of_factors(spec, at)
    two_valued = {name: np.array(two) for name, two in spec.two_valued.items() if name not in bound}
    if model.compressed is not None:
        once = each_once(model)
        X = X if once is None else once.X[:, : model.p_given]
        return SummedGrid(spec, two_valued | dict(at), bound, X, has_weights=once is None)
    return (WideGrid if sp.issparse(X) else Grid)(spec, two_valued | dict(at), bound, X)
