"""Derivatives by finite differences of high order: central, or one way where a cone is not to be left."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Central differences on -3h ... 3h, exact for polynomials of degree six (Fornberg 1988, Math. Comp. 51:699).
_FIRST = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / 60.0
_SECOND = np.array([2.0, -27.0, 270.0, -490.0, 270.0, -27.0, 2.0]) / 180.0
# Of the five in the middle, exact for degree five: what it has otherwise tells of the order left out.
_SECOND_OF_FIVE = np.array([0.0, -1.0, 16.0, -30.0, 16.0, -1.0, 0.0]) / 12.0
# One-sided differences: points on (0, _REACH] beside 0. The singularities nearest to it lie at -1, or beyond.
_REACH, _POINTS = 0.1, 7
# Step of first derivatives by coordinates of order one: its sixth power is some 1e-11, rounding a share 1e-14 of f.
_STEP = 0.015


def slopes(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """First derivatives (k, size) of a smooth f (size,) at x (k,), in coordinates of order one.

    Examples
    --------
    >>> slopes(lambda x: np.array([x[0] ** 3 + x[1], x[0] * x[1]]), np.array([2.0, 5.0])).round(9)
    array([[12.,  5.],
           [ 1.,  2.]])
    """
    offsets = np.flatnonzero(_FIRST)
    steps = _STEP * np.eye(x.size)
    return np.array([sum(_FIRST[i] * f(x + (i - 3) * step) for i in offsets) / _STEP for step in steps])


def central(f: Callable[[np.ndarray], np.ndarray], k: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First derivatives (k, size) of f (size,) at 0, second ones (k, k) of its last entry, and by five points (k,).

    Mixed ones from the second derivative along (e_i + e_j) / sqrt 2.
    """
    origin = f(np.zeros(k))
    offsets = np.arange(-3, 4)

    def along(direction: np.ndarray) -> np.ndarray:
        return np.array([f(float(offset) * direction) if offset else origin for offset in offsets])

    first, second, of_five = np.zeros((k, size)), np.zeros((k, k)), np.zeros(k)
    for i in range(k):
        line = along(np.eye(k)[i])
        first[i], second[i, i], of_five[i] = _FIRST @ line, _SECOND @ line[:, -1], _SECOND_OF_FIVE @ line[:, -1]
    for i in range(k):
        for j in range(i):
            mixed = _SECOND @ along((np.eye(k)[i] + np.eye(k)[j]) / np.sqrt(2.0))[:, -1]
            second[i, j] = second[j, i] = mixed - 0.5 * (second[i, i] + second[j, j])
    return first, second, of_five


def one_sided(f: Callable[[float], np.ndarray], origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f'(0) and f''(0) from f(0) and f on (0, _REACH]: derivatives of the polynomial through Chebyshev's points."""
    degree = np.arange(_POINTS + 1)
    angles = np.pi * (1.0 - degree / _POINTS)
    coefficients = np.linalg.inv(np.cos(np.outer(angles, degree)))  # T_n(cos a) = cos(n a)
    first = (-1.0) ** (degree + 1) * degree**2  # T_n'(-1)
    second = (-1.0) ** degree * degree**2 * (degree**2 - 1.0) / 3.0  # T_n''(-1)
    beside = (0.5 * _REACH * (np.cos(angles[1:]) + 1.0)).tolist()
    values = coefficients @ np.array([origin, *(f(t) for t in beside)])
    return (2.0 / _REACH) * (first @ values), (2.0 / _REACH) ** 2 * (second @ values)
