"""What a factor of a symmetric positive definite matrix answers, whoever made it: one protocol for all rooms.

A pattern is analysed once and its values are factorised often. P A P' = L L', with L a lower triangle and P an order of
the equations, is what every backend makes, dense or sparse.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.sparse as sp


class NotPositiveDefiniteError(ArithmeticError):
    """The matrix has no Cholesky factor at these values."""


class SymmetricFactor(Protocol):
    """P A P' = L L' at one set of values; A is (n, n)."""

    @property
    def is_dense(self) -> bool:
        """Whether the whole inverse costs no more than its entries on the pattern."""

    @property
    def logdet(self) -> float:
        """log |A|."""

    @property
    def pivots(self) -> np.ndarray:
        """Squared diagonal of L (n,), in the order of ``perm``."""

    @property
    def perm(self) -> np.ndarray:
        """Row i of L belongs to equation ``perm[i]`` (n,)."""

    def solve(self, b: np.ndarray) -> np.ndarray:
        """A^-1 b for b (n,) or (n, c)."""

    def forward(self, b: np.ndarray) -> np.ndarray:
        """L^-1 P b for b (n,) or (n, c): products of two such columns are those of b'A^-1 b."""

    def backward(self, c: np.ndarray) -> np.ndarray:
        """P'L^-T c for c (n,) or (n, k): of independent numbers it makes such with covariance A^-1."""

    def inverse_entries(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Entries (row, col) of A^-1, which must lie on the pattern of A."""

    def inverse(self) -> np.ndarray:
        """A^-1 (n, n), whole."""


class Work(Protocol):
    """What a factor L of A will take, forecast from sizes and patterns alone."""

    @property
    def nnz_L(self) -> int:
        """Entries of L."""

    @property
    def flops(self) -> float:
        """Operations of a factorisation."""

    @property
    def bytes(self) -> int:
        """Forecast of the memory that a factor takes."""

    @property
    def description(self) -> str:
        """Who factorises, by which kind of factor and in which order."""


class Analysis(Work, Protocol):
    """Order and pattern of L, from the pattern of A alone, and what a factor will take."""

    @property
    def n(self) -> int:
        """Number of equations."""

    def is_of(self, lower: sp.csc_array) -> bool:
        """Whether this is the analysis of this pattern."""

    def require_memory(self, what: str) -> None:
        """Refuse, before anything is allocated, a factor that would not fit."""

    def factor(self, data: np.ndarray) -> SymmetricFactor:
        """Factorise the matrix whose lower triangle has these values on the pattern.

        Raises
        ------
        NotPositiveDefiniteError
            The values are not those of a positive definite matrix.
        """
