r"""Average information: what is left of the working variates V_i P y once X and y are taken out of them.

The mean of the observed and the expected second derivatives of the criterion has no traces (Gilmour, Thompson and
Cullis 1995, Biometrics 51:1440-1450): with F = [V_1 P y, V_2 P y, ...], c and S as in :mod:`mme.derivatives.score`,

    C_ij = c (F'P F - F'P y y'P F / y'P y) + <S, V_ij>,                                                          (AI)

the second term in the bracket only where sigma is profiled out: F'P F without its part along y. Both are one Schur
complement, that of F in Henderson's equations for the columns [X y F], which the factors of one evaluation give. Of
<S, V_ij> it has what the second derivatives of T T' give: a variance of zero shows whether it wants to grow. That of R
is left out, whose expectation is zero at the estimates.
"""

from __future__ import annotations

import numpy as np

from mme.derivatives.score import Score
from mme.engine.absorption import absorb, absorb_nothing
from mme.engine.pls import Evaluation
from mme.numeric.lapack import triangular_solve


def average_information(of: Score) -> np.ndarray:
    """(AI) by theta, then phi (k + r, k + r)."""
    F = working_variates(of)
    p = of.objective.system.p
    FF, FN = _left(of, F)
    taken = triangular_solve(of.uncertainty.estimates.at.border, FN.T, transposed=False)
    if of.objective.constants.sigma is not None:
        taken = taken[:p]
    information = of.c * (FF - taken.T @ taken)
    for part in of.parts:
        information[part.at, part.at] += part.second
    return 0.5 * (information + information.T)


def working_variates(of: Score) -> np.ndarray:
    """V_i P y of whitened records (k + r, n): Z (K (x) H_i) Z'P y, and R_i P y."""
    objective, e = of.objective, of.uncertainty.rows[-1]
    F = np.zeros((of.theta.size, objective.model.n))
    for part in of.parts:
        block, at = objective.blocks[part.block], part.at
        v = of.solved(part.block)[:, :, -1] @ part.A
        b_i = np.einsum("ga,iab->gib", v, part.slopes) @ part.A.T  # J, k_i, q
        for i in range(b_i.shape[1]):
            for a, column in enumerate(block.columns):
                part_i = b_i[:, i, a].take(block.codes)
                F[at.start + i] += part_i if column is None else part_i * column
    structure, phi = objective.model.residual, objective.phi
    if structure is None:
        return F
    v = structure.whiten_transposed(phi, e[None, :])[0]
    return np.vstack([F, structure.whiten(phi, structure.changes(phi, v))])


def _left(of: Score, F: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F'V^-1 F and F'V^-1 N for N = [X y]: (A), then (S), as an evaluation has them for N alone."""
    objective, at = of.objective, of.uncertainty.estimates.at
    system, N = objective.system, objective.basis.N
    one, rows = absorb_nothing(F) if objective.absorbing is None else absorb(objective.absorbing, F)
    Y, Y_N = at.levels.forward(one.levels.V), at.levels.forward(system.absorbed.levels.V)
    flat = Y.reshape(len(F), -1)
    FF, FN = one.NN + flat @ flat.T, rows.N @ N.T + flat @ Y_N.reshape(len(N), -1).T
    if system.rest.m == 0:
        return FF, FN
    R = _remainder(of, rows.N, at, Y)
    return FF - R.T @ R, FN - R.T @ at.R_ZN


def _remainder(of: Score, within: np.ndarray, at: Evaluation, Y: np.ndarray) -> np.ndarray:
    """L^-1 Lambda'Z_2'(I - Z_1 H_1 Z_1')F."""
    rest = of.objective.system.rest
    S = np.concatenate([block.sums(within).reshape(-1, len(within)) for block in rest.blocks])
    S = S + rest.between(at.levels.backward(Y).reshape(len(within), -1).T)
    T = of.objective.factors(of.uncertainty.estimates.theta).rest
    return at.rest.forward(rest.transpose_lambda(S, T))
