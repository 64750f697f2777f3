"""Variance functions: a standard deviation by stratum, or as a power of a covariate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mme.numeric.scales import clipped_log_sd
from mme.residual.base import Column, Variance
from mme.residual.reading import Reader
from mme.residual.rstructure import RStructure
from mme.residual.sensitivity import Sensitivity

# Moments may start a standard deviation at most this far (in logarithms) from the others.
_FARTHEST_START = 4.0
# Logarithms of standard deviations, a standard deviation of the covariate's apart, at which other valleys may be.
_ELSEWHERE = (-0.7, 0.7)
# A covariate whose logarithm varies less than this is constant but for rounding.
_CONSTANT = 1e-10
# sd at |v| = 1 against sd at the middle of the data: exp(this times x), x of order one.
FARTHEST_FROM_ONE = 50.0


@dataclass(frozen=True, eq=False, repr=False)
class Heterogeneous(RStructure):
    r"""One residual standard deviation for each stratum: sd(e_i) = sigma delta_stratum(i), delta_first = 1.

    nlme's ``varIdent`` (Pinheiro & Bates, 2000, section 5.2.1), SAS ``GROUP=``. Sigma is the standard deviation of
    the first stratum, as categories declare it or in sorted order (nlme: of the first in the data).

    Parameters
    ----------
    stratum : str or (n,) array
        At least two levels.

    Notes
    -----
    Natural parameters: ratios of standard deviations to the first. Coordinates: their logarithms.

    Examples
    --------
    >>> R = Heterogeneous(["f", "m", "m"]).bind(np.asarray, 3)
    >>> R.names, R.whiten(np.log([2.0]), np.ones((1, 3)))
    (('sd.m/sd.f',), array([[1. , 0.5, 0.5]]))
    """

    stratum: Any

    def bind(self, column: Column, n: int) -> BoundHeterogeneous:
        """Read the strata."""
        reader = Reader("Heterogeneous", column, n)
        strata = reader.labels(self.stratum, "stratum")
        if strata.J < 2:
            raise reader.error(
                f"{strata.title} has one level ('{strata.levels[0]}') in the records used; two are needed for "
                "variances to differ"
            )
        if n <= strata.J:
            raise reader.error(
                f"{strata.title} has {strata.J} levels for {n} records: each would have a variance of its own; is it "
                "a covariate? See PowerOfCovariate"
            )
        names = tuple(f"sd.{level}/sd.{strata.levels[0]}" for level in strata.levels[1:])
        return BoundHeterogeneous(n, names, strata.codes)


@dataclass(frozen=True, eq=False)
class BoundHeterogeneous(Variance):
    """Heterogeneous with its column read."""

    codes: np.ndarray

    def on(self, records: np.ndarray) -> BoundHeterogeneous:
        """The same strata."""
        return replace(self, n=records.size, codes=self.codes[records])

    @property
    def is_linear(self) -> bool:
        """In the variances of the strata."""
        return True

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Root mean squares of the residuals by stratum; without residuals all equal."""
        if residual is None:
            return np.zeros(self.k)
        mean_square = np.bincount(self.codes, weights=residual**2) / np.bincount(self.codes)
        if not mean_square.min() > 0.0:
            return np.zeros(self.k)
        return np.clip(0.5 * np.log(mean_square[1:] / mean_square[0]), -_FARTHEST_START, _FARTHEST_START)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return ratios of standard deviations."""
        return np.exp(clipped_log_sd(x))

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Ratios are positive."""
        return ((0.0, np.inf),) * self.k

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return logarithms of the ratios."""
        return np.asarray(np.log(natural))

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the ratio of each record's stratum."""
        return np.asarray(np.append(0.0, clipped_log_sd(x))[self.codes])

    def log_sd_slopes(self, x: np.ndarray) -> np.ndarray:
        """Ones on the records of each stratum but the first (k, n)."""
        return np.equal.outer(np.arange(1, self.k + 1), self.codes).astype(float)

    def score(self, x: np.ndarray, of: Sensitivity) -> np.ndarray:
        """Twice the sum of (S R)_ii by stratum."""
        return 2.0 * np.bincount(self.codes, of.relative, minlength=self.k + 1)[1:]


