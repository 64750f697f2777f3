r"""The ML deviance beside a wide X: log|M| is of the random effects alone, and a fixed effect is held by its own solve.

With v = var(beta_j_hat) / sigma^2 and c = cov(beta_hat, beta_j_hat) / sigma^2 of (C) in :mod:`mme.solution.wide`,
holding beta_j at a value adds (value - beta_j_hat)^2 / v to pwrss and c (value - beta_j_hat) / v to the others.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np

from mme.engine.criterion import criterion, residual_sd
from mme.engine.pls import pwrss
from mme.errors import MMEError
from mme.fitted.natural import parameter_values
from mme.inference.intervals.deviance import Deviance, Point
from mme.search.joint import Joint
from mme.solution.estimates import Estimates


class WideDeviance(Deviance):
    """:class:`Deviance` where X is sparse."""

    def __call__(self, at: Point) -> float:
        """The deviance at a point; infinite where the system has no Cholesky factor."""
        if at.sigma == 0.0:
            return inf
        try:
            estimates = self._estimates(at)
            squares, logdet_M = self._squares(at, estimates), estimates.objective.logdet_M(at.theta)
        except (MMEError, np.linalg.LinAlgError):
            return inf
        objective, sigma = estimates.objective, self._sigma(at, squares)
        constants = objective.constants if sigma is None else replace(objective.constants, sigma=sigma)
        return criterion(constants, logdet_M, 0.0, squares)

    def parameters(self, at: Point) -> np.ndarray:
        """All parameters at a point where the others are at their best."""
        estimates = self._estimates(at)
        objective, squares, beta = estimates.objective, self._squares(at, estimates), estimates.beta
        if at.j is not None:
            along, missed = self._missed(at, estimates)
            beta = beta + along * (missed / float(along[at.j]))
        held = self._sigma(at, squares)
        sigma = residual_sd(objective.constants, squares) if held is None else held
        theta = objective.model.coordinates.outer(at.theta) if objective.inside else at.theta
        return parameter_values(objective.model, theta, at.phi, sigma, beta)

    def _estimates(self, at: Point) -> Estimates:
        return Estimates(self.joint.at(at.phi), at.theta)

    def _squares(self, at: Point, estimates: Estimates) -> float:
        """Pwrss, with beta_j where it is held."""
        squares = pwrss(estimates.at.border)
        if at.j is None:
            return squares
        along, missed = self._missed(at, estimates)
        return squares + missed**2 / float(along[at.j])

    def _missed(self, at: Point, estimates: Estimates) -> tuple[np.ndarray, float]:
        """The covariances (p,) with beta_j over sigma^2, and how far its value is from its estimate."""
        assert estimates.wide is not None
        assert at.j is not None
        return estimates.wide.unit_covariance(at.j), at.value - float(estimates.beta[at.j])


def deviance_of(joint: Joint, of_sigma: tuple[float, float] = (0.0, inf)) -> Deviance:
    """The deviance of a model, by the way that its X has."""
    return (WideDeviance if joint.model.is_wide else Deviance)(joint, of_sigma)
