"""The fixed part, conditioned: an orthonormal basis of X, its rank, and the response as its OLS residual.

Replacing X by X R^-1 and y by y - X beta_0 are exact invariances of the model (DESIGN, "Conditioning"); they keep
every later cross-product of order one, whatever the units of X and the size of y. So is x - c for x, where earlier
columns make up a constant: a column far from zero (calendar years, seconds since 1970) is taken from its mean, and its
rank is judged by its spread about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mme.numeric.lapack import cholesky, triangular_inverse
from mme.numeric.rank import independent_columns
from mme.numeric.sums import is_constant
from mme.residual.whitening import Whitening

# Where a column that is not zero varies by less than this share of its size, it is far from zero.
_FAR = 1e-2
# Records of a column that are looked at before all of them.
_FEW = 1024
# Less than this share of it is rounding.
_ROUNDING = 1e-13
# A column is made up of others where they leave no more of it than this share of its size.
_MADE_UP = 1e-9
# So many records, and four a column, are looked at first.
_SOME = 50
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
class Centred:
    """X as rows (p, n), those far from zero by their distance from their mean: what no weights change.

    ``moved`` has of each such column, by its place, what :func:`_moved_to_mean` says.
    """

    rows: np.ndarray
    moved: dict[int, tuple[np.ndarray, float, np.ndarray]]


@dataclass(frozen=True, eq=False)
class FixedBasis:
    """Whitened X[:, kept] = Q R, Q orthonormal; whitened y - X beta0 is r. ``N`` (p + 1, n) holds Q' and r.

    ``R_inverse`` is upper triangular: beta = R^-1 gamma. ``length`` is that of whitened y.
    """

    N: np.ndarray
    R: np.ndarray
    R_inverse: np.ndarray
    kept: np.ndarray
    beta0: np.ndarray
    length: float

    @property
    def Q(self) -> np.ndarray:
        """Orthonormal columns (n, p)."""
        return self.N[:-1].T

    @property
    def r(self) -> np.ndarray:
        """OLS residual of the whitened response (n,)."""
        return np.asarray(self.N[-1])

    @property
    def logdet(self) -> float:
        """log |X'R^-1 X| of the kept columns, R the residual covariance in units of sigma^2."""
        return 2.0 * float(np.log(np.abs(np.diag(self.R))).sum())

    def coefficients(self, gamma: np.ndarray) -> np.ndarray:
        """Beta in the user's units from coordinates on Q of the residual problem."""
        return np.asarray(self.beta0 + self.R_inverse @ gamma)

    def with_response(self, X: np.ndarray, y: np.ndarray, whiten: Whitening) -> FixedBasis:
        """The same columns beside the OLS residual of another response."""
        return _beside(self.N.copy(), self.R, self.R_inverse, self.kept, X, y, whiten)


def centred(X: np.ndarray) -> Centred:
    """The columns of X near zero."""
    rows = np.ascontiguousarray(X.T)
    moved = _moved_to_mean(rows)
    if moved:
        rows = rows.copy()
        for j, (near, _, _) in moved.items():
            rows[j] = near
    return Centred(rows, moved)


def orthonormalise(X: np.ndarray, y: np.ndarray, whiten: Whitening, near: Centred | None = None) -> FixedBasis:
    """Orthonormal basis of the columns of whitened X that do not depend on earlier ones, and the OLS residual of y.

    ``near`` is X :func:`centred`, where it is at hand.
    """
    near = centred(X) if near is None else near
    rows, moved = whiten(near.rows), near.moved
    length = np.sqrt(np.einsum("ji,ji->j", rows, rows))
    length[length == 0.0] = 1.0
    N, R, kept = _qr(rows, length)
    R = R * length[kept]
    R, R_inverse = _moved_back(N[:-1], R, {t: moved[j] for t, j in enumerate(kept.tolist()) if j in moved}, whiten)
    return _beside(N, R, R_inverse, kept, X, y, whiten)


def _moved_back(
    Q: np.ndarray, R: np.ndarray, moved: dict[int, tuple[np.ndarray, float, np.ndarray]], whiten: Whitening
) -> tuple[np.ndarray, np.ndarray]:
    """R and R^-1 of X from that of its columns near zero, Q R: with X = Q R M these are R M and M^-1 R^-1.

    Where x and x within a level are both far from zero, entries of R M have products of two distances, which cancel in
    its inverse by rows; M^-1 R^-1 has one distance a product.
    """
    R_inverse = triangular_inverse(R)
    if not moved:
        return R, R_inverse
    M, size = np.eye(len(R)), np.linalg.norm(R, axis=0)
    for t, (_, mean, where) in moved.items():
        along = Q[:t] @ whiten(where[None, :])[0]
        weights = R_inverse[:t, :t] @ along
        weights[np.abs(weights) * size[:t] < _NO_PART * np.linalg.norm(along)] = 0.0
        M[:t, t] = mean * weights
    return R @ M, triangular_inverse(M) @ R_inverse


