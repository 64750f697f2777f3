"""One column of any library -> numbers, dates or a coded factor, with the labels of :mod:`mme.tables.spelling`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from mme.errors import MMEError
from mme.tables import dates
from mme.tables.arrays import numbers
from mme.tables.spelling import label, labels_of

# A dense presence table beats sorting while it is not much longer than the data.
_TABLE_PER_ROW = 4
# Whole numbers below are doubles without rounding.
_EXACT = 2**53
# Beyond this many labels the import of pandas is repaid by its hashing.
_HASH_ABOVE = 10_000
# Polars' integers of more digits than NumPy has.
_WIDE = ("Int128", "UInt128")
# Floats that differ by less, as a share of their size, may have one label.
_ALIKE = 1e-14


@dataclass(frozen=True)
class Factor:
    """A coded column: row i holds ``categories[codes[i]]``, code -1 is a missing value.

    Categories are integers, floats, booleans or text, and no two of them have one label. ``kind`` is ``"text"`` of a
    column of text, which is no factor to R's ``as.numeric``, ``"ordered"`` where the categories are declared to have an
    order, ``"factor"`` otherwise.
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


class Exact(Factor):
    """Numbers of more digits than doubles have: labels with all of them, or covariates, rounded."""

    @property
    def rounded(self) -> np.ndarray:
        """The numbers as doubles, missing ones NaN."""
        return np.append([float(value) for value in self.categories.tolist()], np.nan)[self.codes]


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


def intake(values: Any, name: str, kind: str = "column") -> Column:
    """Turn one column of any library into numbers (NaN is missing), dates (NaT) or a factor, a matrix into a basis.

    Raises
    ------
    MMEError
        It holds neither numbers nor labels; the message says ``kind 'name'``.

    Examples
    --------
    >>> intake([2, None, 1], "x"), intake(["b", None, "a"], "x").codes
    (array([ 2., nan,  1.]), array([ 1, -1,  0]))
    """
    if isinstance(values, Factor):
        return values
    title, kind_of = f"{kind} '{name}'", type(values)  # an attribute of a Series can be one of its labels
    if hasattr(kind_of, "iloc") and hasattr(kind_of, "columns"):
        return _matrix(values.to_numpy(), tuple(map(str, values.columns)), title)
    if hasattr(kind_of, "toarray"):  # of SciPy, sparse
        values = values.toarray()
        values = values.ravel() if 1 in values.shape else values
    return _read(values, title)


def labels(values: Any, name: str, kind: str) -> tuple[np.ndarray | Factor, Factor]:
    """A column of labels as it was read, and coded."""
    if np.ndim(values if isinstance(values, np.ndarray) else values[:1] if isinstance(values, list) else 0) > 1:
        raise MMEError(f"{kind} '{name}' must be one-dimensional, got {len(values)} rows of several values")
    column = intake(values, name, kind)
    factor = coded(column, name, kind)
    return factor if isinstance(column, Basis) else column, factor


def _matrix(values: Any, names: tuple[str, ...], title: str) -> Basis:
    """Several columns under one name, as a matrix in R's data frames; one alone has no suffix."""
    matrix = numbers(values, title)
    if matrix.shape[1] == 0:
        raise MMEError(f"{title} is a matrix without columns")
    return Basis(matrix, names if matrix.shape[1] > 1 else ("",))


def _read(values: Any, title: str) -> Column:
    kind = type(values)
    if hasattr(kind, "combine_chunks") or hasattr(kind, "dictionary_encode"):
        return _from_arrow(values, title)
    if hasattr(kind, "to_physical"):
        return _from_polars(values, title)
    if kind.__module__.partition(".")[0] == "pandas":
        return _from_pandas(values, title)
    if isinstance(values, np.ma.MaskedArray):
        return _masked(values.data, np.ma.getmaskarray(values), title)
    if isinstance(values, str | bytes) or not (hasattr(values, "__array__") or hasattr(values, "__iter__")):
        raise MMEError(f"{title} is of type {type(values).__name__}; give an array with a value for each row")
    return _from_numpy(values if isinstance(values, np.ndarray) else _listed(values), title)


