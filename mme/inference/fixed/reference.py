r"""What statistics of the fixed effects are compared with: t and F tests, whatever gives the degrees of freedom.

A :class:`Reference` is the normal distribution (:class:`Normal`), or t and F with degrees of freedom by Satterthwaite
or by Kenward and Roger, one file each.

Variances are sums of squares, var(c'beta) = |F c|^2 with cov(beta) = F'F: where a covariate is far from zero
c'cov(beta) c is a small difference of numbers that grow with the square of the distance, F c one of numbers that grow
with the distance itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy.special import chdtrc, fdtrc, ndtr

from mme.errors import MMEError
from mme.numeric.rank import independent_columns, unit_columns

# Eigenvalues of L cov L' below this share of the largest are rounding: rows of L that depend on others (lmerTest's).
_DEPENDENT = float(np.sqrt(np.finfo(float).eps))
# Right sides that differ by less, as a share of what they are made of, are the same.
_SAME = 1e-9
# Reciprocals of degrees of freedom below this are rounding: there is nothing to estimate.
_NONE = 1e-12


@dataclass(frozen=True)
class FTest:
    """F, already multiplied by ``scale``, on ``numerator`` and ``denominator`` degrees of freedom."""

    F: float
    numerator: int
    denominator: float
    scale: float = 1.0

    @property
    def p(self) -> float:
        """Upper tail; infinite denominator degrees of freedom are a chi-square."""
        return float(_f_tail(self.F, self.numerator, self.denominator))


@dataclass(frozen=True, eq=False)
class Reference(ABC):
    """Estimates (p,), F (m, p) with cov(beta) = F'F, and the distributions that statistics are compared with."""

    beta: np.ndarray
    half: np.ndarray
    # Whether F sigma^2 is a mean square: it is with the covariance of the model, and not with a sandwich.
    has_mean_squares: ClassVar[bool] = True

    @property
    def cov(self) -> np.ndarray:
        """The covariance (p, p) of the estimates that tests use."""
        return np.asarray(self.half.T @ self.half)

    def se(self, L: np.ndarray) -> np.ndarray:
        """Standard errors (m,) of the rows of L (m, p)."""
        return np.asarray(np.linalg.norm(self.half @ L.T, axis=0))

    def narrowed(self, L: np.ndarray) -> tuple[np.ndarray, Reference]:
        """L (m, p) and the reference on the coefficients that it has: all, where their covariance is at hand."""
        return L, self

    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors and degrees of freedom (p,) of all coefficients."""
        L = np.eye(self.beta.size)
        return self.se(L), self.df(L)

    def half_of(self, L: np.ndarray) -> np.ndarray:
        """F L' (r, m), whose columns have the covariance of the rows of L for their products."""
        return np.asarray(self.half @ L.T)

    @abstractmethod
    def df(self, L: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,) of the t statistic of each row of L (m, p)."""

    @abstractmethod
    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """Test that all of L beta - rhs, estimated by ``difference`` (m,), is zero."""


@dataclass(frozen=True, eq=False)
class Normal(Reference):
    """The Wald test: infinite degrees of freedom."""

    def df(self, L: np.ndarray) -> np.ndarray:
        """Infinite degrees of freedom (m,), one for each row of L."""
        return np.full(len(L), np.inf)

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """F = d'(L cov L')^-1 d / q against chi-square / q."""
        along = independent(L, difference, self.half)
        return FTest(along.F, along.sd.size, np.inf)


@dataclass(frozen=True, eq=False)
class Independent:
    """Combinations (q, m) of rows of L whose estimates are uncorrelated and span all, these, and their standard errors.

    ``weights @ L`` are the rows; ``difference`` and ``sd`` are (q,).
    """

    weights: np.ndarray
    difference: np.ndarray
    sd: np.ndarray

    @property
    def F(self) -> float:
        """The mean of the squared t statistics."""
        return float(np.mean((self.difference / self.sd) ** 2)) if self.sd.size else float("nan")


def independent(L: np.ndarray, difference: np.ndarray, half: np.ndarray) -> Independent:
    """Eigenvectors of L cov L', the largest eigenvalue first; rows that depend on others are left out.

    They are the right singular vectors of F L'. How many rows count is told by :func:`_independent_rows`: cov has full
    rank, and estimates of very different size or nearly collinear are not dependent.
    """
    z = half @ L.T
    _, sd, vectors = np.linalg.svd(z, full_matrices=False)
    kept = _independent_rows(L, half)
    rank = kept.size
    if rank and sd[rank - 1] <= np.sqrt(_DEPENDENT) * sd[0]:
        return _in_units(z, difference, kept)
    along = vectors[:rank]
    return Independent(along, along @ difference, sd[:rank])


def _in_units(z: np.ndarray, difference: np.ndarray, kept: np.ndarray) -> Independent:
    """Eigenvectors for rows scaled to unit variances first, where the variances of L differ too much for one matrix."""
    se = np.linalg.norm(z[:, kept], axis=0)
    _, sd, vectors = np.linalg.svd(z[:, kept] / se, full_matrices=False)
    weights = np.zeros((kept.size, z.shape[1]))
    weights[:, kept] = vectors / se
    return Independent(weights, weights @ difference, np.maximum(sd, np.finfo(float).eps))


def _independent_rows(L: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Rows of L that do not depend on earlier ones.

    Two ways of looking must find a row dependent: in units of the standard errors of the estimates, where nearly
    collinear columns of X do not matter; and by what the estimates of the rows share, where the origin does not.
    """
    by_weights, by_estimates = (
        independent_columns(unit_columns(columns), tolerance=float(np.sqrt(_DEPENDENT))) for columns in _views(L, half)
    )
    return by_estimates if by_estimates.size > by_weights.size else by_weights


