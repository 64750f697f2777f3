r"""(H) whole, by a sparse factor of all random effects: any relationships, any number of crossed factors.

    H = Lambda'Z'W Z Lambda + K^-1

on the pattern of Z'Z and K^-1 (:mod:`mme.engine.schur_pattern` with nothing absorbed). Entries of H^-1 on that pattern
are all that leverages, gains and covariances take: the selected inverse has them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.lambdas import sandwich
from mme.engine.penalty import Penalty
from mme.engine.schur_pattern import SchurPattern, penalty_values, schur_pattern
from mme.generalised.columns import Effects, Prior
from mme.generalised.levels import seen_alone
from mme.numeric.factor import Analysis, SymmetricFactor, analyse
from mme.numeric.limits import limits
from mme.numeric.sums import no_cells, of_pair, times


@dataclass(frozen=True, eq=False)
class SparseEquations:
    """The pattern of H and its analysis."""

    blocks: tuple[Block, ...]
    pattern: SchurPattern
    analysis: Analysis
    fixed_penalty: np.ndarray
    penalty: Penalty | None

    @classmethod
    def of(cls, blocks: tuple[Block, ...], offsets: np.ndarray) -> SparseEquations:
        """Order the effects and analyse the pattern of H, once a model."""
        pattern = schur_pattern(blocks, offsets, tuple(no_cells() for _ in blocks), None, 1, 0)
        analysis = analyse(pattern.lower())
        analysis.require_memory("the random effects of this model")
        values = penalty_values(blocks)
        return cls(blocks, pattern, analysis, values, Penalty.of(blocks, values))

    @cached_property
    def dear(self) -> bool:
        """Whether the factor takes more products than passes over the records."""
        return self.analysis.flops > limits().dear_factor * self.blocks[0].codes.shape[-1]

    @property
    def description(self) -> str:
        """How the effects are ordered and factorised, in words."""
        return self.analysis.description

    def factor(self, prior: Prior, W: np.ndarray) -> SparseFactors:
        """Factorise H of all effects at once."""
        return SparseFactors(self, prior, self._gram(W), W)

    def _gram(self, W: np.ndarray) -> np.ndarray:
        """Z'W Z on the pattern, family by family."""
        values = np.zeros(self.pattern.size)
        for family, direct in zip(self.pattern.families, self.pattern.direct, strict=True):
            left = [W if column is None else W * column for column in self.blocks[family.t_row].columns]
            met = direct.cells.sums(left, self.blocks[family.t_col].columns)
            family.blocks(values)[direct.at] = met[direct.lower]
        return values


