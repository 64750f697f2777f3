r"""Orthonormal columns of a random term: the axes in which its covariance is searched, whatever its columns are.

Z_g b_g = E_g c_g for Z = E C and c = C b, and an unstructured covariance of b is one of c, G -> C G C': origins and
units of covariates, codings of factors, any linear change of the columns leave the model as it is. So the search takes
E, which depends on the span of the columns alone:

* the projection of the constant on the span, if there is one (the constant itself, where it is in the span);
* then, again and again, the projection of the record that stands out most from what is there.

Columns are orthogonal over all records, by Gram-Schmidt done twice: the first pass takes x - mean(x), which is exact
where x is far from zero, so that E keeps all digits that x has.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from math import sqrt

import numpy as np

from mme.covariance.long_axes import long_axes, next_power_of_two, power_of_two
from mme.covariance.standardised import whole
from mme.numeric.kept import deferred
from mme.numeric.lapack import triangular_solve
from mme.numeric.long_columns import LongColumns
from mme.numeric.panels import panels
from mme.numeric.sums import Column, is_constant

# A column is dependent when its predecessors leave of it no more than this share of its length, as in `absorption.py`;
# of a column that lies far from zero the share of its length is a larger one of its spread.
_DEPENDENT = 1e-13
# Rounding to doubles changes a column by no more than this share of its length: the error of the direction it adds.
_ROUNDED = 2.0**-52
# Below this share of its length the constant's projection on the span says nothing.
_OFF = 1e-3
# The projection of the constant is the constant, rounded.
_ROUNDING = 1e-14
# Records that stand out alike but for rounding: the first of them is taken.
_ALIKE = 1e-6


@dataclass(frozen=True, eq=False)
class Axes:
    """Z = E C: ``columns`` are those of E (None: ones), of unit (weighted) mean square, zero from ``rank`` on.

    ``C`` and ``inverse`` are (q, q). A column of Z that earlier ones determine has a row of its own in C, with a column
    of zeros in E: the data say nothing of its coefficient, given the others. ``own`` (q,) marks the other columns.
    Those of many records are made when they are asked for.
    """

    C: np.ndarray
    inverse: np.ndarray
    rank: int
    own: np.ndarray
    columns: deferred[tuple[Column, ...]] = deferred()  # noqa: RUF009  a descriptor

    @property
    def apart(self) -> np.ndarray:
        """The root mean square (q,) of what the other columns leave of each; one for those that they determine."""
        size = np.linalg.norm(self.inverse[:, : self.rank], axis=1)
        return np.where(self.own, 1.0 / np.where(size > 0.0, size, 1.0), 1.0)


def build_axes(Z: np.ndarray | LongColumns, weights: np.ndarray | None, ones: np.ndarray | None = None) -> Axes:
    """Axes of the columns of Z (n, q), orthonormal as (weighted) means over the records.

    Where rows of sums stand for records, ``ones`` (n,) is what they have for a column of ones.
    """
    if isinstance(Z, LongColumns):
        long = long_axes(Z, weights) if ones is None else None
        if long is not None:
            C, inverse, columns = long
            return Axes(C, inverse, len(C), np.ones(len(C), dtype=bool), partial(whole, columns))
        Z = Z.whole()
    if ones is not None:  # means over the records are sums over the rows by ones'ones
        size = sqrt(float(ones @ ones) / len(Z))
        found = _of_columns(Z / size, None, ones / size)
        return replace(found, columns=tuple(None if e is None else e * size for e in found.columns))
    if weights is None and Z.shape[1] == 2 and (slope := _of_slope(Z)) is not None:
        return slope
    return _of_columns(Z, None if weights is None else weights / weights.mean(), None)


def _of_columns(Z: np.ndarray, w: np.ndarray | None, one: Column) -> Axes:
    """Axes by weights whose mean is one, with a column of ones ``one``."""
    n, q = Z.shape
    constant = [is_constant(column) if one is None else np.array_equal(column, one) for column in Z.T]
    power = np.array([power_of_two(Z[:1, j] if constant[j] and one is None else Z[:, j]) for j in range(q)])
    order = sorted(range(q), key=lambda j: not constant[j])
    first_is_constant = one is None and constant[order[0]]  # of which one number is enough
    longs = [slice(None)] * q if not first_is_constant else [slice(1), *[slice(None)] * (q - 1)]
    columns = [np.divide(Z[rows, j], power[j]) for j, rows in zip(order, longs, strict=True)]  # powers of two: exact
    V, R, own = _gram_schmidt(columns, first_is_constant, w)
    R[:, order], own[order] = R.copy(), own.copy()
    turn, E = _canonical(V, w, one, constant[order[0]])
    C, inverse, r = np.zeros((q, q)), np.zeros((q, q)), len(V)
    C[:r] = turn @ R * power
    if r == q:
        inverse[order] = _right_inverse(R[:, order]) @ turn.T / power[order, None]
        return Axes(C, inverse, r, own, tuple(E))
    C[np.arange(r, q), ~own] = power[~own]
    among = [j for j in order if own[j]]
    R_inverse = _right_inverse(R[:, among])
    inverse[among, :r] = R_inverse @ turn.T / power[among, None]
    inverse[among, r:] = -(R_inverse @ R[:, ~own]) / power[among, None]
    inverse[~own, r:] = np.diag(1.0 / power[~own])
    return Axes(C, inverse, r, own, (*E, *[np.zeros(n)] * (q - r)))


def _of_slope(Z: np.ndarray) -> Axes | None:
    """Those of a constant and one covariate, as most terms of two columns are; None of others."""
    first = is_constant(Z[:, 0])
    if first == is_constant(Z[:, 1]):
        return None
    one, x = (0, 1) if first else (1, 0)
    found = _about_mean(Z[:, x])
    if found is None:
        return None
    (mean, spread), columns = found
    C, inverse, level = np.zeros((2, 2)), np.zeros((2, 2)), float(Z[0, one])
    C[0, one], C[0, x], C[1, x] = level, mean, spread
    inverse[one, 0], inverse[x, 1], inverse[one, 1] = 1.0 / level, 1.0 / spread, -mean / (level * spread)
    return Axes(C, inverse, 2, np.ones(2, dtype=bool), columns)


def _about_mean(x: np.ndarray) -> tuple[tuple[float, float], tuple[Column, ...]] | None:
    """The mean of a covariate, its spread with the sign that stands out, and the columns; None if it is constant."""
    high, low = float(np.maximum.reduce(x)), float(np.minimum.reduce(x))
    unit = next_power_of_two(max(high, -low))
    v = np.divide(x, unit)
    length, n = sqrt(float(v @ v) / v.size), v.size
    mean = float(np.add.reduce(v)) / n
    v -= mean
    more = float(np.add.reduce(v)) / n
    v -= more
    spread = sqrt(float(v @ v) / n)
    if not spread > _DEPENDENT * length:
        return None
    v /= spread
    above, below = ((high / unit - mean) - more) / spread, -((low / unit - mean) - more) / spread
    least = (1.0 - _ALIKE) * max(above, below)
    if below >= least and (above < least or v[int((np.abs(v) >= least).argmax())] < 0.0):
        np.negative(v, out=v)
        spread = -spread
    return ((mean + more) * unit, spread * unit), (None, v)


def _right_inverse(R: np.ndarray) -> np.ndarray:
    """X with R X = I to the digits of R X, where columns are far from zero: LAPACK's own inverse has them in X R."""
    return triangular_solve(R, np.eye(len(R)), transposed=False, lower=False)


