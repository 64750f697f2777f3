"""The lowest criterion that many starts find: dense n x n matrices, exact gradients, all starts at once.

Records are whitened by their weights, X is orthonormal, the response its residual of unit length, and the columns of an
unstructured term orthonormal over all records. With B_i = Z_t (I (x) D_i) Z_t' of the entries D_i of each H_t,

    V = I + sum_i h_i B_i,      f = log|V| + [log|X'V^-1 X|] + d log(r'P r),      H_t = T_t T_t',
    df/dh_i = <Q - (d / r'P r) P r r'P, B_i>,      Q = P by REML and V^-1 by ML.

Starts lie over many sizes of the variances, some on the faces where columns of T are zero, which f is even in: descent
from a face stays on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dense import design

from mme.covariance.entries import FreeEntries
from mme.model.problem import Model

# A step of no more than this on the criterion ends a descent.
_SMALL = 1e-10
_ROUNDS = 80
# Descents go no further than this, where the dense V still has digits; what falls is followed further.
FARTHEST = 1e4


@dataclass(frozen=True, eq=False)
class Term:
    """A term's place in theta: entries (``rows``, ``cols``) of T, T_user T_user' = ``back`` T T' back'."""

    q: int
    rows: np.ndarray
    cols: np.ndarray
    back: np.ndarray


@dataclass(frozen=True, eq=False)
class Dense:
    """What theta does not change: X (n, p), r (n,), B (h, n, n) and the terms; f is infinite beyond ``farthest``."""

    X: np.ndarray
    r: np.ndarray
    B: np.ndarray
    terms: tuple[Term, ...]
    reml: bool
    farthest: float = FARTHEST

    @property
    def k(self) -> int:
        return sum(term.rows.size for term in self.terms)

    def f(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The criterion (S,) and its gradient (S, k) at thetas (S, k); infinite where V would have no digits."""
        n, p = self.X.shape
        near = np.abs(theta).max(axis=1) <= self.farthest
        theta = np.where(near[:, None], theta, 0.0)
        Ts = self.factors(theta)
        h = np.concatenate([_entries(T @ T.transpose(0, 2, 1)) for T in Ts], axis=1)
        V = (h @ self.B.reshape(len(self.B), -1)).reshape(-1, n, n)
        V[:, np.arange(n), np.arange(n)] += 1.0
        try:
            inverse = np.linalg.inv(V)
            VX = inverse @ self.X
            C = self.X.T @ VX
            CX = np.linalg.solve(C, VX.transpose(0, 2, 1))
        except np.linalg.LinAlgError:
            return np.full(len(theta), np.inf), np.zeros(theta.shape)
        logdet = np.linalg.slogdet(V)[1]
        P = inverse - VX @ CX
        Pr = P @ self.r
        s = np.maximum(Pr @ self.r, 1e-300)
        d = n - p if self.reml else n
        value = logdet + d * np.log(s)
        if self.reml:
            value = value + np.linalg.slogdet(C)[1]
        D = (P if self.reml else inverse) - (d / s)[:, None, None] * Pr[:, :, None] * Pr[:, None, :]
        slopes = D.reshape(len(D), -1) @ self.B.reshape(len(self.B), -1).T
        gradient, start = [], 0
        for term, T in zip(self.terms, Ts, strict=True):
            count = term.q * (term.q + 1) // 2
            by_H = _symmetric(slopes[:, start : start + count], term.q)
            gradient.append(2.0 * (by_H @ T)[:, term.rows, term.cols])
            start += count
        good = np.isfinite(value) & near
        return np.where(good, value, np.inf), np.where(good[:, None], np.concatenate(gradient, axis=1), 0.0)

    def factors(self, theta: np.ndarray) -> list[np.ndarray]:
        """T of each term (S, q, q)."""
        out, start = [], 0
        for term in self.terms:
            T = np.zeros((len(theta), term.q, term.q))
            T[:, term.rows, term.cols] = theta[:, start : start + term.rows.size]
            out.append(T)
            start += term.rows.size
        return out

    def users(self, theta: np.ndarray) -> np.ndarray:
        """Theta (k,) in the user's columns."""
        out = []
        for term, T in zip(self.terms, self.factors(theta[None, :]), strict=True):
            whole = term.back @ T[0]
            L = np.linalg.qr(whole.T, mode="r").T
            out.append((L * np.where(np.diag(L) < 0.0, -1.0, 1.0))[term.rows, term.cols])
        return np.concatenate(out)


def dense(model: Model) -> Dense:
    """The dense form of a model whose covariances are unstructured or diagonal."""
    root = np.ones(model.n) if model.weights is None else np.sqrt(model.weights)
    X = _basis(model.X * root[:, None])
    y = root * (model.y if model.offset is None else model.y - model.offset)
    r = y - X @ (X.T @ y)
    r = r - X @ (X.T @ r)
    terms, B = [], []
    for term, part in zip(model.terms, model.structures, strict=True):
        assert isinstance(part, FreeEntries)
        U = np.ones((model.n, 1)) if term.covariates is None else term.covariates
        if part.diagonal.all():
            R = np.diag(np.sqrt(np.mean(U**2, axis=0)))
        else:
            R = np.linalg.qr(U / np.sqrt(model.n), mode="r")
        U = np.linalg.solve(R.T, U.T).T
        Z = root[:, None] * design(term.codes, U)
        Z = Z / np.sqrt(np.mean((Z**2).sum(axis=1)) / part.q)
        back = np.linalg.inv(R) / np.sqrt(np.mean(root**2 * (U**2).sum(axis=1)) / part.q)
        terms.append(Term(part.q, part.rows, part.cols, back))
        columns = [Z[:, j :: part.q] for j in range(part.q)]
        for i in range(part.q):
            for j in range(i + 1):
                one = columns[i] @ columns[j].T
                B.append(one if i == j else one + one.T)
    return Dense(X, r / np.linalg.norm(r), np.array(B), tuple(terms), model.method == "REML")


