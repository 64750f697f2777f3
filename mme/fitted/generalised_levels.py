r"""Errors of the modes of a generalised fit among levels of one term, with what the parameters leave uncertain.

    cov(b_hat_g - b_g, b_hat_h - b_h) = [Lambda H^-1 Lambda']_gh + E_g Sigma E_h'

with E Sigma E' that of :mod:`mme.generalised.moves`.
"""

from __future__ import annotations

import numpy as np

from mme.fitted.generalised import GeneralisedFitted
from mme.numeric.limits import limits
from mme.numeric.memory import require


def generalised_error_between(fit: GeneralisedFitted, t: int, g: np.ndarray) -> np.ndarray:
    """cov(b_hat - b) between each two of these levels of a term (levels, levels, q, q)."""
    b, columns, theta = *_place(fit, t), fit.searched.at.at.theta
    block, factor, q = fit.problem.blocks[b], fit.searched.at.mode.factor, fit.problem.blocks[b].q
    assert factor is not None
    require(40 * (q * g.size) ** 2, f"prediction errors among {g.size:,} levels would take")
    H, effects = np.empty((g.size, g.size, q, q)), sum(one.q * one.J for one in fit.problem.blocks)
    step = max(1, limits().solved_numbers // (effects * g.size))
    for first in range(0, g.size, step):
        rows = g[first : first + step]
        pairs = factor.between(b, b, np.repeat(rows, g.size), np.tile(g, rows.size))
        H[first : first + step] = pairs.reshape(rows.size, g.size, q, q)
    moved = fit.estimates.moves.b[b][:, :, g]
    H = block.covariance(H + np.einsum("amg,bmh->ghab", moved, moved, optimize=True), theta)
    return np.asarray(H[:, :, columns, columns])


def generalised_error_of_sum(fit: GeneralisedFitted, t: int, k: np.ndarray) -> float:
    """The prediction error variance of k'b, k (J,), of a term of one coefficient."""
    b, columns, theta = *_place(fit, t), fit.searched.at.at.theta
    block, mode = fit.problem.blocks[b], fit.searched.at.mode
    assert mode.factor is not None
    of_column = block.effects(np.eye(block.q), theta)[:, columns][:, 0]  # of the user's column from the block's
    right = fit.problem.columns.nothing()
    right[b] = of_column[:, None] * k
    solved = mode.prior.b(mode.factor.solve(mode.prior.transposed(right)))
    moved = np.einsum("amg,a,g->m", fit.estimates.moves.b[b], of_column, k)
    return float(np.vdot(solved[b], right[b]) + moved @ moved)


def _place(fit: GeneralisedFitted, t: int) -> tuple[int, slice]:
    """The block of a term, and its columns there."""
    for b, block in enumerate(fit.problem.blocks):
        if t in block.terms:
            return b, dict(zip(block.terms, block.column_slices, strict=True))[t]
    raise IndexError(t)
