r"""The largest of correlated normal variables, in absolute value, and of t variables with a common standard error.

The probability of a union of events A_j = {|Z_j| > w} is the sum of theirs times the mean of 1 / (number of events that
occur) where one of them, drawn in proportion to its probability, does:

    P(union) = sum_j P(A_j) E[ 1 / N | A_j ],        N = number of i with |Z_i| > w

(Naiman and Priebe 2001, J. Comput. Graph. Stat. 10, 296-328). The mean lies between 1/k and 1 and is averaged over
draws, so that the relative error is some 1e-3 however small the probability is; and it is smooth in w, so that a few w
do for all. With a standard error on df degrees of freedom the mean over its scale is that of the studentised range.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from mme.numeric.studentised import over_scale

# Draws, and draws times variables: a million numbers at each w take a few milliseconds.
_MOST, _LEAST, _NUMBERS = 1 << 16, 1 << 10, 1_500_000
# w at which the mean is averaged, and the last one: beyond, the sum is all but exact.
_KNOTS, _LAST, _DENSE = 28, 9.0, 4001
_SEED = 20_01
# Probabilities beyond this are frequencies of the draws.
_LIKELY = 0.6
# Dimensions up to which draws are points of a lattice, more even than random ones.
_LATTICE = 12
_PRIMES = np.array([2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43])
# Where a quantile is no longer sought.
_FAR = 1e4


@dataclass(frozen=True, eq=False)
class LargestNormal:
    """The largest of |Z_j|, Z = F'g with g standard normal; F (r, k) has columns of unit length."""

    F: np.ndarray

    @classmethod
    def of(cls, half: np.ndarray) -> LargestNormal:
        """Of variables with the covariance half'half, each over its standard deviation."""
        R = np.linalg.qr(half, mode="r")
        size = np.linalg.norm(R, axis=0)
        return cls(R / np.where(size > 0.0, size, 1.0))

    def sf(self, t: np.ndarray, df: np.ndarray) -> np.ndarray:
        """P(max |T_j| > t) (m,), T with the common standard error on df (m,) degrees of freedom.

        Examples
        --------
        >>> two = LargestNormal.of(np.eye(2))
        >>> bool(np.isclose(two.sf(np.array([2.0]), np.array([np.inf]))[0], 1 - (2 * ndtr(2.0) - 1) ** 2, rtol=2e-3))
        True
        """
        return over_scale(self._of_normal, t, df)

    def isf(self, p: float, df: float) -> float:
        """The t that is exceeded with probability p; infinite beyond 1e4, as with a tenth of a degree of freedom."""
        from scipy.optimize import brentq

        at = np.array([df])
        if float(self.sf(np.array([_FAR]), at)[0]) > p:
            return float("inf")
        return float(brentq(lambda t: float(self.sf(np.array([t]), at)[0]) - p, 1e-6, _FAR, xtol=1e-10))

    def _of_normal(self, w: np.ndarray) -> np.ndarray:
        """P(max |Z_j| > w) for w of any shape."""
        share = np.interp(w, *self._between)
        return np.minimum(2.0 * self.F.shape[1] * ndtr(-w) * share, 1.0)

    @cached_property
    def _between(self) -> tuple[np.ndarray, np.ndarray]:
        """E[1 / N] between the knots, so densely that straight lines lose nothing."""
        from scipy.interpolate import CubicSpline

        w = np.linspace(0.0, _LAST, _DENSE)
        return w, np.minimum(np.exp(CubicSpline(self._knots, np.log(self._shares))(w)), 1.0)

    @cached_property
    def _knots(self) -> np.ndarray:
        return np.linspace(0.0, _LAST, _KNOTS)

    @cached_property
    def _shares(self) -> np.ndarray:
        """E[1 / N] at the knots; 1 / k at zero, where all events occur."""
        r, k = self.F.shape
        n = min(_MOST, max(_LEAST, _NUMBERS // k))
        u, g = _draws(n, r)
        chosen = np.random.default_rng(_SEED).permutation(np.arange(n) % k)
        rho = (self.F.T @ self.F)[chosen]  # (n, k)
        own = np.einsum("nr,rn->n", g, self.F[:, chosen])
        Z = g @ self.F - own[:, None] * rho  # what the other variables are beside the chosen one
        largest = np.abs(g @ self.F).max(axis=1)
        shares = np.empty(_KNOTS)
        for i, w in enumerate(self._knots.tolist()):
            z = -ndtri(u * ndtr(-w))
            likely = float(np.mean(largest > w))
            if likely > _LIKELY:  # counted as it is: the sum of the probabilities is many times theirs
                shares[i] = likely / (2.0 * k * ndtr(-w))
                continue
            events = np.abs(Z + z[:, None] * rho) > w
            events[np.arange(n), chosen] = True
            shares[i] = float(np.mean(1.0 / events.sum(axis=1)))
        shares[0] = 1.0 / k
        return np.maximum.accumulate(shares)


def _draws(n: int, r: int) -> tuple[np.ndarray, np.ndarray]:
    """Uniform numbers u (n,) and standard normal ones g (n, r)."""
    if r > _LATTICE:
        rng = np.random.default_rng(_SEED)
        return (rng.permutation(n) + 0.5) / n, rng.standard_normal((n, r))
    points = (np.arange(1, n + 1)[:, None] * np.sqrt(_PRIMES[: r + 1]) + 0.5) % 1.0
    points = np.abs(2.0 * points - 1.0)
    points = np.clip(points, 1e-12, 1.0 - 1e-12)
    return points[:, 0], ndtri(points[:, 1:])
