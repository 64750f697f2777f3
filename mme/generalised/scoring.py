r"""The first curvature of the criterion: Fisher's information of the Gaussian model with the working weights.

    by theta     sum_g tr(a_g dG_k a_g dG_l),    a_g = A_g (I + T T'A_g)^-1 of each level, dG = dT T' + T dT'
    by gamma     2 (Q'W Q - Q'W M H^-1 M'W Q)
    by tau       2 sum (dl/dtau)^2 / a with weights a that multiply log f.

It is of -2 log L, so that half of the inverse is a covariance; it scales the first step, and gradients mend it.
"""

from __future__ import annotations

import numpy as np

from mme.generalised.columns import Effects
from mme.generalised.laplace import Laplace, directions
from mme.generalised.levels import product
from mme.numeric.lapack import symmetric_eigen


def first_inverse(at: Laplace) -> np.ndarray:
    """The inverse (k + p + r)^2 of that curvature, block-diagonal."""
    k, p, r = at.at.theta.size, at.at.gamma.size, at.at.tau.size
    out = np.zeros((k + p + r, k + p + r))
    out[:k, :k] = _inverse(_by_theta(at))
    out[k : k + p, k : k + p] = _inverse(by_gamma(at))
    weights = at.problem.data.weights if at.problem.family.merges else np.ones(at.problem.n)
    per_weight = np.divide(1.0, weights, out=np.zeros(weights.size), where=weights > 0.0)
    for j, one in enumerate(at.mode.density.by_parameters):
        out[k + p + j, k + p + j] = 1.0 / max(2.0 * float(per_weight @ one.value**2), 1e-8)
    return out


def by_gamma(at: Laplace) -> np.ndarray:
    """2 (Q'W Q - Q'W M H^-1 M'W Q) with W of the determinant."""
    problem, prior = at.problem, at.mode.prior
    density = at.mode.density
    W = density.expected if at.expected else density.observed
    Q, columns = problem.Q, problem.columns
    WQ = Q * W
    met = [prior.transposed(list(each)) for each in zip(*columns.transposed_rows(WQ), strict=True)]
    flat, solved = (np.array([_in_a_row(one) for one in each]) for each in (met, map(at.factor.solve, met)))
    A = WQ @ Q.T - (flat @ solved.T if len(Q) else 0.0)
    return A + A.T


def _in_a_row(effects: Effects) -> np.ndarray:
    """Effects of all blocks, one behind the other."""
    return effects[0].ravel() if len(effects) == 1 else np.concatenate([one.ravel() for one in effects])


def _by_theta(at: Laplace) -> np.ndarray:
    """Level by level, other blocks held."""
    k = at.at.theta.size
    out = np.zeros((k, k))
    for block, T, seen in zip(at.problem.blocks, at.mode.prior.T, at.factor.seen(), strict=True):
        along = directions(block, at.at.theta)
        half = [D @ T.T for _, D in along]
        dG = [one + one.T for one in half]
        moved = [product(seen, one[:, :, None]) for one in dG]
        for (i, _), left in zip(along, moved, strict=True):
            for (j, _), right in zip(along, moved, strict=True):
                out[i, j] = float(np.einsum("abg,bag->", left, right))
        if block.is_parametric:
            first = block.theta_slices[0]
            for j in range(first.start + block.structures[0].inner.k, first.stop):
                out[j, j] = 1.0
    return out


def _inverse(A: np.ndarray) -> np.ndarray:
    """The inverse, directions without curvature held near."""
    if not A.size or (A.size == 1 and A[0, 0] > 1e-8):
        return np.asarray(1.0 / A)
    size = np.sqrt(np.maximum(A.diagonal(), 1e-8 * max(float(A.diagonal().max()), 1e-8)))
    sizes = size[:, None] * size
    values, vectors = symmetric_eigen(0.5 * (A + A.T) / sizes)
    return np.asarray((vectors / np.maximum(values, 1e-3)) @ vectors.T / sizes)
