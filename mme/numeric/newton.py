"""Newton steps to a minimum: on finite differences near it, or on known derivatives within a region of trust."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from mme.numeric.by_values import GAIN
from mme.numeric.counted import Counted
from mme.numeric.curvature import CONVERGED, Curvature, judged, moved, second_difference

# A point is called converged while a Newton step would gain less than this; beyond it the verdict says so.
ACCEPTED = 1e-6
# A Newton step that gains what it promised, and no more than this, leaves about the square of it in units of one.
_LAST_STEP = 1e-5
# Eigenvalues (scaled to unit diagonal) of a Hessian from before a last step that are not told from zero: about the
# root of that step's gain.
_LAST_ERROR = 0.01
# A step no longer than this share of the first is none.
_NO_STEP = 1e-9
# Steps by known derivatives, after which a search by values alone goes on.
_MOST_STEPS = 100

# Gradient (k,) and Hessian (k, k) of a function at x; None where they are not known.
Derivatives = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]


def polish(f: Counted, at: Curvature) -> Curvature:
    """Newton steps with one Hessian, brought along, while they gain what it promises; a gradient costs 2 k evaluations.

    Ends converged, or where the Hessian has served its time.
    """
    while at.saddle or at.expected_decrease > CONVERGED:
        x, gain = _newton(f, at)
        promised = at.expected_decrease
        if gain <= CONVERGED:  # tried: what the differences promised is not there
            rounding = not at.saddle and promised <= GAIN
            return replace(at, expected_decrease=min(promised, CONVERGED)) if rounding else at
        missed = abs(gain - promised)
        if not at.saddle and promised <= _LAST_STEP and missed <= min(0.1 * promised, 10.0 * CONVERGED):
            left = at.gradient + at.hessian @ (x - at.x)
            return replace(
                at,
                x=x,
                value=at.value - gain,
                gradient=left,
                expected_decrease=0.1 * missed,
                carried=at.weakest < _LAST_ERROR,  # the Hessian before that step does not tell it from zero
            )
        at = moved(f, at, x, at.value - gain)
        if gain < 0.2 * promised or at.expected_decrease > 0.5 * promised:
            return replace(at, expected_decrease=max(at.expected_decrease, 2.0 * CONVERGED))
    return at


def descend(f: Counted, derivatives: Derivatives) -> Curvature | None:
    """Newton steps from the best point, each within reach of the last; None where the derivatives are not known.

    The reach grows where f falls as they say, and shrinks where it does not.
    """
    at = _known(f, derivatives)
    first = reach = 0.5 * (1.0 + float(np.linalg.norm(f.x)))
    for _ in range(_MOST_STEPS):
        if at is None or at.converged or not reach > _NO_STEP * first:
            break
        step, promised = _within_reach(at.gradient, at.hessian, reach)
        length = float(np.linalg.norm(step))
        gain = at.value - f(at.x + step)
        if gain > 0.75 * promised:
            reach = max(reach, 2.0 * length)
        elif not gain > 0.25 * promised:
            reach = 0.25 * length
        if gain > 0.0:
            at = _known(f, derivatives)
        elif not at.saddle and promised <= ACCEPTED:  # tried: rounding of f
            return replace(at, expected_decrease=min(at.expected_decrease, CONVERGED))
    return at


def _known(f: Counted, derivatives: Derivatives) -> Curvature | None:
    """Known derivatives at the best point; None where they are not."""
    found = derivatives(f.x)
    if found is None:
        return None
    gradient, hessian = found
    h = np.sqrt(second_difference(f.best) / np.maximum(np.abs(np.diag(hessian)), 1e-300))
    return judged(f.x, f.best, gradient, hessian, np.minimum(h, 1.0))


def _within_reach(gradient: np.ndarray, hessian: np.ndarray, reach: float) -> tuple[np.ndarray, float]:
    """The lowest point of the quadratic in the ball of radius ``reach``, and how far down that is.

    It is -(H + lambda I)^-1 g for the least lambda >= 0 that makes H + lambda I positive definite and the step short
    enough; what is then left of the reach goes along the direction of negative curvature.
    """
    values, vectors = np.linalg.eigh(hessian)
    along = vectors.T @ gradient
    lowest = max(0.0, -float(values[0]))
    least = lowest + 1e-12 * (float(np.abs(values).max()) or 1.0)

    def step(shift: float) -> np.ndarray:
        return -along / (values + shift)

    short = step(least)
    if np.linalg.norm(short) > reach:
        low, high = least, lowest + float(np.linalg.norm(gradient)) / reach + least
        for _ in range(100):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if np.linalg.norm(step(middle)) > reach else (low, middle)
        short = step(high)
    elif values[0] < 0.0:
        left = np.sqrt(reach**2 - float(short @ short))
        short[0] += np.copysign(left, short[0])
    promised = -float(along @ short + 0.5 * values @ short**2)
    return vectors @ short, promised


def _newton(f: Counted, at: Curvature) -> tuple[np.ndarray, float]:
    """A Newton step, halved until it gains, and its gain; no gain when no step does."""
    for halving in range(10):
        x = at.x + 0.5**halving * at.newton
        gain = at.value - f(x)
        if gain > 0.0:
            return x, gain
    return at.x, 0.0
