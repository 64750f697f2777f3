r"""A wide X, conditioned: its sparse columns F as they are, an orthonormal basis of what they leave of the others, D.

With D = F C + Q R and y = F c + ..., the model y = D beta + F alpha + Z b + e is that of y - F c on Q R and F, with

    alpha = a + c - C beta                                                                                        (W)

for the coefficients a of F there (:mod:`mme.engine.sweep`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.basis import FixedBasis, orthonormal_columns
from mme.engine.centring import Centred, centred
from mme.engine.dependence import Equation, equations
from mme.engine.sweep import Sweep
from mme.model.wide import dense_columns
from mme.numeric.memory import require
from mme.numeric.pooled import Pooled, pooled
from mme.residual.whitening import Whitening

# Rows as long as the records, for each dense column, that are there at one time.
_COPIES = 5


@dataclass(frozen=True, eq=False)
class WideX:
    """Columns of X that are kept, dense (n, d) at places ``dense_at`` and sparse (n, f) at ``sparse_at``.

    ``rows`` are those of F once each, where they repeat. ``equations`` say how those left out depend on them; there are
    ``p`` columns in all.
    """

    D: np.ndarray
    near: Centred
    F: sp.csc_array
    dense_at: np.ndarray
    sparse_at: np.ndarray
    equations: tuple[Equation, ...]
    p: int
    rows: Pooled | None


def wide(X: sp.csc_array, among: int) -> WideX:
    """X in two parts, without the columns that depend on earlier ones; the first ``among`` of them may be dense."""
    n, p = X.shape
    dense_at = dense_columns(X, among)
    require(8 * _COPIES * n * (dense_at.size + 1), f"{dense_at.size} dense columns of X need")
    sparse_at = np.setdiff1d(np.arange(p), dense_at)
    D, F = np.asarray(X[:, dense_at].toarray(), order="F"), sp.csc_array(X[:, sparse_at])
    rows = pooled(sp.csr_array(F))
    found = tuple(equations(np.ascontiguousarray(D.T), F, dense_at, sparse_at, rows))
    if found:
        dropped = np.array([one.columns[-1] for one in found])
        dense, sparse = ~np.isin(dense_at, dropped), ~np.isin(sparse_at, dropped)
        D, F = np.asarray(D[:, dense], order="F"), sp.csc_array(F[:, sparse])
        rows = None if rows is None else rows.chosen(np.flatnonzero(sparse))
        dense_at, sparse_at = dense_at[dense], sparse_at[sparse]
    return WideX(D, centred(D), F, dense_at, sparse_at, found, p, rows)


def whitened(of: WideX, whiten: Whitening) -> sp.csc_array:
    """The sparse columns of whitened records, which keep their places: W is diagonal."""
    if whiten.sqrt_weights is None:
        return of.F
    return sp.csc_array((of.F.data * whiten.sqrt_weights[of.F.indices], of.F.indices, of.F.indptr), shape=of.F.shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class WideBasis(FixedBasis):
    """The basis of D less its part along F; ``kept`` are the columns of both among those of X.

    ``order`` takes (beta, alpha) to their places; ``C`` (f, d) and ``c`` (f,) are of (W).
    """

    wide: WideX
    sparse: Sweep
    order: np.ndarray
    C: np.ndarray
    c: np.ndarray

    @property
    def sweep(self) -> Sweep:
        """Takes rows to what F leaves of them."""
        return self.sparse

    def logdet_of(self, weights: np.ndarray | None) -> float:
        """log|X'X| of the kept columns, without the weights that this basis has."""
        if weights is None:
            return self.logdet + self.sparse.logdet
        plain = wide_basis(self.wide, self.wide.F, np.zeros(len(weights)), Whitening())
        return plain.logdet + plain.sparse.logdet

    def coefficients(self, gamma: np.ndarray, b: Callable[[], Sequence[np.ndarray]] | None = None) -> np.ndarray:
        """Beta and alpha by (W), in the order of X; a are the effects of the last block."""
        if self.c.size == 0:
            return self.joined(self.beta0 + self.R_inverse @ gamma, self.c)
        assert b is not None  # beta alone does not make alpha
        a = b()[-1][:, 0]
        return self.joined(self.beta0 + self.R_inverse @ gamma, a + self.c)

    def joined(self, beta: np.ndarray, a: np.ndarray) -> np.ndarray:
        """(beta, a - C beta) (..., p) in the order of X, of beta (..., d) and a (..., f)."""
        return np.concatenate([beta, a - beta @ self.C.T], axis=-1)[..., self.order]

    def with_response(self, X: np.ndarray, y: np.ndarray, whiten: Whitening) -> FixedBasis:
        """The same columns beside the OLS residual of another response."""
        dense = np.setdiff1d(self.kept, self.wide.sparse_at)
        return _beside(self.wide, self.sparse, (np.array(self.N), self.R, self.R_inverse, dense), self.C, y, whiten)


def wide_basis(of: WideX, F: sp.csc_array, y: np.ndarray, whiten: Whitening) -> WideBasis:
    """The basis of whitened records; ``F`` are the sparse columns, whitened."""
    sweep = Sweep(F, None if of.rows is None else of.rows.weighted(whiten.sqrt_weights))
    N, R, R_inverse, kept = orthonormal_columns(of.D, whiten, of.near, sweep)
    C = sweep.apart(whiten(of.D[:, kept].T))[1]
    return _beside(of, sweep, (N, R, R_inverse, of.dense_at[kept]), C, y, whiten)


def _beside(
    of: WideX,
    sweep: Sweep,
    columns: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    C: np.ndarray,
    y: np.ndarray,
    whiten: Whitening,
) -> WideBasis:
    """The rows of Q' as they stand in N and, written below them, what D and F leave of y."""
    N, R, R_inverse, dense_at = columns
    white = whiten(y[None, :])
    swept, c = sweep.apart(white)
    Q, r = N[:-1], swept[0]
    gamma = np.zeros(len(Q))
    for _ in range(2):
        along = Q @ r
        r = sweep((r - along @ Q)[None, :])[0]
        gamma += along
    N[-1] = r
    places = np.concatenate([dense_at, of.sparse_at])
    order = np.argsort(places)
    given = R, R_inverse, places[order], R_inverse @ gamma, float(np.linalg.norm(white)), float(r @ r), N
    return WideBasis(*given, wide=of, sparse=sweep, order=order, C=C, c=c[:, 0])
