"""A user's table -> its columns, one at a time and only when asked for, as NumPy arrays or coded factors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.coding import coded
from mme.tables.column import Column, Factor, WideColumn
from mme.tables.intake import intake
from mme.tables.libraries import index_labels
from mme.tables.row_labels import check_order, common_labels, row_labels
from mme.tables.spelling import labels_of

__all__ = ["Column", "Factor", "Frame", "WideColumn", "coded", "intake", "labels_of"]


class Frame:
    """Columns by name, from pandas, Polars, Arrow, a dict of arrays or a structured array.

    Raises
    ------
    MMEError
        The data are none of these, have no rows, or their columns differ in length.

    Examples
    --------
    >>> frame = Frame({"x": [1.5, None], "g": ["b", "a"]})
    >>> frame.n, frame.column("x"), frame.column("g").codes
    (2, array([1.5, nan]), array([1, 0]))
    """

    def __init__(self, data: Any) -> None:
        self.names, self._get, self.n = _open(data)
        self._count = Counter(self.names)
        self._columns: dict[str, Column] = {}
        self._index = data.index if hasattr(data, "iloc") else None
        self._chosen: np.ndarray | None = None

    @property
    def index(self) -> Any:
        """The pandas index of the rows; 0, 1, ... for other tables."""
        return self.later_index()

    @property
    def later_index(self) -> Callable[[], Any]:
        """What makes the index when it is asked for: to load pandas takes longer than most fits, and 60 MiB."""
        return partial(_index, self._index, self._chosen, self.n)

    def __contains__(self, name: str) -> bool:
        return name in self._count

    def chosen(self, rows: np.ndarray) -> Frame:
        """The same columns on the rows that this mask (n,) marks."""
        part = copy(self)
        part._chosen, part.n, part._columns = rows, int(rows.sum()), {}
        return part

    def with_column(self, name: str, column: Column) -> Frame:
        """The same columns, one of them replaced by this; it is as :meth:`column` returns it."""
        other = copy(self)
        other._columns = {**self._columns, name: column}
        return other

    def column(self, name: str) -> Column:
        """Return numbers (NaN is missing), several columns of numbers or, for labels and booleans, a factor."""
        if self._count[name] > 1:
            raise MMEError(f"several columns are called '{name}'; give each its own name")
        if name not in self._columns:
            self._columns[name] = self.aligned(intake(self._get(name), name), f"column '{name}'")
        return self._columns[name]

    def beside(self, values: Any, what: str) -> Column:
        """The chosen rows of values that are given beside the table, one for each of its rows, in its order."""
        self.check_order(values, what)
        return self.aligned(intake(values, what), what)

    def check_order(self, values: Any, what: str) -> None:
        """Refuse values of pandas whose rows have the labels of the table in another order."""
        check_order(values, self._index, what)

    def raw(self, name: str) -> Any:
        """A column as the table holds it."""
        return self._get(name)

    def aligned(self, column: Column, what: str) -> Column:
        """The chosen rows of a column that has a value for each row of the table."""
        length = column.size if isinstance(column, np.ndarray) else column.rows
        total = self.n if self._chosen is None else self._chosen.size
        if length != total:
            raise MMEError(f"{what} has {length} values, the data have {total} rows; give one for each row")
        if self._chosen is None:
            return column
        return column[self._chosen] if isinstance(column, np.ndarray) else column.chosen(self._chosen)


def _index(given: Any, chosen: np.ndarray | None, n: int) -> Any:
    """The index of the chosen rows of n."""
    if given is None:
        import pandas as pd

        return pd.RangeIndex(n) if chosen is None else pd.Index(np.flatnonzero(chosen))
    return given if chosen is None else given[chosen]


def _open(data: Any) -> tuple[Sequence[str], Callable[[str], Any], int]:
    """Names of the columns, a function that fetches one, and the number of rows."""
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        labels = index_labels(data.columns).tolist()
        names = list(map(str, labels))
        return _with_rows(names, partial(_of_pandas, data, dict(zip(names, labels, strict=True))), len(data))
    if hasattr(data, "get_column"):
        return _with_rows(list(data.columns), data.get_column, data.height)
    if hasattr(data, "collect_schema"):
        raise MMEError("the data are a lazy Polars frame; collect() it first")
    if isinstance(data, Mapping):
        return _open_mapping(data)
    if isinstance(data, np.ndarray) and data.dtype.names:
        return _with_rows(list(data.dtype.names), data.__getitem__, len(data))
    if hasattr(data, "to_frame"):
        raise MMEError("the data are one Series; give the table with all columns that the formula names")
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "column_names"):
        import pyarrow as pa

        data = pa.table(data)
    if hasattr(data, "column_names"):
        return _with_rows(list(data.column_names), data.column, data.num_rows)
    held = f"a path: read {data!s} first (pandas.read_csv)" if isinstance(data, str | PathLike) else _kind(data)
    raise MMEError(
        f"data must be a data frame (pandas, Polars, Arrow) or a dict of arrays by column name; it is {held}"
    )


def _of_pandas(data: Any, labels: Mapping[str, Any], name: str) -> Any:
    """A column by its label, where that is text: this is quicker than by its place."""
    label = labels[name]
    return data[label] if isinstance(label, str) else data.iloc[:, list(labels).index(name)]


def _open_mapping(given: Mapping[Any, Any]) -> tuple[Sequence[str], Callable[[str], Any], int]:
    columns = {str(name): values for name, values in given.items()}
    if len(columns) < len(given):
        twice = Counter(map(str, given)).most_common(1)[0][0]
        raise MMEError(f"several columns are called '{twice}'; give each its own name")
    common_labels({f"column '{name}'": row_labels(values) for name, values in columns.items()})
    lengths = {name: _length(values, name) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        common = Counter(lengths.values()).most_common(1)[0][0]
        odd = next(name for name, length in lengths.items() if length != common)
        raise MMEError(f"column '{odd}' has {lengths[odd]} values, other columns have {common}; lengths must agree")
    return _with_rows(list(columns), columns.__getitem__, next(iter(lengths.values()), 0))


def _length(values: Any, name: str) -> int:
    """The number of rows of a column; a sparse one has a shape and no length."""
    shape = getattr(values, "shape", None)
    if isinstance(values, str | bytes | Mapping) or not (shape or (hasattr(values, "__len__") and shape is None)):
        raise MMEError(f"column '{name}' is {_kind(values)}; give an array with a value for each row")
    return int(np.prod(values.shape)) if hasattr(values, "toarray") else len(values)


def _with_rows(names: Sequence[str], get: Callable[[str], Any], n: int) -> tuple[Sequence[str], Any, int]:
    if n == 0:
        raise MMEError(f"the data have no rows (columns: {', '.join(names[:10]) or 'none'})")
    return names, get, n


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