@dataclass(frozen=True, eq=False)
class SparseFactors:
    """The factor of H; ``gram`` is Z'W Z on the pattern, family by family."""

    of: SparseEquations
    prior: Prior
    gram: np.ndarray
    W: np.ndarray

    def __post_init__(self) -> None:
        _ = self.L

    @cached_property
    def L(self) -> SymmetricFactor:
        """The Cholesky factor of H."""
        pattern, values = self.of.pattern, self.gram.copy()
        for family in pattern.families:
            sandwich(self.prior.T[family.t_row].T, family.blocks(values), self.prior.T[family.t_col])
        entries = values if pattern.in_order else values[pattern.source]
        entries[pattern.penalty_at] += self._penalty
        return self.of.analysis.factor(entries)

    @property
    def _penalty(self) -> np.ndarray:
        at = self.of.penalty
        return self.of.fixed_penalty if at is None else at(self.prior.theta)[0]

    @property
    def logdet(self) -> float:
        """log|H|."""
        return self.L.logdet

    def solve(self, r: Effects) -> Effects:
        """H^-1 r."""
        u = self.L.solve(np.concatenate([one.T.ravel() for one in r]))
        cuts = np.split(u, np.cumsum([one.size for one in r])[:-1])
        return [cut.reshape(one.shape[1], one.shape[0]).T for cut, one in zip(cuts, r, strict=True)]

    @cached_property
    def inverse(self) -> np.ndarray:
        """H^-1 on the pattern, family by family."""
        pattern = self.of.pattern
        return pattern.by_family(self.L.inverse_entries(pattern.row, pattern.col))

    @cached_property
    def covariance(self) -> np.ndarray:
        """Lambda H^-1 Lambda' on the pattern, family by family."""
        values = self.inverse.copy()
        for family in self.of.pattern.families:
            sandwich(self.prior.T[family.t_row], family.blocks(values), self.prior.T[family.t_col].T)
        return values

    def leverages(self) -> np.ndarray:
        """m_i'H^-1 m_i (n,): entries between the levels of one record."""
        h = np.zeros(self.of.blocks[0].codes.shape[-1])
        for family, direct in zip(self.of.pattern.families, self.of.pattern.direct, strict=True):
            left, right = self.of.blocks[family.t_row], self.of.blocks[family.t_col]
            same = family.t_row == family.t_col
            blocks = family.blocks(self.covariance)
            at = np.full(direct.cells.count, -1)
            at[direct.lower] = direct.at
            for a, x in enumerate(left.columns):
                for c, z in enumerate(right.columns):
                    cell = at[of_pair(direct.cells.of_record, a, c)]
                    value = np.where(cell >= 0, blocks[cell, a, c], 0.0)
                    if same and left.by_column:
                        value *= np.where(family.diagonal[cell], 1.0, 2.0)
                    h += (1.0 if same else 2.0) * times(value, x, z)
        return h

    def gains(self) -> list[np.ndarray]:
        """sum_g [Z'W Z Lambda H^-1]_gg of every block."""
        T, out = self.prior.T, [np.zeros((block.q, block.q)) for block in self.of.blocks]
        for family in self.of.pattern.families:
            A, H = family.blocks(self.gram), family.blocks(self.inverse)
            t, s = family.t_row, family.t_col
            out[t] += np.einsum("gac,cd,gbd->ab", A, T[s], H, optimize=True)
            off = ~family.diagonal
            if t != s or off.any():
                out[s] += np.einsum("gac,ad,gdb->cb", A[off], T[t], H[off], optimize=True)
        return out

    def level_gains(self) -> list[np.ndarray]:
        """Those of every level (q, q, J)."""
        T, out = self.prior.T, [np.zeros((block.J, block.q, block.q)) for block in self.of.blocks]
        for family in self.of.pattern.families:
            A, H = family.blocks(self.gram), family.blocks(self.inverse)
            t, s, off = family.t_row, family.t_col, ~family.diagonal
            np.add.at(out[t], family.rows, A @ T[s] @ H.transpose(0, 2, 1))
            np.add.at(out[s], family.cols[off], A[off].transpose(0, 2, 1) @ T[t] @ H[off])
        return [one.transpose(1, 2, 0) for one in out]

    def seen(self) -> list[np.ndarray]:
        """A_g (I + T T'A_g)^-1 of every level, as if levels were independent and other blocks held."""
        return [seen_alone(block, T, self.W) for block, T in zip(self.of.blocks, self.prior.T, strict=True)]

    def trace_with(self, b: int, precision: sp.csr_array) -> float:
        """tr(H^-1 (P (x) I)), from the entries of H^-1 between the levels of one block."""
        for family in self.of.pattern.families:
            if family.t_row == family.t_col == b:
                P = np.asarray(precision[family.rows, family.cols]).ravel()
                own = np.einsum("gaa->g", family.blocks(self.inverse))
                return float(np.where(family.diagonal, 1.0, 2.0) * P @ own)
        raise IndexError(b)

    def by_level(self) -> None:
        """Levels meet."""

    def covariances(self) -> list[np.ndarray]:
        """Lambda H^-1 Lambda' of every level (J, q, q)."""
        return [self.of.pattern.diagonal_blocks(self.covariance, t) for t in range(len(self.of.blocks))]

    def between(self, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Lambda H^-1 Lambda' (pairs, q_s, q_t), by a solve for every level of the block of which fewer occur."""
        if np.unique(g).size < np.unique(h).size:
            return self.between(t, s, h, g).transpose(0, 2, 1)
        blocks, offsets, T = self.of.blocks, self.of.pattern.offsets, self.prior.T
        q_s, q_t = blocks[s].q, blocks[t].q
        out, order = np.empty((g.size, q_s, q_t)), np.argsort(h, kind="stable")
        levels, first = np.unique(h[order], return_index=True)
        ends = np.append(first, g.size)
        step = max(1, limits().solved_numbers // (self.of.pattern.m * q_t))
        for begin in range(0, levels.size, step):
            chosen = levels[begin : begin + step]
            right = np.zeros((self.of.pattern.m, chosen.size, q_t))
            # Lambda'e: row i of level h is T'[i]
            numbers = offsets[t] + chosen[:, None] * q_t + np.arange(q_t)
            right[numbers, np.arange(chosen.size)[:, None]] = T[t].T
            solved = self.L.solve(right.reshape(right.shape[0], -1)).reshape(right.shape)
            pairs = order[ends[begin] : ends[begin + chosen.size]]
            rows = offsets[s] + g[pairs][:, None] * q_s + np.arange(q_s)
            out[pairs] = T[s] @ solved[rows, np.searchsorted(chosen, h[pairs])[:, None]]
        return out
