"""Columns of X that are far from zero by their distance from their mean, where others make up a constant.

x - c for x is an exact invariance where the columns span a constant: a column far from zero (calendar years, seconds
since 1970) is taken from its mean, and its rank is judged by its spread about it. The same holds of x within a level of
a factor, x:f, where the columns span those of f.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mme.covariance.standardised import Standardised
from mme.numeric.long_columns import LongColumns
from mme.numeric.sums import Column, is_constant

# Where a column that is not zero varies by less than this share of its size, it is far from zero.
_FAR = 1e-2
# Records of a column that are looked at before all of them.
_FEW = 1024
# Less than this share of it is rounding.
_ROUNDING = 1e-13
# A column is made up of others where they leave no more of it than this share of its size.
_MADE_UP = 1e-9
# So many records, and four a column, are looked at first.
_SOME = 50


@dataclass(frozen=True, eq=False)
class Centred:
    """X as rows (p, n), those far from zero by their distance from their mean: what no weights change.

    Attributes
    ----------
    rows : (p, n)
        Those far from zero behind the columns that make up their constant.
    moved : dict
        Of each such column, by its place, what :func:`_moved_to_mean` says.
    order : (p,) array or None
        Columns of X in the order of the rows; None: they stand as in X.
    """

    rows: np.ndarray
    moved: dict[int, tuple[np.ndarray, float, np.ndarray]]
    order: np.ndarray | None = None

    @property
    def stands(self) -> bool:
        """Whether the columns have the order of X."""
        return self.order is None


@dataclass(frozen=True, eq=False)
class CentredColumns:
    """The same of many records by columns (None: ones); those that are ``moved`` are made when they are asked for."""

    columns: tuple[Column | Standardised, ...]
    moved: dict[int, tuple[Standardised, float, None]]


def centred(X: np.ndarray, *, as_they_stand: bool = False) -> Centred:
    """The columns of X near zero; those before what makes up their constant are not moved where they are to stand."""
    rows = np.ascontiguousarray(X.T)
    found, waiting = _near(rows)
    order = None if as_they_stand or not waiting else _behind_their_constant(found.rows, waiting)
    return found if order is None else _near(rows[order], order)[0]


def centred_columns(X: LongColumns) -> CentredColumns | None:
    """The columns near zero; None where some are to be moved along other columns than the constant."""
    columns, moved, constant = list[Column | Standardised](), dict[int, tuple[Standardised, float, None]](), False
    for j, column in enumerate(X.columns):
        columns.append(column)
        if column is None or is_constant(column):
            constant = True
        elif _sums_if_far(column) is None:
            if moved and _may_be_times_contrast(column, X.columns[:j], moved):
                return None
        elif not _has_one_value(column):
            if not constant or np.count_nonzero(column) < column.size:
                return None
            near, _ = Standardised.of(column, 1.0)
            if near.spread < _ROUNDING * abs(near.means[0]):
                return None
            columns[-1] = made = replace(near, spread=1.0)
            moved[j] = made, float(sum(near.means)), None
    return CentredColumns(tuple(columns), moved)


def _may_be_times_contrast(column: np.ndarray, before: Sequence[Column], moved: Iterable[int]) -> bool:
    """As :func:`_times_contrast`, of some records."""
    some = _spread(column.size, len(before))
    rows = np.array([np.ones(some.size) if one is None else one[some] for one in before])
    return any(_is_made_up(column[some] / rows[i], rows) for i in moved)


def centred_sums(X: np.ndarray, ones: np.ndarray, names: Sequence[str]) -> Centred:
    """The columns of X near zero, of rows of sums in which the constant is ``ones``, behind which others are moved.

    x:f is moved by the column of f, which its name shows: of sums no column shows where it is one.
    """
    rows, moved = np.array(X.T, order="C"), dict[int, tuple[np.ndarray, float, np.ndarray]]()
    parts, constant = [frozenset(name.split(":")) for name in names], False
    for j, row in enumerate(rows):
        if np.array_equal(row, ones):
            constant = True
            continue
        before = [rows[i] for i in range(j) if parts[i] < parts[j] and i not in moved]
        for where in [*([ones] if constant else []), *before]:
            if (found := _about(row, where)) is not None:
                moved[j] = found
    for j, (near, _, _) in moved.items():
        rows[j] = near
    return Centred(rows, moved)


def _about(row: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, float, np.ndarray] | None:
    """x - c s, c and s for a column x far from zero along s; None where it is not."""
    weight = float(where @ where)
    mean = float(where @ row) / weight if weight else 0.0
    near = row - mean * where
    if not mean or np.linalg.norm(near) > _FAR * abs(mean) * np.sqrt(weight):
        return None
    more = float(where @ near) / weight
    return near - more * where, mean + more, where.copy()


def _near(rows: np.ndarray, order: np.ndarray | None = None) -> tuple[Centred, list[int]]:
    """The rows near zero, and those far from zero whose constant is not made up by rows before them."""
    moved, waiting = _moved_to_mean(rows)
    if moved:
        rows = rows.copy()
        for j, (near, _, _) in moved.items():
            rows[j] = near
    return Centred(rows, moved, order), waiting


def _behind_their_constant(rows: np.ndarray, waiting: list[int]) -> np.ndarray | None:
    """An order in which columns far from zero follow those that make up their constant; None where it is the present.

    In 0 + x * f the constant is made up by the columns of f, which follow x.
    """
    others = np.setdiff1d(np.arange(len(rows)), waiting)
    place = np.arange(len(rows), dtype=float)
    for j in waiting:
        where = (rows[j] != 0.0).astype(float)
        if not _is_made_up(where, rows[others]):
            continue
        low, high = int(np.searchsorted(others, j)), others.size  # the first so many columns make it up, by bisection
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _is_made_up(where, rows[others[:middle]]) else (middle, high)
        place[j] = others[high - 1] + 0.5
    order = np.argsort(place, kind="stable")
    return None if (np.diff(order) > 0).all() else order


def _moved_to_mean(rows: np.ndarray) -> tuple[dict[int, tuple[np.ndarray, float, np.ndarray]], list[int]]:
    """By column of X (rows): x - c s, c and s for those far from zero; and those for which s is not at hand.

    Earlier columns make up s (n,), so that the span of all remains what it was: an intercept, or for x within a level
    of a factor, x:f, the columns of f. It is one where x is not zero; of x times a contrast of f (of sums, Helmert's,
    a polynomial) it is the contrast, and c that of x by itself.
    """
    n, moved, waiting = rows.shape[1], dict[int, tuple[np.ndarray, float, np.ndarray]](), list[int]()
    constant = False
    for j, row in enumerate(rows):
        if is_constant(row):
            constant = True
            continue
        sums = _sums_if_far(row)
        if sums is None:
            if moved and (found := _times_contrast(row, rows[:j], moved)) is not None:
                moved[j] = found
            continue
        count, total, squares = sums
        if count == total == squares or _has_one_value(row):  # sum (x - 1)^2 = squares - 2 total + count
            continue
        where = (row != 0.0).astype(float)
        if not (constant and count == n) and not _is_made_up(where, _with_moved(rows[:j], moved)):
            waiting.append(j)
            continue
        mean = total / count
        near = row - mean * where
        more = float(near.sum()) / count
        near = near - more * where
        if np.linalg.norm(near) < _ROUNDING * np.sqrt(squares):
            near = np.zeros(n)
        moved[j] = near, mean + more, where
    return moved, waiting


def _sums_if_far(row: np.ndarray) -> tuple[int, float, float] | None:
    """How many entries are not zero, their sum and their squares, where they vary little for their size; else None."""
    if _has_both_signs(row):
        return None
    count, total, squares = int(np.count_nonzero(row)), float(np.add.reduce(row)), float(row @ row)
    return (count, total, squares) if count > 0 and count * squares <= (1.0 + _FAR**2) * total**2 else None


def _has_one_value(row: np.ndarray) -> bool:
    """Whether all entries that are not zero are the same number."""
    where = row != 0.0
    return bool(np.count_nonzero(row == row[int(where.argmax())]) == np.count_nonzero(where))


def _has_both_signs(row: np.ndarray) -> bool:
    """Whether records at the head of a long column show that it is not far from zero.

    A record on the other side of the mean m differs from it by more than |m|: there are few of them where it is far.
    """
    if row.size <= _FEW:
        return False
    few = row[:_FEW]
    return bool(min(np.count_nonzero(few > 0.0), np.count_nonzero(few < 0.0)) > _FAR**2 * row.size)


def _times_contrast(
    row: np.ndarray, rows: np.ndarray, moved: dict[int, tuple[np.ndarray, float, np.ndarray]]
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """x s less its part c s, c, and s, for a column x that was moved by c and a contrast s of columns before."""
    for i, (_, mean, where) in moved.items():
        if (where == 1.0).all():
            contrast = row / rows[i]
            if _is_made_up(contrast, _with_moved(rows, moved)):
                return row - mean * contrast, mean, contrast
    return None


def _with_moved(rows: np.ndarray, moved: dict[int, tuple[np.ndarray, float, np.ndarray]]) -> list[np.ndarray]:
    return [moved[i][0] if i in moved else row for i, row in enumerate(rows)]


def _spread(n: int, columns: int) -> np.ndarray:
    """Places among n records, more than enough to tell so many columns apart."""
    return np.linspace(0, n - 1, min(n, _SOME + 4 * columns)).astype(np.intp)


def _is_made_up(where: np.ndarray, columns: Sequence[np.ndarray] | np.ndarray) -> bool:
    """Whether columns are known to have ``where`` in their span: in some records, and then in all."""
    if not len(columns):
        return False
    n, most = where.size, _MADE_UP * float(np.abs(where).max())
    for some in (_spread(n, len(columns)), slice(None)):
        E = np.array([column[some] for column in columns])
        size = np.sqrt(np.einsum("ji,ji->j", E, E))
        size[size == 0.0] = 1.0
        weights = np.linalg.lstsq((E / size[:, None]).T, where[some], rcond=None)[0] / size
        if np.abs(where[some] - weights @ E).max() >= most:
            return False
        left = where.copy()
        for weight, column in zip(weights.tolist(), columns, strict=True):
            left -= weight * column
        if np.abs(left).max() < most:
            return True
    return False
