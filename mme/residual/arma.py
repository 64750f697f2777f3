"""Autoregression with a moving average, ARMA(1, 1), on whole-numbered times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.lapack import cholesky
from mme.numeric.scales import fisher
from mme.residual.base import Bound, Column
from mme.residual.occasions import OverOccasions, read_occasions
from mme.residual.patterns import build_patterns
from mme.residual.reading import Labels, Reader
from mme.residual.rstructure import RStructure

# More steps than this would make the matrix of all times too large.
_MOST = 3000
# Fisher's z of phi at which other valleys may be; and of theta along the lines z_theta = c - z_phi / 2, on which gamma
# goes from phi near one to its limit: 1 / (1 + exp(-4 c)), less one at the end -1.
_ELSEWHERE, _SHARES = (-2.0, -0.7, 0.7, 2.0), (-0.5, 0.0, 0.5)
# What the predecessors leave of a time is known to this share of it.
_ROUNDING = 1e-14


@dataclass(frozen=True, eq=False, repr=False)
class ARMA(RStructure):
    r"""ARMA(1, 1): e_t = phi e_t-1 + a_t + theta a_t-1, so that corr(e_s, e_t) = gamma phi^(|t - s| - 1).

        gamma = (1 + phi theta)(phi + theta) / (1 + 2 phi theta + theta^2),    -1 < phi, theta < 1

    nlme's ``corARMA(p = 1, q = 1)`` (Pinheiro & Bates, 2000, section 5.3.1), SAS ``TYPE=ARMA(1,1)`` (rho is phi).

    Parameters
    ----------
    time : str or (n,) array
        Times a whole number of steps apart, each once a group, with gaps; or categories whose order is declared.
    group : str or (n,) array
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.

    Notes
    -----
    Coordinates: Fisher's z of phi and of theta. With theta = -phi nothing is correlated, whatever phi.

    Examples
    --------
    >>> R = ARMA([1, 2, 3, 4], ["a"] * 4).bind(np.asarray, 4)
    >>> R.covariance(R.coordinates(np.array([0.5, 0.0])), np.arange(3))
    array([[1.  , 0.5 , 0.25],
           [0.5 , 1.  , 0.5 ],
           [0.25, 0.5 , 1.  ]])
    """

    time: Any
    group: Any

    def bind(self, column: Column, n: int) -> Bound:
        """Read the times and groups."""
        reader = Reader("ARMA", column, n)
        groups = reader.labels(self.group, "group")
        times, title = reader.steps(self.time, "time", groups)
        steps = np.rint(times - times.min())
        if np.abs(times - times.min() - steps).max() > 1e-6:
            raise reader.error(f"{title} must be whole numbers of steps; use Exponential, which takes any times")
        T = int(steps.max()) + 1
        if T > _MOST:
            raise reader.error(f"{title} spans {T:,} steps, beyond {_MOST:,}; use AR1, or Exponential with a nugget")
        labels = Labels(steps.astype(np.int64), [f"{t:g}" for t in np.linspace(times.min(), times.max(), T)], title)
        present = read_occasions(reader, labels, groups)
        lags = {int(lag) for row in np.unique(present, axis=0) for lag in np.diff(np.flatnonzero(row))}
        if present.sum(axis=1).max() < 3 and len(lags) < 2:
            raise reader.error(
                f"all pairs of records in a {groups.title} are {min(lags)} steps apart: phi and theta "
                "cannot be told apart; use AR1"
            )
        patterns = build_patterns(groups.codes, labels.codes, present)
        return BoundARMA(n, ("phi", "theta"), groups.codes, labels.codes, patterns, T)


@dataclass(frozen=True, eq=False)
class BoundARMA(OverOccasions):
    """ARMA(1, 1) with its columns read, ``occasions`` its steps."""

    @property
    def kind(self) -> str:
        """With its orders."""
        return "ARMA(1, 1)"

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """phi 0.5, theta -0.2: neighbours correlated by 0.3."""
        return np.arctanh([0.5, -0.2])

    @property
    def intrinsic(self) -> list[np.ndarray]:
        """To equal correlations, phi = 1 and theta = -1, and to those of alternating signs, phi = -1 and theta = 1."""
        return [np.array([1.0, -0.5]), np.array([-1.0, 0.5])]

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Correlations gamma phi^(lag - 1) of both signs of phi, near one or not, with gamma of several sizes."""
        return [np.array([z, half - 0.5 * z]) for z in _ELSEWHERE for half in _SHARES]

    def radius(self) -> np.ndarray:
        """Half: a correlation may be made by either."""
        return np.full(2, 0.5)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return phi and theta."""
        return fisher(x)[0]

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Where the process is stationary, and invertible."""
        return ((-1.0, 1.0),) * 2

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Fisher's z of both."""
        return np.asarray(np.arctanh(natural))

    def root(self, x: np.ndarray) -> np.ndarray:
        """The Cholesky factor of the correlations."""
        C = self._by_lag(self._correlations(x))
        L, failed = cholesky(C)
        if not failed:
            return np.asarray(L)
        values, V = np.linalg.eigh(C)
        return np.asarray(V * np.sqrt(np.maximum(values, _ROUNDING * values[-1])))

    def matrix_slopes(self, x: np.ndarray) -> np.ndarray:
        """gamma phi^(lag - 1), differentiated."""
        (phi, theta), left = fisher(x)[0], fisher(x)[1] ** 2
        lag = np.arange(1, self.T)
        below = 1.0 + 2.0 * phi * theta + theta**2
        gamma = (1.0 + phi * theta) * (phi + theta) / below
        by_phi = (theta * (phi + theta) + 1.0 + phi * theta - 2.0 * theta * gamma) / below
        by_theta = (phi * (phi + theta) + 1.0 + phi * theta - 2.0 * (phi + theta) * gamma) / below
        power, less = phi ** (lag - 1.0), (lag - 1.0) * phi ** np.maximum(lag - 2.0, 0.0)
        rows = np.array([by_phi * power + gamma * less, by_theta * power]) * left[:, None]
        return np.array([self._by_lag(np.append(0.0, row)) for row in rows])

    def _correlations(self, x: np.ndarray) -> np.ndarray:
        """By lag, from zero (T,); 1 + 2 phi theta + theta^2 is (phi + theta)^2 + 1 - phi^2."""
        (phi, theta), left = fisher(x)[0], fisher(x)[1]
        gamma = (1.0 + phi * theta) * (phi + theta) / max((phi + theta) ** 2 + left[0] ** 2, 1e-300)
        return np.append(1.0, gamma * phi ** np.arange(self.T)[:-1])

    def _by_lag(self, row: np.ndarray) -> np.ndarray:
        """The symmetric Toeplitz matrix (T, T) of correlations by lag (T,)."""
        place = np.arange(self.T)
        return np.asarray(row[np.abs(np.subtract.outer(place, place))])
