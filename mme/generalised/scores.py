r"""The gradient of (L) cluster by cluster: -2 log L is a sum over clusters of levels that are independent.

Of one block of independent levels the terms of the gradient (:mod:`mme.generalised.laplace`) are sums over records and
levels:

    dF_c / dgamma = sum_i Q_i c_i         over the records i of c
    dF_c / dT     = sum_g Z_g'c u_g' + Z_g'l' s_g' + 2 A_g T H_g^-1         over its levels g
    dF_c / dtau   = sum_i -2 dl/dtau + h dW/dtau + (M s) dl'/dtau.
"""

from __future__ import annotations

import numpy as np

from mme.engine.blocks import Block
from mme.generalised.laplace import Laplace, directions
from mme.generalised.levels import LevelFactors
from mme.numeric.sums import coding, sum_by_level


def gradients_by_cluster(at: Laplace, cluster: np.ndarray) -> np.ndarray:
    """dF_c by theta, gamma and tau (m, k + p + r) of clusters, whose codes (n,) each level of the block has once."""
    problem, density, prior = at.problem, at.mode.density, at.mode.prior
    assert isinstance(at.factor, LevelFactors)
    assert at.mode.factor is not None
    block, columns, m = problem.blocks[0], problem.columns, int(cluster.max()) + 1
    change = density.expected_slope if at.expected else density.observed_slope
    h = at.factor.leverages()
    s = at.mode.factor.solve(prior.transposed(columns.transposed(h * change)))
    Ms = columns.eta(prior.b(s))
    c = h * change - 2.0 * density.slope - density.observed * Ms
    by_T = _outer(block, c, at.mode.u[0]) + _outer(block, density.slope, s[0]) + 2.0 * at.factor.gain
    of_level = np.zeros(block.J, dtype=np.int64)
    of_level[block.codes] = cluster
    by_theta = np.zeros((at.at.theta.size, m))
    for k, D in directions(block, at.at.theta):
        by_theta[k] = np.bincount(of_level, np.einsum("ab,abg->g", D, by_T), minlength=m)
    by_gamma = [sum_by_level(cluster, m, row, c) for row in problem.Q]
    by_tau = [
        np.bincount(cluster, -2.0 * one.value + h * (one.expected if at.expected else one.observed) + Ms * one.slope, m)
        for one in density.by_parameters
    ]
    return np.column_stack([*by_theta, *by_gamma, *by_tau])


def _outer(block: Block, r: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Z_g'r u_g' of every level (q, q, J)."""
    Zr = [sum_by_level(coding(block.codes, a), block.J, column, r) for a, column in enumerate(block.columns)]
    return np.einsum("ag,bg->abg", np.array(Zr), u)
