"""Exponential correlation in continuous time, with or without a nugget."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mme.numeric.lapack import factor_tridiagonal, solve_bidiagonal
from mme.numeric.scales import clipped, logistic
from mme.residual.base import Bound, Column
from mme.residual.chain import Chain, build_chain, decay
from mme.residual.fields import Axis, read_groups
from mme.residual.ranges import elsewhere
from mme.residual.reading import Labels, Reader, same_group
from mme.residual.rstructure import RStructure
from mme.tables.times import by_group

# Neighbours are started with this correlation, and this share of the variance without any.
_START, _START_NUGGET = 0.3, 0.2


@dataclass(frozen=True, eq=False, repr=False)
class Exponential(RStructure):
    r"""Exponential correlation: corr(e_s, e_t) = exp(-|t - s| / range) within a group, at any times.

    Continuous-time autoregression: nlme's ``corCAR1`` has exp(-1 / range) for its parameter, ``corExp`` the range
    itself (Pinheiro & Bates, 2000, section 5.3.2), SAS ``TYPE=SP(EXP)``. O(n) an evaluation, with a nugget too.

    Parameters
    ----------
    time : str or (n,) array
        Times, in any unit; the range is in the same. Each once a group unless there is a nugget.
    group : str or (n,) array, optional
        Records of different groups are independent; ``"block/plot"``, or a list of columns, are their combinations.
        None: all records are one series.
    nugget : bool
        A share of the variance is measurement error of each record:
        corr(e_s, e_t) = (1 - nugget) exp(-|t - s| / range) between different records.

    Notes
    -----
    Coordinates: log(range / median gap), logit(nugget). Without a nugget the whitening is that of a Markov chain. With
    a nugget nu, B of the chain makes the whole tridiagonal,

        T = B R B' = (1 - nu) D + nu B B',    T = K K', K bidiagonal    =>    W = K^-1 B,    log|R| = log|T|

    since |B| = 1. Multipliers in K are at most one, so long groups and close times lose nothing.

    Examples
    --------
    >>> R = Exponential([0.0, 1.0, 3.0], ["a", "a", "a"], nugget=True).bind(np.asarray, 3)
    >>> x = R.coordinates(np.array([1 / np.log(2), 0.25]))
    >>> R.covariance(x, np.arange(3))
    array([[1.     , 0.375  , 0.09375],
           [0.375  , 1.     , 0.1875 ],
           [0.09375, 0.1875 , 1.     ]])
    """

    time: Any
    group: Any = None
    nugget: bool = field(default=False, kw_only=True)

    def axis(self) -> Axis | None:
        """Along the times."""
        return None if self.nugget else Axis(self.time, self.group, "exponential")

    def with_nugget(self) -> RStructure:
        """The same with ``nugget=True``."""
        return replace(self, nugget=True)

    def bind(self, column: Column, n: int) -> BoundExponential:
        """Read the times and groups."""
        reader = Reader("Exponential", column, n)
        groups = read_groups(reader, [Axis(self.time, self.group, "exponential")])
        times, title = reader.times(self.time, "time", groups)
        reader.require_pairs(groups)
        order = by_group(groups.codes, times)
        if not self.nugget:
            reader.require_distinct(groups, times, order, title)
        chain = build_chain(groups.codes, times, order)
        if chain.steps.max() == 0.0:
            raise reader.error(f"{title} does not differ between the records of any {groups.title}")
        if self.nugget:
            if chain.steps.size == 1 and groups.sizes.max() < 3:
                raise reader.error(
                    f"all pairs of records in a {groups.title} are {chain.steps[0]:g} apart: range and nugget cannot "
                    "be told apart; leave the nugget out"
                )
            return _bound(BoundExponentialNugget, ("range", "nugget"), chain, groups, times)
        return _bound(BoundExponential, ("range",), chain, groups, times)


def _bound(
    kind: type[BoundExponential], names: tuple[str, ...], chain: Chain, groups: Labels, times: np.ndarray
) -> BoundExponential:
    return kind(times.size, names, chain, groups.codes, times, chain.typical_gap)


@dataclass(frozen=True, eq=False)
class BoundExponential(Bound):
    """Exponential with its columns read; ``scale`` is the median gap."""

    chain: Chain
    codes: np.ndarray
    times: np.ndarray
    scale: float

    @property
    def sequence(self) -> np.ndarray | None:
        """By group and time."""
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
        """Neighbours at the median gap correlated by 0.3."""
        return np.array([-np.log(-np.log(_START))])

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return the range."""
        return self.scale * np.exp(clipped(x[:1]))

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """A range is positive."""
        return ((0.0, np.inf),)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return log(range / median gap)."""
        return np.log(np.asarray(natural)[:1] / self.scale)

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Row and column of the entries of W."""
        return self.chain.entries

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """1 / sqrt(1 - a_i^2) and -a_i / sqrt(1 - a_i^2)."""
        return self.chain.entry_values(*decay(self._rate(x), self.chain.gaps))

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """(r_i - a_i r_{i-1}) / sqrt(1 - a_i^2), a_i = exp(-gap_i / range)."""
        a, d = decay(self._rate(x), self.chain.gaps)
        return self.chain.whiten(a, d, rows)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """s_i - a_{i+1} s_{i+1}, s_i = r_i / sqrt(1 - a_i^2)."""
        a, d = decay(self._rate(x), self.chain.gaps)
        return self.chain.whiten_transposed(a, d, rows)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """1 / (1 - a_i^2) + a_{i+1}^2 / (1 - a_{i+1}^2)."""
        return self.chain.precision_diagonal(*decay(self._rate(x), self.chain.gaps))

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """r_i = a_i r_{i-1} + sqrt(1 - a_i^2) z_i."""
        a, d = decay(self._rate(x), self.chain.gaps)
        return self.chain.colour(a, d, rows)

    def logdet(self, x: np.ndarray) -> float:
        """Return sum log(1 - a_i^2)."""
        return self.chain.logdet(decay(self._rate(x), self.chain.gaps)[1])

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """exp(-|t - s| / range) within groups."""
        lag = np.abs(np.subtract.outer(self.times[index], self.times[index]))
        return np.where(same_group(self.codes, index), np.exp(self._rate(x) * lag), 0.0)

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """(lag / range) exp(-lag / range)."""
        lag = np.abs(self.times[members][:, :, None] - self.times[members][:, None, :])
        exponent = -self._rate(x) * lag
        return np.asarray(exponent * np.exp(-exponent))[None]

    def _rate(self, x: np.ndarray) -> float:
        return -1.0 / float(self.natural(x)[0])


