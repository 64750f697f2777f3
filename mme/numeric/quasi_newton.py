r"""Minimise a smooth function with gradients, by BFGS from a given inverse Hessian.

A step is taken in full where it falls enough (Armijo) and is not short (curvature); it is interpolated otherwise. The
end is judged by the decrease g'Hg / 2 that a last step promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from typing import Generic, Protocol, TypeVar

import numpy as np


class Evaluated(Protocol):
    """A function at a point, of which the gradient is made when it is asked for."""

    @property
    def value(self) -> float:
        """The function."""

    def gradient(self) -> np.ndarray:
        """Its gradient."""


# The function is known to this share of its size: a step that promises less is taken, and the gradient judges it.
_NOISE = 1e-14
# So many steps in turn that each gain less than this share of it go down by its rounding.
_CREEPS, _CREEP = 12, 1e-10

E = TypeVar("E", bound=Evaluated)


@dataclass(frozen=True, eq=False)
class Descent(Generic[E]):
    """Where it ended: ``promised`` is what a further step would gain, ``inverse`` the inverse Hessian as known."""

    x: np.ndarray
    at: E
    gradient: np.ndarray
    inverse: np.ndarray
    promised: float
    steps: int
    reason: str


def descend(
    function: Callable[[np.ndarray], E | None],
    x: np.ndarray,
    at: E,
    inverse: np.ndarray,
    *,
    accepted: Callable[[np.ndarray, E], None],
    tolerance: float,
    most: float,
    steps: int = 500,
    endless: Callable[[E], bool] | None = None,
) -> Descent[E]:
    """The minimum from x, where the function is ``at``.

    Parameters
    ----------
    function
        The function at a point, None where it has no value.
    inverse : (m, m) array
        Inverse Hessian to begin with.
    accepted
        Told of every point that is taken.
    tolerance : float
        Decrease below which a further step is not taken.
    most : float
        Largest change of a coordinate in the first step; it doubles where a step is taken in full.
    endless
        Whether a point that was taken shows that the function falls without end: there the descent stops.
    """
    g, value = at.gradient(), at.value
    fresh, creeps = inverse, 0
    for step in range(steps):
        d = -(inverse @ g)
        slope = float(g @ d)
        if not slope < 0.0:
            inverse = fresh
            d = -(inverse @ g)
            slope = float(g @ d)
        if -0.5 * slope <= tolerance or creeps == _CREEPS:
            reason = "no further decrease" if creeps == _CREEPS else "converged"
            return Descent(x, at, g, inverse, -0.5 * slope, step, reason)
        length = min(1.0, most / float(np.abs(d).max()))
        found = _along(function, x, value, d, slope, length)
        if found is None:
            reason = "no further decrease" if inverse is fresh else "restarted"
            if inverse is fresh:
                return Descent(x, at, g, inverse, -0.5 * slope, step, reason)
            inverse = fresh
            continue
        t, new = found
        if length < 1.0 and t == length:  # a start that is far off, in standard errors, is not left by inches
            most *= 2.0
        s = t * d
        x = x + s
        accepted(x, new)
        creeps = creeps + 1 if value - new.value <= _CREEP * (1.0 + abs(value)) else 0
        g_new = new.gradient()
        inverse = _updated(inverse, s, g_new - g)
        at, g, value = new, g_new, new.value
        if endless is not None and endless(new):
            return Descent(x, at, g, inverse, inf, step + 1, "no minimum")
    return Descent(x, at, g, inverse, inf, steps, f"{steps} steps")


def _along(
    function: Callable[[np.ndarray], E | None], x: np.ndarray, value: float, d: np.ndarray, slope: float, t: float
) -> tuple[float, E] | None:
    """A step t with enough decrease, by interpolation from the first."""
    for _ in range(40):
        new = function(x + t * d)
        if new is None:
            t *= 0.1
            continue
        gain, noise = new.value - value, _NOISE * (1.0 + abs(value))
        if gain <= 1e-4 * t * slope or (t == 1.0 and -slope <= noise and gain <= noise):
            return t, new
        t = float(np.clip(-0.5 * slope * t * t / (gain - slope * t), 0.1 * t, 0.5 * t))
    return None


def _updated(inverse: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The inverse Hessian after a step s that changed the gradient by y."""
    sy = float(s @ y)
    Hy = inverse @ y
    if sy <= 1e-10 * sqrt(float(s @ s) * float(y @ y)):
        return inverse
    # H - (Hy s' + s Hy')/sy + (1 + y'Hy/sy) s s'/sy = H - w s' - s w',  w = (Hy - (1 + y'Hy/sy) s/2)/sy
    w = (Hy - (0.5 + 0.5 * float(y @ Hy) / sy) * s) / sy
    change = w[:, None] * s
    return np.asarray(inverse - change - change.T)
