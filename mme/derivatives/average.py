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

from mme.derivatives.relationships import relationship_variates
from mme.derivatives.score import Score
from mme.derivatives.whole import WholeUncertainty, matrix_of
from mme.engine.absorption import absorb, absorb_nothing
from mme.engine.pls import Evaluation
from mme.engine.remainder import sums_within
from mme.numeric.lapack import triangular_solve


def average_information(of: Score) -> np.ndarray:
    """(AI) by theta, then phi (k + r, k + r)."""
    p = of.objective.system.p
    FF, FN = left_of(of, *working_variates(of))
    taken = triangular_solve(of.uncertainty.estimates.at.border, FN.T, transposed=False)
    if of.objective.constants.sigma is not None:
        taken = taken[:p]
    information = of.c * (FF - taken.T @ taken)
    for part in of.parts:
        information[part.at, part.at] += part.second
    return 0.5 * (information + information.T)


def working_variates(of: Score, column: int = -1) -> tuple[np.ndarray, np.ndarray]:
    """V_i P y of whitened records: Z (K (x) H_i) Z'P y, and R_i P y; as rows (k + r, n), and by the absorbed levels.

    Of another ``column`` V_i k, k = V^-1 X L_X^-T of (P).

    Those of the absorbed block are Z_g b = Q_g R_g b of its levels: R_g b (k + r, q, J) stands for them, their rows are
    zero.
    """
    objective, structure, phi = of.objective, of.objective.model.residual, of.objective.phi
    k = of.theta.size + phi.size
    F, R = np.zeros((k, objective.model.n)), objective.system.absorbed.levels.R
    V = np.zeros((k, R.shape[0], R.shape[2]))
    for part in of.parts:
        block, at = objective.blocks[part.block], part.at
        v = of.solved(part.block)[:, :, column] @ part.A
        b_i = part.A @ np.tensordot(part.slopes, v.T, 1)  # k_i, q, J
        if part.block == objective.plan.absorb:
            V[at] = np.einsum("rqg,iqg->irg", R, b_i)
            continue
        if isinstance(of.uncertainty, WholeUncertainty):
            Z = of.uncertainty.matrices[part.block]
            F[at] += np.asarray(Z @ b_i.transpose(2, 1, 0).reshape(Z.shape[1], -1)).T
            continue
        for a, covariate in enumerate(block.columns):
            part_i = b_i[:, a][:, block.codes]
            F[at] += part_i if covariate is None else part_i * covariate
    for one in of.relationships:
        Z = matrix_of(objective.blocks[one.block], objective.model.n)
        b = relationship_variates(one, of.uncertainty, column)
        F[one.at] += np.asarray(Z @ b.transpose(2, 1, 0).reshape(Z.shape[1], -1)).T
    if structure is not None:
        v = structure.whiten_transposed(phi, of.uncertainty.rows[[column]])[0]
        F[of.theta.size :] = structure.whiten(phi, structure.changes(phi, v))
    return F, V


def left_of(of: Score, F: np.ndarray, V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """F'V^-1 F and F'V^-1 N for N = [X y]: (A), then (S), as an evaluation has them for N alone."""
    objective, at = of.objective, of.uncertainty.estimates.at
    system, absorbing, some = objective.system, objective.absorbing, np.flatnonzero(F.any(axis=1))
    FF, FN, C = np.zeros((len(F), len(F))), np.zeros((len(F), system.p + 1)), np.zeros((system.rest.m, len(F)))
    if some.size:
        one, rows = absorb_nothing(F[some]) if absorbing is None else absorb(absorbing, F[some])
        V[some] += one.levels.V
        FF[np.ix_(some, some)], FN[some] = one.NN, objective.basis.beside(rows.N)
        C[:, some] = sums_within(system.rest.blocks, rows)
    Y, Y_N = at.levels.forward(V), at.levels.forward(system.absorbed.levels.V)
    flat = Y.reshape(len(F), -1)
    FF += flat @ flat.T
    FN += flat @ Y_N.reshape(len(FN.T), -1).T
    if system.rest.m == 0:
        return FF, FN
    R = _remainder(of, C, at, Y)
    return FF - R.T @ R, FN - R.T @ at.R_ZN


def _remainder(of: Score, C: np.ndarray, at: Evaluation, Y: np.ndarray) -> np.ndarray:
    """L^-1 Lambda'Z_2'(I - Z_1 H_1 Z_1')F, of C = Z_2'(I - QQ')F (m, k)."""
    rest = of.objective.system.rest
    S = C + rest.between(at.levels.backward(Y).reshape(len(Y), -1).T)
    T = of.objective.factors(of.uncertainty.estimates.theta).rest
    return at.rest.forward(rest.transpose_lambda(S, T))
