"""Groups by the pattern of their observed occasions: one small factor a pattern, applied to all its groups at once.

With R = B B' over all occasions and o the occasions of a group, R_o = B_o B_o'. From B_o' = Q U (QR, U upper
triangular) follows R_o = U'U, without forming R_o: W = U'^-1, so that a row vector is whitened by r' U^-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.numeric.limits import limits

# What the predecessors leave of an occasion's standard deviation is known to this share of it.
_ROUNDING = 1e-15


@dataclass(frozen=True, eq=False)
class Batch:
    """The groups with s occasions observed: records ``start:stop`` in the order of patterns.

    Attributes
    ----------
    occasions : (P, s) int
        Observed occasions of each pattern.
    pattern : (G,) int
        Pattern of each group, ascending.
    """

    start: int
    stop: int
    occasions: np.ndarray
    pattern: np.ndarray

    @property
    def size(self) -> int:
        """Occasions s of each group."""
        return self.occasions.shape[1]

    def multiply(self, F: np.ndarray, block: np.ndarray, out: np.ndarray) -> None:
        """Rows (m, G, s) times F (P, s, s) of each group's pattern."""
        if limits().groups_a_pattern * len(F) > self.pattern.size:
            np.matmul(block.transpose(1, 0, 2), F[self.pattern], out=out.transpose(1, 0, 2))
            return
        ends = np.searchsorted(self.pattern, np.arange(len(F) + 1))
        for one, first, last in zip(F, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
            np.matmul(block[:, first:last], one, out=out[:, first:last])


@dataclass(frozen=True, eq=False)
class Patterns:
    """Records in ``order`` (None: as they are) are sorted by pattern, group and occasion."""

    order: np.ndarray | None
    batches: tuple[Batch, ...]

    def whiten(self, B: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whiten rows (m, n) for R = B B' (T, T)."""
        return self._multiply([np.linalg.inv(_factors(B, batch)) for batch in self.batches], rows)

    def whiten_transposed(self, B: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) by U'^-1."""
        return self._multiply([np.linalg.inv(_factors(B, batch)).transpose(0, 2, 1) for batch in self.batches], rows)

    def precision_diagonal(self, B: np.ndarray) -> np.ndarray:
        """The diagonal of R^-1 (n,): R_o^-1 = U^-1 U'^-1."""
        own = [(np.linalg.inv(_factors(B, batch)) ** 2).sum(axis=2)[batch.pattern].ravel() for batch in self.batches]
        return self._restored(np.concatenate(own)[None, :])[0]

    def colour(self, B: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Undo :meth:`whiten`."""
        return self._multiply([_factors(B, batch) for batch in self.batches], rows)

    def logdet(self, B: np.ndarray) -> float:
        """Return the sum of log |R_o| over the groups."""
        total = 0.0
        for batch in self.batches:
            diagonal = np.abs(np.diagonal(_factors(B, batch), axis1=1, axis2=2))
            total += 2.0 * float(np.bincount(batch.pattern) @ np.log(diagonal).sum(axis=1))
        return total

    @cached_property
    def triangles(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of the lower triangles of all groups, pattern by pattern."""
        rows, cols = [], []
        for batch in self.batches:
            i, j = np.tril_indices(batch.size)
            first = np.arange(batch.start, batch.stop, batch.size)[:, None]
            rows.append((first + i).ravel())
            cols.append((first + j).ravel())
        row, col = np.concatenate(rows), np.concatenate(cols)
        return (row, col) if self.order is None else (self.order[row], self.order[col])

    def whitening_triangles(self, B: np.ndarray) -> np.ndarray:
        """The entries of W = U'^-1 there."""
        own = []
        for batch in self.batches:
            i, j = np.tril_indices(batch.size)
            own.append(np.linalg.inv(_factors(B, batch))[:, j, i][batch.pattern].ravel())
        return np.concatenate(own)

    def _multiply(self, factors: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        ordered = rows if self.order is None else rows[:, self.order]
        product = np.empty(ordered.shape)
        for batch, F in zip(self.batches, factors, strict=True):
            here = (slice(None), slice(batch.start, batch.stop))
            shape = (rows.shape[0], batch.pattern.size, F.shape[1])  # splitting an axis: views of both
            batch.multiply(F, ordered[here].reshape(shape), product[here].reshape(shape))
        return self._restored(product)

    def _restored(self, rows: np.ndarray) -> np.ndarray:
        """Rows (m, n) with records by pattern, put back into the order that was given."""
        if self.order is None:
            return rows
        restored = np.empty_like(rows)
        restored[:, self.order] = rows
        return restored


def _factors(B: np.ndarray, batch: Batch) -> np.ndarray:
    """U (P, s, s) upper triangular, U'U = R_o, its diagonal kept off zero where R is singular to all digits."""
    U = np.array(np.linalg.qr(B[batch.occasions].transpose(0, 2, 1), mode="r"))
    diagonal = np.einsum("pii->pi", U)  # a view
    floor = _ROUNDING * np.sqrt(np.einsum("pij,pij->pj", U, U))
    diagonal[:] = np.where(np.abs(diagonal) < floor, floor, diagonal)
    return U


def observed(codes: np.ndarray, occasions: np.ndarray, T: int) -> np.ndarray:
    """Which occasions (J, T) each group has."""
    present = np.zeros((int(codes.max()) + 1, T), dtype=bool)
    present[codes, occasions] = True
    return present


def build_patterns(codes: np.ndarray, occasions: np.ndarray, present: np.ndarray) -> Patterns:
    """Sort the groups by pattern; no group has an occasion twice.

    Examples
    --------
    >>> codes, occasions = np.array([0, 1, 1, 2, 2]), np.array([1, 0, 1, 1, 0])
    >>> patterns = build_patterns(codes, occasions, observed(codes, occasions, 2))
    >>> [batch.occasions.tolist() for batch in patterns.batches], patterns.order.tolist()
    ([[[1]], [[0, 1]]], [0, 1, 2, 4, 3])
    """
    packed = np.ascontiguousarray(np.packbits(present, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    _, first, pattern = np.unique(keys, return_index=True, return_inverse=True)
    sizes = present.sum(axis=1)
    groups = np.lexsort((pattern, sizes))
    rank = np.argsort(groups)
    order = np.lexsort((occasions, rank[codes]))
    batches, start = [], 0
    for s in np.unique(sizes).tolist():
        members = groups[sizes[groups] == s]
        kinds, which = np.unique(pattern[members], return_inverse=True)
        table = np.nonzero(present[first[kinds]])[1].reshape(kinds.size, s)
        batches.append(Batch(start, start + members.size * s, table, which))
        start += members.size * s
    return Patterns(None if (np.diff(order) == 1).all() else order, tuple(batches))
