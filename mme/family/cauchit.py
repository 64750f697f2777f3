"""The Cauchy distribution as a link of probabilities: p = 1/2 + arctan(eta)/pi, each tail by its own arctangent."""

from __future__ import annotations

import numpy as np

from mme.family.probability import Probability
from mme.numeric.kept import kept


class Cauchit(Probability):
    """p = arg(i - eta) / pi."""

    @kept
    def p(self) -> np.ndarray:
        """1/2 + arctan(eta)/pi."""
        return np.arctan2(1.0, -self.eta) / np.pi

    @kept
    def q(self) -> np.ndarray:
        """1/2 - arctan(eta)/pi."""
        return np.arctan2(1.0, self.eta) / np.pi

    def log_p(self, k: int) -> np.ndarray:
        """Log p and its derivatives."""
        return self._log(self.p, self.q, k, 1.0)

    def log_q(self, k: int) -> np.ndarray:
        """Log q and its derivatives."""
        return self._log(self.q, self.p, k, -1.0)

    def slope(self, k: int) -> np.ndarray:
        """1/(pi (1 + eta^2)) and its derivatives."""
        first = 1.0 / (np.pi * self._square)
        if k == 1:
            return first
        return first * (-2.0 * self.eta if k == 2 else (6.0 * self.eta**2 - 2.0) / self._square) / self._square

    @kept
    def _square(self) -> np.ndarray:
        """1 + eta^2."""
        return 1.0 + self.eta**2

    def _log(self, p: np.ndarray, q: np.ndarray, k: int, sign: float) -> np.ndarray:
        """The k-th derivative of log p, where p has the slopes of p times a sign."""
        if k == 0:
            return np.where(p < 0.5, np.log(p), np.log1p(-q))
        a = sign * self.slope(1) / p
        if k == 1:
            return a
        b = sign * self.slope(2) / p
        return b - a * a if k == 2 else sign * self.slope(3) / p - 3.0 * a * b + 2.0 * a**3

    @staticmethod
    def eta_of(p: np.ndarray) -> np.ndarray:
        """-1/tan(pi p)."""
        return -1.0 / np.tan(np.pi * p)
