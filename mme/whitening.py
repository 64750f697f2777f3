"""Records made independent with one variance: prior weights and a residual structure at one phi.

e ~ N(0, sigma^2 W^-1/2 R(phi) W^-1/2). Rows of [Z X y] are multiplied by the square roots of the weights, then by the
structure's whitening; after that the engine sees an ordinary model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.residual import Bound


@dataclass(frozen=True, eq=False)
class Whitening:
    """What whitens the records at one phi, and log|R| - log|W|."""

    sqrt_weights: np.ndarray | None = None
    structure: Bound | None = None
    phi: np.ndarray | None = None

    @property
    def identity(self) -> bool:
        """Whether records are left as they are."""
        return self.sqrt_weights is None and self.structure is None

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Whiten rows (m, n): inner products become a'W^1/2 R^-1 W^1/2 b."""
        if self.sqrt_weights is not None:
            rows = rows * self.sqrt_weights
        if self.structure is None or self.phi is None:
            return rows
        return self.structure.whiten(self.phi, rows)

    @property
    def logdet(self) -> float:
        """log |R(phi)| - log |W|."""
        weights = 0.0 if self.sqrt_weights is None else 2.0 * float(np.log(self.sqrt_weights).sum())
        if self.structure is None or self.phi is None:
            return -weights
        return self.structure.logdet(self.phi) - weights
