r"""One evaluation by orthogonal factors alone, for variance ratios at which a Cholesky factor has no digits left.

The triangle of the QR

    ( Z Lambda   N )        ( R_M   R_MN )
    ( L'         0 )   ->   (  0    R_N  ),        K^-1 (x) I = L L',  N = [X y]                                  (O)

has log|M| = 2 log|R_M|, and R_N' is the factor (N) of ``pls.py``: M is never formed. At a ratio of variances of 1e16
the directions in which factors share their effects (their constants) keep eight digits, where M has none. Rows go by
size, large ones first, as do columns: Householder's reflections then leave each row errors of its own size (Cox and
Higham 1998, Numerical Analysis 1997, Pitman Research Notes 380, 57-73).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.engine.level_factors import factor_levels
from mme.engine.pls import Evaluation, Factors, System
from mme.numeric.dense import DenseFactor
from mme.numeric.limits import limits
from mme.numeric.sums import coding

# Squares of the scaled standard deviations times records up to which a Cholesky factor costs no more than 1e-8.
_RATIO = 1e7


@dataclass(frozen=True, eq=False)
class Orthogonal:
    """The blocks of Z beside N, as the triangle ``R`` of their QR: its columns are those of the blocks, then N's."""

    blocks: tuple[Block, ...]
    R: np.ndarray

    @classmethod
    def of(cls, blocks: tuple[Block, ...], N: np.ndarray) -> Orthogonal | None:
        """Compress the records; None where that, or an evaluation, would take too long."""
        m, n = sum(block.J * block.q for block in blocks), N.shape[1]
        width, most = m + len(N), limits().orthogonal_operations
        if n * width**2 > 10.0 * most or width**3 > most:
            return None
        columns = np.hstack([*(_dense(block, n) for block in blocks), N.T])
        return cls(blocks, np.asarray(np.linalg.qr(columns, mode="r")))

    def triangle(self, T: list[np.ndarray], theta: np.ndarray) -> tuple[float, np.ndarray]:
        """log|M| and the factor of (N), by (O); T of every block."""
        order = sorted(range(len(T)), key=lambda b: -float(np.abs(T[b]).max()))
        R, m = self._factor(T, theta, order), self._starts[-1]
        return 2.0 * float(np.log(np.diag(R)[:m]).sum()), np.ascontiguousarray(R[m:, m:].T)

    def evaluation(self, system: System, T: Factors, theta: np.ndarray, absorbs: bool) -> Evaluation:
        """The factors of ``pls.py`` by (O): an absorbed block is the first of ``blocks``."""
        factors = [T.absorbed, *T.rest] if absorbs else T.rest
        R = self._factor(factors, theta, list(range(len(factors))))
        of_levels, m = (self._starts[1] if absorbs else 0), self._starts[-1]
        levels = factor_levels(system.absorbed.levels, T.absorbed)
        logdet = levels.logdet(system.absorbed.levels.multiplicity) + T.logdet_K
        L, R_ZN, border = R[of_levels:m, of_levels:m].T, R[of_levels:m, m:], R[m:, m:].T
        factor = DenseFactor(np.asfortranarray(L))
        return Evaluation(logdet, np.ascontiguousarray(border), levels, factor, np.ascontiguousarray(R_ZN))

    @cached_property
    def _starts(self) -> list[int]:
        """Where the columns of each block begin, and those of N."""
        return list(accumulate((block.J * block.q for block in self.blocks), initial=0))

    def _factor(self, T: list[np.ndarray], theta: np.ndarray, order: list[int]) -> np.ndarray:
        """R of (O), its diagonal positive, with the blocks in this order."""
        m, parts = self._starts[-1], []
        for block, factor, start in zip(self.blocks, T, self._starts, strict=False):
            stop = start + block.J * block.q
            scaled = self.R[:, start:stop].reshape(-1, block.J, block.q) @ factor
            parts.append(np.vstack([scaled.reshape(len(self.R), -1), np.zeros((m, stop - start))]))
            parts[-1][len(self.R) + start : len(self.R) + stop] = _root(block, theta, factor)
        N = np.vstack([self.R[:, m:], np.zeros((m, self.R.shape[1] - m))])
        whole = np.hstack([*(parts[b] for b in order), N])
        rows = np.argsort(-np.abs(whole[:, :m]).max(axis=1), kind="stable")
        R = np.asarray(np.linalg.qr(whole[rows], mode="r"))
        return np.asarray(R * np.where(np.diag(R) < 0.0, -1.0, 1.0)[:, None])


@dataclass(frozen=True, eq=False)
class Spare:
    """An evaluation by orthogonal factors alone, made when it is first asked for."""

    blocks: tuple[Block, ...]
    N: np.ndarray

    @cached_property
    def orthogonal(self) -> Orthogonal | None:
        """The evaluation by orthogonal factors, for variances large against sigma^2; None for a large model."""
        return Orthogonal.of(self.blocks, self.N)


def largest(block: Block) -> float:
    """The entry of a block's T up to which a Cholesky factor is as good."""
    return float(np.sqrt(_RATIO * block.J / block.codes.shape[-1]))


def exceeds(T: np.ndarray, most: float) -> bool:
    """Whether an entry of T is larger than this in size."""
    if T.size == 1:
        return abs(T.item()) > most
    return bool(T.max() > most or T.min() < -most)


def _dense(block: Block, n: int) -> np.ndarray:
    """The columns of a block (n, J q), level-major."""
    rows = np.arange(n) if block.records is None else block.records
    Z = np.zeros((n, block.J * block.q))
    for a, column in enumerate(block.columns):
        values = np.ones(rows.size) if column is None else column
        np.add.at(Z, (rows, coding(block.codes, a) * block.q + a), values)
    return Z


def _root(block: Block, theta: np.ndarray, T: np.ndarray) -> np.ndarray:
    """L' with K^-1 (x) I = L L'; columns of X have none, unless they are given."""
    if block.is_fixed and T.any():
        return np.zeros((block.J, block.J))
    if block.relationship is None:
        return np.eye(block.J * block.q)
    precision = sp.csc_array(block.relationship_at(theta).precision).toarray()
    return np.kron(np.linalg.cholesky(precision).T, np.eye(block.q))
