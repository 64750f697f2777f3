r"""A rotation of the axes of unstructured terms, after which a search has good coordinates of H = T T'.

The entries of a lower triangle are poor ones where an early row is near zero and a later one is not. With T_11 = 0

    H_22 = T_21^2 + T_22^2,      dH_12 = T_21 dT_11:

H stays on a circle of (T_21, T_22), and where T_21 = 0 the criterion is stationary, whatever its slope along H_12. In
the eigenvectors of H, the largest first, T is diagonal and every zero of it is in the last rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mme.covariance.base import GStructure
from mme.covariance.coordinates import Coordinates, jacobian_of_triangle
from mme.covariance.triangle import lower_entries, lower_factor

# A row of T is near zero beside a later one by this share, and T is near its edge where a singular value is no larger.
_NEAR_ZERO, _EDGE = 0.1, 0.1


@dataclass(frozen=True, eq=False)
class Turns:
    """Orthogonal matrices U (q, q), one for each term that is turned: T at x is the triangle of U T at z."""

    structures: tuple[GStructure, ...]
    turns: tuple[np.ndarray | None, ...]

    def inner(self, z: np.ndarray) -> np.ndarray:
        """Theta in the axes (k,), of unit size, from theta after the turns."""
        x = z.copy()
        for part, U, at in self._turned():
            x[at] = lower_factor(U @ part.T(z[at]))[lower_entries(part.q)]
        return x

    def outer(self, x: np.ndarray) -> np.ndarray:
        """Theta after the turns from theta in the axes: what :meth:`inner` undoes."""
        z = x.copy()
        for part, U, at in self._turned():
            z[at] = lower_factor(U.T @ part.T(x[at]))[lower_entries(part.q)]
        return z

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """dz / dx (k, k)."""
        out = np.eye(x.size)
        for part, U, at in self._turned():
            out[at, at] = jacobian_of_triangle(part.T(x[at]), U.T)
        return out

    @property
    def across(self) -> np.ndarray:
        """Which entries (k,) are off the diagonal of a T that is turned."""
        out = np.zeros(sum(part.k for part in self.structures), dtype=bool)
        for part, _, at in self._turned():
            out[at] = ~part.diagonal
        return out

    def _turned(self) -> Iterator[tuple[GStructure, np.ndarray, slice]]:
        start = 0
        for part, U in zip(self.structures, self.turns, strict=True):
            if U is not None:
                yield part.inner, U, slice(start, start + part.inner.k)
            start += part.k


def turns_at(coordinates: Coordinates, x: np.ndarray) -> Turns | None:
    """Turns that make every T diagonal at x, axes of unit size, where its triangle is a poor one; None: none is.

    Axes of which the data say nothing stay as they are.
    """
    turns: list[np.ndarray | None] = []
    start = 0
    for part, axes in zip(coordinates.structures, coordinates.axes, strict=True):
        U = None if axes is None else _turn(part.T(x[start : start + part.k]), axes.rank)
        turns.append(U)
        start += part.k
    return None if all(U is None for U in turns) else Turns(coordinates.structures, tuple(turns))


def _turn(T: np.ndarray, rank: int) -> np.ndarray | None:
    """Eigenvectors of T T' for the first ``rank`` axes, unless no row of T is near zero before a longer one."""
    own = T[:rank, :rank]
    longest = sqrt(float(np.vdot(own, own)))
    if not any(abs(size) < _NEAR_ZERO * longest for size in own.diagonal().tolist()[:-1]):
        return None
    later = (float((own[j + 1 :, j:] ** 2).sum(axis=1).max()) for j in range(rank - 1))
    if not any(abs(own[j, j]) < _NEAR_ZERO * sqrt(squares) for j, squares in enumerate(later)):
        return None
    left, s, _ = np.linalg.svd(own)
    if not s[-1] < _EDGE:
        return None
    U = np.eye(len(T))
    U[:rank, :rank] = left
    return U
