"""The maximum of the likelihood, and each of its parameters held: what a profile is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from mme.engine.criterion import residual_sd
from mme.engine.objective import Objective
from mme.engine.pls import half_covariance, pwrss
from mme.fitted.natural import parameter_names
from mme.inference.intervals.around import around
from mme.inference.intervals.beside_held import beside_held, with_sigma
from mme.inference.intervals.between import Between
from mme.inference.intervals.deviance import Deviance, Point
from mme.inference.intervals.question import Question
from mme.inference.intervals.slices import hold_residual
from mme.inference.intervals.wide_deviance import deviance_of
from mme.model.problem import Model
from mme.residual.given import has_inverse
from mme.search.bounded import viewed
from mme.search.joint import Joint
from mme.search.start import radii
from mme.solution.estimates import Estimates


@dataclass(frozen=True, eq=False)
class Maximum:
    """The maximum of the likelihood, and the scales of its parameters; theta is in the axes of the terms.

    ``between`` are the bounds of its parameters, if any.
    """

    deviance: Deviance
    model: Model
    theta: np.ndarray
    phi: np.ndarray
    scale: np.ndarray
    radius: np.ndarray
    names: tuple[str, ...]
    values: np.ndarray
    sigma: float
    se: np.ndarray
    between: Between | None = None

    @classmethod
    def of(cls, joint: Joint, theta: np.ndarray, phi: np.ndarray, fixed_names: tuple[str, ...]) -> Maximum:
        """Describe the maximum at (theta, phi), theta in the user's columns; what is at a bound is free to leave it."""
        values = deviance_of(joint).parameters(Point(theta, phi))  # zeros of theta are exact here
        objective = joint.at(phi).in_axes
        theta = joint.model.coordinates.inner(theta)
        sigma, se = _uncertainty(objective, theta)
        radius, scale, bounds = radii(objective) if objective.model.k else np.zeros(0), objective.theta_scale, None
        if joint.model.bounds is not None:
            bounds = Between(joint.model.bounds, joint.model.named, theta, phi, sigma, scale)
            objective = viewed(objective, joint.model.as_given)
        return cls(
            deviance=deviance_of(Joint(objective.model, objective), (0.0, inf) if bounds is None else bounds.of_sigma),
            model=objective.model,
            theta=theta,
            phi=phi,
            scale=scale,
            radius=radius * scale,
            names=parameter_names(objective.model, fixed_names),
            values=values,
            sigma=sigma,
            se=se,
            between=bounds,
        )

    @property
    def holdable(self) -> tuple[str, ...]:
        """Names of the parameters that can be held."""
        if self.model.residual is None or has_inverse(self.model.residual):
            return self.names
        first = len(self.names) - self.se.size
        return self.names[: first - self.phi.size] + self.names[first:]

    def question(self, name: str) -> Question:
        """The parameter of this name, held; variances that the fit holds stay where they are."""
        at, model = self.names.index(name), self.model
        first = len(self.names) - self.se.size
        if at < model.k:
            return self._natural(name, at)
        if at < first - self.phi.size:
            step = 0.5 * self.sigma / sqrt(2.0 * model.n_records)
            return self._whole(
                at, self._limited((0.0, inf), "sigma"), step, lambda theta, phi, value: Point(theta, phi, sigma=value)
            )
        if at < first:
            return self._residual(at, at - first + self.phi.size)
        j = at - first
        step = 0.5 * float(self.se[j])
        return self._whole(at, (-inf, inf), step, lambda theta, phi, value: Point(theta, phi, j=j, value=value))

    def _whole(
        self,
        at: int,
        bounds: tuple[float, float],
        step: float,
        point: Callable[[np.ndarray, np.ndarray, float], Point],
    ) -> Question:
        """Theta and phi are free as they are."""
        k, scale = self.model.k, self.scale
        question = Question(
            name=self.names[at],
            estimate=float(self.values[at]),
            bounds=bounds,
            step=step,
            start=np.concatenate([self.theta * scale, self.phi]),
            radius=np.concatenate([self.radius, self._phi_radius]),
            even=np.concatenate([self.model.diagonal, np.zeros(self.phi.size, dtype=bool)]),
            point=lambda x, value: point(x[:k] / scale, x[k:], value),
        )
        of_sigma = point(self.theta, self.phi, 1.0).sigma is not None
        return self._beside_held(question, np.arange(k), np.arange(self.phi.size), of_sigma=of_sigma)

    def _residual(self, at: int, place: int) -> Question:
        """A natural parameter of the residual structure: theta is free, and what R leaves free."""
        structure, k, scale = self.model.residual, self.model.k, self.scale
        assert structure is not None
        held = hold_residual(structure, self.phi, place)
        beside = structure.natural(self.phi + 0.1 * structure.radius() * (np.arange(self.phi.size) == place))
        question = Question(
            name=self.names[at],
            estimate=float(self.values[at]),
            bounds=self._limited(held.bounds, "phi", place),
            step=max(abs(float(beside[place] - self.values[at])), 1e-8),
            start=np.concatenate([self.theta * scale, held.start]),
            radius=np.concatenate([self.radius, held.radius]),
            even=np.concatenate([self.model.diagonal, np.zeros(held.start.size, dtype=bool)]),
            point=lambda x, value: Point(x[:k] / scale, held.phi(x[k:], value)),
        )
        return self._beside_held(question, np.arange(k), np.delete(np.arange(self.phi.size), place))

    def _natural(self, name: str, at: int) -> Question:
        """A standard deviation or correlation: the rest of its T is free, and sigma where it matters."""
        model, held = self.model, around(self.model, self.theta, at, self.scale, self.radius)
        sigma_too = held.times_sigma and (model.sigma is None or self._asks_for_sigma)
        ones, phi = np.ones(int(sigma_too)), slice(held.size, held.size + self.phi.size)

        def point(x: np.ndarray, value: float) -> Point:
            sigma = self.sigma * float(x[-1]) if sigma_too else None
            if held.times_sigma:
                value = value / abs(self.sigma if sigma is None else sigma) if sigma != 0.0 else 0.0
            return Point(held.theta(x[: held.size], value), x[phi], sigma)

        value = float(self.values[at])
        question = Question(
            name=name,
            estimate=value,
            bounds=self._limited(held.held.bounds, "natural", at),
            step=held.step(value) * (self.sigma if held.times_sigma else 1.0),
            start=np.concatenate([held.start, self.phi, ones]),
            radius=np.concatenate([held.radius, self._phi_radius, ones / sqrt(2.0 * model.n_records)]),
            even=np.concatenate([held.even, np.zeros(self.phi.size + ones.size, dtype=bool)]),
            point=point,
        )
        thetas = np.concatenate([held.others, held.own.start + held.held.like])
        return self._beside_held(question, thetas, np.arange(self.phi.size), sigma_too=sigma_too)

    def _limited(self, bounds: tuple[float, float], kind: str, at: int = 0) -> tuple[float, float]:
        """What values a parameter can have, between bounds of its own."""
        return bounds if self.between is None else self.between.limited(bounds, kind, at)

    def _beside_held(
        self,
        question: Question,
        thetas: np.ndarray,
        phis: np.ndarray,
        *,
        sigma_too: bool = False,
        of_sigma: bool = False,
    ) -> Question:
        """The question between the bounds of its others, and with those that are held where they are.

        Its coordinates are these entries of theta, and those of phi, and sigma or not, unless it is the question; what
        is held or bounded in units of the response asks for it.
        """
        if self._asks_for_sigma and not (sigma_too or of_sigma):
            question, sigma_too = with_sigma(question, self.sigma, self.model.n), True
        if self.between is not None:
            question = self.between(question, thetas, np.append(np.full(thetas.size, -1), phis), sigma_too)
        given = np.zeros(question.start.size, dtype=bool)
        given[thetas.size : thetas.size + phis.size] = self._phi_given[phis]
        free = question.without(given)
        of_theta = np.append(thetas, np.full(free.start.size - thetas.size, -1))
        return beside_held(free, self.model.held, of_theta, self.model.sigma)

    @property
    def _asks_for_sigma(self) -> bool:
        """Whether sigma is free beside standard deviations that are held or bounded in units of the response."""
        held, between = self.model.held, self.between
        if between is not None and between.asks_for_sigma and self.model.sigma is None:
            return True
        return held is not None and held.asks_for_sigma and (self.model.sigma is None or held.beside_sigma)

    @property
    def _phi_given(self) -> np.ndarray:
        """Which coordinates of the residual structure were given, and are not searched."""
        given = self.model.phi
        return np.zeros(self.phi.size, dtype=bool) if given is None else ~np.isnan(given)

    @property
    def _phi_radius(self) -> np.ndarray:
        return np.zeros(0) if self.model.residual is None else 0.1 * self.model.residual.radius()


def _uncertainty(objective: Objective, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """Sigma, and the standard errors of beta (p,)."""
    if objective.model.is_wide:
        estimates = Estimates(objective, theta)
        return estimates.sigma, estimates.se
    border = objective.triangle(theta)[1]
    half = half_covariance(border, objective.basis.R_inverse)
    sigma = residual_sd(objective.constants, pwrss(border))
    return sigma, sigma * np.sqrt(np.einsum("ij,ij->j", half, half))
