"""The binomial family: successes of trials."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.family import observing, saddle
from mme.family.base import Density, Family, Observed
from mme.family.exponential import wrong_link
from mme.family.links import PROBABILITIES
from mme.family.probability import Probability
from mme.numeric.kept import kept

BINOMIAL = 0
# Up to so many trials log f is of order s log p + f log q, which then has its digits; beyond it is made of deviances.
_FEW = 100.0


class Binomial(Family):
    """Proportions y of a trials: log f = s log p + f log q + log(a choose s), s = a y, f = a (1 - y).

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit"}
        g(p) = eta.

    Notes
    -----
    The response is 0 and 1, booleans, two labels (the second in sorted order, or in that of a categorical, is the
    success), two columns of successes and failures, or a proportion with the numbers of trials as weights. Weights that
    are not whole multiply log f where y is 0 or 1.

    Examples
    --------
    >>> family = Binomial()
    >>> data = family.observe([0.5], [2], "y")
    >>> family.at(data, np.zeros(1), np.empty(0)).value.round(4)  # two successes of four ways
    array([-0.6931])
    """

    name = "binomial"
    merges = "sums"
    whole = "trials"

    def __init__(self, link: str = "logit") -> None:
        if not isinstance(link, str) or link not in PROBABILITIES:
            raise wrong_link(self.name, link, PROBABILITIES)
        self.link, self.canonical = link, link == "logit"
        self.kind = BINOMIAL if link == "logit" else None
        self.probability = PROBABILITIES[link]

    def __repr__(self) -> str:
        return f"Binomial(link={self.link!r})"

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Read successes and trials."""
        return observing.trials(y, weights, name)

    def first_eta(self, data: Observed) -> np.ndarray:
        """The link of (s + 1/2) / (a + 1), as R's glm."""
        successes, failures = both(data)
        return self.probability.eta_of((successes + 0.5) / (successes + failures + 1.0))

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density."""
        return BinomialDensity(self, data, self.probability(eta))

    def constants(self, data: Observed) -> np.ndarray:
        """Log f less s log p + f log q, or less its highest value where trials are many."""
        out, inner = np.zeros(data.n), np.flatnonzero((data.y > 0.0) & (data.y < 1.0))
        if inner.size:
            some = data.at(inner)
            few = some.weights <= _FEW
            out[inner] = saddle.log_choose(some.weights, *both(some)) - np.where(few, best(some), 0.0)
        return out

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """p."""
        return self.probability(eta).p

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """dp / d eta."""
        return self.probability(eta).slope(1)

    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """p q / a."""
        at = self.probability(eta)
        with np.errstate(divide="ignore", invalid="ignore"):
            return at.p * at.q / weights

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """No success, and nothing else."""
        return 0.0, 1.0

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw proportions of whole numbers of trials; of one trial where the weights are not whole."""
        p = self.probability(eta).p
        whole = weights == np.round(weights)
        trials = np.where(whole, weights, 1.0)
        return rng.binomial(trials.astype(np.int64), p) / np.maximum(trials, 1.0)

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(Y < y), P(Y <= y): sums of binomial probabilities by the incomplete beta function."""
        from scipy.special import betainc

        at, (s, f) = self.probability(eta), both(data)
        below = np.where(s > 0.0, betainc(f + 1.0, np.maximum(s, 1e-300), at.q), 0.0)
        return below, np.where(f > 0.0, betainc(np.maximum(f, 1e-300), s + 1.0, at.q), 1.0)

    def sides(self, data: Observed, tau: np.ndarray) -> np.ndarray:
        """Where all trials are successes, or all are failures."""
        successes, failures = both(data)
        return (failures == 0.0).astype(int) - (successes == 0.0).astype(int)

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """2 s log(y/p) + 2 f log((1 - y)/q)."""
        density = BinomialDensity(self, data, self.probability(eta))
        return 2.0 * density.half_deviance


class BinomialDensity(Density):
    """log f of successes s and failures f, and its derivatives: those of s log p + f log q."""

    def __init__(self, family: Binomial, data: Observed, at: Probability) -> None:
        self.family, self.data, self.probability = family, data, at

    @kept
    def value(self) -> np.ndarray:
        """log f."""
        data = self.data
        if data.once("few trials", lambda: bool((data.weights <= _FEW).all())):
            constants = data.once("constants", lambda: _unless_zero(self.family.constants(data)))
            return self._sum(0) if constants is None else self._sum(0) + constants
        return data.once("saturated", lambda: saddle.log_choose(data.weights, *both(data))) - self.half_deviance

    @property
    def half_deviance(self) -> np.ndarray:
        """s (exp(h) - 1 - h) and the same of the failures, h = log(a p / s), log(a q / f): squares, none cancels."""
        (s, f), (log_s, log_f) = both(self.data), self.data.once("log shares", lambda: log_shares(self.data))
        log_p, log_q = self.probability.log_p(0), self.probability.log_q(0)
        loss = np.zeros(s.shape)
        for count, h in ((s, log_p - log_s), (f, log_q - log_f)):
            part = np.expm1(h)
            part -= h
            part *= count
            loss += part
        loss = np.where(s == 0.0, -f * log_q, loss)
        return np.where(f == 0.0, -s * log_p, loss)

    @kept
    def slope(self) -> np.ndarray:
        """d(s log p + f log q) / d eta."""
        return self._sum(1)

    @kept
    def observed(self) -> np.ndarray:
        """-d^2(s log p + f log q) / d eta^2."""
        if self.family.canonical:
            return self._weighted(self.probability.slope(1))
        return -self._sum(2)

    @kept
    def observed_slope(self) -> np.ndarray:
        """-d^3(s log p + f log q) / d eta^3."""
        if self.family.canonical:
            return self._weighted(self.probability.slope(2))
        return -self._sum(3)

    @kept
    def expected(self) -> np.ndarray:
        """-a (log p)' (log q)', which is a p'^2 / (p q)."""
        if self.family.canonical:
            return self.observed
        return -self.data.weights * (self.probability.log_p(1) * self.probability.log_q(1))

    @kept
    def expected_slope(self) -> np.ndarray:
        """d W_e / d eta."""
        if self.family.canonical:
            return self.observed_slope
        log_p, log_q = self.probability.log_p, self.probability.log_q
        return -self.data.weights * (log_p(2) * log_q(1) + log_p(1) * log_q(2))

    def _sum(self, k: int) -> np.ndarray:
        """The k-th derivative of s log p + f log q."""
        successes, failures = both(self.data)
        out = successes * self.probability.log_p(k)
        out += failures * self.probability.log_q(k)
        return out

    def _weighted(self, values: np.ndarray) -> np.ndarray:
        """Weights times values."""
        weights = self.data.once("weights", lambda: _unless_one(self.data.weights))
        return values if weights is None else weights * values


