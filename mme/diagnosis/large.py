r"""What large groups of records do to beta: (I - H_gg)^-1 e_g by conjugate gradients, many groups in step.

With P and H_2 as in ``groups.py``, W_g = Z_2 - Z_1 P and U_g the rows of V^-1 X R_X^-1 of the group's records,

    H_gg = Z_1 T (I + A'A)^-1 T' Z_1' + W_g H_2 W_g' + U_g U_g',                                                    (C)

so that a step costs the entries of P at the levels that a group meets, and m^2 for each group in one product. The
eigenvalues of I - H_gg are in (0, 1], nearly all of them close to one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.diagnosis.groups import GroupHats
from mme.diagnosis.levels import DETERMINED
from mme.numeric.limits import limits
from mme.numeric.sums import Column, coding

# Residuals, as a share of e_g, at which a group is done, or is given up if it has not come so far.
_DONE, _GOOD = 1e-12, 1e-11


def large_shifts(hats: GroupHats, U: np.ndarray, e: np.ndarray, groups: list[np.ndarray]) -> np.ndarray:
    """U_g'(I - H_gg)^-1 e_g (groups, p) for these records of each; NaN where that is not determined or not reached.

    A fixed effect that is lost with the group leaves I - H_gg singular, but e_g orthogonal to what is lost.
    """
    out = [np.zeros((0, U.shape[1]))]
    for batch in _batches(groups):
        records = np.concatenate(batch)
        part = _Groups.of(hats, records, np.array([one.size for one in batch]), U[records])
        out.append(part.sums(part.U * _solve(part, e[records])[:, None]))
    shifts, Q = np.concatenate(out), hats.objective.basis.Q
    shifts[[_loses(Q[records]) for records in groups]] = np.nan
    return shifts


def _loses(Q: np.ndarray) -> bool:
    """Whether the other records have less than the rank of X, these being rows of its orthonormal basis."""
    return bool(np.linalg.eigvalsh(np.eye(Q.shape[1]) - Q.T @ Q).min(initial=1.0) < DETERMINED)


@dataclass(frozen=True, eq=False)
class _Groups:
    """The parts of (C) for groups whose records lie one behind another from ``first``; ``group`` (n,) is a record's.

    Z_2 and P have m columns for each group; Z_1 has the coefficients of each level that a group meets, P their rows,
    ``inner`` their T (I + A'A)^-1 T'.
    """

    group: np.ndarray
    first: np.ndarray
    Z_2: sp.csr_array
    Z_1: sp.csr_array
    P: sp.csr_array
    inner: sp.bsr_array
    U: np.ndarray
    H_2: np.ndarray

    @classmethod
    def of(cls, hats: GroupHats, records: np.ndarray, sizes: np.ndarray, U: np.ndarray) -> _Groups:
        rest, block = hats.objective.system.rest, hats.objective.absorbing
        group, m = np.repeat(np.arange(sizes.size), sizes), rest.m
        Z_2, wide = sp.csr_array((records.size, m)), sizes.size * m
        for other, start in zip(rest.blocks, rest.offsets[:-1].tolist(), strict=True):
            for a, column in enumerate(other.columns):
                at = start + coding(other.codes, a)[records] * other.q + a
                Z_2 = Z_2 + _one_a_row(column, records, at, m)
        Z_1, P, inner = sp.csr_array((records.size, 0)), sp.csr_array((0, wide)), sp.bsr_array((0, 0))
        if block is not None:
            met, cell = np.unique(group * block.J + block.codes[records], return_inverse=True)
            of_cell, level = np.divmod(met, block.J)
            Z_1 = sp.csr_array((records.size, met.size * block.q))
            for a, column in enumerate(block.columns):
                Z_1 = Z_1 + _one_a_row(column, records, cell * block.q + a, Z_1.shape[1])
            rows = hats.P[(level[:, None] + np.arange(block.q) * block.J).ravel()]
            P = _shifted(rows, np.repeat(of_cell, block.q), wide)
            inner = sp.bsr_array((hats.inner[level], np.arange(met.size), np.arange(met.size + 1)))
        return cls(group, np.cumsum(sizes) - sizes, _shifted(Z_2, group, wide), Z_1, P, inner, U, hats.H2)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Sums (groups, ...) of rows (n, ...)."""
        return np.asarray(np.add.reduceat(rows, self.first))

    def left(self, x: np.ndarray) -> np.ndarray:
        """(I - H_gg) x_g of every group."""
        own = self.Z_1.T @ x
        others = self.Z_2.T @ x - self.P.T @ own  # W'x
        through = (others.reshape(self.first.size, -1) @ self.H_2).ravel()
        fixed = np.einsum("ip,ip->i", self.U, self.sums(self.U * x[:, None])[self.group])
        return np.asarray(x - self.Z_2 @ through - self.Z_1 @ (self.inner @ own - self.P @ through) - fixed)


def _solve(groups: _Groups, e: np.ndarray) -> np.ndarray:
    """(I - H_gg)^-1 e_g of every group, each with steps of its own; NaN for a group that does not get there."""
    x, r, d = np.zeros_like(e), e.copy(), e.copy()
    first = rho = groups.sums(r * r)
    determined = np.ones(rho.size, dtype=bool)
    for _ in range(limits().large_group_steps):
        active = determined & (rho > _DONE**2 * first)
        if not active.any():
            break
        left = groups.left(d)
        curved = groups.sums(d * left)
        determined &= ~active | (curved > DETERMINED * groups.sums(d * d))
        step = np.divide(rho, curved, out=np.zeros(rho.size), where=active & determined)[groups.group]
        x += step * d
        r -= step * left
        new = groups.sums(r * r)
        d = r + np.divide(new, rho, out=np.zeros(rho.size), where=rho > 0.0)[groups.group] * d
        rho = new
    return np.where((determined & (rho <= _GOOD**2 * first))[groups.group], x, np.nan)


def _one_a_row(column: Column, records: np.ndarray, at: np.ndarray, width: int) -> sp.csr_array:
    """A column of Z for these records, one entry each."""
    values = np.ones(records.size) if column is None else column[records]
    return sp.csr_array((values, at, np.arange(records.size + 1)), shape=(records.size, width))


def _shifted(rows: sp.csr_array, group: np.ndarray, wide: int) -> sp.csr_array:
    """Rows (n, m) with m columns for each group, in those of their own."""
    by = np.repeat((group * rows.shape[1]).astype(rows.indices.dtype), np.diff(rows.indptr))
    return sp.csr_array((rows.data, rows.indices + by, rows.indptr), shape=(rows.shape[0], wide))


def _batches(groups: list[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """Groups of about so many records in all."""
    batch = np.cumsum([0, *(records.size for records in groups)])[:-1] // limits().large_group_records
    for number in np.unique(batch):
        yield [records for records, of in zip(groups, batch, strict=True) if of == number]