@dataclass(frozen=True, eq=False, repr=False)
class PowerOfCovariate(RStructure):
    r"""Residual standard deviation proportional to a power of a covariate: sd(e_i) = sigma |v_i|^delta.

    nlme's ``varPower`` (Pinheiro & Bates, 2000, section 5.2.1). delta may be negative; sigma is the standard deviation
    where |v| = 1.

    Parameters
    ----------
    covariate : str or (n,) array
        Numbers other than zero.

    Notes
    -----
    Coordinate: delta times the standard deviation of log|v|.

    Examples
    --------
    >>> R = PowerOfCovariate([1.0, -2.0, 4.0]).bind(np.asarray, 3)
    >>> R.whiten(R.coordinates(np.array([2.0])), np.full((1, 3), 16.0))
    array([[16.,  4.,  1.]])
    """

    covariate: Any

    def bind(self, column: Column, n: int) -> BoundPowerOfCovariate:
        """Read the covariate."""
        reader = Reader("PowerOfCovariate", column, n)
        values, title = reader.numbers(self.covariate, "covariate")
        zeros = int((values == 0.0).sum())
        if zeros:
            raise reader.error(
                f"{title} is zero in {zeros} records, where the standard deviation would be zero or infinite; add a "
                "constant to it or use Heterogeneous"
            )
        logs = np.log(np.abs(values))
        spread = float(np.std(logs))
        if spread < _CONSTANT:
            raise reader.error(f"the size of {title} does not vary: its power cannot be told from sigma")
        if abs(logs.mean()) > FARTHEST_FROM_ONE * spread:
            middle = f"{np.exp(logs.mean()):.4g}"
            raise reader.error(
                f"{title} varies by a factor of only {np.exp(np.ptp(logs)):.4g} about {middle}, so that sigma, the "
                f"standard deviation where it is 1, would leave the range of doubles; divide it by {middle}"
            )
        return BoundPowerOfCovariate(n, ("power",), logs, spread)


@dataclass(frozen=True, eq=False)
class BoundPowerOfCovariate(Variance):
    """PowerOfCovariate with its column read: log|v| and its standard deviation."""

    logs: np.ndarray
    spread: float

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Half the slope of log r^2 on log|v|; zero without residuals."""
        if residual is None or not np.abs(residual).min() > 0.0:
            return np.zeros(1)
        centred = self.logs - self.logs.mean()
        delta = float(centred @ np.log(np.abs(residual)) / (centred @ centred))
        return np.clip([delta * self.spread], -_FARTHEST_START, _FARTHEST_START)

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Weak and strong powers of both signs: beside a correlation or random effects each may have a valley."""
        return [np.array([at]) for at in _ELSEWHERE]

    @property
    def has_one_valley_alone(self) -> bool:
        """Whether the other places are worth an evaluation beside random effects only: yes."""
        return True

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return delta."""
        return np.asarray(x) / self.spread

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return delta in standard deviations of log|v|."""
        return np.asarray(natural, dtype=float) * self.spread

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Return delta log|v|."""
        return clipped_log_sd(float(self.natural(x)[0]) * self.logs)

    def log_sd_slopes(self, x: np.ndarray) -> np.ndarray:
        """log|v| in standard deviations of it (1, n)."""
        return (self.logs / self.spread)[None, :]


@dataclass(frozen=True, eq=False, repr=False)
class ExponentialOfCovariate(RStructure):
    r"""Residual standard deviation exponential in a covariate: sd(e_i) = sigma exp(delta v_i).

    nlme's ``varExp`` (Pinheiro & Bates, 2000, section 5.2.1), SAS ``LOCAL=EXP(v)`` (whose parameter is 2 delta). Sigma
    is the standard deviation where v = 0.

    Parameters
    ----------
    covariate : str or (n,) array
        Numbers.

    Notes
    -----
    Coordinate: delta times the standard deviation of v.

    Examples
    --------
    >>> R = ExponentialOfCovariate([0.0, 1.0, 2.0]).bind(np.asarray, 3)
    >>> R.whiten(R.coordinates(np.array([np.log(2.0)])), np.full((1, 3), 4.0)).round(12)
    array([[4., 2., 1.]])
    """

    covariate: Any

    def bind(self, column: Column, n: int) -> BoundPowerOfCovariate:
        """Read the covariate: a power of exp(v)."""
        reader = Reader("ExponentialOfCovariate", column, n)
        values, title = reader.numbers(self.covariate, "covariate")
        spread = float(np.std(values))
        if spread <= _CONSTANT * np.abs(values).max():
            raise reader.error(f"{title} does not vary: its effect on the variance cannot be told from sigma")
        if abs(values.mean()) > FARTHEST_FROM_ONE * spread:
            raise reader.error(
                f"{title} varies little about {values.mean():.4g}, so that sigma, the standard deviation where it is "
                f"0, would leave the range of doubles; subtract {values.mean():.4g} from it"
            )
        return BoundExponentialOfCovariate(n, ("exponent",), values, spread)


@dataclass(frozen=True, eq=False)
class BoundExponentialOfCovariate(BoundPowerOfCovariate):
    """ExponentialOfCovariate with its column read, as the logarithm of another."""
