"""Polynomial and spline bases: R's ``poly``, ``bs`` and ``ns``, and formulaic's ``cr`` and ``cc``.

Each learns its coefficients or knots from the finite values of the fit and keeps them in ``state`` for new data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.interpolate import BSpline

from mme.errors import MemoryForecastError, MMEError
from mme.formula.values import State, numeric
from mme.numeric.memory import machine_bytes
from mme.tables.frame import WideColumn


def poly(state: State, x: Any, degree: int = 1, raw: bool = False) -> WideColumn:
    """Polynomials orthonormal over the data, by the three-term recurrence (Kennedy & Gentle, 1980, p. 343), as in R.

    Examples
    --------
    >>> poly({}, np.array([1.0, 2.0, 3.0]), 2).values.round(4).tolist()
    [[-0.7071, 0.4082], [0.0, -0.8165], [0.7071, 0.4082]]
    """
    x = np.asarray(numeric(x, "poly()"))
    degree = _whole(degree, "poly(x, degree)")
    _forecast(x.size, degree, f"poly() of degree {degree}")
    if raw:
        return _numbered(x[:, None] ** np.arange(1, degree + 1))
    if not state:
        _learn_poly(state, x[np.isfinite(x)], degree)
    return _numbered(_recurrence(x, state["alpha"], state["norm2"]))


def _learn_poly(state: State, x: np.ndarray, degree: int) -> None:
    if np.unique(x).size <= degree:
        raise MMEError(f"poly() of degree {degree} needs more than {degree} distinct values, got {np.unique(x).size}")
    alpha: list[float] = []
    before, now, norm2 = np.zeros_like(x), np.ones_like(x), [1.0]
    for k in range(degree + 1):
        norm2.append(float(now @ now))
        if k < degree:
            alpha.append(float(x @ now**2) / norm2[-1])
            before, now = now, (x - alpha[k]) * now - (norm2[k + 1] / norm2[k] * before if k else 0.0)
    state["alpha"], state["norm2"] = alpha, norm2


def _recurrence(x: np.ndarray, alpha: list[float], norm2: list[float]) -> np.ndarray:
    out = np.empty((x.size, len(alpha)), order="F")
    before, now = np.zeros_like(x), np.ones_like(x)
    for k in range(len(alpha)):
        before, now = now, (x - alpha[k]) * now - (norm2[k + 1] / norm2[k] * before if k else 0.0)
        out[:, k] = now / np.sqrt(norm2[k + 2])
    return out


def bs(
    state: State,
    x: Any,
    df: int | None = None,
    knots: Any = None,
    degree: int = 3,
    intercept: bool = False,
    boundary_knots: Any = None,
    include_intercept: bool = False,
) -> WideColumn:
    """B-splines with the knots of R's ``splines::bs``: interior ones at quantiles of the data."""
    x, degree = np.asarray(numeric(x, "bs()")), _whole(degree, "bs(degree)")
    intercept = bool(intercept or include_intercept)
    if not state:
        interior = None if df is None else _whole(df, "bs(df)") - degree - intercept
        _learn_knots(state, x, knots, interior, boundary_knots, "bs()")
    low, high = state["boundary"]
    knots = np.concatenate([[low] * (degree + 1), state["knots"], [high] * (degree + 1)])
    basis = BSpline(knots, np.eye(knots.size - degree - 1), degree)(x)  # beyond the boundary: the last polynomials
    return _numbered(basis if intercept else basis[:, 1:])


