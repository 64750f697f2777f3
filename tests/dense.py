"""The oracle: a linear mixed model by dense n x n matrices, straight from its definition.

    y = X beta + Z b + e,    b ~ N(0, G),    e ~ N(0, R),    V = Z G Z' + R

Slow and obvious on purpose: whatever the library computes cleverly must equal this. Nothing here is ever optimised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from numpy.linalg import inv, slogdet
from scipy.linalg import block_diag

Block = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class DenseFit:
    """Everything at given theta, in the user's units; the columns of Z level-major, blocks one after the other."""

    criterion: float  # -2 log-likelihood (restricted, without the |X'X| term, by REML), all constants included
    loglik: float
    sigma: float  # residual SD
    beta: np.ndarray  # (p,) BLUE
    beta_cov: np.ndarray  # (p, p)
    b: np.ndarray  # (q,) BLUP
    condvar: np.ndarray  # (q, q) var(b | y) at given beta
    pev: np.ndarray  # (q, q) var(b_hat - b)
    G: np.ndarray  # (q, q) var(b)
    V: np.ndarray  # (n, n) var(y)


def dense_fit(
    y: np.ndarray,
    X: np.ndarray,
    blocks: list[Block],
    w: np.ndarray | None = None,
    method: str = "REML",
    sigma: float | None = None,
) -> DenseFit:
    """Solve the model at given variance ratios.

    Parameters
    ----------
    y : (n,) array
        Response, any offset already subtracted.
    X : (n, p) array of full column rank
    blocks : list of (Z, T, K)
        One per term: Z (n, J q) level-major, T (q, q) relative covariance factor, K (J, J) relationship or None for
        the identity; var(b) = sigma^2 K (x) T T'.
    w : (n,) array, optional
        Prior weights: var(e_i) = sigma^2 / w_i.
    method : "REML" or "ML"
    sigma : float, optional
        Residual SD; None profiles it out.
    """
    n, p = X.shape
    w = np.ones(n) if w is None else w
    dof = n - p if method == "REML" else n

    Z = np.hstack([np.zeros((n, 0)), *(Z for Z, _, _ in blocks)])
    G = block_diag(np.zeros((0, 0)), *(_kron(K, T @ T.T, Z.shape[1]) for Z, T, K in blocks))  # relative to sigma^2
    V = Z @ G @ Z.T + np.diag(1 / w)
    Vinv = inv(V)
    XVX = X.T @ Vinv @ X
    beta = inv(XVX) @ X.T @ Vinv @ y
    r = y - X @ beta
    rVr = r @ Vinv @ r
    sigma = np.sqrt(rVr / dof) if sigma is None else sigma
    P = Vinv - Vinv @ X @ inv(XVX) @ X.T @ Vinv

    criterion = dof * np.log(2 * np.pi * sigma**2) + slogdet(V)[1] + rVr / sigma**2
    if method == "REML":
        criterion += slogdet(XVX)[1]
    return DenseFit(
        criterion=float(criterion),
        loglik=float(-criterion / 2),
        sigma=float(sigma),
        beta=beta,
        beta_cov=sigma**2 * inv(XVX),
        b=G @ Z.T @ Vinv @ r,
        condvar=sigma**2 * (G - G @ Z.T @ Vinv @ Z @ G),
        pev=sigma**2 * (G - G @ Z.T @ P @ Z @ G),
        G=sigma**2 * G,
        V=sigma**2 * V,
    )


def exact_fit(
    y: np.ndarray,
    X: np.ndarray,
    blocks: list[Block],
    w: np.ndarray | None = None,
    method: str = "REML",
    sigma: float | None = None,
    digits: int = 60,
) -> tuple[float, float, np.ndarray]:
    """Return the criterion, sigma and beta of `dense_fit`, computed with that many digits; for n up to about 60.

    The given doubles are taken as exact. With V = L L', the Cholesky factor of [X y]' V^-1 [X y] is
    [[RX', 0], [cu', s]]: RX'RX = X'V^-1 X, RX beta = cu, s^2 = r'V^-1 r.
    """
    with mp.workdps(digits):
        n, p = X.shape
        dof = n - p if method == "REML" else n
        V = mp.diag([1 / mp.mpf(float(wi)) for wi in (np.ones(n) if w is None else w)])
        for Z, T, K in blocks:
            Zm, Tm = _exact(Z), _exact(T)
            V += Zm * _exact_kron(K, Tm * Tm.T, Z.shape[1]) * Zm.T
        L = mp.cholesky(V)
        A = _forward(L, _exact(np.column_stack([X, y])))
        R = mp.cholesky(A.T * A)
        s2 = R[p, p] ** 2
        sigma2 = s2 / dof if sigma is None else mp.mpf(float(sigma)) ** 2
        criterion = dof * mp.log(2 * mp.pi * sigma2) + 2 * _log_diagonal(L, n) + s2 / sigma2
        if method == "REML":
            criterion += 2 * _log_diagonal(R, p)
        beta = mp.lu_solve(R[:p, :p].T, R[p, :p].T)
        return float(criterion), float(mp.sqrt(sigma2)), np.array([float(x) for x in beta])


def lower_factor(theta: Any, q: int) -> np.ndarray:
    """Fill T (q, q) from the theta of one term: lower triangle by columns, lme4's order.

    >>> lower_factor([1, 2, 3], 2).tolist()
    [[1.0, 0.0], [2.0, 3.0]]
    """
    T = np.zeros((q, q))
    T.T[np.triu_indices(q)] = theta
    return T


def design(groups: Any, covariates: np.ndarray | None = None) -> np.ndarray:
    """Build Z (n, J q) of one term, level-major, levels sorted; covariates (n, q), None for a column of ones.

    >>> design(["b", "a"], np.array([[1.0, 5.0], [1.0, 7.0]])).tolist()
    [[0.0, 0.0, 1.0, 5.0], [1.0, 7.0, 0.0, 0.0]]
    """
    levels, codes = np.unique(np.asarray(groups), return_inverse=True)
    U = np.ones((codes.size, 1)) if covariates is None else covariates
    Z = np.zeros((codes.size, levels.size, U.shape[1]))
    Z[np.arange(codes.size), codes] = U
    return Z.reshape(codes.size, -1)


def _kron(K: np.ndarray | None, S: np.ndarray, columns: int) -> np.ndarray:
    return np.kron(np.eye(columns // S.shape[0]) if K is None else K, S)


def _exact(A: np.ndarray) -> Any:
    return mp.matrix(np.asarray(A, dtype=float).tolist())


def _exact_kron(K: np.ndarray | None, S: Any, columns: int) -> Any:
    q = S.rows
    J = columns // q
    Km = mp.eye(J) if K is None else _exact(K)
    return mp.matrix([[Km[i // q, j // q] * S[i % q, j % q] for j in range(columns)] for i in range(columns)])


def _forward(L: Any, B: Any) -> Any:
    """L^-1 B, L lower triangular."""
    A = B.copy()
    for i in range(L.rows):
        for j in range(B.cols):
            A[i, j] = (B[i, j] - mp.fdot((L[i, k], A[k, j]) for k in range(i))) / L[i, i]
    return A


def _log_diagonal(L: Any, size: int) -> Any:
    return mp.fsum(mp.log(L[i, i]) for i in range(size))
