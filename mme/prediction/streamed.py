"""What a fit of sums says of every record: the chunks are read again, each when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mme.errors import MMEError
from mme.fitted.record import Fitted
from mme.prediction.predict import predict
from mme.streaming.chunk import as_before, chosen_of, of_chunk
from mme.streaming.layout import reading_of
from mme.streaming.source import Again
from mme.tables.frame import Frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Streamed:
    """A value for every row of a table in chunks, NaN where the row was not used.

    Iterating reads the chunks again and gives a Series for each; ``to_series()`` and ``numpy.asarray`` put all of them
    side by side, 8 bytes a row.
    """

    fit: Fitted
    again: Again
    what: str

    def __iter__(self) -> Iterator[pd.Series]:
        """One Series a chunk."""
        import pandas as pd

        layout, first = self.again.layout, 0
        for called, table in self.again.source.tables(list(layout.kinds)):
            with of_chunk(called):
                frame = as_before(Frame(table), dict(self.again.layout.kinds))
                index = frame.index if hasattr(table, "iloc") else pd.RangeIndex(first, first + frame.n)
                first += frame.n
                yield pd.Series(self._values(frame), index=index, name=self.what)

    def _values(self, frame: Frame) -> np.ndarray:
        layout, out = self.again.layout, np.full(frame.n, np.nan)
        chosen = chosen_of(frame, layout.options)
        part = frame if chosen is None else frame.chosen(chosen)
        used = np.zeros(0, dtype=bool)
        if part.n:
            reading = reading_of(layout.reading, part, layout.options, layout.learned.states)
            used = reading.complete(layout.options.beside, layout.options.na_action, some=False)
        if not used.any():
            return out
        rows = used if chosen is None else _within(chosen, used)
        out[rows] = self._of_rows(frame.chosen(rows))
        return out

    def _of_rows(self, rows: Frame) -> np.ndarray:
        """Of complete rows."""
        if self.what == "leverage":
            se = predict(self.fit, rows, True, "error", "confidence", 0.95, "none", None)["se"].to_numpy()
            return (se / self.fit.sigma) ** 2 * self._weights(rows)
        fitted = np.asarray(predict(self.fit, rows, True, "error", None, 0.95, "none", None))
        return fitted if self.what == "fitted" else self._reading(rows).response - fitted

    def _reading(self, rows: Frame) -> Any:
        layout = self.again.layout
        return reading_of(layout.reading, rows, layout.options, layout.learned.states)

    def _weights(self, rows: Frame) -> np.ndarray | float:
        weights = next(iter(self._reading(rows).numbers.values()))
        return 1.0 if weights is None else np.asarray(weights)

    def to_series(self) -> pd.Series:
        """All chunks under one another."""
        import pandas as pd

        return pd.concat(list(self))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All values (rows,)."""
        return np.concatenate([one.to_numpy() for one in self]).astype(dtype or float, copy=False)

    def __repr__(self) -> str:
        return f"<{self.what} of {self.fit.nobs:,} records, by chunk: iterate, or to_series()>"


def streamed(fit: Fitted, what: str) -> Streamed:
    """What the fit says of every record of its source.

    Raises
    ------
    MMEError
        The fit was made of sums whose records it does not know.
    """
    if fit.source is None:
        raise MMEError(
            f"{what} are of records, and this fit has their sums alone: fit.predict(table) gives fitted values for the "
            "rows of a table"
        )
    return Streamed(fit, fit.source, what)


def _within(chosen: np.ndarray, used: np.ndarray) -> np.ndarray:
    """A mask of the chosen rows as one of all rows."""
    every = chosen.copy()
    every[chosen] = used
    return every
