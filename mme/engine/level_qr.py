"""The QR of each level's rows, Z_g = Q_g R_g, all levels at once, by modified Gram-Schmidt.

Each inner product is one weighted count of the records by level. Of few records NumPy's calls take most of the time:
there all steps are one loop, where it is at hand as machine code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from mme.numeric.machine_code import machine_code
from mme.numeric.panels import panels
from mme.numeric.sums import Column, sum_by_level

# What a level's earlier columns leave of a column below this share of it is rounding: the column is dependent there.
DEPENDENT = 1e-13
# What the loop takes, by the words of :func:`mme.numeric.machine_code.machine_code`.
_ARGUMENTS = "I1 F2 F2 F3 F2 F3"


@dataclass(frozen=True, eq=False)
class LevelQR:
    """Triangles R (q, q, J), columns of Z orthogonal within each level (None: ones), and 1 / z_j'z_j (q, J).

    Q_g has the rows of these columns divided by ``lengths`` (J, q); where a column is dependent all of its are zero.
    ``in_order``: columns beside them were absorbed by sums in the order of the records, and others are to be, too.
    """

    R: np.ndarray
    Z: tuple[Column, ...]
    inverse: np.ndarray
    in_order: bool = False

    @property
    def lengths(self) -> np.ndarray:
        """The length of each orthogonal column in each level."""
        return self.R.diagonal()


def level_qr(codes: np.ndarray, J: int, columns: Sequence[Column]) -> LevelQR:
    """The QR of columns (n,) by level; as stable as Householder's (Bjorck 1967)."""
    q, Z = len(columns), list(columns)
    R, inverse = np.zeros((q, q, J)), np.zeros((q, J))
    for j, column in enumerate(columns):
        squares = sum_by_level(codes, J, Z[j], Z[j])
        length = squares if j == 0 else sum_by_level(codes, J, column, column)
        independent = squares > DEPENDENT**2 * length
        R[j, j] = np.sqrt(np.where(independent, squares, 0.0))
        np.divide(1.0, squares, out=inverse[j], where=independent)
        for k in range(j + 1, q):
            along = sum_by_level(codes, J, Z[j], Z[k]) * inverse[j]
            R[j, k] = along * R[j, j]
            Z[k] = without(Z[k], along, codes, Z[j], out=np.empty(codes.size))
    return LevelQR(R, tuple(Z), inverse)


def without(column: Column, along: np.ndarray, codes: np.ndarray, z: Column, *, out: np.ndarray) -> np.ndarray:
    """column - along[codes] z; None stands for a column of ones.

    Or the same of several columns (m, n) and as many ``along`` (m, J).
    """
    for cut in panels(codes.size):
        part = along.take(codes[cut], axis=-1, mode="clip")  # codes are in range: without a look at each
        if z is not None:
            part *= z[cut]
        np.subtract(1.0 if column is None else column[..., cut], part, out=out[..., cut])
    return out


def swept(of: LevelQR, codes: np.ndarray, J: int, row: np.ndarray) -> np.ndarray:
    """(q, J): a row (n,) along each orthogonal column of each level, which it loses: it is overwritten."""
    along = np.empty((len(of.Z), J))
    for j, z in enumerate(of.Z):
        along[j] = sum_by_level(codes, J, z, row) * of.inverse[j]
        without(row, along[j], codes, z, out=row)
    return along


def qr_beside(
    codes: np.ndarray, J: int, columns: Sequence[Column], N: np.ndarray
) -> tuple[LevelQR, np.ndarray, np.ndarray] | None:
    """The QR by level, Q_g'N (m, q, J) and (I - QQ')N (m, n) of a few records; None without machine code."""
    loop = machine_code(orthogonalise, _ARGUMENTS, codes.size)
    if loop is None:
        return None
    q = len(columns)
    Z, within = np.empty((q, codes.size)), N.copy()
    for j, column in enumerate(columns):
        Z[j] = 1.0 if column is None else column
    R, inverse, V = np.zeros((q, q, J)), np.zeros((q, J)), np.zeros((len(N), q, J))
    loop(np.ascontiguousarray(codes, dtype=np.int64), Z, within, R, inverse, V)
    first = [None] if columns[0] is None else [Z[0]]
    return LevelQR(R, (*first, *Z[1:]), inverse, in_order=True), V, within


def orthogonalise(
    codes: np.ndarray, Z: np.ndarray, N: np.ndarray, R: np.ndarray, inverse: np.ndarray, V: np.ndarray
) -> float:
    """The loop of :func:`qr_beside`: Z (q, n) and N (m, n) are overwritten; R, ``inverse`` and V are zeros before."""
    (q, n), m, J = Z.shape, N.shape[0], R.shape[2]
    for j in range(q):
        for i in range(n):
            inverse[j, codes[i]] += Z[j, i] * Z[j, i]
    for j in range(q):
        for i in range(n):
            R[j, j, codes[i]] += Z[j, i] * Z[j, i]
        for g in range(J):
            square = R[j, j, g]
            independent = square > DEPENDENT**2 * inverse[j, g]
            R[j, j, g] = sqrt(square) if independent else 0.0
            inverse[j, g] = 1.0 / square if independent else 0.0
        for k in range(j + 1, q):
            for i in range(n):
                R[j, k, codes[i]] += Z[j, i] * Z[k, i]
            for g in range(J):
                R[j, k, g] *= inverse[j, g]
            for i in range(n):
                Z[k, i] -= R[j, k, codes[i]] * Z[j, i]
            for g in range(J):
                R[j, k, g] *= R[j, j, g]
        for k in range(m):
            for i in range(n):
                V[k, j, codes[i]] += Z[j, i] * N[k, i]
            for g in range(J):
                V[k, j, g] *= inverse[j, g]
            for i in range(n):
                N[k, i] -= V[k, j, codes[i]] * Z[j, i]
            for g in range(J):
                V[k, j, g] *= R[j, j, g]
    return 0.0
