"""How far Laplace's approximation is off: quadrature at its optimum, and where quadrature has its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.errors import MMEError
from mme.generalised.criterion import Criterion
from mme.generalised.estimates import GeneralisedEstimates
from mme.generalised.quadrature import MOST_POINTS, require_quadrature
from mme.generalised.search import search
from mme.tables.arguments import count


@dataclass(frozen=True, eq=False)
class LaplaceCheck:
    """Laplace's approximation against quadrature at the same parameters.

    Attributes
    ----------
    points : int
        Nodes of the quadrature along each coefficient.
    laplace, quadrature : float
        -2 log likelihood by both.
    shift : dict
        By fixed effect how many standard errors its estimate is from that by quadrature.
    """

    points: int
    laplace: float
    quadrature: float
    shift: dict[str, float]

    @property
    def difference(self) -> float:
        """What quadrature adds to -2 log likelihood."""
        return self.quadrature - self.laplace

    @property
    def largest_shift(self) -> float:
        """The largest shift of a fixed effect, in its standard errors."""
        return max((abs(one) for one in self.shift.values()), default=0.0)

    def __str__(self) -> str:
        return (
            f"Laplace {self.laplace:.4f}, quadrature with {self.points} points {self.quadrature:.4f} "
            f"({self.difference:+.4f}); fixed effects move by up to {self.largest_shift:.2g} standard errors"
        )


def laplace_check(estimates: GeneralisedEstimates, names: tuple[str, ...], points: int) -> LaplaceCheck:
    """Quadrature at the optimum of Laplace, and its own optimum, searched from there.

    Raises
    ------
    MMEError
        Quadrature cannot serve this model.
    """
    problem, at = estimates.problem, estimates.searched.at
    points = count(points, "points", "of the quadrature")
    if points > MOST_POINTS:
        raise MMEError(f"points must be at most {MOST_POINTS}, got {points}")
    require_quadrature(problem, points)
    own = Criterion(problem, points=points, u=at.u).at(at.at)
    if own is None:
        raise MMEError("quadrature has no value at the estimates")
    moved = search(problem, points=points, first=at.at).at.at.gamma - at.at.gamma
    shift = np.asarray(problem.beta(moved) / estimates.se).tolist()
    return LaplaceCheck(points, at.value, own.value, dict(zip(names, shift, strict=True)))
