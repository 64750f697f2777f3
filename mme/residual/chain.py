"""Records of a group as a Markov chain in time: each is correlated with the past through its predecessor alone.

With a_i the correlation of record i with the one before it (zero for the first of a group) and d_i = 1 - a_i^2,

    B r = (r_i - a_i r_{i-1}),    B C B' = D = diag(d)    =>    W = D^-1/2 B,    log|C| = sum log d_i

whatever the spacing (Pinheiro & Bates, 2000, section 5.3; Jones, 1993, Longitudinal Data with Serial Correlation).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.numeric.lapack import solve_bidiagonal


@dataclass(frozen=True, eq=False)
class Chain:
    """Predecessors and gaps of the records; what depends on a gap is computed once a distinct gap.

    Attributes
    ----------
    order : (n,) int or None
        Records by group and time; None: they are in that order.
    before : (n,) int or None
        The record before each, itself for the first of a group; None: the one above it.
    gaps : (g,) float
        Distinct gaps, the last infinite: the first record of a group.
    which, counts : (n,) int, (g,) int
        Each record's gap, and the records with each gap.
    """

    order: np.ndarray | None
    before: np.ndarray | None
    gaps: np.ndarray
    which: np.ndarray
    counts: np.ndarray

    @property
    def steps(self) -> np.ndarray:
        """Distinct finite gaps."""
        return self.gaps[:-1]

    @property
    def sequence(self) -> np.ndarray:
        """Records by group and time."""
        return np.arange(self.which.size) if self.order is None else self.order

    @property
    def typical_gap(self) -> float:
        """Median of the positive gaps between neighbours."""
        positive = self.steps > 0.0
        reached = np.cumsum(self.counts[:-1][positive])
        return float(self.steps[positive][np.searchsorted(reached, 0.5 * reached[-1])])

    @property
    def which_in_order(self) -> np.ndarray:
        """Each record's gap, records by group and time."""
        return self.which if self.order is None else self.which[self.order]

    def ordered(self, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) with records by group and time; a new array."""
        return rows.copy() if self.order is None else rows[:, self.order]

    def restored(self, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) with records by group and time, put back into the order that was given."""
        if self.order is None:
            return rows
        given = np.empty_like(rows)
        given[:, self.order] = rows
        return given

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the entries of W: by record, its own and that of the record before it."""
        own, after = np.arange(self.which.size), self._after
        before = after - 1 if self.before is None else self.before[after]
        return np.concatenate([own, after])[self._by_row], np.concatenate([own, before])[self._by_row]

    def entry_values(self, a: np.ndarray, d: np.ndarray) -> np.ndarray:
        """The entries of W: 1 / sqrt(d_i) and -a_i / sqrt(d_i)."""
        scale = 1.0 / np.sqrt(d)
        return np.concatenate([scale[self.which], (-a * scale)[self.which[self._after]]])[self._by_row]

    @cached_property
    def _after(self) -> np.ndarray:
        """Records that have one before them."""
        return np.flatnonzero(np.isfinite(self.gaps)[self.which])

    @cached_property
    def _by_row(self) -> np.ndarray:
        """The order by record, its own first, of the own entries and then those of the records before."""
        return np.argsort(np.concatenate([np.arange(self.which.size), self._after]), kind="stable")

    def whiten(self, a: np.ndarray, d: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) times W', for correlations a (g,) and d = 1 - a^2 of the distinct gaps."""
        weight, white = a.take(self.which, mode="clip"), rows.copy()
        part = np.empty(weight.size)  # row by row in one place: the whole costs more to get than to fill
        for row, out in zip(rows, white, strict=True):
            if self.before is None:
                out[1:] -= np.multiply(weight[1:], row[:-1], out=part[1:])
            else:
                out -= np.multiply(weight, row.take(self.before, out=part, mode="clip"), out=part)
        white *= (1.0 / np.sqrt(d)).take(self.which, out=part, mode="clip")
        return white

    def whiten_transposed(self, a: np.ndarray, d: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) times W: s_i - a_{i+1} s_{i+1}, s = D^-1/2 r."""
        at, follower = self._followed
        gathered = rows * (1.0 / np.sqrt(d))[self.which]
        gathered[:, at] -= a[self.which[follower]] * gathered[:, follower]
        return gathered

    def precision_diagonal(self, a: np.ndarray, d: np.ndarray) -> np.ndarray:
        """The diagonal of W'W (n,): 1 / d_i + a_{i+1}^2 / d_{i+1}."""
        at, follower = self._followed
        diagonal = (1.0 / d)[self.which]
        diagonal[at] += (a**2 / d)[self.which[follower]]
        return diagonal

    @property
    def _followed(self) -> tuple[np.ndarray | slice, np.ndarray | slice]:
        """Records that have one after them, and that one."""
        if self.before is None:
            return slice(0, -1), slice(1, None)
        follower = np.flatnonzero(self.before != np.arange(self.before.size))
        return self.before[follower], follower

    def colour(self, a: np.ndarray, d: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) times W'^-1: r_i = a_i r_{i-1} + sqrt(d_i) z_i."""
        which = self.which_in_order
        return self.restored(solve_bidiagonal(-a[which[1:]], self.ordered(rows) * np.sqrt(d)[which]))

    def logdet(self, d: np.ndarray) -> float:
        """Return log |C|."""
        return float(self.counts @ np.log(d))


def build_chain(codes: np.ndarray, times: np.ndarray, order: np.ndarray) -> Chain:
    """Link the records of each group, given their order by group and time.

    Examples
    --------
    >>> chain = build_chain(np.array([0, 0, 1, 0]), np.array([5.0, 1.0, 9.0, 2.0]), np.array([1, 3, 0, 2]))
    >>> chain.before.tolist(), chain.gaps[chain.which].tolist()
    ([3, 1, 2, 1], [3.0, inf, inf, 1.0])
    """
    first = np.ones(codes.size, dtype=bool)
    first[1:] = np.diff(codes[order]) != 0
    gap = np.full(codes.size, np.inf)
    later = np.flatnonzero(~first)
    gap[later] = np.diff(times[order])[later - 1]
    gaps, which, counts = np.unique(gap, return_inverse=True, return_counts=True)
    if (np.diff(order) == 1).all():
        return Chain(None, None, gaps, which, counts)
    before, place = np.empty_like(order), np.empty_like(order)
    before[order] = np.where(first, order, np.roll(order, 1))
    place[order] = which
    return Chain(order, before, gaps, place, counts)


def decay(rate: float, gaps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Correlations a = exp(rate gap), rate < 0, and 1 - a^2 without cancellation."""
    exponent = rate * gaps
    return np.exp(exponent), -np.expm1(2.0 * exponent)
