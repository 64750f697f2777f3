r"""How the covariance of beta and the likelihood change with the variances, from evaluations alone.

Degrees of freedom need two kinds of derivatives, and an evaluation of the engine returns all that either takes:
log|V|, the triangle of X'V^-1 X, and y'Py. No n x n matrix is formed, and records are not read again.

* Along the likelihood (:func:`profile_derivatives`): by theta and phi, which are free to take any sign, so by central
  differences of sixth order. The criterion and beta's covariance are analytic functions of theta, whose nearest
  singularity lies about rho = max_g (D_g)_aa^-1/2 off for an entry in row a of T, where

      D_g = Z_g'(I + Z_g H Z_g')^-1 Z_g,        H = T T'                                                            (D)

  is what the records of level g tell about its effects. Steps are a share of rho: the truncation error is then the
  same in all models.

* Along the variances themselves (:func:`linear_derivatives`): V / sigma^2 = I + Z H Z' is linear in H, which must
  stay positive semi-definite. Directions D = f f' never leave that cone, wherever H lies, if they are followed one
  way: a polynomial through points on [0, tau] gives both derivatives at 0, where f is scaled so that no eigenvalue of
  V^-1 Z D Z' exceeds one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from mme.blocks import Block
from mme.covariance import Entries, Extended, Structure
from mme.crossproducts import level_sums
from mme.errors import MMEError
from mme.estimates import Estimates
from mme.objective import Objective
from mme.pls import triangular_solve
from mme.terms import Term

# Central differences on -3h ... 3h, exact for polynomials of degree six (Fornberg 1988, Math. Comp. 51:699).
_FIRST = np.array([-1.0, 9.0, -45.0, 0.0, 45.0, -9.0, 1.0]) / 60.0
_SECOND = np.array([2.0, -27.0, 270.0, -490.0, 270.0, -27.0, 2.0]) / 180.0
# Step as a share of rho: truncation is then some 1e-7 of the second derivative, rounding of the criterion less.
_STEP = 0.03
# Step in the coordinates of a residual structure, smooth over distances of order one.
_STEP_PHI = 0.03
# One-sided differences: points on (0, _REACH] beside 0. The singularities nearest to it lie at -1, or beyond.
_REACH, _POINTS = 0.1, 7


@dataclass(frozen=True, eq=False)
class Profile:
    """Derivatives at the optimum by the k free parameters of (theta, phi).

    ``gradient`` (k,) and ``hessian`` (k, k) are of the criterion. ``half`` (p, p) turns a contrast c into z = half c
    with var(c'beta) = sigma^2 z'z, and ``slopes`` (k, p, p) are those of log var(c'beta) = z' slopes z / z'z, sigma
    profiled out. ``units`` (k,) are rho, the parameters' natural units.
    """

    gradient: np.ndarray
    hessian: np.ndarray
    half: np.ndarray
    slopes: np.ndarray
    units: np.ndarray


def half_covariance(objective: Objective, border: np.ndarray) -> np.ndarray:
    """(p, p) with cov(beta) = sigma^2 half'half: R_X^-1 R^-T for X = Q R."""
    p = objective.system.p
    return triangular_solve(border[:p, :p], objective.basis.R_inverse.T, transposed=False)


def profile_derivatives(objective: Objective, theta: np.ndarray, free: np.ndarray) -> Profile:
    """Central differences of the criterion and of beta's covariance by the free entries of (theta, phi)."""
    p, k = objective.system.p, objective.model.k
    at, step = np.concatenate([theta, objective.phi]), np.full(k + objective.phi.size, _STEP_PHI)
    if free[:k].any():
        step[:k] = _theta_steps(objective, theta)
    step = step[free]
    origin = Estimates(objective, theta)
    half = half_covariance(objective, origin.at.border)
    whole = np.linalg.inv(half) if p else half

    def values(x: np.ndarray) -> np.ndarray:
        parameters = at.copy()
        parameters[free] += x * step
        one = Estimates(objective.at(parameters[k:]), parameters[:k])
        relative = half_covariance(one.objective, one.at.border) @ whole
        return np.append((one.sigma / origin.sigma) ** 2 * (relative.T @ relative), one.criterion)

    first, second = _central(values, int(free.sum()), p * p + 1)
    return Profile(
        gradient=first[:, -1] / step,
        hessian=second / np.outer(step, step),
        half=half,
        slopes=first[:, :-1].reshape(step.size, p, p) / step[:, None, None],
        units=step / _STEP,
    )


def _central(f: Callable[[np.ndarray], np.ndarray], k: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """First derivatives (k, size) of f (size,) at 0, and second ones (k, k) of its last entry.

    Mixed ones from the second derivative along (e_i + e_j) / sqrt 2.
    """
    origin = f(np.zeros(k))
    offsets = np.arange(-3, 4)

    def along(direction: np.ndarray) -> np.ndarray:
        return np.array([f(float(offset) * direction) if offset else origin for offset in offsets])

    first, second = np.zeros((k, size)), np.zeros((k, k))
    for i in range(k):
        line = along(np.eye(k)[i])
        first[i], second[i, i] = _FIRST @ line, _SECOND @ line[:, -1]
    for i in range(k):
        for j in range(i):
            mixed = _SECOND @ along((np.eye(k)[i] + np.eye(k)[j]) / np.sqrt(2.0))[:, -1]
            second[i, j] = second[j, i] = mixed - 0.5 * (second[i, i] + second[j, j])
    return first, second


@dataclass(frozen=True, eq=False)
class Linear:
    """X'V^-1 X and log|V| for V = I + sum_i x_i V_i (units of sigma^2), and their derivatives by the x_i.

    ``C_i`` (k, p, p) and ``C_ij`` (k, k, p, p) are derivatives of X'V^-1 X in coordinates in which it is the identity
    (those of ``half``); ``L_i`` (k,) and ``L_ij`` (k, k) those of log|V|; ``x`` (k,) is where V is.
    """

    x: np.ndarray
    C_i: np.ndarray
    C_ij: np.ndarray
    L_i: np.ndarray
    L_ij: np.ndarray


@dataclass(frozen=True, eq=False)
class _Direction:
    """D = f f' added to the relative covariance H of one term."""

    term: int
    f: np.ndarray


def linear_derivatives(objective: Objective, theta: np.ndarray, *, fixed: bool = False) -> Linear:
    """First and second derivatives by the entries of each term's H = T T', in a basis of rank-one matrices.

    With ``fixed`` H is known, and there are none. Mixed ones from the second derivative along (D_i + D_j) / 2.

    Raises
    ------
    MMEError
        The covariance of a term is not linear in its parameters.
    """
    p = objective.system.p
    x, directions = (np.zeros(0), []) if fixed else _directions(objective, theta)
    k = len(directions)
    R_X = objective.triangle(theta)[1][:p, :p]

    def line(*along: _Direction) -> tuple[np.ndarray, np.ndarray]:
        return _one_sided(lambda t: values([(one, t / len(along)) for one in along]), origin)

    def values(added: list[tuple[_Direction, float]]) -> np.ndarray:
        logdet, border = objective.triangle(_moved(objective, theta, added))
        half = triangular_solve(R_X, border[:p, :p], transposed=False)
        return np.append(half @ half.T, logdet)

    origin = values([])

    first, second = np.zeros((k, p * p + 1)), np.zeros((k, k, p * p + 1))
    for i in range(k):
        first[i], second[i, i] = line(directions[i])
    for i in range(k):
        for j in range(i):
            mixed = line(directions[i], directions[j])[1]
            second[i, j] = second[j, i] = 2.0 * mixed - 0.5 * (second[i, i] + second[j, j])
    C_i, C_ij = first[:, :-1].reshape(k, p, p), second[:, :, :-1].reshape(k, k, p, p)
    return Linear(x, C_i, C_ij, first[:, -1], second[:, :, -1])


def _one_sided(f: Callable[[float], np.ndarray], origin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f'(0) and f''(0) from f(0) and f on (0, _REACH]: derivatives of the polynomial through Chebyshev's points."""
    degree = np.arange(_POINTS + 1)
    angles = np.pi * (1.0 - degree / _POINTS)
    coefficients = np.linalg.inv(np.cos(np.outer(angles, degree)))  # T_n(cos a) = cos(n a)
    first = (-1.0) ** (degree + 1) * degree**2  # T_n'(-1)
    second = (-1.0) ** degree * degree**2 * (degree**2 - 1.0) / 3.0  # T_n''(-1)
    beside = (0.5 * _REACH * (np.cos(angles[1:]) + 1.0)).tolist()
    values = coefficients @ np.array([origin, *(f(t) for t in beside)])
    return (2.0 / _REACH) * (first @ values), (2.0 / _REACH) ** 2 * (second @ values)


def _moved(objective: Objective, theta: np.ndarray, added: list[tuple[_Direction, float]]) -> np.ndarray:
    """Theta of H + sum t f f': the triangle of [T  sqrt(t) f], so that nothing is squared."""
    model = objective.model
    pieces = model.split(theta)
    for direction, t in added:
        part = model.structures[direction.term]
        rows = np.vstack([part.T(pieces[direction.term]).T, np.sqrt(t) * direction.f])
        T = np.asarray(np.linalg.qr(rows, mode="r")).T
        pieces[direction.term] = T[part.rows, part.cols]  # type: ignore[attr-defined]
    return np.concatenate(pieces)


def _directions(objective: Objective, theta: np.ndarray) -> tuple[np.ndarray, list[_Direction]]:
    """A basis of each term's covariances, and the coordinates of H in it."""
    x: list[float] = []
    directions: list[_Direction] = []
    model = objective.model
    information = _information(objective, theta)
    for t, (term, part, T) in enumerate(zip(model.terms, model.structures, model.T(theta), strict=True)):
        if not isinstance(part, Entries):
            raise MMEError(
                f"term '{term.name}': its covariance, {_called(term, part)}, is not linear in its parameters, as "
                "Kenward and Roger's method needs; use ddf='satterthwaite'"
            )
        columns, coordinates = _rank_one_basis(part, T @ T.T, information[t].mean(axis=0))
        # No eigenvalue of V^-1 Z (I (x) f f') Z' exceeds max_g f'D_g f (D).
        largest = np.einsum("ai,gab,bi->gi", columns, information[t], columns, optimize=True).max(axis=0)
        x += (coordinates * largest).tolist()
        directions += [_Direction(t, f) for f in (columns / np.sqrt(largest)).T]
    return np.array(x), directions


def _called(term: Term, part: Structure) -> str:
    if isinstance(part, Extended):
        return f"with a {' and a '.join(part.extra.names)}"
    return repr(term.covariance) if isinstance(term.covariance, str) else type(part).__name__


def _rank_one_basis(part: Entries, H: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns f with H = sum x f f', and x: those of F and their sums over sqrt 2, F'(information) F = I."""
    scale = np.sqrt(np.diag(information))
    if part.k == part.q:
        return np.diag(1.0 / scale), np.diag(H) * scale**2
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    root = np.sqrt(np.maximum(values, 1e-10 * values[-1]))
    F = vectors / root / scale[:, None]
    S = (vectors * root).T * scale @ H @ (scale[:, None] * (vectors * root))  # F^-1 H F^-T
    a, b = np.triu_indices(part.q, 1)
    f = np.concatenate([F, (F[:, a] + F[:, b]) / np.sqrt(2.0)], axis=1)
    return f, np.concatenate([2.0 * np.diag(S) - S.sum(axis=1), 2.0 * S[a, b]])


def _theta_steps(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """A share of rho for each entry of theta (k,)."""
    rho = [
        part.per_row(np.einsum("gaa->ga", D).max(axis=0) ** -0.5, 1.0)
        for part, D in zip(objective.model.structures, _information(objective, theta), strict=True)
    ]
    return _STEP * np.concatenate([np.zeros(0), *rho])


def _information(objective: Objective, theta: np.ndarray) -> list[np.ndarray]:
    """D_g (levels, q, q) of each term, in the user's units, as if no other factor were random."""
    out: dict[int, np.ndarray] = {}
    for block in objective.blocks:
        G = _gram_bound(block) * _largest_relationship(block, theta)
        T = block.T(theta)
        D = np.linalg.solve(np.eye(block.q) + G @ (T @ T.T), G) if block.q > 1 else G / (1.0 + G * T**2)
        D *= np.outer(block.scale, block.scale)
        for term, columns in zip(block.terms, block.column_slices, strict=True):
            out[term] = D[:, columns, columns]
    return [out[t] for t in range(len(out))]


def _gram_bound(block: Block) -> np.ndarray:
    """Z_g'Z_g (J, q, q); where columns have levels of their own a bound: |sum_a Z_a x_a|^2 <= q sum_a |Z_a x_a|^2."""
    if block.records is not None:
        met = block.cells(block)
        return met.sums(block.columns, block.columns)[met.rows == met.cols]
    G = level_sums(block.codes, block.J, block.columns, block.columns)
    return G if block.codes.ndim == 1 else block.q * G * np.eye(block.q)


def _largest_relationship(block: Block, theta: np.ndarray) -> float:
    """The largest eigenvalue of K, by which related levels can carry more information than each of them."""
    if block.relationship is None:
        return 1.0
    precision = sp.csc_array(block.relationship_at(theta).precision)
    if block.J < 20:
        return float(1.0 / np.linalg.eigvalsh(precision.toarray())[0])
    from scipy.sparse.linalg import eigsh

    smallest = eigsh(precision, k=1, sigma=0.0, which="LM", tol=1e-2, return_eigenvectors=False)
    return float(1.0 / smallest[0])
