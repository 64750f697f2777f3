r"""Covariances of beta that hold whatever the covariance within clusters: the sandwich, and its small-sample forms.

With W_c = V_c^-1, M = (X'V^-1 X)^-1, e = y - X beta_hat and clusters c that the model holds independent,

    cov(beta_hat) = M { sum_c X_c'W_c A_c e_c e_c'A_c'W_c X_c } M                                                 (S)

    CR0   A = I                              CR1   A = sqrt(m / (m - 1)),  m clusters
    CR1S  A = sqrt(m (n - 1) / ((m - 1) (n - p)))
    CR2   A = D'{ D (V_c - X_c M X_c') D' }^(-1/2) D,  V_c = D'D: unbiased where V is right
    CR3   A = (I - X_c M X_c'W_c)^-1: the jackknife

(Liang and Zeger 1986, Biometrika 73:13; Bell and McCaffrey 2002, Survey Methodology 28:169; Pustejovsky and Tipton
2018, J. Bus. Econ. Stat. 36:672). Degrees of freedom are Satterthwaite's under the model: with p_c = A_c'W_c X_c M l
the estimated variance of l'beta is sum_c (p_c'e_c)^2, a quadratic form of mean tr Omega and variance 2 tr Omega^2,

    Omega_cd = p_c'(V - X M X')_cd p_d,        df = (tr Omega)^2 / tr Omega^2                                     (F)

F of several rows is Hotelling's T^2 on the degrees of freedom that the same moments give (their HTZ).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mme.errors import MMEError
from mme.fitted.common import require_records
from mme.fitted.made_dense import made_dense
from mme.fitted.record import Fitted
from mme.inference.fixed.reference import FTest, Reference, independent, reciprocal
from mme.numeric.memory import require
from mme.solution.marginal import by_cluster, require_independent
from mme.tables.arguments import is_word
from mme.tables.arrays import shown

KINDS = ("CR0", "CR1", "CR1S", "CR2", "CR3")
# Eigenvalues of what X leaves of a cluster's variance, as shares of this, that are rounding: X fits these.
_FITTED = 1e-10


@dataclass(frozen=True, eq=False)
class Robust(Reference):
    """Tests by (S) and (F).

    ``a`` (m, p, p) and ``b`` (m, p, p) give p_c'V_c p_c = l'a_c l and X_c'p_c = b_c l of each cluster; ``M_half``
    (p, p) with M = M_half M_half'.
    """

    a: np.ndarray
    b: np.ndarray
    M_half: np.ndarray
    normal: bool
    has_mean_squares: ClassVar[bool] = False

    def df(self, L: np.ndarray) -> np.ndarray:
        """(F) of the rows of L (m, p)."""
        if self.normal:
            return np.full(len(L), np.inf)
        return np.array([self._of_row(row) for row in L])

    def _of_row(self, row: np.ndarray) -> float:
        own, U = row @ self.a @ row, self.b @ row @ self.M_half
        length = (U**2).sum(axis=1)
        squares = (own**2).sum() - 2.0 * own @ length + ((U.T @ U) ** 2).sum()
        if not squares > 0.0:
            return float("nan")
        return float(reciprocal(np.array(squares / (own - length).sum() ** 2)))

    def f_test(self, L: np.ndarray, difference: np.ndarray) -> FTest:
        """Hotelling's T^2: F = (eta - q + 1) / (eta q) d'(L cov L')^-1 d on q and eta - q + 1."""
        along = independent(L, difference, self.half)
        q = along.sd.size
        if self.normal or q == 0:
            return FTest(along.F, q, np.inf)
        eta = self._of_rows(along.weights @ L)
        if not eta > q - 1.0:
            return FTest(along.F, q, np.nan)
        return FTest(along.F * (eta - q + 1.0) / eta, q, eta - q + 1.0)

    def _of_rows(self, L: np.ndarray) -> float:
        """eta = q (q + 1) / sum_st var(d_st), d the estimated covariance where its expectation is I.

        Blocks Gamma_cd = S_c - U_c U_d' for c = d, else - U_c U_d': var d is the sum of (tr Gamma)^2 + tr Gamma^2.
        """
        q = len(L)
        S, U = L @ self.a @ L.T, (L @ self.b.transpose(0, 2, 1)) @ self.M_half
        values, vectors = np.linalg.eigh((S - U @ U.transpose(0, 2, 1)).sum(axis=0))
        if not values[0] > 0.0:
            return float("nan")
        root = vectors / np.sqrt(values)
        S, U = root.T @ S @ root, root.T @ U
        G, own = U @ U.transpose(0, 2, 1), S - U @ U.transpose(0, 2, 1)
        T = np.einsum("cax,cby->axby", U, U, optimize=True)
        total = (T**2).sum() + np.einsum("axby,bxay->", T, T)
        return float(q * (q + 1) / (total - _moments(G) + _moments(own)))


def _moments(blocks: np.ndarray) -> float:
    """sum_c (tr B_c)^2 + tr B_c^2."""
    return float((np.einsum("cii->c", blocks) ** 2).sum() + np.einsum("cij,cji->", blocks, blocks))


def robust(fit: Fitted, kind: str, cluster: np.ndarray, title: str, *, normal: bool = False) -> Robust:
    """The tests by (S), clusters by codes (n,); ``normal``: on infinite degrees of freedom.

    Raises
    ------
    MMEError
        The kind is not known, clusters are few or not independent in the model.
    """
    if not is_word(kind, KINDS):
        raise MMEError(f"robust must be one of {', '.join(map(repr, KINDS))}, got {shown(kind)}")
    require_records(fit, "robust=")
    fit = made_dense(fit, "robust=")
    require_independent(fit.model, cluster, title)
    m, n, p = int(cluster.max()) + 1, fit.model.n, fit.basis.kept.size
    if m < 2:
        raise MMEError(f"robust='{kind}' needs two clusters or more, and {title} has one")
    require(24 * m * p**2, f"robust='{kind}' of {p:,} columns of X and {m:,} clusters needs")
    factor = {"CR1": m / (m - 1.0), "CR1S": m * (n - 1.0) / ((m - 1.0) * (n - p))}.get(kind, 1.0)
    half, X, residual = fit.estimates.half, fit.model.X[:, fit.basis.kept], _residual(fit)
    scores, a, b = np.empty((m, p)), np.empty((m, p, p)), np.empty((m, p, p))
    for members, V in by_cluster(fit.estimates, cluster):
        at, X_c = cluster[members[:, 0]], X[members]
        A = _ADJUSTED.get(kind, _as_it_is)(V, X_c, X_c @ half.T)
        P = A.transpose(0, 2, 1) @ np.linalg.solve(V, X_c) @ (half.T @ half)  # p_c = P_c l
        scores[at] = np.einsum("csp,cs->cp", P, residual[members])
        a[at], b[at] = P.transpose(0, 2, 1) @ V @ P, X_c.transpose(0, 2, 1) @ P
    root = np.asarray(np.linalg.qr(np.sqrt(factor) * scores, mode="r"))
    return Robust(fit.estimates.beta, root, a, b, half.T, normal)


def _residual(fit: Fitted) -> np.ndarray:
    """y - X beta of the records, whatever their random effects."""
    return np.asarray(fit.model.y - fit.estimates.population)


def _as_it_is(V: np.ndarray, X: np.ndarray, half: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.eye(V.shape[1]), V.shape)


def _bias_reduced(V: np.ndarray, X: np.ndarray, half: np.ndarray) -> np.ndarray:
    """CR2's A of clusters (C, s, s); ``half`` (C, s, p) with X M X' = half half'."""
    D = np.linalg.cholesky(V).transpose(0, 2, 1)
    left = D @ (V - half @ half.transpose(0, 2, 1)) @ D.transpose(0, 2, 1)
    whole = (V**2).sum(axis=(1, 2))  # the sum of the eigenvalues of D V D'
    return np.asarray(D.transpose(0, 2, 1) @ _power(left, -0.5, whole) @ D)


def _jackknife(V: np.ndarray, X: np.ndarray, half: np.ndarray) -> np.ndarray:
    """CR3's A = D'{I - D'^-1 X M X' D^-1}^-1 D'^-1; a generalised inverse where a cluster determines a coefficient."""
    lower = np.linalg.cholesky(V)
    beside = np.linalg.solve(lower, half)
    left = np.eye(V.shape[1]) - beside @ beside.transpose(0, 2, 1)
    A = lower @ _power(left, -1.0, np.ones(len(V)))
    return np.asarray(np.linalg.solve(lower.transpose(0, 2, 1), A.transpose(0, 2, 1)).transpose(0, 2, 1))


def _power(left: np.ndarray, exponent: float, whole: np.ndarray) -> np.ndarray:
    """Powers of what X leaves of variances (C, s, s); zero in directions that X fits, beside the ``whole`` (C,)."""
    values, vectors = np.linalg.eigh(left)
    kept = values > _FITTED * whole[:, None]
    power = np.where(kept, np.where(kept, values, 1.0) ** exponent, 0.0)
    return np.asarray((vectors * power[:, None, :]) @ vectors.transpose(0, 2, 1))


_ADJUSTED: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "CR2": _bias_reduced,
    "CR3": _jackknife,
}