def _moved_to_mean(rows: np.ndarray) -> dict[int, tuple[np.ndarray, float, np.ndarray]]:
    """By column of X (rows): x - c s, c and s for those far from zero.

    Earlier columns make up s (n,), so that the span of all remains what it was: an intercept, or for x within a level
    of a factor, x:f, the columns of f. It is one where x is not zero; of x times a contrast of f (of sums, Helmert's,
    a polynomial) it is the contrast, and c that of x by itself.
    """
    n, moved = rows.shape[1], dict[int, tuple[np.ndarray, float, np.ndarray]]()
    constant = False
    for j, row in enumerate(rows):
        if is_constant(row):
            constant = True
            continue
        if not _is_far(row):
            if moved and (found := _times_contrast(row, rows[:j], moved)) is not None:
                moved[j] = found
            continue
        count, total, squares = np.count_nonzero(row), float(row.sum()), float(row @ row)
        where = row != 0.0
        if np.count_nonzero(row == row[int(where.argmax())]) == count:
            continue
        where = where.astype(float)
        if not (constant and count == n) and not _is_made_up(where, rows[:j], moved):
            continue
        mean = total / count
        near = row - mean * where
        more = float(near.sum()) / count
        near = near - more * where
        if np.linalg.norm(near) < _ROUNDING * np.sqrt(squares):
            near = np.zeros(n)
        moved[j] = near, mean + more, where
    return moved


def _is_far(row: np.ndarray) -> bool:
    """Whether the entries of a column that are not zero vary little for their size."""
    if _has_both_signs(row):
        return False
    count, total, squares = np.count_nonzero(row), float(row.sum()), float(row @ row)
    return bool(count > 0 and count * squares <= (1.0 + _FAR**2) * total**2)


def _has_both_signs(row: np.ndarray) -> bool:
    """Whether records at the head of a long column show that it is not far from zero.

    A record on the other side of the mean m differs from it by more than |m|: there are few of them where it is far.
    """
    if row.size <= _FEW:
        return False
    few = row[:_FEW]
    return bool(min(np.count_nonzero(few > 0.0), np.count_nonzero(few < 0.0)) > _FAR**2 * row.size)


def _times_contrast(
    row: np.ndarray, rows: np.ndarray, moved: dict[int, tuple[np.ndarray, float, np.ndarray]]
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """x s less its part c s, c, and s, for a column x that was moved by c and a contrast s of columns before."""
    for i, (_, mean, where) in moved.items():
        if (where == 1.0).all():
            contrast = row / rows[i]
            if _is_made_up(contrast, rows, moved):
                return row - mean * contrast, mean, contrast
    return None


def _is_made_up(where: np.ndarray, rows: np.ndarray, moved: dict[int, tuple[np.ndarray, float, np.ndarray]]) -> bool:
    """Whether the columns before are known to have ``where`` in their span: in some records, and then in all."""
    columns = [moved[i][0] if i in moved else row for i, row in enumerate(rows)]
    if not columns:
        return False
    n, most = where.size, _MADE_UP * float(np.abs(where).max())
    for some in (np.linspace(0, n - 1, min(n, _SOME + 4 * len(rows))).astype(np.intp), slice(None)):
        E = np.array([column[some] for column in columns])
        size = np.sqrt(np.einsum("ji,ji->j", E, E))
        size[size == 0.0] = 1.0
        weights = np.linalg.lstsq((E / size[:, None]).T, where[some], rcond=None)[0] / size
        if np.abs(where[some] - weights @ E).max() >= most:
            return False
        left = where.copy()
        for weight, column in zip(weights.tolist(), columns, strict=True):
            left -= weight * column
        if np.abs(left).max() < most:
            return True
    return False


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
    if r @ r < _LARGE_OFFSET**2 * (white @ white):
        r[:] = whiten(_exact_residual(X[:, kept], y, beta0)[None, :])[0]
    correction = Q @ r
    r -= correction @ Q
    return FixedBasis(N, R, R_inverse, kept, beta0 + R_inverse @ correction, float(np.linalg.norm(white)))


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


def _qr(rows: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Q' (r, n) with room for a row below it, R (r, r) and the kept columns of (rows / length)'."""
    p, n = rows.shape
    if p == 0:
        return np.empty((1, n)), np.zeros((0, 0)), np.arange(0)
    L, failed = cholesky((rows @ rows.T) / (length[:, None] * length))
    if not failed and L.diagonal().min() > _WELL_CONDITIONED:
        once, N = (triangular_inverse(L.T) / length[:, None]).T @ rows, np.empty((p + 1, n))
        again = cholesky(once @ once.T)[0].T
        np.matmul(triangular_inverse(again).T, once, out=N[:-1])
        return N, again @ L.T, np.arange(p)
    kept = independent_columns((rows / length[:, None]).T)
    Q, R = np.linalg.qr((rows[kept] / length[kept, None]).T)
    N = np.empty((kept.size + 1, n))
    N[:-1] = Q.T
    return N, R, kept