def _views(L: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of L as columns: in units of the standard errors, and F L'."""
    return (L * np.linalg.norm(half, axis=0)).T, half @ L.T


def check_consistent(L: np.ndarray, right: np.ndarray, half: np.ndarray, labels: Sequence[Any]) -> None:
    """Refuse equations L beta = right that no beta satisfies.

    Raises
    ------
    MMEError
        A row is a combination of others, and its right side is not.
    """
    kept = _independent_rows(L, half)
    units = np.linalg.norm(half, axis=0)
    for k in np.setdiff1d(np.arange(len(L)), kept).tolist():
        before = kept[kept < k]
        weights = np.linalg.lstsq((L[before] * units).T, L[k] * units, rcond=None)[0]
        made = float(weights @ right[before])
        if abs(made - right[k]) > _SAME * (abs(right[k]) + np.abs(weights) @ np.abs(right[before])):
            parts = [
                f"{weight:.4g} x ({labels[j]})"
                for j, weight in zip(before.tolist(), weights.tolist(), strict=True)
                if abs(weight) > _SAME
            ]
            raise MMEError(
                f"no coefficients satisfy all rows: {labels[k]} is {' + '.join(parts) or 'a row of zeros'}, so that "
                f"its right side must be {made:.6g}, and it is {right[k]:.6g}"
            )


def reciprocal(inverse: np.ndarray) -> np.ndarray:
    """Degrees of freedom from their reciprocals; infinite where these are rounding."""
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.where(inverse < _NONE, 0.0, inverse))


def two_sided(t: np.ndarray, df: np.ndarray) -> np.ndarray:
    """P(|T| > |t|): the tail of F = t^2 on 1 and df, which keeps its digits where 1 - P does not."""
    return np.where(np.isinf(df), 2.0 * ndtr(-np.abs(t)), fdtrc(1.0, df, t**2))


def _f_tail(F: float, numerator: int, denominator: float) -> float:
    if np.isinf(denominator):
        return float(chdtrc(numerator, numerator * F))
    return float(fdtrc(numerator, denominator, F))
