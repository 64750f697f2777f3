"""Polynomial and spline bases: R's ``poly``, ``bs`` and ``ns``, Legendre's polynomials, and mgcv's ``cr`` and ``cc``.

Each learns its coefficients or knots from the finite values of the fit and keeps them in ``state`` for new data.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial.legendre import legvander
from scipy.interpolate import BSpline, CubicSpline

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


def legendre(
    state: State,
    x: Any,
    degree: int = 1,
    intercept: bool = False,
    lower: float | None = None,
    upper: float | None = None,
) -> WideColumn:
    """Normalised Legendre polynomials sqrt((2 j + 1) / 2) P_j(t), t from -1 to 1 over the data or the given range.

    Of degrees 1 to ``degree``; with ``intercept`` the constant sqrt(1/2) comes first, as random regressions have it
    (Kirkpatrick, Lofsvold and Bulmer 1990, Genetics 124:979-993).

    Examples
    --------
    >>> legendre({}, np.array([4.0, 157.0, 310.0]), 2, intercept=True).values.round(4).tolist()
    [[0.7071, -1.2247, 1.5811], [0.7071, 0.0, -0.7906], [0.7071, 1.2247, 1.5811]]
    """
    x, degree = np.asarray(numeric(x, "legendre()")), _whole(degree, "legendre(x, degree)")
    _forecast(x.size, degree, f"legendre() of degree {degree}")
    if not state:
        known = x[np.isfinite(x)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        state["ends"] = [low if lower is None else float(lower), high if upper is None else float(upper)]
        if not state["ends"][0] < state["ends"][1]:
            raise MMEError("legendre() of a column that does not vary, or lower is not below upper")
    low, high = state["ends"]
    values = legvander(2.0 * (x - low) / (high - low) - 1.0, degree) * np.sqrt(np.arange(degree + 1) + 0.5)
    if intercept:
        return WideColumn(values, tuple(str(j) for j in range(degree + 1)))
    return _numbered(values[:, 1:])


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


def cr(state: State, x: Any, df: int | None = None, knots: Any = None, constraints: Any = None) -> WideColumn:
    """Natural cubic regression splines: a column is 1 at its own knot and 0 at the others (Wood, 2017, sec. 5.3.1).

    Straight lines beyond the outer knots; ``constraints="center"`` makes the columns sum to zero over the data.

    Examples
    --------
    >>> cr({}, np.array([0.0, 1.0, 2.0, 4.0]), knots=[2]).values[:3].round(5).tolist()
    [[1.0, 0.0, 0.0], [0.40625, 0.6875, -0.09375], [0.0, 1.0, 0.0]]
    """
    return _regression_spline(state, x, df, knots, constraints, "cr()")


def cc(state: State, x: Any, df: int | None = None, knots: Any = None, constraints: Any = None) -> WideColumn:
    """Cyclic cubic regression splines: the last knot is the first one again."""
    return _regression_spline(state, x, df, knots, constraints, "cc()")


def _regression_spline(state: State, x: Any, df: Any, knots: Any, constraints: Any, what: str) -> WideColumn:
    values, cyclic = np.asarray(numeric(x, what)), what == "cc()"
    if not state:
        known = values[np.isfinite(values)]
        at = _knots_of(known, df, knots, cyclic - 1 + _n_constraints(constraints, what), what)
        state["knots"] = at.tolist()
        state["constraints"] = constraints
        if isinstance(constraints, str):  # sum over the data = 0
            state["constraints"] = _cardinal(at, cyclic)(known).mean(axis=0)[None, :].tolist()
    basis = _cardinal(np.asarray(state["knots"]), cyclic)(values)
    if state["constraints"] is not None:  # C beta = 0: beta = Q gamma
        C = np.atleast_2d(np.asarray(state["constraints"], dtype=float))
        if C.shape[1] != basis.shape[1]:
            raise MMEError(f"{what}: constraints of {C.shape[1]} numbers for {basis.shape[1]} columns")
        basis = basis @ np.linalg.qr(C.T, mode="complete")[0][:, C.shape[0] :]
    return _numbered(basis)


def _n_constraints(constraints: Any, what: str) -> int:
    if isinstance(constraints, str) and constraints != "center":
        raise MMEError(f'{what}: constraints must be "center" or numbers, got {constraints!r}')
    return 0 if constraints is None else 1 if isinstance(constraints, str) else np.atleast_2d(constraints).shape[0]


def _knots_of(known: np.ndarray, df: Any, knots: Any, more: int, what: str) -> np.ndarray:
    """The extremes of the data and, between them, the given knots or quantiles of the distinct values."""
    if (df is None) == (knots is None):
        raise MMEError(f"{what} takes df or knots, one of them: {what[:-1]}x, df = 4)")
    if np.unique(known).size < 2:
        raise MMEError(f"{what} of a column that does not vary")
    inner = np.unique(np.asarray([] if knots is None else knots, dtype=float))
    if df is not None:
        wanted = _whole(df, f"{what[:-1]}df)") - 1 + more
        if wanted < 0:
            raise MMEError(f"{what}: df must be at least {df - wanted}, got {df}")
        _forecast(known.size, wanted, f"{what} with df = {df}")
        inner = np.quantile(np.unique(known), np.linspace(0, 1, wanted + 2)[1:-1])
    low, high = known.min(), known.max()
    at = np.unique([low, high, *inner])
    if at.size != inner.size + 2 or at[0] < low or at[-1] > high:
        raise MMEError(
            f"{what}: {inner.size} distinct knots inside of {low:.6g} and {high:.6g} are needed, "
            f"the column has {np.unique(known).size} values"
        )
    return at


def _cardinal(knots: np.ndarray, cyclic: bool) -> Callable[[np.ndarray], np.ndarray]:
    """The splines that are 1 at one knot and 0 at the others, as a function."""
    if cyclic:
        values = np.vstack([np.eye(knots.size - 1), np.eye(1, knots.size - 1)])
        return CubicSpline(knots, values, bc_type="periodic", extrapolate="periodic")
    spline = CubicSpline(knots, np.eye(knots.size), bc_type="natural")
    ends = spline.derivative()(knots[[0, -1]])

    def of(x: np.ndarray) -> np.ndarray:
        below, above = np.minimum(x - knots[0], 0.0), np.maximum(x - knots[-1], 0.0)
        inside = spline(np.clip(x, knots[0], knots[-1]))
        return np.asarray(inside + below[:, None] * ends[0] + above[:, None] * ends[1])

    return of


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
    "legendre": legendre,
    "leg": legendre,
    "bs": bs,
    "ns": ns,
    "cr": cr,
    "cc": cc,
}
