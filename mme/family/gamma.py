"""The Gamma family: positive values of constant coefficient of variation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import gammainc

from mme.family import observing, saddle
from mme.family.base import Observed
from mme.family.dispersed import DispersedFamily
from mme.family.exponential import Shape
from mme.family.functions import Exp, Log, Points, Power


class Gamma(DispersedFamily):
    """y ~ Gamma of mean mu and shape a/phi: var(y) = (phi/a) mu^2, with prior weights a.

    Parameters
    ----------
    link : {"inverse", "log", "identity"}
        g(mu) = eta; inverse and identity take a positive eta alone.

    Examples
    --------
    >>> family = Gamma("log")
    >>> data = family.observe([2.0], None, "y")
    >>> family.at(data, np.zeros(1), np.zeros(1)).value  # of shape one: -y
    array([-2.])
    """

    name = "gamma"
    canonical_link = "inverse"
    shapes: ClassVar[dict[str, Shape]] = {
        "inverse": Shape(Power(-1.0, 1.0), Log(1.0)),
        "log": Shape(Exp(-1.0, -1), Power(-1.0, 1.0)),
        "identity": Shape(Power(-1.0, -1.0), Log(-1.0)),
    }

    def __init__(self, link: str = "inverse") -> None:
        super().__init__(link)

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is positive."""
        return observing.positive(y, weights, name, "Gamma")

    def first_eta(self, data: Observed) -> np.ndarray:
        """The link of y."""
        return np.log(data.y) if self.link == "log" else data.y if self.link == "identity" else 1.0 / data.y

    def half_deviance(self, data: Observed, points: Points) -> np.ndarray:
        """exp(h) - 1 - h, h = log(y/mu)."""
        h = -self.log_ratio(data, points)
        return np.expm1(h) - h

    def saturated(self, data: Observed, dispersion: float) -> np.ndarray:
        """log f at mu = y: (log(shape/2 pi))/2 - S(shape) - log y; zero where a is."""
        some, shape = self._shape(data, dispersion)
        at_one = 0.5 * (np.log(shape) - saddle.LOG_2PI) - saddle.remainder(shape)
        return np.where(some, at_one - data.once("log y", lambda: np.log(data.y)), 0.0)

    def saturated_slope(self, data: Observed, dispersion: float) -> np.ndarray:
        """-1/2 + shape S'(shape)."""
        some, shape = self._shape(data, dispersion)
        return np.where(some, shape * saddle.remainder(shape, 1) - 0.5, 0.0)

    def variance_function(self, mean: np.ndarray) -> np.ndarray:
        """V(mu) = mu^2."""
        return mean**2

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Positive numbers."""
        return 0.0, np.inf

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw Gamma values."""
        shape = np.maximum(weights / self.dispersion(tau), np.finfo(float).tiny)
        return rng.gamma(shape, self.mean(eta, tau) / shape)

    def below(self, y: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """The incomplete gamma function."""
        return gammainc(precision, precision * y / mean)

    @staticmethod
    def _shape(data: Observed, dispersion: float) -> tuple[np.ndarray, np.ndarray]:
        """Where there is weight, and a/phi."""
        some = data.weights > 0.0
        return some, np.where(some, data.weights, 1.0) / dispersion