def lowest(problem: Dense, starts: int, seed: int = 0) -> tuple[float, np.ndarray]:
    """The lowest value of f over descents from the best of many starts, and its theta (k,)."""
    rng = np.random.default_rng(seed)
    first = _starts(problem, 6 * starts, rng)
    values = problem.f(first)[0]
    chosen = np.argsort(values)[: starts // 2]
    others = rng.choice(len(first), starts - chosen.size, replace=False)
    x, f = _descend(problem, first[np.concatenate([chosen, others])])
    return float(f.min()), x[int(np.argmin(f))]


def further(problem: Dense, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """The lowest value of f over descents from theta (k,) and from further out, begun again, and its theta."""
    for _ in range(4):
        x, f = _descend(problem, np.array([theta, 3.0 * theta, 10.0 * theta]))
        theta = x[int(np.argmin(f))]
    return float(f.min()), theta


def _starts(problem: Dense, count: int, rng: np.random.Generator) -> np.ndarray:
    """Thetas (count, k): sizes over five decades, directions at random, a third of the columns of T zero at times."""
    out = []
    for term in problem.terms:
        sizes = 10.0 ** rng.uniform(-2.0, 1.5, (count, term.q))
        entries = rng.normal(size=(count, term.rows.size)) * sizes[:, term.rows]
        zero = (rng.random((count, term.q)) < 1 / 3) & (rng.random((count, 1)) < 0.4)
        out.append(np.where(zero[:, term.cols], 0.0, entries))
    return np.concatenate(out, axis=1)


def _descend(problem: Dense, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """BFGS from every row of x, all at once; where they end, and f there."""
    x = x.copy()
    f, g = problem.f(x)
    S, k = x.shape
    H = np.broadcast_to(np.eye(k), (S, k, k)) / np.maximum(np.linalg.norm(g, axis=1), 1.0)[:, None, None]
    H, going = H.copy(), np.isfinite(f)
    for _ in range(_ROUNDS):
        at = np.flatnonzero(going)
        if not at.size:
            break
        step = -np.einsum("sij,sj->si", H[at], g[at])
        slope = np.einsum("si,si->s", step, g[at])
        bad = slope >= 0.0
        step[bad], slope[bad] = -g[at][bad], -(g[at][bad] ** 2).sum(axis=1)
        moved, new_f, new_g = _search(problem, x[at], f[at], step, slope)
        s, y = moved - x[at], new_g - g[at]
        H[at] = _updated(H[at], s, y)
        gain = f[at] - new_f
        x[at], f[at], g[at] = moved, new_f, new_g
        going[at] = (gain > _SMALL) | (np.abs(slope) > 1e3 * _SMALL) & (gain > 0.0)
    return x, f


def _search(
    problem: Dense, x: np.ndarray, f: np.ndarray, step: np.ndarray, slope: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Backtracking from x (S, k) along steps; a row that finds nothing lower stays."""
    best, best_f, best_g = x.copy(), f.copy(), np.zeros_like(x)
    left, t = np.arange(len(x)), np.ones(len(x))
    for _ in range(12):
        trial = x[left] + t[left, None] * step[left]
        value, gradient = problem.f(trial)
        good = value <= f[left] + 1e-4 * t[left] * slope[left]
        done = left[good]
        best[done], best_f[done], best_g[done] = trial[good], value[good], gradient[good]
        left = left[~good]
        if not left.size:
            return best, best_f, best_g
        t[left] *= 0.3
    best_g[left] = problem.f(x[left])[1]
    return best, best_f, best_g


def _updated(H: np.ndarray, s: np.ndarray, y: np.ndarray) -> np.ndarray:
    """BFGS of the inverse Hessian where the curvature along the step is positive."""
    along = np.einsum("si,si->s", s, y)
    good = along > 1e-12 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    rho = np.where(good, 1.0 / np.where(good, along, 1.0), 0.0)
    A = np.eye(s.shape[1]) - rho[:, None, None] * s[:, :, None] * y[:, None, :]
    updated = A @ H @ A.transpose(0, 2, 1) + rho[:, None, None] * s[:, :, None] * s[:, None, :]
    return np.where(good[:, None, None], updated, H)


def _basis(X: np.ndarray) -> np.ndarray:
    """Orthonormal columns that span X."""
    if X.shape[1] == 0:
        return X
    length = np.linalg.norm(X, axis=0)
    left, size, _ = np.linalg.svd(X / np.where(length > 0.0, length, 1.0), full_matrices=False)
    return np.asarray(left[:, size > 1e-7])


def _entries(H: np.ndarray) -> np.ndarray:
    """The lower triangles (S, q (q + 1) / 2) of symmetric matrices, by rows."""
    i, j = np.tril_indices(H.shape[1])
    return np.asarray(H[:, i, j])


def _symmetric(slopes: np.ndarray, q: int) -> np.ndarray:
    """df/dH (S, q, q) of a symmetric H from the slopes by its lower triangle, each off-diagonal one of two entries."""
    out = np.zeros((len(slopes), q, q))
    i, j = np.tril_indices(q)
    out[:, i, j] += 0.5 * slopes
    out[:, j, i] += 0.5 * slopes
    return out
