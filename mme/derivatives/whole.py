r"""The uncertainty (P) of :mod:`mme.derivatives.uncertainty` where a record has several levels of one factor.

It has them where the whitening mixes records of different levels, or where each column has levels of its own.

Levels then meet that share no record, so that H = Lambda M^-1 Lambda' is made whole, among all q effects: this serves
models in which n q numbers are few. Z is the sparse matrix of all blocks, level by level.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.derivatives.uncertainty import Uncertainty
from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.numeric.limits import limits
from mme.numeric.panels import panels
from mme.numeric.sums import coding
from mme.solution.diagonal import level_covariance
from mme.solution.gains import carried, whole_rest


def is_mixed(objective: Objective) -> bool:
    """Whether records of the model have several levels of a factor."""
    return any(block.records is not None or block.by_column for block in objective.blocks)


def fits_whole(objective: Objective) -> bool:
    """Whether H and Z H are small."""
    q = sum(block.J * block.q for block in objective.blocks)
    return q * max(q, objective.model.n) <= limits().information_entries


def matrix_of(block: Block, n: int) -> sp.csr_array:
    """Z of a block's whitened columns (n, J q), column g q + a."""
    if block.entries is not None:
        return sp.csr_array(block.entries.transposed(block.columns).T)
    values = np.array([np.ones(n) if column is None else column for column in block.columns])
    places = np.array([coding(block.codes, a) * block.q + a for a in range(block.q)])
    ends = np.arange(0, (n + 1) * block.q, block.q)
    return sp.csr_array((values.T.ravel(), places.T.ravel(), ends), shape=(n, block.J * block.q))


@dataclass(frozen=True, eq=False)
class WholeUncertainty(Uncertainty):
    """(P) by matrices of all effects, in the order of the blocks."""

    @cached_property
    def matrices(self) -> list[sp.csr_array]:
        """Z of every block."""
        return [matrix_of(block, self.objective.model.n) for block in self.objective.blocks]

    def _without_effects(self, rows: np.ndarray) -> np.ndarray:
        """Rows (p + 1, n) less Z b of each."""
        for block, Z, u in zip(self.objective.blocks, self.matrices, self.spherical, strict=True):
            b = np.matmul(block.T(self.estimates.theta), u)
            rows -= np.asarray(Z @ b.reshape(Z.shape[1], -1)).T
        return rows

    def among(self, members: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """V^-1 - rows' diag(weights) rows among the records of groups, members (G, s): (G, s, s)."""
        out, Z = np.empty((*members.shape, members.shape[1])), sp.csr_array(sp.hstack(self.matrices))
        for cut in panels(len(members)):
            at = members[cut]
            some = self.rows[:, at]
            out[cut] = -np.matmul((weights[:, None, None] * some).transpose(1, 2, 0), some.transpose(1, 0, 2))
            np.einsum("gii->gi", out[cut])[:] += 1.0
            own = Z[at.ravel()].toarray().reshape(*at.shape, -1)
            out[cut] -= np.matmul(own, self._ZH[at].transpose(0, 2, 1))
        return out

    def gains(self, b: int) -> np.ndarray:
        """N = sum_g (Z'Z H)_gg of block b (q, q)."""
        block, first = self.objective.blocks[b], sum(Z.shape[1] for Z in self.matrices[:b])
        cross = self.matrices[b].T @ self._ZH[:, first : first + block.J * block.q]  # Z_b'Z H
        return np.asarray(np.einsum("gigj->ij", np.asarray(cross).reshape(block.J, block.q, block.J, block.q)))

    @cached_property
    def _ZH(self) -> np.ndarray:
        """Z H (n, q)."""
        objective, theta, at = self.objective, self.estimates.theta, self.estimates.at
        H_2, absorbed = whole_rest(objective, theta, at.rest), objective.plan.absorb
        rest = [Z for b, Z in enumerate(self.matrices) if b != absorbed]
        Z_2 = sp.csr_array(sp.hstack(rest)) if rest else sp.csr_array((objective.model.n, 0))
        if absorbed is None:
            return np.asarray(Z_2 @ H_2)
        block, Z_1 = objective.blocks[absorbed], self.matrices[absorbed]
        J, q = block.J, block.q
        by_level = np.arange(J)[:, None] + J * np.arange(q)  # from rows a J + g to g q + a
        P = sp.csr_array(carried(objective, theta, at)[by_level.ravel()])
        own = sp.block_diag(list(level_covariance(objective, theta, at)), format="csr")
        left = np.asarray(Z_2 @ H_2) - np.asarray((Z_1 @ P) @ H_2)  # (Z H)_2
        of_levels = (Z_1 @ own).toarray() - np.asarray(P @ left.T).T
        place = sum(Z.shape[1] for Z in self.matrices[:absorbed])
        return np.hstack([left[:, :place], of_levels, left[:, place:]])
