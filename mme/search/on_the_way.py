"""A search that ends on the way to an end of residuals' parameters, once the criterion falls without bound from there.

Correlations of few groups, or sums that X fits, leave a criterion that has no minimum: a search would follow it as far
as there are digits, in thousands of evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.numeric.curvature import unknown_curvature
from mme.numeric.optimize import Minimum
from mme.search.endless import value_at
from mme.search.ends import ON_THE_WAY, falls_from
from mme.search.joint import Joint, of_least_squares_alone
from mme.search.searched import Searched, growing

# From so far out it is asked whether the criterion falls without bound; again, in vain, so much further out. Once in so
# many evaluations it is asked from half as far.
_FAR, _AGAIN, _OFTEN = 4.0, 3.0, 500


class _OnTheWayError(Exception):
    """The criterion falls without bound from the lowest point."""


@dataclass(eq=False)
class _Watched:
    """The criterion, which ends its search where the lowest point is far out and it falls without bound from there."""

    joint: Joint
    searched: Searched
    f: Callable[[np.ndarray], float]
    calls: int = 0
    value: float = np.inf
    x: np.ndarray | None = None
    far: float = _FAR
    often: int = _OFTEN

    def __call__(self, x: np.ndarray) -> float:
        self.calls += 1
        value = self.f(x)
        if self.calls == _OFTEN and self.joint.model.k:
            self.look_at_singular_residuals()
        if value < self.value:
            self.value, self.x, parameters = value, x.copy(), self.searched.parameters(x)
            out = float(np.abs(parameters[self.joint.model.k :]).max(initial=0.0))
            if out > self.far or (self.calls > self.often and out > 0.5 * _FAR):
                beyond, self.far = min(self.far, 0.7 * out), max(self.far, out + _AGAIN)
                self.often = self.calls + _OFTEN
                self._follow(parameters, beyond)
        return value

    def look_at_singular_residuals(self) -> None:
        """End the search where residuals of X, without random effects, show the way to singular covariances."""
        model, k = self.joint.model, self.joint.model.k
        assert model.residual is not None
        if not self.searched.free[k:].all():
            return
        phi = model.residual.singular(of_least_squares_alone(model))
        if phi is not None:
            theta = np.where(growing(model)[:k] & self.searched.free[:k], 0.0, self.searched.first[:k])
            self._follow(np.append(theta, phi), 0.7 * float(np.abs(phi).max()))

    def _follow(self, parameters: np.ndarray, beyond: float) -> None:
        """Raise where the criterion falls without bound as what is ``beyond`` so far goes further out."""
        end, spent = falls_from(self.joint, self.searched, parameters, beyond)
        self.calls += spent
        if end is not None:
            self.x, self.value = self.searched.x(end), value_at(self.joint, end)
            raise _OnTheWayError


def before_its_end(
    joint: Joint,
    searched: Searched,
    criterion: Callable[[np.ndarray], float],
    spent: int,
    search: Callable[[Callable[[np.ndarray], float]], Minimum],
) -> tuple[Minimum, bool]:
    """The minimum that a search finds, ``spent`` evaluations before it; and whether it ended on the way to none."""
    if joint.model.residual is None:
        return search(criterion), False
    watched = _Watched(joint, searched, criterion)
    try:
        if not joint.model.k:  # beside random effects there may be a minimum all the same
            watched.look_at_singular_residuals()
        return search(watched), False
    except _OnTheWayError:
        x, value = watched.x, watched.value
        assert x is not None
        none = unknown_curvature(x, value, np.inf)
        return Minimum(x, value, watched.calls + spent, ON_THE_WAY, np.zeros(x.size, dtype=bool), none), True