@dataclass(frozen=True, eq=False)
class BoundExponentialNugget(BoundExponential):
    """Exponential correlation of a share 1 - nu of the variance."""

    @property
    def kind(self) -> str:
        """What it is called in a summary: exponential, with a nugget."""
        return "Exponential with nugget"

    @property
    def sequence(self) -> None:
        """None: with measurement errors a record depends on all before it, not on the last one alone."""
        return

    @property
    def entries(self) -> None:
        """None: W is full below its diagonal."""
        return

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Neighbours at the median gap correlated by 0.3 but for a nugget of 0.2."""
        return np.append(super().start(), np.log(_START_NUGGET / (1.0 - _START_NUGGET)))

    def elsewhere(self, x: np.ndarray) -> list[np.ndarray]:
        """Short ranges and long ones, beside several nuggets."""
        return elsewhere(x, 1, "exponential", has_nugget=True)

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Return the range and the nugget."""
        return np.append(super().natural(x), logistic(x[1:])[0])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """The nugget is a share."""
        return (*super().bounds, (0.0, 1.0))

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Return log(range / median gap) and logit(nugget)."""
        nugget = np.asarray(natural)[1:]
        return np.append(super().coordinates(natural), np.log(nugget) - np.log1p(-nugget))

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """K^-1 B r, K K' = B R B'."""
        a, d, e = self._factor(x)
        sequence = self.chain.ordered(rows)
        sequence[:, 1:] -= a * sequence[:, :-1]
        return self.chain.restored(solve_bidiagonal(e, sequence) / np.sqrt(d))

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """B' K'^-1 r."""
        a, d, e = self._factor(x)
        sequence = self.chain.ordered(rows) / np.sqrt(d)
        gathered = solve_bidiagonal(e[::-1], sequence[:, ::-1].copy())[:, ::-1].copy()
        gathered[:, :-1] -= a * gathered[:, 1:]
        return self.chain.restored(gathered)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """B'T^-1 B: t_i = 1 / d_i + e_i^2 t_{i+1} is the diagonal of T^-1 = L'^-1 D^-1 L^-1, -e_i t_{i+1} beside it."""
        a, d, e = self._factor(x)
        t = solve_bidiagonal(-(e[::-1] ** 2), (1.0 / d)[None, ::-1].copy())[0, ::-1].copy()
        t[:-1] += (2.0 * a * e + a**2) * t[1:]
        return self.chain.restored(t[None, :])[0]

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """B^-1 K z."""
        a, d, e = self._factor(x)
        sequence = self.chain.ordered(rows) * np.sqrt(d)
        sequence[:, 1:] += e * sequence[:, :-1]
        return self.chain.restored(solve_bidiagonal(-a, sequence))

    def logdet(self, x: np.ndarray) -> float:
        """log|R| = log|T|."""
        return float(np.log(self._factor(x)[1]).sum())

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """(1 - nu) exp(-|t - s| / range) within groups, nu more on the diagonal."""
        share, rest = logistic(x[1])
        return rest * super().covariance(x, index) + share * np.equal.outer(index, index)

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """(1 - nu) times that without a nugget, and -nu (1 - nu) times the correlations of different records."""
        share, rest = logistic(x[1])
        lag = np.abs(self.times[members][:, :, None] - self.times[members][:, None, :])
        among = np.exp(self._rate(x) * lag) * (1.0 - np.eye(members.shape[1]))
        return np.concatenate([rest * super().block_slopes(x, members), -share * rest * among[None]])

    def _factor(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the records in order: a with the one before (n - 1,), and T = L diag(d) L', L unit bidiagonal by e."""
        chain = self.chain
        nugget, rest = logistic(x[1])
        a, unexplained = decay(self._rate(x), chain.gaps)
        diagonal = rest * unexplained + nugget * (1.0 + a**2)
        which = chain.which_in_order
        a, diagonal = a[which[1:]], diagonal[which]
        d, e = factor_tridiagonal(diagonal, -nugget * a)
        return a, d, e
