r"""Orthogonal absorption of a block-diagonal term (DESIGN, section 2).

With the QR of each level's rows, Z_g = Q_g R_g, every other column N splits into its part within levels,
(I - QQ')N, and N_g = Q_g'N. For every T the Schur complement of the term is

    N'(I - QQ')N  +  sum_g N_g' (I + R_g T T' R_g')^-1 N_g,        log|M| = sum_g log|I + R_g T T' R_g'|       (A)

a sum of positive semi-definite pieces: nothing is subtracted, so nothing cancels, and T may be singular.
Arrays have the level as their last axis, so that a step of the small algebra is one operation over all levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.blocks import Block
from mme.crossproducts import Sorted, sort_by_level

# What a level's earlier columns leave of a column below this share of it is rounding: the column is dependent there.
_DEPENDENT = 1e-13
# Records handled at a time: the rows of a chunk (8 bytes x a few columns) stay in the second-level cache.
_CHUNK = 16384


@dataclass(frozen=True, eq=False)
class Levels:
    """Per-level triangles R (q, q, J), projections V (m, q, J) of m columns, and how many levels each stands for."""

    R: np.ndarray
    V: np.ndarray
    multiplicity: np.ndarray | None = None

    @property
    def J(self) -> int:
        """Number of (pseudo-)levels."""
        return int(self.R.shape[2])


@dataclass(frozen=True, eq=False)
class Absorbed:
    """A block after its QR: the levels, the within part, and the rows of Q when other random terms need them."""

    levels: Levels
    within: np.ndarray
    order: Sorted
    Q: np.ndarray
    N_within: np.ndarray


def absorb(block: Block, N: np.ndarray, *, keep_rows: bool) -> Absorbed:
    """QR of every level's rows of the block; N (n, m) split into within-level and between-level parts.

    With ``keep_rows`` the rows Q (q, n) and (I - QQ')N (m, n) are kept, in sorted order.
    """
    records = sort_by_level(block.codes, block.J)
    m, q, J = N.shape[1], block.q, block.J
    R, V, within = np.zeros((q, q, J)), np.zeros((m, q, J)), np.zeros((m, m))
    kept = N.shape[0] if keep_rows else 0
    rows_Q, rows_N = np.empty((q, kept)), np.empty((m, kept))
    for first, last in _chunks(records.counts):
        at = slice(records.starts[first], records.starts[last - 1] + records.counts[last - 1])
        rows = at if isinstance(records.order, slice) else records.order[at]
        Z, N_rows = block.rows(rows).T.copy(), N[rows].T.copy()
        _level_qr(Z, N_rows, records.counts[first:last], R[:, :, first:last], V[:, :, first:last])
        within += N_rows @ N_rows.T
        if keep_rows:
            rows_Q[:, at], rows_N[:, at] = Z, N_rows
    return Absorbed(Levels(R, V), within, records, rows_Q, rows_N)


def absorb_nothing(N: np.ndarray) -> Absorbed:
    """The absorption of a block without levels: everything is within."""
    n, m = N.shape
    none = Levels(np.zeros((1, 1, 0)), np.zeros((m, 1, 0)))
    empty = np.zeros(0, dtype=np.int64)
    return Absorbed(none, N.T @ N, Sorted(slice(None), empty, empty), np.zeros((1, n)), N.T)


def _chunks(counts: np.ndarray) -> list[tuple[int, int]]:
    """Ranges of whole levels of about ``_CHUNK`` records each."""
    ends = np.cumsum(counts)
    marks = np.searchsorted(ends, np.arange(_CHUNK, ends[-1] + _CHUNK, _CHUNK)) + 1
    bounds = np.unique(np.concatenate(([0], np.minimum(marks, counts.size))))
    return list(zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True))


def _level_qr(Z: np.ndarray, N: np.ndarray, counts: np.ndarray, R: np.ndarray, V: np.ndarray) -> None:
    """Modified Gram-Schmidt in every level at once: Z (q, n) becomes Q, N (m, n) its part within levels.

    Applied to [Z N] as one matrix it is as stable as Householder's QR (Bjorck 1967).
    """
    starts = np.cumsum(counts) - counts
    length = np.sqrt(np.add.reduceat(Z * Z, starts, axis=1))
    for j in range(Z.shape[0]):
        size = np.sqrt(np.add.reduceat(Z[j] * Z[j], starts)) if j else length[0]
        independent = size > _DEPENDENT * length[j]
        R[j, j] = np.where(independent, size, 0.0)
        Z[j] *= np.repeat(np.divide(1.0, size, out=np.zeros_like(size), where=independent), counts)
        for k in range(j + 1, Z.shape[0]):
            R[j, k] = np.add.reduceat(Z[j] * Z[k], starts)
            Z[k] -= np.repeat(R[j, k], counts) * Z[j]
        V[:, j] = np.add.reduceat(N * Z[j], starts, axis=1)
        N -= np.repeat(V[:, j], counts, axis=1) * Z[j]


def merge(levels: Levels) -> Levels:
    """Levels with equal R_g stand for each other in (A): each class shrinks to at most q m pseudo-levels.

    sum_g N_g' W N_g over a class depends on the stacked rows vec(N_g) only through their Gram matrix, so the
    triangle of their QR serves as well. A random intercept over a million groups of a few dozen sizes keeps a
    few dozen classes.
    """
    m, q, J = levels.V.shape
    classes, members = _classes(levels.R)
    sizes = np.bincount(members, minlength=classes.size)
    kept_rows = np.minimum(sizes, m * q)
    if kept_rows.sum() > J // 2:
        return levels
    by_class = sort_by_level(members, classes.size)
    V = levels.V.reshape(m * q, J)[:, by_class.order].T
    pieces = [
        V[start : start + size] if size <= m * q else np.linalg.qr(V[start : start + size], mode="r")
        for start, size in zip(by_class.starts.tolist(), sizes.tolist(), strict=True)
    ]
    merged = np.ascontiguousarray(np.concatenate(pieces).T).reshape(m, q, -1)
    return Levels(
        R=np.ascontiguousarray(np.repeat(levels.R[:, :, classes], kept_rows, axis=2)),
        V=merged,
        multiplicity=np.repeat(sizes / kept_rows, kept_rows),
    )


def _classes(R: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First member of each class of bitwise equal R_g, and the class of each level."""
    q, _, J = R.shape
    upper = R[np.triu_indices(q)]
    # Equal triangles have equal images on a random direction; unequal ones only by an accident that is checked.
    image = np.random.default_rng(0).standard_normal(upper.shape[0]) @ upper if q > 1 else upper[0]
    _, first, members = np.unique(image, return_index=True, return_inverse=True)
    if not np.array_equal(upper, upper[:, first[members]]):
        return np.arange(J), np.arange(J)
    return first, members


@dataclass(frozen=True, eq=False)
class LevelFactor:
    """Cholesky factors L_g of I + A_g A_g', A_g = R_g T, for all levels: ``L[i][j]`` (J,)."""

    A: np.ndarray
    L: tuple[tuple[np.ndarray, ...], ...]

    def logdet(self, multiplicity: np.ndarray | None) -> float:
        """sum_g log |I + A_g A_g'|."""
        product = self.L[0][0]
        for i in range(1, len(self.L)):
            product = product * self.L[i][i]
        logs = np.log(product)
        return 2.0 * float(logs.sum() if multiplicity is None else multiplicity @ logs)

    def forward(self, V: np.ndarray) -> np.ndarray:
        """L_g^-1 V_g for V (..., q, J)."""
        Y = np.empty_like(V)
        for i, row in enumerate(self.L):
            y = V[..., i, :]
            for j in range(i):
                y = y - row[j] * Y[..., j, :]
            np.divide(y, row[i], out=Y[..., i, :])
        return Y

    def backward(self, Y: np.ndarray) -> np.ndarray:
        """L_g^-T Y_g for Y (..., q, J)."""
        q = len(self.L)
        X = np.empty_like(Y)
        for i in reversed(range(q)):
            x = Y[..., i, :]
            for j in range(i + 1, q):
                x = x - self.L[j][i] * X[..., j, :]
            np.divide(x, self.L[i][i], out=X[..., i, :])
        return X

    def solve(self, V: np.ndarray) -> np.ndarray:
        """(I + A_g A_g')^-1 V_g."""
        return self.backward(self.forward(V))

    def weights(self) -> np.ndarray:
        """W_g = (I + A_g A_g')^-1 as (q, q, J)."""
        q, J = len(self.L), self.L[0][0].size
        identity = np.broadcast_to(np.eye(q)[:, :, None], (q, q, J))
        return self.solve(identity)


def factor_levels(levels: Levels, T: np.ndarray) -> LevelFactor:
    """Factorise I + A_g A_g' for all levels by Gram-Schmidt on the rows of [A_g I].

    Cholesky on I + A A' itself would subtract squares: with a nearly singular T and a variance ratio of 1e8 it
    loses half of the digits of log|M|.
    """
    q, J = T.shape[0], levels.J
    if q == 1:
        A = levels.R * T[0, 0]
        return LevelFactor(A, ((np.hypot(1.0, A[0, 0]),),))
    A = np.matmul(T.T, levels.R)  # A[i] = T' R[i], that is A_g[i, j] = sum_k R_g[i, k] T[k, j]
    rows = np.zeros((q, 2 * q, J))
    rows[:, :q] = A
    L = []
    for i in range(q):
        v = rows[i, : q + i + 1]
        v[q + i] = 1.0
        L_i = []
        for j in range(i):
            e = rows[j, : q + j + 1]
            along = np.einsum("ag,ag->g", e, v[: q + j + 1])
            v[: q + j + 1] -= along * e
            L_i.append(along)
        size = np.sqrt(np.einsum("ag,ag->g", v, v))
        v /= size
        L.append((*L_i, size))
    return LevelFactor(A, tuple(L))