def _mean(a: np.ndarray, b: Column, w: np.ndarray | None) -> float:
    """The weighted mean of a b."""
    if b is None:
        return float(np.add.reduce(a) / a.size if w is None else a @ w / a.size)
    return float((a if w is None else a * w) @ b / a.size)


def _gram_schmidt(
    columns: list[np.ndarray], first_is_constant: bool, w: np.ndarray | None
) -> tuple[list[Column], np.ndarray, np.ndarray]:
    """V of unit mean square, R (r, q) with columns = V R, and which columns (q,) earlier ones do not determine.

    The columns are overwritten. What rounding of the data can have made is no direction: each v has an error, a share
    of its length, that is handed on to the columns from which it is taken.
    """
    V: list[Column] = []
    errors: list[float] = []
    R, own = np.zeros((len(columns), len(columns))), np.zeros(len(columns), dtype=bool)
    for j, column in enumerate(columns):
        if j == 0 and first_is_constant:
            V.append(None)
            errors.append(0.0)
            R[0, j], own[j] = column[0], True
            continue
        v, length = column, sqrt(_mean(column, column, w))
        for _ in range(2):
            for i, e in enumerate(V):
                along = _mean(v, e, w)
                R[i, j] += along
                if e is not None:
                    v -= along * e
                elif along != 0.0:
                    v -= along
        left = sqrt(_mean(v, v, w))
        handed_on = float(np.abs(R[: len(V), j]) @ errors)
        if left > _DEPENDENT * length + handed_on:
            R[len(V), j], own[j] = left, True
            V.append(np.divide(v, left, out=v))
            errors.append((_ROUNDED * length + handed_on) / left)
    return V, R[: len(V)], own


