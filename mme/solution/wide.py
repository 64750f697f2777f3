r"""The covariance of the fixed effects of a wide X, by selected entries and by solves.

With H = Lambda M^-1 Lambda', E and F of :mod:`mme.solution.prediction_error`, and (W) of :mod:`mme.engine.wide_basis`,
the errors of (beta, alpha) for dense and sparse columns have, in units of sigma^2,

    cov(beta) = F F',    cov(alpha, beta) = -D F',    cov(alpha) = H + D D',    D = E + C F.                      (C)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.engine.objective import Objective
from mme.engine.pls import Evaluation, half_covariance
from mme.engine.wide_basis import WideBasis
from mme.numeric.limits import limits
from mme.numeric.memory import require
from mme.solution.diagonal import conditional_blocks, sensitivities


@dataclass(frozen=True, eq=False)
class WideCovariance:
    """(C) at one theta; coefficients in the order of the kept columns of X."""

    objective: Objective
    theta: np.ndarray
    at: Evaluation
    sigma: float

    @property
    def basis(self) -> WideBasis:
        """The basis of X."""
        assert isinstance(self.objective.basis, WideBasis)
        return self.objective.basis

    @cached_property
    def half(self) -> np.ndarray:
        """F' (d, d)."""
        return half_covariance(self.at.border, self.basis.R_inverse)

    @cached_property
    def D(self) -> np.ndarray:
        """E + C F (f, d)."""
        C = self.basis.C
        if self.objective.fixed is None:
            return np.zeros((0, C.shape[1]))
        E = sensitivities(self.objective, self.theta, self.at)[-1][:, 0]
        return np.asarray(E + C @ self.half.T)

    @cached_property
    def variances(self) -> np.ndarray:
        """The diagonal (p,), sigma^2 in it; NaN for sparse columns without a factor, where chosen ones take solves."""
        H = np.zeros(0) if self.objective.fixed is None else np.full(self.objective.fixed.J, np.nan)
        if self.objective.fixed is not None and not self.objective.plan.iterative:
            H = conditional_blocks(self.objective, self.theta, self.at)[-1][:, 0, 0]
        of_beta = np.einsum("ij,ij->j", self.half, self.half)
        of_alpha = H + np.einsum("ij,ij->i", self.D, self.D)
        return np.asarray(self.sigma**2 * np.concatenate([of_beta, of_alpha])[self.basis.order])

    @property
    def whole(self) -> np.ndarray:
        """All of it (p, p).

        Raises
        ------
        MemoryForecastError
            It would not fit.
        """
        p = self.basis.kept.size
        require(16 * p * p, f"the covariance of {p:,} fixed effects needs", "; fit.contrast() takes chosen ones")
        return self.covariance(np.eye(p))

    def covariance(self, L: np.ndarray) -> np.ndarray:
        """L cov(beta) L' (m, m) for rows L (m, p), by a solve each."""
        of_alpha, along = self._parts(L)
        return np.asarray(self.sigma**2 * (along @ along.T + of_alpha @ self._H(of_alpha)))

    def unit_covariance(self, j: int) -> np.ndarray:
        """cov(beta, beta_j) / sigma^2 (p,) with one of the coefficients, by a solve."""
        of_alpha, along = self._parts(np.eye(1, self.basis.kept.size, j))
        together = [along @ self.half, (self._H(of_alpha).T - along @ self.D.T)]
        return np.asarray(np.concatenate(together, axis=1)[0, self.basis.order])

    def _parts(self, L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of rows L (m, p): their weights of alpha (m, f), and L (F', -D')' (m, d)."""
        rows = np.empty_like(L, dtype=float)
        rows[:, self.basis.order] = L
        of_beta, of_alpha = np.split(rows, [self.half.shape[1]], axis=1)
        return of_alpha, of_beta @ self.half.T - of_alpha @ self.D

    def _H(self, rows: np.ndarray) -> np.ndarray:
        """H rows' (f, m)."""
        f, m = rows.shape[1], len(rows)
        out, total = np.zeros((f, m)), self.objective.system.rest.m
        step = max(1, limits().solved_numbers // max(total, 1))
        for start in range(0, m if f else 0, step):
            right = np.zeros((total, min(step, m - start)))
            right[total - f :] = rows[start : start + step].T
            out[:, start : start + step] = self.at.rest.solve(right)[total - f :]
        return out
