r"""Tests of the fixed effects of a wide X: the covariance of chosen ones, and the variances of all.

No matrix (p, p) is made. What is asked of some coefficients is answered by :class:`Normal` and :class:`Satterthwaite`
on these alone, whose covariance takes a solve each; degrees of freedom of all are (1) of ``satterthwaite.py`` with the
slopes of their log variances, from differences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from mme.derivatives.variance_derivatives import ProfileDerivatives
from mme.derivatives.wide_profile import wide_profile
from mme.errors import warn
from mme.fitted.record import Fitted
from mme.inference.fixed.reference import FTest, Normal, Reference
from mme.inference.fixed.satterthwaite import is_off, of_profile
from mme.inference.fixed.wide_anova import FEW, chi_square
from mme.numeric.factor import NotPositiveDefiniteError, factorise
from mme.numeric.lapack import triangular_inverse
from mme.numeric.limits import limits
from mme.numeric.memory import require
from mme.numeric.rank import RANK_TOLERANCE, independent_columns, unit_columns
from mme.solution.estimates import Estimates

# Evaluations at a point of the differences (in the axes and in the user's columns), points for each pair of parameters
# (one with itself too), and the work of an evaluation in factors: an inverse on its pattern takes two.
_EVALUATIONS, _POINTS, _FACTORS = 2, 6, 3
# Estimates of L beta that differ from L times beta by no more than this are those of a hypothesis L beta = 0.
_SAME = 1e-9


@dataclass(frozen=True, eq=False)
class WideReference(Reference):
    """The reference on all coefficients of a ``fit``, by the ``method`` of its degrees of freedom; ``half`` is none."""

    fit: Fitted
    method: str

    def narrowed(self, L: np.ndarray) -> tuple[np.ndarray, Reference]:
        """L and the reference on what it is made of: the coefficients that it has, or fewer rows of its own."""
        rows, own = _spanning(L)
        return own, _among(self.fit, self.method, rows)

    def half_of(self, L: np.ndarray) -> np.ndarray:
        """F L' of the rows."""
        rows, own = _spanning(L)
        return _among(self.fit, "none", rows).half_of(own)

    def every(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors and degrees of freedom (p,)."""
        se = self.fit.estimates.se
        if self.method == "none" or not _in_reach(self.fit):
            return se, np.full(se.size, np.inf)
        return se, self.fit.determined.once(_freedom_of_all)

    @property
    def of_records(self) -> Reference:
        """What gives degrees of freedom to errors of predictions, by the slopes of their variances."""
        if self.method == "none":
            return Normal(self.beta, self.half)
        fit = self.fit.determined
        return of_profile(fit, fit.once(_stationary)[2])

    def se(self, L: np.ndarray) -> np.ndarray:
        """Standard errors (m,)."""
        rows, to = self.narrowed(L)
        return to.se(rows)

    def df(self, L: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,)."""
        rows, to = self.narrowed(L)
        return to.df(rows)

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """F of the rows together; of many rows with infinite degrees of freedom, which would take minutes."""
        if min(len(L), int(L.any(axis=0).sum())) > FEW:
            return self._f_test_of_many(L, difference)
        rows, to = self.narrowed(L)
        return to.f_test(rows, difference)

    def _f_test_of_many(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """Chi-square over the number of rows: that all coefficients which L has are zero, where this is what L says."""
        columns = np.flatnonzero(L.any(axis=0))
        if _span_all(L[:, columns]) and np.allclose(difference, L @ self.beta, rtol=_SAME):
            return FTest(chi_square(self.fit, columns), columns.size, np.inf)
        rows, own = _spanning(L)
        return _among(self.fit, "none", rows).f_test(own, difference)


def wide_reference(fit: Fitted, method: str) -> WideReference:
    """The reference of a wide fit, by Satterthwaite's method or by none."""
    return WideReference(fit.estimates.beta, np.array([]), fit, method)


def _in_reach(fit: Fitted) -> bool:
    """Whether degrees of freedom of all columns take no more than a minute; said where they do."""
    k = fit.theta.size
    evaluations = _EVALUATIONS * (1 + _POINTS * k * (k + 1) // 2)
    if evaluations * _FACTORS * fit.engine.flops <= limits().freedom_operations:
        return True
    warn(
        f"Satterthwaite's degrees of freedom of {fit.basis.kept.size:,} fixed effects would take {evaluations:,} "
        f"evaluations of {_FACTORS * fit.engine.flops:.2g} operations: p-values here are of the normal distribution, "
        "df is infinite; fit.contrast({name: 1}) has degrees of freedom of chosen ones"
    )
    return False


def _stationary(fit: Fitted) -> tuple[Estimates, np.ndarray, ProfileDerivatives]:
    """Estimates at the minimum, a Newton step from where the search ended, and the criterion's derivatives there."""
    origin, free = fit.estimates.in_axes, np.isfinite(fit.optimum.gradient)
    profile = wide_profile(origin, free, lambda one: np.zeros(0), 0)[1]
    moved = is_off(profile)
    if moved is None:
        return origin, free, profile
    theta = origin.theta.copy()
    theta[free] += moved
    return Estimates(origin.objective, theta), free, profile


def _freedom_of_all(fit: Fitted) -> np.ndarray:
    """Degrees of freedom (p,) of all coefficients."""
    origin, free, _ = fit.once(_stationary)
    slopes, profile = wide_profile(origin, free, lambda one: 2.0 * np.log(one.se), fit.basis.kept.size)
    return of_profile(fit, profile).df_of(slopes)


def _spanning(L: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows (r, p) that span those of L (m, p), and the weights (m, r) that make L of them.

    They are those of the coefficients that L has, or the independent rows of L where these are fewer.
    """
    columns = np.flatnonzero(L.any(axis=0))
    columns = columns if columns.size else np.arange(1)
    require(32 * min(columns.size, len(L)) * L.shape[1], f"the covariance of {len(L):,} functions of beta needs")
    if columns.size <= len(L):
        rows = np.zeros((columns.size, L.shape[1]))
        rows[np.arange(columns.size), columns] = 1.0
        return rows, L[:, columns]
    kept = independent_columns(unit_columns(L.T))
    weights, others = np.zeros((len(L), kept.size)), np.setdiff1d(np.arange(len(L)), kept)
    weights[kept, np.arange(kept.size)] = 1.0
    if others.size:
        weights[others] = np.linalg.lstsq(L[kept].T, L[others].T, rcond=None)[0].T
    return L[kept], weights


def _span_all(L: np.ndarray) -> bool:
    """Whether rows L (m, c), none of whose columns is zero, span all c columns: told by the sparse factor of L'L.

    A triangle, as of the last term of type 1, shows it by itself.
    """
    m, c = L.shape
    if m < c:
        return False
    if m == c and np.diag(L).all() and not np.tril(L, -1).any():
        return True
    unit = sp.csc_array(L / np.linalg.norm(L, axis=0))
    try:
        return bool(factorise(sp.csc_array(unit.T @ unit)).pivots.min() > RANK_TOLERANCE)
    except NotPositiveDefiniteError:
        return False


def _among(fit: Fitted, method: str, L: np.ndarray) -> Reference:
    """The reference on functions L beta (r,) of the coefficients, for rows L (r, p) none of which depends on others."""
    half = _half(fit.estimates, L)
    beta = L @ fit.estimates.beta
    if method == "none" or not len(L):  # none that the data determine
        return Normal(beta, half)
    fit = fit.determined
    origin, free, _ = fit.once(_stationary)
    at_origin = _half(origin, L)
    back = triangular_inverse(at_origin)

    def relative(one: Estimates) -> np.ndarray:
        assert one.wide is not None
        return np.asarray(back.T @ one.wide.covariance(L) @ back).ravel()

    slopes, profile = wide_profile(origin, free, relative, len(L) ** 2)
    found = of_profile(fit, profile)
    return replace(found, beta=beta, half=half, relative=at_origin, slopes=slopes.reshape(-1, len(L), len(L)))


def _half(estimates: Estimates, L: np.ndarray) -> np.ndarray:
    """Upper triangle F with cov = F'F of L beta."""
    assert estimates.wide is not None
    cov = estimates.wide.covariance(L)
    size = np.sqrt(np.diag(cov))
    return np.asarray(np.linalg.cholesky(cov / np.outer(size, size)).T * size)