def _unless_zero(values: np.ndarray) -> np.ndarray | None:
    return values if values.any() else None


def _unless_one(values: np.ndarray) -> np.ndarray | None:
    return values if (values != 1.0).any() else None


def both(data: Observed) -> tuple[np.ndarray, np.ndarray]:
    """Successes and failures (n,): whole where they are but for the rounding of y = s / a."""

    def make() -> tuple[np.ndarray, np.ndarray]:
        successes = data.y * data.weights
        whole = np.round(successes)  # y of 1e9 trials has its last digit at 1e-7 of a failure
        successes = np.where(np.abs(successes - whole) <= 1e-14 * data.weights, whole, successes)
        return successes, data.weights - successes

    return data.once("both", make)


def log_shares(data: Observed) -> tuple[np.ndarray, np.ndarray]:
    """log(s/a) and log(f/a); zero where there are no such trials."""
    with np.errstate(divide="ignore", invalid="ignore"):
        s, f = both(data)
        log_s, log_f = np.log1p(-f / data.weights), np.log1p(-s / data.weights)
        log_s, log_f = (
            np.where(s < f, np.log(s / data.weights), log_s),
            np.where(f < s, np.log(f / data.weights), log_f),
        )
    return np.where(s > 0.0, log_s, 0.0), np.where(f > 0.0, log_f, 0.0)


def best(data: Observed) -> np.ndarray:
    """The highest value over p of s log p + f log q."""
    (s, f), (log_s, log_f) = both(data), log_shares(data)
    return s * log_s + f * log_f