def ns(
    state: State, x: Any, df: int | None = None, knots: Any = None, intercept: bool = False, boundary_knots: Any = None
) -> WideColumn:
    """Natural cubic splines with the basis of R's ``splines::ns``: B-splines whose curvature vanishes at the ends."""
    x = np.asarray(numeric(x, "ns()"))
    if not state:
        interior = None if df is None else _whole(df, "ns(df)") - 1 - intercept
        _learn_knots(state, x, knots, interior, boundary_knots, "ns()")
    low, high = state["boundary"]
    knots = np.concatenate([[low] * 4, state["knots"], [high] * 4])
    spline = BSpline(knots, np.eye(knots.size - 4), 3)
    inside = np.clip(x, low, high)
    beyond = x - inside
    basis, ends = spline(inside), spline.derivative()(np.array([low, high]))
    if np.nanmax(np.abs(beyond), initial=0.0) > 0:  # straight lines beyond the boundary
        basis = basis + np.where(beyond < 0, beyond, 0)[:, None] * ends[0]
        basis = basis + np.where(beyond > 0, beyond, 0)[:, None] * ends[1]
    curvature = spline.derivative(2)(np.array([low, high]))
    first = 0 if intercept else 1
    Q, _ = np.linalg.qr(curvature[:, first:].T, mode="complete")
    return _numbered(basis[:, first:] @ Q[:, 2:])


def _learn_knots(state: State, x: np.ndarray, knots: Any, interior: int | None, boundary: Any, what: str) -> None:
    known = x[np.isfinite(x)]
    if known.size == 0:
        raise MMEError(f"{what} of a column that holds no number")
    low, high = (known.min(), known.max()) if boundary is None else np.sort(np.asarray(boundary, dtype=float))
    if low == high:
        raise MMEError(f"{what} of a column that does not vary")
    if interior is not None:
        _forecast(x.size, interior, f"{what} with {interior} knots")
    if interior is not None and interior < 0:
        raise MMEError(f"{what}: df is too small; it must be at least {-interior} larger")
    if knots is None:
        places = np.linspace(0, 1, (interior or 0) + 2)[1:-1]
        knots = np.quantile(known[(known >= low) & (known <= high)], places)
    state["boundary"] = (float(low), float(high))
    state["knots"] = np.sort(np.atleast_1d(np.asarray(knots, dtype=float))).tolist()


def _formulaic(name: str) -> Callable[..., WideColumn]:
    """mgcv's cubic regression splines, by formulaic (imported here alone: it takes a third of a second)."""

    def call(state: State, x: Any, df: int | None = None, knots: Any = None, constraints: Any = None) -> WideColumn:
        try:
            from formulaic.transforms import TRANSFORMS
        except ImportError:
            raise MMEError(f"{name}() needs the package formulaic: pip install formulaic") from None
        values = np.asarray(numeric(x, f"{name}()"))
        df = None if df is None else _whole(df, f"{name}(df)")
        _forecast(values.size, df or 0, f"{name}() with df = {df}")
        options = {"df": df, "knots": knots, "constraints": constraints, "extrapolation": "extend"}
        if not state:
            TRANSFORMS[name](values[np.isfinite(values)], _state=state, **options)
        columns = TRANSFORMS[name](values, _state=state, **options)
        return _numbered(np.column_stack([np.asarray(columns[j], dtype=float) for j in columns]))

    return call


def _forecast(n: int, k: int, what: str) -> None:
    """Refuse, before any of it is made, a basis (n, k), and the (k, k) of its making, that cannot fit."""
    need, memory = 8 * k * (n + k), machine_bytes()
    if need > memory:
        raise MemoryForecastError(
            f"{what} would take {1e-9 * need:.3g} GB for {n} rows, this machine has {1e-9 * memory:.3g} GB"
        )


def _numbered(values: np.ndarray) -> WideColumn:
    k = values.shape[1]
    return WideColumn(values, tuple(str(j) for j in range(1, k + 1)) if k > 1 else ("",))


def _whole(value: Any, what: str) -> int:
    if isinstance(value, (int, float)) and np.isfinite(value) and value == int(value) and value >= 1:
        return int(value)
    raise MMEError(f"{what} must be a whole number of at least 1, got {value!r}")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "poly": poly,
    "bs": bs,
    "ns": ns,
    "cr": _formulaic("cr"),
    "cc": _formulaic("cc"),
}
