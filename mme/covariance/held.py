r"""One standard deviation or correlation of a term held at a value, the rest of its covariance free.

Of an unstructured T, with the rows that matter first, P T = T_ Q' for an orthogonal Q and a lower triangular T_, so
that T_ serves as well: a standard deviation is its first entry, and a correlation r makes of its second row
(r d, sqrt(1 - r^2) d), with d and the first entry positive: they are given by their roots, in which everything is even
and smooth again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mme.covariance.axes import Axes
from mme.covariance.triangle import lower_entries, lower_factor
from mme.numeric.lapack import triangular_solve


@dataclass(frozen=True, eq=False)
class Held:
    """What is free beside one held parameter of a term, and the theta that both make.

    Attributes
    ----------
    start : array
        The free entries, at the theta of a fit.
    even : array of bool
        Which of them are zero only at the edge of the model.
    rooted : array of bool
        Which of them must not be negative.
    like : array of int
        The entry of the term's theta whose scale each has.
    theta : callable
        theta(free, value): the term's theta where the parameter, over sigma if it is in units of sigma, has this value.
    bounds : (float, float)
        Of the value.
    moved : array of bool
        Which of them are entries of T in orthonormal columns, and have no scale of a column of the term.
    """

    start: np.ndarray
    even: np.ndarray
    rooted: np.ndarray
    like: np.ndarray
    theta: Callable[[np.ndarray, float], np.ndarray]
    bounds: tuple[float, float]
    moved: np.ndarray | bool = False


def hold_entry(
    theta: np.ndarray,
    at: int,
    diagonal: np.ndarray,
    bounds: tuple[float, float],
    coordinate: Callable[[float], float] = float,
) -> Held:
    """Hold the entry of theta at this place, which is ``coordinate(value)``; all other entries are free as they are."""
    others = np.delete(np.arange(theta.size), at)
    none = np.zeros(others.size, dtype=bool)
    return Held(
        theta[others], diagonal[others], none, others, lambda x, value: np.insert(x, at, coordinate(value)), bounds
    )


def hold_rotated(T: np.ndarray, i: int, j: int, axes: Axes | None) -> Held:
    """Hold the standard deviation of coefficient i (= j), or the correlation of i and j, of an unstructured T (q, q).

    The other rows of T_ are searched as those of L T_, lower triangular for Z P' = E L with E orthonormal, of which the
    first coefficient is b_i, scaled: where the origin of a covariate is far away, they are the ones that may be moved
    alone.
    """
    q = len(T)
    first = [i] if i == j else [j, i]
    order = np.array(first + [row for row in range(q) if row not in first])
    rows, cols = np.tril_indices(q)
    free = ~((rows == 0) if i == j else (rows == 1) & (cols == 0))
    rows, cols = rows[free], cols[free]
    L = np.eye(q) if axes is None else _lower_change(axes.C[:, order])
    kept = len(first) if i != j else 0  # rows of T_ that are given themselves
    start = lower_factor(T[order])
    start[kept:] = (L @ start)[kept:]
    if i != j:
        start[1, 1] = np.hypot(start[1, 0], start[1, 1])  # d, the length of the row

    def theta(x: np.ndarray, value: float) -> np.ndarray:
        rotated = np.zeros((q, q))
        rotated[rows, cols] = x
        rotated = _with_sd(rotated, L, value) if i == j else _with_correlation(rotated, L, value)
        back = np.empty_like(rotated)
        back[order] = rotated
        return np.asarray(lower_factor(back)[lower_entries(q)])

    even = rows == cols
    sd = np.flatnonzero(np.equal(*lower_entries(q)))  # where theta has the diagonal of T
    bounds = (0.0, np.inf) if i == j else (-1.0, 1.0)
    moved = (rows >= kept) & (axes is not None)
    return Held(start[rows, cols], even, even & (rows < 2) & (i != j), sd[order[rows]], theta, bounds, moved)


def hold_ratio(T: np.ndarray, i: int) -> Held:
    """Hold the standard deviation of coefficient i over that of the first, of an unstructured T (q, q).

    Free is the row of i (a, b), of which the length is the standard deviation of the first: the ratio gives the row
    its own length, and all of it goes to zero with the first.
    """
    q = len(T)
    order = np.array([0, i] + [row for row in range(1, q) if row != i])
    rows, cols = np.tril_indices(q)
    rows, cols = rows[1:], cols[1:]
    start = lower_factor(T[order])
    length = float(np.hypot(*start[1, :2]))
    start[1, :2] = start[0, 0] * (start[1, :2] / length if length > 0.0 else np.array([0.0, 1.0]))

    def theta(x: np.ndarray, value: float) -> np.ndarray:
        rotated = np.zeros((q, q))
        rotated[rows, cols] = x
        rotated[0, 0] = np.hypot(*rotated[1, :2])
        rotated[1, :2] *= value
        back = np.empty_like(rotated)
        back[order] = rotated
        return np.asarray(lower_factor(back)[lower_entries(q)])

    even = rows == cols
    sd = np.flatnonzero(np.equal(*lower_entries(q)))
    return Held(start[rows, cols], even, np.zeros(even.size, dtype=bool), sd[order[rows]], theta, (0.0, np.inf))


def _with_sd(rotated: np.ndarray, L: np.ndarray, value: float) -> np.ndarray:
    """T_ of which L T_ is free but for the first entry of T_, the standard deviation."""
    rotated[0, 0] = L[0, 0] * value
    rotated = triangular_solve(L, rotated, transposed=False)
    rotated[0, 0] = value
    return rotated


def _with_correlation(rotated: np.ndarray, L: np.ndarray, value: float) -> np.ndarray:
    """T_ whose second row has this correlation with the first; the rows after them are those of L T_."""
    rotated[1, :2] = rotated[1, 1] * np.array([value, np.sqrt(max(1.0 - value * value, 0.0))])
    below = rotated[2:] - L[2:, :2] @ rotated[:2]
    rotated[2:] = triangular_solve(L[2:, 2:], below, transposed=False)
    return rotated


def _lower_change(C: np.ndarray) -> np.ndarray:
    """The lower triangle L of C = Q L, with a positive diagonal."""
    L = np.asarray(np.linalg.qr(C[:, ::-1], mode="r"))[::-1, ::-1]
    return np.asarray(L * np.where(np.diag(L) < 0.0, -1.0, 1.0)[:, None])
