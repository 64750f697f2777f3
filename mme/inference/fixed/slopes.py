"""Slopes of a covariate within levels of factors: derivatives of the rows that marginal means are made of.

A slope is l'beta with l = dL(x)/dx, L(x) the row of X averaged over the reference grid with the covariate at x: by
differences of fourth order, exact to rounding for what is linear in x, and good to 1e-9 for its transforms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import Record
from mme.inference.fixed.means import Means, marginal_means, points_of
from mme.inference.fixed.wanted import wanted_by
from mme.tables.arrays import dimensions, numbers, shown

# Points about x, in steps, and what they weigh in the derivative.
_POINTS = np.array([-2.0, -1.0, 1.0, 2.0])
_WEIGHTS = np.array([1.0, -8.0, 8.0, -1.0]) / 12.0
# A step, as a share of the size of the covariate.
_STEP = 1e-3


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
    step = _STEP * _size(fit, x, value)
    own, points = wanted_by(fit, by), value + step * _POINTS
    found = marginal_means(fit, [x], own, {**at, x: points}, weights)
    k = _POINTS.size
    L = np.tensordot(_WEIGHTS, found.L.reshape(-1, k, found.L.shape[1]), axes=(0, 1)) / step
    L[np.abs(L) <= 1e-9 * np.abs(L).max(axis=1, keepdims=True)] = 0.0
    levels = tuple((*labels[len(own) : -1], *labels[: len(own)]) for labels in found.levels[::k])
    names = (*found.names[len(own) : -1], *found.names[: len(own)])
    if not names:
        return Means(L, 0.0, ((x,),), ("slope of",), 0)
    return Means(L, 0.0, levels, names, found.n_by - len(own))


def _size(fit: Record, x: str, value: float) -> float:
    """How far x may move: as far as the data do, of which the column in X, or its own size, tells."""
    names = fit.model.x_names
    if x in names:
        column = fit.model.X[:, [names.index(x)]]
        spread = float(np.ptp(column.toarray() if fit.model.is_wide else column))
        if spread > 0.0:
            return spread
    return max(abs(value), 1.0)
