"""The levels of a block with the weights that moments give them: as if H were one, all alike, or by their records."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from mme.engine.absorption import Levels, projected
from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block
from mme.engine.level_factors import factor_products
from mme.engine.objective import Objective
from mme.numeric.kept import kept
from mme.search.moment_pass import LevelMoments, level_moments

# Levels with fewer records than one and a quarter each tell nothing by themselves.
_REPEATED = 0.8
# Weights of levels are those of their records, or all alike, where c^2 Z_g'Z_g is this far from one.
_FAR = 100.0
# Levels are alike where R_g differs by no more than this share.
_ALIKE = 1e-9


@dataclass(frozen=True, eq=False)
class WeightedLevels:
    """One block: R_g and Q_g'r of its levels, E_g = (I + R_g'R_g)^-1 as (q, q, J), and a_g' = Z_g'Q as (q, p, J).

    ``within`` are Q_g'Q (p, q, J), where they are at hand; ``moments`` what the moments take of these levels alone, by
    REML or by ML, where a loop has made it.
    """

    levels: Levels
    E: np.ndarray
    along_X: np.ndarray
    within: np.ndarray | None = None
    reml: bool = True
    moments: LevelMoments | None = None

    @classmethod
    def of(cls, levels: Levels, c: float, along_X: np.ndarray, within: np.ndarray | None, reml: bool) -> WeightedLevels:
        """The levels with weights E_g = (I + c^2 R_g'R_g)^-1."""
        made = level_moments(levels, c, along_X, reml)
        if made is None:
            return cls(levels, _weights(levels, c), along_X, within, reml)
        found = cls(levels, made.E, along_X, within, reml, made)
        vars(found).update(half=made.half, weighted_X=made.weighted_X)
        return found

    def beside(self, V: np.ndarray) -> WeightedLevels:
        """The same levels of another response, whose Q_g'r are V (1, q, J)."""
        twin = WeightedLevels.__new__(WeightedLevels)
        vars(twin).update(vars(self), levels=Levels(self.levels.R, V))
        return twin

    def with_levels(self, alike: bool) -> WeightedLevels:
        """The block with its levels weighted all alike, or each by its records."""
        records = np.einsum("aig,aig->g", self.levels.R, self.levels.R) / len(self.levels.R)
        some = records[records > 0.0]
        c2 = 1.0 if not some.size else _FAR / some.min() if alike else 1.0 / (_FAR * some.max())
        return WeightedLevels.of(self.levels, sqrt(c2), self.along_X, self.within, self.reml)

    @kept
    def weighted_X(self) -> np.ndarray:
        """E_g a_g' (q, p, J)."""
        return np.asarray(np.einsum("ijg,jpg->ipg", self.E, self.along_X))

    @kept
    def half(self) -> np.ndarray:
        """E_g R_g' (q, q, J)."""
        return np.asarray(np.einsum("ibg,abg->iag", self.E, self.levels.R))


def levels_alike(one: WeightedLevels) -> bool:
    """Whether all levels of a block have the same R_g: weights then change nothing."""
    R = one.levels.R
    return bool(np.abs(R - R[:, :, :1]).max() <= 0.5 * _ALIKE * np.abs(R).max())


def information(one: WeightedLevels) -> np.ndarray:
    """The diagonals of Z_g'Z_g (q, J)."""
    return np.asarray(np.einsum("aig,aig->ig", one.levels.R, one.levels.R))


def weigh(objective: Objective) -> list[WeightedLevels]:
    """The levels of each block, as absorbed or by a QR of its own; r is the last of the columns of N = [Q r].

    Where a record has several levels Z_g has no QR by records: its own one, of the first column, stands for the others.
    """
    basis, blocks = objective.once(_weighed)
    if basis is objective.basis:
        return blocks
    return [one.beside(_along_r(objective, b)) for b, one in enumerate(blocks)]


def _along_r(objective: Objective, b: int) -> np.ndarray:
    """Q_g'r of a block (1, q, J), as of :func:`_weighed`."""
    if b == objective.plan.absorb:
        return objective.system.absorbed.levels.V[-1:]
    return projected(objective.blocks[b].by_record, objective.basis.r).V


def _weighed(objective: Objective) -> tuple[FixedBasis, list[WeightedLevels]]:
    """The levels of each block, and the basis whose response they are of."""
    rest, V = objective.system.rest, objective.system.absorbed.levels.V
    Z_N = rest.C + rest.between(V.reshape(len(V), -1).T) if rest.m else rest.C
    return objective.basis, [_weigh(objective, b, Z_N) for b in range(len(objective.random))]


def _weigh(objective: Objective, b: int, Z_N: np.ndarray) -> WeightedLevels:
    """The levels of a block; Z_2'N (m, p + 1) of all that are not absorbed."""
    system, block, within = objective.system, objective.blocks[b], None
    whole = system.absorbed.levels
    if block.is_spherical:
        return _spherical(objective, block)
    if b == objective.plan.absorb:
        levels, within = Levels(whole.R, whole.V[-1:]), whole.V[:-1]
        along_X = np.einsum("aig,pag->ipg", whole.R, within)
    else:
        levels = projected(block.by_record, objective.basis.r)
        t = objective.rest.index(block)
        along_X = Z_N[slice(*system.rest.offsets[t : t + 2]), :-1].reshape(block.J, block.q, -1).transpose(1, 2, 0)
    return WeightedLevels.of(levels, 1.0, along_X, within, objective.constants.reml)


def _weights(levels: Levels, c: float) -> np.ndarray:
    """E_g = (I + c^2 R_g'R_g)^-1 as (q, q, J)."""
    return factor_products(np.multiply(c, levels.R.transpose(1, 0, 2), order="C")).weights()


def _spherical(objective: Objective, block: Block) -> WeightedLevels:
    """One level with coefficients of one variance: its singular values are levels, of one coefficient each."""
    s, U = block.spectrum.s, block.spectrum.U
    along = U @ objective.basis.N.T
    levels = Levels(s.reshape(1, 1, -1), along[:, -1].reshape(1, 1, -1))
    E, along_X = (1.0 / (1.0 + s**2)).reshape(1, 1, -1), (s * along[:, :-1].T)[None]
    return WeightedLevels(levels, E, along_X, None, objective.constants.reml)


def is_repeated(one: WeightedLevels, n: int) -> bool:
    """Whether levels have so many records that their variance is told from the residual one without a relationship."""
    q = one.levels.R.shape[0]
    return bool(np.count_nonzero(one.levels.R[0, 0]) * q < _REPEATED * n)
