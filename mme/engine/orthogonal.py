r"""One evaluation by orthogonal factors alone, for variance ratios at which a Cholesky factor has no digits left.

The triangle of the QR

    ( Z Lambda   N )        ( R_M   R_MN )
    ( L'         0 )   ->   (  0    R_N  ),        K^-1 (x) I = L L',  N = [X y]                                  (O)

has log|M| = 2 log|R_M|, and R_N' is the factor (N) of ``pls.py``: M is never formed. At a ratio of variances of 1e16
the directions in which factors share their effects (their constants) keep eight digits, where M has none. Rows go by
size, large ones first: Householder's reflections then leave each row errors of about its own size (Cox and Higham 1998,
Numerical Analysis 1997, Pitman Research Notes 380, 57-73).

Where K is nearly singular instead, as that of a chain whose correlation goes to one, K^-1 has no digits: with
K = L_K L_K' in closed form,

    L_K'Lambda'Z'Z Lambda L_K + I,      log|.| = log|M| + log|K|,                                                 (K)

is as well conditioned as any M, at the limit too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np
import scipy.sparse as sp

from mme.engine.basis import FixedBasis
from mme.engine.blocks import Block
from mme.engine.level_factors import factor_levels
from mme.engine.pls import Evaluation, Factors, System
from mme.numeric.dense import DenseFactor, cholesky_in_place
from mme.numeric.limits import limits
from mme.numeric.sums import coding

# Entries of K^-1 beside levels of variance one beyond which a Cholesky factor loses more than 1e-8.
_STEEP = 1e7
# Squares of the scaled standard deviations times records up to which a Cholesky factor costs no more than 1e-8.
_RATIO = 1e7


@dataclass(frozen=True, eq=False)
class Orthogonal:
    """The blocks of Z beside N, as the triangle ``R`` of their QR: its columns are those of the blocks, then N's."""

    blocks: tuple[Block, ...]
    R: np.ndarray

    @classmethod
    def of(cls, blocks: tuple[Block, ...], basis: FixedBasis) -> Orthogonal | None:
        """Compress the records; None where that, or an evaluation, would take too long."""
        m, n = sum(block.J * block.q for block in blocks), basis.N.shape[1]
        width, most = m + len(basis.R) + 1, limits().orthogonal_operations
        if n * width**2 > 10.0 * most or width**3 > most:
            return None
        columns = np.hstack([*(_dense(block, n) for block in blocks), basis.N.T])
        return cls(blocks, np.asarray(np.linalg.qr(columns, mode="r")))

    def triangle(self, T: list[np.ndarray], theta: np.ndarray, *, far: bool) -> tuple[float, np.ndarray]:
        """log|M| and the factor of (N), by (O) for ratios that are ``far``, else by (K); T of every block."""
        m, roots = self._starts[-1], [_closed_root(block, theta) for block in self.blocks]
        L = self._factor(T, theta, roots).T if far else self._by_products(T, theta, roots)
        rooted = zip(self.blocks, roots, strict=True)
        of_roots = sum(one.q * one.relationship.logdet_at(one.coordinates(theta)) for one, K in rooted if K is not None)
        return 2.0 * float(np.log(np.diag(L)[:m]).sum()) - of_roots, np.ascontiguousarray(L[m:, m:])

    def _by_products(self, T: list[np.ndarray], theta: np.ndarray, roots: list[np.ndarray | None]) -> np.ndarray:
        """The Cholesky factor of (K), with N behind it."""
        columns = [self._columns(b, one, root) for b, (one, root) in enumerate(zip(T, roots, strict=True))]
        whole = np.hstack([*columns, self.R[:, self._starts[-1] :]])
        M = np.asfortranarray(whole.T @ whole)
        for block, start, root in zip(self.blocks, self._starts, roots, strict=False):
            at = np.arange(start, start + block.J * block.q)
            if root is None and block.relationship is not None:
                precision = sp.csc_array(block.relationship_at(theta).precision).toarray()
                M[np.ix_(at, at)] += np.kron(precision, np.eye(block.q))
            elif not block.is_fixed:
                M[at, at] += 1.0
        return cholesky_in_place(M)

    def _columns(self, b: int, factor: np.ndarray, root: np.ndarray | None) -> np.ndarray:
        """Z Lambda of a block, or Z Lambda L_K, compressed."""
        block, start = self.blocks[b], self._starts[b]
        scaled = self.R[:, start : start + block.J * block.q].reshape(-1, block.J, block.q) @ factor
        if root is not None:
            scaled = np.einsum("rjq,ji->riq", scaled, root, optimize=True)
        return np.ascontiguousarray(scaled).reshape(len(self.R), -1)

    def evaluation(self, system: System, T: Factors, theta: np.ndarray, absorbs: bool) -> Evaluation:
        """The factors of ``pls.py`` by (O): an absorbed block is the first of ``blocks``."""
        factors = [T.absorbed, *T.rest] if absorbs else T.rest
        R = self._factor(factors, theta, [None] * len(factors))
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

    def _factor(self, T: list[np.ndarray], theta: np.ndarray, roots: list[np.ndarray | None]) -> np.ndarray:
        """R of (O), its diagonal positive; blocks with roots by (K)."""
        m, parts = self._starts[-1], []
        for b, (block, factor, start, root) in enumerate(zip(self.blocks, T, self._starts, roots, strict=False)):
            stop = start + block.J * block.q
            parts.append(np.vstack([self._columns(b, factor, root), np.zeros((m, stop - start))]))
            below = np.eye(stop - start) if root is not None else _root(block, theta, factor)
            parts[-1][len(self.R) + start : len(self.R) + stop] = below
        N = np.vstack([self.R[:, m:], np.zeros((m, self.R.shape[1] - m))])
        whole = np.hstack([*parts, N])
        rows = np.argsort(-np.abs(whole[:, :m]).max(axis=1), kind="stable")
        R = np.asarray(np.linalg.qr(whole[rows], mode="r"))
        return np.asarray(np.multiply(R, np.copysign(1.0, np.diag(R))[:, None]))


