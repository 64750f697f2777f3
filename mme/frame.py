"""A user's table -> its columns, one at a time and only when asked for, as NumPy arrays or coded factors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mme.arrays import numbers
from mme.errors import MMEError
from mme.syntax import r_number

_NUMBERS = ("integer", "floating", "mixed-integer-float", "decimal")
_LABELS = ("string", "mixed", "mixed-integer", "bytes")


@dataclass(frozen=True)
class Factor:
    """A coded column: row i holds ``categories[codes[i]]``, code -1 is a missing value.

    ``kind`` is ``"text"`` of a column of text, which is no factor to R's ``as.numeric``, ``"ordered"`` where the
    categories are declared to have an order, ``"factor"`` otherwise.
    """

    codes: np.ndarray
    categories: np.ndarray
    kind: str = "factor"

    @property
    def logical(self) -> bool:
        """Whether the two categories are False and True."""
        return self.categories.dtype.kind == "b"

    @property
    def ordered(self) -> bool:
        """Whether the categories are declared to have an order."""
        return self.kind == "ordered"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.codes.size)

    def chosen(self, rows: np.ndarray) -> Factor:
        """These rows of it."""
        return replace(self, codes=self.codes[rows])


@dataclass(frozen=True)
class Basis:
    """Several columns under one name; ``suffixes`` follow it in the names of the coefficients."""

    values: np.ndarray
    suffixes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def chosen(self, rows: np.ndarray) -> Basis:
        """These rows of it."""
        return replace(self, values=self.values[rows])


Column = np.ndarray | Factor | Basis


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
        if self._index is None:
            import pandas as pd

            return pd.RangeIndex(self.n) if self._chosen is None else pd.Index(np.flatnonzero(self._chosen))
        return self._index if self._chosen is None else self._index[self._chosen]

    def __contains__(self, name: str) -> bool:
        return name in self._count

    def chosen(self, rows: np.ndarray) -> Frame:
        """The same columns on the rows that this mask (n,) marks."""
        part = copy(self)
        part._chosen, part.n, part._columns = rows, int(rows.sum()), {}
        return part

    def column(self, name: str) -> Column:
        """Return numbers (NaN is missing), several columns of numbers or, for labels and booleans, a factor."""
        if self._count[name] > 1:
            raise MMEError(f"several columns are called '{name}'; give each its own name")
        if name not in self._columns:
            self._columns[name] = self.aligned(intake(self._get(name), name), f"column '{name}'")
        return self._columns[name]

    def aligned(self, column: Column, what: str) -> Column:
        """The chosen rows of a column that has a value for each row of the table."""
        length = column.size if isinstance(column, np.ndarray) else column.rows
        total = self.n if self._chosen is None else self._chosen.size
        if length != total:
            raise MMEError(f"{what} has {length} values, the data have {total} rows; give one for each row")
        if self._chosen is None:
            return column
        return column[self._chosen] if isinstance(column, np.ndarray) else column.chosen(self._chosen)


def intake(values: Any, name: str) -> Column:
    """Turn one column of any library into numbers or a factor, a matrix into several columns of numbers."""
    if hasattr(values, "combine_chunks") or hasattr(values, "dictionary_encode"):
        return _from_arrow(values, name)
    if hasattr(values, "to_physical"):
        return _from_polars(values, name)
    if hasattr(values, "iloc") and hasattr(values, "columns"):
        return _matrix(values.to_numpy(), tuple(map(str, values.columns)), name)
    if hasattr(values, "iloc") or hasattr(values, "categories"):
        return _from_pandas(values, name)
    if isinstance(values, np.ma.MaskedArray):
        values = np.where(np.ma.getmaskarray(values), np.nan, values.data)
    return _from_numpy(np.asarray(values), name)


def labels_of(categories: np.ndarray) -> list[str]:
    """Print labels as R does: whole floats as integers, booleans in capitals.

    Examples
    --------
    >>> labels_of(np.array([1.0, 2.5])), labels_of(np.array([False, True]))
    (['1', '2.5'], ['FALSE', 'TRUE'])
    """
    if categories.dtype.kind == "f":
        return [r_number(value) for value in categories.tolist()]
    return [value if type(value) is str else _label(value) for value in categories.tolist()]


def coded(labels: Any, name: str) -> Factor:
    """Code an array of labels; levels sorted (strings by code point), missing ones -1."""
    import pandas as pd

    try:
        codes, levels = pd.factorize(labels)
    except TypeError:
        raise MMEError(f"column '{name}' holds lists or other objects; give labels or numbers") from None
    return _sorted_levels(codes, np.asarray(levels, dtype=object).tolist())


def _text(factor: Factor) -> Factor:
    return replace(factor, kind="text")


def _label(value: Any) -> str:
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return r_number(value) if isinstance(value, float) else str(value)


def _sorted_levels(codes: np.ndarray, levels: list[Any]) -> Factor:
    try:
        order = sorted(range(len(levels)), key=levels.__getitem__)
    except TypeError:  # labels of several types
        order = sorted(range(len(levels)), key=lambda j: str(levels[j]))
    rank = np.full(len(levels) + 1, -1)  # the code -1 finds the last place
    rank[order] = np.arange(len(levels))
    categories = np.empty(len(levels), dtype=object)
    categories[:] = [levels[j] for j in order]
    return Factor(rank[codes], categories)


def _open(data: Any) -> tuple[Sequence[str], Callable[[str], Any], int]:
    """Names of the columns, a function that fetches one, and the number of rows."""
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        names = [str(name) for name in data.columns]
        return _with_rows(names, lambda name: data.iloc[:, names.index(name)], len(data))
    if hasattr(data, "get_column"):
        return _with_rows(list(data.columns), data.get_column, data.height)
    if hasattr(data, "collect_schema"):
        raise MMEError("the data are a lazy Polars frame; collect() it first")
    if isinstance(data, Mapping):
        return _open_mapping({str(name): values for name, values in data.items()})
    if isinstance(data, np.ndarray) and data.dtype.names:
        return _with_rows(list(data.dtype.names), data.__getitem__, len(data))
    if hasattr(data, "__arrow_c_stream__") and not hasattr(data, "column_names"):
        import pyarrow as pa

        data = pa.table(data)
    if hasattr(data, "column_names"):
        return _with_rows(list(data.column_names), data.column, data.num_rows)
    raise MMEError(
        f"data must be a data frame (pandas, Polars, Arrow) or a dict of arrays by column name; it is {_kind(data)}"
    )


def _open_mapping(columns: dict[str, Any]) -> tuple[Sequence[str], Callable[[str], Any], int]:
    lengths = {}
    for name, values in columns.items():
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise MMEError(f"column '{name}' is {_kind(values)}; give an array with a value for each row")
        lengths[name] = len(values)
    if len(set(lengths.values())) > 1:
        common = Counter(lengths.values()).most_common(1)[0][0]
        odd = next(name for name, length in lengths.items() if length != common)
        raise MMEError(f"column '{odd}' has {lengths[odd]} values, other columns have {common}; lengths must agree")
    return _with_rows(list(columns), columns.__getitem__, next(iter(lengths.values()), 0))


def _with_rows(names: Sequence[str], get: Callable[[str], Any], n: int) -> tuple[Sequence[str], Any, int]:
    if n == 0:
        raise MMEError(f"the data have no rows (columns: {', '.join(names[:10]) or 'none'})")
    return names, get, n


def _matrix(values: np.ndarray, names: tuple[str, ...], name: str) -> Basis:
    """Several columns under one name, as a matrix in R's data frames; one alone has no suffix."""
    matrix = numbers(values, f"column '{name}'")
    if matrix.shape[1] == 0:
        raise MMEError(f"column '{name}' is a matrix without columns")
    return Basis(matrix, names if matrix.shape[1] > 1 else ("",))


