"""Ante-dependence: a correlation of its own between each occasion and the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.numeric.scales import clipped_log_sd, fisher
from mme.residual.base import Bound, Column
from mme.residual.occasions import OverOccasions, read_occasions
from mme.residual.patterns import build_patterns
from mme.residual.reading import Reader
from mme.residual.rstructure import RStructure
from mme.tables.names import first_unlike, quoted

_START = 0.3


@dataclass(frozen=True, eq=False, repr=False)
class AnteDependence(RStructure):
    r"""Ante-dependence of order one: corr(e_i, e_j) = rho_i rho_i+1 ... rho_j-1, and a variance of each occasion.

    Each occasion depends on the one before it, by a correlation of its own. SAS ``TYPE=ANTE(1)``, mmrm's ``adh``
    (Kenward 1987, Appl. Statist. 36:296-308).

    Parameters
    ----------
    occasion : str or (n,) array
        Occasions in the order of their numbers, or as categories declare it; each at most once a group.
    group : str or (n,) array
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.

    Notes
    -----
    Coordinates: Fisher's z of each rho, then the logarithms of the ratios of standard deviations to the first.

    Examples
    --------
    >>> R = AnteDependence([1, 2, 3] * 2, ["a"] * 3 + ["b"] * 3).bind(np.asarray, 6)
    >>> R.names
    ('rho.2.1', 'rho.3.2', 'sd.2/sd.1', 'sd.3/sd.1')
    >>> R.covariance(R.coordinates(np.array([0.5, -0.4, 1.0, 2.0])), np.arange(3))
    array([[ 1. ,  0.5, -0.4],
           [ 0.5,  1. , -0.8],
           [-0.4, -0.8,  4. ]])
    """

    occasion: Any
    group: Any

    def bind(self, column: Column, n: int) -> Bound:
        """Read the occasions and groups."""
        reader = Reader("AnteDependence", column, n)
        groups = reader.labels(self.group, "group")
        occasions = reader.occasions(self.occasion, "occasion", groups)
        present = read_occasions(reader, occasions, groups)
        reader.doubt(occasions, groups)
        _require_neighbours(reader, present, occasions.levels, groups.title)
        patterns = build_patterns(groups.codes, occasions.codes, present)
        names = first_unlike(map(_names, (occasions.levels, quoted(occasions.levels))))
        return BoundAnteDependence(n, names, groups.codes, occasions.codes, patterns, occasions.J)


def _names(levels: list[str]) -> tuple[str, ...]:
    correlations = [f"rho.{after}.{before}" for before, after in pairwise(levels)]
    return (*correlations, *(f"sd.{label}/sd.{levels[0]}" for label in levels[1:]))


def _require_neighbours(reader: Reader, present: np.ndarray, levels: list[str], group: str) -> None:
    """Refuse an occasion that no group shares with an earlier one and a later one with none: its rho is unknown."""
    for j in range(1, len(levels)):
        if not (present[:, :j].any(axis=1) & present[:, j:].any(axis=1)).any():
            raise reader.error(
                f"no {group} has records both before '{levels[j]}' and from it on, so that the correlation of "
                f"'{levels[j - 1]}' and '{levels[j]}' cannot be estimated"
            )


@dataclass(frozen=True, eq=False)
class BoundAnteDependence(OverOccasions):
    """Ante-dependence with its columns read."""

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Neighbours correlated by 0.3; standard deviations are those of the residuals."""
        ratios = np.zeros(self.T - 1)
        if residual is not None:
            square = np.bincount(self.occasions, residual**2, minlength=self.T) / np.bincount(self.occasions)
            if square.min() > 0.0:
                ratios = np.clip(0.5 * np.log(square[1:] / square[0]), -4.0, 4.0)
        return np.append(np.full(self.T - 1, np.arctanh(_START)), ratios)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Correlations of neighbours, ratios of standard deviations."""
        return np.append(self._neighbours(x)[0], self._sd(x)[1:])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """Correlations', and ratios are positive."""
        return ((-1.0, 1.0),) * (self.T - 1) + ((0.0, np.inf),) * (self.T - 1)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Fisher's z and logarithms."""
        values = np.asarray(natural, dtype=float)
        if not (np.abs(values[: self.T - 1]) < 1.0).all():
            raise MMEError("AnteDependence: correlations lie between -1 and 1")
        return np.append(np.arctanh(values[: self.T - 1]), np.log(values[self.T - 1 :]))

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """Logarithm of the ratio of each record's occasion."""
        return np.asarray(np.log(self._sd(x))[self.occasions])

    def root(self, x: np.ndarray) -> np.ndarray:
        """diag(sd) L: L_ij = rho_j+1 ... rho_i times what the one before j leaves of it."""
        left = np.append(1.0, self._neighbours(x)[1])
        return np.asarray(self._sd(x)[:, None] * np.tril(self._correlations(x)) * left)

    def matrix_slopes(self, x: np.ndarray) -> np.ndarray:
        """The correlations across a step without its rho, times 1 - rho^2; rows and columns of each sd."""
        T, unexplained = self.T, self._neighbours(x)[1]
        sd, C, at = self._sd(x), self._correlations(x), np.arange(self.T)
        out = np.zeros((self.k, T, T))
        for j in range(T - 1):
            before, after = at <= j, at > j
            across = np.outer(C[j] * before, C[j + 1] * after) * unexplained[j] ** 2
            out[j] = across + across.T
        out[T - 1 + at[1:] - 1, at[1:]] = C[1:]
        out[T - 1 :] += out[T - 1 :].transpose(0, 2, 1)
        return np.asarray(sd[:, None] * out * sd)

    def _neighbours(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Correlations of neighbours (T - 1,), and the roots of what they leave of a variance."""
        return fisher(x[: self.T - 1])

    def _sd(self, x: np.ndarray) -> np.ndarray:
        """Standard deviations relative to the first (T,)."""
        return np.exp(clipped_log_sd(np.append(0.0, x[self.T - 1 :])))

    def _correlations(self, x: np.ndarray) -> np.ndarray:
        """Products of the correlations between (T, T)."""
        rho = self._neighbours(x)[0]
        C = np.eye(self.T)
        for i in range(1, self.T):
            C[i, :i] = C[i - 1, :i] * rho[i - 1]
        return C + np.tril(C, -1).T