def coded(values: Column, name: str, kind: str = "column") -> Factor:
    """Code an array of numbers, dates or labels; levels sorted (text by code point), missing ones -1.

    Examples
    --------
    >>> made = coded(np.array([3.0, np.nan, 1.0]), "x")
    >>> made.codes.tolist(), made.categories.tolist()
    ([1, -1, 0], [1, 3])
    """
    if isinstance(values, Factor):
        return values
    if isinstance(values, Basis):
        raise MMEError(f"{kind} '{name}' must be one-dimensional, got shape {values.values.shape}")
    if values.dtype.kind in "iu":
        return Factor(*coded_integers(values))
    if values.dtype.kind == "f":
        return _coded_floats(values)
    if values.dtype.kind in "Mm":
        codes, moments = _where_present(~np.isnat(values), values.astype(np.int64, copy=False))
        return Factor(codes, _objects(dates.text_of(moments.astype(values.dtype))))
    return coded(_from_objects(values, f"{kind} '{name}'"), name, kind)


def coded_integers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes (n,) of integers and the sorted integers that occur."""
    if values.size == 0:
        return np.zeros(0, dtype=np.int64), values
    lowest, highest = int(values.min()), int(values.max())
    if highest - lowest >= _TABLE_PER_ROW * values.size or highest >= 2**63:
        levels, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int64, copy=False), levels if highest >= 2**63 else levels.astype(np.int64)
    offset = values.astype(np.int64, copy=False) - lowest
    present = np.zeros(highest - lowest + 1, dtype=bool)
    present[offset] = True
    levels = np.flatnonzero(present)
    if levels.size == present.size:
        return offset, levels + lowest
    return (np.cumsum(present) - 1)[offset], levels + lowest


def _where_present(present: np.ndarray, integers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Code the integers that are present, -1 elsewhere."""
    if present.all():
        return coded_integers(integers)
    codes = np.full(integers.size, -1, dtype=np.int64)
    codes[present], levels = coded_integers(integers[present])
    return codes, levels


def _coded_floats(values: np.ndarray) -> Factor:
    present = ~np.isnan(values)
    known = values if present.all() else values[present]
    if (np.abs(known) < _EXACT).all() and (known == np.floor(known)).all():
        return Factor(*_where_present(present, np.where(present, values, 0.0).astype(np.int64)))
    levels, within = np.unique(known, return_inverse=True)
    codes = np.full(values.size, -1, dtype=np.int64)
    codes[present] = within
    if values.dtype.itemsize < 8:  # 0.1 in single precision is the label 0.1
        levels = np.array([float(str(level)) for level in levels])
    levels = levels.astype(float, copy=False)
    with np.errstate(invalid="ignore"):  # of two infinities
        close = np.diff(levels) <= _ALIKE * np.abs(levels[1:])
    return _told_apart(codes, levels) if close.any() else Factor(codes, levels)


def _told_apart(codes: np.ndarray, levels: np.ndarray) -> Factor:
    """Levels of one label are one level; a level without one (None) is missing."""
    first: dict[str, int] = {}
    place = [-1 if value is None else first.setdefault(label(value), len(first)) for value in levels.tolist()]
    kept = np.unique(np.array(place), return_index=True)[1]
    kept = kept[np.array(place)[kept] >= 0]
    return Factor(np.array([*place, -1])[codes], levels[kept])


# ---- arrays and objects ----------------------------------------------------------------------------------------------


def _listed(values: Any) -> np.ndarray:
    """A list, a tuple or what makes itself an array; text stays apart from numbers and missing values."""
    try:
        array = np.asarray(values if hasattr(values, "__array__") or hasattr(values, "__len__") else list(values))
    except ValueError:  # lists of different lengths
        return _objects(list(values))
    mixed = array.dtype.kind in "US" or (array.dtype.kind == "f" and (np.abs(array) >= _EXACT).any())
    return _objects(list(values)) if mixed and array.ndim == 1 and not hasattr(values, "__array__") else array


def _masked(values: np.ndarray, mask: np.ndarray, title: str) -> Column:
    if values.ndim != 1 or not mask.any():
        return _from_numpy(np.where(mask, np.nan, values) if mask.any() else values, title)
    if values.dtype.kind in "iu":
        return _with_gaps(values, mask)
    if values.dtype.kind == "f":
        return np.where(mask, np.nan, values)
    if values.dtype.kind in "Mm":
        return np.where(mask, np.array("NaT", dtype=values.dtype), values)
    return _from_numpy(_cleared(values.astype(object), mask), title)


def _with_gaps(values: np.ndarray, missing: np.ndarray) -> Column:
    """Integers of which some are missing: doubles that hold them, or else a factor that does."""
    known = values[~missing]
    if known.size == 0 or (int(known.max()) <= _EXACT and int(known.min()) >= -_EXACT):
        numbers = values.astype(float)
        numbers[missing] = np.nan
        return numbers
    return Exact(*_where_present(~missing, values))


