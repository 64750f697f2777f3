"""Gradient and Hessian of the criterion by what is searched, where they have a closed form."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mme.covariance.base import GStructure
from mme.derivatives.average import average_information
from mme.derivatives.score import has_score, score
from mme.derivatives.slopes import criterion_slopes
from mme.derivatives.uncertainty import Meetings
from mme.errors import MMEError, warn
from mme.numeric.limits import limits
from mme.numeric.newton import Derivatives
from mme.numeric.optimize import BY_DERIVATIVES, Minimum
from mme.search.joint import Joint
from mme.search.searched import Searched
from mme.search.valleys import Valleys
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

# Who chooses the steps: the number of parameters, or the caller.
AUTO, BY_VALUES, BY_AVERAGES = SEARCHES = ("auto", "derivative-free", "average-information")

# Differences of a criterion of so few parameters are cheap; of more, closed forms are worth their making: sooner where
# an evaluation is dear.
_FEW, _VERY_FEW, _FEWEST = 6, 3, 2
# Operations of an evaluation, of a field of some 80 x 80 places, from which its three parameters are no longer few: a
# search by values takes 130 to 150 evaluations, one by averages 45.
_LARGE_FIELD = 1e7
# A standard deviation of a pattern below this is near zero, columns of unit size: slopes end where it has a kink.
_KINK = 1e-2
# A search without them among more parameters is forecast, at so many evaluations for each pair.
_MANY, _EVALUATIONS_A_PAIR = 40, 8


def check_search(given: Any) -> str:
    """The word that chooses the steps of a search.

    Raises
    ------
    MMEError
        It is another.
    """
    if not is_word(given, SEARCHES):
        raise MMEError(f"search must be one of {', '.join(map(repr, SEARCHES))}; got {shown(given)}")
    return str(given)


def derivatives_of(joint: Joint, searched: Searched, by: str) -> Derivatives | None:
    """Gradient and Hessian of the criterion by what is searched, scaled; None where values alone are to serve.

    Left to us, few parameters are searched by values alone; of more the Hessian is exact where it has a closed form, or
    average information (:mod:`mme.derivatives.average`).
    """
    free = searched.free
    flops, has_field = joint.latest.flops, _has_field(joint.model.structures)
    dear = flops > limits().dear_evaluation
    few = _FEWEST if has_field and flops > _LARGE_FIELD else _VERY_FEW if dear or has_field else _FEW
    if by == BY_VALUES or (by == AUTO and free.sum() <= few):
        return None
    averaged = has_score(joint.latest)
    exact = None if by == BY_AVERAGES or free.size > joint.model.k or (dear and averaged) else _exact(joint, searched)
    if exact is not None and exact(searched.x(searched.first)) is not None:
        return exact
    return Averages(joint, searched) if averaged else exact


def exact_later(joint: Joint, searched: Searched, by: str) -> Derivatives | None:
    """Exact derivatives for a search by differences that does not end; None where there is no closed form."""
    if by != AUTO or searched.free.size > joint.model.k:
        return None
    return _exact(joint, searched)


def _has_field(structures: tuple[GStructure, ...]) -> bool:
    """Whether a relationship has several parameters: with variances beside it they make a curved valley.

    Differences lead along it in a hundred steps and more, average information in ten.
    """
    return any(part.relationship is not None and part.relationship.k > 1 for part in structures)


def _exact(joint: Joint, searched: Searched) -> Derivatives:
    """By theta alone, where the factor of the random effects not absorbed is dense."""

    def derivatives(x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        parameters = searched.parameters(x)
        found = criterion_slopes(joint.latest, parameters)
        return None if found is None else _scaled(searched, parameters, *found)

    return derivatives


@dataclass(frozen=True, eq=False)
class Averages:
    """The exact gradient, and average information."""

    joint: Joint
    searched: Searched
    meetings: Meetings = field(default_factory=Meetings)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """The gradient and average information by the coordinates that are searched; None where they have no digits."""
        parameters = self.searched.parameters(x)
        theta, phi = np.split(parameters, [self.joint.model.k])
        found = score(self.joint.at(phi), theta, self.meetings)
        return None if found is None else _scaled(self.searched, parameters, found.gradient, average_information(found))

    def leaves_open(self, minimum: Minimum) -> bool:
        """Whether a search by values alone goes on where these steps ended.

        It does where few parameters are searched and average information sees less than values do: it is zero in some
        direction, or a standard deviation of a pattern with correlations is near zero, where covariances have a kink.
        """
        model, searched = self.joint.model, self.searched
        if minimum.x.size > _MANY:
            return False
        at = (searched.parameters(minimum.x) * searched.scale)[: model.k]
        pieces = zip(model.structures, model.split(at), strict=True)
        patterns = [(part, piece) for part, piece in pieces if _has_kinks(part)]
        kinks = any((np.abs(piece[part.diagonal]) < _KINK).any() for part, piece in patterns)
        return bool(kinks or minimum.curvature.flat)


def _has_kinks(part: GStructure) -> bool:
    """Whether covariances have a kink where a standard deviation is zero."""
    return part.correlated and part.inner.entries is None and not part.inner.is_even


def _scaled(
    searched: Searched, parameters: np.ndarray, gradient: np.ndarray, hessian: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives by (theta, phi) as those by the coordinates of what is searched; averages of them, if curved."""
    if searched.spread is not None:
        by_x = searched.by_coordinates(parameters)
        return by_x.T @ gradient, by_x.T @ hessian @ by_x
    free, scale = searched.free, searched.scale
    return gradient[free] / scale[free], hessian[np.ix_(free, free)] / np.outer(scale[free], scale[free])


def explained(minimum: Minimum, by: Derivatives | None) -> Minimum:
    """The minimum, with a reason that names the steps that were taken."""
    averaged = isinstance(by, Averages) and minimum.reason == BY_DERIVATIVES
    return replace(minimum, reason="average-information steps gained nothing more") if averaged else minimum


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
    warn(
        f"{x.size} variance parameters are searched by differences, as their derivatives have no closed form here: "
        f"that takes about {evaluations:,} evaluations of the criterion. Fewer columns, diag() or cs() take fewer; "
        "progress=True shows where the search is"
    )
