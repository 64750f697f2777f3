"""Lower triangles: the order of their entries in theta, and the triangle of any root of a covariance."""

from __future__ import annotations

from functools import cache
from math import hypot

import numpy as np

from mme.numeric.lapack import qr_triangle


@cache
def lower_entries(q: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the entries of a lower triangle (q, q), column after column: the order of theta."""
    cols, rows = np.triu_indices(q)
    return fixed(rows), fixed(cols)


def fixed(values: np.ndarray) -> np.ndarray:
    """The same array, which stays as it is: many fits share it."""
    values.flags.writeable = False
    return values


def lower_factor(A: np.ndarray) -> np.ndarray:
    """The lower triangular T with T T' = A A' and a non-negative diagonal.

    Examples
    --------
    >>> lower_factor(np.array([[3.0, 4.0], [4.0, -3.0]])).round(12).tolist()
    [[5.0, 0.0], [0.0, 5.0]]
    """
    if A.shape == (2, 2):
        return _of_two(*A.ravel().tolist())
    T = qr_triangle(A.T).T
    return np.asarray(T * np.where(T.diagonal() < 0.0, -1.0, 1.0) + 0.0)


def _of_two(a: float, b: float, c: float, d: float) -> np.ndarray:
    """That of [a b; c d], by one rotation: most terms have two columns."""
    size = hypot(a, b)
    cos, sin = (a / size, b / size) if size else (1.0, 0.0)
    return np.array([[size, 0.0], [c * cos + d * sin + 0.0, abs(d * cos - c * sin)]])
