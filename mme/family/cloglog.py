r"""The complementary log-log link: p = 1 - exp(-r), r = exp(eta), the probability of an event at rate r.

log q = -r is its own derivatives. g = d log p / d eta = r / (exp(r) - 1) has the derivatives g (v - r) with v = 1 - g,
and g (v - r) (v - r - g) - g r; v = r/2 - r^2/12 + ... is taken from Bernoulli's series where g is near one.
"""

from __future__ import annotations

import numpy as np

from mme.family.probability import Probability
from mme.numeric.kept import kept

# exp(-r) is a number; where the series is taken; its terms B_2k / (2k)!.
_LARGEST, _SMALL = 700.0, 1.0
_BERNOULLI = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
    43867 / 5109094217170944000,
)


class CLogLog(Probability):
    """p = 1 - exp(-exp(eta))."""

    @kept
    def rate(self) -> np.ndarray:
        """r."""
        with np.errstate(over="ignore"):
            return np.exp(self.eta)

    @kept
    def _r(self) -> np.ndarray:
        """The rate; beyond the range of exponentials its end, where p is one in all digits."""
        return np.minimum(self.rate, _LARGEST)

    @kept
    def p(self) -> np.ndarray:
        """1 - exp(-r)."""
        return -np.expm1(-self._r)

    @kept
    def q(self) -> np.ndarray:
        """exp(-r)."""
        return np.exp(-self.rate)

    def log_p(self, k: int) -> np.ndarray:
        """log(1 - exp(-r)), g, g (v - r), ..."""
        if k == 0:
            with np.errstate(divide="ignore"):
                return np.where(self._r < 0.7, np.log(self.p), np.log1p(-np.exp(-self._r)))
        if k == 1:
            return self._g
        second = self._g * self._v_less_r
        return second if k == 2 else second * (self._v_less_r - self._g) - self._g * self._r

    def log_q(self, k: int) -> np.ndarray:
        """-r."""
        return -self.rate

    def slope(self, k: int) -> np.ndarray:
        """r exp(-r) and its derivatives."""
        r = self._r
        first = r * np.exp(-r)
        return first if k == 1 else first * (1.0 - r if k == 2 else 1.0 - 3.0 * r + r * r)

    @kept
    def _g(self) -> np.ndarray:
        r = np.maximum(self._r, np.finfo(float).tiny)
        return r / np.expm1(r)

    @kept
    def _v_less_r(self) -> np.ndarray:
        r = np.minimum(self._r, _SMALL)
        square, total = r * r, np.zeros(r.shape)
        for coefficient in reversed(_BERNOULLI):
            total = total * square + coefficient
        return np.where(self._r < _SMALL, -0.5 * r - square * total, 1.0 - self._g - self._r)

    @staticmethod
    def eta_of(p: np.ndarray) -> np.ndarray:
        """log(-log(1 - p))."""
        return np.log(-np.log1p(-p))
