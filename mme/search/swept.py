r"""The share of the moments of a block that sparse columns F of a wide X leave, estimated by a probe.

With P = I - F (F'F)^-1 F' the products of levels are C = Z'P Z, of which no more than a few are known: of the sums that
moments take (``moments.py``) the shares

    sum_gh |E_g C_gh|^2 / sum_gh |E_g Z_g'Z_h|^2,      sum_g tr(E_g C_gg E_g) / sum_g tr(E_g Z_g'Z_g E_g)

are those of one vector of random signs, whose error is that of so many levels.
"""

from __future__ import annotations

import numpy as np

from mme.engine.absorption import absorb
from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.engine.span import along
from mme.search.weighted_levels import WeightedLevels


def shares(objective: Objective, block: Block, one: WeightedLevels) -> tuple[float, float]:
    """Both shares of a block; ones without sparse columns, and where the levels of a block are not those of records."""
    sweep = objective.basis.sweep
    if sweep is None or block.is_spherical or block.by_column:
        return 1.0, 1.0
    x = _signs(block)
    whole = _rows(block, x)
    size = [_weighted(one, block.sums(rows)[:, :, 0]) for rows in (sweep(whole), whole)]
    of_weighted = _rows(block, np.einsum("ijg,gj->gi", one.E, x))
    squares = [float(np.vdot(rows, rows)) for rows in (sweep(of_weighted), of_weighted)]
    return size[0] / (size[1] or 1.0), squares[0] / (squares[1] or 1.0)


def freedom_within(objective: Objective, block: Block) -> float:
    """Degrees of freedom that the sparse columns take within the levels of a block."""
    sweep, n = objective.basis.sweep, objective.model.n
    if sweep is None or not objective.constants.reml:
        return 0.0
    v = 2.0 * np.random.default_rng(0).integers(0, 2, n) - 1.0
    part = v[None, :] - sweep(v[None, :])
    left = part if block.is_spherical else absorb(block.by_record, part)[1].N
    return float(np.vdot(left, left))


def _signs(block: Block) -> np.ndarray:
    return 2.0 * np.random.default_rng(1).integers(0, 2, (block.J, block.q)) - 1.0


def _rows(block: Block, x: np.ndarray) -> np.ndarray:
    """Z x (1, n) for x (J, q)."""
    return np.asarray(sum(along(block, a, x[:, a]) for a in range(block.q)))[None, :]


def _weighted(one: WeightedLevels, h: np.ndarray) -> float:
    """sum_g |E_g h_g|^2 for h (J, q)."""
    return float((np.einsum("ijg,gj->gi", one.E, h) ** 2).sum())
