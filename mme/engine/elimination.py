r"""How the remainder of (P) is factorised: dense, with its border in one call of LAPACK's, or sparse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from mme.engine.complement import Complement
from mme.engine.schur import Schur
from mme.numeric.cholesky import Analysis, SymmetricFactor, Work
from mme.numeric.dense import DenseFactor, cholesky_in_place


class Bordered(NamedTuple):
    """The factor L of M with columns rhs (m, c) beside it.

    ``R`` is L^-1 rhs (m, c), and ``corner`` (c, c) the Cholesky factor of border - rhs'M^-1 rhs. Where there is no
    triangle L, R has no rows, and ``solved`` is M^-1 rhs (m, c).
    """

    factor: SymmetricFactor
    R: np.ndarray
    corner: np.ndarray
    solved: np.ndarray | None = None


class Elimination(Protocol):
    """What an evaluation asks of whatever factorises the m random effects that are left after absorption."""

    @property
    def analysis(self) -> Analysis | None:
        """The symbolic analysis of the pattern of M; None for a dense factor, which needs none."""

    @property
    def work(self) -> Work:
        """How many entries, operations and bytes a factor of M takes."""

    def alone(self, schur: Complement, W: np.ndarray, T: list[np.ndarray]) -> SymmetricFactor:
        """The factor L of M = Lambda'S Lambda + K^-1 (x) I at these weights of the levels."""

    def bordered(
        self, schur: Complement, W: np.ndarray, T: list[np.ndarray], rhs: np.ndarray, border: np.ndarray
    ) -> Bordered:
        """L, R and the factor of what remains."""


@dataclass(frozen=True)
class DenseWork:
    """Entries, operations and bytes of a dense triangle of m equations."""

    m: int

    @property
    def nnz_L(self) -> int:
        """Entries of the triangle."""
        return self.m * (self.m + 1) // 2

    @property
    def flops(self) -> float:
        """Operations of a factorisation."""
        return self.m**3 / 3

    @property
    def bytes(self) -> int:
        """Memory of the square that holds it."""
        return 8 * self.m * self.m

    @property
    def description(self) -> str:
        """``none`` where there is no equation."""
        return "dense Cholesky" if self.m else "none"


@dataclass(frozen=True)
class DenseElimination:
    """Cholesky by LAPACK in a square (m, m)."""

    m: int

    analysis = None

    @property
    def work(self) -> DenseWork:
        """That of the triangle of M."""
        return DenseWork(self.m)

    def alone(self, schur: Complement, W: np.ndarray, T: list[np.ndarray]) -> SymmetricFactor:
        """L of M."""
        return DenseFactor(cholesky_in_place(schur.square(W, T)[: self.m, : self.m], clean=False))

    def bordered(
        self, schur: Complement, W: np.ndarray, T: list[np.ndarray], rhs: np.ndarray, border: np.ndarray
    ) -> Bordered:
        """L, R and the factor of what remains, from that of (P) whole."""
        m, full = self.m, schur.square(W, T)
        full[m:, :m] = rhs.T
        full[m:, m:] = border
        L = cholesky_in_place(full, clean=False)  # only beside the border's own triangle stand others than zeros
        return Bordered(DenseFactor(L[:m, :m]), L[m:, :m].T, np.tril(L[m:, m:]))


@dataclass(frozen=True)
class WholeElimination:
    """By LAPACK in the square that the complement fills: large, so that no copy of it is made.

    The border is solved for beside it: a view of a larger square would be copied with every solve.
    """

    m: int

    analysis = None

    @property
    def work(self) -> DenseWork:
        """That of the triangle of M."""
        return DenseWork(self.m)

    def alone(self, schur: Complement, W: np.ndarray, T: list[np.ndarray]) -> SymmetricFactor:
        """L of M."""
        return DenseFactor(cholesky_in_place(schur.square(W, T), clean=False))

    def bordered(
        self, schur: Complement, W: np.ndarray, T: list[np.ndarray], rhs: np.ndarray, border: np.ndarray
    ) -> Bordered:
        """L, R and the factor of what remains."""
        return _beside(self.alone(schur, W, T), rhs, border)


@dataclass(frozen=True, eq=False)
class SparseElimination:
    """A sparse Cholesky factor, of the backend that made the analysis."""

    analysis: Analysis

    @property
    def work(self) -> Work:
        """What the analysis forecasts."""
        return self.analysis

    def alone(self, schur: Complement, W: np.ndarray, T: list[np.ndarray]) -> SymmetricFactor:
        """L of M."""
        assert isinstance(schur, Schur)  # a sum is made for a dense factor
        return self.analysis.factor(schur.entries(W, T))

    def bordered(
        self, schur: Complement, W: np.ndarray, T: list[np.ndarray], rhs: np.ndarray, border: np.ndarray
    ) -> Bordered:
        """L, R and the factor of what remains."""
        return _beside(self.alone(schur, W, T), rhs, border)


def _beside(factor: SymmetricFactor, rhs: np.ndarray, border: np.ndarray) -> Bordered:
    """The factor, R = L^-1 rhs, and the Cholesky factor of border - R'R."""
    R = factor.forward(rhs)
    return Bordered(factor, R, cholesky_in_place(border - R.T @ R))
