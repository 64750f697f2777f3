"""Minimise a smooth function over R^k without derivatives, and say honestly what was found.

Knows nothing of mixed models, but two facts of its callers shape it: the function is -2 log-likelihood, so that a
difference of 1e-6 is no difference, and it is even in some coordinates, so that their zero is always stationary and
must be judged by curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from math import inf, isnan, sqrt

import numpy as np

from mme.errors import MemoryForecastError, MMEError

# A search ends when a Newton step would gain less than this on the -2 log-likelihood scale: parameters are then
# within 3e-5 of their standard errors.
CONVERGED = 1e-9
# A point is called converged while a Newton step would gain less than this; beyond it the verdict says so.
ACCEPTED = 1e-6
# Rounding of a criterion: this share of its size (about ten roundings), and of one when it is near zero.
_NOISE = 2e-15
# Curvature (scaled to unit diagonal) within this many errors of its finite differences is flat: not told from zero.
_FLAT_ERRORS = 30.0
_MAX_EVALUATIONS = 20_000
# BOBYQA's steps stop paying here: Newton's converge in two or three, and the verdict needs their differences anyway.
_BOBYQA_GAIN = 1e-3
_BOBYQA_STEP = 1e-2
# A Newton step that gains what it promised, and no more than this, leaves about the square of it in units of one.
_LAST_STEP = 1e-5
_ROUNDS = 30
# Steps of a gradient beside those of a Hessian: second differences need longer ones.
_SHORTER = 0.1
# Eigenvalues (scaled to unit diagonal) that a Hessian brought along from another point does not tell from zero.
_CARRIED_ERROR = 0.1
# The same after a last step, which is about the root of its gain.
_LAST_ERROR = 0.01
# A step along negative curvature, in units of its size: f falls by about a twentieth.
_ESCAPE = 0.3
# A step no longer than this share of the first is none.
_NO_STEP = 1e-9
# Steps by known derivatives, after which a search by values alone goes on.
_MOST_STEPS = 100
# A start from which a Newton step promises no more than this a coordinate is within a few standard errors.
_NEARBY = 10.0


# Gradient (k,) and Hessian (k, k) of a function at x; None where they are not known.
Derivatives = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray] | None]


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


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a search ended: the point, its value, how many evaluations it took and why it stopped."""

    x: np.ndarray
    value: float
    evaluations: int
    reason: str
    zeros: np.ndarray
    curvature: Curvature


class _Counted:
    """The function with a count, the best point so far and the caller's progress line.

    A point at which f raises, or is not a number, counts as infinite; ``problem`` is the first that was raised.
    """

    def __init__(
        self,
        f: Callable[[np.ndarray], float],
        start: np.ndarray,
        progress: Callable[[int, float, np.ndarray], None] | None,
    ) -> None:
        self.f, self.progress = f, progress
        self.evaluations, self.best, self.x = 0, np.inf, np.array(start)
        self.problem: Exception | None = None

    def __call__(self, x: np.ndarray) -> float:
        value = self._value(x)
        self.evaluations += 1
        if value < self.best:
            self.best, self.x = value, np.array(x)
        if self.progress is not None:
            self.progress(self.evaluations, value, x)
        return value

    def _value(self, x: np.ndarray) -> float:
        try:
            value = float(self.f(x))
        except MemoryForecastError:
            raise
        except (MMEError, ArithmeticError, np.linalg.LinAlgError) as problem:
            self.problem = self.problem or problem
            return np.inf
        return inf if isnan(value) else value


