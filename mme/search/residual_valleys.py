"""Other valleys of the parameters of residuals: candidates, judged by one evaluation each at variances of their own.

A criterion bends where the range of a correlation passes a distance, and has a valley for each way in which several
parameters make the same correlations; beside a random intercept, variances that grow with a covariate and those that
shrink with it have one each. The structure names places where one may be (:meth:`Bound.elsewhere`), and each of few
parameters may have its other sign. There the moments of the whitened records give theta, nearly the best for that phi,
so that one evaluation tells what a place is worth. The best places that are not on a slope down to the minimum are
searched from, a few steps each; one that gets below it is searched to its end. Of large models, whose valleys are few,
signs alone are tried, at the theta of the minimum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from mme.model.problem import Model
from mme.numeric.counted import NO_VALUE
from mme.numeric.curvature import CONVERGED
from mme.numeric.limits import limits
from mme.numeric.optimize import Minimum
from mme.search.endless import value_at
from mme.search.joint import Joint
from mme.search.searched import Searched
from mme.search.start import start

Criterion = Callable[[np.ndarray], float]
# The minimum of a function from a point, after so many evaluations.
Search = Callable[[Criterion, np.ndarray, int], Minimum]

# Of how many parameters of residuals each is tried with its other sign.
_FEW = 4
# Places that are higher than the minimum by more than this begin no search; of the others so many do, and as often is
# the whole repeated about a lower minimum.
_HIGHER, _SEARCHES, _AGAIN = 6.0, 3, 3
# Evaluations of a search that has not come below the minimum: so many, and so many for each parameter. None begins once
# all this has taken as many as led to the minimum, and so many.
_STEPS, _STEPS_A_PARAMETER, _LEAST = 20, 10, 200
# Shares of the way from a place to the minimum at which a ridge between them is looked for, and its least height.
_ON_THE_WAY, _RIDGE = (0.25, 0.5, 0.75), 1e-3


def of_other_residuals(
    joint: Joint, searched: Searched, criterion: Criterion, minimum: Minimum, search: Search, near: bool
) -> Minimum:
    """The lowest of the minimum and of those in other valleys of phi.

    Where weights follow fitted values, and the search began ``near`` its end, at the weights before, signs alone are
    tried: a last search from there looks further.
    """
    if joint.model.residual is None or minimum.endless:
        return minimum
    few = near and bool(joint.model.residual.of_mean.any())
    for _ in range(_AGAIN):
        found = _lower(_Places(joint, searched, minimum, few), criterion, search)
        lower = found.value < minimum.value - CONVERGED
        minimum = replace(found if lower else minimum, evaluations=found.evaluations)
        if not lower:
            break
    return minimum


def _lower(places: _Places, criterion: Criterion, search: Search) -> Minimum:
    """The minimum that the best places lead to, or the given one, with all evaluations."""
    minimum, begun = places.minimum, 0
    highest = minimum.value + (_HIGHER if places.are_many else -CONVERGED)
    for value, x in places.judged():
        spent = places.spent - minimum.evaluations
        if begun == _SEARCHES or value > highest or spent > max(minimum.evaluations, _LEAST):
            break
        if value > minimum.value and not places.is_behind_a_ridge(value, x):
            continue
        begun += 1
        soon = _Soon(criterion, _STEPS + _STEPS_A_PARAMETER * x.size)
        found = soon.search(search, x, places.spent)
        places.spent += soon.calls
        if soon.value < minimum.value - CONVERGED:
            found = found or search(criterion, soon.x, places.spent)
            return replace(found, evaluations=max(found.evaluations, places.spent))
    return replace(minimum, evaluations=places.spent)


class _EnoughError(Exception):
    """The evaluations that may be spent are spent."""


@dataclass(eq=False)
class _Soon:
    """A criterion of which a search ends after so many evaluations; its lowest point stays."""

    f: Criterion
    most: int
    calls: int = 0
    value: float = np.inf
    x: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __call__(self, x: np.ndarray) -> float:
        if self.calls == self.most:
            raise _EnoughError
        self.calls += 1
        value = self.f(x)
        if value < self.value:
            self.value, self.x = value, x.copy()
        return value

    def search(self, search: Search, x: np.ndarray, spent: int) -> Minimum | None:
        """The minimum, if the search came to its end."""
        try:
            return search(self, x, spent)
        except _EnoughError:
            return None


@dataclass(eq=False)
class _Places:
    """Points at other phi than the minimum's, theta the best known there; ``spent`` counts the evaluations."""

    joint: Joint
    searched: Searched
    minimum: Minimum
    few: bool
    spent: int = 0

    def __post_init__(self) -> None:
        self.spent = self.minimum.evaluations
        self.are_many = _is_small(self.joint.model) and not self.few
        self._here = self.searched.parameters(self.minimum.x)

    def judged(self) -> list[tuple[float, np.ndarray]]:
        """Values and coordinates x, the lowest first."""
        found = [self._best(phi) for phi in self._phis()]
        places = sorted((one for one in found if np.isfinite(one[0])), key=lambda one: one[0])
        alike = np.diff([value for value, _ in places], prepend=-np.inf) < CONVERGED  # no correlation, at any range
        return [one for one, same in zip(places, alike.tolist(), strict=True) if not same]

    def is_behind_a_ridge(self, value: float, x: np.ndarray) -> bool:
        """Whether the criterion rises on the way from x to the minimum, at the best theta for each phi."""
        k, there = self.joint.model.k, self.searched.parameters(x)
        for share in _ON_THE_WAY:
            before, (value, _) = value, self._best(there[k:] + share * (self._here[k:] - there[k:]))
            if value > before + _RIDGE:
                return True
        return False

    def _phis(self) -> Iterator[np.ndarray]:
        k, residual = self.joint.model.k, self.joint.model.residual
        assert residual is not None
        phi, free = self._here[k:], self.searched.free[k:]
        for i in np.flatnonzero(free).tolist() if free.sum() <= _FEW else ():
            yield np.where(np.arange(phi.size) == i, -phi, phi)
        for other in residual.elsewhere(phi) if self.are_many and (k or not residual.has_one_valley_alone) else ():
            yield np.where(free, other, phi)

    def _best(self, phi: np.ndarray) -> tuple[float, np.ndarray]:
        """The lower of the criterion at the minimum's theta and at that of the moments; its x."""
        k, free = self.joint.model.k, self.searched.free
        x = np.where((np.arange(free.size) < k)[free], self.minimum.x, self.searched.x(np.append(self._here[:k], phi)))
        points = [self.searched.parameters(x)]
        if k and self.are_many and self.searched.estimated[:k].all():
            points += self._of_moments(phi)
        values = [value_at(self.joint, point) for point in points]
        self.spent += len(points)
        best = int(np.argmin(values))
        return values[best], self.searched.x(points[best])

    def _of_moments(self, phi: np.ndarray) -> list[np.ndarray]:
        try:
            begun = start(self.joint.at(phi), descending=False)
        except NO_VALUE:
            return []
        self.spent += begun.evaluations
        return [np.append(np.where(self.searched.free[: begun.theta.size], begun.theta, 0.0), phi)]


def _is_small(model: Model) -> bool:
    """Whether an evaluation is so quick that some tens more do not matter."""
    assert model.residual is not None
    group, limit = model.residual.group, limits()
    pairs = model.n_records if group is None else int((np.bincount(group).astype(float) ** 2).sum())
    return model.n_records <= limit.records_of_valleys and pairs <= limit.pairs_of_valleys
