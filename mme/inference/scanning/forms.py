r"""x'Px and x'Py for many further columns x of X, at the variances of a fit.

With what a fit has eliminated (``engine/pls.py``), L_g of the absorbed block and L of the others,

    x'V^-1 w = x'(I - QQ')w + sum_g (L_g^-1 Q_g'x)'(L_g^-1 Q_g'w) - r_x'r_w,      r_x = L^-1 Lambda'Z_2'V_1^-1 x,    (P)

and with the factor R_X of X'V^-1 X, z = R_X'^-1 X'V^-1 x and c = R_X'^-1 X'V^-1 y,

    x'Px = x'V^-1 x - z'z,        x'Py = x'V^-1 y - z'c.

Columns of x are handled by hundreds, so that products of matrices do the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.engine.absorption import absorb, absorb_nothing
from mme.errors import MMEError
from mme.numeric.lapack import triangular_solve
from mme.solution.estimates import Estimates

# What X and the random effects leave of a column below this share of its square is rounding.
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False)
class Eliminated:
    """Columns after elimination: parts within levels (b, n), between levels (b, q J), and of the others (m, b)."""

    within: np.ndarray
    between: np.ndarray
    rest: np.ndarray

    def products(self, other: Eliminated) -> np.ndarray:
        """x'V^-1 w for all x of this and w of the other."""
        return self.within @ other.within.T + self.between @ other.between.T - self.rest.T @ other.rest

    @property
    def squares(self) -> np.ndarray:
        """x'V^-1 x."""
        return _squares(self.within) + _squares(self.between) - _squares(self.rest.T)


@dataclass(frozen=True, eq=False)
class Forms:
    """The quadratic forms of columns at the variances of a fit."""

    estimates: Estimates

    def __post_init__(self) -> None:
        plan = self.estimates.objective.plan
        if plan.iterative or self.estimates.objective.model.compressed is not None:
            raise MMEError("a scan needs a fit by the exact engine that has its records; fit with engine='exact'")

    @property
    def n(self) -> int:
        """Records used."""
        return int(self.estimates.objective.model.n)

    def of(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x'Px and x'Py (b,) of columns (b, n); NaN where X determines a column."""
        objective, border = self.estimates.objective, self.estimates.at.border
        white = objective.whitening(columns)
        x = self._reduced(white)
        along = x.products(self._N)
        z = triangular_solve(border[:-1, :-1], along[:, :-1].T, transposed=False)
        squares = x.squares - _squares(z.T)
        lost = ~(squares > _NOTHING * np.maximum(_squares(white), 1e-300))
        return np.where(lost, np.nan, squares), np.where(lost, np.nan, along[:, -1] - border[-1, :-1] @ z)

    def joint(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x'Px (b, c, c) and x'Py (b, c) of the c columns x of each candidate (b, c, n); zeros along what X determines.

        Columns are in units of what X and the random effects leave of them.
        """
        b, c, n = columns.shape
        objective, border = self.estimates.objective, self.estimates.at.border
        white = objective.whitening(columns.reshape(b * c, n))
        x = self._reduced(white)
        along = x.products(self._N)
        z = triangular_solve(border[:-1, :-1], along[:, :-1].T, transposed=False)
        left = [x.within, x.between, x.rest.T, z.T]
        within, between, rest, fixed = (part.reshape(b, c, -1) for part in left)
        squares = _gram(within) + _gram(between) - _gram(rest) - _gram(fixed)
        of_y = (along[:, -1] - border[-1, :-1] @ z).reshape(b, c)
        size, whole = np.einsum("bii->bi", squares), _squares(white).reshape(b, c)
        unit = np.where(size > _NOTHING * np.maximum(whole, 1e-300), size, np.inf) ** -0.5
        return squares * unit[:, :, None] * unit[:, None, :], of_y * unit

    def roughly(self, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x'Mx, M = I - X(X'X)^-1 X' of whitened records, and x'Py (b,): no factor is applied."""
        objective = self.estimates.objective
        white, Q = objective.whitening(columns), objective.basis.N[:-1]
        left = _squares(white) - _squares(white @ Q.T)
        left = np.where(left > _NOTHING * np.maximum(_squares(white), 1e-300), left, np.nan)
        return left, white @ self._Py

    @cached_property
    def _Py(self) -> np.ndarray:
        """P y (n,) = R^-1 (y - X beta - Z b), whitened."""
        return self.estimates.whitened_residual()

    @cached_property
    def _N(self) -> Eliminated:
        return self._reduced(self.estimates.objective.basis.N)

    def _reduced(self, white: np.ndarray) -> Eliminated:
        """Whitened columns (b, n) by (P)."""
        objective, at, theta = self.estimates.objective, self.estimates.at, self.estimates.theta
        block, rest, T = objective.absorbing, objective.system.rest, objective.factors(theta)
        absorbed, rows = absorb_nothing(white) if block is None else absorb(block, white)
        forward = at.levels.forward(absorbed.levels.V)
        between, none = forward.reshape(len(white), -1), np.zeros((0, len(white)))
        if rest.m == 0:
            return Eliminated(rows.N, between, none)
        C = np.concatenate([part.sums(rows.N).reshape(-1, len(white)) for part in rest.blocks])
        S_x = C + rest.between(at.levels.backward(forward).reshape(len(white), -1).T)
        return Eliminated(rows.N, between, at.rest.forward(rest.transpose_lambda(S_x, T.rest)))


def _squares(rows: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("bn,bn->b", rows, rows))


def _gram(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows @ rows.transpose(0, 2, 1))
