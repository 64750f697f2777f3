"""Searches for a minimum by the values of a function alone: Brent's on a line, Powell's BOBYQA in more coordinates."""

from __future__ import annotations

import numpy as np

from mme.numeric.counted import Counted

_MAX_EVALUATIONS = 20_000
# BOBYQA's steps stop paying here: Newton's converge in two or three, and the verdict needs their differences anyway.
GAIN = 1e-3
_STEP = 1e-2


def search(f: Counted, start: np.ndarray, radius: np.ndarray, even: np.ndarray) -> str:
    """Search from ``start`` (k,) and say why it ended; ``f`` keeps the lowest point."""
    if start.size > 1:
        return bobyqa(f, start, radius)
    at = abs(float(start[0]))
    if even[0]:
        return _brent(f, 0.0, 4.0 * max(at, 0.05), fixed=True)
    reach = max(4.0 * float(radius[0]), 0.2)
    return _brent(f, float(start[0]) - reach, float(start[0]) + reach, fixed=False)


def _brent(f: Counted, low: float, high: float, *, fixed: bool) -> str:
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


def bobyqa(f: Counted, start: np.ndarray, radius: np.ndarray) -> str:
    """Powell's BOBYQA from ``start`` (k,) with steps of about ``radius`` (k,); returns why it ended."""
    import nlopt

    if not np.isfinite([start, radius]).all():  # nlopt would write beyond its arrays
        return "the search has no finite point to start from"

    search = nlopt.opt(nlopt.LN_BOBYQA, start.size)
    search.set_min_objective(lambda x, _gradient: f(x))
    search.set_ftol_abs(GAIN)
    search.set_maxeval(_MAX_EVALUATIONS)
    try:
        search.set_initial_step(radius)
        search.set_xtol_abs(_STEP * radius)
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
