r"""Kenward and Roger's adjusted covariance of beta and their F test, as pbkrtest computes them.

V = sum_r gamma_r V_r is linear in the entries of each term's covariance and in sigma^2. With Phi = (X'V^-1 X)^-1,

    P_r = d(X'V^-1 X) / d gamma_r,    Q_rs + Q_sr = second derivatives of X'V^-1 X,
    W = 2 I^-1,    I_rs = tr(P V_r P V_s) = -(second derivatives of log|V| + log|X'V^-1 X|),
    Phi_A = Phi + 2 Phi { sum_rs W_rs (Q_rs - P_r Phi P_s) } Phi                                                  (1)

(Kenward and Roger 1997, Biometrics 53:983; Halekoh and Hojsgaard 2014, J. Stat. Softw. 59(9)). For q contrasts L,
Theta = L'(L Phi L')^-1 L and u_r = Theta Phi P_r Phi,

    A_1 = sum_rs W_rs tr(u_r) tr(u_s),    A_2 = sum_rs W_rs tr(u_r u_s)                                           (2)

give the denominator of F and its scale. Everything is computed where Phi = I and in units of sigma^2.

Where residuals have a structure see ``kenward_roger_residual.py``.

Nothing here depends on where in its cone a covariance lies: a singular fit is as good as any other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mme.derivatives.variance_derivatives import Linear, linear_derivatives
from mme.engine.pls import half_covariance
from mme.errors import MMEError, warn
from mme.fitted.made_dense import made_dense
from mme.fitted.record import Fitted
from mme.inference.fixed.reference import FTest, Reference, independent, reciprocal

# Eigenvalues of the information, scaled to a unit diagonal, that its differences cannot tell from zero.
_FLAT = 1e-6
# A change of X'V^-1 X along a direction that the data leave open, as a share of its parts, that is rounding.
_SLOPE = 1e-5
# Denominators this close to 2 have no scale that pbkrtest trusts.
_NEAR_TWO = 0.01


@dataclass(frozen=True, eq=False)
class KenwardRoger(Reference):
    """Tests by the adjusted covariance (1), on the degrees of freedom of (2).

    ``half`` (p, p) is that of Phi: it turns a contrast into coordinates where Phi = I. ``adjusted`` (p, p) is Phi_A
    there, ``P`` (k, p, p) are the P_r, and ``W`` (k, k) is the covariance of the variance parameters in their units.
    """

    adjusted: np.ndarray
    P: np.ndarray
    W: np.ndarray

    @property
    def cov(self) -> np.ndarray:
        """Phi_A (p, p), the adjusted covariance of the estimates."""
        return np.asarray(self.half.T @ self.adjusted @ self.half)

    def half_of(self, L: np.ndarray) -> np.ndarray:
        """The same of the adjusted covariance."""
        values, vectors = np.linalg.eigh(self.adjusted)
        return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))).T @ (self.half @ L.T))

    def se(self, L: np.ndarray) -> np.ndarray:
        """Standard errors (m,) of the rows of L (m, p), adjusted."""
        z = self.half @ L.T
        return np.asarray(np.sqrt(np.einsum("am,ab,bm->m", z, self.adjusted, z, optimize=True)))

    def df(self, L: np.ndarray) -> np.ndarray:
        """Degrees of freedom (m,) of the rows of L (m, p): 2 / A_2."""
        z = self.half @ L.T
        with np.errstate(invalid="ignore", divide="ignore"):
            z = z / np.linalg.norm(z, axis=0)
            u = np.einsum("am,rab,bm->rm", z, self.P, z, optimize=True)
        return reciprocal(0.5 * np.einsum("rm,rs,sm->m", u, self.W, u))

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """F = scale d'(L Phi_A L')^-1 d / q."""
        along = independent(L, difference, self.half)
        q = along.sd.size
        if q == 0:
            return FTest(np.nan, 0, np.nan)
        N, R = np.linalg.qr(self.half @ L.T @ along.weights.T)
        t = np.linalg.solve(R.T, along.difference)
        wald = t @ np.linalg.solve(N.T @ self.adjusted @ N, t) / q
        u = np.einsum("ai,rab,bj->rij", N, self.P, N, optimize=True)
        traces = np.einsum("rii->r", u)
        A_1 = float(traces @ self.W @ traces)
        A_2 = float(np.einsum("rs,rij,sji->", self.W, u, u, optimize=True))
        df, scale = denominator(A_1, A_2, q)
        return FTest(scale * float(wald), q, df, scale)


def denominator(A_1: float, A_2: float, q: int) -> tuple[float, float]:
    """Degrees of freedom and scale of F, whose mean and variance are then those that (2) implies.

    Equations (7) to (9) of Kenward and Roger, in pbkrtest's form, which stays finite where their V* vanishes.

    Examples
    --------
    One contrast is t^2 on 2 / A_2 degrees of freedom:

    >>> denominator(0.25, 0.25, 1)
    (8.0, 1.0)
    """
    df = float(reciprocal(np.array(0.5 * A_2)))
    if q == 1 or not np.isfinite(df):
        return df, 1.0
    B = (A_1 + 6.0 * A_2) / (2.0 * q)
    g = ((q + 1) * A_1 - (q + 4) * A_2) / ((q + 2) * A_2)
    c = 3.0 * q + 2.0 * (1.0 - g)
    V_0, V_1, V_2 = 1.0 + g / c * B, 1.0 - (q - g) / c * B, 1.0 - (q + 2 - g) / c * B
    mean = 1.0 - A_2 / q
    ratio = 1.0 if max(abs(mean), abs(V_1)) < 1e-14 else mean / V_1
    rho = ratio**2 * V_0 / (q * V_2)
    df = 4.0 + (q + 2) / (q * rho - 1.0)
    return df, 1.0 if abs(df - 2.0) < _NEAR_TWO else df * mean / (df - 2.0)


def kenward_roger(fit: Fitted) -> KenwardRoger:
    """Make the tests of a fit: in closed form, or by 7 k (k + 1) / 2 evaluations and one for k variance parameters.

    Raises
    ------
    MMEError
        The fit is by ML, or a covariance is not linear in its parameters.
    """
    require_reml(fit)
    fit = made_dense(fit, "Kenward and Roger's method")
    objective = fit.objective
    half = half_covariance(fit.estimates.at.border, objective.basis.R_inverse)
    fit.objective.plan.require_factor("Kenward and Roger's method")
    by_H = linear_derivatives(fit.estimates.in_axes, fixed=fit.theta_given)
    P, Q, L = _with_sigma(by_H, objective.constants.n)
    if objective.model.sigma is not None:
        P, Q, L = P[:-1], Q[:-1, :-1], L[:-1, :-1]
    information = -L - np.einsum("rsaa->rs", Q) + np.einsum("rab,sba->rs", P, P)
    W = _twice_inverse(information, P, Q)
    U = 0.5 * np.einsum("rs,rsab->ab", W, Q) - np.einsum("rs,rab,sbc->ac", W, P, P, optimize=True)
    return KenwardRoger(fit.estimates.beta, fit.sigma * half, np.eye(len(half)) + 2.0 * U, P, W)


def require_reml(fit: Fitted) -> None:
    """Refuse a fit by ML."""
    if fit.method != "REML":
        raise MMEError("Kenward and Roger's method is for REML; refit with method='REML', or use ddf='satterthwaite'")


def _with_sigma(by_H: Linear, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P_r, Q_rs + Q_sr and the second derivatives of log|V|, sigma^2 as the last parameter.

    V = s (I + Z (G / s) Z') with G = sum gamma_i D_i: functions of x = gamma / s become functions of (gamma, s) by
    the chain rule, at s = 1.
    """
    x, C_i, C_ij = by_H.x, by_H.C_i, by_H.C_ij
    k, p = x.size, C_i.shape[1]
    xC, xCx = np.einsum("i,iab->ab", x, C_i), np.einsum("i,ijab->jab", x, C_ij)
    P, Q, L = np.empty((k + 1, p, p)), np.empty((k + 1, k + 1, p, p)), np.empty((k + 1, k + 1))
    P[:k], P[k] = C_i, -(np.eye(p) + xC)
    Q[:k, :k], Q[k, :k] = C_ij, -(2.0 * C_i + xCx)
    Q[:k, k], Q[k, k] = Q[k, :k], 2.0 * np.eye(p) + 4.0 * xC + np.einsum("i,iab->ab", x, xCx)
    L[:k, :k], L[k, :k] = by_H.L_ij, -(by_H.L_i + by_H.L_ij @ x)
    L[:k, k], L[k, k] = L[k, :k], -n + 2.0 * x @ by_H.L_i + x @ by_H.L_ij @ x
    return P, Q, L


