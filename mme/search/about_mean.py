"""Residual variances that are functions of the fitted mean, whose weights and fitted values are those of one fit.

The means are held, the model with these weights is searched, and its fitted values are the next means: g. Its fixed
point is what is looked for, from the means of equal variances on, by mixing (``fixed_points.py``), as plain steps may
go round in circles. What is found is a minimum at its own weights that a search leads to from near; at the end one that
looks for other valleys is made, and where there is a lower one, its fixed point is taken in place of the first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mme.engine.objective import Objective
from mme.errors import MMEError, warn
from mme.model.problem import Model
from mme.numeric.fixed_points import mixed
from mme.residual.base import Bound
from mme.search.found import Found
from mme.search.loop import search
from mme.search.progress import Progress
from mme.solution.estimates import Estimates

# Weights that move by less than this share of themselves are those of the fit; by less than the second, where the
# criterion stays where it is to this share of it, or in so many fits: searches end no nearer to their minima.
_STILL, _NEARLY_STILL, _SAME, _OFTEN = 1e-9, 1e-5, 1e-10, 8
# So many fits lead to a fixed point, and so often one begins anew at a lower minimum at the weights of the last.
_MOST, _AGAIN = 60, 3
# A fixed point is lower than another by more than this.
_LOWER = 1e-6
NOT_TOLD = "the fitted values do not vary: the power of them is not determined, and is held at zero"


def search_about_mean(model: Model, theta: Any, progress: Progress, first: np.ndarray | None, by: str) -> Found:
    """Search until the weights are those of the optimum's own fitted values; once, where no weights depend on them."""
    if model.residual is None or not model.residual.of_mean.any():
        return search(model, theta, progress, first, by=by)
    weighted = _Weighted(model, theta, progress, by)
    best = weighted.fixed_point(weighted.equally(first))
    for _ in range(_AGAIN):
        found = weighted.about(_means(best.found), best.found, near=False)
        if not found.optimum.criterion < best.found.optimum.criterion - _LOWER:
            break
        other = weighted.fixed_point(found)
        if not other.is_below(best):
            break
        best = other
    return best.told()


class _Fixed(NamedTuple):
    """Where an iteration ended, and by how much the logarithms of standard deviations still move there."""

    found: Found
    moved: float
    is_still: bool

    def is_below(self, other: _Fixed) -> bool:
        """Whether this is the one to take of two."""
        lower = self.found.optimum.criterion < other.found.optimum.criterion - _LOWER
        return (lower and self.is_still) or not other.is_still

    def told(self) -> Found:
        """What was found, with what is to be said of it."""
        if not self.is_still:
            warn(
                f"PowerOfMean: after {_MOST} fits the weights still move by {self.moved:.1g} of themselves: there may "
                "be no fixed point, and the likelihood is that of the last weights; model the variance by a covariate, "
                "with PowerOfCovariate"
            )
        if not _untold(_structure(self.found)).any():
            return self.found
        warn(f"PowerOfMean: {NOT_TOLD}")
        optimum = self.found.optimum
        said = (*optimum.undetermined, NOT_TOLD)
        verdict = "flat" if optimum.converged else optimum.verdict
        return replace(self.found, optimum=replace(optimum, flat=optimum.flat + 1, verdict=verdict, undetermined=said))


@dataclass(frozen=True, eq=False)
class _Weighted:
    """The optimum of a model as a function of the means that weigh its records."""

    model: Model
    theta: Any
    progress: Progress
    by: str

    def equally(self, first: np.ndarray | None) -> Found:
        """Powers at zero where they are not given."""
        structure = _bound(self.model)
        given = np.full(structure.k, np.nan) if self.model.phi is None else self.model.phi
        equal = self.model.beside(phi=np.where(structure.of_mean & np.isnan(given), 0.0, given))
        return search(equal, self.theta, self.progress, first, by=self.by)

    def about(self, means: np.ndarray, before: Found, near: bool) -> Found:
        """The optimum at these means (2, n), from the one ``before``; ``near`` it where they differ little."""
        was, structure = _structure(before), _bound(self.model).about(*means)
        own, given = structure.of_mean, self.model.phi
        given = np.full(structure.k, np.nan) if given is None else _carried(_bound(self.model), structure, given)
        given = np.where(_untold(structure), 0.0, given)
        phi = np.where(own, _carried(was, structure, before.objective.phi), before.objective.phi)
        at = self.model.beside(residual=structure, phi=None if np.isnan(given).all() else given)
        begun = Objective.of(at, phi=np.where(np.isnan(given), phi, given))
        alike = before.optimum if near else None
        return search(at, self.theta, self.progress, before.optimum.theta, begun, self.by, alike)

    def fixed_point(self, found: Found) -> _Fixed:
        """Where the iteration from what was found at other weights ends."""
        points, images = list[np.ndarray](), [_means(found)]
        moved, before, next_means, quiet = np.inf, np.inf, images[-1], 0
        for _ in range(_MOST):
            last = found
            try:
                found = self.about(next_means, last, near=True)
            except MMEError:
                if not points or next_means is images[-1]:
                    raise
                next_means = images[-1]
                found = self.about(next_means, last, near=True)
            points.append(next_means)
            images.append(_means(found))
            moved, value = _moved(found, images[-1]), found.optimum.criterion
            same = abs(value - before) <= _SAME * (1.0 + abs(value))
            quiet += moved < _NEARLY_STILL
            if moved < _STILL or (same and moved < _NEARLY_STILL) or quiet == _OFTEN:
                return _Fixed(found, moved, True)
            before = value
            next_means = mixed([one.ravel() for one in points], [one.ravel() for one in images[1:]]).reshape(
                points[-1].shape
            )
        return _Fixed(found, moved, False)


def _bound(model: Model) -> Bound:
    assert model.residual is not None
    return model.residual


def _structure(found: Found) -> Bound:
    return _bound(found.objective.model)


def _carried(was: Bound, structure: Bound, phi: np.ndarray) -> np.ndarray:
    """The coordinates by one structure of the powers with these coordinates by another."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(structure.of_mean, structure.coordinates(was.natural(phi)), phi)


def _untold(structure: Bound) -> np.ndarray:
    """Which powers (k,) make no difference, as the means do not vary."""
    nothing = [not np.ptp(structure.log_sd(x)) for x in np.eye(structure.k)]
    return np.array(nothing) & structure.of_mean


def _moved(found: Found, means: np.ndarray) -> float:
    """By how much the logarithms of standard deviations move, from those of a fit to those of its fitted values."""
    was, phi = _structure(found), found.objective.phi
    try:
        structure = was.about(*means)
    except MMEError:
        return np.inf
    return float(np.abs(structure.log_sd(_carried(was, structure, phi)) - was.log_sd(phi)).max())


def _means(found: Found) -> np.ndarray:
    """The fitted values (2, n) with the random effects and without."""
    at = Estimates(found.objective, found.optimum.theta)
    return np.array([at.fitted, at.population])
