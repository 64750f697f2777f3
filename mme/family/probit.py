r"""The normal distribution as a link of probabilities, in both of its tails.

With z = |eta|, the hazard m = phi(z)/Q(z) and its excess d = m - z, the derivatives of log Q(z) by -z are
m, -m d and m (d (d + m) - 1). d is 1/z, and the bracket 2/z^4: differences of numbers of order z, which lose the digits
that Laplace's continued fraction keeps:

    d = c_1,    c_k = k / (z + c_{k+1}),    d (d + m) - 1 = d^2 c_2 (c_3 - c_2).
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtri

from mme.family.probability import Probability
from mme.numeric.kept import kept

_ROOT_2, _ROOT_2PI = float(np.sqrt(2.0)), float(np.sqrt(2.0 * np.pi))
# From here on the continued fraction has its digits after so many terms; below, the differences have theirs.
_TAIL, _TERMS = 4.0, 60


class Probit(Probability):
    """p = Phi(eta)."""

    @kept
    def _up(self) -> np.ndarray:
        return self.eta > 0.0

    @kept
    def _density(self) -> np.ndarray:
        """phi(eta)."""
        return np.exp(-0.5 * self.eta**2) / _ROOT_2PI

    @kept
    def _scaled_tail(self) -> np.ndarray:
        """Q(|eta|) / phi(eta)."""
        return 0.5 * _ROOT_2PI * erfcx(np.abs(self.eta) / _ROOT_2)

    @kept
    def _tail(self) -> np.ndarray:
        """Q(|eta|), the smaller of p and q."""
        return self._scaled_tail * self._density

    @kept
    def p(self) -> np.ndarray:
        """Phi(eta)."""
        return np.where(self._up, 1.0 - self._tail, self._tail)

    @kept
    def q(self) -> np.ndarray:
        """Phi(-eta)."""
        return np.where(self._up, self._tail, 1.0 - self._tail)

    def log_p(self, k: int) -> np.ndarray:
        """Log Phi(eta) and its derivatives."""
        return log_ndtr(self.eta) if k == 0 else np.where(self._up, self._of_larger[k - 1], self._of_smaller[k - 1])

    def log_q(self, k: int) -> np.ndarray:
        """Log Phi(-eta) and its derivatives."""
        if k == 0:
            return log_ndtr(-self.eta)
        return (-1) ** k * np.where(self._up, self._of_smaller[k - 1], self._of_larger[k - 1])

    def slope(self, k: int) -> np.ndarray:
        """phi(eta), -eta phi(eta), (eta^2 - 1) phi(eta)."""
        return self._density * (1.0 if k == 1 else -self.eta if k == 2 else self.eta**2 - 1.0)

    @kept
    def _of_larger(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of the logarithm of the larger of p and q, by what makes it larger."""
        m = self._density / (1.0 - self._tail)
        d = np.abs(self.eta) + m
        return m, -m * d, m * (d * (d + m) - 1.0)

    @kept
    def _of_smaller(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivatives of the logarithm of the smaller of p and q, by what makes it larger."""
        z, m = np.abs(self.eta), 1.0 / self._scaled_tail
        d = m - z
        bracket = d * (d + m) - 1.0
        far = np.flatnonzero(z > _TAIL)
        if far.size:
            c1, c2, c3 = _fraction(z[far])
            d[far], bracket[far] = c1, c1 * c1 * c2 * (c3 - c2)
        return m, -m * d, m * bracket

    @staticmethod
    def eta_of(p: np.ndarray) -> np.ndarray:
        """The quantile."""
        return ndtri(p)


def _fraction(z: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c_1, c_2 and c_3 (n,)."""
    c = np.zeros((3, z.size))
    for k in range(_TERMS, 0, -1):
        c[1:], c[0] = c[:-1].copy(), k / (z + c[0])
    return c[0], c[1], c[2]
