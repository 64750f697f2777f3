"""The Gaussian family, of three links."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import ndtr

from mme.errors import MMEError
from mme.family import observing
from mme.family.base import Observed
from mme.family.dispersed import DispersedFamily
from mme.family.exponential import Shape
from mme.family.functions import Exp, Points, Power
from mme.family.saddle import LOG_2PI


class Gaussian(DispersedFamily):
    """y ~ N(mu, phi/a), with prior weights a; the dispersion phi is sigma^2.

    Parameters
    ----------
    link : {"identity", "log", "inverse"}
        g(mu) = eta.

    Examples
    --------
    >>> family = Gaussian()
    >>> data = family.observe([1.0], None, "y")
    >>> family.at(data, np.zeros(1), np.zeros(1)).value.round(4)
    array([-1.4189])
    """

    name = "gaussian"
    canonical_link = "identity"
    positive_mean = False
    shapes: ClassVar[dict[str, Shape]] = {
        "identity": Shape(Power(1.0, 1.0), Power(-0.5, 2.0)),
        "log": Shape(Exp(1.0, 1), Exp(-0.5, 2)),
        "inverse": Shape(Power(1.0, -1.0), Power(-0.5, -2.0)),
    }

    def __init__(self, link: str = "identity") -> None:
        super().__init__(link)

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is of numbers."""
        data = observing.observed(y, weights, name)
        if self.link == "log" and not (data.y[data.weights > 0.0] > 0.0).any():
            raise MMEError(
                f"response '{name}' has no positive value: by the log link all means are positive, and the best ones "
                "are zero, at eta of minus infinity; use the identity link, or change the sign"
            )
        return data

    def first_eta(self, data: Observed) -> np.ndarray:
        """The link of y; where it has none, or a far one, of a tenth of the mean size."""
        small = 0.1 * float(np.abs(data.y).mean()) or 1.0
        if self.link == "log":
            return np.log(np.maximum(data.y, small))
        return data.y if self.link == "identity" else 1.0 / np.where(np.abs(data.y) < small, small, data.y)

    def half_deviance(self, data: Observed, points: Points) -> np.ndarray:
        """(y - mu)^2 / 2."""
        return 0.5 * (data.y - self.mean_function(points)) ** 2

    def saturated(self, data: Observed, dispersion: float) -> np.ndarray:
        """-log(2 pi phi / a) / 2; zero where a is."""
        a = data.weights
        return np.where(a > 0.0, -0.5 * (LOG_2PI + np.log(dispersion) - np.log(np.where(a > 0.0, a, 1.0))), 0.0)

    def saturated_slope(self, data: Observed, dispersion: float) -> np.ndarray:
        """-1/2."""
        return np.where(data.weights > 0.0, -0.5, 0.0)

    def variance_function(self, mean: np.ndarray) -> np.ndarray:
        """V(mu) = 1."""
        return np.ones(np.shape(mean))

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw normal values."""
        return rng.normal(self.mean(eta, tau), np.sqrt(self.variance(eta, weights, tau)))

    def below(self, y: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """Phi((y - mu) / sd)."""
        return ndtr((y - mean) * np.sqrt(precision))
