"""N = [Q r]' of many records, made of X and y a panel at a time wherever it is needed: as a whole it is not kept.

The steps are those of :mod:`mme.engine.basis`, which holds p + 1 numbers a record: Q' = T_2 T_1 X' by two passes of
Cholesky, r = y - Q gamma - Q gamma', gamma' what the first difference leaves along Q.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from mme.numeric.panels import panels


@dataclass(frozen=True, eq=False)
class LongRows:
    """[Q r]' (p + 1, n) of columns ``X`` (p, n) and ``y``, rows times ``root`` where there are weights.

    ``turns`` make Q' of X', one after the other; ``along`` are the parts of y along Q that are taken off it.
    """

    X: np.ndarray
    y: np.ndarray
    root: np.ndarray | None
    turns: tuple[np.ndarray, ...] = ()
    along: tuple[np.ndarray, ...] = ()

    @property
    def m(self) -> int:
        """P + 1."""
        return len(self.X) + 1

    def turned(self, turn: np.ndarray) -> LongRows:
        """With Q' once more turned."""
        return replace(self, turns=(*self.turns, turn))

    def less(self, gamma: np.ndarray) -> LongRows:
        """With r less Q gamma."""
        return replace(self, along=(*self.along, gamma))

    def panels(self) -> Iterator[tuple[slice, np.ndarray]]:
        """Records, and N of them."""
        for cut in panels(self.y.size):
            yield cut, self._panel(cut)

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

    def products(self) -> np.ndarray:
        """N N' (p + 1, p + 1)."""
        total = np.zeros((self.m, self.m))
        for _, N in self.panels():
            total += N @ N.T
        return total

    def times(self, values: np.ndarray) -> np.ndarray:
        """N v (p + 1,) for v (n,), which has the weights."""
        total = np.zeros(self.m)
        for cut, N in self.panels():
            total += N @ values[cut]
        return total

    def _panel(self, cut: slice) -> np.ndarray:
        N = np.empty((self.m, cut.stop - cut.start))
        N[:-1], N[-1] = self.X[:, cut], self.y[cut]
        if self.root is not None:
            N *= self.root[cut]
        for turn in self.turns:
            N[:-1] = turn @ N[:-1]
        for gamma in self.along:
            N[-1] -= gamma @ N[:-1]
        return N
