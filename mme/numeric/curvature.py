"""Gradient and Hessian of a smooth function at a point, by differences or brought along, and the Newton step there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import isfinite, sqrt

import numpy as np

from mme.numeric.lapack import symmetric_eigen

# A search ends when a Newton step would gain less than this on the -2 log-likelihood scale: parameters are then
# within 3e-5 of their standard errors.
CONVERGED = 1e-9
# Rounding of a criterion: this share of its size (about ten roundings), and of one when it is near zero.
NOISE = 2e-15
# Curvature (scaled to unit diagonal) within this many errors of its finite differences is flat: not told from zero.
_FLAT_ERRORS = 30.0
# Steps of a gradient beside those of a Hessian: second differences need longer ones.
_SHORTER = 0.1
# Eigenvalues (scaled to unit diagonal) that a Hessian brought along from another point does not tell from zero.
_CARRIED_ERROR = 0.1
# A step along negative curvature, in units of its size: f falls by about a twentieth.
_ESCAPE = 0.3


@dataclass(frozen=True, eq=False)
class Curvature:
    """Gradient and Hessian at x, by central differences unless they are known, and what a Newton step would gain."""

    x: np.ndarray
    value: float
    gradient: np.ndarray
    hessian: np.ndarray
    steps: np.ndarray
    newton: np.ndarray
    expected_decrease: float
    flat: int
    saddle: bool
    weakest: float = 1.0
    carried: bool = False

    @property
    def trusted(self) -> bool:
        """The Hessian is of this point, or none of its eigenvalues is within its errors elsewhere."""
        return not self.carried or self.weakest > _CARRIED_ERROR

    @property
    def converged(self) -> bool:
        """Neither a Newton step nor a direction of negative curvature would gain anything."""
        return not self.saddle and self.expected_decrease <= CONVERGED


def unknown_curvature(x: np.ndarray, value: float, decrease: float) -> Curvature:
    """The curvature where no differences were taken."""
    k = x.size
    gradient, hessian = np.full(k, np.nan), np.full((k, k), np.nan)
    return Curvature(x, value, gradient, hessian, np.zeros(k), np.zeros(k), decrease, 0, False)


def curvature(
    f: Callable[[np.ndarray], float], x: np.ndarray, value: float, radius: np.ndarray, *, one_sided: bool = False
) -> Curvature:
    """Central differences of f at x; ``radius`` is about how far f rises by one, the first guess of the steps.

    Mixed differences ``one_sided`` are half as many, in error by a share of the third derivatives: good for a search.
    """
    h, plus, minus = _axes(f, x, value, radius * sqrt(0.5 * second_difference(value)))
    return _of_differences(f, x, value, h, plus, minus, None, one_sided)


def curvature_at_once(
    f: Callable[[np.ndarray], float], x: np.ndarray, radius: np.ndarray, about: float
) -> Curvature | None:
    """One-sided :func:`curvature` with f at x and at all first steps in one stack; None where f has no value at x.

    ``about`` is the size of f, for which the first steps are made; where one changes, mixed differences are made again.
    """
    k, h = x.size, radius * sqrt(0.5 * second_difference(about))
    values = values_at(f, x + _around(k) * h)
    value = float(values[0])
    if not isfinite(value):
        return None
    found, plus, minus = _axes(f, x, value, h.copy(), values[1 : 2 * k + 1])
    ahead = values[2 * k + 1 :] if np.array_equal(found, h) else None
    return _of_differences(f, x, value, found, plus, minus, ahead, True)


def _of_differences(
    f: Callable[[np.ndarray], float],
    x: np.ndarray,
    value: float,
    h: np.ndarray,
    plus: np.ndarray,
    minus: np.ndarray,
    ahead: np.ndarray | None,
    one_sided: bool,
) -> Curvature:
    """The curvature from f at both ends of every step; ``ahead`` is f a step along two coordinates, where known."""
    hessian, k = np.zeros((x.size, x.size)), x.size
    hessian.flat[:: k + 1] = (plus + minus - 2.0 * value) / h**2
    if k > 1:
        i, j = _pairs(k)
        mixed = (values_at(f, x + _along_two(h)) if ahead is None else ahead) + value - plus[i] - plus[j]
        if not one_sided:
            mixed = 0.5 * (mixed + values_at(f, x - _along_two(h)) + value - minus[i] - minus[j])
        hessian[i, j] = hessian[j, i] = mixed / (h[i] * h[j])
    return judged(x, value, (plus - minus) / (2.0 * h), hessian, h, carried=one_sided and x.size > 1)


def _axes(
    f: Callable[[np.ndarray], float], x: np.ndarray, value: float, h: np.ndarray, found: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A step along every coordinate whose second difference balances rounding against truncation; f at its two ends.

    ``h``, overwritten, has the first steps, and ``found`` f at their ends where that is known.
    """
    target, k = second_difference(value), x.size
    plus, minus, left = np.empty(k), np.empty(k), np.arange(k)
    for last in (False, False, False, True):
        if found is None:
            step = _steps(k, h, left)
            found = values_at(f, np.concatenate([x + step, x - step]))
        plus[left], minus[left], found = found[: left.size], found[left.size :], None
        second = np.abs(plus + minus - 2.0 * value)[left]
        if last or ((0.01 * target < second) & (second < 100.0 * target)).all():
            break
        factor = np.minimum(np.maximum(np.sqrt(target / np.maximum(second, 1e-30)), 1e-3), 1e2)
        long = h[left] * factor > 0.5 * (1.0 + np.abs(x[left]))
        further = ~(long | ((0.01 * target < second) & (second < 100.0 * target)))
        left = left[further]
        if not left.size:
            break
        h[left] *= factor[further]
    return h, plus, minus


