"""The inverse Gaussian family: positive values with long tails, times of first passage."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import log_ndtr, ndtr

from mme.family import observing
from mme.family.base import Observed
from mme.family.dispersed import DispersedFamily
from mme.family.exponential import Shape
from mme.family.functions import Exp, Points, Power
from mme.family.saddle import LOG_2PI


class InverseGaussian(DispersedFamily):
    """y of mean mu and var(y) = (phi/a) mu^3, with prior weights a; 1/phi is the shape lambda.

    Parameters
    ----------
    link : {"1/mu^2", "log", "inverse", "identity"}
        g(mu) = eta; all but log take a positive eta alone.

    Examples
    --------
    >>> family = InverseGaussian("log")
    >>> data = family.observe([1.0], None, "y")
    >>> family.at(data, np.zeros(1), np.zeros(1)).value.round(4)
    array([-0.9189])
    """

    name = "inverse.gaussian"
    canonical_link = "1/mu^2"
    shapes: ClassVar[dict[str, Shape]] = {
        "1/mu^2": Shape(Power(-0.5, 1.0), Power(1.0, 0.5)),
        "log": Shape(Exp(-0.5, -2), Exp(1.0, -1)),
        "inverse": Shape(Power(-0.5, 2.0), Power(1.0, 1.0)),
        "identity": Shape(Power(-0.5, -2.0), Power(1.0, -1.0)),
    }

    def __init__(self, link: str = "1/mu^2") -> None:
        super().__init__(link)

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is positive."""
        return observing.positive(y, weights, name, "inverse Gaussian")

    def first_eta(self, data: Observed) -> np.ndarray:
        """The link of y."""
        y = data.y
        return {"log": np.log(y), "identity": y, "inverse": 1.0 / y, "1/mu^2": 1.0 / y**2}[self.link]

    def past_bound(self, data: Observed) -> np.ndarray | None:
        """All by the inverse link: d = (y eta - 1)^2 / y."""
        return np.ones(data.n, dtype=bool) if self.link == "inverse" else None

    def half_deviance(self, data: Observed, points: Points) -> np.ndarray:
        """(y/mu - 1)^2 / (2 y)."""
        if self.link == "inverse":
            return np.asarray(0.5 * (data.y * points.eta - 1.0) ** 2 / data.y)
        return 0.5 * np.expm1(-self.log_ratio(data, points)) ** 2 / data.y

    def saturated(self, data: Observed, dispersion: float) -> np.ndarray:
        """-log(2 pi phi y^3 / a) / 2; zero where a is."""
        a = data.weights
        log_a = np.log(np.where(a > 0.0, a, 1.0))
        cubes = data.once("3 log y", lambda: 3.0 * np.log(data.y))
        return np.where(a > 0.0, -0.5 * (LOG_2PI + np.log(dispersion) - log_a + cubes), 0.0)

    def saturated_slope(self, data: Observed, dispersion: float) -> np.ndarray:
        """-1/2."""
        return np.where(data.weights > 0.0, -0.5, 0.0)

    def variance_function(self, mean: np.ndarray) -> np.ndarray:
        """V(mu) = mu^3."""
        return mean**3

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Positive numbers."""
        return 0.0, np.inf

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw inverse Gaussian values."""
        return rng.wald(self.mean(eta, tau), np.maximum(weights / self.dispersion(tau), np.finfo(float).tiny))

    def below(self, y: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Phi(r (y/mu - 1)) + exp(2 lambda/mu) Phi(-r (y/mu + 1)), r^2 = lambda/y (Shuster 1968)."""
        root = np.sqrt(precision / y)
        return ndtr(root * (y / mean - 1.0)) + np.exp(2.0 * precision / mean + log_ndtr(-root * (y / mean + 1.0)))
