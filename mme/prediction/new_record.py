r"""A new record of a generalised model: quantiles of its predictive distribution.

    F(y) = E F(y | eta),    eta ~ N(eta_hat, se^2),

by Gauss and Hermite, the family's own parameters at their estimates. The ends of an interval are the least y with F(y)
at or above their probability, which for counts are counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.polynomial.hermite_e import hermegauss

from mme.errors import MMEError
from mme.family.base import Family, Observed
from mme.tables.arrays import numbers

_NODES = 25
# Doublings of a reach, and halvings of what lies between two ends.
_DOUBLINGS, _HALVINGS = 60, 60
# Standard deviations from the mean where a search begins.
_REACH = 8.0
# Of its standard deviations, how well a quantile is known.
_WIDTH = 1e-9
_OF_RECORDS = ("weights", "at", "share", "mean", "sd")


@dataclass(frozen=True, eq=False)
class NewRecords:
    """Records with weights (n,), trials of binomial data, at several eta (nodes, n) with their ``share``.

    ``mean`` and ``sd`` (n,) are of the predictive distribution.
    """

    family: Family
    tau: np.ndarray
    weights: np.ndarray
    at: np.ndarray
    share: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, family: Family, tau: np.ndarray, eta: np.ndarray, se: np.ndarray, weights: np.ndarray) -> NewRecords:
        """Records at eta (n,) known to ``se`` (n,)."""
        z, w = hermegauss(_NODES)
        at = eta + np.outer(z, se)
        with np.errstate(all="ignore"):
            mean = np.array([family.mean(one, tau) for one in at])
            variance = np.array([family.variance(one, weights, tau) for one in at])
            inside = np.isfinite(mean) & np.isfinite(variance)  # a link may have a mean for some eta alone
            share = np.where(inside, w[:, None], 0.0)
            share /= share.sum(axis=0)
            mean, variance = np.where(inside, mean, 0.0), np.where(inside, variance, 0.0)
            own = (share * mean).sum(axis=0)
            spread = (share * (variance + (mean - own) ** 2)).sum(axis=0)
        return cls(family, tau, weights, at, share, own, np.sqrt(spread))

    def below(self, y: np.ndarray) -> np.ndarray:
        """F(y) (n,)."""
        nodes = len(self.at)
        data = Observed(np.tile(y, nodes), np.tile(self.weights, nodes))
        with np.errstate(all="ignore"):
            at_node = self.family.cdf(data, self.at.ravel(), self.tau)[1].reshape(self.at.shape)
        return np.asarray(np.where(self.share > 0.0, self.share * at_node, 0.0).sum(axis=0))

    def quantile(self, probability: float) -> np.ndarray:
        """The least y (n,) with F(y) at or above the probability."""
        known = np.flatnonzero(np.isfinite(self.mean) & np.isfinite(self.sd))
        out = np.full(self.mean.size, np.nan)
        if known.size:
            some = replace(self, **{name: getattr(self, name)[..., known] for name in _OF_RECORDS})
            out[known] = some._whole(probability) if self.family.whole else some._real(probability)
        return out

    def _whole(self, probability: float) -> np.ndarray:
        """Of counts, or of successes as shares of trials, between two that are one apart."""
        unit = self.weights if self.family.whole == "trials" else np.ones(self.mean.size)
        last = self.family.support(self.tau)[1] * unit
        low, high = np.full(unit.size, -1.0), np.ceil((self.mean + _REACH * self.sd) * unit) + 1.0
        high = np.minimum(high, last)
        for _ in range(_DOUBLINGS):
            short = (high < last) & (self.below(high / unit) < probability)
            if not short.any():
                break
            low, high = np.where(short, high, low), np.where(short, np.minimum(2.0 * high, last), high)
        while (open_ := high - low > 1.0).any():
            middle = np.where(open_, np.floor(0.5 * (low + high)), high)
            enough = self.below(middle / unit) >= probability
            low, high = np.where(open_ & ~enough, middle, low), np.where(open_ & enough, middle, high)
        return np.asarray(high / unit)

    def _real(self, probability: float) -> np.ndarray:
        """Of measurements, by bisection."""
        (least, most), mean = self.family.support(self.tau), self.mean
        reach = np.maximum(_REACH * self.sd, 1e-300)
        low, high = np.maximum(mean - reach, least), np.minimum(mean + reach, most)
        for _ in range(_DOUBLINGS):
            over = (low > least) & (self.below(low) >= probability)
            under = (high < most) & (self.below(high) < probability)
            if not (over.any() or under.any()):
                break
            reach = 2.0 * reach
            low = np.where(over, np.maximum(mean - reach, least), low)
            high = np.where(under, np.minimum(mean + reach, most), high)
        at_least = low == least  # with some probability in the point, as zero has
        if at_least.any():
            at_least &= self.below(low) >= probability
        for _ in range(_HALVINGS):
            if (high - low <= _WIDTH * self.sd).all():
                break
            middle = 0.5 * (low + high)
            enough = self.below(middle) >= probability
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return np.where(at_least, least, 0.5 * (low + high))


def checked_weights(family: Family, given: Any, newdata: Any, n: int) -> np.ndarray:
    """Weights (n,) of new records: a column's name or numbers, ones by default.

    Raises
    ------
    MMEError
        They are not positive numbers, one a record; or not whole, as numbers of trials are.
    """
    if given is None:
        return np.ones(n)
    values = numbers(newdata[given] if isinstance(given, str) else given, "weights")
    if values.ndim > 1 or values.size not in (1, n) or not (values > 0.0).all():
        raise MMEError(f"weights must be {n} positive numbers, one a new row")
    off = values[values != np.rint(values)]
    if family.whole == "trials" and off.size:
        raise MMEError(f"weights of new binomial records are their numbers of trials, which are whole; got {off[0]:g}")
    return np.array(np.broadcast_to(values, (n,)))
