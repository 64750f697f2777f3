r"""The criterion of a small model, its gradient and its Hessian at many thetas at once.

A criterion of few levels can have several valleys, and only descents from several places tell. With the records
compressed to the triangle of the QR of [Z N] (``orthogonal.py``), N = [X y], whose first rows Z and N are below, (r, m)
and (r, p + 1), and whose others have but a part N_2 of N,

    V = I + sum_t Z_t (I (x) H_t) Z_t',   H_t = T_t T_t',   N'V^-1 N + N_2'N_2 = L L',   [K_X k_y] = Z'V^-1 N L^-T,
    W = Z'V^-1 Z,   W_P = W - K_X K_X',   Q = W_P under REML, W under ML,

and with d the degrees of freedom of sigma^2, or y'Py over the known one,

    df/dH_t               =  sum_g (Q - d k_y k_y')_gg,
    second along D and D' = -sum_gh tr(D Q_gh D' Q_hg) + 2 d (D k_y)'W_P (D'k_y) - e (k_y'D k_y)(k_y'D'k_y),         (D)

e = d where sigma is estimated and 0 where it is known. H = T T' leads to theta as in ``slopes.py``. Matrices of all
thetas are stacks, so that several descents cost little more than one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.engine.blocks import Block
from mme.engine.criterion import Constants, criterion
from mme.engine.objective import Objective
from mme.numeric.limits import limits


@dataclass(frozen=True, eq=False)
class BlockPart:
    """One block: where its effects stand among all, by level, and what theta makes of T.

    T = sum_i x_i a_i e_c', a_i the i-th of ``vectors`` (k_t, q) and c of ``cols``: in axes of which one lies within X
    an entry of theta is not one of T, but a vector in a column of it.
    """

    at: slice
    q: int
    thetas: np.ndarray
    vectors: np.ndarray
    cols: np.ndarray

    @classmethod
    def of(cls, block: Block, start: int, scale: np.ndarray) -> BlockPart:
        """Describe a block whose effects begin at ``start``, for theta times ``scale`` (k,)."""
        thetas = np.concatenate([np.arange(at.start, at.stop) for at in block.theta_slices])
        T = np.array([block.T(np.where(np.arange(scale.size) == i, 1.0 / scale, 0.0)) for i in thetas.tolist()])
        cols = np.abs(T).sum(axis=1).argmax(axis=1)
        vectors = T[np.arange(thetas.size), :, cols]
        return cls(slice(start, start + block.J * block.q), block.q, thetas, vectors, cols)

    @cached_property
    def in_columns(self) -> np.ndarray:
        """a_i e_c' of each entry of theta, flat (k_t, q^2)."""
        in_columns = np.zeros((self.thetas.size, self.q, self.q))
        in_columns[np.arange(self.thetas.size), :, self.cols] = self.vectors
        return in_columns.reshape(self.thetas.size, -1)

    def T(self, x: np.ndarray) -> np.ndarray:
        """T (S, q, q) at x (S, k)."""
        return np.asarray(x[:, self.thetas] @ self.in_columns).reshape(-1, self.q, self.q)

    def changes(self, T: np.ndarray) -> np.ndarray:
        """T_i T' + T T_i' (S, k_t, q, q) of each entry of theta, T_i = a_i e_c'."""
        half = self.vectors[:, :, None] * T[:, :, self.cols].transpose(0, 2, 1)[:, :, None]
        return np.asarray(half + half.transpose(0, 1, 3, 2))

    def by_level(self, rows: np.ndarray) -> np.ndarray:
        """The block's effects (..., J, q) of rows (..., m)."""
        own = rows[..., self.at]
        return own.reshape(*own.shape[:-1], -1, self.q)


