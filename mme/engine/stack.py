"""Evaluations at many theta together, of a small model: an absorbed block, beside it a dense remainder or nothing.

The levels of one theta stand behind those of the one before it, so that a few dozen evaluations of a small model cost
little more than one.
"""

from __future__ import annotations

import numpy as np

from mme.engine.absorption import Levels
from mme.engine.criterion import Constants, criteria_of
from mme.engine.elimination import DenseElimination
from mme.engine.level_factors import CholeskyFactor, factor_of
from mme.engine.level_pass import pieces_by_level
from mme.engine.pls import System
from mme.engine.schur import Schur
from mme.numeric.limits import limits

# log|M|, log|X'V^-1 X| and pwrss (S,).
_Pieces = tuple[np.ndarray, np.ndarray, np.ndarray]


def criteria(constants: Constants, system: System, T: list[np.ndarray]) -> np.ndarray:
    """The criterion (S,) at factors T (S, q, q) of the absorbed block and of the others.

    Raises
    ------
    LinAlgError
        The model fits the response exactly at one of them.
    """
    return criteria_of(constants, *(evaluate_beside(system, T) if len(T) > 1 else evaluate_stack(system, T[0])))


def is_stacked(system: System, count: int) -> bool:
    """Whether so many evaluations are made together: of an absorbed block, beside a small dense remainder or none."""
    if system.rest.m:
        return _is_small_beside(system, count)
    if len(system.chunks) != 1 or system.chunks[0].singular is not None:
        return False
    levels = system.chunks[0]
    return levels.R.shape[0] <= limits().many_columns and count * levels.J <= limits().levels_in_panel


def _is_small_beside(system: System, count: int) -> bool:
    """Whether the map to S is a matrix, and what so many evaluations take of it stays in the cache."""
    levels, schur, most = system.absorbed.levels, system.rest.schur, limits().levels_in_panel
    if not isinstance(system.elimination, DenseElimination) or not isinstance(schur, Schur) or not levels.J:
        return False
    if not isinstance(schur.applied, np.ndarray):  # nor is it where levels are singular values
        return False
    size = system.rest.m + system.p + 1
    return levels.R.shape[0] <= limits().many_columns and count * levels.J <= most and count * size * size <= 4 * most


def evaluate_stack(system: System, T: np.ndarray) -> _Pieces:
    """The pieces for factors T (S, q, q) of the absorbed block, where nothing else is random.

    Raises
    ------
    LinAlgError
        The model fits the response exactly at one of them.
    """
    (levels,), (S, q, _) = system.chunks, T.shape
    if (found := pieces_by_level(levels, system.absorbed.NN, T)) is not None:
        logdets, logs_of_X, squares = found
        return logdets, logs_of_X, squares
    factor, Y = _levels_at(levels, T)
    rows = Y.reshape(-1, S, levels.J).transpose(1, 0, 2).reshape(S, -1, q * levels.J)
    borders = system.absorbed.NN + rows @ rows.transpose(0, 2, 1)  # (A)
    logs = factor.logdets().reshape(S, levels.J)
    logdets = np.add.reduce(logs, axis=1) if levels.multiplicity is None else logs @ levels.multiplicity
    pivots = np.linalg.cholesky(borders).diagonal(axis1=1, axis2=2)
    return logdets, 2.0 * np.add.reduce(np.log(pivots[:, :-1]), axis=1), pivots[:, -1] ** 2


def evaluate_beside(system: System, T: list[np.ndarray]) -> _Pieces:
    """The pieces for factors T (S, q, q) of the absorbed block and of those that a dense remainder has.

    Raises
    ------
    LinAlgError
        The model fits the response exactly at one of them.
    """
    levels, rest, m = system.absorbed.levels, system.rest, system.rest.m
    (S, q, _), J = T[0].shape, levels.J
    factor, Y = _levels_at(levels, T[0])
    rows, weighted = (one.reshape(-1, S, J).transpose(1, 0, 2).reshape(S, -1, q * J) for one in (Y, factor.backward(Y)))
    P = _squares(system, factor.weights().reshape(q * q, S, J).transpose(1, 0, 2).reshape(S, -1), T[1:])
    S_NZ = rest.C.T + weighted @ np.asarray(rest.applied).T
    for block, of_block, start in zip(rest.blocks, T[1:], rest.offsets[:-1].tolist(), strict=True):
        at, by_level = slice(start, start + block.J * block.q), (S, -1, block.J, block.q)
        P[:, m:, at] = (S_NZ[:, :, at].reshape(by_level) @ of_block[:, None]).reshape(S, -1, block.J * block.q)
    P[:, m:, m:] = system.absorbed.NN + rows @ rows.transpose(0, 2, 1)
    pivots = np.linalg.cholesky(P).diagonal(axis1=1, axis2=2)
    logs, of_levels = 2.0 * np.log(pivots[:, :-1]), factor.logdets().reshape(S, J).sum(axis=1)
    return of_levels + logs[:, :m].sum(axis=1), logs[:, m:].sum(axis=1), pivots[:, -1] ** 2


def _squares(system: System, weights: np.ndarray, T: list[np.ndarray]) -> np.ndarray:
    """The lower triangle of M in the top left of (P), (S, m + p + 1, m + p + 1), from vec(W) (S, q q J)."""
    schur = system.rest.schur
    assert isinstance(schur, Schur)
    pattern, size = schur.pattern, system.rest.m + system.p + 1
    values = weights @ np.asarray(schur.applied).T + schur.constant
    for family in pattern.families:  # Lambda'S Lambda
        blocks = values[:, family.values].reshape(-1, family.count, *family.shape)
        left, right = T[family.t_row].transpose(0, 2, 1)[:, None], T[family.t_col][:, None]
        blocks[:] = blocks * (left * right) if family.shape == (1, 1) else left @ blocks @ right
    full = np.zeros((len(values), size * size))
    places, among = pattern.square_places
    full[:, places] = values if among is None else values[:, among]
    full[:, pattern.square_penalty] += schur.penalty
    return full.reshape(-1, size, size).transpose(0, 2, 1)


def _levels_at(levels: Levels, T: np.ndarray) -> tuple[CholeskyFactor, np.ndarray]:
    """The factors of all levels at T (S, q, q), and L^-1 V of theirs (p + 1, q, S J)."""
    (S, q, _), J, wide = T.shape, levels.J, len(levels.V)
    A = np.matmul(T.transpose(0, 2, 1)[:, None], levels.R).transpose(1, 2, 0, 3).reshape(q, q, S * J)
    factor, V = factor_of(A), np.empty((wide, q, S, J))
    V[:] = levels.V[:, :, None]
    return factor, factor.forward(V.reshape(wide, q, -1))
