"""A covariate of many records by its distance from its mean in units of its spread: made when it is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import numpy as np

from mme.numeric.panels import panels
from mme.numeric.sums import Column


@dataclass(frozen=True, eq=False)
class Standardised:
    """(x / unit - means[0] - means[1]) / spread: what the first difference leaves of the mean is taken off as well."""

    x: np.ndarray
    unit: float
    means: tuple[float, ...] = ()
    spread: float = 1.0

    @classmethod
    def of(cls, x: np.ndarray, unit: float) -> tuple[Standardised, float]:
        """A column of zero mean and unit mean square, and the root mean square of x / unit before."""
        first, length = cls(x, unit)._moments()
        near = cls(x, unit, (first,))
        more, size = near._moments()
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

    def _moments(self) -> tuple[float, float]:
        """The mean, and the root mean square."""
        sums, squares = list[float](), list[float]()
        for cut in panels(self.x.size):
            part = self[cut]
            sums.append(float(np.add.reduce(part)))
            squares.append(float(np.einsum("i,i->", part, part)))  # of a panel threads take longer than they save
        return float(np.sum(sums)) / self.x.size, sqrt(float(np.sum(squares)) / self.x.size)


def whole(columns: Sequence[Column | Standardised]) -> tuple[Column, ...]:
    """The columns as arrays."""
    return tuple([column[:] if isinstance(column, Standardised) else column for column in columns])


def of_records(columns: Any, records: slice) -> list[Column]:
    """Columns of some records, of arrays or of a call of :func:`whole` that was not yet made."""
    found: Sequence[Column | Standardised] = columns if isinstance(columns, tuple) else columns.args[0]
    return [None if column is None else column[records] for column in found]
