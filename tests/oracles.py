"""Tests of fixed effects from dense matrices, straight from their definitions; see ``dense.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.linalg import inv


def kenward_roger(
    X: np.ndarray, V: np.ndarray, parts: list[np.ndarray], L: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Adjusted covariance, degrees of freedom and scale of F for L (Kenward & Roger 1997); V = sum gamma_r parts[r].

    Every product as it is written there; n x n matrices throughout.
    """
    Vinv = inv(V)
    Phi = inv(X.T @ Vinv @ X)
    P_matrix = Vinv - Vinv @ X @ Phi @ X.T @ Vinv
    P = [-X.T @ Vinv @ part @ Vinv @ X for part in parts]
    information = np.array([[np.trace(P_matrix @ r @ P_matrix @ s) for s in parts] for r in parts])
    W = 2 * inv(information)
    inner = np.zeros_like(Phi)
    for r, V_r in enumerate(parts):
        for s, V_s in enumerate(parts):
            Q = X.T @ Vinv @ V_r @ Vinv @ V_s @ Vinv @ X
            inner += W[r, s] * (Q - P[r] @ Phi @ P[s])
    q = len(L)
    Theta = L.T @ inv(L @ Phi @ L.T) @ L
    u = [Theta @ Phi @ one @ Phi for one in P]
    A1 = sum(W[r, s] * np.trace(u[r]) * np.trace(u[s]) for r in range(len(u)) for s in range(len(u)))
    A2 = sum(W[r, s] * np.trace(u[r] @ u[s]) for r in range(len(u)) for s in range(len(u)))
    B = (A1 + 6 * A2) / (2 * q)
    g = ((q + 1) * A1 - (q + 4) * A2) / ((q + 2) * A2)
    denominator = 3 * q + 2 * (1 - g)
    c1, c2, c3 = g / denominator, (q - g) / denominator, (q + 2 - g) / denominator
    E = 1 / (1 - A2 / q)
    variance = (2 / q) * (1 + c1 * B) / ((1 - c2 * B) ** 2 * (1 - c3 * B))
    rho = variance / (2 * E**2)
    df = 4 + (q + 2) / (q * rho - 1)
    return Phi + 2 * Phi @ inner @ Phi, float(df), float(df / (E * (df - 2)))


def satterthwaite(
    variance: Callable[[np.ndarray], np.ndarray],
    y: np.ndarray,
    X: np.ndarray,
    start: np.ndarray,
    L: np.ndarray,
    method: str,
) -> tuple[np.ndarray, np.ndarray]:
    """The minimum of the criterion, by Newton from a start near by, and the degrees of freedom of the rows of L there.

    ``variance(parameters)`` is V / sigma^2. The parameters and sigma stand side by side, as in lmerTest: nothing is
    profiled out. With D = -2 log likelihood, V_i and V_ij the derivatives of V and Q = P by REML, V^-1 by ML,

        D_i  = tr(Q V_i) - y'P V_i P y
        D_ij = tr(Q V_ij) - tr(Q V_i Q V_j) + 2 y'P V_i P V_j P y - y'P V_ij P y
    """

    def full(x: np.ndarray) -> np.ndarray:
        return x[-1] ** 2 * variance(x[:-1])

    def parts(x: np.ndarray) -> tuple[np.ndarray, ...]:
        V_i, V_ij = _matrix_derivatives(full, x)
        Vinv = inv(full(x))
        Phi = inv(X.T @ Vinv @ X)
        P = Vinv - Vinv @ X @ Phi @ X.T @ Vinv
        Q, Py = P if method == "REML" else Vinv, P @ y
        gradient = np.array([np.trace(Q @ one) - Py @ one @ Py for one in V_i])
        k = range(len(x))
        hessian = [
            [
                np.trace(Q @ V_ij[i][j]) - np.trace(Q @ V_i[i] @ Q @ V_i[j])
                + 2 * Py @ V_i[i] @ P @ V_i[j] @ Py - Py @ V_ij[i][j] @ Py
                for j in k
            ]
            for i in k
        ]  # fmt: skip
        rows = L @ Phi @ X.T @ Vinv
        slopes = np.array([np.einsum("mi,ij,mj->m", rows, one, rows) for one in V_i])
        return gradient, np.array(hessian), slopes / np.einsum("mi,ij,mj->m", L, Phi, L)

    Vinv = inv(variance(start))
    r = y - X @ np.linalg.solve(X.T @ Vinv @ X, X.T @ Vinv @ y)
    x = np.append(start, np.sqrt(r @ Vinv @ r / (len(y) - (X.shape[1] if method == "REML" else 0))))
    for _ in range(6):
        gradient, hessian, _ = parts(x)
        x = x - np.linalg.solve(hessian, gradient)
    _, hessian, slopes = parts(x)
    return x[:-1], 2 / np.einsum("im,ij,jm->m", slopes, 2 * inv(hessian), slopes)


def _matrix_derivatives(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> tuple[list[Any], list[list[Any]]]:
    """First and second derivatives of a matrix, entry by entry: central differences of fourth order."""
    h, k = 2e-3, len(x)
    weights = {-2: 1 / 12, -1: -8 / 12, 1: 8 / 12, 2: -1 / 12}

    def along(g: Callable[[np.ndarray], np.ndarray], i: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda at: sum(w * g(at + s * h * np.eye(k)[i]) for s, w in weights.items()) / h

    first = [along(f, i) for i in range(k)]
    return [one(x) for one in first], [[along(first[i], j)(x) for j in range(k)] for i in range(k)]
