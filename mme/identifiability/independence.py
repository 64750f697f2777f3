"""Which derivatives of V by the variance parameters are linearly dependent where the likelihood sees them.

In units of sigma^2, V = I + sum_t Z_t (K_t (x) H_t) Z_t'. Its derivatives are V_i = Z_t (K_t (x) D_i) Z_t' for a change
D_i of H_t, and I itself for sigma^2, unless that is given. The restricted likelihood depends on P V P alone,
P = I - QQ': under REML the P V_i P must be independent.

Independence is tested on products with random vectors W: where sum_i c_i P V_i P W = 0 has no solution but c = 0, the
P V_i P are independent, and the other way round but for accidents of probability zero. A product is O(n).

H is taken in a basis of each unstructured term's columns in which they are orthonormal: an origin far from the data
does not make its covariances dependent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.covariance.base import GStructure
from mme.engine.blocks import Block
from mme.engine.objective import Objective
from mme.numeric.factor import NotPositiveDefiniteError, factorise
from mme.numeric.limits import limits
from mme.numeric.sums import coding

# Singular values of derivatives of unit length (their length before P) that are rounding.
DEPENDENT = 1e-9
# The square of a singular value that no rounding reaches: these are then not computed.
_CLEAR = 1e-8
# A column that earlier ones leave no more than this share of is a combination of them.
_COMBINATION = 1e-13
# Step of the derivatives of a structure that is not linear in its parameters, by differences of fourth order.
_STEP = 1e-3


@dataclass(frozen=True, eq=False)
class TermDerivatives:
    """Derivatives ``D`` (m, q, q) of one term's H, its columns scaled, by theta or the entries of H.

    ``moved`` are the same in the columns ``at`` of the term's block. ``dependent`` (q,) are columns that earlier ones
    determine; ``rows`` is where its derivatives stand among all.
    """

    block: int
    at: slice
    D: np.ndarray
    moved: np.ndarray
    dependent: np.ndarray
    structure: GStructure
    rows: slice


@dataclass(frozen=True, eq=False)
class ProjectedRows:
    """Records of the blocks, an orthonormal basis Q' (p, n) of what is projected off, whether sigma^2 is unknown.

    ``sweep`` takes the sparse columns of a wide X off rows first.
    """

    blocks: tuple[Block, ...]
    Q: np.ndarray
    sigma: bool
    sweep: Callable[[np.ndarray], np.ndarray] | None = None

    @classmethod
    def of(cls, objective: Objective) -> ProjectedRows:
        """All records of a model."""
        Q = objective.basis.N[:-1]
        sigma = objective.model.sigma is None
        if not objective.constants.reml:
            return cls(objective.random, Q[:0], sigma)
        return cls(objective.random, Q, sigma, objective.basis.sweep)


@dataclass(frozen=True, eq=False)
class DerivativeProducts:
    """What shows whether derivatives of V are independent once X has been projected out.

    Attributes
    ----------
    values : (parameters + 1, vectors n) array
        vec(P V_i P W) over the length of vec(V_i P W), a row each; the last row is of V_i = I.
    lengths : (parameters + 1,) array
        Those lengths.
    null : array
        Combinations of the rows that are zero.
    """

    values: np.ndarray
    lengths: np.ndarray
    null: np.ndarray


def derivatives_of_terms(objective: Objective) -> list[TermDerivatives]:
    """The derivatives of V by the entries of each term's covariance, term by term in the order of the model."""
    parts: list[TermDerivatives] = []
    for t, one in enumerate(objective.model.structures):
        b = next(b for b, block in enumerate(objective.blocks) if t in block.terms)
        block, start = objective.blocks[b], parts[-1].rows.stop if parts else 0
        at = block.column_slices[block.terms.index(t)]
        part, axes = one.inner, objective.model.axes[t]
        dependent = np.zeros(one.q, dtype=bool)
        if part.entries is not None and part.correlated:
            dependent = _dependent(block, at) if axes is None else ~axes.own
        D = _changes(part, block, at, bool(dependent.any()))
        M = np.array([block.moved(column)[at] for column in np.eye(block.q)[at] / block.size[at, None]]).T
        parts.append(TermDerivatives(b, at, D, M @ D @ M.T, dependent, part, slice(start, start + len(D))))
    return parts


def _dependent(block: Block, at: slice) -> np.ndarray:
    """Which columns (q,) of a term are combinations of earlier ones in every record."""
    found, basis = [], np.zeros((0, block.codes.shape[-1]))
    for column in block.columns[at]:
        values = np.ones(basis.shape[1]) if column is None else column
        left = values - (basis @ values) @ basis
        left -= (basis @ left) @ basis
        size = float(np.linalg.norm(left))
        found.append(size <= _COMBINATION * float(np.linalg.norm(values)))
        if not found[-1]:
            basis = np.vstack([basis, left / size])
    return np.array(found)


