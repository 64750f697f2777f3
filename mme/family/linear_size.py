r"""Negative binomial counts whose variance is mu (1 + alpha): their size is r = mu / alpha = exp(eta - tau).

With D_j = psi_j(y + r) - psi_j(r) of the polygamma functions and L = log(1 + alpha),

    slope = r (D_0 - L)      W_o = -slope - r^2 D_1      dW_o = W_o - 2 r^2 D_1 - r^3 D_2
    by tau, r held:  log f: (y - mu)/(1 + alpha)     slope: -mu/(1 + alpha)     W_o: mu/(1 + alpha);   r moves as -eta.

W_e = -r^2 E D_1 has no closed form. It and its derivatives are sums over y, upwards and downwards from the mode:

    dW_e = 2 W_e - r^3 E D_2 - r^2 E(D_1 slope),      dW_e/dtau = -dW_e - r^2 E(D_1 (y - mu))/(1 + alpha).
"""

from __future__ import annotations

import numpy as np

from mme.family import saddle
from mme.family.base import ByParameter, Density, Observed
from mme.family.probability import Logit
from mme.family.quadratic_size import Mixed
from mme.numeric.kept import kept
from mme.numeric.kernels import kernel
from mme.numeric.limits import limits

# Counts of a greater standard deviation, with a mean this many of them above zero twice, are integrated.
_WIDE, _REACH = 50.0, 10.0
# Of a greater standard deviation near zero, counts from here on are integrated over their logarithm, by this rule on
# panels of such a width at most, as far as the density is this power of e below its highest.
_FIRST_COUNTS, _NODES, _PANEL, _BELOW = 64, 8, 0.5, 46.0
# Nodes of a record at most, about.
_MOST_NODES = 500
# What one count takes, in steps of other loops.
_EACH = 10.0


