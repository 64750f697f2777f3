r"""Tests beside coefficients that have no limit: the likelihood rises without end along directions D of beta.

L beta has a limit where L D = 0, and the covariance of what is across D says how far it is off; other rows have none,
and an infinite standard error. Of several rows together, those combinations W L are tested that have one, W L D = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.generalised.curvature import expected_given_theta
from mme.generalised.estimates import half_of
from mme.generalised.separation import Separation, across
from mme.inference.fixed.reference import FTest, Normal

# A product below this share of its terms is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class Separated(Normal):
    """The normal distribution across the ``directions`` (p, d); ``half`` is F of the covariance across them.

    ``sizes`` (p, d) are what the directions are sums of, in size: the rounding of an entry that is zero is a share of
    them.
    """

    directions: np.ndarray
    sizes: np.ndarray

    def along(self, L: np.ndarray) -> np.ndarray:
        """L D (m, d), zero where it is rounding."""
        found, size = L @ self.directions, np.abs(L) @ self.sizes
        return np.where(np.abs(found) > _ROUNDING * size, found, 0.0)

    def se(self, L: np.ndarray) -> np.ndarray:
        """Standard errors (m,) of the rows of L, infinite for what has no limit."""
        return np.where(self.along(L).any(axis=1), np.inf, super().se(L))

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """The Wald test of the combinations of rows that have a limit; NaN where none has."""
        grows = self.along(L)
        if not grows.any():
            return super().f_test(L, difference)
        U, sizes, _ = np.linalg.svd(grows / np.abs(grows).max())
        W = U[:, int((sizes > _ROUNDING).sum()) :].T
        if not len(W):
            return FTest(np.nan, 0, np.inf)
        return super().f_test(W @ L, W @ difference)


def separated(fit: GeneralisedFitted, found: Separation, *, with_theta: bool) -> Separated:
    """The reference of a fit whose data are separated."""
    estimates, C = fit.estimates, fit.problem.beta_of_gamma
    p, start = len(C), int(fit.searched.free[: fit.model.k].sum())
    if with_theta and estimates.joint_cov is not None:
        cov = estimates.joint_cov[start : start + p, start : start + p]
    else:
        cov = 2.0 * across(expected_given_theta(fit.searched.at), found.span)
    half = half_of(np.asarray(C @ cov @ C.T))
    return Separated(estimates.beta, half, np.asarray(C @ found.span), np.asarray(np.abs(C) @ np.abs(found.span)))
