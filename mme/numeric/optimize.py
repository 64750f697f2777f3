"""Minimise a smooth function over R^k, with derivatives or without, and say honestly what was found.

Knows nothing of mixed models, but two facts of its callers shape it: the function is -2 log-likelihood, so that a
difference of 1e-6 is no difference, and it is even in some coordinates, so that their zero is always stationary and
must be judged by curvature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mme.numeric.by_values import GAIN, search
from mme.numeric.counted import Counted, EndlessError
from mme.numeric.curvature import NOISE, Curvature, curvature, curvature_at_once, moved, unknown_curvature
from mme.numeric.newton import Derivatives, descend, polish

# Newton steps and searches take turns at most so often.
_ROUNDS = 30
# Differences that have not ended a search after this round leave it to dearer derivatives.
_SOON = 1
# A start from which a Newton step promises no more than this a coordinate is within a few standard errors.
_NEARBY = 10.0
# Why a search by known derivatives stops.
BY_DERIVATIVES = "Newton steps on derivatives in closed form gained nothing more"


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where a search ended: the point, its value, how many evaluations it took and why it stopped.

    ``endless``: that is no minimum, the function falls from there on; ``settled``: by nothing that matters.
    """

    x: np.ndarray
    value: float
    evaluations: int
    reason: str
    zeros: np.ndarray
    curvature: Curvature
    endless: bool = False
    settled: bool = False


def minimise(
    f: Callable[[np.ndarray], float],
    start: np.ndarray,
    radius: np.ndarray,
    *,
    even: np.ndarray,
    nearby: Curvature | None = None,
    derivatives: Derivatives | None = None,
    later: Callable[[], Derivatives | None] | None = None,
    endless: Callable[[np.ndarray], tuple[bool, int]] | None = None,
    progress: Callable[[int, float, np.ndarray], None] | None = None,
) -> Minimum:
    """Minimise f from ``start`` (k,), coordinates of order one, believed to be off by about ``radius`` (k,).

    A start whose finite differences promise a minimum nearby is followed by Newton steps. Any other is left to a
    search by values alone, Brent's on a bracket for one coordinate and Powell's BOBYQA for more, and then to Newton.
    The end is always the same: a Newton step that gains nothing, no negative curvature (at a saddle, often a zero
    coordinate, the search goes on downhill), and exact zeros where they cost nothing.

    Where gradient and Hessian are known, Newton steps within a region of trust come first, an evaluation each. Where
    they are dear, they come ``later``: once differences do not end the search at once, or end it where f seems flat.

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
    later : callable, optional
        () -> such derivatives, or None.
    endless : callable, optional
        x (k,) -> whether f falls without bound from there on, and how many evaluations that took: the search ends then.
    progress : callable, optional
        Called with (evaluation, value, x).

    Raises
    ------
    Exception
        What f raised first, if it has no value at any point that was tried.
    """
    counted = Counted(f, start, progress, endless)
    try:
        return _minimised(counted, start, radius, even, nearby, derivatives, later)
    except EndlessError:
        reason, none = "the criterion falls towards infinity", unknown_curvature(counted.x, counted.best, np.inf)
        return Minimum(counted.x, counted.best, counted.evaluations, reason, even & (counted.x == 0.0), none, True)


def _minimised(
    counted: Counted,
    start: np.ndarray,
    radius: np.ndarray,
    even: np.ndarray,
    nearby: Curvature | None,
    derivatives: Derivatives | None,
    later: Callable[[], Derivatives | None] | None,
) -> Minimum:
    at, about = None, getattr(counted.f, "about", None)
    if derivatives is None and nearby is None and about is not None:
        at = curvature_at_once(counted, start, radius, about)
    if at is None:
        start = _with_value(counted, start, radius)
    if derivatives is not None and np.isfinite(counted.best):
        found = _minimum_by_slopes(counted, even, derivatives)
        if found is not None:
            return found
        start = counted.x
    if nearby is not None and np.isfinite(counted.best):  # without a step no secant: gradients are of two functions
        at = moved(counted, replace(nearby, x=start), start, counted.best)
    elif at is None and np.isfinite(counted.best):
        at = curvature(counted, start, counted.best, radius, one_sided=True)
    reason = "Newton steps on finite differences gained nothing more"
    if at is None or at.saddle or at.flat or not at.expected_decrease < _NEARBY * start.size:
        reason, at = search(counted, start, radius, even), None
    if not np.isfinite(counted.best):
        if counted.problem is not None:
            raise counted.problem
        return _nowhere(start, counted.evaluations)
    for turn in range(_ROUNDS):
        at = polish(counted, at or curvature(counted, counted.x, counted.best, radius))
        if at.converged and not _snap(counted, even) and at.trusted:
            break
        if turn == _SOON and later is not None:
            found = _minimum_by_slopes(counted, even, later())
            if found is not None:
                return found
        if at.expected_decrease > GAIN and not at.carried:  # no step gained it: a curved valley is in the way
            reason = search(counted, counted.x, radius, even)
        at = None
    at = at or curvature(counted, counted.x, counted.best, radius)
    found = _minimum_by_slopes(counted, even, later()) if at.flat and later is not None else None
    if found is not None:
        return found
    return Minimum(counted.x, counted.best, counted.evaluations, reason, even & (counted.x == 0.0), at)


def _with_value(f: Counted, start: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """The start, or where f is infinite there the first point nearer to zero, or around it, where it is not."""
    if np.isfinite(f(start)):
        return start
    nearer = [share * start for share in (0.5, 0.25, 0.1, 0.0)]
    around = [start + steps * radius for steps in (1.0, -1.0, 3.0, -3.0)]
    return next((x for x in (*nearer, *around) if np.isfinite(f(x))), start)


def _minimum_by_slopes(f: Counted, even: np.ndarray, derivatives: Derivatives | None) -> Minimum | None:
    """The minimum that known derivatives lead to; None where there are none, or they end before it does."""
    if derivatives is None:
        return None
    for _ in range(_ROUNDS):
        at = descend(f, derivatives)
        if at is None or not at.converged:
            return None
        if not _snap(f, even):
            return Minimum(f.x, f.best, f.evaluations, BY_DERIVATIVES, even & (f.x == 0.0), at)
    return None


def evaluate_only(f: Callable[[np.ndarray], float], x: np.ndarray) -> Minimum:
    """The 'search' of a model whose parameters are given."""
    value = f(x)
    return Minimum(
        x, value, 1, "theta was given" if x.size else "nothing to search", x == 0.0, unknown_curvature(x, value, 0.0)
    )


def _nowhere(start: np.ndarray, evaluations: int) -> Minimum:
    """The end of a search that met no finite value."""
    reason, none = "the criterion is infinite wherever it was tried", np.zeros(start.size, dtype=bool)
    return Minimum(start, np.inf, evaluations, reason, none, unknown_curvature(start, np.inf, np.inf))


def _snap(f: Counted, even: np.ndarray) -> bool:
    """Try exact zeros for the even coordinates that are small; keep those that cost nothing. Whether any was kept."""
    moved, small = False, even & (np.abs(f.x) < 1e-2) & (f.x != 0.0)
    for i in np.flatnonzero(small).tolist() if small.any() else ():
        x, best = f.x.copy(), f.best
        x[i] = 0.0
        value = f(x)
        if value <= best + NOISE * (abs(best) + 100.0):
            f.x, f.best, moved = x, value, True
    return moved
