r"""The maximum of a generalised likelihood, and each of its parameters held.

The parameters of the search are psi = (theta in the axes, gamma, tau). What a held value v leaves free has coordinates
x of order one, psi = psi(x, v):

    an effect        beta_j = c'gamma:  gamma = c v / c'c + N x,  N an orthonormal basis of what is orthogonal to c
    a parameter of the family           the coordinate of tau that makes way for it: where the parameter is linear in
                                        that, it is put where it has the value; elsewhere v is the coordinate
    a standard deviation, a correlation :mod:`mme.inference.intervals.around`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from mme.family.parameter import INFINITE, FamilyParameter
from mme.fitted.generalised import GeneralisedFitted
from mme.fitted.natural import covariance_bounds, generalised_names, generalised_values
from mme.generalised.criterion import Criterion
from mme.inference.intervals.around import around
from mme.inference.intervals.question import Question
from mme.results.generalised_variances import family_bounds

# Theta, times the size of its column, is at most so far off at a start, and at least.
_LARGEST_RADIUS, _SMALLEST_RADIUS = 0.3, 1e-3


@dataclass(frozen=True, eq=False)
class GeneralisedMaximum:
    """The maximum of the likelihood, and the scales of its parameters.

    Attributes
    ----------
    fit : GeneralisedFitted
        The fit.
    psi : (k + p + r,) array
        Where the criterion is lowest.
    hessian : (k + p + r)^2 array
        Second derivatives there, those of parameters held at the edge by their scale.
    names, values
        All parameters, as :func:`mme.fitted.natural.generalised_names` has them.
    """

    fit: GeneralisedFitted
    psi: np.ndarray
    hessian: np.ndarray
    scale: np.ndarray
    radius: np.ndarray
    names: tuple[str, ...]

    @classmethod
    def of(cls, fit: GeneralisedFitted) -> GeneralisedMaximum:
        """Describe the maximum of a fit."""
        k, problem = fit.model.k, fit.problem
        psi, free = fit.searched.at.at.x, fit.searched.free
        scale = np.ones(psi.size)
        scale[:k] = problem.sizes()
        H = np.diag(2.0 * (scale / _LARGEST_RADIUS) ** 2)
        found = fit.estimates.hessian
        curved = np.isfinite(found).all() and bool((found.diagonal() > 0.0).all())
        H[np.ix_(free, free)] = found if curved else np.diag(np.diag(H)[free])
        radius = np.clip(scale[:k] * np.sqrt(2.0 / H.diagonal()[:k]), _SMALLEST_RADIUS, _LARGEST_RADIUS)
        of_family = problem.family.parameter_names(problem.data)
        return cls(fit, psi, H, scale[:k], radius, generalised_names(fit.model, of_family, fit.fixed_names))

    @property
    def _k(self) -> int:
        return self.fit.model.k

    @property
    def _r(self) -> int:
        return self.fit.optimum.tau.size

    @property
    def tau(self) -> np.ndarray:
        """Coordinates of the family's parameters (r,)."""
        return self.psi[self.psi.size - self._r :]

    def criterion(self) -> Criterion:
        """The criterion of the fit, its modes found from those at the maximum."""
        return replace(self.fit.searched.criterion, u=self.fit.searched.at.u)

    def values(self, psi: np.ndarray) -> np.ndarray:
        """All parameters at a point, in the order of ``names``."""
        k, cut, model = self._k, psi.size - self._r, self.fit.model
        theta = model.coordinates.outer(psi[:k])
        own = np.asarray(self.fit.family.natural(psi[cut:]), dtype=float).ravel()
        return generalised_values(model, theta, own, self.fit.problem.beta(psi[k:cut]))

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the parameters before the fixed effects can take."""
        return (*covariance_bounds(self.fit.model), *family_bounds(self.fit))

    def question(self, name: str) -> Question:
        """The parameter of this name, held."""
        at, k, r = self.names.index(name), self._k, self._r
        if at < k:
            return self._natural(at)
        return self._of_family(at, at - k) if at < k + r else self._effect(at, at - k - r)

    def _beside(
        self, at: int, bounds: tuple[float, float], x: np.ndarray, point: Callable[[np.ndarray, float], np.ndarray]
    ) -> Question:
        """Theta is free as it is, in front of the coordinates x of the rest."""
        k, theta = self._k, self.psi[: self._k] * self.scale
        estimate = float(self.values(self.psi)[at])
        return Question(
            name=self.names[at],
            estimate=estimate,
            bounds=bounds,
            step=0.5 * self.error(at, estimate),
            start=np.concatenate([theta, x]),
            radius=np.concatenate([self.radius, np.full(x.size, _LARGEST_RADIUS)]),
            even=np.concatenate([self.fit.model.diagonal, np.zeros(x.size, dtype=bool)]),
            point=lambda x, value: np.concatenate([x[:k] / self.scale, point(x[k:], value)]),
        )

    def error(self, at: int, estimate: float) -> float:
        """About a standard error of a parameter, by the curvature along it where others are held: never zero."""
        spread = np.sqrt(2.0 / self.hessian.diagonal())
        moved = [abs(float(self.values(self.psi + step)[at]) - estimate) for step in np.diag(spread)[self._k :]]
        return max(*moved, 1e-8 * max(abs(estimate), 1.0))

    def _effect(self, at: int, j: int) -> Question:
        """The question to a fixed effect: theta and tau are free, and gamma across its direction."""
        p = self.psi.size - self._k - self._r
        c = self.fit.problem.beta_of_gamma[j]
        N = np.linalg.qr(c[:, None], mode="complete")[0][:, 1:]
        along, gamma = c / float(c @ c), self.psi[self._k : self._k + p]

        def point(x: np.ndarray, value: float) -> np.ndarray:
            return np.concatenate([along * value + N @ x[: p - 1], x[p - 1 :]])

        return self._beside(at, (-inf, inf), np.concatenate([N.T @ gamma, self.tau]), point)

    def family_parameter(self, name: str) -> FamilyParameter | None:
        """The parameter of the family of this name, where it has one that is not linear in its coordinate."""
        j = self.names.index(name) - self._k
        held = FamilyParameter.of(self.fit.family, self.tau, j) if 0 <= j < self._r else None
        return None if held is None or held.linear else held

    def _of_family(self, at: int, j: int) -> Question:
        """A parameter of the family: gamma is free, and tau but for one coordinate."""
        held, p = FamilyParameter.of(self.fit.family, self.tau, j), self.psi.size - self._k - self._r
        rest = self.tau[held.others]

        def point(x: np.ndarray, value: float) -> np.ndarray:
            return np.concatenate([x[:p], held.tau(x[p:], value)])

        begin = np.concatenate([self.psi[self._k : self._k + p], rest])
        if held.linear:
            return self._beside(at, held.bounds(rest), begin, point)
        own, place = float(self.tau[held.s]), self._k + p + held.s
        question = self._beside(at, (min(-INFINITE, own), max(INFINITE, own)), begin, point)
        step = 0.5 * min(float(np.sqrt(2.0 / self.hessian[place, place])), 1.0)
        return replace(question, estimate=own, step=step)

    def _natural(self, at: int) -> Question:
        """A standard deviation or correlation: the rest of its T is free, gamma and tau as they are."""
        held = around(self.fit.model, self.psi[: self._k], at, self.scale, self.radius)
        rest = self.psi[self._k :]
        estimate = float(self.values(self.psi)[at])
        return Question(
            name=self.names[at],
            estimate=estimate,
            bounds=held.held.bounds,
            step=held.step(estimate),
            start=np.concatenate([held.start, rest]),
            radius=np.concatenate([held.radius, np.full(rest.size, _LARGEST_RADIUS)]),
            even=np.concatenate([held.even, np.zeros(rest.size, dtype=bool)]),
            point=lambda x, value: np.concatenate([held.theta(x[: held.size], value), x[held.size :]]),
        )
