"""Profiles of the likelihood: zeta, and joint regions of two parameters."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.record import Fitted
from mme.inference.intervals.generalised_profile import generalised_profile
from mme.inference.intervals.profile import profile as profiled
from mme.plot.style import BLUE, GREY, INK, LIGHT, VERMILION, new_axes
from mme.tables.arguments import names_of, yes_or_no

if TYPE_CHECKING:
    import pandas as pd

# Values and zeta of each parameter.
_Curves = dict[str, tuple[np.ndarray, np.ndarray]]
# Panels in a row.
_IN_A_ROW = 3
# |zeta| of the limits of intervals at 50, 80, 90, 95 and 99%.
_LIMITS = {50: 0.6745, 80: 1.2816, 90: 1.6449, 95: 1.9600, 99: 2.5758}
# Zeta changes by less over what is level of a profile.
_LEVEL = 0.1
# Radii of joint regions of two parameters, sqrt of the chi-square quantiles on two degrees of freedom.
_RADII = {50: 1.1774, 80: 1.7941, 95: 2.4477}


def zeta(fit: Record, profile: Any = None, *, data: bool = False) -> Any:
    """Profile zeta of each parameter: straight where the likelihood is quadratic and Wald's interval holds.

    Vertical lines mark the limits at 50, 80, 90, 95 and 99%, the straight line is Wald's.

    Parameters
    ----------
    profile : Profile or DataFrame, optional
        What ``fit.profile()`` returns, or a table with the columns ``parameter, value, zeta``; None: made anew.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    (parameters,) array of Axes; a DataFrame for ``data=True``: ``parameter, value, zeta``
    """
    table = _table(fit, profile)
    if yes_or_no(data, "data"):
        return table[["parameter", "value", "zeta"]].reset_index(drop=True)
    curves = _curves(table)
    columns = min(_IN_A_ROW, len(curves))
    rows = -(-len(curves) // columns)
    grid = new_axes(rows, columns, (2.7 * columns, 2.3 * rows), sharey=True)
    axes = grid.ravel()
    for ax, (name, (value, z)) in zip(axes, curves.items(), strict=False):
        _curve(ax, value, z)
        ax.set_title(name)
    for ax in axes[len(curves) :]:
        ax.set_visible(False)
    for ax in grid[:, 0]:
        ax.set_ylabel("zeta")
    return np.asarray(axes[: len(curves)])


def _curve(ax: Any, value: np.ndarray, z: np.ndarray) -> None:
    estimate = float(np.interp(0.0, z, value))
    near = np.abs(z) < 0.7
    if near.sum() > 1:  # Wald: the slope at the estimate
        slope = float((value[near] - estimate) @ z[near] / max(((value[near] - estimate) ** 2).sum(), 1e-300))
        ax.plot(value, slope * (value - estimate), color=GREY, linewidth=0.8, linestyle="--", zorder=1)
    for limit in _LIMITS.values():
        for side in (-limit, limit):
            if z[0] <= side <= z[-1]:
                at = float(np.interp(side, z, value))
                ax.vlines(at, 0.0, side, color=LIGHT, linewidth=1.0, zorder=0)
    ax.axhline(0.0, color=INK, linewidth=0.6)
    fine = np.linspace(value[0], value[-1], 200)
    ax.plot(fine, _smooth(value, z, fine), color=BLUE, linewidth=1.5, zorder=3)
    ax.set_ylim(-3.2, 3.2)
    ax.margins(x=0.04)


def pairs(fit: Record, profile: Any = None, parameters: Any = None, *, data: bool = False) -> Any:
    """Joint regions (50, 80, 95%) of every two parameters, below the diagonal; zeta on it.

    Contours are interpolated from the profiles and their traces, the other parameter's estimate while one is held
    (Bates and Watts 1988, Nonlinear Regression Analysis, section 6.1.2); they are ellipses where the likelihood is
    quadratic. Traces are the thin lines. A region is left out where a profile ends at its bound before it.

    Parameters
    ----------
    profile : Profile or DataFrame, optional
        As for zeta, with one column per parameter besides: the traces.
    parameters : sequence of str, optional
        Which parameters to draw; None: all of them.
    data : bool
        Return the table behind the picture.

    Returns
    -------
    (parameters, parameters) array of Axes; a DataFrame for ``data=True``: the regions, points of each ``x, y`` and
    ``share`` in their order, ``x_value, y_value``
    """
    table = _table(fit, profile)
    curves = _curves(table)
    names = list(curves) if parameters is None else names_of(parameters, "parameters")
    unknown = [name for name in names if name not in curves or name not in table]
    if unknown or len(names) < 2:
        raise MMEError(
            f"pairs need two profiles with their traces (a column each); missing: {', '.join(unknown) or 'all'}"
        )
    if yes_or_no(data, "data"):
        return _regions_table(table, curves, names)
    k = len(names)
    axes = new_axes(k, k, (1.9 * k, 1.8 * k))
    for i, name in enumerate(names):
        _curve(axes[i, i], *curves[name])
        axes[i, i].set_title(_broken(name))
        for j in range(i + 1, k):
            axes[i, j].set_visible(False)
    for j, i in combinations(range(k), 2):
        _region(axes[i, j], table, curves, names[j], names[i])
    for i in range(k):
        if i:
            axes[i, 0].set_ylabel(_broken(names[i]))
        axes[-1, i].set_xlabel(_broken(names[i]))
    shares = ", ".join(map(str, _RADII))
    note = f"Blue: joint regions of\n{shares}%; none where a\nprofile ends at its bound.\nOrange: traces."
    axes[0, 0].figure.text(0.99, 0.99, note, ha="right", va="top", fontsize=8.0)
    return axes


def _broken(name: str) -> str:
    """A long name on two lines."""
    return name.replace("|", "\n| ")


def _region(ax: Any, table: pd.DataFrame, curves: _Curves, x: str, y: str) -> None:
    (vx, zx), (vy, zy) = curves[x], curves[y]
    trace_y, trace_x = _traces(table, curves, x, y)
    for _, across, up in _regions(table, curves, x, y):
        ax.plot(across, up, color=BLUE, linewidth=1.2)
    ax.plot(vx, _smooth(zy, vy, np.clip(trace_y, zy[0], zy[-1])), color=VERMILION, linewidth=0.8)
    ax.plot(_smooth(zx, vx, np.clip(trace_x, zx[0], zx[-1])), vy, color=VERMILION, linewidth=0.8, linestyle="--")
    ax.plot(np.interp(0.0, zx, vx), np.interp(0.0, zy, vy), "+", color=INK, markersize=6)


def _traces(table: pd.DataFrame, curves: _Curves, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    """Zeta of y along the profile of x, and of x along that of y."""
    return _trace(table, x, y, *curves[y]), _trace(table, y, x, *curves[x])


def _regions(table: pd.DataFrame, curves: _Curves, x: str, y: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The share of each joint region, and the values of both parameters around it."""
    (vx, zx), (vy, zy) = curves[x], curves[y]
    trace_y, trace_x = _traces(table, curves, x, y)
    for share, radius in _RADII.items():
        if min(-zx[0], zx[-1], -zy[0], zy[-1]) < radius:
            continue  # the profile ends at a bound before it
        a, b = _contour(radius, zx, trace_y, zy, trace_x)
        yield share, _smooth(zx, vx, a), _smooth(zy, vy, b)


