r"""The Schur complement of the absorbed block on the other random effects, at every theta.

With B_g = Q_g'Z_2 (one row a column of the absorbed block, few columns not zero),

    S(theta) = Z_2'(I - QQ')Z_2 + sum_g B_g' W_g B_g,      W_g = (I + R_g T T' R_g')^-1                           (S)

The first part is computed once. Every entry of the second is a fixed linear map (``scatter``) of the entries of the
W_g, so that an evaluation is one sparse matrix-vector product, never a product of sparse matrices.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from mme.engine.absorption import Levels
from mme.engine.blocks import Block
from mme.engine.families import CrossFamily
from mme.engine.lambdas import sandwich
from mme.engine.scatter import DenseScatter, quickest
from mme.engine.schur_pattern import SchurPattern, penalty_values
from mme.numeric.cholesky import SymmetricFactor
from mme.numeric.sums import Cells


@dataclass(frozen=True, eq=False)
class Crossing:
    """Inner products of two blocks' columns by cell of their levels: (cells, q, q_t)."""

    cells: Cells
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Schur:
    """S on its pattern, as a function of W and T.

    ``products`` are the Z_t'Z_s by cell; ``scatter`` maps vec(W) (q q J) to the values, and ``applied`` is the same as
    an evaluation applies it; ``penalty`` are the values of K^-1 (x) I at ``pattern.penalty_at``.
    """

    pattern: SchurPattern
    products: dict[tuple[int, int], Crossing]
    constant: np.ndarray
    scatter: np.ndarray | sp.csr_array | DenseScatter
    applied: np.ndarray | sp.csr_array | DenseScatter
    penalty: np.ndarray

    def entries(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """M = Lambda'S Lambda + K^-1 (x) I at (``row``, ``col``) of the pattern."""
        values, pattern = self._values(W, T), self.pattern
        entries = values if pattern.in_order else values[pattern.source]
        entries[pattern.penalty_at] += self.penalty
        return entries

    def square(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """The lower triangle of M in the top left of (P), a square matrix in Fortran order, zero elsewhere."""
        values, pattern = self._values(W, T), self.pattern
        size = pattern.m + pattern.border
        full = np.zeros((size, size), order="F")
        flat, (places, among) = full.reshape(-1, order="F"), pattern.square_places
        flat[places] = values if among is None else values[among]
        flat[pattern.square_penalty] += self.penalty
        return full

    def _values(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """Lambda'S Lambda, family by family."""
        values = self.applied @ W.ravel()
        values += self.constant
        for family in self.pattern.families:
            sandwich(T[family.t_row].T, family.blocks(values), T[family.t_col])
        return values

    def with_penalty(self, penalty: np.ndarray) -> Schur:
        """The complement with other values of K^-1 (x) I."""
        return replace(self, penalty=penalty)

    def penalty_of(self, u: np.ndarray) -> float:
        """u'(K^-1 (x) I)u, of which the pattern has the lower triangle."""
        at = self.pattern.penalty_at
        i, j = self.pattern.row[at], self.pattern.col[at]
        return float((np.where(i == j, 1.0, 2.0) * self.penalty * u[i]) @ u[j])

    @property
    def families(self) -> tuple[CrossFamily, ...]:
        """The blocks that occur."""
        return self.pattern.families

    def selected(self, factor: SymmetricFactor, T: list[np.ndarray]) -> np.ndarray:
        """H = Lambda M^-1 Lambda' on the pattern, family by family."""
        return self.sandwich(factor.inverse_entries(self.pattern.row, self.pattern.col), T)

    def of_whole(self, whole: np.ndarray) -> np.ndarray:
        """H on the pattern, family by family, from all its entries."""
        return self.pattern.by_family(whole[self.pattern.row, self.pattern.col])

    def by_family(self, H: np.ndarray) -> np.ndarray:
        """H as it is."""
        return H

    def diagonal_blocks(self, H: np.ndarray, t: int) -> np.ndarray:
        """The diagonal blocks (J, q, q) of H of one grouping factor."""
        return self.pattern.diagonal_blocks(H, t)

    def sandwich(self, inverse: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """H = Lambda M^-1 Lambda' on the pattern, family by family, from M^-1 at (``row``, ``col``)."""
        values = self.pattern.by_family(inverse)
        for family in self.pattern.families:
            sandwich(T[family.t_row], family.blocks(values), T[family.t_col].T)
        return values

    def through(self, H: np.ndarray, q: int) -> np.ndarray:
        """B_g H B_g' as (q, q, J): the transpose of the scatter, each off-diagonal block counted both ways."""
        halved = H.copy()
        for family in self.pattern.families:
            family.blocks(halved)[family.diagonal] *= 0.5
        G = (self.scatter.T @ halved).reshape(q, q, -1)
        return np.asarray(G + G.transpose(1, 0, 2))


def schur(
    pattern: SchurPattern,
    blocks: tuple[Block, ...],
    crossing: tuple[Crossing, ...],
    levels: Levels,
    B: np.ndarray | sp.csr_array,
    penalty: np.ndarray | None,
) -> Schur:
    """The values of S for these columns of the blocks; ``B`` as in :class:`mme.engine.remainder.Remainder`.

    ``penalty`` are the values of K^-1 (x) I where they are known.
    """
    products: dict[tuple[int, int], Crossing] = {}
    constant = np.zeros(pattern.size)
    for family, direct in zip(pattern.families, pattern.direct, strict=True):
        met = direct.cells.sums(blocks[family.t_row].columns, blocks[family.t_col].columns)
        products[family.t_row, family.t_col] = Crossing(direct.cells, met)
        family.blocks(constant)[direct.at] = met[direct.lower]
    q, J, diagonal = levels.R.shape[0], levels.J, levels.singular is not None
    if pattern.is_dense:
        whole = B if isinstance(B, np.ndarray) else B.toarray()
        dense = DenseScatter(whole.reshape(len(whole), -1, J), diagonal, *pattern.places)
        scatter: np.ndarray | sp.csr_array | DenseScatter = dense if (listed := dense.listed()) is None else listed
        applied: np.ndarray | sp.csr_array | DenseScatter = scatter
        constant -= applied @ (np.ones(q) if diagonal else np.repeat(np.eye(q).ravel(), J))
    else:
        assert pattern.scatter is not None
        values = [(crossing[family.t_row].values, crossing[family.t_col].values) for family in pattern.families]
        scatter = pattern.scatter.matrix(values)
        applied = quickest(scatter)
        constant -= applied @ np.repeat(np.eye(q).ravel(), J)
    known = penalty_values(blocks) if penalty is None else penalty
    return Schur(pattern, products, constant, scatter, applied, known)
