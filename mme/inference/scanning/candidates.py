"""Candidates for further columns of X, from whatever holds them, read by hundreds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.arrays import numbers, numbers_by_column, shown

# Candidates handled at a time.
_TOGETHER = 256


@dataclass(frozen=True, eq=False)
class Candidates:
    """Columns to be tested: ``read(start, stop)`` gives (rows, candidates), or (rows, candidates, c) of c each."""

    read: Callable[[int, int], np.ndarray]
    names: tuple[Any, ...]
    several: bool = False

    @classmethod
    def of(cls, given: Any, rows: int) -> Candidates:
        """Take a matrix, frame, memory map, sparse matrix, or a reader of PLINK's bed (``read``, ``sid``, ``shape``).

        Raises
        ------
        MMEError
            It has another number of rows than the data, or no columns.
        """
        names = tuple(getattr(given, "columns", ())) or tuple(getattr(given, "sid", ())) or None
        shape = getattr(given, "shape", None)
        if shape is None or len(shape) not in (2, 3) or shape[0] != rows:
            raise MMEError(
                f"candidates must have a row for each of the {rows} rows of the data and a column each, got "
                f"{'no matrix' if shape is None else f'a shape of {shown(list(shape))}'}"
            )
        if 0 in shape:
            raise MMEError("there are no candidates")
        names = names or tuple(range(shape[1]))
        if hasattr(given, "sid") and hasattr(given, "read"):
            return cls(lambda a, b: given.read(index=np.s_[:, a:b], dtype="float64"), names)
        if hasattr(given, "iloc"):
            return cls(lambda a, b: numbers_by_column(given.iloc[:, a:b].to_numpy(), names[a:b], "candidate"), names)
        matrix = given.tocsc() if hasattr(given, "tocsc") else given if hasattr(given, "dtype") else np.asarray(given)

        def read(start: int, stop: int) -> np.ndarray:
            part = matrix[:, start:stop]
            return numbers(part.toarray() if hasattr(part, "toarray") else part, "candidates")

        return cls(read, names, len(shape) == 3)

    def blocks(self, chosen: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places and columns (b, rows), or (b, c, rows), of the chosen candidates, by hundreds."""
        for at in np.split(chosen, range(_TOGETHER, chosen.size, _TOGETHER)):
            if at.size:
                block = self.read(int(at[0]), int(at[-1]) + 1)[:, at - at[0]]
                yield at, np.ascontiguousarray(np.moveaxis(block, 0, -1))


def imputed(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns (..., n) with the mean of each in place of missing values, and how many (...) there were."""
    lost = ~np.isfinite(columns)
    if not lost.any():
        return columns, np.zeros(columns.shape[:-1])
    count = lost.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(lost, 0.0, columns).sum(axis=-1) / (columns.shape[-1] - count)
    return np.where(lost, mean[..., None], columns), count.astype(float)