def _from_numpy(values: np.ndarray, title: str) -> Column:
    if values.ndim == 2:
        return _matrix(values, tuple(str(j + 1) for j in range(values.shape[1])), title)
    if values.ndim != 1:
        raise MMEError(f"{title} must have one dimension, or two for a matrix; got shape {values.shape}")
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind == "b":
        return Factor(values.astype(np.int64), np.array([False, True]))
    if values.dtype.kind in "iuM" or (values.dtype.kind == "f" and values.dtype.itemsize <= 8):
        return values
    if values.dtype.kind == "m":
        return values
    if values.dtype.kind == "f":
        return values.astype(float)
    if values.dtype.kind == "U":
        return _coded_text(values.astype(object), title)
    if values.dtype.kind in "OST":
        return _from_objects(values.astype(object, copy=False), title)
    raise MMEError(f"{title} holds {values.dtype} values; give real numbers or labels")


def _from_objects(values: np.ndarray, title: str) -> Column:
    """A column of Python objects by what they are: all text, all numbers, all dates, or labels of several kinds."""
    kind = _plain(values)
    if kind == "text":
        return _coded_text(values, title)
    if kind == "integers":
        return _of_integers(values, values, np.zeros(values.size, dtype=bool))
    missing = _missing(values)
    present = values[~missing] if missing.any() else values
    types = set(map(type, present.tolist()))
    if not types:
        return _nothing(values)
    if _all(types, str):
        return _coded_text(_cleared(values, missing), title)
    if _all(types, bool | np.bool_):
        codes = np.full(values.size, -1, dtype=np.int64)
        codes[~missing] = present.astype(bool)
        return Factor(codes, np.array([False, True]))
    if _all(types, dates.DATES) or _all(types, dates.SPANS):
        codes, distinct = _distinct(_cleared(values, missing), title)
        return dates.from_objects([*distinct, None])[codes]  # the code -1 finds the last place
    if _all(types, int | np.integer) and not _any(types, bool | np.timedelta64):
        return _of_integers(values, present, missing)
    if _all(types, Real | Decimal | np.floating) and not _any(types, bool | np.bool_ | np.timedelta64):
        return _of_reals(present, missing, types)
    strange = next((value for value in present.tolist() if isinstance(value, _NO_LABELS)), None)
    if strange is not None:
        raise MMEError(
            f"{title} holds lists or other objects ({type(strange).__name__}), where a row has one value; give labels "
            "or numbers"
        )
    return _of_several_kinds(_cleared(values, missing), title)


