r"""The Tweedie family between Poisson and Gamma: zeros and positive values.

A value is the sum of Gamma variables whose number has a Poisson distribution.

var(y) = (phi/a) mu^p, 1 < p < 2, log mu = eta; below, phi is phi/a. With c = (2 - p)/(p - 1) and
J = y^(2-p) / (phi (2 - p)),

    log f(0) = -mu^(2-p) / (phi (2 - p)),
    log f(y) = -log y + log(c)/2 - log(2 pi) + log G - d / (2 phi),
    G = sum_j exp(-S(j) - S(c j) - (1 + c) j h(log(J/j))),    h(x) = exp(x) - 1 - x:

the series of Dunn and Smyth (2005) with every term on the scale of the highest density, by Loader's remainders S. Its
terms are as a normal density of mean J and variance J/(1 + c): where that is wide, every few of them are summed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.special import gammainc

from mme.family import observing, saddle
from mme.family.base import ByParameter, Density, Family, Observed
from mme.family.exponential import wrong_link
from mme.numeric.kept import kept

# Terms this many standard deviations from the greatest, and this many more, are below 1e-17 of it.
_WIDE, _MORE = 10.0, 30.0
# A sum over every s-th term is the sum, to all digits, where s is this share of the standard deviation.
_SHARE = 0.6
_PANEL = 2**20
# A power this near to one has no density.
_EDGE = 1e-6


class Tweedie(Family):
    """Zeros and positive values: var(y) = (phi/a) mu^p with dispersion phi and power p, 1 < p < 2, both estimated.

    Parameters
    ----------
    link : {"log"}
        log mu = eta.

    Examples
    --------
    >>> family = Tweedie()
    >>> data = family.observe([0.0], None, "y")
    >>> family.at(data, np.zeros(1), np.zeros(2)).value  # phi = 1, p = 1.5
    array([-2.])
    """

    name, link = "tweedie", "log"
    parameters = ("dispersion", "power")

    def __init__(self, link: str = "log") -> None:
        if link != "log":
            raise wrong_link(self.name, link, ["log"])

    def __repr__(self) -> str:
        return "Tweedie(link='log')"

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is at least zero."""
        data = observing.observed(y, weights, name)
        observing.refuse(data.y < 0.0, data.y, name, "at least 0", "the Tweedie family is of zeros and positive values")
        return data

    def first_eta(self, data: Observed) -> np.ndarray:
        """The logarithm of y, zeros a tenth of the mean."""
        return np.log(np.maximum(data.y, 0.1 * float(data.y.mean()) or 1.0))

    def first_tau(self, data: Observed, eta: np.ndarray) -> np.ndarray:
        """p = 1.5, phi by Pearson's residuals."""
        mean = np.exp(eta)
        phi = float(np.mean(data.weights * (data.y - mean) ** 2 / mean**1.5))
        return np.array([np.log(max(phi, 1e-8)), 0.0])

    def natural(self, tau: np.ndarray) -> np.ndarray:
        """phi = exp(tau_1), p = 1 + 1/(1 + exp(-tau_2))."""
        return np.array([np.exp(tau[0]), power(tau)])

    def tau_of(self, natural: np.ndarray) -> np.ndarray:
        """log(phi), and the logit of p - 1."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.array([np.log(natural[0]), np.log(natural[1] - 1.0) - np.log(2.0 - natural[1])])

    def natural_slope(self, tau: np.ndarray) -> np.ndarray:
        """Diagonal."""
        return np.diag([np.exp(tau[0]), (power(tau) - 1.0) * (2.0 - power(tau))])

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density; -inf for a power that is one but for the last digits."""
        return TweedieDensity(data, eta, tau)

    def without_maximum(self, tau: np.ndarray) -> str:
        """Of a power of one: then positive values lie on a lattice."""
        if power(tau) > 1.0 + 10.0 * _EDGE:
            return ""
        return (
            "the power of the Tweedie family goes to 1, where positive responses are multiples of one number, as "
            "counts are, and its density rises without end: use Poisson or NegativeBinomial"
        )

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """exp(eta)."""
        with np.errstate(over="ignore"):
            return np.exp(eta)

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """exp(eta)."""
        return self.mean(eta, tau)

    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """(phi/a) mu^p."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.exp(tau[0] + power(tau) * eta) / weights

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Zero and positive numbers."""
        return 0.0, np.inf

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw sums of Gamma values, Poisson many."""
        rate, shape, scale = compound(eta, weights, tau)
        return rng.gamma(shape * rng.poisson(rate), scale)

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the number of Gamma values; P(Y < y) is zero at y = 0."""
        rate, shape, scale = compound(eta, data.weights, tau)
        below, some = np.exp(-rate), np.flatnonzero((data.y > 0.0) & np.isfinite(rate))
        for rows, j, step in _panels(rate[some], 0.0):
            at = some[rows]
            log_f = saddle.log_count(j.ravel())[:, None] - j * saddle.excess(np.log(rate[at] / j))
            below[at] += step * (np.exp(log_f) * gammainc(shape * j, data.y[at] / scale[at])).sum(axis=0)
        return np.where(data.y > 0.0, below, 0.0), below

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """A d(y, mu)."""
        return 2.0 * data.weights * TweedieDensity(data, eta, tau).half_deviance


