r"""Penalised splines as random effects: ``ps(x)``, ``ps(row, col)``, ``s(x)``, ``s(x, y)``.

A spline with a penalty on its curvature is a straight line, fixed, and random effects of one variance: with D'D of
second differences of the coefficients of B-splines = U diag(d) U', the line is what D leaves, and

    Z = B U_+ diag(d_+)^-1/2,     u ~ N(0, sigma_s^2 I),     penalty lambda = sigma^2 / sigma_s^2                  (Z)

(Eilers and Marx 1996, Statist. Sci. 11:89-121; Currie and Durban 2002). In two dimensions the fixed part is x, y, xy,
the random one five smooths of a variance each: of x, of y, of x times y, y times x, and one of both, of the penalty
d_x (x) I + I (x) d_y (Lee, Durban and Eilers 2013; Rodriguez-Alvarez et al. 2018, Spatial Stat. 23:52-71: SpATS). A
cubic smoothing spline has its knots at the values of x (Verbyla et al. 1999, Appl. Statist. 48:269-311); thin plates
have a room of their own (:mod:`mme.formula.thin_plate`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.interpolate import BSpline, CubicSpline

from mme.errors import MMEError
from mme.formula.thin_plate import BASIS, thin_plate
from mme.formula.values import State, numeric
from mme.tables.frame import WideColumn

# The domain reaches so far beyond the data, as in SpATS; a share of their range.
_BEYOND = 1e-3
# Eigenvalues of a penalty below this share of the largest belong to what it leaves.
_FREE = 1e-9
# A cubic smoothing spline has this many knots at most, at quantiles of the values.
_KNOTS = 60


def fixed_part(state: State, *coordinates: Any, **options: Any) -> np.ndarray | WideColumn:
    """The line of one coordinate, or the bilinear surface of two."""
    columns = [np.asarray(numeric(one, "ps()"), dtype=float) for one in coordinates if not isinstance(one, str)]
    _learn(state, columns, options)
    if len(columns) == 1:
        return columns[0]
    x, y = columns
    return WideColumn(np.column_stack([x, y, x * y]), (".x", ".y", ".xy"))


def random_part(state: State, part: str, *coordinates: Any, **options: Any) -> WideColumn:
    """Z of one of the smooths: ``x``, ``y``, ``x:y`` (smooth in x, linear in y), ``y:x``, or ``xy``."""
    columns = [np.asarray(numeric(one, "ps()"), dtype=float) for one in coordinates]
    _learn(state, columns, options)
    smooth = [_columns(state, a, column) for a, column in enumerate(columns)]
    if part == "xy":
        (Zx, dx), (Zy, dy) = smooth
        d = np.sqrt(np.add.outer(dx, dy)).ravel()
        # _columns has divided by the roots of d: U_x (x) U_y over the root of the sum
        Z = np.einsum("ni,nj->nij", Zx * np.sqrt(dx), Zy * np.sqrt(dy)).reshape(len(Zx), -1) / d
        return _numbered(Z)
    a = 0 if part[0] == "x" else 1
    Z = smooth[a][0]
    if ":" in part:
        other = columns[1 - a]
        middle, half = state["middles"][1 - a]
        Z = Z * ((other - middle) / half)[:, None]
    return _numbered(Z)


def smooth_part(state: State, *coordinates: Any, **options: Any) -> WideColumn:
    """Z of ``s(x)``, a cubic smoothing spline, or of ``s(x, y)``, a thin plate."""
    if len(coordinates) == 1:
        return spline_part(state, *coordinates, **options)
    x, y = _two(coordinates)
    return _numbered(thin_plate(state, x, y, **({"k": BASIS} | options)))


def smooth_line(state: State, *coordinates: Any, **options: Any) -> np.ndarray | WideColumn:
    """The fixed part of either: a line or a plane."""
    if len(coordinates) == 1:
        return np.asarray(numeric(coordinates[0], "s()"), dtype=float)
    return WideColumn(np.column_stack(_two(coordinates)), (".x", ".y"))


def _two(coordinates: tuple[Any, ...]) -> list[np.ndarray]:
    if len(coordinates) != 2:
        raise MMEError(f"s() takes one or two coordinates, got {len(coordinates)}")
    return [np.asarray(numeric(one, "s()"), dtype=float) for one in coordinates]


def spline_part(state: State, x: Any, knots: Any = _KNOTS) -> WideColumn:
    """Z of a cubic smoothing spline: Q (Q'Q)^-1 L at the knots, the natural spline through these elsewhere."""
    values = np.asarray(numeric(x, "s()"), dtype=float)
    if not state:
        distinct = np.unique(values[np.isfinite(values)])
        if distinct.size < 4:
            raise MMEError(f"s() needs at least four distinct values, got {distinct.size}")
        count = int(knots)
        at = distinct if distinct.size <= count else np.unique(np.quantile(distinct, np.linspace(0.0, 1.0, count)))
        state["knots"] = at.tolist()
    at = np.asarray(state["knots"])
    h, m = np.diff(at), at.size
    Q, R, i = np.zeros((m, m - 2)), np.zeros((m - 2, m - 2)), np.arange(m - 2)
    Q[i, i], Q[i + 1, i], Q[i + 2, i] = 1 / h[:-1], -1 / h[:-1] - 1 / h[1:], 1 / h[1:]
    R[i, i] = (h[:-1] + h[1:]) / 3.0
    R[i[1:], i[:-1]] = R[i[:-1], i[1:]] = h[1:-1] / 6.0
    Z = Q @ np.linalg.solve(Q.T @ Q, np.linalg.cholesky(R)) / float(at[-1] - at[0]) ** 1.5
    spline = CubicSpline(at, Z, bc_type="natural")
    inside = np.clip(values, at[0], at[-1])
    slope = spline.derivative()(inside)
    return _numbered(spline(inside) + slope * (values - inside)[:, None])


def _learn(state: State, columns: list[np.ndarray], options: dict[str, Any]) -> None:
    """The domain of each coordinate, and the number of segments of its basis."""
    if state:
        return
    nseg, degree = options.get("nseg", 10), int(options.get("degree", 3))
    count = [int(nseg)] * len(columns) if np.ndim(nseg) == 0 else [int(one) for one in nseg]
    if not 1 <= len(columns) <= 2:
        raise MMEError(f"ps() takes one or two coordinates, got {len(columns)}")
    if len(count) != len(columns) or min(count) < 1 or degree < 1:
        raise MMEError("ps(): nseg is a whole number of segments for all coordinates, or a vector of one for each")
    known = [column[np.isfinite(column)] for column in columns]
    for column in known:
        if np.unique(column).size < 4:
            raise MMEError(f"ps() needs at least four distinct values along a coordinate, got {np.unique(column).size}")
    state["domains"] = [(float(one.min()), float(one.max())) for one in known]
    state["middles"] = [(0.5 * (low + high), 0.5 * (high - low)) for low, high in state["domains"]]
    state["nseg"], state["degree"] = count, degree


def _columns(state: State, a: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(Z) along one coordinate, and d_+; beyond the domain straight on."""
    (low, high), nseg, degree = state["domains"][a], state["nseg"][a], state["degree"]
    margin = _BEYOND * (high - low)
    step = (high - low + 2.0 * margin) / nseg
    knots = low - margin + step * np.arange(-degree, nseg + degree + 1)
    size = nseg + degree
    D = np.diff(np.eye(size), 2, axis=0)
    values, U = np.linalg.eigh(D.T @ D)
    used = values > _FREE * values[-1]
    spline = BSpline(knots, U[:, used] / np.sqrt(values[used]), degree)
    inside = np.clip(x, low, high)
    Z = spline(inside) + spline.derivative()(inside) * (x - inside)[:, None]
    return Z, values[used]


def _numbered(values: np.ndarray) -> WideColumn:
    return WideColumn(values, tuple(str(j) for j in range(1, values.shape[1] + 1)))


def _random(state: State, *given: Any, **options: Any) -> WideColumn:
    """The part is the last of the arguments: a word."""
    return random_part(state, str(given[-1]), *given[:-1], **options)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ps": fixed_part,
    "s": smooth_line,
    "ps_random": _random,
    "s_random": smooth_part,
}
