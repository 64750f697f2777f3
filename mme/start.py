"""Where the search begins: theta from moments of the OLS residuals of each level.

With r the OLS residual and Z_g = Q_g R_g, v = Q_g'r has E[v v'] of about sigma^2 (I + R_g H R_g'), H = T T'. Levels are
weighted as if H were one: with P_g = R_g'(I + R_g R_g')^-1 R_g, least squares asks for

    sum_g P_g H P_g  =  sum_g R_g'(I + R_g R_g')^-1 (v v' / sigma^2 - I) (I + R_g R_g')^-1 R_g

one linear system of size q^2 a block; what is left within levels gives sigma^2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.absorption import Levels, absorb, factor_levels
from mme.blocks import Block
from mme.objective import Objective

# Relative variances are started no smaller than this share of what one level's data could show.
_SMALLEST_SHARE = 0.02
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.05, 0.3


@dataclass(frozen=True, eq=False)
class Moments:
    """H (q, q) in units of the residual variance of its own block, that variance, and the mean diagonal of Z_g'Z_g."""

    H: np.ndarray
    residual: float
    information: np.ndarray


def start(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Theta to start from and how far off it may be (k,), in the user's units."""
    theta, radius = np.ones(objective.model.k), np.ones(objective.model.k)
    moments = [_moments(_levels(objective, b), block, objective) for b, block in enumerate(objective.blocks)]
    # The block that explains most leaves the best estimate of sigma^2.
    sigma = objective.model.sigma
    sigma2 = min((found.residual for found in moments), default=1.0) if sigma is None else sigma**2
    for block, found in zip(objective.blocks, moments, strict=True):
        relative = found.H * (found.residual / sigma2)
        floor = _SMALLEST_SHARE / np.maximum(found.information, 1e-300)
        # A standard deviation over J levels is known to about 1 / sqrt(2 J) of itself.
        error = min(max(np.sqrt(0.5 / block.J), _SMALLEST_RADIUS), _LARGEST_RADIUS)
        for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            nearest = part.nearest(relative[columns, columns], floor[columns])
            spread = np.sqrt(np.maximum((part.T(nearest) ** 2).sum(axis=1), floor[columns]))
            theta[thetas] = nearest / block.scale[columns][part.rows]
            radius[thetas] = (error * spread / block.scale[columns])[part.rows]
    return theta, radius


def _levels(objective: Objective, b: int) -> Levels:
    """R_g and Q_g'r of a block: as absorbed, or by a QR of its own; r is the last of the columns."""
    if b == objective.plan.absorb:
        levels = objective.system.absorbed.levels
        return Levels(levels.R, levels.V[-1:])
    return absorb(objective.blocks[b], objective.basis.N[-1:])[0].levels


def _moments(levels: Levels, block: Block, objective: Objective) -> Moments:
    total = float(objective.basis.r @ objective.basis.r)
    freedom = max(objective.model.n - block.J * block.q, 1)
    v = levels.V[0]
    residual = max((total - float(np.vdot(v, v))) / freedom, 1e-12 * total / objective.model.n, 1e-300)
    q = block.q
    factor = factor_levels(levels, np.eye(q))
    W = factor.weights()
    half = np.einsum("abg,aig->big", W, levels.R)  # W_g R_g
    P = np.einsum("aig,ajg->ijg", levels.R, half)
    h = np.einsum("aig,ag->ig", half, v)
    target = h @ h.T / residual - np.einsum("aig,ajg->ij", half, half)
    flat = P.reshape(q * q, -1)
    system = (flat @ flat.T).reshape(q, q, q, q).transpose(0, 2, 1, 3).reshape(q * q, q * q)
    H = np.linalg.lstsq(system, target.ravel(), rcond=1e-10)[0].reshape(q, q)
    return Moments((H + H.T) / 2, residual, np.einsum("aig,aig->i", levels.R, levels.R) / block.J)
