"""What levels occur together at the records, and how often, as the rows of X tell: of nests and of weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod
from typing import Any

import numpy as np
import scipy.sparse as sp

from mme.errors import MMEError
from mme.formula.specification import Specification
from mme.formula.syntax import Node, deparse

# Entries of X on a grid, or of the means themselves, beyond which it is refused.
MOST_ENTRIES = 20_000_000

# A factor, or the column or transform that stands at several values.
Axis = Node | str


@dataclass(frozen=True, eq=False)
class Occurrence(ABC):
    """The axes of a grid and the records beside them.

    Attributes
    ----------
    spec : Specification
    values : by column or transform
        The values of covariates that stand at given or at two ones.
    bound : by column
        What a factor is made of: the factor, and the column at each of its levels.
    X : (n, columns) array, of a wide fit sparse
        The fixed part at the records, which says what levels occur together.
    """

    spec: Specification
    values: dict[str, np.ndarray]
    bound: dict[str, tuple[Node, np.ndarray]]
    X: Any

    @abstractmethod
    def rows(self, places: Mapping[Axis, np.ndarray], n: int) -> Any:
        """X (n, columns) where each axis is at these places."""

    @property
    def factors(self) -> list[Node]:
        """The factors of the fixed part."""
        return [node for node in self.spec.fixed.variables if node in self.spec.codings]

    def size(self, axis: Axis) -> int:
        """How many places an axis has."""
        return self.values[axis].size if isinstance(axis, str) else len(self.spec.codings[axis].labels)

    def entries(self, rows: int) -> int:
        """The entries of so many rows of X."""
        return rows * self.X.shape[1]

    @cached_property
    def nested(self) -> dict[Node, list[Node]]:
        """Of each factor whose levels each occur in one level of others: these."""
        found: dict[Node, list[Node]] = {}
        for pair in combinations([node for node in self.factors if self.size(node) > 1], 2):
            table = self._together(list(pair))
            for inner, outer, axis in ((1, 0, 0), (0, 1, 1)):
                if (table.sum(axis=axis) == 1).all():
                    found.setdefault(pair[inner], []).append(pair[outer])
                    break
        return found

    @cached_property
    def nests(self) -> list[list[Node]]:
        """Sets of factors that are nested in each other, directly or by way of others."""
        nests: list[list[Node]] = []
        for inner, outer in self.nested.items():
            met = [nest for nest in nests if set(nest) & {inner, *outer}]
            nests = [nest for nest in nests if nest not in met]
            nests.append(list(dict.fromkeys([*(node for nest in met for node in nest), inner, *outer])))
        return nests

    def _together(self, nodes: list[Node]) -> np.ndarray:
        """Whether each combination of levels occurs, as the columns of terms of these factors, or with others, tell."""
        counts = self._counts(nodes)
        if counts is not None:
            return counts > 0
        here, there = self._told_apart(list(nodes))
        return np.isin(here, there).reshape([self.size(node) for node in nodes])

    def counts(self, axes: Sequence[Axis]) -> np.ndarray:
        """Records at each combination of these axes (sizes of the axes).

        Raises
        ------
        MMEError
            The columns of X do not tell their combinations apart.
        """
        if not axes:
            return np.ones(())
        found = self._counts(axes)
        if found is None:
            names = ", ".join(axis if isinstance(axis, str) else deparse(axis) for axis in axes)
            raise MMEError(f"weights of means need the records of each combination of {names}, {self._untold}")
        return found

    def _counts(self, axes: Sequence[Axis]) -> np.ndarray | None:
        """The same; None: the columns of these axes, and of others that they meet in terms, do not tell."""
        met = [term for term in map(self._axes_of, self.spec.fixed.terms) if set(term) & set(axes)]
        wider = list(dict.fromkeys([*axes, *(axis for term in met for axis in term)]))
        for known in (list(axes), wider):
            found = self._counted(known)
            if found is not None:
                return np.asarray(found.sum(axis=tuple(range(len(axes), len(known)))))
        return None

    @property
    def _untold(self) -> str:
        """Why records are not counted."""
        return "which X does not tell"

    def _counted(self, axes: list[Axis]) -> np.ndarray | None:
        """Records at each combination; None: X does not tell."""
        here, there = self._told_apart(axes)
        if np.unique(here).size < here.size:
            return None
        order = np.argsort(here)
        place = order[np.searchsorted(here[order], there).clip(0, here.size - 1)]
        known = here[place] == there
        return np.bincount(place[known], minlength=here.size).reshape([self.size(axis) for axis in axes])

    def _axes_of(self, term: tuple[Node, ...]) -> list[Axis]:
        """The axes of a term of factors and covariates of two values; none of any other term."""
        found = [node if node in self.spec.codings else deparse(node) for node in term]
        known = all(not isinstance(axis, str) or (axis in self.values and self.is_of_records(axis)) for axis in found)
        return found if known else []

    def counted_at(self, others: list[Axis], wanted: Mapping[Axis, np.ndarray], *, by_cell: bool) -> list[Axis]:
        """The wanted axes at each of whose places records are counted: all by cell; nested with what is averaged."""
        joined = [nest for nest in self.nests if set(nest) & set(others)]
        own = [axis for axis in wanted if by_cell or any(axis in nest for nest in joined)]
        return [axis for axis in own if self.is_of_records(axis)]

    def _within_wanted(self, wanted: Sequence[Axis]) -> bool:
        """Whether a factor that is averaged over is nested in a wanted one."""
        return any(inner not in wanted and set(outer) & set(wanted) for inner, outer in self.nested.items())

    def is_of_records(self, axis: Axis) -> bool:
        """Whether records stand at the points of an axis: those of a covariate that ``at`` puts somewhere do not."""
        if not isinstance(axis, str):
            return True
        return axis in self.spec.two_valued and self.values[axis].tolist() == list(self.spec.two_valued[axis])

    def _told_apart(self, axes: list[Axis]) -> tuple[np.ndarray, np.ndarray]:
        """A number for each combination of the axes and for each record, equal where their columns are."""
        shape = [self.size(axis) for axis in axes]
        if self.entries(prod(shape)) > MOST_ENTRIES:
            return np.zeros(prod(shape)), np.zeros(self.X.shape[0])  # as if all occurred
        columns = np.isin(np.array(self.spec.column_terms, dtype=object), self.terms_of(axes))
        crossed, own = self.crossed_rows(axes)[:, columns], self.X[:, columns]
        largest, least = (np.asarray(sp.csr_array(of(axis=0)).toarray()) for of in (crossed.max, crossed.min))
        spread = (largest - least).ravel()
        random = np.random.default_rng(0).normal(size=spread.size)  # one number tells rows apart
        random /= np.where(spread > 0.0, spread, 1.0)  # in any unit of contrasts and covariates
        here, there = (np.round(rows @ random, 9) for rows in (crossed, own))
        return here, there

    def crossed_rows(self, axes: list[Axis]) -> Any:
        """X (combinations, columns) at each combination of the axes, all others at their first place."""
        shape = [self.size(axis) for axis in axes]
        n = prod(shape)
        places: dict[Axis, np.ndarray] = {axis: np.zeros(n, np.intp) for axis in [*self.factors, *self.values]}
        return self.rows(places | dict(zip(axes, np.indices(shape).reshape(len(shape), n), strict=True)), n)

    def terms_of(self, axes: Sequence[Axis]) -> list[str]:
        """The terms of these axes alone."""
        return [
            ":".join(map(deparse, term))
            for term in self.spec.fixed.terms
            if term and all(node in axes or deparse(node) in axes for node in term)
        ]

    def occurring(self, nest: list[Node], axes: list[Axis]) -> np.ndarray:
        """Which combinations of a nest occur, with an axis of one for each axis that is not in it."""
        table = self._together(sorted(nest, key=axes.index))
        return table.reshape([self.size(axis) if axis in nest else 1 for axis in axes])
