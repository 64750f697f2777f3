r"""Gradient and Hessian of the criterion by theta in closed form, from the sums of one evaluation.

H = T T' of each block, T linear in theta: with T_i = dT / dtheta_i the directions of ``information.py`` are

    D_i = T_i T' + T T_i',        and the second derivatives of H    T_i T_j' + T_j T_i'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.derivatives.information import Direction, Information, information
from mme.engine.criterion import Constants
from mme.engine.objective import Objective
from mme.engine.pls import pwrss
from mme.numeric.factor import NotPositiveDefiniteError
from mme.numeric.limits import limits


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives by theta (k,): first and second of log|V|, and of L^-1 N'V^-1 N L^-T for N = [X y]."""

    log_V: np.ndarray
    log_V2: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @property
    def log_X(self) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (k,) and Hessian (k, k) of log|X'V^-1 X|."""
        return _logdet(self.first[:, :-1, :-1], self.second[:, :, :-1, :-1])

    @property
    def log_pwrss(self) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (k,) and Hessian (k, k) of log pwrss = log y'Py."""
        whole, of_X = _logdet(self.first, self.second), self.log_X
        return whole[0] - of_X[0], whole[1] - of_X[1]

    def of_criterion(self, constants: Constants, pwrss: float) -> tuple[np.ndarray, np.ndarray]:
        """Gradient (k,) and Hessian (k, k) of the criterion (:mod:`mme.engine.criterion`)."""
        (log_X, log_X2), (log_s, log_s2) = self.log_X, self.log_pwrss
        if constants.sigma is None:
            left, left2 = constants.n_effective * log_s, constants.n_effective * log_s2
        else:
            s = pwrss / constants.sigma**2
            left, left2 = s * log_s, s * (log_s2 + np.outer(log_s, log_s))
        return self.log_V + constants.reml * log_X + left, self.log_V2 + constants.reml * log_X2 + left2


def criterion_slopes(objective: Objective, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Gradient (k,) and Hessian (k, k) of the criterion at theta; None where they have no closed form."""
    k, size = objective.model.k, objective.system.p + 1
    if objective.within is not None or (k * size) ** 2 > limits().slope_numbers:
        return None
    if objective.is_large(objective.factors(theta)):
        return None
    try:
        at = objective.evaluate(theta)
    except NotPositiveDefiniteError:
        return None
    of = information(objective, theta, at)
    if of is None:
        return None
    gradient, hessian = slopes_by_theta(objective, theta, of).of_criterion(objective.constants, pwrss(at.border))
    return (gradient, hessian) if np.isfinite(gradient).all() and np.isfinite(hessian).all() else None


def slopes_by_theta(objective: Objective, theta: np.ndarray, of: Information) -> Slopes:
    """The chain rule, block by block."""
    along: list[Direction] = []
    changes: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    units = np.eye(theta.size)
    for b, block in enumerate(objective.blocks):
        entries = np.concatenate([np.arange(s.start, s.stop) for s in block.theta_slices])
        changes[b] = entries, np.array([block.T(units[i]) for i in entries])
    whose = {int(i): (b, T_i) for b, (entries, of_T) in changes.items() for i, T_i in zip(entries, of_T, strict=True)}
    for i in range(theta.size):
        b, T_i = whose[i]
        half = T_i @ objective.blocks[b].T(theta).T
        along.append(Direction(b, half + half.T))
    log_V, log_V2, first, second = of.derivatives(along)
    for b, (entries, T_i) in changes.items():
        both = np.ix_(entries, entries)
        products = of.products(b)
        products = products + products.transpose(1, 0, 2, 3)
        second[both] -= _contracted(T_i, products)
        log_V2[both] += 2.0 * _contracted(T_i, of.traces[b])
    return Slopes(log_V, log_V2, first, second)


def _contracted(T_i: np.ndarray, W: np.ndarray) -> np.ndarray:
    """sum_abc T_i[a, c] T_j[b, c] W[a, b, ...] as (k, k, ...): tr(T_j'W T_i)."""
    half = np.tensordot(W, T_i, (0, 1))  # b, ..., i, c
    return np.moveaxis(np.tensordot(T_i, half, ((1, 2), (0, half.ndim - 1))), -1, 0)


def _logdet(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Derivatives of log|C| at C = I from those of C, (k, s, s) and (k, k, s, s)."""
    both = np.einsum("ijaa->ij", second) - np.einsum("iab,jba->ij", first, first, optimize=True)
    return np.einsum("iaa->i", first), both
