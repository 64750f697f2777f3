"""Which columns do not depend on those before them: one tolerance for the whole package."""

from __future__ import annotations

import numpy as np

# A column is aliased when what its predecessors leave of it is below this share of its length: the tolerance of
# R's qr() in lme4, so that the same columns are dropped. Of a column far from zero it is a share of its spread, where
# lme4's is one of its distance: there it drops what varies by less than a ten-millionth of its size.
RANK_TOLERANCE = 1e-7


def unit_columns(X: np.ndarray) -> np.ndarray:
    """The columns of X over their lengths; zeros stay zeros."""
    length = np.linalg.norm(X, axis=0)
    return np.asarray(X / np.where(length > 0.0, length, 1.0))


def independent_columns(X: np.ndarray, tolerance: float = RANK_TOLERANCE) -> np.ndarray:
    """Indices of the columns (of unit length) that keep at least this share of it after their predecessors."""
    n, p = X.shape
    R = np.asarray(np.linalg.qr(X, mode="r"))
    if n >= p and (np.abs(np.diag(R)) >= tolerance).all():
        return np.arange(p)
    # Gram-Schmidt on the p columns of R, leaving the aliased ones out of the basis.
    kept: list[int] = []
    basis = np.zeros((R.shape[0], 0))
    for j in range(p):
        v = R[:, j] - basis @ (basis.T @ R[:, j])
        v -= basis @ (basis.T @ v)
        size = float(np.linalg.norm(v))
        if size >= tolerance:
            kept.append(j)
            basis = np.column_stack([basis, v / size])
    return np.array(kept, dtype=np.intp)
