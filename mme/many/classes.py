"""Classes of levels of the absorbed block: levels with equal R_g, whose products are needed as sums over a class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import classes_of


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of levels whose R_g (q, q) are equal.

    Attributes
    ----------
    R : (C, q, q) array
        The triangle of each class.
    members : (J,) array
        The class of each level.
    pairs : tuple of (int, int)
        Entries of a packed symmetric (q, q), row by row.
    """

    R: np.ndarray
    members: np.ndarray
    pairs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, R: np.ndarray) -> Classes:
        """The classes of triangles (q, q, J)."""
        first, members = classes_of(R)
        q = len(R)
        pairs = tuple((i, j) for i in range(q) for j in range(i, q))
        return cls(np.ascontiguousarray(R[:, :, first].transpose(2, 0, 1)), members, pairs)

    @property
    def C(self) -> int:
        """Number of classes."""
        return len(self.R)

    @property
    def counts(self) -> np.ndarray:
        """Levels (C,) of each class."""
        return np.bincount(self.members, minlength=self.C)

    @property
    def indicator(self) -> sp.csr_array:
        """Which class each level is of (C, J)."""
        J = self.members.size
        return sp.csr_array((np.ones(J), (self.members, np.arange(J))), shape=(self.C, J))

    def both(self, i: int, j: int) -> list[tuple[int, int]]:
        """The entries of a symmetric matrix that a packed one stands for: [i, j], and [j, i] where i is not j."""
        return [(i, j)] if i == j else [(i, j), (j, i)]

    def sums(self, V: np.ndarray) -> np.ndarray:
        """sum_{g in c} V_g[i] V_g[j]' for V (p, q, J), and its transpose where i is not j, as (C, pairs, p, p)."""
        out = np.zeros((self.C, len(self.pairs), len(V), len(V)))
        order, cuts = np.argsort(self.members, kind="stable"), np.concatenate([[0], np.cumsum(self.counts)])
        for c in range(self.C):
            of = V[:, :, order[cuts[c] : cuts[c + 1]]]
            for e, (i, j) in enumerate(self.pairs):
                product = of[:, i] @ of[:, j].T
                out[c, e] = product if i == j else product + product.T
        return out

    def map(self, V: np.ndarray) -> sp.csr_array:
        """The linear map that makes such sums of V (p, q, J) beside y, for y (q J,): rows (C, pairs, p)."""
        (p, q, J), count = V.shape, len(self.pairs)
        rows, cols, values = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0)]
        for e, (i, j) in enumerate(self.pairs):
            for one, other in self.both(i, j):
                place = (self.members[None, :] * count + e) * p + np.arange(p)[:, None]
                rows.append(place.ravel())
                cols.append(np.tile(other * J + np.arange(J), p))
                values.append(V[:, one].ravel())
        at = np.concatenate(rows), np.concatenate(cols)
        return sp.csr_array(sp.coo_array((np.concatenate(values), at), shape=(self.C * count * p, q * J)))
