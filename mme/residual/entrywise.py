r"""Products of correlations that are no chains: R_ij = C_1(i, j) C_2(i, j), records i and j of one group.

Where records are the cells of two factors, as traits by times, that is the direct product C_1 (x) C_2. Each factor is
read on its own distinct cells, so that records of one time and several traits are one cell of the times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np

from mme.errors import MMEError
from mme.residual.base import Bound, Column
from mme.residual.bygroup import ByGroup
from mme.residual.reading import Reader
from mme.tables.names import unlike


class Readable(Protocol):
    """What a factor is asked for."""

    def reads(self) -> tuple[Any, ...]:
        """The columns that it names or holds."""

    def bind(self, column: Column, n: int) -> Bound:
        """It, with these columns."""


def entrywise(factors: Sequence[Readable], column: Column, n: int) -> Bound:
    """Read the factors of a product.

    Raises
    ------
    MMEError
        Two records are one cell of all factors, or two factors have variances of their own.
    """
    read = [_on_cells(factor, column, n) for factor in factors]
    bound, cells = [one for one, _ in read], [at for _, at in read]
    kinds = " x ".join(one.kind for one in bound)
    table = np.column_stack([_dense(one)[at] for one, at in read])
    codes = np.unique(table, axis=0, return_inverse=True)[1].ravel()
    if np.unique(np.column_stack([codes, *cells]), axis=0).shape[0] < n:
        raise MMEError(f"{kinds}: two records are of one cell of all factors; average them, or say .with_nugget()")
    scaled = [one for one in bound if np.ptp(one.log_sd(one.start() + 1.0)) > 0.0]
    if len(scaled) > 1:
        raise MMEError(f"{kinds}: the variances of two factors cannot be told apart; give equal_variances=True to one")
    names = unlike(name for one in bound for name in one.names)
    return BoundEntrywise(n, names, codes, tuple(bound), tuple(cells), kinds)


def _dense(one: Bound) -> np.ndarray:
    return np.zeros(one.n, dtype=np.int64) if one.group is None else one.group


def _on_cells(factor: Readable, column: Column, n: int) -> tuple[Bound, np.ndarray]:
    """A factor read on its cells, and the cell (n,) of each record."""
    reader = Reader("product", column, n)
    given = [one for one in factor.reads() if not (one is None or isinstance(one, bool | int | float))]
    codes = [reader.labels(one, "column").codes for one in given]
    _, first, cell = np.unique(np.column_stack(codes), axis=0, return_index=True, return_inverse=True)

    def own(spec: Any) -> Any:
        values = column(spec)
        return values.iloc[first] if hasattr(values, "iloc") else values[first]

    return factor.bind(own, first.size), cell.ravel()


@dataclass(frozen=True, eq=False)
class BoundEntrywise(ByGroup):
    """A product with its columns read: ``parts`` on their ``cells`` (n,)."""

    parts: tuple[Bound, ...]
    cells: tuple[np.ndarray, ...]
    title: str

    @property
    def kind(self) -> str:
        """The factors, with a cross between them."""
        return self.title

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Coordinates to begin a search: those of the factors."""
        return np.concatenate([part.start() for part in self.parts])

    def radius(self) -> np.ndarray:
        """How far off a start may be: those of the factors."""
        return np.concatenate([part.radius() for part in self.parts])

    def natural(self, x: np.ndarray) -> np.ndarray:
        """The natural parameters: those of the factors."""
        return np.concatenate([part.natural(own) for part, own in zip(self.parts, self._split(x), strict=True)])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of the factors."""
        return tuple(pair for part in self.parts for pair in part.bounds)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Coordinates of the natural parameters: those of the factors."""
        pieces = self._split(np.asarray(natural, dtype=float))
        return np.concatenate([part.coordinates(own) for part, own in zip(self.parts, pieces, strict=True)])

    def log_sd(self, x: np.ndarray) -> np.ndarray:
        """The sum over the factors."""
        each = zip(self.parts, self._split(x), self.cells, strict=True)
        return np.asarray(reduce(np.add, [part.log_sd(own)[at] for part, own, at in each]))

    def block(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """The product of the covariances of the cells."""
        each = zip(self.parts, self._split(x), self.cells, strict=True)
        return np.asarray(reduce(np.multiply, [_among(part, own, at[members]) for part, own, at in each]))

    def _split(self, x: np.ndarray) -> list[np.ndarray]:
        return np.split(x, np.cumsum([part.k for part in self.parts])[:-1])


def _among(part: Bound, x: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The covariance of these cells, of which some may occur more than once."""
    distinct, place = np.unique(cells, return_inverse=True)
    return np.asarray(part.covariance(x, distinct)[np.ix_(place, place)])
