"""What structures over occasions share: groups with some of T occasions, C (T, T) for all of these, by its root."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.numeric.differences import slopes
from mme.residual.base import Bound
from mme.residual.patterns import Patterns, observed
from mme.residual.reading import Labels, Reader, same_group
from mme.residual.sensitivity import Sensitivity
from mme.tables.times import by_group


@dataclass(frozen=True, eq=False)
class OverOccasions(Bound):
    """A structure with its columns read: ``occasions`` (n,) the occasion of each record, of T, ``codes`` its group."""

    codes: np.ndarray
    occasions: np.ndarray
    patterns: Patterns
    T: int

    @abstractmethod
    def root(self, x: np.ndarray) -> np.ndarray:
        """B (T, T) with C = B B'."""

    @property
    def group(self) -> np.ndarray:
        """Codes of the groups."""
        return self.codes

    def radius(self) -> np.ndarray:
        """A third: Fisher's z and log ratios from ten groups are as uncertain."""
        return np.full(self.k, 0.3)

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Each group by the factor of its pattern."""
        return self.patterns.whiten(self.root(x), rows)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Each group by the transposed factor of its pattern."""
        return self.patterns.whiten_transposed(self.root(x), rows)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """By pattern."""
        return self.patterns.precision_diagonal(self.root(x))

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Undo the factor of its pattern."""
        return self.patterns.colour(self.root(x), rows)

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower triangle of each group, by row, a record's own entry first."""
        rows, cols = self.patterns.triangles
        return rows[self._by_row], cols[self._by_row]

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """W there."""
        return self.patterns.whitening_triangles(self.root(x))[self._by_row]

    @cached_property
    def _by_row(self) -> np.ndarray:
        rows, cols = self.patterns.triangles
        return np.lexsort((cols, rows != cols, rows))

    def matrix_slopes(self, x: np.ndarray) -> np.ndarray:
        """dC / dx_i (k, T, T); by differences of C, for structures that have nothing better."""

        def matrix(x: np.ndarray) -> np.ndarray:
            B = self.root(x)
            return (B @ B.T).ravel()

        return slopes(matrix, x).reshape(self.k, self.T, self.T)

    def score(self, x: np.ndarray, of: Sensitivity) -> np.ndarray:
        """<S, dC / dx_i>, S summed over the groups at their occasions."""
        return np.einsum("ist,st->i", self.matrix_slopes(x), of.by_occasion(self.occasions, self.T))

    def changes(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """dC / dx_i times v, which is zero on occasions that a group has not."""
        table = self._table(v[None, :])
        moved = table[0] @ self.matrix_slopes(x)
        return np.asarray(moved[:, self.codes, self.occasions])

    def multiplied(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """C times rows that are zero on occasions that a group has not."""
        B = self.root(x)
        return np.asarray((self._table(rows) @ (B @ B.T))[:, self.codes, self.occasions])

    def _table(self, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) as (m, groups, T), zero where a group has no record."""
        table = np.zeros((len(rows), int(self.codes.max()) + 1, self.T))
        table[:, self.codes, self.occasions] = rows
        return table

    def logdet(self, x: np.ndarray) -> float:
        """Return the sum over patterns."""
        return self.patterns.logdet(self.root(x))

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """C of their occasions within groups."""
        B, at = self.root(x), self.occasions[index]
        return np.where(same_group(self.codes, index), (B @ B.T)[np.ix_(at, at)], 0.0)


def read_occasions(reader: Reader, occasions: Labels, groups: Labels) -> np.ndarray:
    """Which occasions each group has (J, T), after the checks that any structure over occasions needs."""
    if occasions.J < 2:
        raise reader.error(f"{occasions.title} has the one level '{occasions.levels[0]}'; a covariance needs two")
    reader.require_pairs(groups)
    order = by_group(groups.codes, occasions.codes)
    reader.require_distinct(groups, occasions.codes, order, occasions.title)
    return observed(groups.codes, occasions.codes, occasions.J)
