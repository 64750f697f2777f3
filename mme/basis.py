"""The fixed part, conditioned: an orthonormal basis of X, its rank, and the response as its OLS residual.

Replacing X by X R^-1 and y by y - X beta_0 are exact invariances of the model (DESIGN, "Conditioning"); they keep
every later cross-product of order one, whatever the units of X and the size of y.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg.lapack import dtrtri, dtrtrs

# A column is aliased when what its predecessors leave of it is below this share of its length: the tolerance of
# R's qr() in lme4, so that the same columns are dropped.
RANK_TOLERANCE = 1e-7


@dataclass(frozen=True, eq=False)
class Basis:
    """sqrt(W) X[:, kept] = Q R, Q orthonormal; sqrt(W) y = Q gamma0 + r."""

    Q: np.ndarray
    R: np.ndarray
    kept: np.ndarray
    gamma0: np.ndarray
    r: np.ndarray

    @property
    def logdet(self) -> float:
        """log |X'WX| of the kept columns."""
        return 2.0 * float(np.log(np.abs(np.diag(self.R))).sum())

    def coefficients(self, gamma: np.ndarray) -> np.ndarray:
        """Beta in the user's units from coordinates on Q of the residual problem."""
        return _solve_upper(self.R, self.gamma0 + gamma)

    @property
    def R_inverse(self) -> np.ndarray:
        """R^-1, upper triangular: X = Q R and beta = R^-1 gamma."""
        if self.R.size == 0:
            return self.R
        return np.asarray(dtrtri(self.R)[0])


def orthonormalise(X: np.ndarray, y: np.ndarray) -> Basis:
    """Orthonormal basis of the columns of X that do not depend on earlier ones, and the OLS residual of y.

    X (n, p) and y (n,) are already weighted (multiplied by sqrt(w)).
    """
    length = np.sqrt(np.einsum("ij,ij->j", X, X))
    length[length == 0.0] = 1.0
    kept = independent_columns(X / length if X.shape[1] else X)
    scaled = X[:, kept] / length[kept]
    Q, R = np.linalg.qr(scaled)
    gamma0 = Q.T @ y
    r = y - Q @ gamma0
    # Once more: y may be 1e9 times longer than r, and what rounding left of Q in r would count as signal.
    correction = Q.T @ r
    return Basis(Q, R * length[kept], kept, gamma0 + correction, r - Q @ correction)


def independent_columns(X: np.ndarray) -> np.ndarray:
    """Indices of the columns (of unit length) that keep at least ``RANK_TOLERANCE`` after their predecessors."""
    n, p = X.shape
    R = np.asarray(np.linalg.qr(X, mode="r"))
    if n >= p and (np.abs(np.diag(R)) >= RANK_TOLERANCE).all():
        return np.arange(p)
    # Gram-Schmidt on the p columns of R, leaving the aliased ones out of the basis.
    kept: list[int] = []
    basis = np.zeros((R.shape[0], 0))
    for j in range(p):
        v = R[:, j] - basis @ (basis.T @ R[:, j])
        v -= basis @ (basis.T @ v)
        size = float(np.linalg.norm(v))
        if size >= RANK_TOLERANCE:
            kept.append(j)
            basis = np.column_stack([basis, v / size])
    return np.array(kept, dtype=np.intp)


def _solve_upper(R: np.ndarray, b: np.ndarray) -> np.ndarray:
    if R.size == 0:
        return b
    return np.asarray(dtrtrs(R, b)[0])
