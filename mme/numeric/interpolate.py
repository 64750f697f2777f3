"""Curves through a few points: monotone interpolation, and where a level is crossed."""

from __future__ import annotations

import numpy as np


def lagrange_weights(at: float, nodes: np.ndarray) -> np.ndarray:
    """Weights of the values at the nodes in the polynomial through them."""
    ratios = (at - nodes)[None, :] / (nodes[:, None] - nodes + np.eye(nodes.size))
    np.fill_diagonal(ratios, 1.0)
    return np.asarray(ratios.prod(axis=1))


def crossing(zeta: float, reached: np.ndarray, values: np.ndarray) -> float:
    """Where zeta is reached first: by a parabola through the nearest knots, or by a line where that leads astray."""
    after = int(np.argmax(reached > zeta))
    ends = slice(after - 1, after + 1)
    near = np.argsort(np.abs(reached - zeta))[:3]
    low, high = sorted(values[ends].tolist())
    if np.unique(reached[near]).size == 3:
        guess = float(lagrange_weights(zeta, reached[near]) @ values[near])
        if low < guess < high:
            return guess
    return float(np.interp(zeta, reached[ends], values[ends]))


def first_reached(zeta: np.ndarray) -> np.ndarray:
    """The knots at which zeta is further out than at all before, seen from the estimate: a profile may turn back."""
    right, kept = ~np.signbit(zeta), np.empty(zeta.size, dtype=bool)
    kept[right] = _records(zeta[right], -1.0)
    kept[~right] = _records(-zeta[~right][::-1], 0.0)[::-1]  # one knot at zero is enough: the estimate
    return kept


def _records(size: np.ndarray, first: float) -> np.ndarray:
    """Which entries exceed all before them, of which a first is given."""
    return size > np.maximum.accumulate(np.append(first, size))[:-1]


def monotone(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Monotone cubic interpolation: slopes of the parabola through three neighbours, cut where they would overshoot.

    Fritsch & Carlson (1980), SIAM J. Numer. Anal. 17, 238-246: three times the flatter of the neighbouring secants is
    safe.
    """
    from scipy.interpolate import CubicHermiteSpline

    if x.size < 3:
        return np.interp(at, x, y)
    h, secants = np.diff(x), np.diff(y) / np.diff(x)
    slopes = np.empty(x.size)
    slopes[1:-1] = (h[1:] * secants[:-1] + h[:-1] * secants[1:]) / (h[:-1] + h[1:])
    slopes[0], slopes[-1] = 2.0 * secants[0] - slopes[1], 2.0 * secants[-1] - slopes[-2]
    before, after = np.concatenate((secants[:1], secants)), np.concatenate((secants, secants[-1:]))
    flattest = np.where(before * after > 0.0, np.minimum(np.abs(before), np.abs(after)), 0.0)
    slopes = np.sign(before) * np.clip(np.sign(before) * slopes, 0.0, 3.0 * flattest)
    return np.asarray(CubicHermiteSpline(x, y, slopes)(at))
