r"""The score by the parameters x of a relationship K(x), from its own K^-1 and log|K| alone.

With M of all random effects u, and u of the rows w of (P) in :mod:`mme.derivatives.uncertainty`, weighted as in (S),

    dC = q dlog|K| + tr((dK^-1 (x) I) M^-1) + sum_w s_w u_w'(dK^-1 (x) I)u_w,                                      (K)

as Z'V^-1 Z = (K^-1 (x) T'^-1)(K (x) I - M^-1)(K^-1 (x) T^-1) and u = (K (x) T')Z'P y. M^-1 is asked for where K^-1 has
entries. The working variate of average information is V_x P y = -Z (K dK^-1 (x) T)u.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from mme.derivatives.uncertainty import Uncertainty
from mme.engine.blocks import Block
from mme.numeric.differences import slopes
from mme.relationship.parametric import Parametric


@dataclass(frozen=True, eq=False)
class OfRelationship:
    """The parameters of the relationship of a block: where they stand, dK^-1 and dlog|K| by each of them."""

    block: int
    at: slice
    changes: list[sp.csr_array]
    logdets: np.ndarray


def of_relationships(blocks: tuple[Block, ...], theta: np.ndarray) -> list[OfRelationship]:
    """Those of all blocks that have some, by differences of K^-1 and log|K|."""
    found = []
    for b, block in enumerate(blocks):
        if not block.is_parametric:
            continue
        known, stop = block.relationship, block.theta_slices[0].stop
        entries = slopes(partial(_values, known), block.coordinates(theta))
        off = known.rows != known.cols
        places = np.append(known.rows, known.cols[off]), np.append(known.cols, known.rows[off])
        changes = [sp.csr_array((np.append(d, d[off]), places), shape=(block.J, block.J)) for d in entries[:, :-1]]
        found.append(OfRelationship(b, slice(stop - len(changes), stop), changes, entries[:, -1]))
    return found


def _values(known: Parametric, x: np.ndarray) -> np.ndarray:
    """The entries of K^-1, and log|K| behind them."""
    return np.append(known.values_at(x), known.logdet_at(x))


def relationship_score(one: OfRelationship, of: Uncertainty, weights: np.ndarray) -> np.ndarray:
    """(K) of each parameter; ``weights`` (p + 1,) of the rows."""
    objective = of.objective
    block, q = objective.blocks[one.block], objective.blocks[one.block].q
    start = int(objective.system.rest.offsets[objective.rest.index(block)])
    u, found = of.spherical[one.block], np.empty(len(one.changes))
    for i, (change, logdet) in enumerate(zip(one.changes, one.logdets.tolist(), strict=True)):
        at = sp.coo_array(sp.tril(change))
        each = np.arange(q)
        row, col = (start + np.add.outer(x.astype(np.int64) * q, each) for x in (at.row, at.col))
        inverse = of.estimates.at.rest.inverse_entries(row.ravel(), col.ravel()).reshape(row.shape).sum(axis=1)
        twice = np.where(at.row == at.col, 1.0, 2.0)
        moved = np.asarray(change @ u.reshape(block.J, -1)).reshape(u.shape)
        found[i] = q * logdet + twice @ (at.data * inverse) + np.einsum("gaw,gaw,w->", u, moved, weights)
    return found


def relationship_variates(one: OfRelationship, of: Uncertainty, column: int = -1) -> np.ndarray:
    """-(K dK^-1 (x) T)u of y (parameters, q, J): the effects b_i of V_x P y = Z b_i; of a ``column`` of X V_x k."""
    block, theta = of.objective.blocks[one.block], of.estimates.theta
    u, T = of.spherical[one.block][:, :, column], block.T(theta)
    solve = splu(sp.csc_array(block.relationship_at(theta).precision)).solve
    return np.array([-(solve(np.asarray(change @ u)) @ T.T).T for change in one.changes])
