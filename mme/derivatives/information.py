r"""Derivatives by the variances in closed form, where the factor of the random effects not absorbed is dense.

V = I + sum_b Z_b (I (x) H_b) Z_b', in units of sigma^2, is linear in the relative covariances H_b of the blocks. With
W = Z'V^-1 Z over all random effects, N = [X y], N'V^-1 N = L L' and K = Z'V^-1 N L^-T, changes D_i of H_b give

    log|V|:                tr(D_i sum_g W_gg),      second   -sum_gh tr(D_i W_gh D_j W_hg),
    L^-1 N'V^-1 N L^-T:    -K'(I (x) D_i) K,        second   K'(I (x) D_i) W (I (x) D_j) K + its transpose.         (1)

Nothing of size n x n is made, nor all of W. The absorbed block alone has V_1; with R_g and B_g of ``schur.py``,
w_g = (I + A_g A_g')^-1 and G = Lambda_2 Lambda_2' of the others, whose H_2 = Lambda_2 M_2^-1 Lambda_2',

    D = R_g'w_g R_g,    C = Z_1'V_1^-1 Z_2 = R_g'w_g B_g,    Y = H_2 G^-1,
    W_11 = D - C H_2 C',    W_12 = C Y,    W_22 = G^-1 - G^-1 H_2 G^-1.                                             (2)

Where G is singular, Y = I - H_2 S and W_22 = S - S H_2 S with S = Z_2'V_1^-1 Z_2: the same, with digits lost only
where variances are large against sigma^2.
Squares of W_11 are summed by its diagonal blocks and the products C_a'C_b H_2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.engine.lambdas import lambda_columns
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation
from mme.numeric.lapack import triangular_solve
from mme.numeric.limits import limits
from mme.numeric.panels import panels
from mme.solution.gains import products, through_levels, whole_rest

# W_22 is the difference of two matrices like G^-1 where it leaves eleven digits, at variances above this share.
_SMALL = 1e-5
# Arrays of the levels that are moved together, each of so many numbers, by which these are fewer: 4 MB in all.
_ALIVE = 32


@dataclass(frozen=True, eq=False)
class Direction:
    """A symmetric change ``D`` (q, q) of the relative covariance of a block, columns scaled."""

    block: int
    D: np.ndarray


@dataclass(frozen=True, eq=False)
class Information:
    """The sums of (1), from the parts of (2), at one theta.

    Effects of the absorbed block are ordered as (q, J), those of each other block, at ``columns[b]``, as (J, q).
    ``traces`` are sum_g W_gg (q, q) by block, ``squares[b, c]`` sum_gh W_gh[a, c] W_gh[b, d] as (q_b, q_b, q_c, q_c).
    """

    columns: dict[int, slice]
    D: np.ndarray
    C: sp.csr_array
    H_2: np.ndarray
    Y: np.ndarray
    W_22: np.ndarray
    K_1: np.ndarray
    K_2: np.ndarray
    traces: dict[int, np.ndarray]
    squares: dict[tuple[int, int], np.ndarray]

    def derivatives(self, along: Sequence[Direction]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """First (k,) and second (k, k) of log|V|, first (k, p + 1, p + 1) and second of L^-1 N'V^-1 N L^-T."""
        return (
            np.array([self.logdet(one) for one in along]),
            self.logdet_second(along),
            np.array([self.product(one) for one in along]),
            self.product_second(along),
        )

    def logdet(self, along: Direction) -> float:
        """First derivative of log|V|."""
        return float(np.vdot(along.D, self.traces[along.block]))

    def logdet_second(self, along: Sequence[Direction]) -> np.ndarray:
        """Second derivatives (k, k) of log|V|."""
        out = np.zeros((len(along), len(along)))
        of = np.array([one.block for one in along], dtype=np.intp)
        D = {b: np.array([one.D.ravel() for one in along if one.block == b]) for b in set(of.tolist())}
        for (b, c), squares in self.squares.items():
            if b in D and c in D:
                rows, cols = np.flatnonzero(of == b), np.flatnonzero(of == c)
                values = -(D[b] @ squares.reshape(D[b].shape[1], D[c].shape[1]) @ D[c].T)
                out[np.ix_(rows, cols)], out[np.ix_(cols, rows)] = values, values.T
        return out

    def product(self, along: Direction) -> np.ndarray:
        """First derivative (p + 1, p + 1) of L^-1 N'V^-1 N L^-T."""
        K = self.K_2[self.columns[along.block]] if along.block in self.columns else self.K_1
        return -np.asarray(K.T @ self._moved(along))

    def products(self, block: int) -> np.ndarray:
        """sum_g K_ga'K_gb (q, q, p + 1, p + 1) of a block: (1) along D is that of -sum_ab D_ab times these."""
        size = self.K_1.shape[1]
        if block in self.columns:
            q = len(self.traces[block])
            flat = self.K_2[self.columns[block]].reshape(-1, q * size)
        else:
            q = len(self.D)
            flat = self.K_1.reshape(q, -1, size).transpose(1, 0, 2).reshape(-1, q * size)
        return np.asarray((flat.T @ flat).reshape(q, size, q, size).transpose(0, 2, 1, 3))

    def product_second(self, along: Sequence[Direction]) -> np.ndarray:
        """Second derivatives (k, k, p + 1, p + 1) of L^-1 N'V^-1 N L^-T."""
        k, size = len(along), self.K_1.shape[1]
        M_2 = np.zeros((self.K_2.shape[0], k, size))
        for i, one in enumerate(along):
            if one.block in self.columns:
                M_2[self.columns[one.block], i] = self._moved(one)
        second = self._quadratic(along, M_2.reshape(len(M_2), k * size)).reshape(k, size, k, size).transpose(0, 2, 1, 3)
        return second + second.transpose(0, 1, 3, 2)

    def _moved(self, along: Direction) -> np.ndarray:
        """(I (x) D) K of the direction's block."""
        q, size = along.D.shape[0], self.K_1.shape[1]
        if along.block in self.columns:
            return np.matmul(along.D, self.K_2[self.columns[along.block]].reshape(-1, q, size)).reshape(-1, size)
        return np.tensordot(along.D, self.K_1.reshape(q, -1, size), 1).reshape(-1, size)

    def _quadratic(self, along: Sequence[Direction], M_2: np.ndarray) -> np.ndarray:
        """M'W M of M = (M_1, M_2), where M_1 are :meth:`_moved` of the absorbed block, some levels at a time."""
        q, J = self.D.shape[1:]
        K, width = self.K_1.reshape(q, J, self.K_1.shape[1]), M_2.shape[1]
        D = [np.zeros((q, q)) if one.block in self.columns else one.D for one in along]
        C_M, within = np.zeros((self.C.shape[1], width)), M_2.T @ (self.W_22 @ M_2)
        for cut in panels(J, max(1, limits().pair_numbers // max(_ALIVE * q * width, 1))):
            M = np.stack([np.tensordot(one, K[:, cut], 1) for one in D], axis=2)
            M_1 = M.reshape(-1, width)
            D_M = np.einsum("abg,bgr->agr", self.D[:, :, cut], M_1.reshape(q, -1, width))
            if self.C.shape[1]:
                C = self.C if len(M_1) == q * J else self.C[np.arange(q * J).reshape(q, J)[:, cut].ravel()]
                C_M += C.T @ M_1
            within += M_1.T @ D_M.reshape(M_1.shape)
        across = C_M.T @ (self.Y @ M_2)
        return np.asarray(within - C_M.T @ (self.H_2 @ C_M) + across + across.T)


def information(objective: Objective, theta: np.ndarray, at: Evaluation) -> Information | None:
    """Make (2); None where differences are to be taken instead.

    That is where levels are related, residuals have a structure, or the remainder is sparse or too large.
    """
    if not in_closed_form(objective, at):
        return None
    levels, rest = objective.system.absorbed.levels, objective.system.rest
    precision = _precision(objective, theta)
    H_2 = whole_rest(objective, theta, at.rest)
    if precision is None:
        S = _before(objective, at)
        Y = np.eye(rest.m) - H_2 @ S
        W_22 = S @ Y
        W_22 = 0.5 * (W_22 + W_22.T)
    else:
        Y = lambda_columns(rest.blocks, rest.offsets, H_2, precision).T
        W_22 = _less(precision, rest.offsets, lambda_columns(rest.blocks, rest.offsets, Y, precision))
    through = np.einsum("iag,ijg->ajg", levels.R, at.levels.weights())  # R_g'w_g
    D = np.einsum("ajg,jbg->abg", through, levels.R)
    C = through_levels(through, rest.by_level)
    S_N = rest.C + rest.B @ at.levels.solve(levels.V).reshape(len(levels.V), -1).T
    C_N = np.einsum("ajg,rjg->agr", through, levels.V).reshape(-1, len(levels.V))
    K_1, K_2 = (triangular_solve(at.border, K.T, transposed=False).T for K in (C_N - C @ (H_2 @ S_N), Y.T @ S_N))
    others = [b for b in range(len(objective.blocks)) if b != objective.plan.absorb]
    columns = dict(zip(others, map(slice, rest.offsets[:-1].tolist(), rest.offsets[1:].tolist()), strict=True))
    widths = {b: objective.blocks[b].q for b in others}
    traces, squares = _among(W_22, columns, widths)
    if objective.plan.absorb is not None:
        met = Met.of(C, D.shape[0], H_2)
        for b in others:
            squares[objective.plan.absorb, b] = _beside_absorbed(met, Y[:, columns[b]], widths[b])
        own = _of_absorbed(D, met, H_2)
        traces[objective.plan.absorb], squares[objective.plan.absorb, objective.plan.absorb] = own
    return Information(columns, D, C, H_2, Y, W_22, K_1, K_2, traces, squares)


def in_closed_form(objective: Objective, at: Evaluation) -> bool:
    """Whether :func:`information` has the derivatives, for about the price of a few evaluations."""
    return at.rest.is_dense and _applies(objective)


def _applies(objective: Objective) -> bool:
    absorbed = 0 if objective.absorbing is None else objective.absorbing.J * objective.absorbing.q
    widest = max((block.q for block in objective.blocks), default=0)
    return (
        max(absorbed * objective.model.k * (objective.system.p + 1), widest**4) <= limits().information_entries
        and objective.phi.size == 0
        and all(block.is_block_diagonal for block in objective.blocks)
        and all(part.entries is not None for part in objective.model.structures)
    )


def _precision(objective: Objective, theta: np.ndarray) -> list[np.ndarray] | None:
    """G^-1 of each block that is not absorbed; None where a variance is, to rounding, zero."""
    found = []
    for block in objective.rest:
        T = block.T(theta)
        if np.linalg.svd(T, compute_uv=False)[-1] ** 2 * objective.model.n < _SMALL * block.J:
            return None
        inverse = np.linalg.inv(T)
        found.append(inverse.T @ inverse)
    return found


def _before(objective: Objective, at: Evaluation) -> np.ndarray:
    """S (m, m): the remainder's matrix at unit variances, less the identity."""
    rest = objective.system.rest
    square = rest.schur.square(at.levels.packed_weights(), [np.eye(block.q) for block in rest.blocks])
    lower = square[: rest.m, : rest.m]
    return np.asarray(lower + np.tril(lower, -1).T - np.eye(rest.m))


def _less(precision: list[np.ndarray], offsets: np.ndarray, taken: np.ndarray) -> np.ndarray:
    """G^-1 - taken."""
    W = -taken
    for factor, start, stop in zip(precision, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        q = factor.shape[0]
        at = np.arange(start, stop).reshape(-1, q)
        W[at[:, :, None], at[:, None, :]] += factor
    return W


def _among(
    W: np.ndarray, columns: dict[int, slice], widths: dict[int, int]
) -> tuple[dict[int, np.ndarray], dict[tuple[int, int], np.ndarray]]:
    """Traces and squares of the blocks that are not absorbed, from all of their W."""
    traces, squares = {}, {}
    for b, rows in columns.items():
        for c, cols in columns.items():
            if b <= c:
                part = W[rows, cols].reshape(-1, widths[b], (cols.stop - cols.start) // widths[c], widths[c])
                squares[b, c] = _squares(part.transpose(1, 3, 0, 2))
            if b == c:
                traces[b] = np.einsum("gagb->ab", part)
    return traces, squares


def _squares(W: np.ndarray) -> np.ndarray:
    """sum_gh W[a, c, g, h] W[b, d, g, h] as (q_b, q_b, q_c, q_c)."""
    q_b, q_c = W.shape[:2]
    flat = W.reshape(q_b * q_c, -1)
    return (flat @ flat.T).reshape(q_b, q_c, q_b, q_c).transpose(0, 2, 1, 3)


@dataclass(frozen=True, eq=False)
class Met:
    """What the absorbed block meets: ``grams`` C_a'C_b (q, q, m, m), ``taken`` the diagonals of C_a H_2 C_b' (q, q, J).

    Neither needs C H_2, which has one row per level and no zeros.
    """

    grams: np.ndarray
    taken: np.ndarray

    @classmethod
    def of(cls, C: sp.csr_array, q: int, H_2: np.ndarray) -> Met:
        """Make them by dense products where C has many entries a level, else by its entries."""
        (rows, m), met = C.shape, np.diff(C.indptr).astype(float)
        J, dense = rows // q, float(met @ met) * limits().pair_product_cost >= rows * m * m
        C_a = [C[a * J : (a + 1) * J].toarray() if dense else C[a * J : (a + 1) * J] for a in range(q)]
        grams, taken = np.empty((q, q, m, m)), np.empty((q, q, J))
        for a, b in np.ndindex(q, q):
            gram = C_a[a].T @ C_a[b]
            grams[a, b] = gram if dense else gram.toarray()
            taken[a, b] = ((C_a[b] @ H_2) * C_a[a]).sum(axis=1) if dense else _forms(C_a[a], C_a[b], H_2)
        return cls(grams, taken)


def _forms(C_a: sp.csr_array, C_b: sp.csr_array, H: np.ndarray) -> np.ndarray:
    """The diagonal (J,) of C_b H C_a'."""
    J = C_a.shape[0]
    level = np.repeat(np.arange(J), np.diff(C_a.indptr))
    found = products(C_b, H, J, level, C_a.indices[:, None])
    return np.bincount(level, C_a.data * found[:, 0, 0], minlength=J)


def _beside_absorbed(met: Met, Y: np.ndarray, width: int) -> np.ndarray:
    """Squares of W_12 = C Y beside a block whose columns of Y these are: sum over levels of C_a'C_b times Y_c Y_d'."""
    Y_c = [Y[:, c::width] for c in range(width)]
    q, m = met.grams.shape[1:3]
    across = np.array([[one @ other.T for other in Y_c] for one in Y_c])
    squares = met.grams.reshape(q * q, m * m) @ across.reshape(width * width, m * m).T
    return np.asarray(squares.reshape(q, q, width, width))


def _of_absorbed(D: np.ndarray, met: Met, H_2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trace and squares of W_11 = D - C H_2 C'.

    Off the diagonal blocks its squares are those of C H_2 C': sum_gh over all is tr(C_b'C_a H_2 C_c'C_d H_2).
    """
    q, taken, moved = len(D), met.taken, met.grams @ H_2
    squares = _squares((D - taken)[:, :, None]) - _squares(taken[:, :, None])
    for a, b, c, d in np.ndindex(q, q, q, q):
        squares[a, b, c, d] += np.vdot(moved[b, a], moved[c, d].T)
    return (D - taken).sum(axis=2), squares
