"""Derivatives of functions by differences of nine values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

# Coefficients at 1, 2, 3 and 4 steps to the right; to the left their negatives, or (of the second) themselves.
_FIRST = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
_SECOND = (8 / 5, -1 / 5, 8 / 315, -1 / 560)
_THIRD = (-61 / 30, 169 / 120, -3 / 10, 7 / 240)
# Steps at which truncation and rounding are alike for functions of order one: 1e-14, 1e-13 and 1e-11 of them are lost.
_STEPS = (0.02, 0.05, 0.05)


def derivative(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, order: int = 1) -> np.ndarray:
    """The derivative of an order, 1 to 3, of a function of x (n,), value by value.

    Examples
    --------
    >>> derivative(np.exp, np.zeros(1), 3).round(8)
    array([1.])
    """
    h = _STEPS[order - 1]
    coefficients, sign = (_FIRST, _SECOND, _THIRD)[order - 1], -1.0 if order % 2 else 1.0
    out = f(x) * (-205.0 / 72.0) if order == 2 else np.zeros(np.shape(x))
    for k, c in enumerate(coefficients, 1):
        out = out + c * (f(x + k * h) + sign * f(x - k * h))
    return out / h**order


def derivative_by(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray, k: int) -> np.ndarray:
    """The derivative of f(x), of any shape, by the k-th of the numbers x."""
    h, out = _STEPS[0], 0.0
    for j, c in enumerate(_FIRST, 1):
        step = np.zeros(x.size)
        step[k] = j * h
        out = out + c * (f(x + step) - f(x - step))
    return np.asarray(out / h)
