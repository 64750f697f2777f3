"""The ML deviance at variance parameters, and with one parameter held at a value.

    d(theta, sigma) = log|M| + log|K| + log|R| + n log(2 pi sigma^2) + pwrss / sigma^2

With L_X of (N), h the row of beta_j in R^-1 and a = L_X^-1 h, beta_j_hat = beta0_j + a'c and var(beta_j_hat) / sigma^2
= a'a; holding beta_j at v adds (v - beta_j_hat)^2 / a'a to pwrss. So no beta needs equations of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from mme.engine.criterion import criterion, residual_sd
from mme.engine.pls import coordinates, half_covariance, pwrss
from mme.fitted.natural import parameter_values
from mme.numeric.factor import NotPositiveDefiniteError
from mme.numeric.lapack import triangular_solve
from mme.search.joint import Joint


@dataclass(frozen=True, eq=False)
class Point:
    """Variance parameters, and what is held beside them: sigma (None: free), beta[j] (None: free) at a value."""

    theta: np.ndarray
    phi: np.ndarray
    sigma: float | None = None
    j: int | None = None
    value: float = 0.0


class Deviance:
    """-2 log-likelihood (ML) at a point, over what is free of beta and of sigma between its bounds."""

    def __init__(self, joint: Joint, of_sigma: tuple[float, float] = (0.0, inf)) -> None:
        self.joint, self.of_sigma = joint, of_sigma

    def __call__(self, at: Point) -> float:
        """The deviance at a point; infinite where R or the system has no Cholesky factor."""
        if np.isnan(at.phi).any():  # R would not be positive definite
            return inf
        objective = self.joint.at(at.phi)
        try:
            logdet_M, border = objective.triangle(at.theta)
        except NotPositiveDefiniteError:
            return inf
        if at.sigma == 0.0:
            return inf
        squares = pwrss(border)
        if at.j is not None:
            a, c, beta0 = self._direction(at, border)
            squares += (at.value - beta0 - float(a @ c)) ** 2 / float(a @ a)
        sigma = self._sigma(at, squares)
        constants = objective.constants if sigma is None else replace(objective.constants, sigma=sigma)
        return criterion(constants, logdet_M, 0.0, squares)

    def _sigma(self, at: Point, squares: float) -> float | None:
        """Sigma at a point, at the bound that its estimate is beyond; None where it is the estimate, or known."""
        low, high = self.of_sigma
        if at.sigma is not None:
            return min(max(abs(at.sigma), low), high)
        free = residual_sd(self.joint.latest.constants, squares)
        return None if low <= free <= high else min(max(free, low), high)

    def _direction(self, at: Point, border: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """L_X^-1 h = a (p,), c (p,) and beta0_j, from which beta_j_hat = beta0_j + a'c."""
        basis, p = self.joint.at(at.phi).basis, border.shape[0] - 1
        a = half_covariance(border, basis.R_inverse[at.j])
        return a, border[p, :p], float(basis.beta0[at.j])

    def parameters(self, at: Point) -> np.ndarray:
        """All parameters at a point where the others are at their best."""
        objective = self.joint.at(at.phi)
        border = objective.triangle(at.theta)[1]
        p, squares, gamma = objective.system.p, pwrss(border), coordinates(border)
        if at.j is not None:
            a, c, beta0 = self._direction(at, border)
            missed = at.value - beta0 - float(a @ c)
            squares += missed**2 / float(a @ a)
            gamma = gamma + triangular_solve(border[:p, :p], a, transposed=True) * (missed / float(a @ a))
        held = self._sigma(at, squares)
        sigma = residual_sd(objective.constants, squares) if held is None else held
        theta = objective.model.coordinates.outer(at.theta) if objective.inside else at.theta
        return parameter_values(objective.model, theta, at.phi, sigma, objective.basis.coefficients(gamma))
