"""The reference grid of a fit by sums: what levels occur together, of X'X in the place of the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod

import numpy as np

from mme.formula.columns import INTERCEPT
from mme.formula.syntax import Node
from mme.inference.fixed.occurrence import Axis
from mme.inference.fixed.reference_grid import Grid

# Counts are whole numbers to this, and a sum of weights beside the largest is none below it.
_WHOLE = 1e-6
# Columns beyond which their combinations are not sought.
_MOST = 2000


@dataclass(frozen=True, eq=False)
class SummedGrid(Grid):
    """:class:`Grid` of rows that stand for many records.

    Where the columns of some axes have combinations that are one at one combination of levels and zero at all others,
    X C = (indicators), the records with level i of these and level j of others are (C' X'X D)_ij: rows of sums have
    the X'X of their records.
    """

    has_weights: bool  # X'X is of the weights of the records

    @property
    def _untold(self) -> str:
        beside = " beside weights" if self.has_weights else ""
        return f"which a fit of sums by level does not know{beside}; fit the formula to a table in memory"

    def _counted(self, axes: list[Axis]) -> np.ndarray | None:
        """Records at each combination; None where X'X does not tell them, or has the sums of their weights alone."""
        found = None if self.has_weights else self._of_sums(axes)
        if found is None or (np.abs(found - np.rint(found)) > _WHOLE * np.maximum(found, 1.0)).any():
            return None
        return np.rint(found)

    def _together(self, nodes: list[Node]) -> np.ndarray:
        found = self._of_sums(nodes)
        if found is None:
            return np.ones([self.size(node) for node in nodes], dtype=bool)  # as if all occurred
        return np.asarray(found > _WHOLE * found.max())

    def _of_sums(self, axes: Sequence[Axis]) -> np.ndarray | None:
        """Records, or the sums of their weights, at each combination; None: X'X does not tell."""
        for one, other in _splits(list(axes)):
            C, D = self._indicators(one), self._indicators(other)
            if C is None or D is None:
                continue
            found = np.einsum("ai,ab,bi->i", C, self._XX, C) if not other else C.T @ self._XX @ D
            found = found.reshape([self.size(axis) for axis in (*one, *other)])
            return np.asarray(found.transpose([(*one, *other).index(axis) for axis in axes]))
        return None

    @cached_property
    def _XX(self) -> np.ndarray:
        return np.asarray(self.X.T @ self.X)

    def _indicators(self, axes: list[Axis]) -> np.ndarray | None:
        """C (columns, combinations) with X C one at a combination of levels; None: the columns have none."""
        n = prod(self.size(axis) for axis in axes)
        own = np.flatnonzero(np.isin(np.array(self.spec.column_terms, dtype=object), [INTERCEPT, *self.terms_of(axes)]))
        if not n <= own.size <= _MOST:
            return None
        U, C = self.crossed_rows(axes)[:, own], np.zeros((self.X.shape[1], n))
        try:
            C[own] = np.linalg.inv(U) if own.size == n else np.linalg.lstsq(U, np.eye(n), rcond=None)[0]
        except np.linalg.LinAlgError:
            return None
        return C if np.allclose(U @ C[own], np.eye(n), atol=_WHOLE) else None


def _splits(axes: list[Axis]) -> Iterator[tuple[list[Axis], list[Axis]]]:
    """All ways to part the axes in two, none in the other first."""
    for size in range(len(axes) // 2 + 1):
        for other in combinations(axes, size):
            yield [axis for axis in axes if axis not in other], list(other)
