"""Descend from many points at once by Newton steps within regions of trust, and tell valleys from one another.

This file knows nothing of mixed models. The function takes and returns stacks. Descents end early: they choose where a
search begins, and the search finds the minimum to all digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# f (S,), gradient (S, k) and Hessian (S, k, k) at x (S, k).
Slopes = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]

# A descent ends where the next step promises no more than this.
_GAIN = 1e-3
_ROUNDS = 40
# A descent that is further out than this, in coordinates of order one, ends too.
_FARTHEST = 1e4
# A reach is no longer one below this.
_NO_REACH = 1e-7
# The reach after a step that gained what was promised, and after one that did not, in lengths of the step.
_LONGER, _SHORTER = 3.0, 0.25
# Descents join a lower one within so much of it, where its quadratic says how far but for this share.
_JOINED, _SHARE = 1.0, 0.1
# Halvings of the interval of lambda.
_HALVINGS = 30


@dataclass(eq=False)
class Descents:
    """Points (S, k) on their way down, with f and its slopes there, how far each may step, and which still go."""

    x: np.ndarray
    f: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    reach: np.ndarray
    going: np.ndarray
    evaluations: int


def descend(f: Slopes, starts: np.ndarray, canonical: Callable[[np.ndarray], np.ndarray] | None = None) -> Descents:
    """Descend from every start (S, k) until it ends, or comes into the valley of another that is lower.

    ``canonical`` takes points at which f is the same, by its symmetries, to one of them, by signs of coordinates;
    without it every descent goes to its own end.
    """
    value, gradient, hessian = f(starts)
    reach = 0.5 * (1.0 + np.linalg.norm(starts, axis=1))
    all_ = Descents(starts.copy(), value, gradient, hessian, reach, np.isfinite(value), len(starts))
    for _ in range(_ROUNDS):
        at = np.flatnonzero(all_.going)
        step, promised = _within_reach(all_.gradient[at], all_.hessian[at], all_.reach[at])
        further = (promised > _GAIN) & (all_.reach[at] > _NO_REACH)
        all_.going[at[~further]] = False
        if not further.any():
            break
        _advance(all_, f, at[further], step[further], promised[further])
        if canonical is not None:
            _join(all_, canonical(all_.x))
    return all_


def _advance(all_: Descents, f: Slopes, at: np.ndarray, step: np.ndarray, promised: np.ndarray) -> None:
    """Take the steps that go down; the reach grows where f falls as promised, and shrinks where it does not."""
    value, gradient, hessian = f(all_.x[at] + step)
    all_.evaluations += at.size
    gain, length = all_.f[at] - value, np.linalg.norm(step, axis=1)
    shorter = np.where(gain > 0.25 * promised, all_.reach[at], _SHORTER * length)
    all_.reach[at] = np.where(gain > 0.75 * promised, np.maximum(all_.reach[at], _LONGER * length), shorter)
    down = gain > 0.0
    moved = at[down]
    all_.x[moved] += step[down]
    all_.f[moved], all_.gradient[moved], all_.hessian[moved] = value[down], gradient[down], hessian[down]
    all_.going[moved] = np.abs(all_.x[moved]).max(axis=1, initial=0.0) < _FARTHEST


def _join(all_: Descents, x: np.ndarray) -> None:
    """End the descents that are where the quadratic of a lower one says: they are in its valley. ``x`` is canonical."""
    signs = np.where(x * all_.x < 0.0, -1.0, 1.0)
    for i in np.flatnonzero(all_.going).tolist():
        above = all_.f[i] - all_.f
        lower = (above > 0.0) | (above == 0.0) & (np.arange(above.size) < i)
        near = np.flatnonzero(lower & (above < _JOINED))
        apart = (x[i] - x[near]) * signs[near]
        curved = 0.5 * np.einsum("si,sij,sj->s", apart, all_.hessian[near], apart)
        expected = curved + np.einsum("si,si->s", apart, all_.gradient[near])
        same = (np.abs(above[near] - expected) <= _SHARE * above[near] + _GAIN) & (curved >= -_GAIN)
        if same.any():
            all_.going[i] = False


def _within_reach(gradient: np.ndarray, hessian: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest point of each quadratic in its ball (S, k), and how far down that is (S,).

    It is -(H + lambda I)^-1 g, as in :mod:`mme.numeric.newton`, for a stack.
    """
    values, vectors = np.linalg.eigh(hessian)
    along = np.einsum("sji,sj->si", vectors, gradient)
    largest = np.abs(values).max(axis=1, initial=1e-300)
    least = np.maximum(0.0, -values[:, 0]) + 1e-10 * largest
    low, high = least, least + np.linalg.norm(gradient, axis=1) / reach
    for _ in range(_HALVINGS):
        middle = np.where(high > 4.0 * low, np.sqrt(low * high), 0.5 * (low + high))
        long = np.linalg.norm(along / (values + middle[:, None]), axis=1) > reach
        low, high = np.where(long, middle, low), np.where(long, high, middle)
    short = -along / (values + least[:, None])
    inside = np.linalg.norm(short, axis=1) <= reach
    step = np.where(inside[:, None], short, -along / (values + high[:, None]))
    left = np.sqrt(np.maximum(reach**2 - (step**2).sum(axis=1), 0.0))  # along negative curvature
    step[:, 0] += np.where(inside & (values[:, 0] < -1e-8 * largest), np.copysign(left, step[:, 0]), 0.0)
    promised = -(along * step + 0.5 * values * step**2).sum(axis=1)
    return np.einsum("sij,sj->si", vectors, step), promised