@dataclass(frozen=True, eq=False)
class Valleys:
    """The criterion as a function of theta in the axes, scaled (S, k); what is not ``free`` has no slopes.

    ``ZN`` (r, m + p + 1) are Z and N, ``beside_Z`` is N_2'N_2.
    """

    parts: tuple[BlockPart, ...]
    ZN: np.ndarray
    beside_Z: np.ndarray
    constants: Constants
    free: np.ndarray

    @classmethod
    def of(cls, objective: Objective) -> Valleys | None:
        """Make it of an objective; None where the model is large or its derivatives have no closed form."""
        objective, m = objective.in_axes, sum(block.J * block.q for block in objective.blocks)
        n, limit = objective.model.n_records, limits()
        if n > limit.small_model_records or min(n, m + len(objective.basis.N)) * m > limit.small_model_numbers:
            return None
        if objective.phi.size:
            return None
        if any(part.entries is None for part in objective.model.structures):
            return None
        blocks = objective.rest if objective.absorbing is None else (objective.absorbing, *objective.rest)
        if not all(block.is_block_diagonal for block in blocks) or objective.orthogonal is None:
            return None
        starts, scale = np.cumsum([0, *(block.J * block.q for block in blocks)]), objective.theta_scale
        R = objective.orthogonal.R
        parts = tuple(BlockPart.of(block, start, scale) for block, start in zip(blocks, starts.tolist(), strict=False))
        rest = R[m:, m:]
        return cls(parts, R[:m], rest.T @ rest, objective.constants, objective.model.coordinates.free)

    def __call__(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The criterion (S,), its gradient (S, k) and Hessian (S, k, k); infinite where V has no digits."""
        c, m, factors = self.constants, self.parts[-1].at.stop, [part.T(x) for part in self.parts]
        try:
            root = np.linalg.cholesky(self._V(factors))
            half = np.linalg.solve(root, self.ZN[None])
            of_Z, of_N = half[:, :, :m], half[:, :, m:].transpose(0, 2, 1)
            L = np.linalg.cholesky(of_N @ of_N.transpose(0, 2, 1) + self.beside_Z)
        except np.linalg.LinAlgError:
            return self._one_by_one(x)
        K, W = np.linalg.solve(L, of_N @ of_Z), of_Z.transpose(0, 2, 1) @ of_Z
        logdet, lengths = (2.0 * np.log(np.diagonal(one, axis1=1, axis2=2)) for one in (root, L))
        s = np.exp(lengths[:, -1])
        value = logdet.sum(axis=1) + c.reml * lengths[:, :-1].sum(axis=1) + criterion(c, 0.0, 0.0, 1.0)
        if c.sigma is None:
            value, d = value + c.n_effective * lengths[:, -1], np.full(len(x), float(c.n_effective))
        else:
            value, d = value + (s - 1.0) / c.sigma**2, s / c.sigma**2
        W_P = W - K[:, :-1].transpose(0, 2, 1) @ K[:, :-1]
        gradient, hessian = self._slopes(factors, W_P if c.reml else W, W_P, K[:, -1], d)
        good = np.isfinite(value) & np.isfinite(gradient).all(axis=1) & np.isfinite(hessian).all(axis=(1, 2))
        return np.where(good, value, np.inf), gradient, hessian

    @cached_property
    def are_of_sizes(self) -> bool:
        """Whether each theta is a standard deviation: no two coefficients have a covariance."""
        return all(part.thetas.size == np.unique(part.cols).size for part in self.parts)

    def canonical(self, x: np.ndarray) -> np.ndarray:
        """The same covariances with the largest entry of each column of T positive (S, k)."""
        x = x.copy()
        for part in self.parts:
            for j in range(part.q):
                own = part.thetas[part.cols == j]
                largest = np.abs(x[:, own]).argmax(axis=1)
                x[:, own] *= np.where(x[np.arange(len(x)), own[largest]] < 0.0, -1.0, 1.0)[:, None]
        return x

    def _V(self, factors: list[np.ndarray]) -> np.ndarray:
        S, r, both = len(factors[0]), len(self.ZN), zip(self.parts, factors, strict=True)
        half = np.concatenate([(part.by_level(self.ZN) @ T[:, None]).reshape(S, r, -1) for part, T in both], axis=2)
        return np.asarray(half @ half.transpose(0, 2, 1) + np.eye(r))

    def _slopes(
        self, factors: list[np.ndarray], Q: np.ndarray, W_P: np.ndarray, k_y: np.ndarray, d: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(D), along the changes of H by theta, and the second changes of H."""
        S, k = len(k_y), self.free.size
        gradient, hessian, moved = np.zeros((S, k)), np.zeros((S, k, k)), np.zeros((S, k, k_y.shape[1]))
        along: list[np.ndarray] = []
        for part, T in zip(self.parts, factors, strict=True):
            D, own, count = part.changes(T), part.by_level(k_y), part.thetas.size
            within = part.by_level(part.by_level(Q).transpose(0, 2, 3, 1))  # S, J, q, J, q
            by_H = np.einsum("sgagb->sab", within) - d[:, None, None] * (own.transpose(0, 2, 1) @ own)
            along.append(D.reshape(S, count, -1))
            gradient[:, part.thetas] = (along[-1] @ by_H.reshape(S, -1, 1))[:, :, 0]
            curved = part.vectors @ by_H @ part.vectors.T * (part.cols[:, None] == part.cols)
            hessian[:, part.thetas[:, None], part.thetas] = 2.0 * curved
            moved[:, part.thetas, part.at] = (own[:, None] @ D).reshape(S, count, -1)
        for i, (one, D) in enumerate(zip(self.parts, along, strict=True)):
            for two, other in zip(self.parts[: i + 1], along, strict=False):
                found = D @ _squares(Q, one, two) @ other.transpose(0, 2, 1)
                hessian[:, one.thetas[:, None], two.thetas] -= found
                if one is not two:
                    hessian[:, two.thetas[:, None], one.thetas] -= found.transpose(0, 2, 1)
        hessian += 2.0 * d[:, None, None] * (moved @ W_P @ moved.transpose(0, 2, 1))
        if self.constants.sigma is None:
            first = (moved @ k_y[:, :, None])[:, :, 0]
            hessian -= d[:, None, None] * first[:, :, None] * first[:, None, :]
        hessian[:, ~self.free], hessian[:, :, ~self.free] = 0.0, 0.0
        return np.where(self.free, gradient, 0.0), hessian

    def _one_by_one(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The criterion, gradient and Hessian point by point, where V has no digits at one of several."""
        k = self.free.size
        if len(x) == 1:
            return np.array([np.inf]), np.zeros((1, k)), np.zeros((1, k, k))
        value, gradient, hessian = zip(*(self(one[None]) for one in x), strict=True)
        return np.concatenate(value), np.concatenate(gradient), np.concatenate(hessian)


def _squares(Q: np.ndarray, one: BlockPart, two: BlockPart) -> np.ndarray:
    """sum_gh Q_gh[a, c] Q_gh[b, d] as (S, q^2, q^2), rows (a, b) and columns (c, d)."""
    S = len(Q)
    pairs = Q[:, one.at, two.at].reshape(S, -1, one.q, (two.at.stop - two.at.start) // two.q, two.q)
    flat = pairs.transpose(0, 2, 4, 1, 3).reshape(S, one.q * two.q, -1)
    squares = (flat @ flat.transpose(0, 2, 1)).reshape(S, one.q, two.q, one.q, two.q)
    return np.asarray(squares.transpose(0, 1, 3, 2, 4).reshape(S, one.q**2, two.q**2))
