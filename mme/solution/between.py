r"""Lambda M^-1 Lambda' between levels of different factors, for any pairs of them.

With H_2 = Lambda_2 K^-1 Lambda_2' of the remainder and P as in :mod:`mme.solution.gains`, H_gh is

    an entry of -P H_2 where g is of the absorbed factor,     of H_2 where neither is.

A dense H_2 is made whole. A sparse one is known on the pattern of K, which has what meets in a record of the fit; of
other pairs it takes a solve for every level that occurs, of the factor of which fewer do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.numeric.limits import limits
from mme.solution.diagonal import diagonal_blocks
from mme.solution.estimates import Estimates
from mme.solution.gains import Pattern, Rest, among, carried, numbers_of, products


@dataclass(frozen=True, eq=False)
class Covariances:
    """H = Lambda M^-1 Lambda' between levels of two blocks; what several calls share is made once."""

    estimates: Estimates

    def between(self, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """H_gh (pairs, q_s, q_t) of levels g of block s, ascending, and h of block t, which is not absorbed."""
        H_2 = self._rest.matrix
        if not isinstance(H_2, Pattern):
            return self._times(s, g, H_2, self._numbers(t, h))
        blocks, known = self._met(H_2, s, t, g, h)
        if not known.all():
            new = np.flatnonzero(~known)
            blocks[new] = self._solved(s, t, g[new], h[new])
        return blocks

    @property
    def diagonal(self) -> list[np.ndarray]:
        """Lambda M^-1 Lambda' of every level, block by block (J, q, q)."""
        return diagonal_blocks(self.estimates.objective, self.estimates.theta, self._rest.entries)

    @cached_property
    def _rest(self) -> Rest:
        return Rest(self.estimates.objective, self.estimates.theta, self.estimates.at)

    @cached_property
    def _P(self) -> sp.csr_array:
        return carried(self.estimates.objective, self.estimates.theta, self.estimates.at)

    def _place(self, t: int) -> int:
        """Where a block stands among those that were not absorbed."""
        absorbed = self.estimates.objective.plan.absorb
        return t - int(absorbed is not None and t > absorbed)

    def _numbers(self, t: int, h: np.ndarray) -> np.ndarray:
        """Numbers (levels, q_t) of the effects of levels of a block in the remainder."""
        objective = self.estimates.objective
        return numbers_of(int(objective.system.rest.offsets[self._place(t)]), objective.blocks[t].q, h)

    def _times(self, s: int, g: np.ndarray, V: np.ndarray, column: np.ndarray, symmetric: bool = True) -> np.ndarray:
        """H (pairs, q_s, c) at levels g of block s and columns (pairs, c) of V: H_2, or some columns of it."""
        objective = self.estimates.objective
        if s == objective.plan.absorb:
            return -products(self._P, V, objective.blocks[s].J, g, column, symmetric=symmetric)
        return np.asarray(V[self._numbers(s, g)[:, :, None], column[:, None, :]])

    def _met(self, H_2: Pattern, s: int, t: int, g: np.ndarray, h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The blocks of H for the pairs that are on the pattern of K, and which pairs these are."""
        objective, column = self.estimates.objective, self._numbers(t, h)
        if s != objective.plan.absorb:
            values, known = H_2.entries(self._numbers(s, g)[:, :, None], column[:, None, :])
            return values, np.asarray(known.all(axis=(1, 2)))
        met, J = objective.system.rest.crossing[self._place(t)].cells, objective.blocks[t].J
        _, known = among(met.rows * J + met.cols, g * J + h)
        blocks = np.empty((g.size, objective.blocks[s].q, column.shape[1]))
        blocks[known] = -products(self._P, H_2, objective.blocks[s].J, g[known], column[known])
        return blocks, known

    def _solved(self, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """The blocks of H by one solve per level: of the factor of which fewer levels occur, or of the remainder."""
        objective = self.estimates.objective
        if s != objective.plan.absorb and np.unique(g).size < np.unique(h).size:
            return self._solved(t, s, h, g).transpose(0, 2, 1)
        q_t, m = objective.blocks[t].q, objective.system.rest.m
        out = np.empty((g.size, objective.blocks[s].q, q_t))
        order = np.argsort(h, kind="stable")
        levels, first = np.unique(h[order], return_index=True)
        ends = np.append(first, g.size)
        step = max(1, limits().solved_numbers // (m * q_t))
        for begin in range(0, levels.size, step):
            chosen = levels[begin : begin + step]
            pairs = np.sort(order[ends[begin] : ends[begin + chosen.size]])
            column = numbers_of(0, q_t, np.searchsorted(chosen, h[pairs]))
            out[pairs] = self._times(s, g[pairs], self._columns(t, chosen), column, symmetric=False)
        return out

    def _columns(self, t: int, levels: np.ndarray) -> np.ndarray:
        """Columns (m, levels q_t) of H_2 at these levels of block t."""
        objective, at = self.estimates.objective, self.estimates.at.rest
        rest, T = objective.system.rest, objective.factors(self.estimates.theta).rest
        right = np.zeros((rest.m, levels.size, objective.blocks[t].q))
        # Lambda_2'e: row i of level h is T'[i]
        right[self._numbers(t, levels), np.arange(levels.size)[:, None]] = T[self._place(t)].T
        return rest.apply_lambda(at.solve(right.reshape(rest.m, -1)), T)
