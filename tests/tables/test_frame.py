"""Tables of every kind give the same columns."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mme.errors import MMEError
from mme.tables.frame import Factor, Frame, labels_of

COLUMNS = {
    "whole": [3, 1, 2],
    "real": [1.5, None, -2.0],
    "gaps": [1, None, 3],
    "text": ["b", None, "a"],
    "truth": [True, None, False],
    "sure": [True, False, True],
    "empty": [None, None, None],
    "money": [decimal.Decimal("1.5"), None, decimal.Decimal("2.5")],
    "day": [datetime.datetime(2020, 1, 2), None, datetime.datetime(2020, 1, 1)],
}
PANDAS = pd.DataFrame(COLUMNS)
ARROW = pa.table(COLUMNS)
TABLES = {
    "dict of lists": COLUMNS,
    "dict of arrays": {name: np.array(values) for name, values in COLUMNS.items()},
    "pandas": PANDAS,
    "pandas, nullable": PANDAS.convert_dtypes(),
    "pandas, objects": pd.DataFrame(COLUMNS, dtype=object),
    "pandas on arrow": ARROW.to_pandas(types_mapper=pd.ArrowDtype),
    "polars": pl.DataFrame(COLUMNS),
    "arrow": ARROW,
}
EXPECTED = {
    "whole": [3, 1, 2],
    "real": [1.5, np.nan, -2],
    "gaps": [1, np.nan, 3],
    "text": Factor(np.array([1, -1, 0]), np.array(["a", "b"], dtype=object)),
    "truth": Factor(np.array([1, -1, 0]), np.array([False, True])),
    "sure": Factor(np.array([1, 0, 1]), np.array([False, True])),
    "empty": [np.nan] * 3,
    "money": [1.5, np.nan, 2.5],
    "day": np.array(["2020-01-02", "NaT", "2020-01-01"], dtype="datetime64[ns]"),
}


def assert_factor(column, codes, levels):
    assert isinstance(column, Factor)
    assert column.codes.dtype == np.int64
    assert column.codes.tolist() == codes
    assert column.categories.tolist() == levels


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_is_the_same_whatever_library_holds_it(kind, name):
    column, expected = Frame(TABLES[kind]).column(name), EXPECTED[name]
    if isinstance(expected, Factor):
        assert_factor(column, expected.codes.tolist(), expected.categories.tolist())
    else:
        np.testing.assert_array_equal(column, expected)


LABELS = ["b", "a", None]
CATEGORICALS = {
    "pandas": pd.DataFrame({"f": pd.Categorical(LABELS, categories=["b", "a", "z"])}),
    "bare categorical": {"f": pd.Categorical(LABELS, categories=["b", "a", "z"])},
    "polars enum": pl.DataFrame({"f": pl.Series(LABELS, dtype=pl.Enum(["b", "a", "z"]))}),
    "arrow": pa.table({"f": pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), ["b", "a", "z"])}),
    "pandas on arrow": pd.DataFrame(
        {"f": pd.arrays.ArrowExtensionArray(pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), ["b", "a", "z"]))}
    ),
}


@pytest.mark.parametrize("kind", CATEGORICALS)
def test_a_categorical_keeps_the_order_of_its_levels(kind):
    assert_factor(Frame(CATEGORICALS[kind]).column("f"), [0, 1, -1], ["b", "a", "z"])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series(LABELS, dtype="string"),
        pd.Series(LABELS, dtype=pd.ArrowDtype(pa.string())),
        pl.Series(LABELS, dtype=pl.Categorical),
        pa.chunked_array([["b", "a"], pa.array([None], pa.string())]),
        pa.array(LABELS, pa.large_string()),
    ],
    ids=["pandas", "pandas on arrow", "polars categorical", "arrow chunks", "arrow large"],
)
def test_strings_are_sorted_whatever_their_type(values):
    assert_factor(Frame({"f": values}).column("f"), [1, 0, -1], ["a", "b"])


def test_dictionaries_of_arrow_chunks_are_unified():
    chunks = pa.chunked_array([pa.array(["b", "a"]).dictionary_encode(), pa.array(["q", "a"]).dictionary_encode()])
    assert_factor(Frame(pa.table({"f": chunks})).column("f"), [0, 1, 2, 1], ["b", "a", "q"])


def test_strings_sort_by_code_point_and_labels_of_several_types_by_their_text():
    assert Frame({"f": ["é", "b", "Z", "a", "10", "9"]}).column("f").categories.tolist() == [
        "10",
        "9",
        "Z",
        "a",
        "b",
        "é",
    ]
    assert Frame({"f": np.array(["b", 1, None], dtype=object)}).column("f").categories.tolist() == ["1", "b"]


def test_numbers_of_a_data_frame_are_not_copied():
    values = np.arange(3.0)
    assert np.shares_memory(Frame({"x": values}).column("x"), values)
    data = pd.DataFrame({"x": values})
    assert np.shares_memory(Frame(data).column("x"), data["x"].to_numpy())


def test_masked_and_structured_arrays_are_tables_too():
    np.testing.assert_array_equal(Frame({"x": np.ma.array([1, 2], mask=[0, 1])}).column("x"), [1, np.nan])
    table = np.array([(1, "a"), (2, "b")], dtype=[("x", "i4"), ("f", "U1")])
    assert Frame(table).column("x").tolist() == [1, 2]


def test_only_pandas_rows_have_an_index_of_their_own():
    assert Frame(pd.DataFrame({"x": [1, 2]}, index=["p", "q"])).index.tolist() == ["p", "q"]
    assert Frame({"x": [1, 2]}).index.tolist() == [0, 1]


def test_a_column_that_is_not_used_is_not_looked_at():
    frame = Frame({"x": [1.0, 2.0], "bad": [[1], [2, 3]]})
    assert frame.column("x").tolist() == [1, 2]


def test_labels_print_as_in_r_but_whole_numbers_with_all_their_digits():
    assert labels_of(np.array([1.0, 0.2, 1e5, 123456.0])) == ["1", "0.2", "100000", "123456"]
    assert labels_of(np.array([100000])) == ["100000"]
    assert labels_of(np.array([True, False])) == ["TRUE", "FALSE"]


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "must be a data frame.*it is None"),
        ([1, 2], "must be a data frame.*it is of type list"),
        ("d.csv", r"it is a path: read d.csv first \(pandas.read_csv\)"),
        (pl.LazyFrame({"x": [1]}), "lazy Polars frame; collect"),
        ({}, "no rows"),
        (pd.DataFrame({"x": []}), r"no rows \(columns: x\)"),
        ({"x": [1, 2], "y": [1, 2], "z": [1]}, "column 'z' has 1 values, other columns have 2"),
        ({"x": 3}, "column 'x' is of type int"),
        ({"x": "abc"}, "column 'x' is of type str"),
        ({"x": np.ones((2, 2, 2))}, r"column 'x' must have one dimension, or two .*got shape \(2, 2, 2\)"),
        (pd.DataFrame(np.ones((2, 2)), columns=["x", "x"]), "several columns are called 'x'"),
        ({"x": [1 + 2j]}, "column 'x' holds complex128"),
        ({"x": pd.Series([[1], "a"])}, "column 'x' holds lists"),
        (pd.Series([1, 2]), "the data are one Series; give the table"),
        (pl.Series([1, 2]), "the data are one Series; give the table"),
        ({"x": [1], 1: [2], "1": [3]}, "several columns are called '1'"),
        ({"x": np.array(3.0)}, "column 'x' is of type ndarray; give an array"),
        ({"x": {"a": 1}}, "column 'x' is of type dict; give an array"),
        ({"x": [b"\xff"]}, "column 'x' holds bytes that are not text in UTF-8"),
        (pl.DataFrame({"x": [{"a": 1}]}), "column 'x' holds lists or other objects"),
        (pl.DataFrame({"x": [[1]]}), "column 'x' holds lists or other objects"),
        (pa.table({"x": [[1, 2]]}), "column 'x' holds lists or other objects"),
        (pa.table({"x": [{"a": 1}]}), "column 'x' holds lists or other objects"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(data, problem):
    with pytest.raises(MMEError, match=problem):
        Frame(data).column("x")
