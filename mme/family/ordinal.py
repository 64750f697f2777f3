r"""Ordered categories: the cumulative link model, P(y <= j) = F(theta_j - eta), F the link's distribution.

tau is the first threshold and the logarithms of the increments: theta_j = tau_0 + exp(tau_1) + ... + exp(tau_j). They
stand for the intercept. tau_0 moves every threshold, as -eta does; tau_k moves both ends of categories beyond k, the
upper end of category k, and nothing below.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from mme.family import observing
from mme.family.base import ByParameter, Density, Family, Observed
from mme.family.best import best_value
from mme.family.categories import intervals
from mme.family.exponential import wrong_link
from mme.family.links import PROBABILITIES
from mme.numeric.kept import kept
from mme.tables.spelling import label

# Increments of thresholds to begin with are at least this.
_LEAST = 1e-3


class Ordinal(Family):
    """Ordered categories: the codes y = 0, 1, ..., with thresholds between them; X has no intercept.

    Parameters
    ----------
    link : {"logit", "probit", "cloglog", "cauchit"}
        F is the logistic, normal, least extreme value or Cauchy distribution.

    Notes
    -----
    Effects are positive where they move towards higher categories, as in R's ``clm`` and ``polr``. The response is an
    ordered factor, another factor (levels sorted), or numbers, each of which is a category. Prior weights multiply
    log f. ``cloglog`` is P(y <= j) = 1 - exp(-exp(theta_j - eta)), as in ``polr``; what ``clmm`` calls so is that of
    the categories in reverse.

    Examples
    --------
    >>> family = Ordinal()
    >>> family.parameter_names(family.observe([3, 1, 2, 2], None, "y"))
    ('1|2', '2|3')
    >>> family.natural(np.array([-1.0, np.log(2.0)]))
    array([-1.,  1.])
    """

    name = "ordinal"
    merges = "copies"
    whole = "ones"
    has_intercept = False

    def __init__(self, link: str = "logit") -> None:
        if not isinstance(link, str) or link not in PROBABILITIES:
            raise wrong_link(self.name, link, PROBABILITIES)
        self.link, self.probability = link, PROBABILITIES[link]

    def __repr__(self) -> str:
        return f"Ordinal(link={self.link!r})"

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Read the categories."""
        return observing.categories(y, weights, name)

    def parameter_names(self, data: Observed) -> tuple[str, ...]:
        """``a|b`` between the labels of neighbours."""
        labels = [label(level) for level in data.levels]
        return tuple(f"{a}|{b}" for a, b in pairwise(labels))

    def first_eta(self, data: Observed) -> np.ndarray:
        """Zero: the thresholds alone."""
        return np.zeros(data.n)

    def first_tau(self, data: Observed, eta: np.ndarray) -> np.ndarray:
        """Thresholds at the shares of the data, moved by the mean of eta."""
        counts = np.bincount(data.y.astype(np.int64), data.weights, len(data.levels)) + 0.5
        share = np.cumsum(counts)[:-1] / counts.sum()
        theta = self.probability.eta_of(share) + float(np.mean(eta)) if eta.size else self.probability.eta_of(share)
        return np.concatenate([theta[:1], np.log(np.maximum(np.diff(theta), _LEAST))])

    def natural(self, tau: np.ndarray) -> np.ndarray:
        """The thresholds."""
        return np.cumsum(np.concatenate([tau[:1], np.exp(tau[1:])]))

    def tau_of(self, natural: np.ndarray) -> np.ndarray:
        """The first threshold, logarithms of the increments."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.concatenate([natural[:1], np.log(np.diff(natural))])

    def natural_slope(self, tau: np.ndarray) -> np.ndarray:
        """Lower-triangular: ones, and the increments."""
        return np.tril(np.broadcast_to(np.concatenate([[1.0], np.exp(tau[1:])]), (tau.size, tau.size)))

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density."""
        return OrdinalDensity(self, data, eta, tau)

    def probabilities(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """P(y = j) (n, J)."""
        J = tau.size + 1
        weights = np.ones(eta.size)
        at = [self.at(Observed(np.full(eta.size, float(j)), weights), eta, tau).value for j in range(J)]
        return np.exp(np.array(at).T)

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """The mean code: the sum of P(y > j)."""
        return self.probability(self._ends(eta, tau)).q.sum(axis=1)

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """The sum of the densities at the thresholds."""
        return self.probability(self._ends(eta, tau)).slope(1).sum(axis=1)

    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Of the codes, by the weight."""
        odd = 2.0 * np.arange(tau.size) + 1.0
        square = self.probability(self._ends(eta, tau)).q @ odd
        with np.errstate(divide="ignore"):
            return (square - self.mean(eta, tau) ** 2) / weights

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Codes of the categories."""
        return 0.0, float(tau.size)

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw codes."""
        below = self.probability(self._ends(eta, tau)).p
        return (rng.uniform(size=(eta.size, 1)) > below).sum(axis=1).astype(float)

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """F at both ends of the category."""
        n, J = data.n, tau.size + 1
        below = np.column_stack([np.zeros(n), self.probability(self._ends(eta, tau)).p, np.ones(n)])
        y = data.y.astype(np.int64)
        return below[np.arange(n), y], below[np.arange(n), np.minimum(y + 1, J)]

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """From the best eta: zero is the highest log f of an end category."""
        return 2.0 * (best_value(self, data, tau) - self.at(data, eta, tau).value)

    def _ends(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """theta_j - eta (n, J - 1)."""
        return self.natural(tau) - eta[:, None]


class OrdinalDensity(Density):
    """log f and its derivatives: those of the probability of an interval, moved as a whole and at its upper end."""

    def __init__(self, family: Ordinal, data: Observed, eta: np.ndarray, tau: np.ndarray) -> None:
        self.family, self.data, self.eta, self.tau = family, data, eta, tau
        self.codes = data.once("codes", lambda: data.y.astype(np.int64))

    @kept
    def _interval(self) -> tuple[np.ndarray, ...]:
        """log P and its derivatives: by x, twice, three times; by the upper end, and of that by x, twice."""
        theta, J = self.family.natural(self.tau), self.tau.size + 1
        parts = np.zeros((7, self.data.n))
        upper, lower = np.append(theta, np.inf)[self.codes], np.append(-np.inf, theta)[self.codes]
        gap = np.append(np.append(np.inf, np.exp(self.tau[1:])), np.inf)[self.codes]
        for rows in (self.codes == 0, (self.codes > 0) & (self.codes < J - 1), self.codes == J - 1):
            if rows.any():
                eta = self.eta[rows]
                parts[:, rows] = intervals(self.family.link, lower[rows] - eta, upper[rows] - eta, gap[rows])
        return tuple(self.data.weights * part for part in parts)

    @property
    def value(self) -> np.ndarray:
        """log P."""
        return self._interval[0]

    @property
    def slope(self) -> np.ndarray:
        """By eta."""
        return -self._interval[1]

    @property
    def observed(self) -> np.ndarray:
        """Less the second derivative."""
        return -self._interval[2]

    @property
    def observed_slope(self) -> np.ndarray:
        """The third derivative by x."""
        return self._interval[3]

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By tau_0 as by -eta, by tau_k at the upper end of category k and as by -eta beyond."""
        _, x1, x2, x3, u, ux, uxx = self._interval
        parts = [ByParameter(x1, -x2, -x3, lambda: self._information_by_parameters[0])]
        for k in range(1, self.tau.size):
            at, beyond, step = self.codes == k, self.codes > k, np.exp(self.tau[k])
            value, slope, second = (
                step * (np.where(at, own, 0.0) + np.where(beyond, whole, 0.0))
                for own, whole in ((u, x1), (-ux, -x2), (-uxx, -x3))
            )
            parts.append(ByParameter(value, slope, second, lambda k=k: self._information_by_parameters[k]))  # type: ignore[misc]
        return tuple(parts)

    @kept
    def _all(self) -> list[tuple[np.ndarray, OrdinalDensity]]:
        """The probability of each category, with the prior weight, and its density of weight one."""
        ones, out = np.ones(self.data.n), []
        for j in range(self.tau.size + 1):
            density = OrdinalDensity(self.family, Observed(np.full(self.data.n, float(j)), ones), self.eta, self.tau)
            out.append((self.data.weights * np.exp(density.value), density))
        return out

    @kept
    def expected(self) -> np.ndarray:
        """The mean of the squared slope."""
        # a category of probability zero has a slope that is infinite, or nearly
        return np.sum([(np.sqrt(f) * np.where(f > 0.0, one.slope, 0.0)) ** 2 for f, one in self._all], axis=0)

    @kept
    def expected_slope(self) -> np.ndarray:
        """Its derivative, the probabilities' included."""
        return np.sum([f * one.slope * (one.slope**2 - 2.0 * one.observed) for f, one in self._all], axis=0)

    @kept
    def _information_by_parameters(self) -> np.ndarray:
        """dW_e / dtau (r, n)."""
        out = np.zeros((self.tau.size, self.data.n))
        for f, one in self._all:
            _, x1, x2, _, u, ux, _ = one._interval
            for k in range(self.tau.size):
                at, beyond = one.codes == k, one.codes > k if k else np.ones(one.codes.shape, dtype=bool)
                value = np.where(beyond, x1, np.where(at, u, 0.0))
                slope = -np.where(beyond, x2, np.where(at, ux, 0.0))
                out[k] += (np.exp(self.tau[k]) if k else 1.0) * f * one.slope * (value * one.slope + 2.0 * slope)
        return out
