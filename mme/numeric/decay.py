r"""Correlation along one coordinate that decays with distance: rho^lag on whole-numbered places, exp(-lag / range).

Both are Markov chains: with a_i the correlation of a place with the one before it, places are predicted from that one
alone, with variance 1 - a_i^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.numeric.scales import clipped, fisher, log_fisher

# Neighbours at the typical gap are started with this correlation.
_START = 0.3


@dataclass(frozen=True, eq=False)
class Decay:
    """``kind`` is "ar1", rho^lag by x = atanh rho, or "exponential", exp(-lag / range) by x = log(range / gap).

    Examples
    --------
    >>> steps = Decay("ar1", 1.0)
    >>> x = steps.coordinate(-0.5)
    >>> steps.correlation(x, np.array([1.0, 2.0, 3.0])).round(3), steps.left(x, np.array([1.0])).round(3)
    (array([-0.5  ,  0.25 , -0.125]), array([0.75]))
    """

    kind: str
    gap: float

    @property
    def word(self) -> str:
        """What its parameter is called."""
        return "rho" if self.kind == "ar1" else "range"

    @property
    def bounds(self) -> tuple[float, float]:
        """What values the natural parameter can take."""
        return (-1.0, 1.0) if self.kind == "ar1" else (0.0, np.inf)

    def start(self, correlation: float = _START) -> float:
        """The coordinate of this correlation between neighbours."""
        if self.kind == "ar1":
            return float(np.copysign(np.arctanh(abs(correlation) ** (1.0 / self.gap)), correlation))
        return -float(np.log(-np.log(correlation)))

    def natural(self, x: float) -> float:
        """The correlation rho of places one step apart, or the range."""
        at = clipped(np.array(x))
        return float(np.tanh(at) if self.kind == "ar1" else self.gap * np.exp(at))

    def coordinate(self, natural: float) -> float:
        """The x of this parameter."""
        with np.errstate(divide="ignore"):
            return float(np.arctanh(natural) if self.kind == "ar1" else np.log(natural / self.gap))

    def _rate(self, x: float) -> float:
        """Log of the size of the correlation at a distance of one."""
        return log_fisher(float(x)) if self.kind == "ar1" else -1.0 / self.natural(x)

    def correlation(self, x: float, lag: np.ndarray) -> np.ndarray:
        """The correlation at each distance; lags of AR1 are whole numbers."""
        rate = self._rate(x)
        size = np.where(lag == 0.0, 1.0, np.exp(np.where(lag == 0.0, 0.0, rate * np.maximum(lag, 1e-300))))
        return np.where((np.rint(lag) % 2.0 == 1.0) & (x < 0.0), -size, size) if self.kind == "ar1" else size

    def left(self, x: float, lag: np.ndarray) -> np.ndarray:
        """1 - correlation^2 at each distance, without cancellation."""
        return -np.expm1(2.0 * self._rate(x) * lag)

    def slope(self, x: float, lag: np.ndarray) -> np.ndarray:
        """The derivative of the correlation by x."""
        if self.kind == "exponential":
            exponent = -self._rate(x) * lag
            return np.asarray(exponent * np.exp(-exponent))
        rho, unexplained = (float(one) for one in fisher(np.array(x)))
        return np.asarray(lag * np.power(rho, np.maximum(lag - 1.0, 0.0)) * unexplained**2)
