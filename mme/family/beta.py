r"""The Beta family: shares strictly between 0 and 1, by mean and precision.

y ~ Beta(a, b), a = P p, b = P q, with p = mu = g^-1(eta), precision P = exp(tau), var(y) = p q / (1 + P). Per side,
with m(a) = a log y - log Gamma(a + 1), log f = log Gamma(P) + sum of both sides (log a + m(a)) - log y - log(1 - y):

    first    (log p)' + m' P p'
    second   (log p)'' + m'' (P p')^2 + m' P p''
    third    (log p)''' + m''' (P p')^3 + 3 m'' P^2 p' p'' + m' P p'''

Gamma(a + 1) in place of Gamma(a) = Gamma(a + 1)/a keeps the digits where a is small: log p has its own derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import betainc, psi, zeta

from mme.family import observing, saddle
from mme.family.base import ByParameter, Density, Family, Observed
from mme.family.best import best_value
from mme.family.exponential import wrong_link
from mme.family.links import PROBABILITIES
from mme.family.probability import Probability
from mme.numeric.kept import kept

# Up to here digamma(a + 1) is taken itself, beyond as log a + 1/(2 a) + S'(a).
_SMALL = 16.0
# A precision beyond this is that of no error.
_EXACT = 1e15
# Draws are strictly inside.
_INSIDE = 1e-300


class Beta(Family):
    """Shares of mean mu and variance mu (1 - mu) / (1 + precision); prior weights multiply log f.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog"}
        g(mu) = eta.

    Examples
    --------
    >>> family = Beta()
    >>> data = family.observe([0.3], None, "y")
    >>> family.at(data, np.zeros(1), np.log([2.0])).value  # uniform
    array([0.])
    """

    name = "beta"
    merges = "copies"
    parameters = ("precision",)

    def __init__(self, link: str = "logit") -> None:
        links = [word for word in PROBABILITIES if word != "cauchit"]
        if not isinstance(link, str) or link not in links:
            raise wrong_link(self.name, link, links)
        self.link, self.probability = link, PROBABILITIES[link]

    def __repr__(self) -> str:
        return f"Beta(link={self.link!r})"

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is strictly between 0 and 1."""
        return observing.shares(y, weights, name)

    def first_eta(self, data: Observed) -> np.ndarray:
        """The link of y."""
        return self.probability.eta_of(np.clip(data.y, 1e-6, 1.0 - 1e-6))

    def first_tau(self, data: Observed, eta: np.ndarray) -> np.ndarray:
        """By the mean of (y - mu)^2 / (mu (1 - mu))."""
        at = self.probability(eta)
        if not data.weights.any():
            return np.zeros(1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.nan_to_num((data.y - at.p) ** 2 / (at.p * at.q), posinf=0.0)
        return np.log([1.0 / np.clip(np.average(ratio, weights=data.weights), 1e-8, 0.9) - 1.0])

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density."""
        return BetaDensity(data, self.probability(eta), float(np.exp(tau[0])))

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """p."""
        return self.probability(eta).p

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """dp / d eta."""
        return self.probability(eta).slope(1)

    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """p q / (1 + P) / weight."""
        at = self.probability(eta)
        with np.errstate(divide="ignore"):
            return at.p * at.q / (1.0 + np.exp(tau[0])) / weights

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Shares."""
        return 0.0, 1.0

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw shares, strictly inside."""
        at, precision = self.probability(eta), np.exp(tau[0])
        y = rng.beta(np.maximum(precision * at.p, _INSIDE), np.maximum(precision * at.q, _INSIDE))
        return np.clip(y, _INSIDE, 1.0 - np.finfo(float).epsneg)

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The incomplete beta function, twice."""
        at, precision = self.probability(eta), np.exp(tau[0])
        below = betainc(precision * at.p, precision * at.q, data.y)
        return below, below

    def exact(self, data: Observed, tau: np.ndarray) -> str:
        """Of a precision beyond what digits of shares tell."""
        if float(np.exp(tau[0])) < _EXACT:
            return ""
        return (
            "the shares are fitted without error: the precision of the beta family goes to infinity, and the "
            "likelihood rises without end. The response is a function of the columns and the levels: model it as one, "
            "or leave something out"
        )

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """From the best mean, which is near y but is not y."""
        return 2.0 * (best_value(self, data, tau) - self.at(data, eta, tau).value)


class Side:
    """a = P p beside y, or b = P q beside 1 - y: m and its derivatives, m' without log P, which both sides cancel."""

    def __init__(self, log_y: np.ndarray, log_p: Any, p: np.ndarray, slopes: Any, precision: float) -> None:
        self.log_y, self.log_p, self.p, self.precision = log_y, log_p, p, precision
        self.slopes = slopes
        self.a = np.maximum(precision * p, np.finfo(float).tiny)

    @kept
    def excess(self) -> np.ndarray:
        """log(y/p)."""
        return self.log_y - self.log_p(0)

    @kept
    def m1(self) -> np.ndarray:
        """log y - digamma(a + 1) + log P."""
        few = np.minimum(self.a, _SMALL)
        small = self.log_y + np.log(self.precision) - psi(few + 1.0)
        return np.where(self.a < _SMALL, small, self.excess - 0.5 / self.a - saddle.remainder(self.a, 1))

    @kept
    def m2(self) -> np.ndarray:
        """-trigamma(a + 1)."""
        return -zeta(2.0, self.a + 1.0)

    @kept
    def m3(self) -> np.ndarray:
        """The next derivative."""
        return 2.0 * zeta(3.0, self.a + 1.0)

    def step(self, k: int) -> np.ndarray:
        """The k-th derivative of a."""
        return self.precision * self.slopes(k)

    def first(self) -> np.ndarray:
        """By eta."""
        return self.log_p(1) + self.m1 * self.step(1)

    def second(self) -> np.ndarray:
        """By eta twice."""
        return self.log_p(2) + self.m2 * self.step(1) ** 2 + self.m1 * self.step(2)

    def third(self) -> np.ndarray:
        """By eta three times."""
        one, two = self.step(1), self.step(2)
        return self.log_p(3) + self.m3 * one**3 + 3.0 * self.m2 * one * two + self.m1 * self.step(3)

    def value_by_precision(self) -> np.ndarray:
        """The side's part of d log f / d log P."""
        return 0.5 - self.a * saddle.remainder(self.a, 1) + self.a * self.excess

    def first_by_precision(self) -> np.ndarray:
        """The side's part of d^2 log f / d eta d log P."""
        return (self.m2 * self.a + self.m1) * self.step(1)

    def second_by_precision(self) -> np.ndarray:
        """The side's part of d^3 log f / d eta^2 d log P."""
        squares = (self.m3 * self.a + 2.0 * self.m2) * self.step(1) ** 2
        return squares + (self.m2 * self.a + self.m1) * self.step(2)

    def information(self) -> np.ndarray:
        """(P p')^2 trigamma(a)."""
        return self.log_p(1) ** 2 - self.m2 * self.step(1) ** 2

    def information_slope(self) -> np.ndarray:
        """By eta."""
        one, two = self.step(1), self.step(2)
        return 2.0 * self.log_p(1) * self.log_p(2) - 2.0 * self.m2 * one * two - self.m3 * one**3

    def information_by_precision(self) -> np.ndarray:
        """By log P."""
        return -(2.0 * self.m2 + self.m3 * self.a) * self.step(1) ** 2


class BetaDensity(Density):
    """log f and its derivatives."""

    def __init__(self, data: Observed, at: Probability, precision: float) -> None:
        self.data, self.precision = data, precision
        log_y, log_z = data.once("log shares", lambda: (np.log(data.y), np.log1p(-data.y)))
        self.logs = log_y, log_z
        self.sides = (
            Side(log_y, at.log_p, at.p, at.slope, precision),
            Side(log_z, at.log_q, at.q, lambda k: -at.slope(k), precision),
        )

    @kept
    def value(self) -> np.ndarray:
        """log f."""
        P = np.array([self.precision])
        total = saddle.remainder(P) - 0.5 * (saddle.LOG_2PI + np.log(P)) - self.logs[0] - self.logs[1]
        for side in self.sides:
            h = side.excess
            total = total + 0.5 * np.log(side.a) - saddle.remainder(side.a) - side.a * saddle.excess(h)
        return self.data.weights * total

    @kept
    def slope(self) -> np.ndarray:
        """Both sides' first derivatives."""
        return self._both(Side.first)

    @kept
    def observed(self) -> np.ndarray:
        """Less both sides' second derivatives."""
        return -self._both(Side.second)

    @kept
    def observed_slope(self) -> np.ndarray:
        """Less both sides' third derivatives."""
        return -self._both(Side.third)

    @kept
    def expected(self) -> np.ndarray:
        """(P p')^2 (trigamma(a) + trigamma(b))."""
        return self._both(Side.information)

    @kept
    def expected_slope(self) -> np.ndarray:
        """d W_e / d eta."""
        return self._both(Side.information_slope)

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By log P."""
        P = np.array([self.precision])
        own = P * saddle.remainder(P, 1) - 0.5
        value = self.data.weights * own + self._both(Side.value_by_precision)
        slope, observed = self._both(Side.first_by_precision), -self._both(Side.second_by_precision)
        return (ByParameter(value, slope, observed, self._both(Side.information_by_precision)),)

    def _both(self, part: Any) -> np.ndarray:
        return self.data.weights * (part(self.sides[0]) + part(self.sides[1]))
