r"""Theta in the user's columns and in the axes of each term, and the way between the two.

An unstructured term has T_x = the lower triangular factor of C T in its axes (``axes.py``), and T that of C^-1 T_x; all
other parameters are the same in both. The search, its verdict and every difference of the criterion are taken in the
axes, where they do not know where the origin of a covariate is; what a fit reports is in the user's columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import prod, sqrt

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.base import GStructure
from mme.covariance.triangle import lower_entries
from mme.numeric.kept import kept
from mme.numeric.lapack import qr, triangular_solve

# A standard deviation along an axis below this share of what its size would make visible is zero, as a verdict sees it.
_ZERO = 1e-5
# A term with standard deviations below this may as well have none.
_SMALL = 0.01
# One below this is zero to the digits of theta.
_NOTHING = 1e-9
# A row of T that earlier ones leave less of than this share of it is determined by them.
_ROUNDING = 1e-11
# T is moved off the edge by this much where a derivative is taken there.
_INSIDE = 1e-8


@dataclass(frozen=True, eq=False)
class Tied:
    """Coefficients of a term (q,) at the edge of the model: those that earlier ones determine, and those of zero."""

    determined: np.ndarray
    zero: np.ndarray


@dataclass(frozen=True, eq=False)
class Coordinates:
    """``axes`` has None for a term that is searched in the user's columns."""

    structures: tuple[GStructure, ...]
    axes: tuple[Axes | None, ...]

    def inner(self, theta: np.ndarray) -> np.ndarray:
        """x of the same covariances: theta in the axes."""
        return self._each(theta, lambda part, axes, piece: part.mixed(piece, axes.C))

    def outer(self, x: np.ndarray) -> np.ndarray:
        """Theta of the same covariances, in the user's columns."""
        return self._each(x, _outer)

    @kept
    def free(self) -> np.ndarray:
        """Which entries of x the data can say anything about: not those of columns that others determine."""
        free, start = np.ones(sum([part.k for part in self.structures]), dtype=bool), 0
        for part, axes in zip(self.structures, self.axes, strict=True):
            if axes is not None and axes.rank < part.q:
                rows = lower_entries(part.q)[0]
                free[start : start + rows.size] = rows < axes.rank
            start += part.k
        return free

    def is_clear(self, x: np.ndarray) -> bool:
        """Whether no variance is small and no correlation near one, from x for axes of unit size."""
        for part, axes, piece in self._pieces(x):
            if axes is None:
                if part.edge(piece).any():
                    return False
            elif axes.rank < part.q or not _exceed(part.T(piece), _SMALL):
                return False
        return True

    def at_edge(self, x: np.ndarray) -> list[int]:
        """The places of the entries of theta that are at the edge of the model, from x for axes of unit size."""
        return [] if self.is_clear(x) else np.flatnonzero(self.edge(x)).tolist()

    def edge(self, x: np.ndarray) -> np.ndarray:
        """Which entries of theta are at the edge of the model, from x for axes of unit size."""
        out = []
        for part, axes, piece in self._pieces(x):
            if axes is None:
                out.append(part.edge(piece))
            else:
                edge = np.zeros(part.k, dtype=bool)
                edge[np.flatnonzero(part.diagonal)] = tied(part.T(piece), axes).determined
                out.append(edge)
        return np.concatenate([np.zeros(0, dtype=bool), *out])

    def without(self, theta: np.ndarray, x: np.ndarray) -> Iterator[np.ndarray]:
        """Theta without a term, and with the variance of a coefficient zero, where they nearly are at x.

        Axes have unit size.
        """
        start = 0
        if self.is_clear(x):
            return
        for part, axes, piece in self._pieces(x):
            if axes is not None:
                triangle = slice(start, start + part.inner.k)
                if 0.0 < np.abs(piece[: part.inner.k]).max() < _SMALL:
                    trial = theta.copy()
                    trial[triangle] = 0.0
                    yield trial
                rows = lower_entries(part.q)[0]
                for i in np.flatnonzero(tied(part.T(piece), axes).zero).tolist():
                    trial = theta.copy()
                    trial[start + np.flatnonzero(rows == i)] = 0.0
                    yield trial
            start += part.k

    def without_terms(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray:
        """X with no variance of the terms that have none at theta."""
        x, start = x.copy(), 0
        for part, axes, piece in self._pieces(theta):
            if axes is not None and not piece[: part.inner.k].any():
                x[start : start + part.inner.k] = 0.0
            start += part.k
        return x

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """The derivatives dx / dtheta (k, k) of x by theta."""
        out, start = np.eye(theta.size), 0
        for part, axes, piece in self._pieces(theta):
            if axes is not None:
                cut = slice(start, start + part.q * (part.q + 1) // 2)
                out[cut, cut] = jacobian_of_triangle(part.T(piece), axes.C)
            start += part.k
        return out

    def _pieces(self, theta: np.ndarray) -> Iterator[tuple[GStructure, Axes | None, np.ndarray]]:
        start = 0
        for part, axes in zip(self.structures, self.axes, strict=True):
            yield part, axes, theta[start : start + part.k]
            start += part.k

    def _each(self, theta: np.ndarray, moved: Callable[[GStructure, Axes, np.ndarray], np.ndarray]) -> np.ndarray:
        pieces = [piece if axes is None else moved(part, axes, piece) for part, axes, piece in self._pieces(theta)]
        return np.concatenate([np.zeros(0), *pieces])


def tied(T: np.ndarray, axes: Axes) -> Tied:
    """What the rank of T (q, q), in the axes, says of the coefficients of the user's columns."""
    if axes.rank == len(T) and _exceed(T, _ZERO):  # no row of C^-1 T is near zero
        return Tied(np.zeros(len(T), dtype=bool), np.zeros(len(T), dtype=bool))
    size = np.linalg.norm(axes.inverse[:, : axes.rank], axis=1)
    U, s, _ = np.linalg.svd(T[: axes.rank, : axes.rank])
    A = axes.inverse[:, : axes.rank] @ (U * s)[:, s > _ZERO]
    zero = axes.own & (np.linalg.norm(A, axis=1) < _ZERO * size)
    return Tied(axes.own & ~_leading(A, size, zero), zero)


def _outer(part: GStructure, axes: Axes, piece: np.ndarray) -> np.ndarray:
    T = part.T(piece)
    if _exceed(T, _NOTHING):
        return part.mixed(piece, axes.inverse)
    U, s, _ = np.linalg.svd(T)
    A = axes.inverse @ (U * s)[:, s > _NOTHING]  # a leading row may be tiny: it must lie in the range that is kept
    leading = np.flatnonzero(_leading(A, np.linalg.norm(axes.inverse, axis=1), np.zeros(part.q, dtype=bool)))
    directions = np.linalg.qr(A[leading].T)[0]
    directions = directions * np.where(np.einsum("ij,ji->i", A[leading], directions) < 0.0, -1.0, 1.0)
    T = np.zeros(T.shape)
    T[:, leading] = A @ directions
    rows, cols = lower_entries(part.q)
    theta = T[rows, cols] + 0.0
    return np.append(theta, part.coordinates(piece))


def _exceed(T: np.ndarray, least: float) -> bool:
    """Whether all singular values of a triangle exceed this: their product, with none above |T|, mostly shows it."""
    size = sqrt(float(np.vdot(T, T)))
    if size > 0.0 and abs(prod((T.diagonal() / size).tolist())) * size > 2.0 * least:
        return True
    return bool(np.linalg.svd(T, compute_uv=False)[-1] > least)


def _leading(A: np.ndarray, size: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """Which rows of A (q, m) earlier ones do not determine: as many as its rank m."""
    rank, chosen, basis = A.shape[1], np.zeros(len(A), dtype=bool), np.zeros((0, A.shape[1]))

    def rest(i: int) -> np.ndarray:
        v = A[i]
        for _ in range(2):
            v = v - (v @ basis.T) @ basis
        return np.asarray(v)

    order = [i for i in range(len(A)) if not zero[i] and np.linalg.norm(rest(i)) > 0.0]
    for i in order:
        v = rest(i)
        if basis.shape[0] < rank and np.linalg.norm(v) > _ROUNDING * np.linalg.norm(A[i]):
            chosen[i], basis = True, np.vstack([basis, v / np.linalg.norm(v)])
    while basis.shape[0] < rank:  # so near to zero or to one another that rounding decides: those that are farthest
        left = [-1.0 if chosen[i] else np.linalg.norm(rest(i)) / size[i] for i in range(len(A))]
        i = int(np.argmax(left))
        if not left[i] > 0.0:
            break
        v = rest(i)
        chosen[i], basis = True, np.vstack([basis, v / np.linalg.norm(v)])
    return chosen


def jacobian_of_triangle(T: np.ndarray, C: np.ndarray) -> np.ndarray:
    """d vech(T_x) / d vech(T) of T_x T_x' = C T T'C'.

    With S = C T = T_x Q' a change dS gives dT_x = T_x L(K + K'), K = T_x^-1 dS Q, L the lower triangle and half of the
    diagonal.
    """
    q = T.shape[0]
    Q, R = qr(np.matmul(C, T).T)
    signs = np.where(R.diagonal() < 0.0, -1.0, 1.0)
    inside, Q = R.T * signs, Q * signs
    rows, cols = lower_entries(q)
    inside.flat[:: q + 1] += _INSIDE * sqrt(float(np.vdot(inside, inside))) or 1.0
    dS = C.T[rows][:, :, None] * Q[cols][:, None, :]  # one for each entry of T
    K = triangular_solve(inside, dS.transpose(1, 0, 2).reshape(q, -1), transposed=False).reshape(dS.shape[1], -1, q)
    K = K.transpose(1, 0, 2)
    dT_x = inside @ ((K + K.transpose(0, 2, 1)) * _half_triangle(q))
    return np.asarray(dT_x[:, rows, cols].T)


@cache
def _half_triangle(q: int) -> np.ndarray:
    return np.tril(np.ones((q, q))) - 0.5 * np.eye(q)
