r"""How cov(beta) changes with the variances, to second order, by the working variates of one evaluation.

With k = V^-1 X L_X^-T, so that X'V^-1 X is the identity in the coordinates of k, and P of :mod:`uncertainty`,

    P_i = -k'V_i k,        D_ij = k'V_i P V_j k = Q_ij - P_i P_j,        d log y'Py = -y'P V_i P y / y'Py         (D)

(Kenward and Roger 1997, Biometrics 53:983-997), V in units of sigma^2, by theta and then phi. V_i k are what
:mod:`mme.derivatives.average` has for P y, column by column: nothing of size n x n is made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.derivatives.average import left_of, working_variates
from mme.derivatives.score import Score, has_score, score
from mme.derivatives.uncertainty import Meetings
from mme.numeric.differences import slopes
from mme.numeric.lapack import triangular_solve
from mme.solution.estimates import Estimates


@dataclass(frozen=True, eq=False)
class Adjusted:
    """(D): ``P`` (k, p, p), ``D`` (k, k, p, p) and ``log_pwrss`` (k,) by (theta, phi)."""

    score: Score
    P: np.ndarray
    D: np.ndarray
    log_pwrss: np.ndarray

    @property
    def half(self) -> np.ndarray:
        """The triangle (p, p) whose coordinates these are in."""
        p = self.score.objective.system.p
        return np.asarray(self.score.uncertainty.estimates.at.border[:p, :p])


def adjusted(origin: Estimates) -> Adjusted | None:
    """(D) at the estimates; None where the score is not to be had in closed form."""
    of = score(origin.objective, origin.theta, Meetings()) if has_score(origin.objective) else None
    if of is None:
        return None
    p, k = origin.objective.system.p, origin.theta.size + origin.objective.phi.size
    each = [working_variates(of, column) for column in [*range(p), -1]]
    F, V = (np.concatenate(parts) for parts in zip(*each, strict=True))
    FF, FN = left_of(of, F, V)
    border = of.uncertainty.estimates.at.border
    taken = triangular_solve(border, FN.T, transposed=False).reshape(p + 1, p + 1, k)  # of [X y], by column, by i
    within = taken[:p, :p].reshape(p, p * k)
    D = (FF[: p * k, : p * k] - within.T @ within).reshape(p, k, p, k).transpose(1, 3, 0, 2)
    return Adjusted(of, -taken[:p, :p].transpose(2, 0, 1), D, -taken[p, p] / border[p, p])


def curvature_of_residuals(of: Adjusted, W: np.ndarray) -> np.ndarray:
    r"""sum_ij W_ij k'R_ij k (p, p), R_ij by sigma^2 and the natural parameters of R, W (r + 1, r + 1) by (phi, log s).

    With psi(phi, log s) these parameters and M = k'(s R)k at fixed k, second derivatives by psi are those by the
    coordinates less what the bend of psi makes of the first:

        M_psi = M_ij - sum_l c_l M_l,        c = (d psi)^-1 d^2 psi.

    A standard deviation relative to sigma counts as the variance s sd^2, as SAS has its parameters.
    """
    objective, p = of.score.objective, of.P.shape[1]
    structure, phi = objective.model.residual, objective.phi
    assert structure is not None
    r = phi.size
    k = structure.whiten_transposed(phi, of.score.uncertainty.rows[:p])
    scaled = np.array([name.startswith("sd.") for name in structure.names], dtype=bool)

    def values(x: np.ndarray) -> np.ndarray:
        natural = structure.natural(x)
        M = structure.multiplied(x, k) @ k.T
        return np.concatenate([M.ravel(), np.where(scaled, natural**2, natural)])

    here, first = values(phi), slopes(values, phi)
    second = slopes(lambda x: slopes(values, x).ravel(), phi).reshape(r, r, p * p + r)
    _, M_l, M_ij = _with_log_scale(here[: p * p], first[:, : p * p], second[:, :, : p * p])
    _, psi_l, psi_ij = _with_log_scale(here[p * p :], first[:, p * p :], second[:, :, p * p :])
    fixed = ~scaled  # psi_m that sigma^2 does not multiply
    psi_l[r, fixed], psi_ij[r, :, fixed], psi_ij[:, r, fixed] = 0.0, 0.0, 0.0
    jacobian = np.column_stack([psi_l, np.eye(r + 1)[r]])  # by coordinate, of psi and s
    bend = np.concatenate([psi_ij, np.zeros((r + 1, r + 1, 1))], axis=2)
    bend[r, r, r] = 1.0
    c = np.linalg.solve(jacobian.T, bend.reshape(-1, r + 1).T).T.reshape(r + 1, r + 1, r + 1)
    M_psi = M_ij - np.einsum("ijl,lm->ijm", c, M_l)
    return np.asarray(np.einsum("ij,ijm->m", W, M_psi[: len(W), : len(W)]).reshape(p, p))


def _with_log_scale(
    value: np.ndarray, first: np.ndarray, second: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Derivatives of s f(phi) by (phi, log s) at s = 1 from those of f."""
    r = len(first)
    more = np.empty((r + 1, r + 1, value.size))
    more[:r, :r], more[r, :r], more[:r, r], more[r, r] = second, first, first, value
    return value, np.concatenate([first, value[None]]), more
