r"""Henderson's equations of u at working weights W: one protocol, whoever factorises.

    H = Lambda'Z'W Z Lambda + K^-1.                                                                              (H)

W may be negative where log f is not concave: what counts is that H is positive definite.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.sparse as sp

from mme.generalised.columns import Effects, Prior
from mme.generalised.levels import LevelFactors


class FactorOfH(Protocol):
    """H at one theta and W."""

    @property
    def logdet(self) -> float:
        """log|H|."""

    def solve(self, r: Effects) -> Effects:
        """H^-1 r."""

    def leverages(self) -> np.ndarray:
        """m_i'H^-1 m_i of every record (n,), M = Z Lambda."""

    def gains(self) -> list[np.ndarray]:
        """sum_g [Z'W Z Lambda H^-1]_gg of every block (q, q): d log|H| = 2 tr(dT' gain)."""

    def level_gains(self) -> list[np.ndarray]:
        """Those of every level, block by block (q, q, J)."""

    def seen(self) -> list[np.ndarray]:
        """A_g (I + T T'A_g)^-1 of every level, other blocks held, (q, q, J): what a first curvature takes."""

    def trace_with(self, b: int, precision: sp.csr_array) -> float:
        """tr(H^-1 (P (x) I)) for a symmetric P (J, J) on the pattern of K^-1 of block b."""

    def by_level(self) -> LevelFactors | None:
        """The factors of the levels, where H is a matrix a level; None where levels meet."""

    def covariances(self) -> list[np.ndarray]:
        """Lambda H^-1 Lambda' of every level, block by block (J, q, q)."""

    def between(self, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """Lambda H^-1 Lambda' (pairs, q_s, q_t) between levels g of block s and h of block t."""


class Equations(Protocol):
    """H as a function of theta and W, on a pattern that neither changes."""

    @property
    def dear(self) -> bool:
        """Whether a factor costs more than several passes over the records."""

    @property
    def description(self) -> str:
        """What is absorbed, and how the rest is factorised."""

    def factor(self, prior: Prior, W: np.ndarray) -> FactorOfH:
        """Factorise.

        Raises
        ------
        NotPositiveDefiniteError
            H is not positive definite at these weights.
        """
