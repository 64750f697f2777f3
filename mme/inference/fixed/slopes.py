"""Slopes of a covariate within levels of factors: derivatives of the rows that marginal means are made of.

A slope is l'beta with l = dL(x)/dx, L(x) the row of X averaged over the reference grid with the covariate at x. By
differences of fourth order with steps of h, from those of second order,

    D_2(h) = (L(x + h) - L(x - h)) / 2h,        D_4 = (4 D_2(h) - D_2(2h)) / 3,                                     (D)

exact to rounding for what is linear in x, and good to 1e-9 for its transforms. The step is a share of x; or of what
else tells its unit, where the two orders are apart or the rounding of L / h counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.formula.syntax import names_in
from mme.inference.fixed.means import Means, marginal_means, points_of
from mme.inference.fixed.treatment import name_of, owners_of
from mme.inference.fixed.wanted import wanted_by
from mme.tables.arrays import dimensions, numbers, shown

# Points about x, in steps.
_POINTS = np.array([-2.0, -1.0, 1.0, 2.0])
# A step, as a share of the size of the covariate.
_STEP = 1e-3
# The error of a slope, as a share of it, with which no other step is tried.
_GOOD = 1e-9
# What moves a column by less than this share of it, while x moves by its size, is rounding.
_ROUNDING = 1e-9


def slopes(fit: Record, x: str, by: str | Sequence[str], at: Mapping[str, Any] | None, weights: str = "equal") -> Means:
    """Rows of the slopes of x: one for each combination of the levels of ``by`` and of values that ``at`` gives it.

    Raises
    ------
    MMEError
        x is no covariate of the fixed part that holds numbers.
    """
    if fit.specification is None:
        raise MMEError("trends need a fit by formula (mme.lmer, mme.glmer), which knows the covariates; see contrast()")
    means = fit.specification.means
    if not isinstance(x, str) or x not in means:
        known = ", ".join(map(repr, means)) or "none"
        raise MMEError(f"trends: {shown(x)} is no covariate of the fixed part that holds numbers; they are {known}")
    given = points_of(at)
    several = x in given and dimensions(given[x]) > 0
    values = np.atleast_1d(numbers(given.pop(x), f"at: '{x}'")) if x in given else np.array([means[x]])
    parts = [_at(fit, x, float(value), by, given, weights) for value in values]
    first = parts[0]
    if not several:
        return first
    levels = tuple(
        (value, *labels) for value, part in zip(values.tolist(), parts, strict=True) for labels in part.levels
    )
    L = np.vstack([part.L for part in parts])
    return Means(L, 0.0, levels, (x, *first.names), first.n_by + 1)


def _at(fit: Record, x: str, value: float, by: str | Sequence[str], at: Mapping[str, Any], weights: str) -> Means:
    """The slopes at one value of x."""
    own, k = wanted_by(fit, by), _POINTS.size
    found, L = _differentiated(fit, x, value, own, at, weights)
    levels = tuple((*labels[len(own) : -1], *labels[: len(own)]) for labels in found.levels[::k])
    names = (*found.names[len(own) : -1], *found.names[: len(own)])
    if not names:
        return Means(L, 0.0, ((x,),), ("slope of",), 0)
    return Means(L, 0.0, levels, names, found.n_by - len(own))


def _differentiated(
    fit: Record, x: str, value: float, own: list[str], at: Mapping[str, Any], weights: str
) -> tuple[Means, np.ndarray]:
    """The means at the points about x, the last of their labels, and their derivative (means at one point, columns)."""
    tried: list[tuple[float, Means, np.ndarray]] = []
    moved = _moved(fit, x)
    for size in _sizes(fit, x, value):
        points = value + _STEP * size * _POINTS
        found = marginal_means(fit, [x], own, {**at, x: points}, weights)
        if [labels[-1] for labels in found.levels[: points.size]] != points.tolist():
            continue  # L(x) does not exist at all of them, or they are one
        rows = found.L.reshape(-1, points.size, found.L.shape[1])
        slope, error = _by_differences(rows, _STEP * size)
        largest = np.abs(rows).max(axis=(0, 1))
        slope[np.abs(slope) * size <= _ROUNDING * largest] = 0.0
        tried.append((float(error[moved].sum()), found, slope))
        if tried[-1][0] <= _GOOD:
            break
    if not tried:
        raise MMEError(f"trends: the fixed part is not defined on both sides of {x} = {value:.6g}")
    _, found, slope = min(tried, key=lambda one: one[0])
    return found, slope


def _by_differences(rows: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """(D) of rows (m, points, columns), and the error of each column, as a share of slope and error.

    The error of the second order, squared, is about that of the fourth.
    """
    wider, second = (rows[:, 3] - rows[:, 0]) / (4.0 * step), (rows[:, 2] - rows[:, 1]) / (2.0 * step)
    slope = second + (second - wider) / 3.0
    size, apart = (np.abs(one).max(axis=0) for one in (slope, slope - second))
    error = np.finfo(float).eps * np.abs(rows).max(axis=(0, 1)) / step
    error += apart**2 / np.where(size > 0.0, size, 1.0)
    return slope, error / np.where(size + error > 0.0, size + error, 1.0)


def _moved(fit: Record, x: str) -> np.ndarray:
    """Which columns of X are of terms with x, or with what is made of it."""
    codings, terms = fit.specification.codings, fit.specification.fixed.terms
    with_x = [name_of(term) for term in terms if any(x in names_in(node) for node in term if node not in codings)]
    return np.isin(owners_of(fit), with_x)


def _sizes(fit: Record, x: str, value: float) -> list[float]:
    """How far x may move: a share of itself, or of how far the data do, of which the column in X tells, or of one."""
    names, sizes = fit.model.x_names, [abs(value)]
    if x in names:
        column = fit.model.X[:, [names.index(x)]]
        sizes.append(float(np.ptp(column.toarray() if fit.model.is_wide else column)))
    return [*sizes, 1.0]
