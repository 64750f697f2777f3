"""theta -> T: structures of one level's relative covariance G / sigma^2 = T T'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError


@dataclass(frozen=True, eq=False)
class Structure:
    """T (q, q) lower triangular with ``T[rows, cols] = theta`` and zeros elsewhere.

    T and T with the sign of a column changed are the same covariance, so the criterion is an even, smooth function
    of a column and ``T[j, j] >= 0`` is a convention (:meth:`canonical`), not a constraint that a search must obey.
    """

    q: int
    rows: np.ndarray
    cols: np.ndarray

    @property
    def k(self) -> int:
        """Length of theta."""
        return int(self.rows.size)

    @property
    def diagonal(self) -> np.ndarray:
        """Which entries of theta are diagonal entries of T (zero there is a singular fit)."""
        return np.asarray(self.rows == self.cols)

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""
        T = np.zeros((self.q, self.q))
        T[self.rows, self.cols] = theta
        return T

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Theta of the same T T' with a non-negative diagonal of T."""
        T = self.T(theta)
        signs = np.where(np.diag(T) < 0.0, -1.0, 1.0)
        return np.asarray((T * signs)[self.rows, self.cols] + 0.0)

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Theta whose T T' approximates a symmetric H, with variances of at least ``floor`` (q,)."""
        scale = np.sqrt(np.maximum(np.diag(H), floor))
        R = H / np.outer(scale, scale)
        values, vectors = np.linalg.eigh(np.clip((R + R.T) / 2, -0.9, 0.9) + 0.1 * np.eye(self.q))
        L = np.linalg.cholesky((vectors * np.maximum(values, 0.05)) @ vectors.T)
        return np.asarray((scale[:, None] * L / np.linalg.norm(L, axis=1)[:, None])[self.rows, self.cols])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """lme4's names of theta: ``g.x`` for a standard deviation, ``g.x2.x1`` for an off-diagonal entry."""
        return tuple(
            f"{term}.{columns[i]}" if i == j else f"{term}.{columns[i]}.{columns[j]}"
            for i, j in zip(self.rows.tolist(), self.cols.tolist(), strict=True)
        )


def structure(kind: str, q: int, term: str) -> Structure:
    """The structure named ``kind`` for a term of ``q`` columns; theta runs down the columns of T, as in lme4.

    Examples
    --------
    >>> structure("unstructured", 2, "g").T(np.array([1.0, 0.5, 2.0]))
    array([[1. , 0. ],
           [0.5, 2. ]])
    """
    if kind == "unstructured":
        cols, rows = np.triu_indices(q)
        return Structure(q, rows, cols)
    if kind == "diagonal":
        return Structure(q, np.arange(q), np.arange(q))
    raise MMEError(f"term '{term}': covariance {kind!r} is not known; use 'unstructured' or 'diagonal'")