def _cleared(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """The same with None for what is missing."""
    if not missing.any():
        return values
    held = values.copy()
    held[missing] = None
    return held


_NO_LABELS = (list, dict, set, np.ndarray, complex)


def _all(types: set[type], wanted: Any) -> bool:
    return all(issubclass(kind, wanted) for kind in types)


def _any(types: set[type], wanted: Any) -> bool:
    return any(issubclass(kind, wanted) for kind in types)


def _plain(values: np.ndarray) -> str:
    """What long columns often are, found at once: ``"text"``, ``"integers"``, or ``""``."""
    if values.size > _HASH_ABOVE:
        import pandas as pd

        return {"string": "text", "integer": "integers"}.get(pd.api.types.infer_dtype(values, skipna=False), "")
    return "text" if _is_text(values.tolist()) else ""


def _missing(values: np.ndarray) -> np.ndarray:
    if values.size > _HASH_ABOVE or "pandas" in sys.modules:
        import pandas as pd

        try:
            return np.asarray(pd.isna(values))
        except ArithmeticError:  # a Decimal that signals cannot be compared
            signals = [isinstance(value, Decimal) and value.is_nan() for value in values.tolist()]
            return np.asarray(pd.isna(np.where(signals, np.nan, values)))
    return np.array([value is None or _is_no_number(value) for value in values.tolist()], dtype=bool)


def _is_no_number(value: Any) -> bool:
    if isinstance(value, Decimal):
        return value.is_nan()
    return isinstance(value, float | np.floating | np.datetime64 | np.timedelta64) and bool(value != value)


def _coded_text(values: np.ndarray, title: str) -> Column:
    codes, texts = _distinct(values, title)
    return _text(_in_order(codes, [str(text) for text in texts])) if texts else _nothing(values)


def _of_integers(values: np.ndarray, present: np.ndarray, missing: np.ndarray) -> Column:
    try:
        numbers = (np.where(missing, 0, values) if missing.any() else values).astype(np.int64)
    except OverflowError:
        codes = np.full(values.size, -1, dtype=np.int64)
        within, levels = _distinct(np.array([int(value) for value in present.tolist()], dtype=object), "")
        codes[~missing] = within
        ordered = _in_order(codes, levels)
        return Exact(ordered.codes, ordered.categories)
    return _with_gaps(numbers, missing) if missing.any() else numbers


def _of_reals(present: np.ndarray, missing: np.ndarray, types: set[type]) -> Column:
    numbers = np.full(missing.size, np.nan)
    numbers[~missing] = present.astype(float)
    if Decimal not in types:
        return numbers
    codes, distinct = _distinct(present, "")
    long = [value for value in distinct if isinstance(value, Decimal) and len(value.as_tuple().digits) > 15]
    if not long or all(Decimal(float(value)) == value for value in long):
        return numbers
    everywhere = np.full(missing.size, -1, dtype=np.int64)
    everywhere[~missing] = codes
    ordered = _in_order(everywhere, distinct)
    ordered = _told_apart(ordered.codes, ordered.categories)
    return Exact(ordered.codes, _objects(labels_of(ordered.categories)))


def _of_several_kinds(values: np.ndarray, title: str) -> Factor:
    """Each value by its label: 1 and "1" are one, 1 and True are two, though Python has them equal."""
    if _any(set(map(type, values.tolist())), bool | np.bool_):
        values = _objects([label(v) if isinstance(v, bool | np.bool_) else v for v in values.tolist()])
    codes, levels = _distinct(values, title)
    try:
        in_order = _in_order(codes, levels)
        return _text(_told_apart(in_order.codes, _objects(_printed(in_order.categories.tolist(), title))))
    except TypeError:  # several types have no order
        apart = _told_apart(codes, _objects(_printed(levels, title)))
        return _text(_in_order(apart.codes, apart.categories.tolist()))


def _text(factor: Factor) -> Factor:
    return replace(factor, kind="text")


def _printed(values: list[Any], title: str) -> list[str]:
    try:
        return [label(value) for value in values]
    except UnicodeDecodeError:
        raise MMEError(f"{title} holds bytes that are not text in UTF-8; decode them first") from None


def _distinct(values: np.ndarray, title: str) -> tuple[np.ndarray, list[Any]]:
    """Codes by first appearance, -1 for None, and the values."""
    try:
        if values.size > _HASH_ABOVE or "pandas" in sys.modules:
            import pandas as pd

            codes, distinct = pd.factorize(values)
            return codes.astype(np.int64, copy=False), list(distinct)
        position: dict[Any, int] = {}
        given = values.tolist()
        codes = np.array([-1 if v is None else position.setdefault(v, len(position)) for v in given], dtype=np.int64)
    except TypeError:
        raise MMEError(f"{title} holds lists or other objects; give labels or numbers") from None
    return codes, list(position)


def _nothing(values: Any) -> np.ndarray:
    """A column in which everything is missing."""
    return np.full(len(values), np.nan)


def _in_order(codes: np.ndarray, levels: list[Any]) -> Factor:
    """The same with levels in order."""
    by_value = sorted(range(len(levels)), key=levels.__getitem__)
    rank = np.full(len(levels) + 1, -1)  # the code -1 finds the last place
    rank[by_value] = np.arange(len(levels))
    return Factor(rank[codes], _objects([levels[j] for j in by_value]))


def _objects(values: Sequence[Any]) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


# ---- declared factors ------------------------------------------------------------------------------------------------


def _declared(codes: np.ndarray, categories: Any, title: str, ordered: bool) -> Factor:
    """A categorical of any library: its order is kept."""
    held = categories if isinstance(categories, np.ndarray) else _objects(list(categories))
    if held.dtype.kind != "O" or not _is_text(held.tolist()):
        held = _levels(_read(held, title), title)
    factor = _told_apart(codes, held) if _repeats(held) else Factor(codes, held)
    return replace(factor, kind="ordered") if ordered else factor


def _is_text(values: list[Any]) -> bool:
    return set(map(type, values)) <= {str}


def _levels(column: Column, title: str) -> np.ndarray:
    """The values of a column as levels: integers or floats where all are, FALSE and TRUE, or labels."""
    factor = coded(column, "", title)
    codes, categories = factor.codes, factor.categories
    if categories.dtype.kind in "iuf" and codes.size and codes.min() >= 0:
        return categories[codes]
    if factor.logical and codes.tolist() == [0, 1]:
        return categories
    texts = categories if categories.dtype.kind == "O" else _objects(labels_of(categories))
    return _objects([*texts.tolist(), None])[codes]


def _repeats(levels: np.ndarray) -> bool:
    """Whether two levels have one label, or one has none."""
    if levels.dtype.kind in "iu":
        return bool(np.unique(levels).size < levels.size)
    values = levels.tolist()
    if levels.dtype.kind == "O" and _is_text(values):
        return len(set(values)) < len(values)
    return len(set(labels_of(levels))) < len(values) or (levels.dtype.kind == "O" and None in values)


# ---- libraries -------------------------------------------------------------------------------------------------------


def _from_pandas(values: Any, title: str) -> Column:
    import pandas as pd

    if isinstance(values, pd.MultiIndex):
        raise MMEError(f"{title} is a MultiIndex; give one of its levels (get_level_values)")
    values = values if isinstance(values, pd.Series) else pd.Series(values)
    dtype = values.dtype
    if isinstance(dtype, pd.SparseDtype):
        values = values.sparse.to_dense()
        dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return _from_numpy(values.to_numpy(), title)
    if isinstance(dtype, pd.ArrowDtype):
        return _from_arrow(values.array.__arrow_array__(), title)
    if isinstance(dtype, pd.CategoricalDtype):
        codes, categories = values.cat.codes.to_numpy(np.int64), np.asarray(dtype.categories)
        if isinstance(dtype.categories.dtype, pd.StringDtype):  # texts, no two of them alike
            return Factor(codes, categories.astype(object, copy=False), "ordered" if dtype.ordered else "factor")
        return _declared(codes, categories, title, dtype.ordered)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return np.asarray(values.dt.tz_convert(None))
    if pd.api.types.is_bool_dtype(dtype):
        return Factor(values.astype("Int64").fillna(-1).to_numpy(np.int64), np.array([False, True]))
    if pd.api.types.is_integer_dtype(dtype):
        missing = values.isna().to_numpy()
        numbers = values.to_numpy(dtype=dtype.numpy_dtype, na_value=0)
        return _with_gaps(numbers, missing) if missing.any() else numbers
    if pd.api.types.is_float_dtype(dtype):
        return values.to_numpy(dtype=dtype.numpy_dtype, na_value=np.nan)
    if pd.api.types.is_string_dtype(dtype):
        codes, texts = values.array.factorize()
        return _text(_in_order(codes, np.asarray(texts, dtype=object).tolist())) if len(texts) else _nothing(values)
    return _from_objects(values.to_numpy(dtype=object, na_value=None), title)


def _from_polars(values: Any, title: str) -> Column:
    import polars as pl

    dtype = values.dtype
    kind = "ordered" if isinstance(dtype, pl.Enum) else "text" if dtype == pl.String else "factor"
    if dtype in (pl.Categorical, pl.String):  # bytes of UTF-8 sort as code points
        values = values.cast(pl.String)
        levels = values.drop_nulls().unique().sort()
        if levels.is_empty():
            return _nothing(values)
        values = values.cast(pl.Enum(levels))
    if isinstance(values.dtype, pl.Enum):
        codes = values.to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
        return Factor(codes, np.array(values.dtype.categories.to_list(), dtype=object), kind)
    if dtype == pl.Boolean:
        return Factor(values.cast(pl.Int64).fill_null(-1).to_numpy(), np.array([False, True]))
    if dtype == pl.Null:
        return _nothing(values)
    if dtype.is_integer() and str(dtype) not in _WIDE:
        missing = values.is_null().to_numpy()
        return _with_gaps(values.fill_null(0).to_numpy(), missing) if missing.any() else values.to_numpy()
    if dtype.is_float() or dtype in (pl.Date, pl.Datetime, pl.Duration):
        return _from_numpy(values.to_numpy(), title)
    return _from_objects(_objects(values.to_list()), title)


def _from_arrow(values: Any, title: str) -> Column:
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
        levels = values.dictionary.to_pylist()
        if text:
            return _text(_in_order(codes, levels)) if levels else _nothing(values)
        return _declared(codes, levels, title, values.type.ordered)
    if pa.types.is_boolean(kind):
        codes = values.cast(pa.int8()).cast(pa.int64()).fill_null(-1)
        return Factor(np.asarray(codes), np.array([False, True]))
    if pa.types.is_integer(kind) and values.null_count:
        return _with_gaps(np.asarray(values.fill_null(0)), np.asarray(values.is_null()))
    if pa.types.is_null(kind):
        return _nothing(values)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_timestamp(kind):
        return _from_numpy(np.asarray(values), title)
    if pa.types.is_date(kind) or pa.types.is_duration(kind):
        return _from_numpy(np.asarray(values), title)
    return _from_objects(_objects(values.to_pylist()), title)
