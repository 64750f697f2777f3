r"""The factors of an absorbed block at one theta: I + A_g A_g' = L_g L_g' with A_g = R_g T, all levels at once.

Arrays have the level as their last axis, so that a step of the small algebra is one operation over all levels.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np

from mme.engine.absorption import Levels
from mme.numeric.lapack import triangular_inverse
from mme.numeric.limits import limits

# Squares up to here leave Cholesky's pivots, which are at least one, eleven digits.
LARGE = 1e5


class LevelFactor(ABC):
    """Factors L_g of I + A_g A_g' = L_g L_g', A_g = R_g T, for all levels; ``A`` is (q, q, J)."""

    A: np.ndarray

    @abstractmethod
    def logdet(self, multiplicity: np.ndarray | None) -> float:
        """sum_g log |I + A_g A_g'|."""

    @abstractmethod
    def forward(self, V: np.ndarray) -> np.ndarray:
        """L_g^-1 V_g for V (..., q, J)."""

    @abstractmethod
    def backward(self, Y: np.ndarray) -> np.ndarray:
        """L_g^-T Y_g for Y (..., q, J)."""

    @abstractmethod
    def weights(self) -> np.ndarray:
        """W_g = (I + A_g A_g')^-1 as (q, q, J)."""

    def packed_weights(self) -> np.ndarray:
        """The entries of W_g that are not always zero."""
        return self.weights().ravel()

    def solve(self, V: np.ndarray) -> np.ndarray:
        """(I + A_g A_g')^-1 V_g."""
        return self.backward(self.forward(V))

    def inner(self) -> np.ndarray:
        """(I + A_g'A_g)^-1 (J, q, q): I - A'(I + AA')^-1 A, but without the subtraction."""
        A = self.A
        if A.shape[1] > 2:
            return np.linalg.inv(np.eye(A.shape[1]) + np.einsum("aig,ajg->gij", A, A))
        first = np.sqrt(1.0 + (A[:, 0] ** 2).sum(axis=0))
        if A.shape[1] == 1:
            return np.asarray(_small_inverse(((first,),)).transpose(2, 0, 1))
        below = (A[:, 0] * A[:, 1]).sum(axis=0) / first
        last = np.sqrt(np.maximum(1.0 + (A[:, 1] ** 2).sum(axis=0) - below**2, 1.0))  # no pivot of I + A'A is less
        return np.asarray(_small_inverse(((first,), (below, last))).transpose(2, 0, 1))

    def gain(self) -> np.ndarray:
        """F_g = A_g'(I + A_g A_g')^-1 as (q, q, J)."""
        return np.einsum("aig,abg->ibg", self.A, self.weights())


@dataclass(frozen=True, eq=False)
class CholeskyFactor(LevelFactor):
    """Lower triangles, entry by entry: ``L[i][j]`` (J,)."""

    A: np.ndarray
    L: tuple[tuple[np.ndarray, ...], ...]

    def logdet(self, multiplicity: np.ndarray | None) -> float:
        """sum_g log |I + A_g A_g'|."""
        logs = self.logdets()
        return float(logs.sum() if multiplicity is None else multiplicity @ logs)

    def logdets(self) -> np.ndarray:
        """log |I + A_g A_g'| (J,)."""
        product = self.L[0][0]
        for i in range(1, len(self.L)):
            product = product * self.L[i][i]
        return np.asarray(2.0 * np.log(product))

    def forward(self, V: np.ndarray) -> np.ndarray:
        """L_g^-1 V_g for V (..., q, J)."""
        Y = np.empty_like(V)
        for i, row in enumerate(self.L):
            y = V[..., i, :]
            for j in range(i):
                y = y - row[j] * Y[..., j, :]
            np.divide(y, row[i], out=Y[..., i, :])
        return Y

    def backward(self, Y: np.ndarray) -> np.ndarray:
        """L_g^-T Y_g for Y (..., q, J)."""
        q = len(self.L)
        X = np.empty_like(Y)
        for i in reversed(range(q)):
            x = Y[..., i, :]
            for j in range(i + 1, q):
                x = x - self.L[j][i] * X[..., j, :]
            np.divide(x, self.L[i][i], out=X[..., i, :])
        return X

    def weights(self) -> np.ndarray:
        """W_g = (I + A_g A_g')^-1 as (q, q, J)."""
        q, J = len(self.L), self.L[0][0].size
        if q <= 2:
            return _small_inverse(self.L)
        identity = np.broadcast_to(np.eye(q)[:, :, None], (q, q, J))
        return self.solve(identity)