def _regions_table(table: pd.DataFrame, curves: _Curves, names: list[str]) -> pd.DataFrame:
    import pandas as pd

    parts = [
        pd.DataFrame({"x": x, "y": y, "share": share / 100.0, "x_value": across, "y_value": up})
        for x, y in combinations(names, 2)
        for share, across, up in _regions(table, curves, x, y)
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=_OF_REGIONS)


_OF_REGIONS = ["x", "y", "share", "x_value", "y_value"]


def _trace(table: pd.DataFrame, held: str, other: str, value: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Zeta of the other parameter's estimate at each knot of the profile that holds one."""
    rows = table[table["parameter"] == held]
    return np.asarray(_smooth(value, z, rows[other].to_numpy(dtype=float)))


def _contour(
    radius: float, zx: np.ndarray, trace_y: np.ndarray, zy: np.ndarray, trace_x: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """A joint region on the scale of zeta: (r cos(a + d / 2), r cos(a - d / 2)), d a smooth periodic function of a.

    The traces give four of its points: those where zx, and those where zy, is r or -r.
    """
    from scipy.interpolate import CubicSpline

    ends, angles = np.array([radius, -radius]), np.array([0.0, np.pi])
    x = np.append(angles, np.arccos(np.clip(np.interp(ends, zy, trace_x) / radius, -1.0, 1.0)))
    y = np.append(np.arccos(np.clip(np.interp(ends, zx, trace_y) / radius, -1.0, 1.0)), angles)
    a, d = np.where(x > y, 1.0, -1.0) * 0.5 * (x + y), np.abs(x - y)
    a, first = np.unique(a, return_index=True)
    spline = CubicSpline(np.append(a, a[0] + 2.0 * np.pi), np.append(d[first], d[first[0]]), bc_type="periodic")
    angle = np.linspace(a[0], a[0] + 2.0 * np.pi, 200)
    gap = spline(angle)
    return radius * np.cos(angle + 0.5 * gap), radius * np.cos(angle - 0.5 * gap)


def _smooth(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Monotone cubic interpolation of a profile; the ends are continued flat."""
    from scipy.interpolate import PchipInterpolator

    rising = np.concatenate([[True], np.diff(x) > 0.0])
    x, y = x[rising], y[rising]
    if x.size < 2:
        return np.full(np.shape(at), y[0])
    return np.asarray(PchipInterpolator(x, y)(np.clip(at, x[0], x[-1])))


def _table(fit: Record, profile: Any) -> pd.DataFrame:
    """A profile as a table, made where it is not given."""
    if profile is None:
        if isinstance(fit, GeneralisedFitted):
            profile = generalised_profile(fit)
        elif isinstance(fit, Fitted):
            profile = profiled(fit)
        else:
            raise MMEError("give a profile: a table with the columns parameter, value and zeta")
    table = profile.to_frame() if hasattr(profile, "curves") else profile
    missing = [name for name in ("parameter", "value", "zeta") if name not in getattr(table, "columns", ())]
    if missing:
        raise MMEError(
            f"a profile is a table with the columns parameter, value and zeta; missing: {', '.join(missing)}"
        )
    return _knots(table)


def _knots(table: pd.DataFrame) -> pd.DataFrame:
    """What is drawn of each parameter, in increasing order."""
    import pandas as pd

    drawn = []
    for _, rows in table.groupby("parameter", sort=False):
        finite = rows[np.isfinite(rows["value"]) & np.isfinite(rows["zeta"])]
        known = finite.drop_duplicates("value").sort_values("value")
        drawn.append(known.iloc[_bend(known["value"].to_numpy(dtype=float), known["zeta"].to_numpy(dtype=float))])
    return pd.concat(drawn)


def _curves(table: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Values and zeta of each parameter that has a profile."""
    curves = {
        str(name): (rows["value"].to_numpy(dtype=float), rows["zeta"].to_numpy(dtype=float))
        for name, rows in table.groupby("parameter", sort=False)
        if len(rows) > 2
    }
    if not curves:
        raise MMEError("no parameter of this profile has more than two points")
    return curves


def _bend(value: np.ndarray, z: np.ndarray) -> slice:
    """All points, but of a profile that runs level to a bound far away, as an infinite one, those where it bends."""
    inner = np.flatnonzero((np.abs(z - z[:1]) > _LEVEL) & (np.abs(z - z[-1:]) > _LEVEL))
    if inner.size == 0:
        return slice(None)
    first, last = max(int(inner[0]) - 1, 0), min(int(inner[-1]) + 1, z.size - 1)
    return slice(first, last + 1) if value[last] - value[first] < 0.1 * (value[-1] - value[0]) else slice(None)
