"""Sparse columns whose rows repeat: F = diag(w) U[at], each row of U once.

Records of one animal have one row of the fractions that come from groups of unknown parents: products with F take the
rows of U, and a number for each record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

# Rows are pooled where they have so many entries on average, and repeat so often.
_LONG, _OFTEN = 2.0, 2.0


@dataclass(frozen=True, eq=False)
class Pooled:
    """``U`` (u, f), which of its rows each of n has, ``at`` (n,), and how many times, ``w`` (n,); None: once."""

    U: sp.csr_array
    at: np.ndarray
    w: np.ndarray | None = None

    def chosen(self, columns: np.ndarray) -> Pooled:
        """Some of the columns."""
        return replace(self, U=sp.csr_array(self.U[:, columns]))

    def scaled(self, sizes: np.ndarray) -> Pooled:
        """The columns times these numbers (f,)."""
        return replace(self, U=sp.csr_array(self.U @ sp.diags_array(sizes)))

    def weighted(self, w: np.ndarray | None) -> Pooled:
        """The rows times these numbers (n,)."""
        return replace(self, w=w)

    def transposed(self, row: np.ndarray) -> np.ndarray:
        """F'v for v (n,)."""
        return np.asarray(self.U.T @ np.bincount(self.at, self._weighed(row), minlength=self.U.shape[0]))

    def times(self, c: np.ndarray) -> np.ndarray:
        """F c for c (f,)."""
        return self._weighed((self.U @ c)[self.at])

    def crossed(self, Z: sp.csr_array) -> sp.csr_array:
        """Z'F for Z (n, J), by the rows of U that each column of Z meets."""
        data = np.ones(self.at.size) if self.w is None else self.w
        places = sp.csr_array((data, self.at, np.arange(self.at.size + 1)), shape=(self.at.size, self.U.shape[0]))
        return sp.csr_array((Z.T.tocsr() @ places) @ self.U)

    @property
    def gram(self) -> sp.csc_array:
        """F'F."""
        squares = None if self.w is None else self.w * self.w
        each = np.bincount(self.at, squares, minlength=self.U.shape[0]).astype(float)
        return sp.csc_array(self.U.T @ (sp.diags_array(each) @ self.U))

    def _weighed(self, row: np.ndarray) -> np.ndarray:
        return row if self.w is None else row * self.w


def pooled(F: sp.csr_array) -> Pooled | None:
    """The rows of F, entries in order, each once; None where they are short or hardly repeat.

    Equal rows have equal images on a random direction; unequal ones only by an accident that is checked.
    """
    n, f = F.shape
    if F.nnz < _LONG * n:
        return None
    image = F @ np.random.default_rng(0).standard_normal(f)
    _, first, at = np.unique(image, return_index=True, return_inverse=True)
    if _OFTEN * first.size > n:
        return None
    U = sp.csr_array(F[first])
    again = U[at]
    same = all(np.array_equal(a, b) for a, b in ((again.indices, F.indices), (again.data, F.data)))
    return Pooled(U, at) if same else None