def minimise(
    f: Callable[[np.ndarray], float],
    start: np.ndarray,
    radius: np.ndarray,
    *,
    even: np.ndarray,
    nearby: Curvature | None = None,
    derivatives: Derivatives | None = None,
    progress: Callable[[int, float, np.ndarray], None] | None = None,
) -> Minimum:
    """Minimise f from ``start`` (k,), coordinates of order one, believed to be off by about ``radius`` (k,).

    A start whose finite differences promise a minimum nearby is followed by Newton steps. Any other is left to a
    search by values alone, Brent's on a bracket for one coordinate and Powell's BOBYQA for more, and then to Newton.
    The end is always the same: a Newton step that gains nothing, no negative curvature (at a saddle, often a zero
    coordinate, the search goes on downhill), and exact zeros where they cost nothing.

    Where gradient and Hessian are known, Newton steps within a region of trust come first, an evaluation each.

    Parameters
    ----------
    f : callable
        x (k,) -> float; may be infinite, and where it raises it counts as infinite.
    start, radius : (k,) arrays
        First point and first trust region.
    even : (k,) bool
        Coordinates in which f is even together with others: tried at exactly zero at the end.
    nearby : Curvature, optional
        That of a function like f at its minimum, not far from ``start``: its Hessian serves for a first step.
    derivatives : callable, optional
        x (k,) -> gradient (k,) and Hessian (k, k) of f, or None where they are not known.
    progress : callable, optional
        Called with (evaluation, value, x).

    Raises
    ------
    Exception
        What f raised first, if it has no value at any point that was tried.
    """
    counted = _Counted(f, start, progress)
    start, at = _with_value(counted, start, radius), None
    if derivatives is not None and np.isfinite(counted.best):
        found = _minimum_by_slopes(counted, even, derivatives)
        if found is not None:
            return found
        start = counted.x
    if nearby is not None and np.isfinite(counted.best):  # without a step no secant: gradients are of two functions
        at = _moved(counted, replace(nearby, x=start), start, counted.best)
    elif np.isfinite(counted.best):
        at = curvature(counted, start, counted.best, radius, one_sided=True)
    reason = "Newton steps on finite differences gained nothing more"
    if at is None or at.saddle or at.flat or not at.expected_decrease < _NEARBY * start.size:
        reason, at = _search(counted, start, radius, even), None
    if not np.isfinite(counted.best):
        if counted.problem is not None:
            raise counted.problem
        return _nowhere(start, counted.evaluations)
    for _ in range(_ROUNDS):
        at = _polish(counted, at or curvature(counted, counted.x, counted.best, radius))
        if at.converged and not _snap(counted, even) and at.trusted:
            break
        if at.expected_decrease > _BOBYQA_GAIN and not at.carried:  # no step gained it: a curved valley is in the way
            reason = _search(counted, counted.x, radius, even)
        at = None
    at = at or curvature(counted, counted.x, counted.best, radius)
    return Minimum(counted.x, counted.best, counted.evaluations, reason, even & (counted.x == 0.0), at)


