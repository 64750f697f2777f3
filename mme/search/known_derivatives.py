"""Gradient and Hessian of the criterion by what is searched, where they have a closed form."""

from __future__ import annotations

import warnings

import numpy as np

from mme.derivatives.slopes import criterion_slopes
from mme.errors import MMEWarning
from mme.numeric.newton import Derivatives
from mme.search.joint import Joint
from mme.search.searched import Searched
from mme.search.valleys import Valleys

# Differences of a criterion of so few parameters are cheap; of more, closed forms are worth their making.
_FEW = 6
# A search without them among more parameters is forecast, at so many evaluations for each pair.
_MANY, _EVALUATIONS_A_PAIR = 40, 8


def derivatives_of(joint: Joint, searched: Searched) -> Derivatives | None:
    """Gradient and Hessian of the criterion by what is searched, scaled; none where phi is part of it."""
    free, scale = searched.free, searched.scale
    if free.size > joint.model.k or free.sum() <= _FEW:
        return None

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        found = criterion_slopes(joint.latest, searched.parameters(x))
        if found is None:
            return None
        gradient, hessian = found
        return gradient[free] / scale[free], hessian[np.ix_(free, free)] / np.outer(scale[free], scale[free])

    return derivatives


def derivatives_at_one(valleys: Valleys, free: np.ndarray) -> Derivatives:
    """Gradient and Hessian by what is searched."""

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        whole = np.zeros(free.size)
        whole[free] = x
        value, gradient, hessian = valleys(whole[None])
        return (gradient[0, free], hessian[0][np.ix_(free, free)]) if np.isfinite(value[0]) else None

    return derivatives


def forecast(derivatives: Derivatives | None, x: np.ndarray) -> None:
    """Say what a search of many parameters will cost where derivatives have no closed form."""
    if x.size <= _MANY or (derivatives is not None and derivatives(x) is not None):
        return
    evaluations = _EVALUATIONS_A_PAIR * x.size * (x.size + 1) // 2
    warnings.warn(
        f"{x.size} variance parameters are searched by differences, as their derivatives have no closed form here: "
        f"that takes about {evaluations:,} evaluations of the criterion. Fewer columns, diag() or cs() take fewer; "
        "progress=True shows where the search is",
        MMEWarning,
        stacklevel=2,
    )
