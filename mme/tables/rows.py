"""From the records that were used back to the rows that the user gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.kept import deferred
from mme.tables.row_labels import check_order, row_labels


@dataclass(frozen=True, eq=False)
class Rows:
    """``kept`` (N,) marks the rows used; ``index`` labels all N rows, None for plain arrays; or it is what makes them.

    ``outside``: how many rows are not in the subset that the user chose; ``dropped``: how many were left out that are
    not among the N, where rows of sums stand for records.
    """

    kept: np.ndarray
    index: deferred[Any] = deferred()  # noqa: RUF009  a descriptor
    outside: int = 0
    dropped: int = 0

    @classmethod
    def all(cls, n: int) -> Rows:
        """All n rows, every one used."""
        return cls(~np.zeros(n, dtype=bool), None)

    @property
    def n_dropped(self) -> int:
        """Rows left out because something was missing."""
        return int(self.kept.size - self.kept.sum()) - self.outside + self.dropped

    def check_order(self, values: Any, what: str) -> None:
        """Refuse pandas values, of all rows or of those used, whose rows have the labels of these in another order."""
        if row_labels(values) is not None and self.index is not None:
            whole = len(values) == self.kept.size
            check_order(values, self.index if whole else self.index[self.kept], what, "the data of the fit")

    def aligned(self, values: np.ndarray, name: str) -> Any:
        """Values (n,) or (n, c) of the records used, one a row of the user's data; NaN where a row was dropped."""
        values = self.full(values)
        if self.index is None:
            return values
        import pandas as pd

        return pd.Series(values, index=self.index, name=name) if values.ndim == 1 else pd.DataFrame(values, self.index)

    def full(self, values: np.ndarray) -> np.ndarray:
        """Values of the rows used (n, ...) as an array of all rows (N, ...), NaN for those that are not used."""
        if self.kept.all():
            return values
        out = np.full((self.kept.size, *values.shape[1:]), np.nan)
        out[self.kept] = values
        return out

    def used(self, values: np.ndarray) -> np.ndarray:
        """The values (n,) of the records used, from values of all rows (N,), or of these alone (n,)."""
        return values[self.kept] if values.shape[0] == self.kept.size else values
