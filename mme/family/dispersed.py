"""Exponential families with a dispersion: var(y) = (phi/a) V(mu), tau = log phi."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from mme.family.base import Observed
from mme.family.exponential import ExponentialFamily

# The dispersion to begin with is at least this share of what it is about one mean.
_LEAST = 1e-10
# One below this share of it is none.
_EXACT = 1e-17
# The median of chi-square on one degree of freedom; a share of the mean below which it shows that few make that.
_MEDIAN, _FEW = 0.455, 0.02


class DispersedFamily(ExponentialFamily):
    """A continuous family with a dispersion."""

    parameters = ("dispersion",)

    def first_tau(self, data: Observed, eta: np.ndarray) -> np.ndarray:
        """Log of the mean deviance, the estimate of maximum likelihood or near it; of Pearson's squares if it has none.

        A record that is a million times its mean has a square of 1e12 and a deviance of 1e6: Pearson's would be a start
        from which it does not count. Where few records have nearly all deviance, that of the others is told by the
        median, of chi-square on one degree of freedom .455 of the mean.
        """
        used = data.weights > 0.0
        if not used.any():
            return np.zeros(1)
        y, a, mean = data.y[used], data.weights[used], self.mean(eta, np.zeros(1))[used]
        whole = self._pearson(y, a, np.full(y.size, np.average(y, weights=a)))
        floor = _LEAST * whole if np.isfinite(whole) and whole > 0.0 else _LEAST
        with np.errstate(all="ignore"):
            each = self.deviance(data.at(used), eta[used], np.zeros(1))
            deviance, of_most = float(np.mean(each)), float(np.median(each)) / _MEDIAN
            deviance = of_most if 0.0 < of_most < _FEW * deviance else deviance
        candidates = (deviance, self._pearson(y, a, mean), whole)
        about = next((one for one in candidates if np.isfinite(one)), floor)
        return np.array([np.log(max(about, floor))])

    def exact(self, data: Observed, tau: np.ndarray) -> str:
        """Of a dispersion that is none beside the spread of the records."""
        used = data.weights > 0.0
        y, a = data.y[used], data.weights[used]
        whole = data.once("spread", lambda: self._pearson(y, a, np.full(y.size, np.average(y, weights=a))))
        if self.dispersion(tau) > _EXACT * max(whole, _LEAST * _LEAST):
            return ""
        return (
            f"the records are fitted without error: the dispersion of the {self.name} family goes to zero, and the "
            "likelihood rises without end. The response is a function of the columns and the levels: model it as one, "
            "or leave something out"
        )

    def _pearson(self, y: np.ndarray, a: np.ndarray, mean: np.ndarray) -> float:
        """The mean of a (y - mu)^2 / V(mu)."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            return float(np.mean(a * (y - mean) ** 2 / self.variance_function(mean)))

    def cdf(self, data: Observed, eta: np.ndarray, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(Y <= y), twice."""
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            below = self.below(data.y, self.mean(eta, tau), data.weights / self.dispersion(tau))
        return below, below

    @abstractmethod
    def below(self, y: np.ndarray, mean: np.ndarray, precision: np.ndarray) -> np.ndarray:
        """P(Y <= y) (n,), precision a/phi."""
