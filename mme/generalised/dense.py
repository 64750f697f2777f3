r"""(H) of a block that is absorbed beside few other effects, whose Schur complement is dense.

In the columns of the blocks, with G_g = T H_g^-1 T' of the absorbed block and B_g = Z_2'W Z_g,

    S = Z_2'W Z_2 - sum_g B_g G_g B_g',        log|H| = sum_g log|H_g| + log|T_2'S T_2 + K^-1|                   (S)
    N = T_2 (T_2'S T_2 + K^-1)^-1 T_2'
    m_i'H^-1 m_i = z_i'G_g z_i + (z_2i - B_g G_g z_i)'N (z_2i - B_g G_g z_i)
    [Z'W Z Lambda H^-1]_gg = A_g T H_g^-1 - (I - A_g G_g) B_g'N B_g T H_g^-1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.blocks import Block
from mme.generalised.columns import Effects, Prior
from mme.generalised.levels import LevelFactors, product, quadratic, seen_alone
from mme.numeric.dense import DenseFactor, cholesky_in_place
from mme.numeric.kept import kept
from mme.numeric.limits import limits
from mme.numeric.sums import Column, coding, times


@dataclass(frozen=True, eq=False)
class DenseEquations:
    """One block absorbed (the first), the others dense: ``rest`` has their places among the m effects."""

    absorbed: Block
    rest: tuple[Block, ...]

    @property
    def description(self) -> str:
        """What is done with which block."""
        m = sum(block.J * block.q for block in self.rest)
        return f"{self.absorbed.J} levels absorbed, dense Cholesky of {m}"

    @kept
    def dear(self) -> bool:
        """Whether the Schur complement and its factor take more products than passes over the records."""
        m, of = self.starts[-1], self.absorbed
        return m * m * (of.J * of.q + m / 3.0) > limits().dear_factor * of.codes.size

    @kept
    def starts(self) -> list[int]:
        """Where the effects of each block begin among the m."""
        return np.cumsum([0, *(block.J * block.q for block in self.rest)]).tolist()

    @kept
    def meetings(self) -> list[list[np.ndarray]]:
        """Numbers (n,) of the pairs of levels on each record: of rest t and the absorbed block, t and s <= t."""
        of = self.absorbed
        return [
            [coding(block.codes, 0) * of.J + of.codes]
            + [coding(block.codes, 0) * other.J + coding(other.codes, 0) for other in self.rest[: t + 1]]
            for t, block in enumerate(self.rest)
        ]

    def factor(self, prior: Prior, W: np.ndarray) -> DenseFactors:
        """Factorise H_g of every level, then the Schur complement of the other effects."""
        levels = LevelFactors.of(self.absorbed, prior.T[0], W)
        return DenseFactors(self, prior, levels, W)


def _pairs(meeting: np.ndarray, J: int, other_J: int, left: Column, right: Column, W: np.ndarray) -> np.ndarray:
    """(J, J'): sum of w x y over the records of each pair of levels."""
    return np.bincount(meeting, times(W, left, right), minlength=J * other_J).reshape(J, other_J)


@dataclass(frozen=True, eq=False)
class DenseFactors:
    """L_g of the levels and the Cholesky factor of T_2'S T_2 + K^-1."""

    of: DenseEquations
    prior: Prior
    levels: LevelFactors
    W: np.ndarray

    def __post_init__(self) -> None:
        _ = self.L

    @kept
    def B(self) -> np.ndarray:
        """Z_2'W Z_g of all levels (m, q, J)."""
        absorbed = self.of.absorbed
        out = np.empty((self.of.starts[-1], absorbed.q, absorbed.J))
        for t, (block, start) in enumerate(zip(self.of.rest, self.of.starts, strict=False)):
            part = out[start : start + block.J * block.q].reshape(block.J, block.q, absorbed.q, absorbed.J)
            for c, a in np.ndindex(block.q, absorbed.q):
                columns = block.columns[c], absorbed.columns[a]
                part[:, c, a] = _pairs(self.of.meetings[t][0], block.J, absorbed.J, *columns, self.W)
        return out

    @kept
    def S(self) -> np.ndarray:
        """The Schur complement S of (S) (m, m), both its triangles."""
        B = self.B
        BG = product(B, self.levels.G) if B.shape[1] > 1 else B * self.levels.G
        m = B.shape[0]
        S = -(BG.reshape(m, -1) @ B.reshape(m, -1).T)
        for t, (block, start) in enumerate(zip(self.of.rest, self.of.starts, strict=False)):
            for s, (other, begin) in enumerate(zip(self.of.rest[: t + 1], self.of.starts, strict=False)):
                part = S[start : start + block.J * block.q, begin : begin + other.J * other.q]
                part = part.reshape(block.J, block.q, other.J, other.q)
                for c, a in np.ndindex(block.q, other.q):
                    columns, meeting = (block.columns[c], other.columns[a]), self.of.meetings[t][1 + s]
                    if s == t:
                        sums = np.bincount(coding(block.codes, 0), times(self.W, *columns), minlength=block.J)
                        part[np.arange(block.J), c, np.arange(block.J), a] += sums
                    else:
                        part[:, c, :, a] += _pairs(meeting, block.J, other.J, *columns, self.W)
        return np.tril(S) + np.tril(S, -1).T

    def lam(self, V: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """T_2 V, or T_2'V, for V (m, c)."""
        out = np.empty(V.shape)
        for block, T, start in zip(self.of.rest, self.prior.T[1:], self.of.starts, strict=False):
            at = slice(start, start + block.J * block.q)
            factor = T.T if transposed else T
            out[at] = np.matmul(factor, V[at].reshape(block.J, block.q, -1)).reshape(V[at].shape)
        return out

    @kept
    def L(self) -> DenseFactor:
        """The Cholesky factor of T_2'S T_2 + K^-1 (m, m)."""
        H = self.lam(self.lam(self.S, transposed=True).T, transposed=True)
        for block, P, start in zip(self.of.rest, self.prior.precision[1:], self.of.starts, strict=False):
            at = slice(start, start + block.J * block.q)
            if P is None:
                H[at, at].flat[:: block.J * block.q + 1] += 1.0
            else:
                H[at, at] += sp.kron(P, sp.eye_array(block.q)).toarray()
        return DenseFactor(cholesky_in_place(np.asfortranarray(H)))

    @property
    def logdet(self) -> float:
        """log|H|."""
        return self.levels.logdet + self.L.logdet

    def solve(self, r: Effects) -> Effects:
        """H^-1 r."""
        T, B = self.prior.T[0], self.B
        m = B.shape[0]
        below = np.concatenate([one.T.ravel() for one in r[1:]])
        through = T @ self.levels.solve_levels(r[0])
        right = below - self.lam((B.reshape(m, -1) @ through.ravel())[:, None], transposed=True)[:, 0]
        u = self.L.solve(right)
        Lu = self.lam(u[:, None])[:, 0]
        back = r[0] - T.T @ (Lu @ B.reshape(m, -1)).reshape(r[0].shape)
        parts = [
            u[start : start + block.J * block.q].reshape(block.J, block.q).T
            for block, start in zip(self.of.rest, self.of.starts, strict=False)
        ]
        return [self.levels.solve_levels(back), *parts]

    @kept
    def N(self) -> np.ndarray:
        """T_2 (T_2'S T_2 + K^-1)^-1 T_2' (m, m)."""
        return self.lam(self.lam(self.L.inverse()).T)

    @kept
    def NB(self) -> np.ndarray:
        """N B_g (m, q, J)."""
        m = self.N.shape[0]
        return (self.N @ self.B.reshape(m, -1)).reshape(self.B.shape)

    @kept
    def BNB(self) -> np.ndarray:
        """B_g'N B_g (q, q, J)."""
        return np.einsum("mag,mbg->abg", self.B, self.NB)

    def leverages(self) -> np.ndarray:
        """m_i'H^-1 m_i (n,)."""
        absorbed, G = self.of.absorbed, self.levels.G
        h = quadratic(absorbed, G + product(product(G, self.BNB), G))
        NBG = product(self.NB, G) if absorbed.q > 1 else self.NB * G
        for t, (block, start) in enumerate(zip(self.of.rest, self.of.starts, strict=False)):
            part = NBG[start : start + block.J * block.q].reshape(block.J, block.q, absorbed.q, absorbed.J)
            for c, a in np.ndindex(block.q, absorbed.q):
                at = part[:, c, a].ravel()[self.of.meetings[t][0]]
                h -= 2.0 * times(at, block.columns[c], absorbed.columns[a])
            for s, (other, begin) in enumerate(zip(self.of.rest[: t + 1], self.of.starts, strict=False)):
                N = self.N[start : start + block.J * block.q, begin : begin + other.J * other.q]
                N = N.reshape(block.J, block.q, other.J, other.q)
                for c, a in np.ndindex(block.q, other.q):
                    at = N[coding(block.codes, 0), c, coding(other.codes, 0), a]
                    h += (1.0 if s == t else 2.0) * times(at, block.columns[c], other.columns[a])
        return h

    def gains(self) -> list[np.ndarray]:
        """sum_g [Z'W Z Lambda H^-1]_gg of every block."""
        out = [self._absorbed_gains.sum(axis=2)]
        return out + [np.einsum("gam,mgb->ab", *pair, optimize=True) for pair in self._rows_and_columns()]

    def level_gains(self) -> list[np.ndarray]:
        """Those of every level (q, q, J)."""
        return [self._absorbed_gains] + [np.einsum("gam,mgb->abg", *pair) for pair in self._rows_and_columns()]

    @property
    def _absorbed_gains(self) -> np.ndarray:
        levels, T = self.levels, self.prior.T[0]
        through = product(self.BNB, np.einsum("ij,jkg->ikg", T, levels.inverse))
        return np.asarray(levels.gain - (through - product(product(levels.A, levels.G), through)))

    def _rows_and_columns(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield of each other block its rows of S (J, q, m) and its columns of T_2 (T_2'S T_2 + K^-1)^-1 (m, J, q)."""
        right = self.lam(self.L.inverse())
        for block, start in zip(self.of.rest, self.of.starts, strict=False):
            at = slice(start, start + block.J * block.q)
            yield self.S[at].reshape(block.J, block.q, -1), right[:, at].reshape(-1, block.J, block.q)

    def seen(self) -> list[np.ndarray]:
        """A_g (I + T T'A_g)^-1 of every level, other blocks held."""
        rest = zip(self.of.rest, self.prior.T[1:], strict=True)
        return [*self.levels.seen(), *(seen_alone(block, T, self.W) for block, T in rest)]

    def trace_with(self, b: int, precision: sp.csr_array) -> float:
        """Relationships with parameters are left to the sparse equations."""
        raise NotImplementedError

    def by_level(self) -> None:
        """Levels meet."""

    def covariances(self) -> list[np.ndarray]:
        """Lambda H^-1 Lambda' of every level (J, q, q)."""
        G = self.levels.G
        out = [(G + product(product(G, self.BNB), G)).transpose(2, 0, 1)]
        for block, start in zip(self.of.rest, self.of.starts, strict=False):
            at = slice(start, start + block.J * block.q)
            N = self.N[at, at].reshape(block.J, block.q, block.J, block.q)
            each = np.arange(block.J)
            out.append(N[each, :, each, :])
        return out

    def between(self, s: int, t: int, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """-G_g B_g'N of the absorbed block with another; N of two others."""
        if s == t == 0:
            return self._within(g, h)
        if t == 0:
            return self.between(t, s, h, g).transpose(0, 2, 1)
        column = self._numbers(t, h)
        if s == 0:
            return -np.einsum("acg,gbc->gab", self.levels.G[:, :, g], self.NB[column, :, g[:, None]])
        return np.asarray(self.N[self._numbers(s, g)[:, :, None], column[:, None, :]])

    def _within(self, g: np.ndarray, h: np.ndarray) -> np.ndarray:
        """G_g B_g'N B_h G_h of the absorbed block, and G_g where both are one level."""
        G, m = self.levels.G, self.B.shape[0]
        left, right = G[:, :, g].transpose(2, 0, 1), G[:, :, h].transpose(2, 0, 1)
        through = np.einsum("mag,mbg->gab", self.B[:, :, g], self.NB[:, :, h]) if m else np.zeros(left.shape)
        return np.asarray(left @ through @ right + np.where((g == h)[:, None, None], left, 0.0))

    def _numbers(self, t: int, h: np.ndarray) -> np.ndarray:
        """Numbers (levels, q) of the effects of levels of a block among the m."""
        q = self.of.rest[t - 1].q
        return np.asarray(self.of.starts[t - 1] + h[:, None] * q + np.arange(q))
