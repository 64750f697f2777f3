r"""Blocks of P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1 among records of one group, and Z'P Z level by level.

With H = Lambda M^-1 Lambda', E = H Z'Q L_X^-T and k = V^-1 Q L_X^-T of :mod:`mme.solution.prediction_error`, all of
whitened records,

    V^-1 = I - Z H Z',      P = V^-1 - k k',      e = P y                                                        (P)

Groups are those of the residual structure, levels those of each term: nothing of size n x n is made.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from mme.engine.objective import Objective
from mme.engine.pls import coordinates, effects
from mme.numeric.lapack import triangular_solve
from mme.numeric.panels import panels
from mme.numeric.sums import Cells
from mme.solution.between import Covariances
from mme.solution.estimates import Estimates


@dataclass(frozen=True, eq=False)
class Meetings:
    """The cells in which levels of two blocks meet, found once for a model, and Z_s'Z_t in them, once a phi.

    Pairs of blocks are (s, t), t not absorbed; ``products`` are of the ``columns`` of all blocks.
    """

    cells: dict[tuple[int, int], Cells] = field(default_factory=dict)
    products: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    columns: list[Any] = field(default_factory=list)

    def of(self, objective: Objective) -> Iterator[tuple[int, int, Cells]]:
        """Yield each pair of blocks with its cells."""
        blocks, absorbed = objective.blocks, objective.plan.absorb
        for one, other in combinations(range(len(blocks)), 2):
            s, t = (other, one) if other == absorbed else (one, other)
            if (s, t) not in self.cells and s == absorbed:
                self.cells[s, t] = objective.system.rest.crossing[t - (t > s)].cells
            elif (s, t) not in self.cells:
                self.cells[s, t] = blocks[s].cells(blocks[t])
            yield s, t, self.cells[s, t]

    def sums(self, objective: Objective, s: int, t: int) -> np.ndarray:
        """Z_s'Z_t (cells, q_s, q_t)."""
        columns = [block.columns for block in objective.blocks]
        if len(columns) != len(self.columns) or any(a is not b for a, b in zip(columns, self.columns, strict=True)):
            self.products.clear()
            self.columns[:] = columns
        if (s, t) not in self.products:
            self.products[s, t] = self.cells[s, t].sums(columns[s], columns[t])
        return self.products[s, t]


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """(P) at one theta at which no T is singular."""

    estimates: Estimates
    meetings: Meetings

    @property
    def objective(self) -> Objective:
        """The criterion at phi."""
        return self.estimates.objective

    @cached_property
    def spherical(self) -> list[np.ndarray]:
        """u of every block (J, q, p + 1) for the columns of k and for e: b = T u."""
        objective, at, p = self.objective, self.estimates.at, self.objective.system.p
        inverse = triangular_solve(at.border[:p, :p], np.eye(p), transposed=False)
        of_X = np.concatenate([inverse, np.zeros((p, 1))], axis=1)
        of_y = np.append(-coordinates(at.border), 1.0)
        T = objective.factors(self.estimates.theta)
        u_absorbed, u_rest = effects(objective.system, at, T, np.vstack([of_X, of_y]))
        starts = objective.system.rest.offsets[:-1].tolist()
        out = [
            u_rest[start : start + block.J * block.q].reshape(block.J, block.q, -1)
            for block, start in zip(objective.rest, starts, strict=True)
        ]
        if objective.plan.absorb is not None:
            out.insert(objective.plan.absorb, u_absorbed.transpose(2, 1, 0))
        return out

    @cached_property
    def rows(self) -> np.ndarray:
        """k', and below it e (p + 1, n): what is left of the whitened columns of X L_X^-T and of y."""
        objective, at, p = self.objective, self.estimates.at, self.objective.system.p
        basis = objective.basis
        k = triangular_solve(at.border[:p, :p], basis.Q.T, transposed=False)
        return self._without_effects(np.vstack([k, basis.r - basis.Q @ coordinates(at.border)]))

    def _without_effects(self, rows: np.ndarray) -> np.ndarray:
        """Rows (p + 1, n) less Z b of each."""
        for block, u in zip(self.objective.blocks, self.spherical, strict=True):
            b = np.matmul(block.T(self.estimates.theta), u)
            for a, column in enumerate(block.columns):
                part = b[:, a].T[:, block.codes]
                rows -= part if column is None else part * column
        return rows

    @cached_property
    def covariances(self) -> list[np.ndarray]:
        """H of every level, block by block (J, q, q)."""
        return self._covariances.diagonal

    @cached_property
    def crossed(self) -> list[tuple[int, int, Cells, np.ndarray]]:
        """H (cells, q_s, q_t) where levels of two blocks meet."""
        found = self.meetings.of(self.objective)
        return [(s, t, met, self._covariances.between(s, t, met.rows, met.cols)) for s, t, met in found]

    @cached_property
    def _covariances(self) -> Covariances:
        return Covariances(self.estimates)

    def among(self, members: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """V^-1 - rows' diag(weights) rows among the records of groups, members (G, s): (G, s, s)."""
        out = np.empty((*members.shape, members.shape[1]))
        for cut in panels(len(members)):
            at = members[cut]
            some = self.rows[:, at]  # p + 1, G, s
            out[cut] = -np.matmul((weights[:, None, None] * some).transpose(1, 2, 0), some.transpose(1, 0, 2))
            np.einsum("gii->gi", out[cut])[:] += 1.0
            if self.objective.blocks:
                Z = self._columns(at)
                out[cut] -= np.matmul(np.matmul(Z, self._joint(at[:, 0])), Z.transpose(0, 2, 1))
        return out

    def _columns(self, members: np.ndarray) -> np.ndarray:
        """The columns of all blocks side by side (G, s, q)."""
        columns = [column for block in self.objective.blocks for column in block.columns]
        return np.stack([np.ones(members.shape) if one is None else one[members] for one in columns], axis=2)

    def _joint(self, record: np.ndarray) -> np.ndarray:
        """H (G, q, q) among all effects of a record of each group."""
        ends = np.cumsum([0, *(block.q for block in self.objective.blocks)]).tolist()
        at = [slice(a, b) for a, b in pairwise(ends)]
        H = np.empty((record.size, ends[-1], ends[-1]))
        for b, block in enumerate(self.objective.blocks):
            H[:, at[b], at[b]] = self.covariances[b][block.codes[record]]
        for s, t, met, values in self.crossed:
            H[:, at[s], at[t]] = values[met.of_record[record]]
            H[:, at[t], at[s]] = H[:, at[s], at[t]].transpose(0, 2, 1)
        return H

    def gains(self, b: int) -> np.ndarray:
        """N = sum_g (Z'Z H)_gg of block b (q, q): sum_gh K_gh (Z'V^-1 Z)_gh times T T'."""
        objective = self.objective
        total = np.einsum("gij,gjk->ik", objective.blocks[b].gram, self.covariances[b])
        for s, t, _, H in self.crossed:
            if b in (s, t):
                products = self.meetings.sums(objective, s, t)
                total = total + np.einsum("cij,ckj->ik" if b == s else "cij,cik->jk", products, H)
        return np.asarray(total)
