"""Where the search begins: theta from moments of the OLS residuals of each level.

With r the OLS residual, z_g = Z_g'r and G_g = Z_g'Z_g, E[z_g z_g'] is about sigma^2 (G_g + G_g H G_g), H = T T'.
Least squares over the levels for H is one small linear system a block; what is left within levels gives sigma^2.
"""

from __future__ import annotations

import numpy as np

from mme.blocks import Block
from mme.crossproducts import level_sums
from mme.objective import Objective

# Relative variances are started no smaller than this share of what one level's data could show.
_SMALLEST_SHARE = 0.02
_SMALLEST_RADIUS, _LARGEST_RADIUS = 0.05, 0.3


def start(objective: Objective) -> tuple[np.ndarray, np.ndarray]:
    """Theta to start from and how far off it may be (k,), in the user's units."""
    theta, radius = np.ones(objective.model.k), np.ones(objective.model.k)
    moments = [_moments(block, objective.basis.r) for block in objective.blocks]
    if not moments:
        return theta, radius
    # The block that explains most leaves the best estimate of sigma^2.
    sigma2 = min(residual for _, residual, _ in moments) if objective.model.sigma is None else objective.model.sigma**2
    for block, (H, residual, information) in zip(objective.blocks, moments, strict=True):
        relative = H * (residual / sigma2) if sigma2 > 0 else H
        floor = _SMALLEST_SHARE / np.maximum(information, 1e-300)
        for part, thetas, columns in zip(block.structures, block.theta_slices, block.column_slices, strict=True):
            nearest = part.nearest(relative[columns, columns], floor[columns])
            theta[thetas] = nearest / block.scale[columns][part.rows]
            # A standard deviation over J levels is known to about 1 / sqrt(2 J) of itself.
            spread = np.sqrt(np.maximum((part.T(nearest) ** 2).sum(axis=1), floor[columns]))
            error = min(max(np.sqrt(0.5 / block.J), _SMALLEST_RADIUS), _LARGEST_RADIUS)
            radius[thetas] = (error * spread / block.scale[columns])[part.rows]
    return theta, radius


def _moments(block: Block, r: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """H relative to the residual variance of this block alone, that variance, and mean diagonal of G_g."""
    Z = block.rows(slice(None))
    z = level_sums(block.codes, block.J, Z, r[:, None])[:, :, 0]
    G = level_sums(block.codes, block.J, Z, Z)
    ridge = 1e-8 * np.trace(G, axis1=1, axis2=2)[:, None, None] * np.eye(block.q) + 1e-300 * np.eye(block.q)
    explained = float(np.einsum("gi,gi->", z, np.linalg.solve(G + ridge, z[:, :, None])[:, :, 0]))
    total = float(r @ r)
    freedom = max(r.size - block.J * block.q, 1)
    residual = max((total - explained) / freedom, 1e-12 * total / r.size, 1e-300)
    # Levels count as if each had a relative variance of one: the ANOVA weights would let large levels decide alone.
    half = np.linalg.inv(np.eye(block.q) + G)
    P = np.einsum("gij,gjk->gik", half, G)
    outer = np.einsum("gi,gj->gij", z, z) / residual - G
    target = np.einsum("gij,gjk,glk->il", half, outer, half)
    system = np.einsum("gik,gjl->ijkl", P, P).reshape(block.q**2, block.q**2)
    H = np.linalg.lstsq(system, target.ravel(), rcond=1e-10)[0].reshape(block.q, block.q)
    return (H + H.T) / 2, residual, np.einsum("gii->i", G) / block.J
