r"""What large groups of records do to beta: (I - H_gg)^-1 e_g by conjugate gradients, many groups in step.

With P and H_2 as in ``hat_groups.py``, W_g = Z_2 - Z_1 P and U_g the rows of V^-1 X R_X^-1 of the group's records,

    H_gg = Z_1 T (I + A'A)^-1 T' Z_1' + W_g H_2 W_g' + U_g U_g',                                                    (C)

so that a step costs the entries of W_g for every group and m^2 for all of them: one product with H_2. The eigenvalues
of I - H_gg are in (0, 1], nearly all of them close to one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.blocks import Block
from mme.crossproducts import coding
from mme.gains import level_operator
from mme.hat_groups import GroupHats
from mme.hat_levels import DETERMINED

# Records of the groups in step: W_g has some tens of entries for each.
_RECORDS = 100_000
_STEPS = 300
# Residuals, as a share of e_g, at which a group is done, or is given up if it has not come so far.
_DONE, _GOOD = 1e-13, 1e-11


def large_shifts(hats: GroupHats, U: np.ndarray, e: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """U_g'(I - H_gg)^-1 e_g (groups, p) for these records of each; NaN where the steps do not lead there."""
    out = [np.zeros((0, U.shape[1]))]
    for batch in _batches(groups):
        parts = [_Group.of(hats, records, U[records]) for records in batch]
        solved = _solve(hats.H2, parts, [e[records] for records in batch])
        out.append(np.array([part.U.T @ x for part, x in zip(parts, solved, strict=True)]))
    return np.concatenate(out)


@dataclass(frozen=True, eq=False)
class _Group:
    """The parts of (C): rows of Z_1 at the levels met, their covariance, W_g and U_g."""

    Z: sp.csr_array
    inner: sp.csr_array
    W: sp.csr_array
    U: np.ndarray

    @classmethod
    def of(cls, hats: GroupHats, records: np.ndarray, U: np.ndarray) -> _Group:
        rest, block = hats.objective.system.rest, hats.objective.absorbing
        W = _rows(rest.blocks, rest.offsets[:-1].tolist(), rest.m, records)
        if block is None:
            return cls(sp.csr_array((records.size, 0)), sp.csr_array((0, 0)), W, U)
        by_level = _rows((block,), [0], block.q * block.J, records)
        level, a = np.divmod(np.unique(by_level.indices), block.q)
        Z, met = by_level[:, level * block.q + a], a * block.J + level  # P and inner have the coefficient first
        inner = level_operator(hats.inner.transpose(1, 2, 0))
        return cls(Z, inner[met][:, met], sp.csr_array(W - Z @ hats.P[met]), U)

    def left(self, x: np.ndarray, through: np.ndarray) -> np.ndarray:
        """(I - H_gg) x, from H_2 W_g'x."""
        return np.asarray(x - self.Z @ (self.inner @ (self.Z.T @ x)) - self.W @ through - self.U @ (self.U.T @ x))


def _solve(H_2: np.ndarray, parts: list[_Group], right: list[np.ndarray]) -> list[np.ndarray]:
    """Conjugate gradients on every group, each with steps of its own."""
    x, r = [np.zeros_like(e) for e in right], [e.copy() for e in right]
    d, rho = [e.copy() for e in right], np.array([e @ e for e in right])
    first, active = rho.copy(), np.flatnonzero(rho > 0.0)
    for _ in range(_STEPS):
        through = H_2 @ np.stack([parts[g].W.T @ d[g] for g in active], axis=1)
        for g, column in zip(active.tolist(), through.T, strict=True):
            left = parts[g].left(d[g], column)
            curved = float(d[g] @ left)
            if curved <= DETERMINED * float(d[g] @ d[g]):
                rho[g] = np.inf
                continue
            step = rho[g] / curved
            x[g] += step * d[g]
            r[g] -= step * left
            rho[g], before = r[g] @ r[g], rho[g]
            d[g] = r[g] + rho[g] / before * d[g]
        active = active[(rho[active] > _DONE**2 * first[active]) & np.isfinite(rho[active])]
        if not active.size:
            break
    done = rho <= _GOOD**2 * first
    return [value if found else np.full_like(value, np.nan) for value, found in zip(x, done.tolist(), strict=True)]


def _rows(blocks: tuple[Block, ...], starts: list[int], m: int, records: np.ndarray) -> sp.csr_array:
    """Rows of Z of these records: level by level, coefficient by coefficient."""
    n = records.size
    cols, data = [np.zeros((0, n), dtype=np.int64)], [np.zeros((0, n))]
    for block, start in zip(blocks, starts, strict=True):
        for a, column in enumerate(block.columns):
            cols.append((start + coding(block.codes, a)[records] * block.q + a)[None])
            data.append((np.ones(n) if column is None else column[records])[None])
    at, values = np.concatenate(cols), np.concatenate(data)
    rows = np.broadcast_to(np.arange(n), at.shape)
    return sp.csr_array(sp.coo_array((values.ravel(), (rows.ravel(), at.ravel())), shape=(n, m)))


def _batches(groups: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Groups of about so many records in all."""
    batch = np.cumsum([0, *(records.size for records in groups)])[:-1] // _RECORDS
    for number in np.unique(batch):
        yield [records for records, of in zip(groups, batch, strict=True) if of == number]