def _changes(part: GStructure, block: Block, at: slice, dependent: bool) -> np.ndarray:
    """Derivatives of H, scaled columns, by the parameters of a structure at a point like any other."""
    q, scale = part.q, block.size[at]
    if part.entries is not None:
        root = np.eye(q) if dependent or not part.correlated else _orthonormal(block, at)
        D = np.zeros((part.k, q, q))
        for one, i, j in zip(D, *map(np.ndarray.tolist, part.entries), strict=True):
            one[i, j] = one[j, i] = 1.0
        return np.asarray(root @ D @ root.T)
    A = np.random.default_rng(1).standard_normal((q, 3 * q))
    H = A @ A.T / A.shape[1]
    theta = part.nearest(H / np.outer(scale, scale), 1e-3 / scale**2)
    steps = _STEP * np.diag(np.maximum(np.abs(theta), 0.1 * np.abs(theta).max()))

    def at_scale(x: np.ndarray) -> np.ndarray:
        T = part.T(x) * scale[:, None]
        return np.asarray(T @ T.T)

    def difference(step: np.ndarray) -> np.ndarray:
        return at_scale(theta + step) - at_scale(theta - step)

    return np.array([8.0 * difference(step) - difference(2.0 * step) for step in steps])


def _orthonormal(block: Block, at: slice) -> np.ndarray:
    """R^-1 of the QR of a term's columns, scaled, over all records; that of C serves where they have axes."""
    if block.C is not None:
        return np.asarray(np.linalg.inv(np.linalg.qr(block.C[at, at] / block.size[at], mode="r")))
    values = [np.ones(block.codes.shape[-1]) if column is None else column for column in block.columns[at]]
    R = np.linalg.qr(np.array(values).T, mode="r") / np.sqrt(len(values[0]))
    return np.asarray(np.linalg.inv(R))


def products(among: ProjectedRows, parts: list[TermDerivatives], vectors: int, thorough: bool) -> DerivativeProducts:
    """P V_i P W of every derivative V_i, for so many random vectors W: dependent V_i have dependent products."""
    Q, n = among.Q, among.Q.shape[1]

    def project(rows: np.ndarray) -> np.ndarray:
        rows = rows if among.sweep is None else among.sweep(rows)
        return rows - (rows @ Q.T) @ Q if len(Q) else rows

    W = project(np.random.default_rng(2).standard_normal((vectors, n)))
    inner = [_related(block, block.sums(W), thorough) for block in among.blocks]
    rows, lengths = [], []
    for part in parts:
        block = among.blocks[part.block]
        V_W = [spread(block, part.at, D @ inner[part.block][:, part.at], n) for D in part.moved]
        sizes = np.nan_to_num([float(np.linalg.norm(one)) for one in V_W], nan=1.0)
        sizes[sizes <= DEPENDENT * sizes.max()] = float(sizes.max()) or 1.0  # nothing but rounding
        rows += [project(one).ravel() / size for one, size in zip(V_W, sizes.tolist(), strict=True)]
        lengths += sizes.tolist()
    if among.sigma:
        lengths.append(float(np.linalg.norm(W)))
        rows.append(W.ravel() / lengths[-1])
    values = np.array(rows)
    return DerivativeProducts(values, np.array(lengths), _null(values))


def _related(block: Block, b: np.ndarray, thorough: bool) -> np.ndarray:
    """K b for b (J, q, vectors) at a start of its parameters; NaN where K is not asked for, or has no inverse."""
    if block.relationship is None:
        return b
    theta = np.zeros(block.theta_slices[0].stop)
    if block.is_parametric:
        theta[theta.size - block.relationship.k :] = block.relationship.starts()[0]
    if limits().related_levels_asked < block.J and not thorough:
        return np.full(b.shape, np.nan)
    return related(block, b, theta)


def related(block: Block, b: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """K b for b (J, q, vectors), K at theta; NaN where it has no inverse."""
    relationship = block.relationship_at(theta)
    if not np.isfinite(relationship.diagonal).all():
        return np.full(b.shape, np.nan)
    try:
        factor = factorise(relationship.precision)
    except NotPositiveDefiniteError:
        return np.full(b.shape, np.nan)
    return np.asarray(factor.solve(b.reshape(block.J, -1))).reshape(b.shape)


def spread(block: Block, at: slice, b: np.ndarray, n: int) -> np.ndarray:
    """Z b (vectors, n) of some columns, for b (J, columns, vectors)."""
    out = np.zeros((b.shape[2], n))
    for a, effects in zip(range(at.start, at.stop), b.transpose(1, 2, 0), strict=True):
        column, values = block.columns[a], effects[:, coding(block.codes, a)]
        values = values if column is None else values * column
        out += values if block.records is None else np.array([np.bincount(block.records, row, n) for row in values])
    return out


def _null(values: np.ndarray) -> np.ndarray:
    """Combinations (f, rows) of the rows that are zero; a row that is not known is in none."""
    known = np.isfinite(values).all(axis=1)
    out = np.zeros((0, len(values)))
    if not known.any() or np.linalg.eigvalsh(values[known] @ values[known].T)[0] > _CLEAR:
        return out
    left, size, _ = np.linalg.svd(values[known], full_matrices=values.shape[1] < len(values))
    size = np.append(size, np.zeros(left.shape[1] - size.size))
    found = left[:, size <= DEPENDENT]
    out = np.zeros((found.shape[1], len(values)))
    out[:, known] = found.T
    return out