def _canonical(
    V: list[Column], w: np.ndarray | None, one: Column, has_constant: bool
) -> tuple[np.ndarray, list[Column]]:
    """An orthogonal matrix (r, r), by which V becomes columns that depend on its span alone, and these.

    ``has_constant``: the first of V is the constant.
    """
    r = len(V)
    if r == 0 or (has_constant and r == 1):
        return np.eye(r), list(V)
    if r == 1 or (r == 2 and has_constant):
        last = V[-1]
        assert last is not None
        turn = np.eye(r)
        if last[_first_of_extremes(last)] < 0.0:
            np.negative(last, out=last)
            turn[-1, -1] = -1.0
        return turn, list(V)
    if has_constant:
        inner = np.array(V[1:])
        turn = np.eye(r)
        turn[1:, 1:] = _standing_out(inner)
        return turn, [V[0], *(turn[1:, 1:] @ inner)]
    whole = np.array(V)
    along = np.array([_mean(v, one, w) for v in whole])
    size = float(np.linalg.norm(along))
    if size < _OFF:
        turn = _standing_out(whole)
        return turn, list(turn @ whole)
    turn = np.linalg.qr(np.column_stack([along / size, np.eye(r)]))[0].T  # its first row is plus or minus that one
    turn[0] *= np.sign(turn[0] @ along)
    turn[1:] = _standing_out(turn[1:] @ whole) @ turn[1:]
    first, *others = turn @ whole
    constant = one is None and np.abs(first - 1.0).max() < _ROUNDING * np.sqrt(first.size)
    return turn, [None if constant else first, *others]


def _first_of_extremes(values: np.ndarray) -> int:
    """As :func:`_first_of_largest` of absolute values, without an array of them."""
    bound = (1.0 - _ALIKE) * max(float(values.max()), -float(values.min()))
    for cut in panels(values.size):
        if (large := np.abs(values[cut]) >= bound).any():
            return cut.start + int(np.argmax(large))
    raise ValueError("there is no largest value among none")


def _first_of_largest(values: np.ndarray) -> int:
    return int(np.argmax(values >= (1.0 - _ALIKE) * values.max()))


def _standing_out(V: np.ndarray) -> np.ndarray:
    """Q (r, r), orthogonal: its rows are the records of V (r, n), each less what it has of those before it.

    Next comes the record with the largest rest; the rests, and so the rows of Q V, are those of any other basis.
    """
    r = len(V)
    Q, rest = np.zeros((r, r)), np.einsum("jn,jn->n", V, V)
    for k in range(r):
        q = V[:, _first_of_largest(rest)]
        for _ in range(2):
            q = q - Q[:k].T @ (Q[:k] @ q)
        Q[k] = q / np.linalg.norm(q)
        rest = rest - (Q[k] @ V) ** 2
    return Q