def _small_inverse(L: tuple[tuple[np.ndarray, ...], ...]) -> np.ndarray:
    """(L L')^-1 as (q, q, J), without what the zeros of the identity do: one or two coefficients are most models."""
    first = L[0][0]
    along = 1.0 / first
    if len(L) == 1:
        return np.asarray((along / first)[None, None])
    (below, last), W = L[1], np.empty((2, 2, first.size))
    np.divide((-below * along) / last, last, out=W[0, 1])
    np.divide(1.0 / last, last, out=W[1, 1])
    np.divide(along - below * W[0, 1], first, out=W[0, 0])
    W[1, 0] = W[0, 1]
    return W


@dataclass(frozen=True, eq=False)
class SphericalFactor(LevelFactor):
    """One level with T = tau I: d = sqrt(1 + tau^2 s^2) on a diagonal. ``A`` = tau R is made when it is asked for."""

    R: np.ndarray
    tau: float
    s: np.ndarray

    @cached_property
    def d(self) -> np.ndarray:
        """Sqrt(1 + tau^2 s^2) (r,)."""
        return np.hypot(1.0, self.tau * self.s)

    @cached_property
    def A(self) -> np.ndarray:  # type: ignore[override]
        """A (r, q, 1)."""
        return self.tau * self.R

    def logdet(self, multiplicity: np.ndarray | None) -> float:
        """log |I + A A'|."""
        return 2.0 * float(np.log(self.d).sum())

    def forward(self, V: np.ndarray) -> np.ndarray:
        """L^-1 V for V (..., r, 1)."""
        return V / self.d[:, None]

    def backward(self, Y: np.ndarray) -> np.ndarray:
        """L^-T Y for Y (..., r, 1), which is L^-1 Y: L is diagonal."""
        return self.forward(Y)

    def weights(self) -> np.ndarray:
        """W (r, r, 1)."""
        return np.diag(self.d**-2.0)[:, :, None]

    def packed_weights(self) -> np.ndarray:
        """The diagonal of W (r,)."""
        return self.d**-2.0

    def inner(self) -> np.ndarray:
        """V (I + tau^2 S^2)^-1 V', and the identity where Z is zero, I - VV'."""
        V = self.R[:, :, 0] / self.s[:, None]
        seen = (V.T * self.d**-2.0) @ V
        return (seen if len(V) == V.shape[1] else seen + np.eye(V.shape[1]) - V.T @ V)[None]

    def gain(self) -> np.ndarray:
        """A'W (q, r, 1)."""
        return (self.A[:, :, 0].T * self.d**-2.0)[:, :, None]


@dataclass(frozen=True, eq=False)
class FewLevels(LevelFactor):
    """Few levels of many columns: ``L`` (J, q, q) of each by LAPACK, from the QR of [A_g I]', and its ``inverse``."""

    A: np.ndarray
    L: np.ndarray
    inverse: np.ndarray

    @classmethod
    def of(cls, A: np.ndarray) -> FewLevels:
        """Nothing is squared: L_g is the triangle of (A_g'; I)."""
        q, _, J = A.shape
        stacked = np.concatenate([A.transpose(2, 1, 0), np.broadcast_to(np.eye(q), (J, q, q))], axis=1)
        L = np.asarray(np.linalg.qr(stacked, mode="r")).transpose(0, 2, 1)
        L = L * np.sign(np.einsum("gaa->ga", L))[:, None, :]
        return cls(A, L, np.array([triangular_inverse(one.T).T for one in L]).reshape(L.shape))

    def logdet(self, multiplicity: np.ndarray | None) -> float:
        """sum_g log |I + A_g A_g'|."""
        logs = np.log(np.einsum("gaa->ga", self.L)).sum(axis=1)
        return 2.0 * float(logs.sum() if multiplicity is None else multiplicity @ logs)

    def forward(self, V: np.ndarray) -> np.ndarray:
        """L_g^-1 V_g for V (..., q, J)."""
        return _level_by_level(self.inverse, V)

    def backward(self, Y: np.ndarray) -> np.ndarray:
        """L_g^-T Y_g for Y (..., q, J)."""
        return _level_by_level(self.inverse.transpose(0, 2, 1), Y)

    def weights(self) -> np.ndarray:
        """W_g = (I + A_g A_g')^-1 as (q, q, J)."""
        return np.ascontiguousarray((self.inverse.transpose(0, 2, 1) @ self.inverse).transpose(1, 2, 0))


