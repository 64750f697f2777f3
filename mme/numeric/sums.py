"""Sums over records: by level of a factor, by cell of two factors. Each is one pass over the data.

A column is an (n,) array, or None for a column of ones, which costs no pass. Codes are (n,), or (q, n) where each of
q columns has levels of its own (:func:`coding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp

from mme.numeric.limits import limits
from mme.numeric.panels import panels, picked_by_panels

Column = np.ndarray | None

# Records of a column that are looked at before all of them; and up to which a sort is quicker than a transpose.
_FEW = 1024


def is_constant(column: np.ndarray) -> bool:
    """Whether all records have one number, which is not zero."""
    few = column[:_FEW]  # most columns show here that they have not
    if not few.size or few[0] == 0.0 or few[0] != few[-1] or not (few == few[0]).all():
        return False
    return column.size <= _FEW or bool((column == column[0]).all())


def by_column(codes: np.ndarray) -> bool:
    """Whether each column has levels of its own: codes are (q, n), not (n,)."""
    return codes.ndim == 2


def coding(codes: np.ndarray, a: int) -> np.ndarray:
    """(n,): the codes of column a."""
    return codes[a] if by_column(codes) else codes


def sum_by_level(codes: np.ndarray, J: int, left: Column, right: Column) -> np.ndarray:
    """(J,): the inner product of two columns over the records of each level.

    With :func:`indicators` (n, J) in the place of codes, (m, J): of several columns ``right`` (m, n). Of many records
    neither products nor codes of full width are made as a whole.
    """
    if codes.ndim == 2:
        return np.asarray(_product(left, right) @ codes)
    if codes.size <= limits().records_in_panel:
        found = np.bincount(codes, _product(left, right), minlength=J)
        return found if found.dtype == float else found.astype(float)  # counts of records are whole numbers
    sums = np.zeros(J)
    for cut in panels(codes.size):
        of_panel = _product(*(None if column is None else column[cut] for column in (left, right)))
        np.add.at(sums, codes[cut], 1.0 if of_panel is None else of_panel)  # in the order of the records
    return sums


def indicators(codes: np.ndarray, J: int) -> np.ndarray:
    """(n, J): one where a record has a level, else zero.

    Examples
    --------
    >>> indicators(np.array([0, 2]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    found = np.zeros((codes.size, J))
    found[np.arange(codes.size), codes] = 1.0
    return found


def level_sums(codes: np.ndarray, J: int, left: Sequence[Column], right: Sequence[Column]) -> np.ndarray:
    """(J, a, b): inner products of each left column with each right one over the records of its levels."""
    if J == 1 and not by_column(codes):
        return (_rows(left, codes.size) @ _rows(right, codes.size).T)[None]
    out = np.empty((J, len(left), len(right)))
    for a, b in np.ndindex(len(left), len(right)):
        out[:, a, b] = sum_by_level(coding(codes, a), J, left[a], right[b])
    return out


def _rows(columns: Sequence[Column], n: int) -> np.ndarray:
    return np.array([np.ones(n) if column is None else column for column in columns]).reshape(len(columns), n)


def own_sums(codes: np.ndarray, J: int, left: Sequence[Column], right: Sequence[Column]) -> np.ndarray:
    """(J, a, b): as :func:`level_sums`, over the records that have the level in both columns."""
    if not by_column(codes):
        return level_sums(codes, J, left, right)
    out = np.empty((J, len(left), len(right)))
    for a, b in np.ndindex(len(left), len(right)):
        out[:, a, b] = sum_by_level(codes[a], J, left[a], _product(right[b], (codes[a] == codes[b]).astype(float)))
    return out


def _product(left: Column, right: Column) -> Column:
    if left is None or right is None:
        return right if left is None else left
    return left * right


def times(values: np.ndarray, left: Column, right: Column) -> np.ndarray:
    """Values (n,) times two columns."""
    for column in (left, right):
        values = values if column is None else values * column
    return values


@dataclass(frozen=True, eq=False)
class Cells:
    """The combinations of two factors that occur: records -> cells, cells -> (row level, column level), row-major.

    ``of_record`` is (n,), or (q, q', n) where columns have levels of their own: the cell for every pair of columns,
    with an axis of length one for a factor whose columns share their levels. ``left`` and ``right`` are the entries of
    the two factors that meet, where these are not their records one by one.
    """

    of_record: np.ndarray
    rows: np.ndarray
    cols: np.ndarray
    left: np.ndarray | None = None
    right: np.ndarray | None = None

    @property
    def count(self) -> int:
        """Number of combinations that occur."""
        return int(self.rows.size)

    def narrow(self) -> Cells:
        """The cells with numbers of half the width, where they are small enough: many stay, and each is used seldom."""
        if max(self.count, self.rows.max(initial=0), self.cols.max(initial=0)) >= 2**31:
            return self
        of_record, rows, cols = (x.astype(np.int32) for x in (self.of_record, self.rows, self.cols))
        return replace(self, of_record=of_record, rows=rows, cols=cols)

    def sums(self, left: Sequence[Column], right: Sequence[Column]) -> np.ndarray:
        """(cells, a, b): inner products of the columns over the records of each cell."""
        left, right = picked(left, self.left), picked(right, self.right)
        if self.of_record.ndim == 1:
            return level_sums(self.of_record, self.count, left, right)
        out = np.empty((self.count, len(left), len(right)))
        for a, b in np.ndindex(len(left), len(right)):
            out[:, a, b] = sum_by_level(of_pair(self.of_record, a, b), self.count, left[a], right[b])
        return out


def picked(columns: Sequence[Column], entries: np.ndarray | None) -> Sequence[Column]:
    """The columns at some entries; None: at all."""
    if entries is None:
        return columns
    return [
        None if column is None else column.take(entries, mode="clip") for column in columns
    ]  # without a look at each


def of_pair(of_record: np.ndarray, a: int, b: int) -> np.ndarray:
    """(n,): the cell of each record for columns a and b."""
    if of_record.ndim == 1:
        return of_record
    rows, cols, _ = of_record.shape
    return of_record[a if rows > 1 else 0, b if cols > 1 else 0]


def pair_numbers(rows: np.ndarray, cols: np.ndarray, n_rows: int, n_cols: int) -> np.ndarray:
    """rows n_cols + cols, in integers that have room for n_rows n_cols: codes of many records have 32 bits."""
    wide = np.dtype(np.int64) if n_rows * n_cols >= 2**31 else np.result_type(rows, cols)
    found = rows.astype(wide, copy=False) * wide.type(n_cols)
    found += cols
    return np.asarray(found)


def cells(rows: np.ndarray, cols: np.ndarray, n_rows: int, n_cols: int) -> Cells:
    """Number the occurring combinations of two coded factors."""
    if rows.ndim == 2 or cols.ndim == 2:  # every pair of columns as more records
        left, right = np.broadcast_arrays(np.atleast_2d(rows)[:, None], np.atleast_2d(cols))
        flat = cells(left.ravel(), right.ravel(), n_rows, n_cols)
        return replace(flat, of_record=flat.of_record.reshape(left.shape))
    key = pair_numbers(rows, cols, n_rows, n_cols)
    if n_rows * n_cols <= 4 * key.size:
        present = np.zeros(n_rows * n_cols, dtype=bool)
        present[key] = True
        narrow = np.int32 if present.size < 2**31 else np.int64
        number: np.ndarray = np.cumsum(present, dtype=narrow)
        found = np.flatnonzero(present).astype(narrow)
        number -= 1
        return Cells(picked_by_panels(number, key), found // n_cols, found % n_cols)
    order = by_code(cols, n_cols)
    order = picked_by_panels(order, by_code(picked_by_panels(rows, order), n_rows))
    key = picked_by_panels(key, order)
    first = np.concatenate(([True], key[1:] != key[:-1]))
    found = key[first]
    del key  # each of these is as long as the records
    number = np.cumsum(first, dtype=order.dtype)
    number -= 1
    of_record = np.empty_like(number)
    for cut in panels(order.size):
        of_record[order[cut]] = number[cut]
    return Cells(of_record, found // n_cols, found % n_cols)


def no_cells() -> Cells:
    """The cells of a factor without levels."""
    none = np.zeros(0, dtype=np.int64)
    return Cells(none, none, none)


def by_code(codes: np.ndarray, J: int) -> np.ndarray:
    """Stable order by code.

    Of many records the transpose of a sparse matrix with one entry a row, O(n) where argsort is O(n log n).
    """
    n = codes.size
    if n <= _FEW:
        return np.argsort(codes, kind="stable")
    each = np.arange(n + 1, dtype=np.int32 if n < 2**31 - 1 else np.int64)
    one_a_row = sp.csr_array((np.empty(n, dtype=np.int8), codes, each), shape=(n, J))
    return np.asarray(one_a_row.tocsc().indices)
