r"""Negative binomial counts of one size k: log f is that of a logit with k failures, x = eta - log k = log(mu/k).

    log f = T(y, k) - y h(log p - log p^) - k h(log q - log q^),     h(d) = exp(d) - 1 - d,

p = 1/(1 + exp(-x)), p^ = y/(y + k): T is the highest value over the means, by Loader's remainders. Then

    slope = y q - k p        W_o = (y + k) p q        W_e = k p        dW_o = (y + k) p q (q - p)     dW_e = k p q
    by tau = log k:  log f: dT/dtau - k h(log q - log q^)    slope: p slope    W_e: k p^2
                     W_o: p q (2 k p - y (q - p)).
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

from mme.family import saddle
from mme.family.base import ByParameter, Density, Observed
from mme.family.probability import Logit
from mme.numeric.kept import kept


class Mixed:
    """log f of counts y at sizes k (n,) and x = log(mu/k) (n,) or a number, of weight one."""

    def __init__(self, y: np.ndarray, k: np.ndarray, logit: Logit) -> None:
        self.y, self.k, self.logit = y, k, logit

    @kept
    def some(self) -> np.ndarray:
        """Y where it is not zero; one elsewhere."""
        return np.where(self.y > 0.0, self.y, 1.0)

    @kept
    def highest(self) -> np.ndarray:
        """T."""
        y, k = self.some, self.k
        T = saddle.remainder(y + k) - saddle.remainder(k) - saddle.remainder(y)
        return np.where(self.y > 0.0, T - 0.5 * (np.log1p(y / k) + np.log(y) + saddle.LOG_2PI), 0.0)

    @kept
    def highest_slope(self) -> np.ndarray:
        """dT / d log k."""
        y, k = self.y, self.k
        return k * (saddle.remainder(y + k, 1) - saddle.remainder(k, 1)) + 0.5 * y / (y + k)

    @kept
    def of_failures(self) -> np.ndarray:
        """k h(log q - log q^)."""
        h = self.logit.log_q(0) + np.log1p(self.y / self.k)
        return self.k * saddle.excess(h)

    @kept
    def half_deviance(self) -> np.ndarray:
        """y h(log p - log p^) + k h(log q - log q^)."""
        h = self.logit.log_p(0) + np.log1p(self.k / self.some)
        of_successes = np.where(self.y > 0.0, self.y * saddle.excess(h), self.k * self.logit.p)
        return of_successes + self.of_failures


# Up to such counts y eta is of order 1,000, and log f has its digits without a deviance.
_FEW = 100.0


class QuadraticDensity(Density):
    """log f and its derivatives for one size; what it takes of a count alone is made for the counts that differ.

    log f = y eta - (y + k) log(1 + mu/k) + C,    C = T - y log y + (y + k) log(1 + y/k),    of small counts.
    """

    def __init__(self, data: Observed, eta: np.ndarray, log_size: float, *, estimated: bool) -> None:
        self.data, self.estimated, self.eta = data, estimated, eta
        self.k = float(np.exp(log_size))
        self.logit = Logit(eta - log_size)

    @kept
    def mixed(self) -> Mixed:
        """Record by record."""
        return Mixed(self.data.y, np.full(self.data.n, self.k), self.logit)

    @kept
    def _counts(self) -> Mixed:
        """Count by count, of those that differ."""
        counts = self._numbered[0]
        return Mixed(counts, np.full(counts.size, self.k), self.logit)

    @property
    def _numbered(self) -> tuple[np.ndarray, np.ndarray]:
        """The counts that differ, and which of them each record (n,) has."""
        return self.data.once("numbered", lambda: np.unique(self.data.y, return_inverse=True))

    @property
    def half_deviance(self) -> np.ndarray:
        """Of weight one."""
        return self.mixed.half_deviance

    @kept
    def value(self) -> np.ndarray:
        """log f."""
        counts, of_record = self._numbered
        highest, k = self._counts.highest, self.k
        if counts.max(initial=0.0) > _FEW:
            return self.data.weights * (highest[of_record] - self.mixed.half_deviance)
        with np.errstate(over="ignore", invalid="ignore"):
            C = highest - xlogy(counts, counts) + (counts + k) * np.log1p(counts / k)
            total = self.data.y * self.eta
            total += (self.data.y + k) * self.logit.log_q(0)
            total += C[of_record]
            total *= self.data.weights
        return total

    @kept
    def slope(self) -> np.ndarray:
        """y q - k p."""
        return self.data.weights * (self.data.y * self.logit.q - self.k * self.logit.p)

    @kept
    def observed(self) -> np.ndarray:
        """(y + k) p q."""
        return self.data.weights * ((self.data.y + self.k) * self.logit.pq)

    @kept
    def observed_slope(self) -> np.ndarray:
        """(y + k) p q (q - p)."""
        return self.data.weights * ((self.data.y + self.k) * self.logit.slope(2))

    @kept
    def expected(self) -> np.ndarray:
        """K p."""
        return self.data.weights * (self.k * self.logit.p)

    @kept
    def expected_slope(self) -> np.ndarray:
        """K p q."""
        return self.data.weights * (self.k * self.logit.pq)

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By log k."""
        if not self.estimated:
            return ()
        a, k, p = self.data.weights, self.k, self.logit.p
        value = a * (self._counts.highest_slope[self._numbered[1]] - self.mixed.of_failures)
        observed = a * (self.logit.pq * (2.0 * k * p - self.data.y * (self.logit.q - p)))
        return (ByParameter(value, p * self.slope, observed, a * (k * p * p)),)
