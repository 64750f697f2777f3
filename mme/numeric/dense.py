"""The dense Cholesky factor: a triangle of LAPACK's that answers what every factor does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.lapack import cholesky, cholesky_inverse, cholesky_solve, triangular_solve


@dataclass(frozen=True, eq=False)
class DenseFactor:
    """A = L L', the equations in their own order.

    Examples
    --------
    >>> factor = DenseFactor(np.array([[2.0, 0.0], [1.0, 2.0]]))  # of [[4, 2], [2, 5]]
    >>> factor.solve(np.array([8.0, 12.0])).tolist(), round(factor.logdet, 4)
    ([1.0, 2.0], 2.7726)
    >>> factor.inverse().tolist()
    [[0.3125, -0.125], [-0.125, 0.25]]
    """

    L: np.ndarray

    is_dense = True

    @property
    def logdet(self) -> float:
        """log |A|."""
        return 2.0 * float(np.log(self.L.diagonal()).sum())

    @property
    def pivots(self) -> np.ndarray:
        """Squared diagonal of L (n,)."""
        return np.asarray(self.L.diagonal() ** 2)

    @property
    def perm(self) -> np.ndarray:
        """The equations in their own order (n,)."""
        return np.arange(len(self.L))

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b."""
        return cholesky_solve(self.L, b)

    def forward(self, b: np.ndarray) -> np.ndarray:
        """L^-1 b."""
        return triangular_solve(self.L, b, transposed=False)

    def backward(self, c: np.ndarray) -> np.ndarray:
        """L^-T c."""
        return triangular_solve(self.L, c, transposed=True)

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Entries (row, col) of A^-1."""
        return np.asarray(cholesky_inverse(self.L)[np.maximum(row, col), np.minimum(row, col)])

    def inverse(self) -> np.ndarray:
        """A^-1 (n, n), whole."""
        lower = np.tril(cholesky_inverse(self.L))
        return np.asarray(lower + np.tril(lower, -1).T)


def cholesky_in_place(S: np.ndarray, *, clean: bool = True) -> np.ndarray:
    """L of S = L L', of which the lower triangle is read and everything overwritten.

    What stands above the triangle is left there where it need not be ``clean``: memory of zeros that nobody touches is
    never taken.

    Raises
    ------
    NotPositiveDefiniteError
        A pivot is not positive.
    """
    L, failed = cholesky(S, overwrite=True, clean=clean)
    if failed or (L.size and not L[-1, -1] > 0.0):
        raise NotPositiveDefiniteError(f"pivot {failed} is not positive")
    return L
