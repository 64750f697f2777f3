r"""Score and average information at one theta, with traces from probes (:mod:`mme.iterative.traces`).

With H_b = T_b T_b' the relative covariance of block b, changed along D, and K_b among its levels,

    score:        tr(D Z'P Z) - k'(K (x) D)k / s,      k = Z'P y,  s = sigma^2 or pwrss / (n - p),
    information:  q_i'P q_j / s,                       q_i = Z (K (x) D_i) k  (Gilmour, Thompson and Cullis 1995),  (I)

less (y'P q_i)(y'P q_j) / (s pwrss) where sigma is profiled out. The columns q_i are never made by records: what the
elimination takes of them is made from the cells. Under ML the trace is that of Z'V^-1 Z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mme.engine.iteration import AVERAGED, IterativeFactor
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation, coordinates, effects, pwrss
from mme.engine.schur_sum import SchurSum
from mme.numeric.lapack import triangular_solve

# T of a variance below this, in units of its columns, stands for zero: what is divided by it keeps half of the digits.
FLOOR = 1e-4


@dataclass(frozen=True, eq=False)
class IteratedPoint:
    """The equations at theta, in the axes of the terms; ``at`` has the solves for y and X.

    Blocks are taken in the order of the model; ``slices`` say where those that are not absorbed stand in the remainder.
    """

    objective: Objective
    theta: np.ndarray
    at: Evaluation

    @classmethod
    def of(cls, objective: Objective, theta: np.ndarray) -> IteratedPoint:
        """Solve for y and X at theta."""
        return cls(objective, theta, objective.evaluate(theta))

    @property
    def factor(self) -> IterativeFactor:
        """What solves with M of the effects that are not absorbed."""
        assert isinstance(self.at.rest, IterativeFactor)
        return self.at.rest

    @property
    def schur(self) -> SchurSum:
        """The Schur complement S of the effects that are not absorbed."""
        assert isinstance(self.objective.system.rest.schur, SchurSum)
        return self.objective.system.rest.schur

    @cached_property
    def others(self) -> list[int]:
        """The blocks that are not absorbed."""
        return [b for b in range(len(self.objective.blocks)) if b != self.objective.plan.absorb]

    @property
    def absorbed(self) -> int:
        """The block that is absorbed."""
        assert self.objective.plan.absorb is not None
        return self.objective.plan.absorb

    @cached_property
    def slices(self) -> dict[int, slice]:
        """Where each block stands in the remainder."""
        offsets = self.objective.system.rest.offsets.tolist()
        return {b: slice(offsets[i], offsets[i + 1]) for i, b in enumerate(self.others)}

    @cached_property
    def T(self) -> list[np.ndarray]:
        """T of every block, columns scaled."""
        return [block.T(self.theta) for block in self.objective.blocks]

    @cached_property
    def inverse_T(self) -> list[np.ndarray]:
        """T^-T of every block, with what is zero on a diagonal where it can be divided by."""
        diagonals = [np.diag(np.where(np.diag(T) == 0.0, FLOOR, 0.0)) for T in self.T]
        return [np.linalg.inv(T + small).T for T, small in zip(self.T, diagonals, strict=True)]

    @property
    def scale(self) -> float:
        """s of (I): sigma^2 where it is known, else pwrss over its degrees of freedom."""
        c = self.objective.constants
        return c.sigma**2 if c.sigma is not None else self.pwrss / c.n_effective

    @property
    def pwrss(self) -> float:
        """y'Py."""
        return pwrss(self.at.border)

    @cached_property
    def _combinations(self) -> np.ndarray:
        """y - X gamma and X R_X^-1 as columns (p + 1, 1 + p) of coefficients of N."""
        p, border = self.objective.system.p, self.at.border
        inverse = triangular_solve(border[:p, :p], np.eye(p), transposed=False)
        of_X = np.concatenate([inverse, np.zeros((p, 1))], axis=1)
        return np.vstack([np.append(-coordinates(border), 1.0), of_X]).T

    @cached_property
    def _u(self) -> list[np.ndarray]:
        """u of y - X gamma and of X R_X^-1, block by block (J, q, 1 + p)."""
        system, T = self.objective.system, self.objective.factors(self.theta)
        u_absorbed, u_rest = effects(system, self.at, T, self._combinations.T)
        out = [u_rest[at].reshape(-1, self.objective.blocks[b].q, system.p + 1) for b, at in self.slices.items()]
        out.insert(self.absorbed, u_absorbed.transpose(2, 1, 0))
        return out

    @cached_property
    def k(self) -> list[np.ndarray]:
        """(K (x) I) Z'P y and, behind it, (K (x) I) Z'V^-1 X R_X^-1 of every block (J, q, 1 + p)."""
        both = zip(self.objective.blocks, self.T, strict=True)
        lost = [block.relationship is None and self._is_singular(T) for block, T in both]
        direct = self._k_of_residuals() if any(lost) else self._u
        every = zip(lost, direct, self.inverse_T, self._u, strict=True)
        return [own if singular else inverse @ u for singular, own, inverse, u in every]

    @staticmethod
    def _is_singular(T: np.ndarray) -> bool:
        return bool((np.abs(np.diag(T)) < FLOOR).any())

    def _k_of_residuals(self) -> list[np.ndarray]:
        """k of every block, were its levels unrelated, from Z'V^-1 e: nothing is divided by T, whose zeros u has too.

        With e = y - X gamma - Z_2 b_2 of the effects that are not absorbed, V_1^-1 e by the levels that are.
        """
        system, combinations = self.objective.system, self._combinations
        rest, levels = system.rest, system.absorbed.levels
        b = np.concatenate([(self.T[i] @ self._u[i]).reshape(-1, system.p + 1) for i in self.others])
        between = np.asarray(rest.B.T @ b)
        left = levels.V.reshape(len(levels.V), -1).T @ combinations - between
        W_left = _solved(self.at, left, levels.R.shape[0])
        of_rest = rest.C @ combinations - self.schur.among @ b + rest.between(between) + rest.between(W_left)
        out = [of_rest[at].reshape(-1, self.objective.blocks[i].q, system.p + 1) for i, at in self.slices.items()]
        shape = (levels.R.shape[0], levels.J, system.p + 1)
        out.insert(self.absorbed, np.einsum("abg,agk->gbk", levels.R, W_left.reshape(shape)))
        return out

    def squares(self, b: int) -> tuple[np.ndarray, np.ndarray]:
        """sum k (K (x) I) k' (q, q) of Z'P y of a block, and the same of Z'V^-1 X R_X^-1."""
        k = self.k[b]
        paired = self._without_K(b, k)
        of_y = np.einsum("ga,gb->ab", k[:, :, 0], paired[:, :, 0])
        of_X = np.einsum("gap,gbp->ab", k[:, :, 1:], paired[:, :, 1:])
        return of_y, of_X

    def _without_K(self, b: int, k: np.ndarray) -> np.ndarray:
        """(K^-1 (x) I) k."""
        related = self.objective.blocks[b].relationship
        if related is None:
            return k
        return np.asarray(related.precision @ k.reshape(len(k), -1)).reshape(k.shape)

    def information(self, along: list[tuple[int, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
        """q_i'P q_j (k, k) and y'P q_i (k,) of directions D (q, q), each of a block, by (I)."""
        k, p = len(along), self.objective.system.p
        moved: dict[int, np.ndarray] = {
            b: np.zeros((block.J, block.q, k)) for b, block in enumerate(self.objective.blocks)
        }
        for i, (b, D) in enumerate(along):
            moved[b][:, :, i] = self.k[b][:, :, 0] @ D
        QQ, QN = self._eliminated(moved)
        R_X = self.at.border[:p, :p]
        half = triangular_solve(R_X, QN[:, :p].T, transposed=False)
        y = QN[:, p] - half.T @ self.at.border[p, :p]
        return QQ - half.T @ half, y

    def _eliminated(self, moved: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Q'V^-1 Q (k, k) and Q'V^-1 N (k, p + 1) of columns Q = Z d, for effects d (J, q, k) of each block."""
        system = self.objective.system
        rest, levels = system.rest, system.absorbed.levels
        k = moved[self.absorbed].shape[2]
        d = np.concatenate([moved[b].reshape(-1, k) for b in self.others])
        of_absorbed = np.einsum("abg,gbk->agk", levels.R, moved[self.absorbed]).reshape(-1, k)
        between = np.asarray(rest.B.T @ d)
        V = between + of_absorbed  # Q_g'Q (q J, k)
        WV = _solved(self.at, V, levels.R.shape[0])
        direct = self.schur.among @ d
        S = direct - rest.between(between) + rest.between(WV)
        QQ = d.T @ direct - between.T @ between + V.T @ WV
        QN = (rest.C.T @ d).T + WV.T @ levels.V.reshape(len(levels.V), -1).T
        T = [self.T[b] for b in self.others]
        rhs = rest.transpose_lambda(S, T)
        x = self.factor.solved(rhs, AVERAGED).x
        assert self.at.solved is not None
        return QQ - rhs.T @ x, QN - rhs.T @ self.at.solved


def _solved(at: Evaluation, V: np.ndarray, q: int) -> np.ndarray:
    """W_g V_g for V (q J, k)."""
    columns = V.T.reshape(V.shape[1], q, -1)
    return at.levels.solve(columns).reshape(V.shape[1], -1).T
