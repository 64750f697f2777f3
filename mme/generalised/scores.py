r"""The gradient of the criterion cluster by cluster: -2 log L is a sum over clusters that share no level.

It is a sum over records and levels (:class:`mme.generalised.laplace.Parts`), of (L) as of (Q):

    dF_c / dgamma = sum_i Q_i c_i         over the records i of c
    dF_c / dT     = sum_g Z_g'c u_g' + Z_g'l' s_g' + 2 [Z'W M H^-1]_gg         over its levels g, block by block
    dF_c / dtau   = sum_i -2 dl/dtau + h dW/dtau + (M s) dl'/dtau.
"""

from __future__ import annotations

import numpy as np

from mme.generalised.laplace import Laplace, directions
from mme.numeric.sums import sum_by_level


def gradients_by_cluster(at: Laplace, cluster: np.ndarray) -> np.ndarray:
    """dF_c by theta, gamma and tau (m, k + p + r) of clusters, whose codes (n,) each level of a block has once."""
    problem, parts, m = at.problem, at.parts(), int(cluster.max()) + 1
    by_theta = np.zeros((at.at.theta.size, m))
    for block, by_T in zip(problem.blocks, parts.by_T, strict=True):
        of_level = np.zeros(block.J, dtype=np.int64)
        of_level[block.codes] = cluster
        for k, D in directions(block, at.at.theta):
            by_theta[k] += np.bincount(of_level, np.einsum("ab,abg->g", D, by_T), minlength=m)
    by_gamma = [sum_by_level(cluster, m, row, parts.c) for row in problem.Q]
    by_tau = [sum_by_level(cluster, m, None, one) for one in parts.by_tau]
    return np.column_stack([*by_theta, *by_gamma, *by_tau])
