r"""Diagonal blocks of the inverse of Henderson's equations: conditional variances and prediction error variances.

With M partitioned as in (P), K the Schur complement of the absorbed block and F_g = (I + A'A)^-1 A',

    [M^-1]_22  = K^-1
    [M^-1]_gg  = (I + A_g'A_g)^-1 + F_g B_g (Lambda_2 K^-1 Lambda_2') B_g' F_g'

Only the entries of K^-1 on the pattern of K are needed: they come from a dense inverse or from the selected inverse.
var(b | y) = sigma^2 Lambda M^-1 Lambda' holds beta fixed; the prediction error variance adds E E' with
E = Lambda M^-1 Lambda'Z'X R_X^-1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mme.engine.blocks import Block
from mme.engine.level_factors import factor_levels
from mme.engine.objective import Objective
from mme.engine.pls import Evaluation, effects
from mme.numeric.lapack import triangular_solve


def conditional_blocks(objective: Objective, theta: np.ndarray, at: Evaluation) -> list[np.ndarray]:
    """Lambda M^-1 Lambda' of every block as (J, q, q), scaled columns, in units of sigma^2."""
    return diagonal_blocks(objective, theta, rest_entries(objective, theta, at))


def diagonal_blocks(objective: Objective, theta: np.ndarray, H: np.ndarray) -> list[np.ndarray]:
    """The blocks of :func:`conditional_blocks`, from the entries that :func:`rest_entries` returns."""
    schur = objective.system.rest.schur
    out = [schur.diagonal_blocks(H, t) for t in range(len(objective.rest))]
    if objective.plan.absorb is not None:
        out.insert(objective.plan.absorb, absorbed_blocks(objective, theta, H))
    return out


def rest_entries(objective: Objective, theta: np.ndarray, at: Evaluation) -> np.ndarray:
    """Lambda_2 K^-1 Lambda_2' where the complement keeps it (:mod:`mme.engine.complement`)."""
    return objective.system.rest.schur.selected(at.rest, objective.factors(theta).rest)


def sensitivities(objective: Objective, theta: np.ndarray, at: Evaluation) -> list[np.ndarray]:
    """E = Lambda M^-1 Lambda'Z'X R_X^-1 of every block as (J, q, p), scaled columns."""
    p = objective.system.p
    inverse = triangular_solve(at.border[:p, :p], np.eye(p), transposed=False)
    combinations = np.concatenate([inverse, np.zeros((p, 1))], axis=1)
    u_absorbed, u_rest = effects(objective.system, at, objective.factors(theta), combinations)
    return objective.by_block(u_absorbed, u_rest, theta)


def level_covariance(objective: Objective, theta: np.ndarray, at: Evaluation) -> np.ndarray:
    """T (I + A'A)^-1 T' of every level of the absorbed block (J, q, q): var(b | y) / sigma^2, other effects known."""
    T = objective.factors(theta).absorbed
    return _on_both_sides(T, at.levels.inner())


def absorbed_blocks(objective: Objective, theta: np.ndarray, H: np.ndarray) -> np.ndarray:
    """T (I + A'A)^-1 T' plus what the other random effects leave uncertain, for every level."""
    levels, T = objective.system.absorbed.levels, objective.factors(theta).absorbed
    factor = factor_levels(levels, T)
    inner = factor.inner()
    if objective.rest:
        F = factor.gain()
        through = objective.system.rest.through(H, levels)
        inner = inner + np.einsum("iag,abg,jbg->gij", F, through, F, optimize=True)
    return np.asarray(inner * T[0, 0] ** 2) if levels.singular is not None else _on_both_sides(T, inner)


def _on_both_sides(T: np.ndarray, H: np.ndarray) -> np.ndarray:
    """T H_g T' of every level (J, q, q), in two products whatever the number of levels."""
    J, q, _ = H.shape
    left = (T @ H.transpose(1, 2, 0).reshape(q, q * J)).reshape(q, q, J)
    return np.asarray(np.matmul(T, left).transpose(2, 0, 1))


def by_term(blocks: Sequence[Block], values: Sequence[np.ndarray], *, square: bool = False) -> list[np.ndarray]:
    """Cut what blocks have (J, q, ...), or ``square`` (J, q, q), into terms, in the model's order."""
    out: dict[int, np.ndarray] = {}
    for block, one in zip(blocks, values, strict=False):  # that of a wide X, the last, has no terms
        for term, columns in zip(block.terms, block.column_slices, strict=True):
            out[term] = one[:, columns, columns] if square else one[:, columns]
    return [out[t] for t in range(len(out))]


def half_with_columns_within(objective: Objective, theta: np.ndarray, border: np.ndarray, sigma: float) -> np.ndarray:
    """F (m, p) with cov(beta) = F'F, of columns within X whose effects are uncorrelated with all others."""
    p = objective.system.p
    rows = [triangular_solve(border[:p, :p], np.eye(p), transposed=False)]
    for block, within in zip(objective.blocks, objective.within or (), strict=True):
        if (T := block.T(theta)[within]).any():
            rows.append(np.einsum("gap,ai->gip", block.sums(objective.basis.N[:-1])[:, within], T).reshape(-1, p))
    return np.asarray(sigma * np.vstack(rows) @ objective.basis.R_inverse.T)


def are_apart(objective: Objective, theta: np.ndarray) -> bool:
    """Whether the effects of columns within X, where there are any, are uncorrelated with all others."""
    if objective.within is None:
        return False
    for block, within in zip(objective.blocks, objective.within, strict=True):
        T = block.T(theta)
        if (T[within] @ T[~within].T).any():
            return False
    return True