def _steps(k: int, h: np.ndarray, coordinates: np.ndarray) -> np.ndarray:
    """A step (steps, k) along each of these coordinates."""
    step = np.zeros((coordinates.size, k))
    step[np.arange(coordinates.size), coordinates] = h[coordinates]
    return step


def _along_two(h: np.ndarray) -> np.ndarray:
    """A step along each two coordinates."""
    i, j = _pairs(h.size)
    return _steps(h.size, h, i) + _steps(h.size, h, j)


@cache
def _around(k: int) -> np.ndarray:
    """In steps (1 + 2 k + k (k - 1) / 2, k): where one is, one ahead and behind along each, and along two of them."""
    one, (i, j) = np.eye(k), _pairs(k)
    return np.concatenate([np.zeros((1, k)), one, -one, one[i] + one[j]])


@cache
def _pairs(k: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs i < j of coordinates."""
    return np.triu_indices(k, 1)


def values_at(f: Callable[[np.ndarray], float], points: np.ndarray) -> np.ndarray:
    """f (S,) at points (S, k): all at once by ``f.many``, where f has such a way, one by one otherwise."""
    many = getattr(f, "many", None)
    return np.array([f(x) for x in points]) if many is None else np.asarray(many(points))


def moved(f: Callable[[np.ndarray], float], at: Curvature, x: np.ndarray, value: float) -> Curvature:
    """The gradient at a point nearby, and the Hessian brought along by one secant.

    Forward differences, k evaluations: what they are in error by the curvature, the Hessian knows; ``_SHORTER`` steps
    keep what it knows badly below the share of a standard error that matters. The symmetric rank-one update makes H
    agree with the change of the gradient along the step.
    """
    h = _SHORTER * at.steps
    ahead = values_at(f, x + _steps(x.size, h, np.arange(x.size)))
    gradient = (ahead - value) / h - 0.5 * h * np.diag(at.hessian)
    hessian = _secant(at.hessian, x - at.x, gradient - at.gradient)
    return judged(x, value, gradient, hessian, at.steps, carried=True)


def _secant(H: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """H made to agree with the change of the gradient along a step: BFGS, or SR1 where curvature is negative."""
    curved, was = float(change @ step), float(step @ H @ step)
    if curved > 0.0 and was > 0.0:
        return H + np.outer(change, change) / curved - np.outer(H @ step, H @ step) / was
    missed = change - H @ step
    along = float(missed @ step)
    worth = abs(along) > 1e-8 * np.linalg.norm(missed) * np.linalg.norm(step)
    return H + np.outer(missed, missed) / along if worth else H


def second_difference(value: float) -> float:
    """Size of second difference whose relative errors by rounding (noise / d) and by truncation (d) are alike."""
    return sqrt(NOISE * (abs(value) + 100.0))


def judged(
    x: np.ndarray,
    value: float,
    gradient: np.ndarray,
    hessian: np.ndarray,
    h: np.ndarray,
    *,
    carried: bool = False,
) -> Curvature:
    """Newton step and its gain on the well-determined directions, with the size of the curvature for its value."""
    k = gradient.size
    if k == 0 or not np.isfinite(hessian).all():
        decrease = 0.0 if k == 0 else np.inf
        return Curvature(x, value, gradient, hessian, h, np.zeros(k), decrease, 0, False, carried=carried)
    error = second_difference(value)
    # Rounding alone is error^2 / h^2, which this makes the square of an error: no curvature.
    scale = 1.0 / np.sqrt(np.maximum(np.abs(hessian.diagonal()), error / h**2))
    error *= _FLAT_ERRORS
    values, vectors = symmetric_eigen(hessian * (scale[:, None] * scale))
    along = vectors.T @ (gradient * scale)
    # Down every curved direction; where the curvature is negative at least far enough to leave the saddle.
    size = np.abs(values)
    least, flat, saddle = float(size.min()), 0, bool(values[0] < -0.01 - error)
    if least > error and not saddle:
        step = along / size
        decrease = 0.5 * float(step @ along)
    else:
        downhill, curved = values < -0.01 - error, size > error
        step = np.where(curved, along / np.where(curved, size, 1.0), 0.0)
        step = np.where(downhill & (np.abs(step) < _ESCAPE), np.copysign(_ESCAPE, step), step)
        decrease, flat = 0.5 * float((step**2 * size)[curved].sum()), int((~curved).sum())
    weakest = least / max(float(size.max()), 1e-300)
    newton = -(vectors @ step) * scale
    return Curvature(x, value, gradient, hessian, h, newton, decrease, flat, saddle, weakest, carried)
