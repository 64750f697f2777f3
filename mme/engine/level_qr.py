"""The QR of each level's rows, Z_g = Q_g R_g, all levels at once, by modified Gram-Schmidt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.numeric.sums import Column, sum_by_level

# What a level's earlier columns leave of a column below this share of it is rounding: the column is dependent there.
DEPENDENT = 1e-13


@dataclass(frozen=True, eq=False)
class LevelQR:
    """Triangles R (q, q, J), columns of Z orthogonal within each level (None: ones), and 1 / z_j'z_j (q, J).

    Q_g has the rows of these columns divided by ``lengths`` (J, q); where a column is dependent all of its are zero.
    """

    R: np.ndarray
    Z: tuple[Column, ...]
    inverse: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """The length of each orthogonal column in each level."""
        return self.R.diagonal()


def level_qr(codes: np.ndarray, J: int, columns: Sequence[Column]) -> LevelQR:
    """The QR of columns (n,) by level; as stable as Householder's (Bjorck 1967)."""
    q, Z, room = len(columns), list(columns), np.empty(codes.size)
    R, inverse = np.zeros((q, q, J)), np.zeros((q, J))
    for j, column in enumerate(columns):
        squares = sum_by_level(codes, J, Z[j], Z[j], room=room)
        length = squares if j == 0 else sum_by_level(codes, J, column, column, room=room)
        independent = squares > DEPENDENT**2 * length
        R[j, j] = np.sqrt(np.where(independent, squares, 0.0))
        np.divide(1.0, squares, out=inverse[j], where=independent)
        for k in range(j + 1, q):
            along = sum_by_level(codes, J, Z[j], Z[k], room=room) * inverse[j]
            R[j, k] = along * R[j, j]
            Z[k] = without(Z[k], along, codes, Z[j], out=np.empty(codes.size), part=room)
    return LevelQR(R, tuple(Z), inverse)


def without(
    column: Column, along: np.ndarray, codes: np.ndarray, z: Column, *, out: np.ndarray, part: np.ndarray
) -> np.ndarray:
    """column - along[codes] z; None stands for a column of ones, ``part`` is room for what is taken.

    Or the same of several columns (m, n) and as many ``along`` (m, J).
    """
    along.take(codes, axis=-1, out=part, mode="clip")  # codes are in range: without a look at each
    if z is not None:
        part *= z
    return np.subtract(1.0 if column is None else column, part, out=out)