class LinearDensity(Density):
    """log f and its derivatives."""

    def __init__(self, data: Observed, eta: np.ndarray, log_alpha: float, *, estimated: bool) -> None:
        self.data, self.estimated, self.log_alpha = data, estimated, log_alpha
        self.alpha = float(np.exp(log_alpha))
        self.L = float(np.log1p(self.alpha))
        with np.errstate(over="ignore"):
            self.mean = np.exp(eta)
            self.r = np.maximum(self.mean / self.alpha, np.finfo(float).tiny)

    @kept
    def value(self) -> np.ndarray:
        """log f."""
        mixed = Mixed(self.data.y, self.r, Logit(np.full(self.r.shape, self.log_alpha)))
        return self.data.weights * (mixed.highest - mixed.half_deviance)

    @kept
    def slope(self) -> np.ndarray:
        """r (D_0 - L); of small r, where D_0 is 1/r, by the differences from r + 1."""
        near = (self.data.y > 0.0) + self.r * (self._from_next[0] - self.L)
        far = self.r * (np.log1p(self.data.y / self.r) - self.L + rest(self.data.y, self.r))
        straight = np.where(np.abs(self._u) < 1.0, self._residual - self._bent, far)
        return self.data.weights * np.where(self.r < 1.0, near, straight)

    @kept
    def _residual(self) -> np.ndarray:
        """(y - mu) / (1 + alpha)."""
        return (self.data.y - self.mean) / (1.0 + self.alpha)

    @kept
    def _u(self) -> np.ndarray:
        """(y - mu) / (r (1 + alpha)): log(y + r) - log r - L is log(1 + u)."""
        return self._residual / self.r

    @kept
    def _bent(self) -> np.ndarray:
        """(y - mu)/(1 + alpha) less the slope: r (u - log(1 + u)) less what remainders add."""
        return self.r * (saddle.excess(np.log1p(self._u)) - rest(self.data.y, self.r))

    @kept
    def _from_next(self) -> list[np.ndarray]:
        """psi_j(y + r) - psi_j(r + 1), j = 0, 1, 2; zero where y is."""
        y = self.data.y
        return [difference(np.maximum(y - 1.0, 0.0), np.where(y > 0.0, self.r + 1.0, self.r), j) for j in range(3)]

    @kept
    def observed(self) -> np.ndarray:
        """-r (D_0 - L) - r^2 D_1, with D of r + 1: those of r add 1 and -1."""
        D0, D1, _ = self._from_next
        return -self.data.weights * (self.r * (D0 - self.L) + self.r**2 * D1)

    @kept
    def observed_slope(self) -> np.ndarray:
        """-r (D_0 - L) - 3 r^2 D_1 - r^3 D_2, with D of r + 1."""
        D0, D1, D2 = self._from_next
        return -self.data.weights * (self.r * (D0 - self.L) + 3.0 * self.r**2 * D1 + self.r**3 * D2)

    @kept
    def expected(self) -> np.ndarray:
        """-r^2 E D_1."""
        return -self.data.weights * (self.r**2 * self._means[0])

    @kept
    def expected_slope(self) -> np.ndarray:
        """2 W_e - r^3 E D_2 - r^2 E(D_1 slope)."""
        r, (_, second, with_slope, _) = self.r, self._means
        return 2.0 * self.expected - self.data.weights * (r**3 * second + r**2 * with_slope)

    @property
    def by_parameters(self) -> tuple[ByParameter, ...]:
        """By log alpha."""
        if not self.estimated:
            return ()
        a = self.data.weights
        near = (self.r < 1.0) | (np.abs(self._u) > 1.0)
        value = np.where(near, a * self._residual - self.slope, a * self._bent)
        mean = a * (self.mean / (1.0 + self.alpha))
        return (ByParameter(value, self.observed - mean, mean - self.observed_slope, self._expected_by_alpha),)

    def _expected_by_alpha(self) -> np.ndarray:
        """dW_e / dtau."""
        return -self.expected_slope - self.data.weights * (self.r**2 * self._means[3] / (1.0 + self.alpha))

    @kept
    def _means(self) -> np.ndarray:
        """E D_1, E D_2, E(D_1 slope) and E(D_1 (y - mu)) (4, n)."""
        out = np.zeros((4, self.r.size))
        sd = np.sqrt(self.mean * (1.0 + self.alpha))
        wide = (sd > _WIDE) & (self.mean > 2.0 * _REACH * sd)
        narrow = sd <= _WIDE
        ways = ((narrow, self._summed), (wide, self._integrated), (~wide & ~narrow, self._by_logarithm))
        for chosen, means in ways:
            step = limits().solved_numbers // _MOST_NODES
            rows = np.flatnonzero(chosen)
            for first in range(0, rows.size, step):
                cut = rows[first : first + step]
                out[:, cut] = means(self.r[cut], self.mean[cut], sd[cut])
        return out

    def _summed(self, r: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """Over all counts, by recurrences from the mode."""
        mode = np.floor(np.maximum(mean - self.alpha, 0.0))
        D = np.array([difference(mode, r, j) for j in range(3)])
        out = np.zeros((4, r.size))
        steps = float(np.sum(50.0 + 40.0 * self.alpha + 20.0 * sd))
        kernel(sum_over_counts, int(_EACH * steps))(mode, self._probability(mode, r), D, r, self.alpha, out)
        return out

    def _integrated(self, r: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """Over nodes a quarter of a standard deviation apart: sums of what is smooth and near normal."""
        t = np.arange(-_REACH, _REACH + 0.1, 0.25)[:, None]
        return self._terms(mean + sd * t, r, mean, 0.25 * sd).sum(axis=1)

    def _by_logarithm(self, r: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
        """The first counts one by one, all others by the integral from a half before them, less its first correction.

        In log y the density is as smooth near zero as far off.
        """
        few = np.arange(_FIRST_COUNTS + 1.0)[:, None]
        each = self._terms(few, r, mean, 1.0)
        total = each[:, :-1].sum(axis=1) + (each[:, -1] - each[:, -2]) / 24.0
        low = np.maximum(np.log(mean) - _BELOW / r - 1.0, np.log(_FIRST_COUNTS - 0.5))
        high = np.log(mean + _REACH * sd + _BELOW * (1.0 + self.alpha))
        panels = int(np.ceil(np.max((high - low) / np.minimum(_PANEL, 2.0 / np.sqrt(r)))))
        node, weight = np.polynomial.legendre.leggauss(_NODES)
        middle = (np.arange(panels)[:, None] + 0.5 * (node + 1.0)).ravel()[:, None] / panels
        y = np.exp(low + (high - low) * middle)
        return np.asarray(
            total
            + self._terms(y, r, mean, np.tile(0.5 * weight, panels)[:, None] * y * (high - low) / panels).sum(axis=1)
        )

    def _terms(self, y: np.ndarray, r: np.ndarray, mean: np.ndarray, weight: np.ndarray | float) -> np.ndarray:
        """D_1, D_2, D_1 slope and D_1 (y - mu) times f at these counts and a weight (4, counts, n)."""
        y, r = np.broadcast_to(y, (len(y), r.size)), np.broadcast_to(r, (len(y), r.size))
        D0, D1, D2 = (difference(y, r, j) for j in range(3))
        f = self._probability(y, r) * weight
        return np.array([f * part for part in (D1, D2, D1 * r * (D0 - self.L), D1 * (y - mean))])

    def _probability(self, y: np.ndarray, r: np.ndarray) -> np.ndarray:
        mixed = Mixed(y, r, Logit(np.full(r.shape, self.log_alpha)))
        return np.exp(mixed.highest - mixed.half_deviance)


def difference(y: np.ndarray, r: np.ndarray, j: int) -> np.ndarray:
    """psi_j(y + r) - psi_j(r), j = 0, 1, 2: by remainders, for the functions of a large r leave no digits."""
    s = y + r
    share = y / (r * s)  # 1/r - 1/s
    if j == 0:
        return np.log1p(y / r) + rest(y, r)
    of_remainders = saddle.remainder(s, j + 1) - saddle.remainder(r, j + 1)
    if j == 1:
        return of_remainders - share - 0.5 * share * (1.0 / r + 1.0 / s)
    return of_remainders + share * (1.0 / r + 1.0 / s) + share * (1.0 / r**2 + 1.0 / (r * s) + 1.0 / s**2)


def rest(y: np.ndarray, r: np.ndarray) -> np.ndarray:
    """psi(y + r) - psi(r) less log(y + r) - log r."""
    s = y + r
    return 0.5 * (y / (r * s)) + saddle.remainder(s, 1) - saddle.remainder(r, 1)


def sum_over_counts(
    mode: np.ndarray, f: np.ndarray, D: np.ndarray, r: np.ndarray, alpha: float, out: np.ndarray
) -> None:
    """Sums over y of f times D_1, D_2, D_1 slope and D_1 (y - mu), by the recurrences of f and of D."""
    p, L = alpha / (1.0 + alpha), np.log1p(alpha)
    for i in range(r.size):
        mean = r[i] * alpha
        for up in range(2):
            y, g, d0, d1, d2 = mode[i], f[i], D[0, i], D[1, i], D[2, i]
            at_mode = g
            first = up == 0
            while g > 1e-18 * at_mode and g > 0.0:
                if not first:
                    out[0, i] += g * d1
                    out[1, i] += g * d2
                    out[2, i] += g * d1 * r[i] * (d0 - L)
                    out[3, i] += g * d1 * (y - mean)
                first = False
                if up == 1:
                    s = y + r[i]
                    g *= s / (y + 1.0) * p
                    d0, d1, d2 = d0 + 1.0 / s, d1 - 1.0 / s**2, d2 + 2.0 / s**3
                    y += 1.0
                else:
                    if y == 0.0:
                        break
                    y -= 1.0
                    s = y + r[i]
                    g *= (y + 1.0) / (s * p)
                    d0, d1, d2 = d0 - 1.0 / s, d1 + 1.0 / s**2, d2 - 2.0 / s**3