def _with_value(f: _Counted, start: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The start, or where f is infinite there the first point nearer to zero, or around it, where it is not."""
    if np.isfinite(f(start)):
        return start
    nearer = [share * start for share in (0.5, 0.25, 0.1, 0.0)]
    around = [start + steps * radius for steps in (1.0, -1.0, 3.0, -3.0)]
    return next((x for x in (*nearer, *around) if np.isfinite(f(x))), start)


def _polish(f: _Counted, at: Curvature) -> Curvature:
    """Newton steps with one Hessian, brought along, while they gain what it promises; a gradient costs 2 k evaluations.

    Ends converged, or where the Hessian has served its time.
    """
    while at.saddle or at.expected_decrease > CONVERGED:
        x, gain = _newton(f, at)
        promised = at.expected_decrease
        if gain <= CONVERGED:  # tried: what the differences promised is not there
            rounding = not at.saddle and promised <= _BOBYQA_GAIN
            return replace(at, expected_decrease=min(promised, CONVERGED)) if rounding else at
        if not at.saddle and promised <= _LAST_STEP and abs(gain - promised) <= 0.1 * promised:
            left = at.gradient + at.hessian @ (x - at.x)
            return replace(
                at,
                x=x,
                value=at.value - gain,
                gradient=left,
                expected_decrease=0.1 * abs(gain - promised),
                carried=at.weakest < _LAST_ERROR,  # the Hessian before that step does not tell it from zero
            )
        at = _moved(f, at, x, at.value - gain)
        if gain < 0.2 * promised or at.expected_decrease > 0.5 * promised:
            return replace(at, expected_decrease=max(at.expected_decrease, 2.0 * CONVERGED))
    return at


def _minimum_by_slopes(f: _Counted, even: np.ndarray, derivatives: Derivatives) -> Minimum | None:
    """The minimum that known derivatives lead to; None where they end before it does."""
    for _ in range(_ROUNDS):
        at = _descend(f, derivatives)
        if at is None or not at.converged:
            return None
        if not _snap(f, even):
            reason = "Newton steps on derivatives in closed form gained nothing more"
            return Minimum(f.x, f.best, f.evaluations, reason, even & (f.x == 0.0), at)
    return None


def _descend(f: _Counted, derivatives: Derivatives) -> Curvature | None:
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


def _known(f: _Counted, derivatives: Derivatives) -> Curvature | None:
    """Known derivatives at the best point; None where they are not."""
    found = derivatives(f.x)
    if found is None:
        return None
    gradient, hessian = found
    h = np.sqrt(_second_difference(f.best) / np.maximum(np.abs(np.diag(hessian)), 1e-300))
    return _judge(f.x, f.best, gradient, hessian, np.minimum(h, 1.0))


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


def evaluate_only(f: Callable[[np.ndarray], float], x: np.ndarray) -> Minimum:
    """The 'search' of a model whose parameters are given."""
    value = f(x)
    return Minimum(x, value, 1, "theta was given", x == 0.0, _unknown(x, value, 0.0))


def _nowhere(start: np.ndarray, evaluations: int) -> Minimum:
    """The end of a search that met no finite value."""
    reason, none = "the criterion is infinite wherever it was tried", np.zeros(start.size, dtype=bool)
    return Minimum(start, np.inf, evaluations, reason, none, _unknown(start, np.inf, np.inf))


def _unknown(x: np.ndarray, value: float, decrease: float) -> Curvature:
    """The curvature where no differences were taken."""
    k = x.size
    gradient, hessian = np.full(k, np.nan), np.full((k, k), np.nan)
    return Curvature(x, value, gradient, hessian, np.zeros(k), np.zeros(k), decrease, 0, False)


def _search(f: _Counted, start: np.ndarray, radius: np.ndarray, even: np.ndarray) -> str:
    if start.size > 1:
        return _bobyqa(f, start, radius)
    at = abs(float(start[0]))
    if even[0]:
        return _brent(f, 0.0, 4.0 * max(at, 0.05), fixed=True)
    reach = max(4.0 * float(radius[0]), 0.2)
    return _brent(f, float(start[0]) - reach, float(start[0]) + reach, fixed=False)


def _brent(f: _Counted, low: float, high: float, *, fixed: bool) -> str:
    """Bounded Brent on [low, high], widened while the minimum leans on an end that is not ``fixed`` (the lower one)."""
    from scipy.optimize import minimize_scalar

    for _ in range(60):
        width = high - low
        found = minimize_scalar(
            lambda x: f(np.array([x])), bounds=(low, high), method="bounded", options={"xatol": 1e-5 * width}
        )
        leans_low, leans_high = found.x < low + 0.1 * width and not fixed, found.x > high - 0.1 * width
        if not (leans_low or leans_high):
            return "Brent's bracket closed"
        low, high = (low - 8.0 * width if leans_low else low), (high + 8.0 * width if leans_high else high)
    return "the minimum lies beyond every bracket tried"


def _bobyqa(f: _Counted, start: np.ndarray, radius: np.ndarray) -> str:
    import nlopt

    search = nlopt.opt(nlopt.LN_BOBYQA, start.size)
    search.set_min_objective(lambda x, _gradient: f(x))
    search.set_ftol_abs(_BOBYQA_GAIN)
    search.set_maxeval(_MAX_EVALUATIONS)
    try:
        search.set_initial_step(radius)
        search.set_xtol_abs(_BOBYQA_STEP * radius)
        search.optimize(start)
    except nlopt.RoundoffLimited:
        return "BOBYQA was stopped by rounding"
    except ValueError as error:  # nlopt::invalid_argument and kin
        return f"BOBYQA stopped: {error}"
    return {
        nlopt.MAXEVAL_REACHED: "BOBYQA reached the limit of evaluations",
        nlopt.FTOL_REACHED: "BOBYQA's steps gained nothing more",
        nlopt.XTOL_REACHED: "BOBYQA's steps became small",
    }.get(search.last_optimize_result(), "BOBYQA's trust region closed")


def _snap(f: _Counted, even: np.ndarray) -> bool:
    """Try exact zeros for the even coordinates that are small; keep those that cost nothing. Whether any was kept."""
    moved = False
    for i in np.flatnonzero(even & (np.abs(f.x) < 1e-2) & (f.x != 0.0)).tolist():
        x, best = f.x.copy(), f.best
        x[i] = 0.0
        value = f(x)
        if value <= best + _NOISE * (abs(best) + 100.0):
            f.x, f.best, moved = x, value, True
    return moved


def _newton(f: _Counted, at: Curvature) -> tuple[np.ndarray, float]:
    """A Newton step, halved until it gains, and its gain; no gain when no step does."""
    for halving in range(10):
        x = at.x + 0.5**halving * at.newton
        gain = at.value - f(x)
        if gain > 0.0:
            return x, gain
    return at.x, 0.0


def curvature(
    f: Callable[[np.ndarray], float], x: np.ndarray, value: float, radius: np.ndarray, *, one_sided: bool = False
) -> Curvature:
    """Central differences of f at x; ``radius`` is about how far f rises by one, the first guess of the steps.

    Mixed differences ``one_sided`` are half as many, in error by a share of the third derivatives: good for a search.
    """
    h, plus, minus = _axes(f, x, value, radius)
    hessian = np.diag((plus + minus - 2.0 * value) / h**2)
    for i, j in combinations(range(x.size), 2):
        both = _step(x.size, h, i, j)
        mixed = f(x + both) + value - plus[i] - plus[j]
        if not one_sided:
            mixed = 0.5 * (mixed + f(x - both) + value - minus[i] - minus[j])
        hessian[i, j] = hessian[j, i] = mixed / (h[i] * h[j])
    found = _judge(x, value, (plus - minus) / (2.0 * h), hessian, h)
    return replace(found, carried=one_sided and x.size > 1)


def _axes(
    f: Callable[[np.ndarray], float], x: np.ndarray, value: float, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A step along every coordinate, and f at its two ends."""
    found = [_differences(f, x, value, i, reach) for i, reach in enumerate(radius.tolist())]
    h, plus, minus = np.array(found).reshape(-1, 3).T
    return h, plus, minus


def _step(k: int, h: np.ndarray, *coordinates: int) -> np.ndarray:
    step = np.zeros(k)
    step[list(coordinates)] = h[list(coordinates)]
    return step


def _moved(f: Callable[[np.ndarray], float], at: Curvature, x: np.ndarray, value: float) -> Curvature:
    """The gradient at a point nearby, and the Hessian brought along by one secant.

    Forward differences, k evaluations: what they are in error by the curvature, the Hessian knows; ``_SHORTER`` steps
    keep what it knows badly below the share of a standard error that matters. The symmetric rank-one update makes H
    agree with the change of the gradient along the step.
    """
    h = _SHORTER * at.steps
    ahead = np.array([f(x + _step(x.size, h, i)) for i in range(x.size)])
    gradient = (ahead - value) / h - 0.5 * h * np.diag(at.hessian)
    hessian = _secant(at.hessian, x - at.x, gradient - at.gradient)
    return replace(_judge(x, value, gradient, hessian, at.steps), carried=True)


def _secant(H: np.ndarray, step: np.ndarray, change: np.ndarray) -> np.ndarray:
    """H made to agree with the change of the gradient along a step: BFGS, or SR1 where curvature is negative."""
    curved, was = float(change @ step), float(step @ H @ step)
    if curved > 0.0 and was > 0.0:
        return H + np.outer(change, change) / curved - np.outer(H @ step, H @ step) / was
    missed = change - H @ step
    along = float(missed @ step)
    worth = abs(along) > 1e-8 * np.linalg.norm(missed) * np.linalg.norm(step)
    return H + np.outer(missed, missed) / along if worth else H


def _differences(
    f: Callable[[np.ndarray], float], x: np.ndarray, value: float, i: int, radius: float
) -> tuple[float, float, float]:
    """A step along coordinate i whose second difference balances rounding against truncation, and f at both ends."""
    target = _second_difference(value)
    h, at = radius * sqrt(0.5 * target), float(x[i])
    for _ in range(4):
        ahead, behind = x.copy(), x.copy()
        ahead[i], behind[i] = at + h, at - h
        plus, minus = f(ahead), f(behind)
        second = abs(plus + minus - 2.0 * value)
        if 0.01 * target < second < 100.0 * target:
            break
        factor = min(max(sqrt(target / max(second, 1e-30)), 1e-3), 1e2)
        if h * factor > 0.5 * (1.0 + abs(at)):
            break
        h *= factor
    return h, plus, minus


def _second_difference(value: float) -> float:
    """Size of second difference whose relative errors by rounding (noise / d) and by truncation (d) are alike."""
    return sqrt(_NOISE * (abs(value) + 100.0))


def _judge(x: np.ndarray, value: float, gradient: np.ndarray, hessian: np.ndarray, h: np.ndarray) -> Curvature:
    """Newton step and its gain on the well-determined directions, with the size of the curvature for its value."""
    k = gradient.size
    if k == 0 or not np.isfinite(hessian).all():
        return Curvature(x, value, gradient, hessian, h, np.zeros(k), 0.0 if k == 0 else np.inf, 0, False)
    error = _second_difference(value)
    # Rounding alone is error^2 / h^2, which this makes the square of an error: no curvature.
    scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diag(hessian)), error / h**2))
    error *= _FLAT_ERRORS
    values, vectors = np.linalg.eigh(hessian * np.outer(scale, scale))
    along = vectors.T @ (gradient * scale)
    # Down every curved direction; where the curvature is negative at least far enough to leave the saddle.
    size, downhill = np.abs(values), values < -0.01 - error
    curved = size > error
    step = np.where(curved, along / np.where(curved, size, 1.0), 0.0)
    step = np.where(downhill & (np.abs(step) < _ESCAPE), np.copysign(_ESCAPE, step), step)
    decrease = 0.5 * float((step**2 * size)[curved].sum())
    flat, weakest = int((~curved).sum()), float(size.min() / max(size.max(), 1e-300))
    newton = -(vectors @ step) * scale
    return Curvature(x, value, gradient, hessian, h, newton, decrease, flat, bool(downhill.any()), weakest)
