"""Negative binomial families: counts with more variance than Poisson's, Gamma-mixed."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.family import observing
from mme.family.base import Density, Family, Observed
from mme.family.best import best_value
from mme.family.linear_size import LinearDensity
from mme.family.quadratic_size import QuadraticDensity
from mme.tables.arguments import number

SIZED = 2
# Sizes to begin with, and ratios, which grow with the counts.
_FIRST = {2: (1e-2, 1e4), 1: (1e-2, 1e100)}


class NegativeBinomial(Family):
    """Counts of mean mu = exp(eta) and variance mu + mu^2 / size (kind 2), or mu (1 + alpha) (kind 1).

    Parameters
    ----------
    kind : {2, 1}
        How the variance grows with the mean: as its square, or in proportion.
    size : float, optional
        Of kind 2, if it is known; estimated otherwise.
    alpha : float, optional
        Of kind 1, if it is known; estimated otherwise.
    link : {"log"}
        log mu = eta.

    Notes
    -----
    Prior weights multiply log f. Kind 2 is Poisson's with a mean that is mu times a Gamma variable of mean one and
    variance 1/size; kind 1 has the size mu / alpha.

    Examples
    --------
    >>> family = NegativeBinomial(size=1)  # geometric
    >>> data = family.observe([0, 1], None, "y")
    >>> np.exp(family.at(data, np.zeros(2), np.empty(0)).value)
    array([0.5 , 0.25])
    """

    link = "log"
    merges = "copies"
    whole = "ones"

    def __init__(
        self, kind: int = 2, *, size: float | None = None, alpha: float | None = None, link: str = "log"
    ) -> None:
        if kind not in (1, 2) or link != "log":
            raise MMEError(f"NegativeBinomial has the kinds 2 and 1, and the link 'log'; got {kind!r} and {link!r}")
        word, given = ("size", size) if kind == 2 else ("alpha", alpha)
        if (alpha if kind == 2 else size) is not None:
            raise MMEError(f"NegativeBinomial(kind={kind}) has the parameter {word}")
        if given is not None:
            number(given, f"{word} must be a positive number, or None to estimate it", lambda value: value > 0.0)
        self.shape, self.given = kind, None if given is None else float(np.log(given))
        self.name, self.parameters = f"nbinom{kind}", (word,) if given is None else ()
        self.kind = SIZED if kind == 2 else None
        self._options = {"kind": int(kind), word: None if given is None else float(given)}

    def options(self) -> dict[str, Any]:
        """Its kind, and its parameter where that is given."""
        return dict(self._options)

    def __repr__(self) -> str:
        word = "size" if self.shape == 2 else "alpha"
        given = "" if self.given is None else f", {word}={np.exp(self.given):.6g}"
        return f"NegativeBinomial(kind={self.shape}{given})"

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is of whole numbers, at least zero."""
        return observing.counts(y, weights, name, "negative binomial")

    def first_eta(self, data: Observed) -> np.ndarray:
        """log(y + 0.1)."""
        return np.log(data.y + 0.1)

    def first_tau(self, data: Observed, eta: np.ndarray) -> np.ndarray:
        """By the moments of (y - mu)^2."""
        if self.given is not None:
            return np.empty(0)
        mean = np.exp(eta)
        excess = data.weights @ ((data.y - mean) ** 2 - mean)
        over = data.weights @ (mean**2 if self.shape == 2 else mean)
        ratio = (over / excess if self.shape == 2 else excess / over) if excess > 0.0 and over > 0.0 else 0.0
        low, high = _FIRST[self.shape]
        unclear = high if self.shape == 2 else low
        return np.log([np.clip(ratio, low, high) if ratio else unclear])

    def log_parameter(self, tau: np.ndarray) -> float:
        """Log of the size, or of alpha."""
        return float(tau[0]) if self.given is None else self.given

    def size_of(self, tau: np.ndarray) -> float:
        """The size of kind 2."""
        return float(np.exp(self.log_parameter(tau)))

    def at(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> Density:
        """Return the density."""
        density = QuadraticDensity if self.shape == 2 else LinearDensity
        return density(data, eta, self.log_parameter(tau), estimated=self.given is None)

    def size(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """The size (n,)."""
        log = self.log_parameter(tau)
        return np.full(eta.shape, np.exp(log)) if self.shape == 2 else np.exp(eta - log)

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """exp(eta)."""
        with np.errstate(over="ignore"):
            return np.exp(eta)

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """exp(eta)."""
        return self.mean(eta, tau)

    def variance(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """(mu + mu^2 / size) / a."""
        mean = self.mean(eta, tau)
        with np.errstate(divide="ignore", over="ignore"):
            return mean * (1.0 + mean / self.size(eta, tau)) / weights

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Counts."""
        return 0.0, np.inf

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw counts of Gamma-distributed means."""
        size = np.maximum(self.size(eta, tau), np.finfo(float).tiny)
        return rng.poisson(rng.gamma(size, np.exp(eta) / size)).astype(float)

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(Y < y), P(Y <= y): the incomplete beta function."""
        from scipy.special import betainc

        size, y = self.size(eta, tau), data.y
        q = 1.0 / (1.0 + np.exp(eta) / size)
        return np.where(y > 0.0, betainc(size, np.maximum(y, 1.0), q), 0.0), betainc(size, y + 1.0, q)

    def deviance(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Of kind 2 from mu = y; of kind 1, whose size goes with the mean, from the best mean."""
        density = self.at(data, eta, tau)
        if isinstance(density, QuadraticDensity):
            return 2.0 * data.weights * density.half_deviance
        return 2.0 * (best_value(self, data, tau) - density.value)
