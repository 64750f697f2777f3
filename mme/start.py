"""Where the search begins: theta from moments of the OLS residuals of each level.

With r the OLS residual, z_g = Z_g'r of a block t and G_g = Z_g'Z_g,

    E[z_g z_g'] = sigma^2 ( G_g + sum_s Z_g'Z_s H_s Z_s'Z_g ),        H_s = T_s T_s' of every block s.

With levels weighted as if H were one, E_g = (I + G_g)^-1, and X_c = E_g (Z_g'Z_s) for each cell c of t and s, least
squares asks for

    sum_s sum_c X_c H_s X_c'  =  sum_g E_g (z_g z_g' / sigma^2 - G_g) E_g                   for every block t:

one small linear system for all H_s together. What all blocks leave of r gives sigma^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.absorption import Levels, absorb, factor_levels
from mme.objective import Objective

# Relative variances are started no smaller than this share of what one level's data could show.
_SMALLEST_SHARE = 0.02
# Sweeps over crossed factors: each leaves the share of a random crossing that is left of the last one, squared.
_SWEEPS = 3
# Levels with fewer records than one and a quarter each tell nothing by themselves.
_REPEATED = 0.8
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.001, 0.3


@dataclass(frozen=True, eq=False)
class Weighted:
    """One block: R_g and Q_g'r of its levels, and E_g = (I + R_g'R_g)^-1 as (q, q, J)."""

    levels: Levels
    E: np.ndarray


def start(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Theta to start from and how far off it may be (k,), in the user's units."""
    theta, radius = np.ones(objective.model.k), np.ones(objective.model.k)
    blocks = [_weighted(objective, b) for b in range(len(objective.blocks))]
    repeated = [_is_repeated(one, objective.model.n) for one in blocks]
    sigma = objective.model.sigma
    sigma2 = _residual_variance(objective, blocks, repeated) if sigma is None else sigma**2
    moments = _solve_moments(objective, blocks, repeated, sigma2)
    for block, weighted, H in zip(objective.blocks, blocks, moments, strict=True):
        information = np.einsum("aig,aig->i", weighted.levels.R, weighted.levels.R) / block.J
        floor = _SMALLEST_SHARE / np.maximum(information, 1e-300)
        # A standard deviation over J levels is known to about 1 / sqrt(2 J) of itself.
        error = min(max(np.sqrt(0.5 / block.J), _SMALLEST_RADIUS), _LARGEST_RADIUS)
        for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            nearest = part.nearest(H[columns, columns], floor[columns])
            spread = np.sqrt(np.maximum((part.T(nearest) ** 2).sum(axis=1), floor[columns]))
            units = part.per_row(block.scale[columns], 1.0)
            theta[thetas] = nearest / units
            radius[thetas] = part.per_row(error * spread, error) / units
    return theta, radius


def _weighted(objective: Objective, b: int) -> Weighted:
    """A block's levels, as absorbed or by a QR of its own; r is the last of the columns."""
    if b == objective.plan.absorb:
        whole = objective.system.absorbed.levels
        levels = Levels(whole.R, whole.V[-1:])
    else:
        levels = absorb(objective.blocks[b], objective.basis.N[-1:])[0].levels
    transposed = Levels(np.ascontiguousarray(levels.R.transpose(1, 0, 2)), levels.V)
    return Weighted(levels, factor_levels(transposed, np.eye(objective.blocks[b].q)).weights())


def _is_repeated(one: Weighted, n: int) -> bool:
    """Whether levels have records enough to tell their variance from the residual one without their relationship."""
    q = one.levels.R.shape[0]
    return int((one.levels.R[0, 0] > 0.0).sum()) * q < _REPEATED * n


