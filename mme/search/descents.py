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
# Where they end then, by its arcsinh.
_OUTERMOST = float(np.arcsinh(3.0 * _FARTHEST))
# A reach is no longer one below this.
_NO_REACH = 1e-7
# The reach after a step that gained what was promised, and after one that did not, in lengths of the step.
_LONGER, _SHORTER = 3.0, 0.25
# Descents join a lower one within so much of it, where its quadratic says how far but for this share.
_JOINED, _SHARE = 1.0, 0.1
# Ends are of one valley where f differs by no more than this.
_SAME = 1e-2
# Newton steps for lambda, and how much longer than its reach a step may be.
_NEWTON_STEPS, _LONG = 20, 1.0 + 1e-12


@dataclass(eq=False)
class Descents:
    """Points (S, k) on their way down, with f and its slopes there, how far each may step, and which still go.

    ``joined`` are those that came into the valley of a lower one.
    """

    x: np.ndarray
    f: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    reach: np.ndarray
    going: np.ndarray
    joined: np.ndarray
    evaluations: int

    @property
    def in_one_valley(self) -> bool:
        """Whether all came to one value, each by itself or behind a lower one."""
        return bool((self.f[~self.joined] < self.f.min() + _SAME).all())


def descend(
    f: Slopes,
    starts: np.ndarray,
    canonical: Callable[[np.ndarray], np.ndarray] | None = None,
    *,
    by_logarithms: bool = False,
) -> Descents:
    """Descend from every start (S, k) until it ends, or comes into the valley of another that is lower.

    ``canonical`` takes points at which f is the same, by its symmetries, to one of them, by signs of coordinates;
    without it every descent goes to its own end. ``by_logarithms``: steps far out are of logarithms, which is right
    for standard deviations; of entries of covariances, whose valleys are narrow, such steps leave them.
    """
    value, gradient, hessian = f(starts)
    coordinates, none = _Coordinates(by_logarithms), np.zeros(len(starts), dtype=bool)
    reach = 0.5 * (1.0 + np.linalg.norm(coordinates.of(starts), axis=1))
    all_ = Descents(starts.copy(), value, gradient, hessian, reach, np.isfinite(value), none, len(starts))
    for _ in range(_ROUNDS):
        at = np.flatnonzero(all_.going)
        slopes = coordinates.slopes(all_.x[at], all_.gradient[at], all_.hessian[at])
        step, promised = _within_reach(*slopes, all_.reach[at])
        further = (promised > _GAIN) & (all_.reach[at] > _NO_REACH)
        all_.going[at[~further]] = False
        if not further.any():
            break
        x = coordinates.moved(all_.x[at[further]], step[further])
        _advance(all_, f, at[further], x, np.linalg.norm(step[further], axis=1), promised[further])
        if canonical is not None:
            _join(all_, canonical(all_.x))
    return all_


@dataclass(frozen=True)
class _Coordinates:
    """Those in which steps are taken: x, or arcsinh(x), near zero x itself and far out its logarithm.

    Far out a criterion is c log x of a standard deviation: straight by its logarithm, where a quadratic of x is a dome.
    """

    by_logarithms: bool

    def of(self, x: np.ndarray) -> np.ndarray:
        """The coordinates (S, k)."""
        return np.arcsinh(x) if self.by_logarithms else x

    def moved(self, x: np.ndarray, step: np.ndarray) -> np.ndarray:
        """The points (S, k) that lie a step from x, by logarithms no further out than descents go."""
        if not self.by_logarithms:
            return x + step
        return np.asarray(np.sinh(np.clip(np.arcsinh(x) + step, -_OUTERMOST, _OUTERMOST)))

    def slopes(self, x: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (S, k) and Hessian (S, k, k) by these coordinates, from those by x."""
        if not self.by_logarithms:
            return gradient, hessian
        change, diagonal = np.sqrt(1.0 + x * x), np.arange(x.shape[1])
        hessian = hessian * change[:, :, None] * change[:, None, :]
        hessian[:, diagonal, diagonal] += gradient * x
        return gradient * change, hessian


def _advance(
    all_: Descents, f: Slopes, at: np.ndarray, x: np.ndarray, length: np.ndarray, promised: np.ndarray
) -> None:
    """Go to x where that is down; the reach grows where f falls as promised, and shrinks where it does not."""
    value, gradient, hessian = f(x)
    all_.evaluations += at.size
    gain = all_.f[at] - value
    shorter = np.where(gain > 0.25 * promised, all_.reach[at], _SHORTER * length)
    all_.reach[at] = np.where(gain > 0.75 * promised, np.maximum(all_.reach[at], _LONGER * length), shorter)
    down = gain > 0.0
    moved = at[down]
    all_.x[moved], all_.f[moved] = x[down], value[down]
    all_.gradient[moved], all_.hessian[moved] = gradient[down], hessian[down]
    all_.going[moved] = np.abs(x[down]).max(axis=1, initial=0.0) < _FARTHEST


def _join(all_: Descents, x: np.ndarray) -> None:
    """End the descents that are where the quadratic of a lower one says: they are in its valley. ``x`` is canonical."""
    going, signs, numbers = np.flatnonzero(all_.going), np.where(x * all_.x < 0.0, -1.0, 1.0), np.arange(len(x))
    above = all_.f[going, None] - all_.f
    lower = (above > 0.0) | (above == 0.0) & (numbers < going[:, None])
    row, of = np.nonzero(lower & (above < _JOINED))
    i, above = going[row], above[row, of]
    apart = (x[i] - x[of]) * signs[of]
    curved = 0.5 * np.einsum("pi,pij,pj->p", apart, all_.hessian[of], apart)
    expected = curved + (apart * all_.gradient[of]).sum(axis=1)
    same = (np.abs(above - expected) <= _SHARE * above + _GAIN) & (curved >= -_GAIN)
    all_.going[i[same]], all_.joined[i[same]] = False, True


def _within_reach(gradient: np.ndarray, hessian: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The lowest point of each quadratic in its ball (S, k), and how far down that is (S,).

    It is -(H + lambda I)^-1 g, as in :mod:`mme.numeric.newton`, for a stack. 1 / length of it is concave in lambda, so
    that Newton steps for its root come from the left and never pass it.
    """
    values, vectors = np.linalg.eigh(hessian)
    along = (gradient[:, None] @ vectors)[:, 0]
    largest = np.abs(values).max(axis=1, initial=1e-300)
    curved = values + (np.maximum(0.0, -values[:, 0]) + 1e-10 * largest)[:, None]
    step = -along / curved
    inside = np.linalg.norm(step, axis=1) <= reach
    for _ in range(_NEWTON_STEPS):
        length = np.linalg.norm(step, axis=1)
        long = length > _LONG * reach
        if not long.any():
            break
        slope = np.where(long, (step * step / curved).sum(axis=1), 1.0)
        curved += np.where(long, (length / reach - 1.0) * length**2 / slope, 0.0)[:, None]
        step = -along / curved
    left = np.sqrt(np.maximum(reach**2 - (step**2).sum(axis=1), 0.0))  # along negative curvature
    step[:, 0] += np.where(inside & (values[:, 0] < -1e-8 * largest), np.copysign(left, step[:, 0]), 0.0)
    promised = -(along * step + 0.5 * values * step**2).sum(axis=1)
    return (vectors @ step[:, :, None])[:, :, 0], promised
