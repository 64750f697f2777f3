"""What an evaluation and its solutions ask of the Schur complement (S), listed or summed: one protocol for both.

H stands for a symmetric matrix Lambda M^-1 Lambda' where the complement keeps it: on its pattern, or whole.
"""

from __future__ import annotations

from typing import Protocol, Self

import numpy as np

from mme.engine.families import CrossFamily
from mme.engine.schur import Crossing
from mme.numeric.cholesky import SymmetricFactor


class Complement(Protocol):
    """S as a function of the weights W of the levels and of the T of the blocks."""

    @property
    def products(self) -> dict[tuple[int, int], Crossing]:
        """Z_t'Z_s by cell, for blocks t >= s."""

    @property
    def families(self) -> tuple[CrossFamily, ...]:
        """The blocks of S between each two grouping factors."""

    def square(self, W: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
        """The lower triangle of M in a square in Fortran order, which may have room for a border; zero elsewhere."""

    def with_penalty(self, penalty: np.ndarray) -> Self:
        """The complement with other values of K^-1 (x) I."""

    def penalty_of(self, u: np.ndarray) -> float:
        """u'(K^-1 (x) I)u."""

    def selected(self, factor: SymmetricFactor, T: list[np.ndarray]) -> np.ndarray:
        """H of a factor of M."""

    def of_whole(self, whole: np.ndarray) -> np.ndarray:
        """H from all its entries (m, m)."""

    def by_family(self, H: np.ndarray) -> np.ndarray:
        """The entries of H, family by family."""

    def diagonal_blocks(self, H: np.ndarray, t: int) -> np.ndarray:
        """The diagonal blocks (J, q, q) of H of one grouping factor."""

    def through(self, H: np.ndarray, q: int) -> np.ndarray:
        """B_g H B_g' of every level as (q, q, J)."""
