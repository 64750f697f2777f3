"""The Poisson family: counts."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from scipy.special import xlogy

from mme.family import observing, saddle
from mme.family.base import Observed
from mme.family.exponential import ExponentialFamily, Shape
from mme.family.functions import Exp, Log, Points, Power

POISSON = 1
# Up to such counts y eta - mu is of order 1,000, and log f has its digits.
_FEW = 100.0


class Poisson(ExponentialFamily):
    """Counts: log f = a (y log mu - mu - log y!), with prior weights a.

    Parameters
    ----------
    link : {"log", "sqrt", "identity"}
        g(mu) = eta.

    Notes
    -----
    By the square root mu = eta^2: the signs of eta, of all records or of a level, are free, and the likelihood has a
    maximum for each choice of them. A search takes the highest that several starts lead to.

    Examples
    --------
    >>> family = Poisson()
    >>> data = family.observe([0, 2], None, "y")
    >>> family.at(data, np.log([1.0, 2.0]), np.empty(0)).value.round(4)
    array([-1.    , -1.3069])
    """

    name = "poisson"
    merges = "sums"
    whole = "ones"
    canonical_link = "log"
    shapes: ClassVar[dict[str, Shape]] = {
        "log": Shape(Power(1.0, 1.0), Exp(-1.0, 1)),
        "sqrt": Shape(Log(2.0), Power(-1.0, 2.0)),
        "identity": Shape(Log(1.0), Power(-1.0, 1.0)),
    }

    def __init__(self, link: str = "log") -> None:
        super().__init__(link)
        self.kind = POISSON if link == "log" else None
        self.even = link == "sqrt"

    def observe(self, y: Any, weights: Any, name: str) -> Observed:
        """Check that the response is of whole numbers, at least zero."""
        return observing.counts(y, weights, name, self.name)

    def first_eta(self, data: Observed) -> np.ndarray:
        """The link of y + 0.1, as R's glm."""
        mean = data.y + 0.1
        return np.log(mean) if self.link == "log" else np.sqrt(mean) if self.link == "sqrt" else mean

    def past_bound(self, data: Observed) -> np.ndarray | None:
        """Zeros by the identity link: log f = -a eta."""
        return data.y == 0.0 if self.link == "identity" else None

    def half_deviance(self, data: Observed, points: Points) -> np.ndarray:
        """y (exp(h) - 1 - h), h = log(mu/y); mu where y is zero."""
        y, h = data.y, self.log_ratio(data, points)
        loss = np.expm1(h)
        loss -= h
        loss *= y
        zero = data.once("zero", lambda: np.flatnonzero(y == 0.0))
        if zero.size:
            loss[zero] = self.of_eta(self.mean_function, points)[zero]
        return loss

    def direct(self, data: Observed) -> np.ndarray | None:
        """-a log y! of small counts, by the log link."""

        def made() -> np.ndarray | None:
            if self.link != "log" or not data.y.max(initial=0.0) <= _FEW:
                return None
            return data.weights * (saddle.log_count(data.y) - xlogy(data.y, data.y) + data.y)

        return data.once("direct", made)

    def saturated(self, data: Observed, dispersion: float) -> np.ndarray:
        """Log f at mu = y."""
        return data.weights * saddle.log_count(data.y)

    def variance_function(self, mean: np.ndarray) -> np.ndarray:
        """V(mu) = mu."""
        return mean

    def support(self, tau: np.ndarray) -> tuple[float, float]:
        """Counts."""
        return 0.0, np.inf

    def draw(self, eta: np.ndarray, weights: np.ndarray, tau: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw counts."""
        return rng.poisson(self.mean(eta, tau)).astype(float)

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(Y < y), P(Y <= y)."""
        from scipy.special import gammaincc

        mean = self.mean(eta, tau)
        return np.where(data.y > 0.0, gammaincc(np.maximum(data.y, 1.0), mean), 0.0), gammaincc(data.y + 1.0, mean)
