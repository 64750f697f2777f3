"""Columns of pandas, Polars and Arrow -> numbers, dates or a factor."""

from __future__ import annotations

from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables.codes import all_missing, as_text, in_order, object_array, with_gaps
from mme.tables.coding import declared
from mme.tables.column import Column, Factor
from mme.tables.objects import from_objects
from mme.tables.sequences import from_numpy

# Polars' integers of more digits than NumPy has.
_WIDE = ("Int128", "UInt128")


def from_pandas(values: Any, title: str) -> Column:
    """Read a pandas Series, Index or array: numbers, dates or a factor; ``title`` names it in messages."""
    import pandas as pd

    if not isinstance(values, pd.Series):
        if isinstance(values, pd.MultiIndex):
            raise MMEError(f"{title} is a MultiIndex; give one of its levels (get_level_values)")
        values = pd.Series(values)
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return from_numpy(values.to_numpy(), title)
    if isinstance(dtype, pd.StringDtype):
        return _of_strings(values)
    if isinstance(dtype, pd.SparseDtype):
        return from_pandas(values.sparse.to_dense(), title)
    if isinstance(dtype, pd.ArrowDtype):
        return from_arrow(values.array.__arrow_array__(), title)
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.array.codes.astype(np.int64)
        if isinstance(dtype.categories.dtype, pd.StringDtype):  # texts, no two of them alike
            return Factor(codes, index_labels(dtype.categories), "ordered" if dtype.ordered else "factor")
        return declared(codes, np.asarray(dtype.categories), title, dtype.ordered)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return np.asarray(values.dt.tz_convert(None))
    if pd.api.types.is_bool_dtype(dtype):
        return Factor(values.astype("Int64").fillna(-1).to_numpy(np.int64), np.array([False, True]))
    if pd.api.types.is_integer_dtype(dtype):
        missing = values.isna().to_numpy()
        numbers = values.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return with_gaps(numbers, missing) if missing.any() else numbers
    if pd.api.types.is_float_dtype(dtype):
        return values.to_numpy(dtype=dtype.numpy_dtype, na_value=np.nan)
    if pd.api.types.is_string_dtype(dtype):
        return _of_strings(values)
    return from_objects(values.to_numpy(dtype=object, na_value=None), title)


def index_labels(index: Any) -> np.ndarray:
    """The labels of a pandas index, as objects; of Arrow's texts a twentieth of the time that pandas takes."""
    if getattr(index.dtype, "storage", None) == "pyarrow":
        texts = index.array.__arrow_array__()
        if not texts.null_count:
            return np.asarray(texts.to_numpy(zero_copy_only=False))
    return np.asarray(index, dtype=object)


def _of_strings(values: Any) -> Column:
    codes, texts = values.array.factorize()
    return as_text(in_order(codes, np.asarray(texts, dtype=object).tolist())) if len(texts) else all_missing(values)


def from_polars(values: Any, title: str) -> Column:
    """Read a Polars Series: numbers, dates or a factor; ``title`` names it in messages."""
    import polars as pl

    dtype = values.dtype
    kind = "ordered" if isinstance(dtype, pl.Enum) else "text" if dtype == pl.String else "factor"
    if dtype in (pl.Categorical, pl.String):  # bytes of UTF-8 sort as code points
        values = values.cast(pl.String)
        levels = values.drop_nulls().unique().sort()
        if levels.is_empty():
            return all_missing(values)
        values = values.cast(pl.Enum(levels))
    if isinstance(values.dtype, pl.Enum):
        codes = values.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return Factor(codes, np.array(values.dtype.categories.to_list(), dtype=object), kind)
    if dtype == pl.Boolean:
        return Factor(values.cast(pl.Int64).fill_null(-1).to_numpy(), np.array([False, True]))
    if dtype == pl.Null:
        return all_missing(values)
    if dtype.is_integer() and str(dtype) not in _WIDE:
        missing = values.is_null().to_numpy()
        return with_gaps(values.fill_null(0).to_numpy(), missing) if missing.any() else values.to_numpy()
    if dtype.is_float() or dtype in (pl.Date, pl.Datetime, pl.Duration):
        return from_numpy(values.to_numpy(), title)
    return from_objects(object_array(values.to_list()), title)


def from_arrow(values: Any, title: str) -> Column:
    """Read an Arrow array, chunked or not: numbers, dates or a factor; ``title`` names it in messages."""
    import pyarrow as pa

    if isinstance(values, pa.Table | pa.RecordBatch):
        raise MMEError(f"{title} is a table; give one of its columns")
    kind = values.type
    if isinstance(values, pa.ChunkedArray):
        values = values.unify_dictionaries().combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # several chunks stay chunked in some versions
        values = pa.concat_arrays(values.chunks)
    if pa.types.is_run_end_encoded(kind):
        values = pa.compute.run_end_decode(values)
        kind = values.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    if text or pa.types.is_dictionary(kind):
        values = values.dictionary_encode() if text else values
        codes = values.indices.cast(pa.int64()).fill_null(-1).to_numpy()
        if text:
            return _of_texts(codes, values.dictionary) if len(values.dictionary) else all_missing(values)
        return declared(codes, values.dictionary.to_pylist(), title, values.type.ordered)
    if pa.types.is_boolean(kind):
        codes = values.cast(pa.int8()).cast(pa.int64()).fill_null(-1)
        return Factor(np.asarray(codes), np.array([False, True]))
    if pa.types.is_integer(kind) and values.null_count:
        return with_gaps(np.asarray(values.fill_null(0)), np.asarray(values.is_null()))
    if pa.types.is_null(kind):
        return all_missing(values)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind):
        return from_numpy(np.asarray(values), title)
    if pa.types.is_date(kind) or pa.types.is_duration(kind):
        return from_numpy(np.asarray(values), title)
    return from_objects(object_array(values.to_pylist()), title)


def _of_texts(codes: np.ndarray, distinct: Any) -> Factor:
    """A column of text by places among distinct ones, -1 for none: bytes of UTF-8 sort as code points."""
    import pyarrow as pa
    import pyarrow.compute as pc

    levels = distinct.cast(pa.large_string())
    order = pc.array_sort_indices(levels).to_numpy()
    rank = np.full(order.size + 1, -1)  # the code -1 finds the last place
    rank[order] = np.arange(order.size)
    return Factor(rank[codes], levels.take(order).to_numpy(zero_copy_only=False), "text")
