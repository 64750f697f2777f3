r"""One level with many coefficients of one variance: penalised splines, marker effects.

With the singular value decomposition Z = U S V' of the level's columns, b ~ N(0, tau^2 I) is V'b ~ N(0, tau^2 I), and
the level is absorbed as in :mod:`mme.engine.absorption` with R = S V': I + R T T'R' = I + tau^2 S^2 is diagonal, so
that an evaluation takes as many operations as there are singular values, and nothing is subtracted here either.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.numeric.lapack import cholesky, triangular_solve
from mme.numeric.limits import limits
from mme.numeric.memory import require

# Singular values below this share of the largest are lost in the Gram matrix.
_LOST = 1e-7
# Copies of Z that are held at a time.
_COPIES = 4


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Rows U' (r, n), orthonormal; s (r,) > 0; R = S V' (r, q), with U R = Z: r is the rank of Z."""

    U: np.ndarray
    s: np.ndarray
    R: np.ndarray


def spectrum(Z: np.ndarray) -> Spectrum:
    """Decompose Z, given by its columns as rows (q, n).

    Large ones by the Gram matrix of the shorter side: a product and the eigenvectors of a small matrix, where singular
    values below 1e-7 of the largest are taken for zero.
    """
    q, n = Z.shape
    if q * n * min(q, n) <= limits().svd_operations:
        V, s, U = np.linalg.svd(Z, full_matrices=False)
        kept = s > max(q, n) * np.finfo(float).eps * s.max(initial=0.0)
        return Spectrum(U[kept], s[kept], s[kept, None] * V.T[kept])
    if n < q:
        values, vectors = np.linalg.eigh(Z.T @ Z)
        kept = values > _LOST**2 * values[-1]
        U = np.ascontiguousarray(vectors[:, kept].T)
        return Spectrum(U, np.sqrt(values[kept]), U @ Z.T)
    values, V = np.linalg.eigh(Z @ Z.T)
    kept = values > _LOST**2 * values[-1]
    s, V = np.sqrt(values[kept]), V[:, kept]
    rows = V.T @ Z  # S U', to be made orthonormal to the last digit
    L, _ = cholesky(rows @ rows.T)
    return Spectrum(triangular_solve(L, rows, transposed=False), s, s[:, None] * V.T)


def require_memory(n: int, q: int) -> None:
    """Refuse columns that would not fit, with what is made of them."""
    require(
        8 * (_COPIES * n * q + 3 * min(n, q) ** 2),
        f"{q:,} coefficients of one variance for {n:,} records need",
        ". Fewer columns, or the relationship that they make among the levels of the records "
        "(mme.genomic_relationship), take less",
    )
