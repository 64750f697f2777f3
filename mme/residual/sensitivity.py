"""What a criterion says of R: S = dC/dR among the records of each group, symmetric, so that dC = sum_g <S_g, dR_g>."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False)
class Sensitivity:
    """S = dC/dR, R in units of sigma^2.

    Attributes
    ----------
    relative : (n,) float
        The diagonal of S R: what a change of the logarithm of a record's variance does, all else in proportion.
    batches : tuple of (members (G, s), S (G, s, s))
        The groups of each size; none where R is diagonal, of which ``relative`` says all.
    """

    relative: np.ndarray
    batches: tuple[tuple[np.ndarray, np.ndarray], ...] = ()

    def scaled(self, sd: np.ndarray) -> Sensitivity:
        """That of C where R = diag(sd) C diag(sd)."""
        scaled = tuple((at, sd[at][:, :, None] * S * sd[at][:, None, :]) for at, S in self.batches)
        return replace(self, batches=scaled)

    def by_occasion(self, occasions: np.ndarray, T: int) -> np.ndarray:
        """dC/dC_T (T, T) where the records of a group are ``occasions`` (n,) of T that all groups share."""
        total = np.zeros(T * T)
        for members, S in self.batches:
            o = occasions[members]
            total += np.bincount((o[:, :, None] * T + o[:, None, :]).ravel(), S.ravel(), minlength=T * T)
        return total.reshape(T, T)
