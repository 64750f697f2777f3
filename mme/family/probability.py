r"""Links of probabilities: log p and log q, q = 1 - p, as functions of eta, with three derivatives of each.

Both are made, for 1 - p has no digits where p is near one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from mme.numeric.kept import kept

# exp(this) is a number, and so is its inverse.
_FAR = 700.0


class Probability(ABC):
    """p (n,) at eta (n,) and what is made of it, each when it is asked for; what several of them share is made once."""

    def __init__(self, eta: np.ndarray) -> None:
        self.eta = eta

    @property
    @abstractmethod
    def p(self) -> np.ndarray:
        """p."""

    @property
    @abstractmethod
    def q(self) -> np.ndarray:
        """1 - p."""

    @abstractmethod
    def log_p(self, k: int) -> np.ndarray:
        """The k-th derivative of log p, k = 0 to 3."""

    @abstractmethod
    def log_q(self, k: int) -> np.ndarray:
        """The k-th derivative of log q, k = 0 to 3."""

    @abstractmethod
    def slope(self, k: int) -> np.ndarray:
        """The k-th derivative of p, k = 1 to 3."""

    @staticmethod
    @abstractmethod
    def eta_of(p: np.ndarray) -> np.ndarray:
        """Eta at p, strictly between 0 and 1."""


class Logit(Probability):
    """p = 1 / (1 + exp(-eta)), q = exp(-eta) p: one exponential."""

    @kept
    def _e(self) -> np.ndarray:
        """exp(-eta), within the range of doubles."""
        e = np.negative(self.eta)
        if self._far:
            np.clip(e, -_FAR, _FAR, out=e)
        return np.exp(e, out=e)

    @kept
    def _far(self) -> bool:
        if float(np.vdot(self.eta, self.eta)) <= _FAR**2:
            return False
        return bool(self.eta.max(initial=0.0) > _FAR or self.eta.min(initial=0.0) < -_FAR)

    @kept
    def p(self) -> np.ndarray:
        """1 / (1 + exp(-eta))."""
        p = 1.0 + self._e
        return np.reciprocal(p, out=p)

    @kept
    def q(self) -> np.ndarray:
        """exp(-eta) p."""
        return self._e * self.p

    @kept
    def pq(self) -> np.ndarray:
        """p q."""
        return self.p * self.q

    def log_p(self, k: int) -> np.ndarray:
        """-log(1 + exp(-eta)), q, -p q, -p q (q - p)."""
        if k == 0:
            log = np.log1p(self._e)
            np.negative(log, out=log)
            return log + np.minimum(self.eta + _FAR, 0.0) if self._far else log
        return self.q if k == 1 else -self.pq if k == 2 else self._third

    def log_q(self, k: int) -> np.ndarray:
        """-log(1 + exp(eta)), -p, -p q, -p q (q - p)."""
        if k == 0:
            log = np.reciprocal(self._e)
            np.log1p(log, out=log)
            np.negative(log, out=log)
            return log - np.maximum(self.eta - _FAR, 0.0) if self._far else log
        return -self.p if k == 1 else -self.pq if k == 2 else self._third

    def slope(self, k: int) -> np.ndarray:
        """p q, p q (q - p), p q (1 - 6 p q)."""
        return self.pq if k == 1 else -self._third if k == 2 else self.pq * (1.0 - 6.0 * self.pq)

    @kept
    def _third(self) -> np.ndarray:
        out = self.p - self.q
        out *= self.pq
        return out

    @staticmethod
    def eta_of(p: np.ndarray) -> np.ndarray:
        """log(p/q)."""
        return np.log(p) - np.log1p(-p)
