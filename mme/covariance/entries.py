"""T with free entries: unstructured and diagonal covariances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.base import GStructure
from mme.covariance.held import Held, hold_rotated
from mme.covariance.triangle import fixed, lower_entries, lower_factor
from mme.numeric.kept import kept
from mme.numeric.lapack import cholesky

# A variance in another valley may be the square of this times as large.
_MANY_TIMES = 10.0


@dataclass(frozen=True, eq=False)
class FreeEntries(GStructure):
    """T with free entries: ``T[rows, cols] = theta``. Unstructured and diagonal covariances.

    T and T with the sign of a column changed are the same covariance, so the criterion is an even, smooth function
    of a column and ``T[j, j] >= 0`` is a convention (:meth:`canonical`), not a constraint that a search must obey.
    """

    q: int
    rows: np.ndarray
    cols: np.ndarray

    @kept
    def k(self) -> int:
        """Length of theta."""
        return int(self.rows.size)

    @kept
    def diagonal(self) -> np.ndarray:
        """Diagonal entries of T."""
        return fixed(self.rows == self.cols)

    @kept
    def _places(self) -> np.ndarray:
        """Where the entries stand in T, row after row."""
        return self.rows * self.q + self.cols

    @property
    def kind(self) -> str:
        """The word for it."""
        return "unstructured" if self.correlated or self.q == 1 else "diagonal"

    @kept
    def correlated(self) -> bool:
        """Whether an entry is off the diagonal."""
        return not self.diagonal.all()

    @property
    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the free entries."""
        return self.rows, self.cols

    @property
    def is_cone(self) -> bool:
        """Every positive semi-definite matrix with these entries is one of its covariances."""
        return True

    def T(self, theta: np.ndarray) -> np.ndarray:
        """The relative covariance factor at theta."""
        T = np.zeros(self.q * self.q)
        T[self._places] = theta
        return T.reshape(self.q, self.q)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Theta with a non-negative diagonal of T."""
        if not (theta < 0.0)[self.diagonal].any():
            return theta + 0.0
        T = self.T(theta)
        signs = np.where(np.diag(T) < 0.0, -1.0, 1.0)
        return np.asarray((T * signs)[self.rows, self.cols] + 0.0)

    @property
    def mixes(self) -> bool:
        """Whether all of the triangle is free, and there is something to mix."""
        return self.q > 1 and self.k == self.q * (self.q + 1) // 2

    def mixed(self, theta: np.ndarray, A: np.ndarray) -> np.ndarray:
        """The lower triangular factor of A T T'A'."""
        return np.asarray(lower_factor(A @ self.T(theta)).take(self._places))

    def nearest(self, H: np.ndarray, floor: np.ndarray) -> np.ndarray:
        """Cholesky factor of H with its correlations pulled inside the cone."""
        scale = np.sqrt(np.maximum(H.diagonal(), floor))
        if self.q == 1:
            return scale
        R = H / (scale[:, None] * scale)
        inside = np.minimum(np.maximum((R + R.T) / 2, -0.9), 0.9)
        inside.flat[:: self.q + 1] += 0.1
        if self.q > 2 or not inside[0, 0] == inside[1, 1] == 1.0:  # elsewhere eigenvalues are 0.1 to 1.9
            values, vectors = np.linalg.eigh(inside)
            inside = (vectors * np.maximum(values, 0.05)) @ vectors.T
        L = cholesky(inside)[0]
        return np.asarray((scale[:, None] * L / np.sqrt((L * L).sum(axis=1))[:, None]).take(self._places))

    def elsewhere(self, theta: np.ndarray, size: np.ndarray) -> Iterator[np.ndarray]:
        """Each column of T at zero, from zero, or many times as large; each row's correlations the other way round."""
        for j in range(self.q):
            own, across = self.cols == j, (self.rows == j) & (self.cols < j)
            if theta[own].any():
                yield np.where(own, 0.0, theta)
                yield np.where(own, _MANY_TIMES * theta, theta)
            else:
                yield np.where(own & self.diagonal, size, theta)
            if theta[across].any():
                yield np.where(across, -theta, theta)

    def nothing(self, theta: np.ndarray) -> np.ndarray:
        """T = 0."""
        return np.zeros(self.k)

    def per_row(self, of_columns: np.ndarray, of_others: float) -> np.ndarray:
        """Every entry has the units of its row's column."""
        return np.asarray(of_columns[self.rows])

    def names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """lme4's names: ``g.x`` for a standard deviation, ``g.x2.x1`` for an off-diagonal entry."""
        return tuple(
            f"{term}.{columns[i]}" if i == j else f"{term}.{columns[i]}.{columns[j]}"
            for i, j in zip(self.rows.tolist(), self.cols.tolist(), strict=True)
        )

    @property
    def times_sigma(self) -> np.ndarray:
        """Standard deviations are in units of sigma, correlations are not."""
        return self.diagonal

    def natural_names(self, term: str, columns: Sequence[str]) -> tuple[str, ...]:
        """lme4's names: ``sd_x|g``, ``cor_x2.x1|g``."""
        return tuple(
            f"sd_{columns[i]}|{term}" if i == j else f"cor_{columns[i]}.{columns[j]}|{term}"
            for i, j in zip(self.rows.tolist(), self.cols.tolist(), strict=True)
        )

    def natural(self, theta: np.ndarray, sigma: float) -> np.ndarray:
        """sd_i = sigma |T_i| and cor_ij = T_i'T_j / (|T_i| |T_j|), NaN beside a standard deviation of zero."""
        T = self.T(theta)
        sd = np.sqrt(np.einsum("ia,ia->i", T, T))
        with np.errstate(invalid="ignore", divide="ignore"):
            cor = np.clip((T @ T.T) / np.outer(sd, sd), -1.0, 1.0)
        return np.asarray(np.where(self.diagonal, sigma * sd[self.rows], cor[self.rows, self.cols]))

    @property
    def natural_bounds(self) -> tuple[tuple[float, float], ...]:
        """What values the natural parameters can take: those of standard deviations and of correlations."""
        return tuple((0.0, np.inf) if is_sd else (-1.0, 1.0) for is_sd in self.diagonal.tolist())

    def hold(self, theta: np.ndarray, at: int, axes: Axes | None = None) -> Held:
        """Hold a standard deviation or a correlation: of an unstructured T, with its rows turned."""
        if self.correlated:
            return hold_rotated(self.T(theta), int(self.rows[at]), int(self.cols[at]), axes)
        return super().hold(theta, at)

    def lost_with(self, columns: np.ndarray) -> np.ndarray:
        """The entries of these columns' rows and columns of T."""
        return np.asarray(columns[self.rows] | columns[self.cols])

    def columns_of(self, entries: np.ndarray) -> np.ndarray:
        """Every column has a standard deviation of its own."""
        found = np.zeros(self.q, dtype=bool)
        found[self.rows[self.diagonal]] = entries[self.diagonal]
        return found

    def slopes(self, theta: np.ndarray, unit: np.ndarray) -> np.ndarray:
        """E_rc T' + T E_cr for entry (r, c) of T."""
        moved = np.zeros((self.k, self.q, self.q))
        moved[np.arange(self.k), self.rows] = self.T(theta).T[self.cols]
        return moved + moved.transpose(0, 2, 1)

    def curvature(self, theta: np.ndarray, unit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Twice the weights between the rows of entries of one column."""
        same = np.equal.outer(self.cols, self.cols)
        return np.where(same, 2.0 * weights[np.ix_(self.rows, self.rows)], 0.0)

    def directions(self, theta: np.ndarray, information: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Columns f with T T' = sum x f f': those of F and their sums over sqrt 2, F'(information) F = I.

        Coefficients of which the data say nothing are left out.
        """
        T, told = self.T(theta), np.diag(information) > 0.0
        H, information = (T @ T.T)[np.ix_(told, told)], information[np.ix_(told, told)]
        f, x = rank_one_basis(H, information, diagonal=not self.correlated)
        columns = np.zeros((self.q, f.shape[1]))
        columns[told] = f
        return list(columns.T[:, :, None]), x

    def added(self, theta: np.ndarray, F: np.ndarray, t: float) -> np.ndarray:
        """The triangle of [T  sqrt(t) F], so that nothing is squared."""
        rows = np.vstack([self.T(theta).T, np.sqrt(t) * F.T])
        return np.asarray(np.asarray(np.linalg.qr(rows, mode="r")).T[self.rows, self.cols])


def rank_one_basis(H: np.ndarray, information: np.ndarray, *, diagonal: bool) -> tuple[np.ndarray, np.ndarray]:
    """Columns f (q, m) and x (m,) with H = sum x f f', made for a positive definite ``information`` (q, q)."""
    scale = np.sqrt(np.diag(information))
    if diagonal:
        return np.diag(1.0 / scale), np.diag(H) * scale**2
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    root = np.sqrt(np.maximum(values, 1e-10 * values[-1]))
    F = vectors / root / scale[:, None]
    S = (vectors * root).T * scale @ H @ (scale[:, None] * (vectors * root))  # F^-1 H F^-T
    a, b = np.triu_indices(len(H), 1)
    f = np.concatenate([F, (F[:, a] + F[:, b]) / np.sqrt(2.0)], axis=1)
    return f, np.concatenate([2.0 * np.diag(S) - S.sum(axis=1), 2.0 * S[a, b]])


@cache
def free_triangle(q: int) -> FreeEntries:
    """The unstructured covariance of q coefficients, one object for all models."""
    return FreeEntries(q, *lower_entries(q))


@cache
def free_diagonal(q: int) -> FreeEntries:
    """The covariance of q coefficients that are uncorrelated, one object for all models."""
    return FreeEntries(q, fixed(np.arange(q)), fixed(np.arange(q)))