def _twice_inverse(information: np.ndarray, P: np.ndarray, Q: np.ndarray) -> np.ndarray:
    """W; NaN where the data do not tell the variance parameters apart, unless X'V^-1 X does not either."""
    size = np.sqrt(np.abs(np.diag(information)))
    if not information.size:
        return information
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = information / np.outer(size, size)
    if np.isfinite(scaled).all():
        values, vectors = np.linalg.eigh(scaled)
        flat = vectors[:, values < _FLAT] / size[:, None]
        if _is_nothing(flat, P) and _is_nothing(flat, Q):
            V = vectors[:, values >= _FLAT] / size[:, None]
            return np.asarray(2.0 * (V / values[values >= _FLAT]) @ V.T)
    warn(
        "Kenward and Roger's tests are not determined: the data do not tell the variances apart; they are NaN. "
        "Simplify the random part"
    )
    return np.full_like(information, np.nan)


def _is_nothing(flat: np.ndarray, derivatives: np.ndarray) -> bool:
    """Whether derivatives (k, ...) vanish along directions (k, f)."""
    along, sizes = (np.tensordot(c.T, d, 1) for c, d in ((flat, derivatives), (np.abs(flat), np.abs(derivatives))))
    return bool(np.linalg.norm(along) <= _SLOPE * np.linalg.norm(sizes))
