"""R by its correlations within one group, for structures without a whitening of their own: O(s^3) a group of s."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.numeric.lapack import cholesky, qr_triangle, triangular_inverse, triangular_solve
from mme.residual.base import Bound

# Eigenvalues of a block that is singular to all digits are kept at this share of the largest.
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False)
class ByGroup(Bound):
    """A structure with its columns read, of which subclasses give :meth:`block`, the correlations within one group.

    R = L L' group by group, W = L^-1. ``codes`` (n,) are those of the groups.

    Examples
    --------
    >>> class BoundEqual(ByGroup):
    ...     def start(self, residual=None):
    ...         return np.zeros(1)
    ...     def natural(self, x):
    ...         return np.tanh(x)
    ...     def block(self, x, members):
    ...         return np.where(np.equal.outer(members, members), 1.0, np.tanh(x))
    >>> R = BoundEqual(3, ("rho",), np.array([0, 1, 0]))
    >>> x = np.arctanh(np.array([0.5]))
    >>> R.covariance(x, np.arange(3))
    array([[1. , 0. , 0.5],
           [0. , 1. , 0. ],
           [0.5, 0. , 1. ]])
    >>> round(float(np.exp(R.logdet(x))), 12)
    0.75
    """

    codes: np.ndarray

    @abstractmethod
    def block(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """R (m, m) among the records ``members`` (m,), all of one group: ones on the diagonal."""

    @property
    def group(self) -> np.ndarray:
        """Codes of the groups."""
        return self.codes

    @cached_property
    def _groups(self) -> list[np.ndarray]:
        """The records of each group."""
        order = np.argsort(self.codes, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.codes[order])) + 1)

    def _roots(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the records of a group, and their L."""
        for members in self._groups:
            yield members, _root(self.block(x, members))

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """L^-1 r."""
        white = np.empty(rows.shape)
        for members, L in self._roots(x):
            white[:, members] = triangular_solve(L, rows[:, members].T, transposed=False).T
        return white

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """L'^-1 r."""
        gathered = np.empty(rows.shape)
        for members, L in self._roots(x):
            gathered[:, members] = triangular_solve(L, rows[:, members].T, transposed=True).T
        return gathered

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """L z."""
        coloured = np.empty(rows.shape)
        for members, L in self._roots(x):
            coloured[:, members] = rows[:, members] @ L.T
        return coloured

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """Sums of squares of the columns of L^-1."""
        diagonal = np.empty(self.n)
        for members, L in self._roots(x):
            diagonal[members] = (triangular_inverse(L.T) ** 2).sum(axis=1)
        return diagonal

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """The lower triangle of each group, by row, a record's own entry first."""
        rows, cols = self._triangles
        by_row = np.lexsort((cols, rows != cols, rows))
        return rows[by_row], cols[by_row]

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """L^-1 there."""
        rows, cols = self._triangles
        values = [triangular_inverse(L.T).T[np.tril_indices(len(L))] for _, L in self._roots(x)]
        return np.asarray(np.concatenate(values)[np.lexsort((cols, rows != cols, rows))])

    @cached_property
    def _triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the entries, group by group."""
        places = [(at, *np.tril_indices(at.size)) for at in self._groups]
        rows = np.concatenate([at[i] for at, i, _ in places])
        return rows, np.concatenate([at[j] for at, _, j in places])

    def logdet(self, x: np.ndarray) -> float:
        """Twice the sum of log L_ii."""
        return 2.0 * float(sum(np.log(np.abs(L.diagonal())).sum() for _, L in self._roots(x)))

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The blocks of the groups, zero between them."""
        R = np.zeros((index.size, index.size))
        for code in np.unique(self.codes[index]).tolist():
            at = np.flatnonzero(self.codes[index] == code)
            R[np.ix_(at, at)] = self.block(x, index[at])
        return R


def _root(R: np.ndarray) -> np.ndarray:
    """Lower triangular L (s, s) with L L' = R, its smallest eigenvalues kept off zero where R is singular."""
    L, failed = cholesky(R)
    if not failed:
        return L
    values, V = np.linalg.eigh(R)
    return np.asarray(qr_triangle((V * np.sqrt(np.maximum(values, _ROUNDING * values[-1]))).T).T)