def _residual_variance(objective: Objective, blocks: list[Weighted], repeated: list[bool]) -> float:
    """Sigma^2 from what all repeated blocks together leave of r, by sweeping them out in turn (backfitting)."""
    r, n = objective.basis.r, objective.model.n
    total = float(r @ r)
    among = [b for b, is_repeated in enumerate(repeated) if is_repeated]
    effects = {b: int((blocks[b].levels.R[0, 0] > 0.0).sum()) * objective.blocks[b].q for b in among}
    explained = {b: float(np.vdot(blocks[b].levels.V, blocks[b].levels.V)) for b in among}
    smallest = min([total / n, *((total - explained[b]) / (n - effects[b]) for b in among)])
    smallest = max(smallest, 1e-12 * total / n, 1e-300)
    # Levels without repeated records share what is left with the residual.
    share = 1.0 if all(repeated) else 0.5
    freedom = n - sum(effects.values())
    if len(among) < 2 or freedom <= 0:
        return share * smallest
    left = objective.basis.N[-1:]
    for _ in range(_SWEEPS):
        for b in among:
            left = absorb(objective.blocks[b], left)[1].N
    return share * min(max(float(np.vdot(left, left)) / freedom, 1e-6 * smallest), smallest)


def _solve_moments(
    objective: Objective, blocks: list[Weighted], repeated: list[bool], sigma2: float
) -> list[np.ndarray]:
    """H of every block from the joint moment equations; without repeated records a guess, as large as sigma^2."""
    widths = [block.q for block in objective.blocks]
    ends = np.cumsum([q * q for q in widths]).tolist()
    at = [slice(end - q * q, end) for end, q in zip(ends, widths, strict=True)]
    size = ends[-1] if ends else 0
    system, target = np.zeros((size, size)), np.zeros(size)
    for t, weighted in enumerate(blocks):
        if not repeated[t]:
            system[at[t], at[t]], target[at[t]] = np.eye(widths[t] ** 2), np.eye(widths[t]).ravel() / widths[t]
            continue
        half = np.einsum("ibg,abg->iag", weighted.E, weighted.levels.R)  # E_g R_g'
        h = np.einsum("iag,ag->ig", half, weighted.levels.V[0])
        target[at[t]] = (h @ h.T / sigma2 - np.einsum("iag,jag->ij", half, half)).ravel()
        system[at[t], at[t]] = _squares(np.einsum("iag,ajg->ijg", half, weighted.levels.R))
        for s in range(len(blocks)):
            if s != t:
                levels, values = _products(objective, t, s)
                system[at[t], at[s]] = _squares(np.einsum("iac,caj->ijc", weighted.E[:, :, levels], values))
    scale = 1.0 / np.sqrt(np.maximum(np.diag(system), 1e-300))
    solved = np.linalg.lstsq(system * scale, target, rcond=1e-10)[0] * scale
    return [(H + H.T) / 2 for H in (solved[cut].reshape(q, q) for cut, q in zip(at, widths, strict=True))]


def _products(objective: Objective, t: int, s: int) -> tuple[np.ndarray, np.ndarray]:
    """Z_t'Z_s by cell: the cell's level of t, and (cells, q_t, q_s)."""
    absorbed, rest = objective.plan.absorb, objective.system.rest
    among = [b for b in range(len(objective.blocks)) if b != absorbed]
    if absorbed in (t, s):
        crossing = rest.crossing[among.index(s if t == absorbed else t)]
        R = objective.system.absorbed.levels.R[:, :, crossing.cells.rows]
        values = np.einsum("aic,caj->cij", R, crossing.values)  # R_g'(Q_g'Z)
        return (crossing.cells.rows, values) if t == absorbed else (crossing.cells.cols, values.transpose(0, 2, 1))
    row, col = max(t, s), min(t, s)
    found = rest.schur.products[among.index(row), among.index(col)]
    return (found.cells.rows, found.values) if t == row else (found.cells.cols, found.values.transpose(0, 2, 1))


def _squares(X: np.ndarray) -> np.ndarray:
    """The matrix of H -> sum_c X_c H X_c' on vec(H), from X (q_t, q_s, cells)."""
    q_t, q_s, _ = X.shape
    flat = X.reshape(q_t * q_s, -1)
    return (flat @ flat.T).reshape(q_t, q_s, q_t, q_s).transpose(0, 2, 1, 3).reshape(q_t * q_t, q_s * q_s)