def _from_numpy(values: np.ndarray, name: str) -> Column:
    if values.ndim == 2:
        return _matrix(values, tuple(str(j + 1) for j in range(values.shape[1])), name)
    if values.ndim != 1:
        raise MMEError(f"column '{name}' must have one dimension, or two for a matrix; got shape {values.shape}")
    if values.dtype.kind == "b":
        return Factor(values.astype(np.int64), np.array([False, True]))
    if values.dtype.kind in "iufMm":
        return values
    if values.dtype.kind in "OUST":
        return _from_objects(values.astype(object, copy=False), name)
    raise MMEError(f"column '{name}' holds {values.dtype} values; give real numbers or labels")


def _from_objects(values: np.ndarray, name: str) -> Column:
    import pandas as pd

    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in _LABELS:
        return _text(coded(values, name))
    if kind == "boolean":
        missing = pd.isna(values)
        return Factor(np.where(missing, -1, values == True), np.array([False, True]))  # noqa: E712 - elementwise
    if kind in _NUMBERS or kind == "empty":
        whole = kind == "integer" and not pd.isna(values).any()
        return np.asarray(pd.Series(values).astype("int64" if whole else "float64"))
    if kind in ("datetime", "datetime64", "date"):
        return np.asarray(pd.to_datetime(pd.Series(values)), dtype="datetime64[ns]")
    raise MMEError(f"column '{name}' holds objects of kind '{kind}'; give numbers or labels")