class TweedieDensity(Density):
    """log f and its derivatives."""

    def __init__(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> None:
        self.data, self.eta, self.p = data, eta, power(tau)
        self.per_phi = data.weights / np.exp(tau[0])
        self.tau = (float(tau[0]), float(tau[1]))

    @kept
    def _parts(self) -> tuple[np.ndarray, np.ndarray]:
        """y mu^(1-p) / phi and mu^(2-p) / phi."""
        with np.errstate(over="ignore", invalid="ignore"):
            first = self.data.y * np.exp((1.0 - self.p) * self.eta)
            return self.per_phi * first, self.per_phi * np.exp((2.0 - self.p) * self.eta)

    @kept
    def _h(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """log(mu/y), (1 - p) times it and (2 - p) times it; log mu where y is zero."""
        delta = self.eta - self.data.once("log y", lambda: np.log(np.where(self.data.y > 0.0, self.data.y, 1.0)))
        return delta, (1.0 - self.p) * delta, (2.0 - self.p) * delta

    @kept
    def half_deviance(self) -> np.ndarray:
        """Of weight one and dispersion one: y^(2-p) (h((1-p) delta)/(p-1) + h((2-p) delta)/(2-p))."""
        y, p, (_, a, b) = self.data.y, self.p, self._h
        with np.errstate(over="ignore", invalid="ignore"):
            loss = y ** (2.0 - p) * (saddle.excess(a) / (p - 1.0) + saddle.excess(b) / (2.0 - p))
            return np.where(y > 0.0, loss, np.exp(b) / (2.0 - p))

    @kept
    def value(self) -> np.ndarray:
        """log f."""
        if not self.p - 1.0 > _EDGE:
            return np.full(self.data.n, -np.inf)
        return self._series[0] - self.per_phi * self.half_deviance

    @kept
    def slope(self) -> np.ndarray:
        """(y mu^(1-p) - mu^(2-p)) / phi."""
        return self._parts[0] - self._parts[1]

    @kept
    def observed(self) -> np.ndarray:
        """((p-1) y mu^(1-p) + (2-p) mu^(2-p)) / phi."""
        return (self.p - 1.0) * self._parts[0] + (2.0 - self.p) * self._parts[1]

    @kept
    def observed_slope(self) -> np.ndarray:
        """(-(p-1)^2 y mu^(1-p) + (2-p)^2 mu^(2-p)) / phi."""
        return (2.0 - self.p) ** 2 * self._parts[1] - (self.p - 1.0) ** 2 * self._parts[0]

    @property
    def expected(self) -> np.ndarray:
        """mu^(2-p) / phi."""
        return self._parts[1]

    @property
    def expected_slope(self) -> np.ndarray:
        """(2-p) mu^(2-p) / phi."""
        return (2.0 - self.p) * self._parts[1]

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By log phi, and by tau_2 with dp/dtau_2 = (p - 1)(2 - p)."""
        _, by_phi, by_power = self._series
        loss = self.per_phi * self.half_deviance
        phi = ByParameter(by_phi + loss, -self.slope, -self.observed, -self.expected)
        rate, eta = (self.p - 1.0) * (2.0 - self.p), self.eta
        value = rate * (by_power - self._half_deviance_by_power())
        slope, observed = -rate * eta * self.slope, rate * (self.slope - eta * self.observed)
        return phi, ByParameter(value, slope, observed, -rate * eta * self.expected)

    def _half_deviance_by_power(self) -> np.ndarray:
        """D(d / (2 phi)) / dp."""
        y, p, (delta, a, b) = self.data.y, self.p, self._h
        log_y = self.data.once("log y", lambda: np.log(y))
        with np.errstate(over="ignore", invalid="ignore"):
            inner = saddle.excess(b) / (2.0 - p) ** 2 - saddle.excess(a) / (p - 1.0) ** 2
            inner -= delta * (np.expm1(a) / (p - 1.0) + np.expm1(b) / (2.0 - p))
            some = y ** (2.0 - p) * inner - log_y * self.half_deviance
            none = np.exp(b) * (1.0 / (2.0 - p) - self.eta) / (2.0 - p)
        return self.per_phi * np.where(y > 0.0, some, none)

    @property
    def _series(self) -> np.ndarray:
        """The highest log f, and its derivatives by log phi and p (3, n): kept while tau stays, whatever eta is."""
        kept = self.data.once("series", dict)
        if kept.get("tau") != self.tau:
            kept.update(tau=self.tau, series=highest(self.data.y, self.per_phi, self.p))
        return kept["series"]


def power(tau: np.ndarray) -> float:
    """p."""
    return 1.0 + 1.0 / (1.0 + float(np.exp(-tau[1])))


def compound(eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """The Poisson rate (n,), the Gamma's shape and its scale (n,)."""
    p, phi = power(tau), np.exp(tau[0]) / np.maximum(weights, np.finfo(float).tiny)
    rate = np.exp((2.0 - p) * eta) / (phi * (2.0 - p))
    return rate, (2.0 - p) / (p - 1.0), phi * (p - 1.0) * np.exp((p - 1.0) * eta)


def highest(y: np.ndarray, per_phi: np.ndarray, p: float) -> np.ndarray:
    """log f at mu = y, and its derivatives by log phi and by p (3, n); zero where y or the weight is."""
    out = np.zeros((3, y.size))
    some = np.flatnonzero((y > 0.0) & (per_phi > 0.0))
    pairs, at = np.unique(np.array([y[some], per_phi[some]]), axis=1, return_inverse=True)
    y, c, c1 = pairs[0], (2.0 - p) / (p - 1.0), -1.0 / (p - 1.0) ** 2
    J, log_y = y ** (2.0 - p) * pairs[1] / (2.0 - p), np.log(y)
    log_G, excess, by_c = series(J, c) if J.size else np.zeros((3, 0))
    by_phi = (1.0 + c) * excess
    by_power = 0.5 * c1 / c + c1 * by_c - (1.0 / (2.0 - p) - log_y) * by_phi
    found = np.array([0.5 * np.log(c) - saddle.LOG_2PI - log_y + log_G, by_phi, by_power])
    out[:, some] = found[:, at.ravel()]
    return out


def series(J: np.ndarray, c: float) -> np.ndarray:
    """log G, the mean of J - j and that of d(log term)/dc (3, n), by panels of records of like J."""
    out = np.empty((3, J.size))
    for rows, j, step in _panels(J, c):
        inner = j * saddle.excess(np.log(J[rows] / j))
        log_term = -saddle.remainder(j) - saddle.remainder(c * j) - (1.0 + c) * inner
        top = log_term.max(axis=0)
        term = np.exp(log_term - top)
        total = term.sum(axis=0)
        by_c = -j * saddle.remainder(c * j, 1) - inner
        out[:, rows] = top + np.log(step * total), (term * (J[rows] - j)).sum(0) / total, (term * by_c).sum(0) / total
    return out


def _panels(J: np.ndarray, c: float) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Yield rows of like J with their terms (m, 1) and the step between them."""
    order, start = np.argsort(J), 0
    while start < J.size:
        size = max(1, _PANEL // (4 * _terms(J[order[start : start + 1]], c)[0].size))
        rows = order[start : start + size]
        rows = rows[J[rows] <= 1.2 * J[rows[0]] + 1.0]
        start += rows.size
        yield rows, *_terms(J[rows], c)


def _terms(J: np.ndarray, c: float) -> tuple[np.ndarray, float]:
    """Numbers j (m, 1) of the terms that count for all of these J, and the step between them."""
    low, high = float(np.min(J)), float(np.max(J))
    first, sd = low - _WIDE * np.sqrt(low / (1.0 + c)), np.sqrt(low / (1.0 + c))
    last = high + _WIDE * np.sqrt(high / (1.0 + c)) + _MORE
    step = max(1.0, np.floor(_SHARE * sd)) if first > 1.0 else 1.0
    return np.arange(max(1.0, np.floor(first)), last + step, step)[:, None], step
