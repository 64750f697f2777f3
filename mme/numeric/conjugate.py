"""Preconditioned conjugate gradients for many right-hand sides side by side, and the quadrature that they carry.

Every column is a solve of its own (Hestenes and Stiefel 1952); the columns share the products with A, which are what
costs. The steps alpha and directions beta of a column are the tridiagonal T of Lanczos in the preconditioned space,

    T_kk = 1 / alpha_k + beta_(k-1) / alpha_(k-1),      T_(k,k+1) = sqrt(beta_k) / alpha_k,

so that b'P^-1/2 f(P^-1/2 A P^-1/2) P^-1/2 b = b'P^-1 b e_1'f(T)e_1 but for what the solve leaves (Golub and Meurant
2010, Matrices, Moments and Quadrature).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# A product of a matrix with columns (m, c).
Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class IteratedSolve:
    """x (m, c) of A x = b, the steps that it took, and the largest relative residual in the preconditioner's norm.

    ``alpha`` and ``beta`` (iterations, c) are zero where a column has ended; ``length`` (c,) is b'P^-1 b.
    """

    x: np.ndarray
    residual: float
    alpha: np.ndarray
    beta: np.ndarray
    length: np.ndarray

    @property
    def iterations(self) -> int:
        """Products with A."""
        return len(self.alpha)

    def forms(self, f: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """b'P^-1/2 f(P^-1/2 A P^-1/2) P^-1/2 b of every column (c,), of solves that began at zero."""
        out = np.zeros(self.length.size)
        for j, (alpha, beta) in enumerate(zip(self.alpha.T, self.beta.T, strict=True)):
            k = int(np.count_nonzero(alpha))
            if k:
                diagonal = 1.0 / alpha[:k]
                diagonal[1:] += beta[: k - 1] / alpha[: k - 1]
                T, beside = np.diag(diagonal), np.sqrt(beta[: k - 1]) / alpha[: k - 1]
                values, vectors = np.linalg.eigh(T + np.diag(beside, -1))  # the lower triangle is read
                out[j] = self.length[j] * float(vectors[0] ** 2 @ f(values))
        return out


def conjugate_gradients(
    A: Product, precondition: Product, b: np.ndarray, *, tolerance: float, most: int, start: np.ndarray | None = None
) -> IteratedSolve:
    """Solve A x = b (m, c) for symmetric positive definite A and P, until no column has a residual above tolerance.

    The norm is r'P^-1 r, relative to that of b. No more than ``most`` products are made: see the residual.

    Examples
    --------
    >>> A = np.array([[4.0, 1.0], [1.0, 3.0]])
    >>> found = conjugate_gradients(lambda v: A @ v, lambda v: v, np.array([[1.0], [2.0]]), tolerance=1e-12, most=9)
    >>> found.x.round(6).ravel().tolist(), found.iterations
    ([0.090909, 0.636364], 2)
    >>> float(found.forms(np.log)[0].round(6)) == float(np.round(_form_of_log(A, np.array([1.0, 2.0])), 6))
    True
    """
    z = precondition(b)
    length = np.einsum("ij,ij->j", b, z)
    x = np.zeros_like(b) if start is None else start.copy()
    r = b.copy() if start is None else b - A(x)
    if start is not None:
        z = precondition(r)
    p, size = z, np.einsum("ij,ij->j", r, z)
    enough = tolerance**2 * length
    alphas, betas = list[np.ndarray](), list[np.ndarray]()
    while (size > enough).any() and len(alphas) < most:
        q = A(p)
        along = np.einsum("ij,ij->j", p, q)
        going = (size > enough) & (along > 0.0)
        if not going.any():
            break
        alpha = np.divide(size, along, out=np.zeros_like(size), where=going)
        x += alpha * p
        r -= alpha * q
        z = precondition(r)
        left = np.einsum("ij,ij->j", r, z)
        beta = np.divide(left, size, out=np.zeros_like(size), where=going & (size > 0.0))
        p = z + beta * p
        size = np.where(going, left, size)
        alphas.append(alpha)
        betas.append(beta)
    residual = float(np.sqrt(np.max(size / np.where(length > 0.0, length, 1.0), initial=0.0)))
    shape = (len(alphas), b.shape[1])
    return IteratedSolve(x, residual, np.reshape(alphas, shape), np.reshape(betas, shape), length)


def _form_of_log(A: np.ndarray, b: np.ndarray) -> float:
    """b'log(A) b."""
    values, vectors = np.linalg.eigh(A)
    return float((vectors.T @ b) ** 2 @ np.log(values))
