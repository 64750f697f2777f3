"""The joint solution of Henderson's equations, and what its factor tells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import log, pi
from typing import Protocol

import numpy as np

from mme.equations.assembled import AssembledEquations
from mme.errors import MMEError
from mme.tables.arrays import shown


class Inverse(Protocol):
    """What variances ask of the coefficient matrix C."""

    @property
    def logdet(self) -> float:
        """log |C|."""

    def solve(self, b: np.ndarray) -> np.ndarray:
        """C^-1 b."""

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Entries of C^-1 on the pattern of C."""


@dataclass(frozen=True)
class Iteration:
    """In place of a factor: the equations were solved by so many steps of conjugate gradients."""

    steps: int

    @property
    def logdet(self) -> float:
        """Not known without a factor."""
        raise _without_factor()

    def solve(self, b: np.ndarray) -> np.ndarray:
        """Left to a factor: variances need a column of C^-1 each."""
        raise _without_factor()

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Left to a factor."""
        raise _without_factor()


def _without_factor() -> MMEError:
    return MMEError("the equations were solved by iteration, without a factor: variances need solve(method='direct')")


@dataclass(frozen=True, eq=False)
class EquationsSolution:
    """Joint solution of (H): ``beta`` (p,), ``b`` (q,), ``fitted`` and ``residuals`` (n,), and the factor."""

    equations: AssembledEquations
    factor: Inverse
    beta: np.ndarray
    b: np.ndarray
    fitted: np.ndarray
    residuals: np.ndarray

    @cached_property
    def beta_cov(self) -> np.ndarray:
        """Covariance of beta (p, p): the top left block of the inverse of the coefficient matrix."""
        p = self.beta.size
        unit = np.zeros((p + self.b.size, p))
        unit[:p] = np.eye(p)
        return self.factor.solve(unit)[:p]

    @property
    def residual_norm(self) -> float:
        """|rhs - C x| / |rhs| of the solution."""
        eqs = self.equations
        left = eqs.rhs - eqs.coefficients @ np.concatenate([self.beta, self.b])
        return float(np.linalg.norm(left) / np.linalg.norm(eqs.rhs))

    def pev(self) -> np.ndarray:
        """Prediction error variances var(b_hat - b) (q,): diagonal of the inverse, by the selected inverse."""
        p = self.beta.size
        at = np.arange(p, p + self.b.size)
        return self.factor.inverse_entries(at, at)

    @property
    def logdet(self) -> float:
        """Log-determinant of the coefficient matrix."""
        return self.factor.logdet

    def criterion(self, method: str = "REML") -> float:
        """-2 log (restricted) likelihood at the given variances.

        REML: log|C'R^-1 C + ...| - log|G^-1| - log|R^-1| + e'R^-1 y + (n - p) log 2 pi. ML needs log|Z'R^-1 Z + G^-1|
        instead of the whole determinant.
        """
        eqs = self.equations
        n, p = self.residuals.size, self.beta.size
        quadratic = float(self.residuals @ (eqs.Rinv @ self.residuals) + self.b @ (eqs.Ginv @ self.b))
        constant = quadratic - eqs.logdet_Ginv - eqs.logdet_Rinv
        if method == "REML":
            return self.logdet + constant + (n - p) * log(2.0 * pi)
        if method == "ML":
            # |C| = |Z'R^-1 Z + G^-1| |beta_cov|^-1
            return self.logdet + float(np.linalg.slogdet(self.beta_cov)[1]) + constant + n * log(2.0 * pi)
        raise MMEError(f"method must be 'REML' or 'ML', got {shown(method)}")
