r"""Diagonal blocks of the inverse of Henderson's equations: conditional variances and prediction error variances.

With M partitioned as in (P), K the Schur complement of the absorbed block and F_g = (I + A'A)^-1 A',

    [M^-1]_22  = K^-1
    [M^-1]_gg  = (I + A_g'A_g)^-1 + F_g B_g (Lambda_2 K^-1 Lambda_2') B_g' F_g'

Only the entries of K^-1 on the pattern of K are needed: they come from a dense inverse or from the selected inverse.
var(b | y) = sigma^2 Lambda M^-1 Lambda' holds beta fixed; the prediction error variance adds E E' with
E = Lambda M^-1 Lambda'Z'X R_X^-1.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg.lapack import dpotri

from mme.absorption import LevelFactor, factor_levels
from mme.factor import Factor
from mme.kernels import kernel
from mme.objective import Objective
from mme.pls import Dense, Evaluation, effects, triangular_solve
from mme.remainder import Remainder


def conditional_blocks(objective: Objective, theta: np.ndarray, at: Evaluation) -> list[np.ndarray]:
    """Lambda M^-1 Lambda' of every block as (J, q, q), scaled columns, in units of sigma^2."""
    T, rest = objective.factors(theta), objective.system.rest
    H = _on_pattern(rest, at, T.rest)
    out = [_diagonal_blocks(rest, H, t) for t in range(len(objective.rest))]
    if objective.plan.absorb is not None:
        out.insert(objective.plan.absorb, _absorbed_blocks(objective, T.absorbed, H))
    return out


def sensitivities(objective: Objective, theta: np.ndarray, at: Evaluation) -> list[np.ndarray]:
    """E = Lambda M^-1 Lambda'Z'X R_X^-1 of every block as (J, q, p), scaled columns."""
    p = objective.system.p
    inverse = triangular_solve(at.border[:p, :p], np.eye(p), transposed=False)
    combinations = np.concatenate([inverse, np.zeros((p, 1))], axis=1)
    u_absorbed, u_rest = effects(objective.system, at, objective.factors(theta), combinations)
    return objective.by_block(u_absorbed, u_rest, theta)


def _absorbed_blocks(objective: Objective, T: np.ndarray, H: np.ndarray) -> np.ndarray:
    """T (I + A'A)^-1 T' plus what the other random effects leave uncertain, for every level."""
    levels = objective.system.absorbed.levels
    factor = factor_levels(levels, T)
    # (I + A'A)^-1 = I - A'(I + AA')^-1 A, but without the subtraction.
    inner = np.linalg.inv(np.eye(T.shape[0]) + np.einsum("aig,ajg->gij", factor.A, factor.A))
    if objective.rest:
        F = _gain(factor)
        inner = inner + np.einsum("iag,abg,jbg->gij", F, _through(objective.system.rest, H, factor.A.shape), F)
    return np.asarray(T @ inner @ T.T)


def _gain(factor: LevelFactor) -> np.ndarray:
    """F_g = A'(I + AA')^-1 as (q, q, J)."""
    return np.einsum("aig,abg->ibg", factor.A, factor.weights())


def _through(rest: Remainder, H: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """B_g H B_g' as (q, q, J): the transpose of the scatter, each off-diagonal block counted both ways."""
    halved = H.copy()
    for family in rest.families:
        if family.t_row == family.t_col:
            blocks = halved[family.values].reshape(family.count, *family.shape)
            blocks[family.rows == family.cols] *= 0.5
    G = (rest.scatter.T @ halved).reshape(shape)
    return np.asarray(G + G.transpose(1, 0, 2))


def _on_pattern(rest: Remainder, at: Evaluation, T: list[np.ndarray]) -> np.ndarray:
    """Entries of H = Lambda_2 K^-1 Lambda_2', family by family."""
    if isinstance(at.rest, Dense):
        entries = dpotri(at.rest.L, lower=1)[0][rest.row, rest.col] if rest.m else np.zeros(0)
    else:
        entries = _selected(rest, at.rest)
    values = np.zeros(rest.constant.size)
    values[rest.source] = entries
    for family in rest.families:
        block = values[family.values].reshape(family.count, *family.shape)
        if family.t_row == family.t_col:
            _symmetrise(block, family.rows == family.cols)
        values[family.values] = (T[family.t_row] @ block @ T[family.t_col].T).ravel()
    return values


def _symmetrise(block: np.ndarray, diagonal: np.ndarray) -> None:
    """Fill the upper triangles of the diagonal blocks, which the pattern does not store."""
    lower = np.tril(block[diagonal])
    block[diagonal] = lower + np.tril(lower, -1).transpose(0, 2, 1)


def _selected(rest: Remainder, factor: Factor) -> np.ndarray:
    """Entries of K^-1 at (rest.row, rest.col) from the selected inverse on the pattern of L."""
    L, perm = factor.L, factor.perm
    n = perm.size
    S = kernel("selected_inverse", n)(L.indptr, L.indices, L.data, n)
    where = np.empty(n, dtype=np.int64)
    where[perm] = np.arange(n)
    i, j = where[rest.row], where[rest.col]
    key = np.minimum(i, j) * n + np.maximum(i, j)
    keys = np.repeat(np.arange(n, dtype=np.int64), np.diff(L.indptr)) * n + L.indices
    return np.asarray(S[np.searchsorted(keys, key)])


def _diagonal_blocks(rest: Remainder, H: np.ndarray, t: int) -> np.ndarray:
    for family in rest.families:
        if family.t_row == family.t_col == t:
            blocks = H[family.values].reshape(family.count, *family.shape)[family.rows == family.cols]
            return np.asarray(blocks[np.argsort(family.rows[family.rows == family.cols])])
    raise IndexError(t)
