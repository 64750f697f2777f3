"""Rows that stand for many records: the triangles of [Z X y] of their levels, which have the same likelihood.

Within a cell, records that share their levels of all grouping factors, an orthogonal change Q' of the whitened rows of
[Z X y] leaves e ~ N(0, sigma^2 I) as it is, so that the rows of R in [Z X y] = Q R are data like those that they were
made of. What is known of the records beside them is their number, their weights, and what a constant is in these rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

# A standard deviation that is less than this share of its mean is rounding.
_CONSTANT = 1e-13


@dataclass(frozen=True, eq=False)
class EachOnce:
    """Rows with the products of the records' columns, each record counted once, whatever its weight.

    Attributes
    ----------
    X : (rows, p)
        Columns of X.
    Z : tuple of (rows, q)
        Columns of the terms, of all levels together.
    ones : (rows,)
        The column of ones of the records.
    inverse : float
        The mean of 1 / w over the records.
    """

    X: np.ndarray
    Z: tuple[np.ndarray, ...]
    ones: np.ndarray
    inverse: float

    def mean(self, column: np.ndarray) -> float:
        """The mean over the records of what is a column of these rows."""
        return float(self.ones @ column) / float(self.ones @ self.ones)

    def variance(self, column: np.ndarray) -> float:
        """The variance over the records of what is a column of these rows; zero where it is rounding."""
        mean = self.mean(column)
        apart = column - mean * self.ones
        variance = float(apart @ apart) / (float(self.ones @ self.ones) - 1.0)
        return variance if sqrt(variance) > _CONSTANT * abs(mean) else 0.0


@dataclass(frozen=True, eq=False)
class Compressed:
    """What the rows of a model stand for.

    Attributes
    ----------
    n : int
        Number of records.
    ones : (rows,)
        The column of ones of the records, in these rows.
    counts : (rows,)
        Records of the cell of each row at its first one, zero at others.
    logdet_W : float
        Sum of the logarithms of the weights, zero without any.
    weighted : bool
        Whether records have weights.
    plain : EachOnce, optional
        Of records with weights: what does without them.
    """

    n: int
    ones: np.ndarray
    counts: np.ndarray
    logdet_W: float = 0.0
    weighted: bool = False
    plain: EachOnce | None = None

    @property
    def weight(self) -> float:
        """Sum of the weights, the number of records where they have none."""
        return float(self.ones @ self.ones)

    def mean(self, column: np.ndarray) -> float:
        """The (weighted) mean over the records of what is a column of these rows."""
        return float(self.ones @ column) / self.weight

    def sd(self, column: np.ndarray) -> float:
        """The standard deviation over the records of what is a column of these rows."""
        apart = column - self.mean(column) * self.ones
        return sqrt(float(apart @ apart) / (self.n - 1))