@dataclass(frozen=True, eq=False)
class Spare:
    """An evaluation by orthogonal factors alone, made when it is first asked for."""

    blocks: tuple[Block, ...]
    basis: FixedBasis

    @cached_property
    def orthogonal(self) -> Orthogonal | None:
        """The evaluation by orthogonal factors, for variances large against sigma^2; None for a large model."""
        return Orthogonal.of(self.blocks, self.basis)

    def is_far(self, T: list[np.ndarray]) -> bool:
        """Whether an entry of T of a block, (q, q) or of many theta, is too large for a Cholesky factor."""
        return any(map(exceeds, T, self._most))

    @cached_property
    def _most(self) -> list[float]:
        return [largest(block) for block in self.blocks]


def largest(block: Block) -> float:
    """The entry of a block's T up to which a Cholesky factor is as good."""
    return float(np.sqrt(_RATIO * block.J / block.codes.shape[-1]))


def is_steep(penalty: np.ndarray | None, m: int) -> bool:
    """Whether K is so nearly singular that M (m, m) has no digits, from the values of K^-1 that theta changes.

    Searches come there on their way, again and again: it is told of where (K) takes a tenth of a second.
    """
    if penalty is None or 10.0 * m**3 > limits().orthogonal_operations:
        return False
    return bool(penalty.max(initial=-np.inf) > _STEEP)


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
    closed = _closed_root(block, theta)
    if closed is not None:
        return np.kron(np.linalg.inv(closed), np.eye(block.q))
    precision = sp.csc_array(block.relationship_at(theta).precision).toarray()
    return np.kron(np.linalg.cholesky(precision).T, np.eye(block.q))


def _closed_root(block: Block, theta: np.ndarray) -> np.ndarray | None:
    """L_K where the relationship has it in closed form."""
    return block.relationship.root_at(block.coordinates(theta)) if block.is_parametric else None
