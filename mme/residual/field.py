r"""Separable fields: e ~ N(0, sigma^2 C_1 (x) C_2 (x) ...), each factor a chain along a coordinate of a record's place.

Records are scanned in order. One whose neighbours before it all have records is whitened by the product of the chains,

    z = prod_a (1 - a_a B_a) e / sqrt(prod_a (1 - a_a^2)),     B_a e the record one place before along axis a,     (F)

2^d entries of W, whatever the size of the field (Martin 1979, Biometrika 66:209-217). Where neighbours are missing it
is e_i less its regression on the records that it depends on (:mod:`mme.residual.grid`): exact for those there are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.numeric.decay import Decay
from mme.residual.base import Bound
from mme.residual.grid import PlotGrid, corners_of
from mme.residual.reading import same_group

# What others leave of a record's variance is known to this share of it.
_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class BoundField(Bound):
    """A separable field with its columns read: ``decays`` along ``places`` (d, n)."""

    codes: np.ndarray
    places: np.ndarray
    decays: tuple[Decay, ...]
    grid: PlotGrid
    title: str

    @property
    def kind(self) -> str:
        """The factors, with a cross between them."""
        return self.title

    @property
    def group(self) -> np.ndarray:
        """Codes of the fields."""
        return self.codes

    def start(self, residual: np.ndarray | None = None) -> np.ndarray:
        """Neighbours correlated by 0.3."""
        return np.array([decay.start() for decay in self.decays])

    def natural(self, x: np.ndarray) -> np.ndarray:
        """Correlations of neighbours, or ranges, axis by axis."""
        return np.array([decay.natural(one) for decay, one in zip(self.decays, x, strict=True)])

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of each axis."""
        return tuple(decay.bounds for decay in self.decays)

    def coordinates(self, natural: np.ndarray) -> np.ndarray:
        """Fisher's z of correlations, logarithms of ranges."""
        return np.array([decay.coordinate(one) for decay, one in zip(self.decays, natural, strict=True)])

    def whiten(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows times W'."""
        return np.asarray((self.matrix(x) @ rows.T).T)

    def whiten_transposed(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows times W."""
        return np.asarray((self.matrix(x).T @ rows.T).T)

    def precision_diagonal(self, x: np.ndarray) -> np.ndarray:
        """Sums of squares of the columns of W."""
        return np.bincount(self.entries[1], self.entry_values(x) ** 2, minlength=self.n)

    def colour(self, x: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """W^-1 by forward substitution in the order of the scan."""
        from scipy.sparse.linalg import spsolve_triangular

        order = self.grid.order
        L = sp.csr_array(self.matrix(x)[order][:, order])
        coloured = np.empty(rows.shape)
        coloured[:, order] = spsolve_triangular(L, np.ascontiguousarray(rows[:, order].T), lower=True).T
        return coloured

    def logdet(self, x: np.ndarray) -> float:
        """Minus twice the sum of log W_ii."""
        rows, cols = self.entries
        return -2.0 * float(np.log(self.entry_values(x)[rows == cols]).sum())

    def covariance(self, x: np.ndarray, index: np.ndarray) -> np.ndarray:
        """The product of the correlations along the axes, within fields."""
        return np.where(same_group(self.codes, index), self._correlations(x, index[:, None], index[None, :]), 0.0)

    def block_slopes(self, x: np.ndarray, members: np.ndarray) -> np.ndarray:
        """Slopes of the correlations: that of one axis times the correlations along the others."""
        one, other = members[:, :, None], members[:, None, :]
        lags = [self._lag(a, one, other) for a in range(len(self.decays))]
        each = [decay.correlation(at, lag) for decay, at, lag in zip(self.decays, x, lags, strict=True)]
        slopes = [decay.slope(at, lag) for decay, at, lag in zip(self.decays, x, lags, strict=True)]
        return np.array([np.prod([*each[:a], slope, *each[a + 1 :]], axis=0) for a, slope in enumerate(slopes)])

    def matrix(self, x: np.ndarray) -> sp.csr_array:
        """W (n, n)."""
        return sp.csr_array(sp.coo_array((self.entry_values(x), self.entries), shape=(self.n, self.n)))

    @cached_property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the entries of W, whatever x is: by row, a record's own first."""
        rows, cols = (np.concatenate(parts) for parts in zip(*self._places(), strict=True))
        by_row = self._by_row
        return rows[by_row], cols[by_row]

    def entry_values(self, x: np.ndarray) -> np.ndarray:
        """The entries of W at x."""
        return np.concatenate([self._whole(x), *self._broken(x)])[self._by_row]

    @cached_property
    def _by_row(self) -> np.ndarray:
        rows, cols = (np.concatenate(parts) for parts in zip(*self._places(), strict=True))
        return np.lexsort((cols, rows != cols, rows))

    def _places(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows and columns of the entries in the order in which their values are made."""
        grid = self.grid
        yield grid.whole, grid.whole
        for j in range(grid.corners.shape[1]):
            has = grid.corners[:, j] >= 0
            yield grid.whole[has], grid.corners[has, j]
        for records, parents in grid.broken:
            yield records, records
            yield np.repeat(records, parents.shape[1]), parents.ravel()

    def _whole(self, x: np.ndarray) -> np.ndarray:
        """(F): own entries, then those of each corner."""
        grid = self.grid
        gaps = grid.gaps[grid.whole]
        first = np.isinf(gaps)
        steps = np.where(first, 1.0, gaps)
        a = [decay.correlation(at, lag) for decay, at, lag in zip(self.decays, x, steps.T, strict=True)]
        d = [decay.left(at, lag) for decay, at, lag in zip(self.decays, x, steps.T, strict=True)]
        own = np.prod(1.0 / np.sqrt(np.where(first.T, 1.0, d)), axis=0)
        values = [own]
        for j, axes in enumerate(corners_of(len(self.decays))):
            has = grid.corners[:, j] >= 0
            values.append((own * np.prod([-a[axis] for axis in axes], axis=0))[has])
        return np.concatenate(values)

    def _broken(self, x: np.ndarray) -> Iterator[np.ndarray]:
        """1 / sqrt(d_i) and -c_i / sqrt(d_i), c_i the regression on the records that i depends on: a layout once."""
        for (records, parents), (first, layout) in zip(self.grid.broken, self._layouts, strict=True):
            i, p = records[first], parents[first]
            K = self._correlations(x, p[:, :, None], p[:, None, :])
            k = self._correlations(x, p, i[:, None])
            K[:, np.arange(p.shape[1]), np.arange(p.shape[1])] = 1.0 + _ROUNDING
            c = np.linalg.solve(K, k[:, :, None])[:, :, 0] if p.shape[1] else k
            root = 1.0 / np.sqrt(np.maximum(1.0 - np.einsum("ij,ij->i", c, k), _ROUNDING))
            yield root[layout]
            yield (-c * root[:, None])[layout].ravel()

    @cached_property
    def _layouts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The first record of each layout of what records depend on, and the layout of each record."""
        found = []
        for records, parents in self.grid.broken:
            away = self.places[:, parents] - self.places[:, records][:, :, None]  # d, m, s
            table = away.transpose(1, 0, 2).reshape(records.size, -1)
            _, first, layout = np.unique(table, axis=0, return_index=True, return_inverse=True)
            found.append((first, layout.ravel()))
        return found

    def _lag(self, axis: int, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        lag = np.abs(self.places[axis][one] - self.places[axis][other])
        return np.rint(lag) if self.decays[axis].kind == "ar1" else lag

    def _correlations(self, x: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """The products of the correlations between records of one field."""
        out = np.ones(np.broadcast_shapes(one.shape, other.shape))
        for axis, (decay, at) in enumerate(zip(self.decays, x, strict=True)):
            out *= decay.correlation(at, self._lag(axis, one, other))
        return out
