"""Evaluations at many theta together, where nothing but a small absorbed block is random.

The levels of one theta stand behind those of the one before it, so that a few dozen evaluations of a small model cost
little more than one.
"""

from __future__ import annotations

import numpy as np

from mme.engine.criterion import Constants, criterion
from mme.engine.level_factors import MANY_COLUMNS, factor_of
from mme.engine.pls import System
from mme.numeric.limits import limits


def criteria(constants: Constants, system: System, T: np.ndarray) -> np.ndarray:
    """The criterion (S,) at factors T (S, q, q) of the absorbed block."""
    pieces = (values.tolist() for values in evaluate_stack(system, T))
    return np.array([criterion(constants, *piece) for piece in zip(*pieces, strict=True)])


def is_stacked(system: System, count: int) -> bool:
    """Whether so many evaluations are made together: where nothing but a small absorbed block is random."""
    if len(system.chunks) != 1 or system.chunks[0].singular is not None:
        return False
    levels = system.chunks[0]
    return levels.R.shape[0] <= MANY_COLUMNS and count * levels.J <= limits().levels_in_panel


def evaluate_stack(system: System, T: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """log|M|, log|X'V^-1 X| and pwrss (S,) for factors T (S, q, q) of the absorbed block.

    Raises
    ------
    LinAlgError
        The model fits the response exactly at one of them.
    """
    (levels,), (S, q, _) = system.chunks, T.shape
    J, wide = levels.J, system.p + 1
    A = np.matmul(T.transpose(0, 2, 1)[:, None], levels.R).transpose(1, 2, 0, 3).reshape(q, q, S * J)
    factor = factor_of(A)
    rows = factor.forward(np.tile(levels.V, S)).reshape(wide * q, S, J).transpose(1, 0, 2).reshape(S, wide, q * J)
    borders = system.absorbed.NN + rows @ rows.transpose(0, 2, 1)  # (A)
    logs = factor.logdets().reshape(S, J)
    logdets = logs.sum(axis=1) if levels.multiplicity is None else logs @ levels.multiplicity
    pivots = np.diagonal(np.linalg.cholesky(borders), axis1=1, axis2=2)
    return logdets, 2.0 * np.log(pivots[:, :-1]).sum(axis=1), pivots[:, -1] ** 2
