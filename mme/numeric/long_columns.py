"""A matrix of many rows by its columns, one array each; a column of ones takes no memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.kept import kept
from mme.numeric.limits import limits
from mme.numeric.panels import panels
from mme.numeric.sums import Column, is_constant


@dataclass(frozen=True, eq=False)
class LongColumns:
    """(n, p) numbers by ``columns`` (n,); None is a column of ones."""

    n: int
    columns: tuple[Column, ...]

    @classmethod
    def of(cls, X: np.ndarray) -> LongColumns:
        """Copies of the columns of X (n, p); of one that owns its memory and is read only, the columns themselves."""
        if X.dtype == float and X.flags.owndata and not X.flags.writeable:
            return cls(len(X), tuple([_none_of_ones(column) for column in X.T]))
        ones = [is_constant(column) and column[0] == 1.0 for column in X.T]
        columns = [None if one else np.empty(len(X)) for one in ones]
        for cut in panels(len(X)):  # rows that lie side by side are read once
            for column, given in zip(columns, X[cut].T, strict=True):
                if column is not None:
                    column[cut] = given
        return cls(len(X), tuple(columns))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, p)."""
        return self.n, len(self.columns)

    def whole(self) -> np.ndarray:
        """The matrix (n, p), column-major and read only: one, whoever asks for it."""
        return self._whole

    def makes(self, X: Any) -> bool:
        """Whether X is the matrix of these columns, or what makes it."""
        return X is vars(self).get("_whole") if isinstance(X, np.ndarray) else getattr(X, "__self__", None) is self

    @kept
    def _whole(self) -> np.ndarray:
        X = np.empty(self.shape, order="F")
        for j, column in enumerate(self.columns):
            X[:, j] = 1.0 if column is None else column
        X.flags.writeable = False
        return X

    def largest(self) -> np.ndarray:
        """The largest size (p,) of a number of each column; NaN where one is missing."""
        return np.array([1.0 if c is None else np.maximum(c.max(), -c.min()) for c in self.columns])


def is_long(X: Any) -> bool:
    """Whether this is an array of so many numbers that its columns are better held one by one."""
    is_array = isinstance(X, np.ndarray) and X.ndim == 2 and X.dtype.kind in "biuf"
    return is_array and X.size > limits().held_rows


def whole_of(X: Any) -> Any:
    """A matrix that may be held by its columns."""
    return X.whole() if isinstance(X, LongColumns) else X


def _none_of_ones(column: np.ndarray) -> Column:
    return None if is_constant(column) and column[0] == 1.0 else column
