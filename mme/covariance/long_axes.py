r"""The axes of a term of many records (:mod:`mme.covariance.axes`), none of which is held: they are made by panels.

Of a constant and covariates with s_j = (x_j - mean) / spread. Their basis V = A S is orthonormal by two passes of
Cholesky, (L_2^-1 L_1^-1) S, and turned to the records that stand out: E = Q A S.
"""

from __future__ import annotations

from math import frexp, ldexp

import numpy as np

from mme.covariance.standardised import Combined, Made, Standardised
from mme.numeric.lapack import cholesky, triangular_inverse
from mme.numeric.long_columns import LongColumns
from mme.numeric.panels import add_products, panels
from mme.numeric.sums import Column, is_constant

# A column whose spread is no more than this share of its size is dependent, as in mme.covariance.axes.
_DEPENDENT = 1e-13
# Records that stand out alike but for rounding: the first of them is taken.
_ALIKE = 1e-6
# While Cholesky's factor of the correlations keeps this share of every column, a second pass makes up for its digits.
_WELL_CONDITIONED = 1e-3

Found = tuple[np.ndarray, np.ndarray, tuple[Column | Made, ...]]


def long_axes(Z: LongColumns, weights: np.ndarray | None) -> Found | None:
    """C, C^-1 (q, q) and the axes of a constant and other columns, which are not nearly alike; None of others."""
    constant = [column is None or is_constant(column) for column in Z.columns]
    if sum(constant) != 1 or len(constant) == 1:
        return None
    one = constant.index(True)
    given = [(j, column) for j, column in enumerate(Z.columns) if j != one and column is not None]
    at, units = [j for j, _ in given], np.array([power_of_two(column) for _, column in given])
    parts = list[Standardised]()
    for (_, column), unit in zip(given, units.tolist(), strict=True):
        part, length = Standardised.of(column, unit, weights)
        if part.spread <= _DEPENDENT * length:
            return None
        parts.append(part)
    A = _orthonormal(tuple(parts), weights, Z.n)
    if A is None:
        return None
    made = _combined(parts, _standing_out(_combined(parts, A), Z.n) @ A) if len(A) > 1 else _positive(parts[0])
    turn = np.array([one.shares for one in made])
    level = 1.0 if Z.columns[one] is None else float(Z.columns[one][0])  # type: ignore[index]
    return *_changes(parts, units, turn, one, at, level), (None, *[_simple(column) for column in made])


def power_of_two(column: np.ndarray) -> float:
    """The power of two next above the largest number of a column."""
    return next_power_of_two(max(float(column.max()), -float(column.min())))


def next_power_of_two(size: float) -> float:
    """The power of two next above a number."""
    return ldexp(1.0, frexp(size)[1])


def _changes(
    parts: list[Standardised], units: np.ndarray, turn: np.ndarray, one: int, at: list[int], level: float
) -> tuple[np.ndarray, np.ndarray]:
    """C and C^-1, where E = turn S beside the constant ``level``, column ``one`` of Z, whose others are ``at``."""
    q, means, spreads = len(at) + 1, np.array([sum(p.means) for p in parts]), np.array([p.spread for p in parts])
    C, inverse = np.zeros((q, q)), np.zeros((q, q))
    C[0, one], C[0, at] = level, means * units
    C[1:, at] = np.linalg.inv(turn).T * spreads * units if q > 2 else turn * spreads * units
    inverse[one, 0], inverse[one, 1:] = 1.0 / level, -(turn @ (means / spreads)) / level
    inverse[at, 1:] = turn.T / (spreads * units)[:, None]
    return C, inverse


def _combined(parts: list[Standardised], shares: np.ndarray) -> tuple[Combined, ...]:
    return tuple([Combined(tuple(parts), row) for row in shares])


def _simple(column: Combined) -> Made:
    """A combination of one part that has its sign is that part."""
    if len(column.parts) == 1 and isinstance(part := column.parts[0], Standardised):
        return part if column.shares[0] > 0.0 else part.turned
    return column


def _positive(part: Standardised) -> tuple[Combined, ...]:
    """The only column with the sign that its first number of the largest size has."""
    return (Combined((part,), np.array([1.0 if part.first_beyond(1.0 - _ALIKE) >= 0.0 else -1.0])),)


def _orthonormal(parts: tuple[Standardised, ...], weights: np.ndarray | None, n: int) -> np.ndarray | None:
    """A, a lower triangle, with A S orthonormal as (weighted) means; None where columns are nearly alike."""
    A = np.eye(len(parts))
    for first in (True, False):
        L, failed = cholesky(_products(_combined(list(parts), A), weights, n))
        if failed or (first and L.diagonal().min() <= _WELL_CONDITIONED):
            return None
        A = triangular_inverse(L.T).T @ A
    return A


def _products(columns: tuple[Combined, ...], weights: np.ndarray | None, n: int) -> np.ndarray:
    """(Weighted) means of the products of the columns."""
    total = np.zeros((len(columns),) * 2)
    for cut in panels(n):
        rows = _rows(columns, cut)
        if weights is not None:
            rows *= np.sqrt(weights[cut])
        add_products(total, rows)
    return total / (n if weights is None else float(np.add.reduce(weights)))


def _rows(columns: tuple[Combined, ...], cut: slice) -> np.ndarray:
    S = np.array([part[cut] for part in columns[0].parts])
    return np.array([column.shares for column in columns]) @ S


def _standing_out(columns: tuple[Combined, ...], n: int) -> np.ndarray:
    """As in :mod:`mme.covariance.axes`: rows of Q are the records that stand out most from those before, (r, r)."""
    r = len(columns)
    Q = np.zeros((r, r))
    for k in range(r):
        q = _first_of_largest(columns, Q[:k], n)
        for _ in range(2):
            q = q - Q[:k].T @ (Q[:k] @ q)
        Q[k] = q / np.linalg.norm(q)
    return Q


def _first_of_largest(columns: tuple[Combined, ...], Q: np.ndarray, n: int) -> np.ndarray:
    """The first record (r,) whose rest beside the rows of Q is as large as any, but for rounding."""
    best, found = list[tuple[float, np.ndarray]](), np.zeros(len(columns))
    for cut in panels(n):
        V = _rows(columns, cut)
        rest = np.einsum("jn,jn->n", V, V) - np.einsum("jn,jn->n", Q @ V, Q @ V)
        first = int(np.argmax(rest >= (1.0 - _ALIKE) * rest.max()))
        best.append((float(rest.max()), V[:, first].copy()))
    most = max(size for size, _ in best)
    for size, record in best:
        if size >= (1.0 - _ALIKE) * most:
            found = record
            break
    return found
