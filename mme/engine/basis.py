"""The fixed part, conditioned: an orthonormal basis of X, its rank, and the response as its OLS residual.

Replacing X by X R^-1 and y by y - X beta_0 are exact invariances of the model: they change no estimate, and keep
every later cross-product of order one, whatever the units of X and the size of y. So is x - c for x (``centring.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import Any

import numpy as np

from mme.engine.centring import Centred, CentredColumns, centred
from mme.engine.long_rows import LongRows
from mme.engine.sweep import Sweep
from mme.numeric.kept import deferred
from mme.numeric.lapack import cholesky, triangular_inverse
from mme.numeric.panels import panels
from mme.numeric.rank import independent_columns
from mme.numeric.sums import Column
from mme.residual.whitening import Whitening

# Its weights on columns that have no part in it are no more than this.
_NO_PART = 1e-11
# While every column keeps this share, the Cholesky factor of X'X has digits enough for a second pass to restore
# orthogonality in full; it costs four products where Householder's QR takes ten times as long.
_WELL_CONDITIONED = 1e-3
# Below this ratio of the residual to y the residual is computed again in extended precision.
_LARGE_OFFSET = 1e-3
# 2^27 + 1: a product with it carries the upper half of the 53 bits of a double.
_SPLIT = 134217729.0


@dataclass(frozen=True, eq=False)
class FixedBasis:
    """Whitened X[:, kept] = Q R, Q orthonormal; whitened y - X beta0 is r. ``N`` (p + 1, n) holds Q' and r.

    R and ``R_inverse`` are upper triangular, the latter to rounding: beta = R^-1 gamma. ``length`` is that of y,
    whitened, ``squares`` are r'r. N of many records is made of ``long`` when it is asked for as a whole.
    """

    R: np.ndarray
    R_inverse: np.ndarray
    kept: np.ndarray
    beta0: np.ndarray
    length: float
    squares: float
    N: deferred[np.ndarray] = deferred()  # noqa: RUF009  a descriptor
    long: LongRows | None = field(default=None, kw_only=True)

    @property
    def m(self) -> int:
        """Rows of N, which are not made for it."""
        return len(self.R) + 1

    @property
    def sweep(self) -> Sweep | None:
        """Takes rows to what sparse columns of X leave of them; None where there are none."""
        return None

    @property
    def Q(self) -> np.ndarray:
        """Orthonormal columns (n, p)."""
        return self.N[:-1].T

    @property
    def r(self) -> np.ndarray:
        """OLS residual of the whitened response (n,)."""
        return np.asarray(self.N[-1]) if self.long is None else self.long.last()

    def beside(self, rows: np.ndarray) -> np.ndarray:
        """Rows N' (m, p + 1) of rows (m, n)."""
        return np.asarray(rows @ self.N.T) if self.long is None else self.long.beside(rows)

    @property
    def logdet(self) -> float:
        """log |X'R^-1 X| of the kept columns, R the residual covariance in units of sigma^2."""
        return 2.0 * float(np.add.reduce(np.log(np.abs(self.R.diagonal()))))

    def coefficients(self, gamma: np.ndarray, b: Callable[[], Sequence[np.ndarray]] | None = None) -> np.ndarray:
        """Beta in the user's units from coordinates on Q of the residual problem; ``b`` gives the effects of blocks."""
        return np.asarray(self.beta0 + self.R_inverse @ gamma)

    def with_response(self, X: np.ndarray, y: np.ndarray, whiten: Whitening) -> FixedBasis:
        """The same columns beside the OLS residual of another response."""
        return _beside(self.N.copy(), self.R, self.R_inverse, self.kept, X, y, whiten)


def orthonormalise(X: np.ndarray, y: np.ndarray, whiten: Whitening, near: Centred | None = None) -> FixedBasis:
    """Orthonormal basis of the columns of whitened X that do not depend on earlier ones, and the OLS residual of y.

    ``near`` is X :func:`centred`, where it is at hand.
    """
    near = centred(X) if near is None else near
    N, R, R_inverse, kept = orthonormal_columns(X, whiten, near)
    return _beside(N, R, R_inverse, kept, X, y, whiten)


