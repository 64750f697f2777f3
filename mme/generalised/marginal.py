r"""The mean of a new level: the mean given b, integrated over b, which is of one dimension in eta.

    m = E mu(eta + s v),    v ~ N(0, 1),    eta = x'beta + offset,    s^2 = sum_t z_t'G_t z_t

by the trapezoidal rule on a grid of width h. For a mean whose nearest singularity stands d off the real axis of eta it
errs by exp(-2 pi d / (s h)) (Trefethen and Weideman 2014, SIAM Review 56:385): h follows s, and so do all digits; rules
of Gauss and Hermite take hundreds of points for them where s is large.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mme.errors import MMEError
from mme.numeric.limits import limits

# The density of v beyond so many standard deviations is below the last digit.
_TAIL = 8.5
# 2 pi / (h s) with the singularity of the Cauchy link, d = 1, at 16 digits; and the widest h, by that of the density.
_WIDTH, _WIDEST = 2.0 * np.pi / 37.0, 0.5
# Widths are rounded to a half power of two, so that records of alike s share a grid.
_PER_OCTAVE = 2.0
# Links whose mean has a pole at zero.
_POLES = ("inverse", "1/mu^2")


class MeanOfEta(Protocol):
    """A function of eta and of a family's parameters: its mean, or what else lies between bounds."""

    @property
    def name(self) -> str:
        """The name of the family."""

    @property
    def link(self) -> str:
        """``"identity"`` and ``"log"`` have integrals in closed form."""

    def mean(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Its values (n,)."""

    def mean_slope(self, eta: np.ndarray, tau: np.ndarray) -> np.ndarray:
        """Its slopes by eta (n,)."""


@dataclass(frozen=True, eq=False)
class MarginalMeans:
    """m (n,), and its derivatives by eta and by s^2 (n,)."""

    mean: np.ndarray
    by_eta: np.ndarray
    by_variance: np.ndarray


def marginal_means(
    family: MeanOfEta, eta: np.ndarray, variance: np.ndarray, tau: np.ndarray, *, growth: float = 1.0
) -> MarginalMeans:
    """Integrate over N(eta, variance), record by record, what grows no faster than exp(``growth`` eta).

    Raises
    ------
    MMEError
        The mean is not defined for all eta: the integral does not exist.
    """
    s = np.sqrt(variance)
    if family.link == "identity":
        return MarginalMeans(eta.copy(), np.ones(eta.size), np.zeros(eta.size))
    if family.link == "log":
        mean = np.exp(eta + 0.5 * variance)
        return MarginalMeans(mean, mean, 0.5 * mean)
    has_pole = family.link in _POLES
    if has_pole and (eta < (_TAIL + 1.0) * s).any():
        raise _no_average(family, "is infinite where eta is zero")
    out = np.array([family.mean(eta, tau), family.mean_slope(eta, tau), np.zeros(eta.size)])
    wide = np.full(eta.size, np.nan)
    bends = np.zeros(s.size) if has_pole else s  # a pole so far off bends nothing, whatever the unit of eta
    with np.errstate(divide="ignore"):
        wide[s > 0.0] = np.floor(_PER_OCTAVE * np.log2(np.minimum(_WIDEST, _WIDTH / bends[s > 0.0])))
    for octave in np.unique(wide[~np.isnan(wide)]).tolist():
        here = np.flatnonzero(wide == octave)
        # what grows like exp(growth eta) has its weight around v = growth s
        reach = _TAIL + growth * float(bends[here].max())
        h = 2.0 ** (octave / _PER_OCTAVE)
        v = h * np.arange(-np.ceil(reach / h), np.ceil(reach / h) + 1.0)
        step = max(1, limits().solved_numbers // v.size)
        for first in range(0, here.size, step):
            cut = here[first : first + step]
            out[:, cut] = _integrated(family, eta[cut], s[cut], v, h, tau)
    if np.isnan(out[:, ~np.isnan(eta)]).any():
        raise _no_average(family, "is not defined where eta is negative")
    return MarginalMeans(*out)


def _no_average(family: MeanOfEta, why: str) -> MMEError:
    return MMEError(
        f"the mean of the {family.name} family with link '{family.link}' {why}, and the normal distribution of b puts "
        "weight there: an average over b does not exist. Use a log link, or random=False"
    )


def _integrated(
    family: MeanOfEta, eta: np.ndarray, s: np.ndarray, v: np.ndarray, h: float, tau: np.ndarray
) -> np.ndarray:
    """m, dm/deta and dm/ds^2 = (1 / 2s) integral of mu' v, (3, n)."""
    weight = h * np.exp(-0.5 * v * v) / np.sqrt(2.0 * np.pi)
    at = (eta[:, None] + s[:, None] * v).ravel()
    mean = family.mean(at, tau).reshape(eta.size, v.size)
    slope = family.mean_slope(at, tau).reshape(mean.shape)
    # the rule's own sum of weights is one to the last digit
    return np.array([mean @ weight, slope @ weight, slope @ (weight * v) / (2.0 * s)])
