r"""(H) of one block, level by level: H_g = I + T'A_g T with A_g = sum w_i z_i z_i' over its records.

Arrays have the level as their last axis, so that a step of the small algebra is one operation over all levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.generalised.columns import Effects, Prior
from mme.numeric.cholesky import NotPositiveDefiniteError
from mme.numeric.kept import kept
from mme.numeric.sums import coding, sum_by_level


@dataclass(frozen=True, eq=False)
class LevelEquations:
    """One block of independent levels."""

    block: Block

    @property
    def description(self) -> str:
        """Nothing is left after absorption."""
        return f"{self.block.J} levels, each by itself"

    @property
    def dear(self) -> bool:
        """No: it is a few operations over the levels."""
        return False

    def factor(self, prior: Prior, W: np.ndarray) -> LevelFactors:
        """All levels at once."""
        return LevelFactors.of(self.block, prior.T[0], W)


def weighted_gram(block: Block, W: np.ndarray) -> np.ndarray:
    """A (q, q, J): sum of w z z' over the records of each level."""
    q, A = block.q, np.empty((block.q, block.q, block.J))
    for a in range(q):
        left = W if (column := block.columns[a]) is None else W * column
        for c in range(a + 1):
            A[a, c] = A[c, a] = sum_by_level(coding(block.codes, a), block.J, block.columns[c], left)
    return A


def seen_alone(block: Block, T: np.ndarray, W: np.ndarray) -> np.ndarray:
    """A_g (I + T T'A_g)^-1 (q, q, J) of one block as if there were no other and its levels were independent."""
    A = weighted_gram(block, np.maximum(W, 0.0))
    each = np.moveaxis(A, 2, 0)
    return np.moveaxis(each @ np.linalg.inv(np.eye(block.q) + (T @ T.T) @ each), 0, 2)


def on_both_sides(T: np.ndarray, A: np.ndarray) -> np.ndarray:
    """T'A_g T for A (q, q, J)."""
    if T.shape[0] == 1:
        return np.asarray(A * T[0, 0] ** 2)
    q, J = A.shape[0], A.shape[2]
    left = (T.T @ A.reshape(q, q * J)).reshape(T.shape[1], q, J)
    return np.matmul(T.T, left)


def product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A_g B_g for (q, r, J) and (r, s, J)."""
    if A.shape[0] == A.shape[1] == B.shape[1] == 1:
        return np.asarray(A * B)
    return np.einsum("ijg,jkg->ikg", A, B)


@dataclass(frozen=True, eq=False)
class LevelFactors:
    """The triangles L_g of H_g = L_g L_g', entry by entry."""

    block: Block
    T: np.ndarray
    A: np.ndarray

    @classmethod
    def of(cls, block: Block, T: np.ndarray, W: np.ndarray) -> LevelFactors:
        """Those of working weights W (n,), factorised.

        Raises
        ------
        NotPositiveDefiniteError
            Some H_g is not positive definite.
        """
        found = cls(block, T, weighted_gram(block, W))
        _ = found.L
        return found

    @kept
    def L(self) -> tuple[tuple[np.ndarray, ...], ...]:
        """``L[i][j]`` (J,)."""
        H = on_both_sides(self.T, self.A)
        rows: list[tuple[np.ndarray, ...]] = []
        for i in range(self.block.q):
            row: list[np.ndarray] = []
            pivot = H[i, i] + 1.0
            for j in range(i):
                s = H[i, j].copy()
                for a in range(j):
                    s -= row[a] * rows[j][a]
                s /= rows[j][j]
                pivot -= s * s
                row.append(s)
            if self.block.J and not pivot.min() > 0.0:
                raise NotPositiveDefiniteError
            rows.append((*row, np.sqrt(pivot)))
        return tuple(rows)

    @kept
    def logdet(self) -> float:
        """sum_g log|H_g|."""
        return float(sum(2.0 * np.log(row[-1]).sum() for row in self.L))

    def forward(self, V: np.ndarray) -> np.ndarray:
        """L_g^-1 V_g for V (q, ..., J)."""
        Y = np.empty_like(V)
        for i, row in enumerate(self.L):
            y = V[i]
            for j in range(i):
                y = y - row[j] * Y[j]
            np.divide(y, row[i], out=Y[i])
        return Y

    def backward(self, Y: np.ndarray) -> np.ndarray:
        """L_g^-T Y_g for Y (q, ..., J)."""
        q, X = len(self.L), np.empty_like(Y)
        for i in reversed(range(q)):
            x = Y[i]
            for j in range(i + 1, q):
                x = x - self.L[j][i] * X[j]
            np.divide(x, self.L[i][i], out=X[i])
        return X

    def solve_levels(self, V: np.ndarray) -> np.ndarray:
        """H_g^-1 V_g for V (q, ..., J)."""
        return self.backward(self.forward(V))

    def solve(self, r: Effects) -> Effects:
        """H^-1 r."""
        return [self.solve_levels(r[0])]

    @kept
    def inverse(self) -> np.ndarray:
        """H_g^-1 (q, q, J)."""
        q, J = self.block.q, self.block.J
        identity = np.zeros((q, q, J))
        identity[range(q), range(q)] = 1.0
        return self.solve_levels(identity)

    @kept
    def G(self) -> np.ndarray:
        """T H_g^-1 T' (q, q, J)."""
        return on_both_sides(self.T.T, self.inverse)

    def leverages(self) -> np.ndarray:
        """z_i'T H_g^-1 T'z_i (n,)."""
        return quadratic(self.block, self.G)

    @kept
    def gain(self) -> np.ndarray:
        """A_g T H_g^-1 (q, q, J)."""
        AT = np.einsum("ijg,jk->ikg", self.A, self.T) if self.block.q > 1 else self.A * self.T[0, 0]
        return product(AT, self.inverse)

    def gains(self) -> list[np.ndarray]:
        """Their sum."""
        return [self.gain.sum(axis=2)]

    def level_gains(self) -> list[np.ndarray]:
        """A_g T H_g^-1 (q, q, J)."""
        return [self.gain]

    def seen(self) -> list[np.ndarray]:
        """A_g (I + T T'A_g)^-1 = A_g - A_g G_g A_g (q, q, J)."""
        return [self.A - product(product(self.A, self.G), self.A)]

    def trace_with(self, b: int, precision: sp.csr_array) -> float:
        """Relationships with parameters are left to the sparse equations."""
        raise NotImplementedError

    def by_level(self) -> LevelFactors:
        """Themselves."""
        return self

    def covariances(self) -> list[np.ndarray]:
        """T H_g^-1 T' (J, q, q)."""
        return [self.G.transpose(2, 0, 1)]

    def between(self, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """T H_g^-1 T' where both are one level, zero elsewhere."""
        return np.where((g == h)[:, None, None], self.G[:, :, g].transpose(2, 0, 1), 0.0)


def quadratic(block: Block, G: np.ndarray) -> np.ndarray:
    """z_i'G_g z_i of every record (n,) for symmetric G (q, q, J)."""
    total = np.zeros(block.codes.size)
    for a in range(block.q):
        for c in range(a + 1):
            part = (G[a, c] if a == c else 2.0 * G[a, c]).take(block.codes)
            for column in (block.columns[a], block.columns[c]):
                if column is not None:
                    part *= column
            total += part
    return total