def _from_pandas(values: Any, name: str) -> Column:
    import pandas as pd

    values = pd.Series(values)
    dtype = values.dtype
    if str(dtype).startswith("dictionary"):
        return _from_arrow(values.array.__arrow_array__(), name)
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.cat.codes.to_numpy(np.int64)
        return Factor(codes, np.asarray(dtype.categories), "ordered" if dtype.ordered else "factor")
    if isinstance(dtype, np.dtype):
        return _from_numpy(values.to_numpy(), name)
    if pd.api.types.is_bool_dtype(dtype):
        return Factor(values.astype("Int64").fillna(-1).to_numpy(np.int64), np.array([False, True]))
    if pd.api.types.is_numeric_dtype(dtype):
        if values.hasnans or getattr(dtype, "kind", "f") not in "iu":
            return np.asarray(values.to_numpy(dtype=float, na_value=np.nan))
        return np.asarray(values.to_numpy(dtype=np.int64))
    if pd.api.types.is_datetime64_any_dtype(dtype):
        return np.asarray(values, dtype="datetime64[ns]")
    if pd.api.types.is_string_dtype(dtype):
        return _text(coded(values, name))
    return _from_objects(values.to_numpy(dtype=object), name)


def _from_polars(values: Any, name: str) -> Column:
    import polars as pl

    kind = "ordered" if isinstance(values.dtype, pl.Enum) else "text" if values.dtype == pl.String else "factor"
    if values.dtype in (pl.Categorical, pl.String):  # bytes of UTF-8 sort as code points
        values = values.cast(pl.String)
        levels = values.drop_nulls().unique().sort()
        if levels.is_empty():
            return np.full(len(values), np.nan)
        values = values.cast(pl.Enum(levels))
    if isinstance(values.dtype, pl.Enum):
        codes = values.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return Factor(codes, np.array(values.dtype.categories.to_list(), dtype=object), kind)
    if values.dtype == pl.Boolean:
        return Factor(values.cast(pl.Int64).fill_null(-1).to_numpy(), np.array([False, True]))
    if values.dtype.is_decimal() or values.dtype == pl.Null:
        values = values.cast(pl.Float64)
    return _from_numpy(values.to_numpy(), name)


def _from_arrow(values: Any, name: str) -> Column:
    import pyarrow as pa

    kind = values.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if text or pa.types.is_dictionary(kind):
        values = values.dictionary_encode() if text else values
        if isinstance(values, pa.ChunkedArray):
            values = values.unify_dictionaries().combine_chunks()
        if isinstance(values, pa.ChunkedArray):  # several chunks of dictionaries stay chunked in some versions
            values = pa.concat_arrays(values.chunks)
        codes = values.indices.cast(pa.int64()).fill_null(-1).to_numpy()
        levels = values.dictionary.to_pylist()
        if text:
            return _text(_sorted_levels(codes, levels))
        return Factor(codes, np.array(levels, dtype=object), "ordered" if values.type.ordered else "factor")
    if pa.types.is_boolean(kind):
        codes = values.cast(pa.int8()).cast(pa.int64()).fill_null(-1)
        return Factor(np.asarray(codes), np.array([False, True]))
    if pa.types.is_decimal(kind) or pa.types.is_null(kind):
        values = values.cast(pa.float64())
    return _from_numpy(np.asarray(values), name)


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"
