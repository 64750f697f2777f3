r"""What the columns of X that were left out are made of, and which functions of the fixed effects the data determine.

With K the columns that are kept, X = K A: A is the identity on them, and says how they make the others. A function
c'beta, c on all columns, is estimable where c is a combination of rows of X (Searle 1971, Linear Models, section 5.4):

    c = A' c_K                                                                                                   (1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mme.engine.basis import FixedBasis
from mme.numeric.lapack import triangular_inverse
from mme.numeric.rank import RANK_TOLERANCE

# A column is left out when all but this share of it is made of others: (1) is asked to ten times that, so that
# percentages that sum to 100 but for their printed digits do so in new rows too.
_ESTIMABLE = 10.0 * RANK_TOLERANCE
# Entries of c below this share of its largest, in units of the columns, are what is left of differences.
_DIFFERENCE = 1e-12
# Entries of A below this many roundings, times the condition of K, are zero.
_ROUNDINGS = 64.0
# A combination names at most so many columns.
_FEW = 8


@dataclass(frozen=True, eq=False)
class Aliasing:
    """X = X[:, kept] A.

    Attributes
    ----------
    A : (kept, all columns)
        Exactly zero where a column has no part in another.
    kept, dropped : places of the columns
    size : (all,) array
        Root mean squares of the columns; one for a column of zeros.
    rounding : float
        The error of the entries of A, of columns of unit size.
    """

    A: np.ndarray
    kept: np.ndarray
    dropped: np.ndarray
    size: np.ndarray
    rounding: float = 0.0

    def gaps(self, rows: np.ndarray) -> np.ndarray:
        """Where each row (m, all) differs from (1), by the columns that were left out (m, dropped).

        Missing values differ from nothing.
        """
        if not self.dropped.size:
            return np.zeros((len(rows), 0), dtype=bool)
        A, own, made_of = self.A[:, self.dropped], rows[:, self.dropped], rows[:, self.kept]
        largest = (np.abs(rows) / self.size).max(axis=1, keepdims=True, initial=0.0)
        allowed = _ESTIMABLE * (np.abs(own) + np.abs(made_of) @ np.abs(A))
        allowed += (_DIFFERENCE + self.rounding) * largest * self.size[self.dropped]
        with np.errstate(invalid="ignore"):  # infinite values differ from nothing either
            return np.asarray(np.abs(own - made_of @ A) > allowed)

    def estimable(self, rows: np.ndarray) -> np.ndarray:
        """Whether the data determine each row (m, all) of weights on the fixed effects."""
        return np.asarray(~self.gaps(rows).any(axis=1))

    def causes(self, rows: np.ndarray, names: Sequence[str]) -> str:
        """The equations of the data that rows which are not estimable break, as text: ``x2 = 2 x``."""
        apart = np.flatnonzero(self.gaps(rows).any(axis=0)).tolist()
        more = f", and {len(apart) - _FEW} more" if len(apart) > _FEW else ""
        return ", ".join(self.combination(j, names) for j in self.dropped[apart[:_FEW]].tolist()) + more

    def combination(self, column: int, names: Sequence[str]) -> str:
        """A column that was left out as a combination of those that are kept: ``x3 = 2 x1 - x2``."""
        return self.combination_of(column, names[column], names)

    def combination_of(self, place: int, name: str, names: Sequence[str]) -> str:
        """The column of A at a place, of this name, as a combination of those that are kept."""
        text = ""
        for j, weight in zip(self.kept.tolist(), self.A[:, place].tolist(), strict=True):
            if weight != 0.0:
                factor = f"{abs(weight):.4g} ".removeprefix("1 ")
                text += f" {'-' if weight < 0 else '+'} {factor}{names[j]}"
        return f"{name} = {text.removeprefix(' + ').strip() or '0'}"


def aliasing(X: np.ndarray, basis: FixedBasis) -> Aliasing:
    """The kept columns of X (n, all), and the others as their combinations: weights of the records do not matter."""
    kept, p = basis.kept, X.shape[1]
    size, A = np.ones(p), np.zeros((kept.size, p))
    A[:, kept] = np.eye(kept.size)
    dropped = np.setdiff1d(np.arange(p), kept)
    if not dropped.size:
        return Aliasing(A, kept, dropped, size)
    size = np.sqrt(np.einsum("ij,ij->j", X, X) / len(X))
    zero = size == 0.0
    size[zero] = 1.0
    if not kept.size:
        return Aliasing(A, kept, dropped, size)
    order, k = np.concatenate([kept, dropped]), kept.size
    both = np.asarray(np.linalg.qr(X[:, order] / size[order], mode="r"))  # K = Q R, the others Q R_d + rounding
    R, R_d = both[:k, :k], both[:k, k:]
    R_inverse = triangular_inverse(R)
    rounding = _ROUNDINGS * np.finfo(float).eps * float(np.linalg.norm(R) * np.linalg.norm(R_inverse))
    parts = R_inverse @ R_d
    parts[np.abs(parts) <= rounding * np.abs(parts).max(axis=0)] = 0.0
    A[:, dropped] = parts * (size[dropped] / size[kept, None])
    return Aliasing(A, kept, dropped, size, rounding)
