"""N = [Q r]' of many records, made of X and y a panel at a time wherever it is needed: as a whole it is not kept.

The steps are those of :mod:`mme.engine.basis`, which holds p + 1 numbers a record: Q' = (T_2 T_1) X' by two passes of
Cholesky, r = y - Q gamma - Q gamma', gamma' what the first difference leaves along Q.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mme.covariance.standardised import Made
from mme.numeric.limits import limits
from mme.numeric.panels import add_products, panels
from mme.numeric.sums import Column

# Records of a panel at the least, however many columns there are.
_SHORTEST = 32


@dataclass(frozen=True, eq=False)
class LongRows:
    """[Q r]' (p + 1, n) of p columns ``X`` (None: ones) and ``y``, times the roots of ``weights`` where there are some.

    ``turn`` makes Q' of X'; ``along`` are the parts of y along Q that are taken off it.
    """

    X: Sequence[Column | Made]
    y: np.ndarray
    weights: np.ndarray | None
    turn: np.ndarray | None = None
    along: tuple[np.ndarray, ...] = ()

    @property
    def m(self) -> int:
        """P + 1."""
        return len(self.X) + 1

    def turned(self, turn: np.ndarray) -> LongRows:
        """With Q' once more turned."""
        return replace(self, turn=turn if self.turn is None else turn @ self.turn)

    def less(self, gamma: np.ndarray) -> LongRows:
        """With r less Q gamma."""
        return replace(self, along=(*self.along, gamma))

    def panels(self, ahead: int = 0) -> Iterator[tuple[slice, np.ndarray]]:
        """Records, and N of them (ahead + p + 1, records) behind rows that are free; the next overwrite them."""
        numbers = ahead + self.m
        step = max(_SHORTEST, min(limits().records_in_panel, limits().panel_numbers // (4 * numbers)))
        room, of_X = np.empty(numbers * step), np.empty(len(self.X) * step)
        for cut in panels(self.y.size, step):
            size = cut.stop - cut.start
            whole = room[: numbers * size].reshape(numbers, size)
            self._fill(whole[ahead:], cut, of_X[: len(self.X) * size].reshape(-1, size))
            yield cut, whole

    def whole(self) -> np.ndarray:
        """N (p + 1, n)."""
        N = np.empty((self.m, self.y.size))
        for cut, some in self.panels():
            N[:, cut] = some
        return N

    def last(self) -> np.ndarray:
        """r (n,)."""
        r = np.empty(self.y.size)
        for cut, N in self.panels():
            r[cut] = N[-1]
        return r

    def row(self, k: int) -> np.ndarray:
        """Row k of N (n,)."""
        if k == self.m - 1:
            return self.last()
        of_X = np.eye(len(self.X))[k] if self.turn is None else self.turn[k]
        row, at = np.zeros(self.y.size), np.flatnonzero(of_X).tolist()
        for cut in panels(row.size):
            for j in at:
                column = self.X[j]
                row[cut] += of_X[j] if column is None else of_X[j] * column[cut]
            if self.weights is not None:
                row[cut] *= np.sqrt(self.weights[cut])
        return row

    def products(self) -> np.ndarray:
        """N N' (p + 1, p + 1)."""
        total = np.zeros((self.m, self.m))
        for _, N in self.panels():
            add_products(total, N)
        return total

    def beside(self, rows: np.ndarray) -> np.ndarray:
        """Rows N' (m, p + 1) of rows (m, n)."""
        total = np.zeros((len(rows), self.m))
        for cut, N in self.panels():
            total += rows[:, cut] @ N.T
        return total

    def times(self, values: Column) -> np.ndarray:
        """N v (p + 1,) for v (n,) times the roots of the weights."""
        total = np.zeros(self.m)
        for cut, N in self.panels():
            v = np.ones(N.shape[1]) if values is None else values[cut]
            total += N @ (v if self.weights is None else v * np.sqrt(self.weights[cut]))
        return total

    def _fill(self, N: np.ndarray, cut: slice, of_X: np.ndarray) -> None:
        """N of some records; ``of_X`` is room for their X."""
        Q, r = N[:-1], N[-1]
        X = Q if self.turn is None else of_X
        for row, column in zip(X, self.X, strict=True):
            row[:] = 1.0 if column is None else column[cut]
        r[:] = self.y[cut]
        if self.weights is not None:
            root = np.sqrt(self.weights[cut])
            X *= root
            r *= root
        if self.turn is not None:
            np.matmul(self.turn, X, out=Q)
        for gamma in self.along:
            r -= gamma @ Q