def orthonormal_basis(X: np.ndarray) -> FixedBasis:
    """That of columns that stand beside no response: y and r are zero."""
    N, R, R_inverse, kept = orthonormal_columns(X, Whitening(), centred(X))
    N[-1] = 0.0
    return FixedBasis(R, R_inverse, kept, np.zeros(kept.size), 0.0, 0.0, N)


def orthonormal_columns(
    X: np.ndarray, whiten: Whitening, near: Centred, sweep: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Q' with room for a row below it, R, R^-1 and the kept columns; ``sweep`` leaves of rows what is to be spanned."""
    rows = whiten(near.rows)
    length = np.sqrt(np.einsum("ji,ji->j", rows, rows))
    length[length == 0.0] = 1.0
    N, R, kept = _qr(rows if sweep is None else sweep(rows), length, near.rows if whiten.varies else None)
    R = R * length[kept]
    R, R_inverse = _moved_back(R, near.moved, kept, lambda t, where: N[:t] @ whiten(where[None, :])[0])
    if not near.stands:
        if set(near.moved) - set(kept.tolist()):  # X keeps the first of columns alike
            return orthonormal_columns(X, whiten, centred(X, as_they_stand=True), sweep)
        assert near.order is not None
        kept = near.order[kept]
        R, R_inverse = _in_order(N[:-1], R, R_inverse, np.argsort(kept))
        kept = np.sort(kept)
    return N, R, R_inverse, kept


def _in_order(Q: np.ndarray, R: np.ndarray, R_inverse: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R and R^-1 of the columns in another order, and Q' (p, n) overwritten by the basis in which R is a triangle."""
    turn, R = np.linalg.qr(R[:, order])
    Q[:] = turn.T @ Q
    return R, R_inverse[order] @ turn


def _moved_back(
    R: np.ndarray,
    moved: Mapping[int, tuple[Any, float, Column]],
    kept: np.ndarray,
    along: Callable[[int, Any], np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """R and R^-1 of X from that of its columns near zero, Q R: with X = Q R M these are R M and M^-1 R^-1.

    Where x and x within a level are both far from zero, entries of R M have products of two distances, which cancel in
    its inverse by rows; M^-1 R^-1 has one distance a product. ``along(t, s)`` is Q's for the first t columns of Q.
    """
    R_inverse = triangular_inverse(R)
    if not moved:
        return R, R_inverse
    at = {t: moved[j] for t, j in enumerate(kept.tolist()) if j in moved}
    if not at:
        return R, R_inverse
    M, size = np.eye(len(R)), np.linalg.norm(R, axis=0)
    for t, (_, mean, where) in at.items():
        part = along(t, where)
        weights = R_inverse[:t, :t] @ part
        weights[np.abs(weights) * size[:t] < _NO_PART * np.linalg.norm(part)] = 0.0
        M[:t, t] = mean * weights
    return R @ M, triangular_inverse(M) @ R_inverse


def long_basis(y: np.ndarray, whiten: Whitening, near: CentredColumns) -> FixedBasis | None:
    """The basis of many records without N as a whole; None where it takes more than two passes of Cholesky."""
    rows, p = LongRows(near.columns, y, whiten.weights), len(near.columns)
    products = rows.products()
    scale = np.sqrt(products.diagonal())
    length, scale = scale[p], np.where(scale[:p] == 0.0, 1.0, scale[:p])
    L = _well_conditioned(products[:p, :p], scale)
    if L is None:
        return None
    turn = (triangular_inverse(L.T) / scale[:, None]).T
    gamma = turn @ products[:p, p]
    rows = rows.turned(turn).less(gamma)
    products = rows.products()
    again = cholesky(products[:p, :p])[0].T
    turn = triangular_inverse(again).T
    gamma, correction, kept = again @ gamma, turn @ products[:p, p], np.arange(p)
    squares = float(products[p, p] - correction @ correction)  # what is taken off is rounding
    if squares < _LARGE_OFFSET**2 * length**2:
        return None
    made = replace(rows, along=()).turned(turn).less(gamma).less(correction)
    R, R_inverse = _moved_back((again @ L.T) * scale, near.moved, kept, lambda t, where: made.times(where)[:t])
    beta0 = R_inverse @ gamma + R_inverse @ correction
    return FixedBasis(R, R_inverse, kept, beta0, float(length), squares, made.whole, long=made)


def _beside(
    N: np.ndarray,
    R: np.ndarray,
    R_inverse: np.ndarray,
    kept: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    whiten: Whitening,
) -> FixedBasis:
    """The rows of Q' as they stand in N and, written below them, the OLS residual of whitened y."""
    Q, r = N[:-1], N[-1]
    white = whiten(y[None, :])[0]
    gamma = Q @ white
    np.subtract(white, np.matmul(gamma, Q, out=r), out=r)
    beta0 = R_inverse @ gamma
    length = float(white @ white)
    if float(r @ r) < _LARGE_OFFSET**2 * length:
        r[:] = whiten(_exact_residual(X[:, kept], y, beta0)[None, :])[0]
    correction = Q @ r
    r -= correction @ Q
    return FixedBasis(R, R_inverse, kept, beta0 + R_inverse @ correction, sqrt(length), float(r @ r), N)


def _exact_residual(X: np.ndarray, y: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """y - X beta in twice the precision: where y is 1e9 and r is 1, rounding X beta costs r seven digits.

    Error-free products and sums (Dekker 1971, Numer. Math. 18:224-242), as not every machine has longer doubles.
    """
    r, lost = y.copy(), np.zeros_like(y)
    for column, b in zip(X.T, -beta, strict=True):
        product = column * b
        (c_high, c_low), (b_high, b_low) = _halves(column), _halves(b)
        lost += ((c_high * b_high - product) + c_high * b_low + c_low * b_high) + c_low * b_low
        total = r + product
        part = total - r
        lost += (r - (total - part)) + (product - part)
        r = total
    return np.asarray(r + lost)


def _halves(x: Any) -> tuple[Any, Any]:
    """x as a sum of two numbers of 26 bits, whose products are exact."""
    high = x * _SPLIT
    high = high - (high - x)
    return high, x - high


def _qr(
    rows: np.ndarray, length: np.ndarray, plain: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Q' (r, n) with room for a row below it, R (r, r) and the kept columns of (rows / length)'.

    The rank is that of ``plain``, where it is given: residual variances over decades hide columns that are there, and
    leave them at some phi and not at others.
    """
    p, n = rows.shape
    if p == 0:
        return np.empty((1, n)), np.zeros((0, 0)), np.arange(0)
    kept = np.arange(p)
    if (found := _by_cholesky(rows, length)) is not None:
        return *found, kept
    kept = _independent(rows if plain is None else plain)
    if kept.size < p and (found := _by_cholesky(rows[kept], length[kept])) is not None:
        return *found, kept
    order = np.argsort(-np.abs(rows).max(axis=0))  # the largest records first: small ones keep their digits
    Q, R = np.linalg.qr((rows[kept][:, order] / length[kept, None]).T)
    N = np.empty((kept.size + 1, n))
    N[:-1, order] = Q.T
    return N, R, kept


def _independent(rows: np.ndarray) -> np.ndarray:
    """Which rows (p, n) do not depend on those before them."""
    length = np.sqrt(np.einsum("ji,ji->j", rows, rows))
    return independent_columns((rows / np.where(length > 0.0, length, 1.0)[:, None]).T)


def _by_cholesky(rows: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Q' with room for a row below it, and R, by two passes of Cholesky; None where the first would have few digits."""
    L = _well_conditioned(rows @ rows.T, length)
    if L is None:
        return None
    N = np.empty((len(rows) + 1, rows.shape[1]))
    Q = np.matmul((triangular_inverse(L.T) / length[:, None]).T, rows, out=N[:-1])
    again = cholesky(Q @ Q.T)[0].T
    turn = triangular_inverse(again).T
    for panel in panels(rows.shape[1]):  # in place: there may be hundreds of long rows
        np.matmul(turn, Q[:, panel], out=Q[:, panel])
    return N, again @ L.T


def _well_conditioned(products: np.ndarray, length: np.ndarray) -> np.ndarray | None:
    """The Cholesky factor of X'X of columns divided by these lengths; None where it has few digits."""
    L, failed = cholesky(products / (length[:, None] * length))
    return None if failed or L.diagonal().min(initial=1.0) <= _WELL_CONDITIONED else L
