r"""What single records do to the fixed effects of a wide X: (H2) for its dense and its sparse columns.

The estimates are linear in y. With U of (H1), D of :mod:`mme.solution.wide`, H = Lambda M^-1 Lambda' and G = Z H_F its
columns of sparse coefficients at the records, Z with the sparse columns in it, rows of the maps from whitened records
are

    beta: (F U')',    alpha: G - U D',    and record i moves both by its row times e_i / (1 - h_i).

The columns of H take a solve each: as many as there are sparse columns, whatever the number of records.
"""

from __future__ import annotations

import numpy as np

from mme.diagnosis.hat import Hat, by_record, hat_of
from mme.diagnosis.levels import DETERMINED
from mme.engine.objective import Objective
from mme.fitted.record import Fitted
from mme.numeric.limits import limits
from mme.numeric.memory import require
from mme.solution.gains import carried

# Arrays of the size of the answer that are there at a time.
_COPIES = 3


def wide_changes(fit: Fitted) -> np.ndarray:
    """beta - beta_(i) for each record alone (n, p), coefficients in the order of X; NaN where the others say nothing.

    Raises
    ------
    MemoryForecastError
        They would not fit.
    """
    n, p, wide = fit.nobs, fit.basis.kept.size, fit.estimates.wide
    assert wide is not None
    require(8 * _COPIES * n * p, f"what {n:,} records do to {p:,} fixed effects needs")
    hat = fit.once(hat_of)
    left = 1.0 - hat.diagonal
    left = np.where(left > DETERMINED, left, np.nan)
    maps = np.empty((n, p))
    d = wide.half.shape[1]
    maps[:, :d] = hat.U @ wide.half
    maps[:, d:] = _of_sparse(hat, p - d)
    maps[:, d:] -= hat.U @ wide.D.T
    maps *= (fit.estimates.whitened_residual() / left)[:, None]
    return np.asarray(maps[:, wide.basis.order])


def _of_sparse(hat: Hat, f: int) -> np.ndarray:
    """G (n, f), some columns at a time."""
    objective = hat.objective
    G = np.empty((objective.model.n, f))
    step = max(1, limits().solved_numbers // max(objective.system.rest.m, objective.model.n))
    for start in range(0, f, step):
        chosen = np.arange(start, min(start + step, f))
        G[:, chosen] = by_record(objective.blocks, _columns(objective, hat, chosen, f))
    return G


def _columns(objective: Objective, hat: Hat, chosen: np.ndarray, f: int) -> list[np.ndarray]:
    """The columns of H at some sparse coefficients, block by block (J, q, columns)."""
    rest, T = objective.system.rest, objective.factors(hat.theta).rest
    right = np.zeros((rest.m, chosen.size))
    right[rest.m - f + chosen, np.arange(chosen.size)] = 1.0  # their T is one
    V = rest.apply_lambda(hat.at.rest.solve(right), T)
    cuts = zip(rest.offsets[:-1].tolist(), rest.offsets[1:].tolist(), rest.blocks, strict=True)
    found = [V[a:b].reshape(block.J, block.q, -1) for a, b, block in cuts]
    if (absorbed := objective.absorbing) is not None:
        above = -(carried(objective, hat.theta, hat.at) @ V)
        found.insert(objective.plan.absorb or 0, above.reshape(absorbed.q, absorbed.J, -1).transpose(1, 0, 2))
    return found
