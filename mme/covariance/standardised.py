"""Columns of many records that are made of others when they are asked for: about their mean, combined, weighted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any, Protocol

import numpy as np

from mme.numeric.panels import panels
from mme.numeric.sums import Column


class Made(Protocol):
    """A column (n,) whose numbers are made for some records at a time."""

    def __getitem__(self, records: slice) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Standardised:
    """(x / unit - means[0] - means[1]) / spread: what the first difference leaves of the mean is taken off as well."""

    x: np.ndarray
    unit: float
    means: tuple[float, ...] = ()
    spread: float = 1.0

    @classmethod
    def of(cls, x: np.ndarray, unit: float, weights: np.ndarray | None = None) -> tuple[Standardised, float]:
        """A column of zero (weighted) mean and unit mean square, and the root mean square of x / unit before."""
        first, length = cls(x, unit)._moments(weights)
        near = cls(x, unit, (first,))
        more, size = near._moments(weights)
        return cls(x, unit, (first, more), sqrt(max(size**2 - more**2, 0.0))), length

    def __getitem__(self, records: slice) -> np.ndarray:
        part: np.ndarray = self.x[records] / self.unit
        for mean in self.means:
            part -= mean
        return np.divide(part, self.spread, out=part)

    @property
    def turned(self) -> Standardised:
        """The same column with the other sign."""
        return replace(self, spread=-self.spread)

    def first_beyond(self, share: float) -> float:
        """The first number whose size is this share of the largest."""
        ends = (np.array([self.x.min(), self.x.max()]) / self.unit - sum(self.means)) / self.spread
        for cut in panels(self.x.size):
            part = self[cut]
            if (beyond := np.abs(part) >= share * np.abs(ends).max()).any():
                return float(part[np.argmax(beyond)])
        raise ValueError("there is no largest value among none")

    def _moments(self, weights: np.ndarray | None) -> tuple[float, float]:
        """The mean, and the root mean square."""
        sums, squares, total = list[float](), list[float](), float(self.x.size)
        for cut in panels(self.x.size):
            part = self[cut]
            times = part if weights is None else part * weights[cut]
            sums.append(float(np.add.reduce(times)))
            squares.append(float(np.einsum("i,i->", times, part)))  # of a panel threads take longer than they save
        if weights is not None:
            total = float(np.add.reduce(weights))
        return float(np.sum(sums)) / total, sqrt(float(np.sum(squares)) / total)


@dataclass(frozen=True, eq=False)
class Combined:
    """sum_j shares[j] parts[j]."""

    parts: tuple[Made, ...]
    shares: np.ndarray

    def __getitem__(self, records: slice) -> np.ndarray:
        first, *others = zip(self.parts, self.shares.tolist(), strict=True)
        total = np.multiply(first[0][records], first[1])
        for part, share in others:
            if share:
                total += part[records] * share
        return total


@dataclass(frozen=True, eq=False)
class WeightedColumn:
    """A column (None: ones) times the roots of ``weights``, in units of its root mean square, ``size``."""

    column: Column | Made
    weights: np.ndarray | None
    size: float = 1.0

    @classmethod
    def of(cls, column: Column | Made, weights: np.ndarray | None, n: int) -> WeightedColumn:
        """The weighted column in units of its root mean square; of zeros as it is."""
        plain, squares = cls(column, weights), list[float]()
        for cut in panels(n):
            part = plain[cut]
            squares.append(float(np.einsum("i,i->", part, part)))
        return cls(column, weights, sqrt(float(np.sum(squares)) / n) or 1.0)

    def __getitem__(self, records: slice) -> np.ndarray:
        if self.weights is None:
            assert self.column is not None
            return np.asarray(self.column[records] / self.size)
        part: np.ndarray = np.sqrt(self.weights[records])
        if self.column is not None:
            part *= self.column[records]
        return np.divide(part, self.size, out=part)


def is_made(column: Column | Made) -> bool:
    """Whether a column is made when it is asked for."""
    return not (column is None or isinstance(column, np.ndarray))


def whole(columns: Sequence[Column | Made]) -> tuple[Column, ...]:
    """The columns as arrays."""
    return tuple([None if column is None else column[:] for column in columns])  # of an array itself


def as_held(columns: Any) -> Sequence[Column | Made]:
    """Columns as they are held, arrays or those of a call of :func:`whole` that was not yet made."""
    return columns if isinstance(columns, tuple) else columns.args[0]


def of_records(columns: Any, records: slice) -> list[Column]:
    """Columns of some records."""
    return [None if column is None else column[records] for column in as_held(columns)]
