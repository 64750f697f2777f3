"""The maximum of the likelihood, and each of its parameters held: what a profile is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np

from mme.covariance.base import GStructure
from mme.engine.criterion import residual_sd
from mme.engine.pls import half_covariance, pwrss
from mme.fitted.natural import parameter_names
from mme.inference.intervals.deviance import Deviance, Point
from mme.inference.intervals.question import Around, Question
from mme.inference.intervals.slices import hold_residual
from mme.model.problem import Model
from mme.residual.given import has_inverse
from mme.search.joint import Joint
from mme.search.start import radii


@dataclass(frozen=True, eq=False)
class Maximum:
    """The maximum of the likelihood, and the scales of its parameters; theta is in the axes of the terms."""

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

    @classmethod
    def of(cls, joint: Joint, theta: np.ndarray, phi: np.ndarray, fixed_names: tuple[str, ...]) -> Maximum:
        """Describe the maximum at (theta, phi), theta in the user's columns."""
        values = Deviance(joint).parameters(Point(theta, phi))  # zeros of theta are exact here
        joint = Joint(joint.model, joint.at(phi).in_axes)
        theta = joint.model.coordinates.inner(theta)
        objective, deviance = joint.latest, Deviance(joint)
        border = objective.triangle(theta)[1]
        half = half_covariance(border, objective.basis.R_inverse)
        sigma = residual_sd(objective.constants, pwrss(border))
        radius = radii(objective) if objective.model.k else np.zeros(0)
        return cls(
            deviance=deviance,
            model=objective.model,
            theta=theta,
            phi=phi,
            scale=objective.theta_scale,
            radius=radius * objective.theta_scale,
            names=parameter_names(objective.model, fixed_names),
            values=values,
            sigma=sigma,
            se=sigma * np.sqrt(np.einsum("ij,ij->j", half, half)),
        )

    @property
    def holdable(self) -> tuple[str, ...]:
        """Names of the parameters that can be held."""
        if self.model.residual is None or has_inverse(self.model.residual):
            return self.names
        first = len(self.names) - self.se.size
        return self.names[: first - self.phi.size] + self.names[first:]

    def question(self, name: str) -> Question:
        """The parameter of this name, held."""
        at, model = self.names.index(name), self.model
        first = len(self.names) - self.se.size
        if at < model.k:
            return self._natural(name, at)
        if at < first - self.phi.size:
            step = 0.5 * self.sigma / sqrt(2.0 * model.n)
            return self._whole(at, (0.0, inf), step, lambda theta, phi, value: Point(theta, phi, sigma=value))
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
        return question.without(np.append(np.zeros(k, dtype=bool), self._phi_given))

    def _residual(self, at: int, place: int) -> Question:
        """A natural parameter of the residual structure: theta is free, and what R leaves free."""
        structure, k, scale = self.model.residual, self.model.k, self.scale
        assert structure is not None
        held = hold_residual(structure, self.phi, place)
        beside = structure.natural(self.phi + 0.1 * structure.radius() * (np.arange(self.phi.size) == place))
        question = Question(
            name=self.names[at],
            estimate=float(self.values[at]),
            bounds=held.bounds,
            step=max(abs(float(beside[place] - self.values[at])), 1e-8),
            start=np.concatenate([self.theta * scale, held.start]),
            radius=np.concatenate([self.radius, held.radius]),
            even=np.concatenate([self.model.diagonal, np.zeros(held.start.size, dtype=bool)]),
            point=lambda x, value: Point(x[:k] / scale, held.phi(x[k:], value)),
        )
        return question.without(np.append(np.zeros(k, dtype=bool), np.delete(self._phi_given, place)))

    def _step(self, part: GStructure, at: int, place: int, spread: float) -> float:
        """A first step along a parameter: of a standard deviation about its standard error."""
        if part.times_sigma[place]:
            return 0.5 * spread * self.sigma
        is_bounded = np.isfinite(part.natural_bounds[place]).all()
        return 0.1 if is_bounded else 0.1 * max(abs(float(self.values[at])), 1e-8)

    def _natural(self, name: str, at: int) -> Question:
        """A standard deviation or correlation: the rest of its T is free, and sigma where it matters."""
        model = self.model
        ends = np.cumsum([part.k for part in model.structures])
        t = int(np.searchsorted(ends, at, side="right"))
        part = model.structures[t]
        own = slice(int(ends[t]) - part.k, int(ends[t]))
        others = np.delete(np.arange(model.k), own)
        axes, theta = model.axes[t], model.coordinates.outer(self.theta)[own]
        held = part.hold(theta, at - own.start, axes)
        times_sigma = bool(part.times_sigma[at - own.start])
        scale, spread = self.scale[own], self.radius[own]
        size = scale if axes is None else part.per_row(axes.apart, 1.0)
        around = Around(
            own=own,
            inner=(lambda given: given) if axes is None else (lambda given: part.mixed(given, axes.C)),
            others=others,
            held=held,
            scale=np.concatenate([self.scale[others], np.where(held.moved, 1.0, size[held.like])]),
            rooted=np.concatenate([np.zeros(others.size, dtype=bool), held.rooted]),
            phi=self.phi.size,
            sigma=self.sigma,
            times_sigma=times_sigma,
            sigma_free=times_sigma and model.sigma is None,
        )
        begin = np.concatenate([self.theta[others], held.start]) * around.scale
        radius = np.concatenate([self.radius[others], spread[held.like]])
        roots, ones = np.sqrt(np.maximum(begin, 0.0)), np.ones(int(around.sigma_free))
        radius = np.where(around.rooted, radius / (2.0 * np.maximum(roots, np.sqrt(radius))), radius)
        question = Question(
            name=name,
            estimate=float(self.values[at]),
            bounds=held.bounds,
            step=self._step(part, at, at - own.start, float(spread[at - own.start] / size[at - own.start])),
            start=np.concatenate([np.where(around.rooted, roots, begin), self.phi, ones]),
            radius=np.concatenate([radius, self._phi_radius, ones / sqrt(2.0 * model.n)]),
            even=np.concatenate([model.diagonal[others], held.even, np.zeros(self.phi.size + ones.size, dtype=bool)]),
            point=around.point,
        )
        none = np.zeros(around.scale.size, dtype=bool)
        return question.without(np.concatenate([none, self._phi_given, ones == 0.0]))

    @property
    def _phi_given(self) -> np.ndarray:
        """Which coordinates of the residual structure were given, and are not searched."""
        given = self.model.phi
        return np.zeros(self.phi.size, dtype=bool) if given is None else ~np.isnan(given)

    @property
    def _phi_radius(self) -> np.ndarray:
        return np.zeros(0) if self.model.residual is None else 0.1 * self.model.residual.radius()