def _level_by_level(M: np.ndarray, V: np.ndarray) -> np.ndarray:
    """M_g V_g for M (J, q, q) and V (..., q, J), laid out as V."""
    q, J = V.shape[-2:]
    columns = V.reshape(-1, q, J).transpose(2, 1, 0)
    return np.ascontiguousarray((M @ columns).transpose(2, 1, 0)).reshape(V.shape)


def factor_levels(levels: Levels, T: np.ndarray) -> LevelFactor:
    """Factorise I + A_g A_g' for all levels.

    Cholesky's pivots 1 + |A_i|^2 - ... subtract squares: beyond ``LARGE`` they would lose what matters to log|M|
    (a nearly singular T at a variance ratio of 1e8 costs half of the digits), and Gram-Schmidt on [A_g I] is used.
    """
    q = T.shape[0]
    if levels.singular is not None:
        tau = float(T[0, 0])
        return SphericalFactor(levels.R, tau, levels.singular)
    if q == 1:
        return factor_of(levels.R * T[0, 0])
    return factor_products(np.matmul(T.T, levels.R))  # A_g[i, j] = sum_k R_g[i, k] T[k, j]


def factor_products(A: np.ndarray) -> LevelFactor:
    """Factorise I + A_g A_g' for A (q, q, J)."""
    q, _, J = A.shape
    return FewLevels.of(A) if q > max(limits().many_columns, sqrt(J)) else factor_of(A)


def factor_of(A: np.ndarray) -> CholeskyFactor:
    """Factorise I + A_g A_g' for A (q, q, J) of not too many columns."""
    q, _, J = A.shape
    if q == 1:
        return CholeskyFactor(A, ((np.hypot(1.0, A[0, 0]),),))
    squares = np.add.reduce(A * A, axis=1)
    if J and np.maximum.reduce(squares, axis=None) > LARGE:
        return CholeskyFactor(A, _gram_schmidt(A))
    L: list[tuple[np.ndarray, ...]] = []
    for i in range(q):
        row: list[np.ndarray] = []
        pivot = squares[i] + 1.0
        for j in range(i):
            s = np.einsum("ag,ag->g", A[i], A[j])
            for a in range(j):
                s -= row[a] * L[j][a]
            s /= L[j][j]
            pivot -= s * s
            row.append(s)
        L.append((*row, np.sqrt(pivot)))
    return CholeskyFactor(A, tuple(L))


def _gram_schmidt(A: np.ndarray) -> tuple[tuple[np.ndarray, ...], ...]:
    """L of I + A_g A_g' from the rows of [A_g I] (q, q, J): nothing is squared."""
    q, _, J = A.shape
    rows = np.zeros((q, 2 * q, J))
    rows[:, :q] = A
    L = []
    for i in range(q):
        v = rows[i, : q + i + 1]
        v[q + i] = 1.0
        L_i = []
        for j in range(i):
            e = rows[j, : q + j + 1]
            along = np.einsum("ag,ag->g", e, v[: q + j + 1])
            v[: q + j + 1] -= along * e
            L_i.append(along)
        size = np.sqrt(np.einsum("ag,ag->g", v, v))
        v /= size
        L.append((*L_i, size))
    return tuple(L)
