r"""Columns that share their coefficients: T of several columns by that of fewer.

Column j of the term has the coefficient s(j): with S (q, r) its ones, b_g = S c_g and G = S G_c S'. Several labels of a
record then have effects of one kind: parents of a diallel, members of a group, mates in a pen. Where coefficients come
in the order of their first columns, [S T_c, 0] is lower triangular.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.covariance.base import GStructure
from mme.covariance.triangle import lower_factor


@dataclass(frozen=True, eq=False)
class SharedColumns(GStructure):
    """``of`` (q,) is the coefficient of each column, ``own`` the structure of the coefficients.

    Examples
    --------
    >>> from mme.covariance.entries import free_triangle
    >>> both = SharedColumns((0, 0), free_triangle(1))
    >>> both.T(np.array([2.0]))
    array([[2., 0.],
           [2., 0.]])
    """

    of: tuple[int, ...]
    own: GStructure
    floor: np.ndarray | None = None

    @property
    def q(self) -> int:  # type: ignore[override]
        """Number of columns."""
        return len(self.of)

    @property
    def k(self) -> int:  # type: ignore[override]
        """Length of theta."""
        return self.own.k

    @property
    def diagonal(self) -> np.ndarray:  # type: ignore[override]
        """Which entries of theta stand on the diagonal of T: those of the structure of the coefficients."""
        return self.own.diagonal

    @property
    def kind(self) -> str:
        """The word of the coefficients' structure."""
        return self.own.kind

    @property
    def correlated(self) -> bool:
        """Whether coefficients can be correlated."""
        return self.own.correlated

    @property
    def is_even(self) -> bool:
        """Whether standard deviations of the coefficients stand in T T' as their squares alone."""
        return self.own.is_even

    @cached_property
    def chosen(self) -> np.ndarray:
        """The first column of each coefficient (r,)."""
        return np.unique(self.of, return_index=True)[1]

    @cached_property
    def _S(self) -> np.ndarray:
        return np.eye(self.own.q)[list(self.of)]

    def T(self, theta: np.ndarray) -> np.ndarray:
        """[S T_c, 0]."""
        root = self._S @ self.own.T(theta)
        if self.floor is not None:
            return lower_factor(np.column_stack([root, np.diag(self.floor)]))
        return np.column_stack([root, np.zeros((self.q, self.q - root.shape[1]))])

    def with_inverse(self, least: np.ndarray) -> SharedColumns:
        """A structure with these standard deviations (q,) beside what is shared, whose T T' has an inverse."""
        return replace(self, floor=least)

    def _of_columns(self, values: np.ndarray) -> np.ndarray:
        """The mean over the columns of each coefficient."""
        return np.asarray(self._S.T @ values) / self._S.sum(axis=0)

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Theta to start from: that of the coefficients, for the mean of H over the columns of each."""
        mean = self._S / self._S.sum(axis=0)
        own = mean.T @ H @ mean
        np.fill_diagonal(own, self._of_columns(np.diag(H)))
        return self.own.nearest(own, self._of_columns(floor))

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """A value for each entry of theta: that of the structure of the coefficients."""
        return self.own.per_row(np.exp(self._of_columns(np.log(np.maximum(of_columns, 1e-300)))), of_others)

    def radius(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """How far off a start may be: that of the structure of the coefficients."""
        return self.own.radius(np.exp(self._of_columns(np.log(np.maximum(of_columns, 1e-300)))), of_others)

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of theta: those of the structure of the coefficients, by the names of their first columns."""
        return self.own.names(term, [columns[j] for j in self.chosen.tolist()])

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """Names of the natural parameters: those of the structure of the coefficients."""
        return self.own.natural_names(term, [columns[j] for j in self.chosen.tolist()])

    @property
    def times_sigma(self) -> np.ndarray:
        """Which natural parameters are in units of sigma: those of the structure of the coefficients."""
        return self.own.times_sigma

    def natural(self, theta: np.ndarray, sigma: float) -> np.ndarray:
        """The natural parameters: those of the structure of the coefficients."""
        return self.own.natural(theta, sigma)

    @property
    def natural_bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of the structure of the coefficients."""
        return self.own.natural_bounds

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The theta that is reported: that of the structure of the coefficients."""
        return self.own.canonical(theta)

    def edge(self, theta: np.ndarray) -> np.ndarray:
        """Which entries of theta are at the edge of the model: that of the structure of the coefficients."""
        return self.own.edge(theta)

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """The theta of no variance: that of the structure of the coefficients."""
        return self.own.nothing(theta)

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Thetas where another valley may be: those of the structure of the coefficients."""
        return self.own.elsewhere(theta, size)

    def inside(self, theta: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Theta at which T is not singular: that of the structure of the coefficients."""
        return self.own.inside(theta, least)

    def columns_of(self, entries: np.ndarray) -> np.ndarray:
        """All columns of the coefficients that these are of."""
        return np.asarray(self.own.columns_of(entries)[list(self.of)])

    @property
    def additive(self) -> bool:  # type: ignore[override]
        """Whether G = sum_i theta_i^2 D_i: where the covariance of the coefficients is such a sum."""
        return self.own.additive

    def directions(self, theta: np.ndarray, information: np.ndarray) -> tuple[list[np.ndarray], np.ndarray] | None:
        """S times those of the coefficients."""
        found = self.own.directions(theta, self._S.T @ information @ self._S)
        return None if found is None else ([self._S @ F for F in found[0]], found[1])

    def added(self, theta: np.ndarray, F: np.ndarray, t: float) -> np.ndarray:
        """The theta of T T' + t F F': that of the structure of the coefficients."""
        return self.own.added(theta, F[self.chosen], t)

    def columns_summed(self, Z: sp.csr_array) -> sp.csr_array:
        """Columns of a term (n, J q) added up by coefficient (n, J r)."""
        J = Z.shape[1] // self.q
        return sp.csr_array(Z @ sp.kron(sp.eye_array(J), sp.csr_array(self._S)))

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """S dG_c S'."""
        return np.asarray(self._S @ self.own.slopes(theta, unit) @ self._S.T)

    def curvature(self, theta: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Second derivatives of <weights, T T'>: that of the structure of the coefficients, weights S'W S."""
        return self.own.curvature(theta, unit, self._S.T @ weights @ self._S)


def shared_by(structure: GStructure) -> SharedColumns | None:
    """The structure of a term whose columns share coefficients."""
    inner = structure.inner
    return inner if isinstance(inner, SharedColumns) else None
