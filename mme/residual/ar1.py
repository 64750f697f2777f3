"""First-order autoregression on whole-numbered times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import warn
from mme.numeric.scales import fisher, log_fisher
from mme.residual.base import Bound, Column
from mme.residual.chain import Chain, build_chain, decay
from mme.residual.fields import Axis, read_groups
from mme.residual.reading import Labels, Reader, same_group
from mme.residual.rstructure import RStructure
from mme.tables.times import by_group

# Neighbours are started with this correlation.
_START = 0.3
# Coordinates at which other valleys may be.
_ELSEWHERE = (-2.0, -0.5, 0.5, 2.0)
# Gaps are whole numbers to within this, which leaves room for times that were computed.
_WHOLE = 1e-6


@dataclass(frozen=True, eq=False, repr=False)
class AR1(RStructure):
    r"""Autoregression of order one: corr(e_s, e_t) = rho^|t - s| within a group, -1 < rho < 1.

    Records may come in any order and times may be left out: a gap of g steps is a correlation of rho^g, whose sign
    alternates where rho is negative. O(n) an evaluation. nlme's ``corAR1`` (Pinheiro & Bates, 2000, section 5.3.1),
    SAS ``TYPE=AR(1)``; unlike ``TYPE=AR(1)`` it reads the times, not the order of the records.

    Parameters
    ----------
    time : str or (n,) array
        Times a whole number of steps apart, each once a group; or categories whose order is declared, one step apart.
        For other times take :class:`~mme.residual.exponential.Exponential`, the same model for positive rho.
    group : str or (n,) array, optional
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.
        None: all records are one series, or one field.

    Notes
    -----
    ``AR1("row") * AR1("col")`` is a separable field of plots, corr = rho_row^|rows between| rho_col^|columns between|,
    with plots missing anywhere; ``group=`` names several trials. Its whitening takes a plot and its three neighbours.

    Coordinate: x = atanh rho. Whitening: with rho_i = rho^(gap before record i),
    z_i = (r_i - rho_i r_{i-1}) / sqrt(1 - rho_i^2), and log|R| = sum log(1 - rho_i^2).

    Examples
    --------
    >>> R = AR1([2, 1, 4], ["a", "a", "a"]).bind(np.asarray, 3)
    >>> R.covariance(R.coordinates(np.array([-0.5])), np.arange(3))
    array([[ 1.   , -0.5  ,  0.25 ],
           [-0.5  ,  1.   , -0.125],
           [ 0.25 , -0.125,  1.   ]])
    """

    time: Any
    group: Any = None

    def axis(self) -> Axis:
        """The axis of a field: along the times."""
        return Axis(self.time, self.group, "ar1")

    def bind(self, column: Column, n: int) -> BoundAR1:
        """Read the times and groups."""
        reader = Reader("AR1", column, n)
        groups = read_groups(reader, [self.axis()])
        times, title = reader.steps(self.time, "time", groups)
        reader.require_pairs(groups)
        order = by_group(groups.codes, times)
        reader.require_distinct(groups, times, order, title)
        chain = build_chain(groups.codes, times, order)
        whole = np.rint(chain.steps)
        odd = (np.abs(chain.steps - whole) > _WHOLE) | (whole == 0.0)
        if odd.any():
            raise reader.error(
                f"{title} must be whole numbers of steps, but two neighbours in a {groups.title} are "
                f"{chain.steps[odd][0]:g} apart; use Exponential, which takes any times, or number the occasions"
            )
        _advise(np.rint(chain.steps).astype(np.int64), title)
        return _bound(chain, groups, times)


def _advise(steps: np.ndarray, title: str) -> None:
    common = int(np.gcd.reduce(steps))
    if common > 1:
        warn(
            f"AR1: within each group {title} goes in steps of {common}, so that neighbours have correlation "
            f"rho^{common}" + (", which cannot be negative" if common % 2 == 0 else "") + "; number the occasions "
            "1, 2, 3, ... if one of them is meant to be one step"
        )


def _bound(chain: Chain, groups: Labels, times: np.ndarray) -> BoundAR1:
    whole = Chain(chain.order, chain.before, np.rint(chain.gaps), chain.which, chain.counts)
    return BoundAR1(times.size, ("rho",), whole, groups.codes, times)


@dataclass(frozen=True, eq=False)
class BoundAR1(Bound):
    """AR1 with its columns read."""

    chain: Chain
    codes: np.ndarray
    times: np.ndarray

    @property
    def sequence(self) -> np.ndarray:
        """The records by group and time: W takes a record and the one before it."""
        return self.chain.sequence

    @property
    def absorbs_intercept(self) -> bool:
        """Pairs that are equally far apart have one covariance, which a random intercept only shifts."""
        return self.chain.steps.size == 1 and int(np.bincount(self.codes).max()) == 2

    @property
    def group(self) -> np.ndarray:
        """Codes of the groups."""
        return self.codes

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Neighbours at the typical gap correlated by 0.3."""
        return np.arctanh([_START ** (1.0 / self.chain.typical_gap)])

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Weak and strong correlations of both signs: beside random effects each may have a valley."""
        return [np.array([at]) for at in _ELSEWHERE]

    @property
    def has_one_valley_alone(self) -> bool:
        """Whether the other places are worth an evaluation beside random effects only: yes."""
        return True

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return rho."""
        return fisher(x)[0]

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values rho can take: those of a correlation."""
        return ((-1.0, 1.0),)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return atanh rho."""
        return np.asarray(np.arctanh(natural))

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the entries of W."""
        return self.chain.entries

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """1 / sqrt(1 - a_i^2) and -a_i / sqrt(1 - a_i^2)."""
        return self.chain.entry_values(*self._correlations(x))

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(r_i - rho_i r_{i-1}) / sqrt(1 - rho_i^2)."""
        a, d = self._correlations(x)
        return self.chain.whiten(a, d, rows)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """s_i - a_{i+1} s_{i+1}, s_i = r_i / sqrt(1 - a_i^2)."""
        a, d = self._correlations(x)
        return self.chain.whiten_transposed(a, d, rows)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """1 / (1 - a_i^2) + a_{i+1}^2 / (1 - a_{i+1}^2)."""
        return self.chain.precision_diagonal(*self._correlations(x))

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """r_i = rho_i r_{i-1} + sqrt(1 - rho_i^2) z_i."""
        a, d = self._correlations(x)
        return self.chain.colour(a, d, rows)

    def logdet(self, x: np.ndarray) -> float:
        """Return sum log(1 - rho_i^2)."""
        return self.chain.logdet(self._correlations(x)[1])

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """rho^|t - s| within groups."""
        lag = np.rint(np.abs(np.subtract.outer(self.times[index], self.times[index])))
        return np.where(same_group(self.codes, index), np.power(float(self.natural(x)[0]), lag), 0.0)

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """lag rho^(lag - 1) (1 - rho^2)."""
        rho, unexplained = (float(one[0]) for one in fisher(x))
        lag = np.rint(np.abs(self.times[members][:, :, None] - self.times[members][:, None, :]))
        return np.asarray(lag * np.power(rho, np.maximum(lag - 1.0, 0.0)) * unexplained**2)[None]

    def _correlations(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """rho^gap and 1 - rho^(2 gap) of the distinct gaps: a negative rho alternates."""
        a, d = decay(log_fisher(float(x[0])), self.chain.gaps)
        return np.sign(x[0]) ** self.chain.gaps * a, d
