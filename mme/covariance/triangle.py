"""Lower triangles: the order of their entries in theta, and the triangle of any root of a covariance."""

from __future__ import annotations

from functools import cache
from math import hypot

import numpy as np

from mme.numeric.lapack import qr_triangle

# A diagonal entry below this share of its row is rounding.
_DEPENDENT = 1e-13


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

    Where a row depends on those before, its diagonal is zero and so is the column below: T is unique, and moves
    smoothly with the other rows.

    Examples
    --------
    >>> lower_factor(np.array([[3.0, 4.0], [4.0, -3.0]])).round(12).tolist()
    [[5.0, 0.0], [0.0, 5.0]]
    >>> lower_factor(np.array([[0.0, 0.0], [4.0, 3.0]])).round(12).tolist()
    [[0.0, 0.0], [0.0, 5.0]]
    """
    if A.shape == (2, 2):
        return _of_two(*A.ravel().tolist())
    T = qr_triangle(A.T).T
    diagonal = T.diagonal()
    T = np.asarray(T * np.where(diagonal < 0.0, -1.0, 1.0) + 0.0)
    if np.abs(diagonal).min(initial=np.inf) <= _DEPENDENT * np.abs(T).max(initial=0.0):
        _settle(T)
    return T


def _settle(T: np.ndarray) -> None:
    """Turn the columns from the first zero of the diagonal on, in place: that column is zero, the others triangular."""
    dependent = T.diagonal() <= _DEPENDENT * np.abs(T).max(axis=1)
    j = int(np.argmax(dependent))
    if dependent[j]:
        T[j + 1 :, j + 1 :] = lower_factor(T[j + 1 :, j:])
        T[j:, j] = 0.0


def _of_two(a: float, b: float, c: float, d: float) -> np.ndarray:
    """That of [a b; c d], by one rotation: most terms have two columns."""
    size = hypot(a, b)
    if not size:
        return np.array([[0.0, 0.0], [0.0, hypot(c, d)]])
    cos, sin = a / size, b / size
    return np.array([[size, 0.0], [c * cos + d * sin + 0.0, abs(d * cos - c * sin)]])
