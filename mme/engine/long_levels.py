r"""The absorption of a term of many records in one pass over panels of them: what is made of records is never whole.

With the QR of each level's rows of [Z N] (:mod:`mme.numeric.triangles`), into which records are rotated one by one,
(A) of :mod:`mme.engine.absorption` has its R and V, and what rotations leave of the rows of N is N'(I - QQ')N:

    Q_g'[Z_g N_g] = (R_g  V_g; 0  W_g),        N'(I - QQ')N = sum_g W_g'W_g
"""

from __future__ import annotations

import numpy as np

from mme.engine.absorption import Absorbed, Levels, Projected
from mme.engine.blocks import Block
from mme.engine.level_qr import DEPENDENT, level_qr, swept, without
from mme.engine.long_rows import LongRows
from mme.numeric.panels import add_products
from mme.numeric.triangles import loop_over, scaled_in_place

# What a combination of columns of Z leaves of a row of N below this share of it is rounding.
_ALIKE = 1e-14


def absorb_long(block: Block, rows: LongRows) -> Absorbed:
    """QR of every level's rows of the block beside N, which ``rows`` make."""
    A, outside = _inside(block, rows)
    found = _rotated(block, rows, A, outside)
    if found is None:
        outside = np.arange(rows.m)
        found = _rotated(block, rows, A, outside)
        assert found is not None
    triangles, within = found
    q, m = block.q, rows.m
    within += _without_rounding(triangles, q)
    NN = np.zeros((m, m))
    NN[np.ix_(outside, outside)] = within
    by_level = triangles.transpose(2, 1, 0)
    R, V = np.ascontiguousarray(by_level[:q].swapaxes(0, 1)), np.empty((m, q, block.J))
    V[outside] = by_level[q:]
    for k in np.setdiff1d(np.arange(m), outside).tolist():
        np.einsum("a,jag->jg", A[k], R, out=V[k])
    return Absorbed(Levels(R, V), NN)


def absorb_by_rows(block: Block, rows: LongRows, others: tuple[Block, ...]) -> tuple[Absorbed, Projected, np.ndarray]:
    """QR of every level's rows of the block beside N, and Z_2'(I - QQ')N (m, p + 1) of the other blocks.

    One row of N after the other is whole, for its sums by level; what levels leave of them all is made by panels.
    """
    codes, of = block.codes, level_qr(block.codes, block.J, block.columns_at(slice(None)))
    along, sums = np.empty((rows.m, block.q, block.J)), list[np.ndarray]()
    for k in range(rows.m):
        row = rows.row(k)
        along[k] = swept(of, codes, block.J, row)
        sums.append(np.concatenate([np.zeros(0), *(other.sums(row[None]).ravel() for other in others)]))
    NN = np.zeros((rows.m, rows.m))
    for cut, N in rows.panels():
        for j, z in enumerate(of.Z):
            without(N, along[:, j], codes[cut], None if z is None else z[cut], out=N)
        add_products(NN, N)
    along *= of.lengths.T
    left = Projected(codes, np.zeros((0, codes.size)), list(of.Z), of.lengths)
    return Absorbed(Levels(of.R, along), NN), left, np.column_stack(sums)


def _inside(block: Block, rows: LongRows) -> tuple[np.ndarray, np.ndarray]:
    """A (m, q) with N = A Z' for rows of N that are combinations of the columns of Z, and the others.

    As their V is A R', they need not be rotated. They are told by the first records.
    """
    cut, columns = next(rows.panels(ahead=block.q))
    Z, N = _beside(block, cut, columns), columns[block.q :]
    A = np.linalg.lstsq(Z.T, N.T, rcond=None)[0].T
    outside = np.linalg.norm(N - A @ Z, axis=1) > _ALIKE * np.linalg.norm(N, axis=1)
    outside[-1] = True
    return A, np.flatnonzero(outside)


def _rotated(block: Block, rows: LongRows, A: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Triangles of Z and the rows of N that are ``outside`` of it, and N'(I - QQ')N of these.

    None where some record shows that others are not A Z'.
    """
    q, m = block.q, outside.size
    held, NN, room = np.zeros((block.J, q, q + m)), np.zeros((m, m)), np.empty(q + m + q)
    inside = np.setdiff1d(np.arange(rows.m), outside)
    rotate = loop_over(rows.y.size, q)
    for cut, columns in rows.panels(ahead=q):
        Z = _beside(block, cut, columns)
        if inside.size:
            N = columns[q + inside]
            left = N - A[inside] @ Z
            if (np.einsum("mi,mi->m", left, left) > _ALIKE**2 * np.einsum("mi,mi->m", N, N)).any():
                return None
        if m < rows.m:
            columns[q : q + m] = columns[q + outside]
        rotate(held, block.codes[cut].astype(np.int64), columns[: q + m], room)
        add_products(NN, columns[q : q + m])
    return scaled_in_place(held), NN


def _beside(block: Block, cut: slice, columns: np.ndarray) -> np.ndarray:
    """Z' of some records, written in front of their N."""
    for a, column in enumerate(block.columns_at(cut)):
        columns[a] = 1.0 if column is None else column
    return columns[: block.q]


def _without_rounding(triangles: np.ndarray, q: int) -> np.ndarray:
    """Leave directions out of the triangles (J, q, q + m) that rounding made; their N'N (m, m), which is within levels.

    A column that depends on earlier ones within a level leaves rounding on the diagonal of R, and behind it whatever
    the rows have along that direction of no meaning.
    """
    within = np.zeros((triangles.shape[2] - q,) * 2)
    for j in range(q):
        length = np.sqrt(np.einsum("gi,gi->g", triangles[:, : j + 1, j], triangles[:, : j + 1, j]))
        at = np.flatnonzero((triangles[:, j, j] <= DEPENDENT * length) & triangles[:, j].any(axis=1))
        if not at.size:
            continue
        below, k = triangles[at, j:, j + 1 :], q - 1 - j  # rows that have lost column j: one too many
        turned = np.linalg.qr(below[:, :, :k], mode="complete")[0].transpose(0, 2, 1) @ below
        signs = np.where(np.einsum("gii->gi", turned[:, :k, :k]) < 0.0, -1.0, 1.0)
        triangles[at, j] = 0.0
        triangles[at, j + 1 :, j + 1 :] = np.triu(turned[:, :k] * signs[:, :, None])
        left = turned[:, k, k:]
        within += left.T @ left
    return within
