"""One label for one value, whatever container it came in; two values never have one label."""

import datetime
import itertools
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.errors import MMEError
from mme.formula.design import design
from mme.tables.coding import coded
from mme.tables.dates import days
from mme.tables.intake import intake
from mme.tables.spelling import labels_of, places


def masked(values):
    return np.ma.masked_array([*values, values[0]], mask=[False] * len(values) + [True])[:-1]


def integers():
    whole = [3, 1, 20]
    text = [str(value) for value in whole]
    return {
        **{kind: np.array(whole, dtype=kind) for kind in ("int64", "int8", "uint64", ">i4", "float64", "float32", "U")},
        "list": whole,
        "floats": [3.0, 1.0, 20.0],
        "objects": np.array(whole, dtype=object),
        "numpy objects": np.array([np.int64(3), 1.0, Decimal(20)], dtype=object),
        "decimals": [Decimal("3.00"), Decimal(1), Decimal("2E+1")],
        "bytes": np.array(text, dtype="S"),
        "text": np.array(text, dtype=object),
        "text of floats": ["3.0", "1.0", "20.0"],
        "text and numbers": np.array([3, "1", 20.0], dtype=object),
        "masked": masked(whole),
        "sparse": sp.csc_array(np.array(whole)[:, None]),
        **{
            f"pandas {kind}": pd.Series(whole).astype(kind)
            for kind in ("Int64", "UInt8", "Float64", "string", "Sparse")
        },
        "pandas index": pd.Index(whole),
        "category": pd.Series(pd.Categorical(whole)),
        "category of floats": pd.Series(pd.Categorical([3.0, 1.0, 20.0])),
        "category of text": pd.Categorical(text),
        "pandas arrow": pd.Series(whole, dtype=pd.ArrowDtype(pa.int32())),
        "pandas arrow decimal": pd.Series(whole, dtype=pd.ArrowDtype(pa.decimal128(20, 2))),
        **{f"polars {kind}": pl.Series(whole, dtype=kind) for kind in (pl.Int16, pl.UInt64, pl.Int128, pl.Float32)},
        "polars text": pl.Series(text),
        "polars categorical": pl.Series(text, dtype=pl.Categorical),
        "polars decimal": pl.Series(whole).cast(pl.Decimal(20, 3)),
        "arrow": pa.array(whole, pa.uint16()),
        "arrow decimal": pa.array([Decimal(value) for value in whole], pa.decimal128(38, 0)),
        "arrow text": pa.chunked_array([text[:2], text[2:]]),
        "arrow dictionary": pa.array(whole).dictionary_encode(),
    }


def dates():
    day = [datetime.date(2024, 3, 1), datetime.date(1969, 12, 31), datetime.date(2024, 2, 29)]
    moments = [datetime.datetime.combine(one, datetime.time()) for one in day]
    text = [one.isoformat() for one in day]
    numpy = np.array(text, dtype="M8[D]")
    series = pd.Series(numpy.astype("M8[s]"))
    return {
        **{f"[{unit}]": numpy.astype(f"M8[{unit}]") for unit in ("D", "h", "s", "ms", "us", "ns")},
        **{f"pandas [{unit}]": series.astype(f"M8[{unit}]") for unit in ("s", "us", "ns")},
        "dates": day,
        "date objects": pd.Series(day, dtype=object),
        "datetimes": moments,
        "timestamps": [pd.Timestamp(one) for one in day],
        "numpy objects": np.array(list(numpy), dtype=object),
        "UTC": series.dt.tz_localize("UTC"),
        "one instant elsewhere": series.dt.tz_localize("UTC").dt.tz_convert("America/New_York"),
        "aware objects": [one.replace(tzinfo=datetime.UTC) for one in moments],
        "category": pd.Series(pd.Categorical(series)),
        "category of text": pd.Categorical(text),
        "masked": masked(numpy),
        "text": text,
        "text with T": [f"{one}T00:00:00" for one in text],
        "text with a clock": [f"{one} 00:00:00.000" for one in text],
        "text with an offset": [f"{one}T02:00:00+02:00" for one in text],
        "periods": pd.Series(pd.PeriodIndex(text, freq="D")),
        "polars date": pl.Series(day),
        "polars datetime": pl.Series(moments, dtype=pl.Datetime("ms")),
        "polars aware": pl.Series(moments).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        "arrow date32": pa.array(day, pa.date32()),
        "arrow date64": pa.array(day, pa.date64()),
        "arrow timestamp": pa.array(moments, pa.timestamp("us")),
        "arrow aware": pa.array(moments, pa.timestamp("s", tz="Europe/Berlin")),
        "arrow dictionary": pa.array(day).dictionary_encode(),
        "pandas arrow": pd.Series(day, dtype=pd.ArrowDtype(pa.date32())),
    }


def truths():
    truth = [True, False, True]
    return {
        "numpy": np.array(truth),
        "list": truth,
        "objects": np.array(truth, dtype=object),
        "nullable": pd.Series(truth, dtype="boolean"),
        "category": pd.Series(pd.Categorical(truth)),
        "category, true first": pd.Series(pd.Categorical(truth, categories=[True, False])),
        "masked": masked(truth),
        "polars": pl.Series(truth),
        "arrow": pa.array(truth),
        "pandas arrow": pd.Series(truth, dtype=pd.ArrowDtype(pa.bool_())),
        **{f"text {yes}": [yes, no, yes] for yes, no in (("True", "False"), ("TRUE", "FALSE"), ("true", "false"))},
    }


def spans():
    span = [datetime.timedelta(days=2), datetime.timedelta(hours=-3), datetime.timedelta(days=10, seconds=1)]
    numpy = np.array(span, dtype="m8[us]")
    return {
        **{f"[{unit}]": numpy.astype(f"m8[{unit}]") for unit in ("s", "ms", "us", "ns")},
        "objects": span,
        "pandas": pd.Series(numpy),
        "timedeltas": [pd.Timedelta(one) for one in span],
        "text with clocks": [str(pd.Timedelta(one)) for one in span],
        "text of Python": [str(one) for one in span],
        "polars": pl.Series(span),
        "arrow": pa.array(span, pa.duration("s")),
        "category": pd.Categorical(pd.Series(numpy)),
    }


def fractions():
    numbers = [0.5, 2.25, 0.1]
    return {
        "float64": np.array(numbers),
        "float32": np.array(numbers, dtype=np.float32),
        "decimals": [Decimal("0.50"), Decimal("2.25"), Decimal("0.1")],
        "category": pd.Series(pd.Categorical(numbers)),
        "text": ["0.5", "2.25", "0.1"],
        "rounded": np.array([0.5, 2.25, 0.3 - 0.2]),
        "polars decimal": pl.Series(["0.5", "2.25", "0.1"]).cast(pl.Decimal(10, 3)),
        "arrow decimal": pa.array([Decimal("0.50"), Decimal("2.25"), Decimal("0.10")]),
        "nullable": pd.Series(numbers, dtype="Float64"),
        "nullable single": pd.Series(numbers, dtype="Float32"),
    }


def periods():
    text = ["2024-03", "2023-12", "2024-01"]
    return {
        "pandas": pd.Series(pd.PeriodIndex(text, freq="M")),
        "objects": [pd.Period(one, "M") for one in text],
        "category": pd.Series(pd.Categorical(pd.PeriodIndex(text, freq="M"))),
        "text": text,
    }


KINDS = {
    "integers": integers,
    "dates": dates,
    "truths": truths,
    "spans": spans,
    "fractions": fractions,
    "periods": periods,
}
# Texts that spell the values of a kind in another way than their labels: found in new data, and labels of their own in
# the data of a fit.
OTHERWISE = ("text of", "text with", "text True", "text true")


def labels(values):
    factor = coded(intake(values, "g"), "g")
    return [labels_of(factor.categories)[code] for code in factor.codes]


@pytest.mark.parametrize("kind", KINDS)
def test_all_containers_of_one_value_give_one_label(kind):
    containers = {name: values for name, values in KINDS[kind]().items() if not name.startswith(OTHERWISE)}
    found = {name: labels(values) for name, values in containers.items()}
    expected = next(iter(found.values()))
    assert found == dict.fromkeys(found, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_new_data_in_any_container_find_the_levels_of_a_fit_in_any_other(kind):
    containers = KINDS[kind]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)  # numbers with a fraction as levels: not the subject
        formula, others = "y ~ factor(g) + (1 | g) + (1 | g:h)", {"y": [1.0, 2.0, 4.0], "h": [0, 1, 2]}
        made = {name: design(formula, {"g": values, **others}) for name, values in containers.items()}
        for (fitted, one), (name, values) in itertools.product(made.items(), containers.items()):
            new = one.spec.rows({"g": values, **others})
            assert new.X.tolist() == one.X.tolist(), f"{fitted}, then {name}"
            for (factor, _), term in zip(new.groups, one.terms, strict=True):
                at = places(factor.categories, term.levels)[factor.codes]
                assert at.tolist() == term.codes.tolist(), f"{fitted}, then {name}"


@given(st.lists(st.text(max_size=6), min_size=1, unique=True))
def test_two_texts_are_two_labels(texts):
    factor = coded(intake(texts, "g"), "g")
    assert labels(texts) == texts
    assert factor.categories.tolist() == sorted(texts)
    assert places(factor.categories, factor.categories).tolist() == list(range(len(texts)))


@given(st.lists(st.integers(-(2**70), 2**70), min_size=1, unique=True), st.booleans())
def test_two_integers_are_two_labels_however_large(values, gaps):
    values = [*values, None] if gaps else values
    held = np.array([v or 0 for v in values])
    held = np.array([v or 0 for v in values], dtype=object if held.dtype.kind == "f" else None)  # 0 and 2^63: floats
    for container in (
        values,
        pd.Series(values, dtype=object),
        np.ma.array(held, mask=[v is None for v in values]),
    ):
        factor = coded(intake(container, "g"), "g")
        assert [None if c < 0 else int(factor.categories[c]) for c in factor.codes.tolist()] == values


@given(
    st.lists(
        st.datetimes(min_value=datetime.datetime(1700, 1, 1), max_value=datetime.datetime(2200, 1, 1)),
        unique=True,
        min_size=1,
    )
)
def test_two_moments_are_two_labels_and_two_numbers_of_days_in_their_order(moments):
    assert len(set(labels(moments))) == len(moments)
    number = days(np.array(moments, dtype="M8[us]"))
    assert np.array_equal(number, days(np.array(moments, dtype="M8[ns]")))
    assert np.argsort(number, kind="stable").tolist() == sorted(range(len(moments)), key=moments.__getitem__)


def test_values_that_python_has_equal_and_a_reader_has_not_are_apart():
    assert labels([1, True, "a"]) == ["1", "TRUE", "a"]
    assert labels(np.array([0, False, 1, "1", 1.0], dtype=object)) == ["0", "FALSE", "1", "1", "1"]
    assert labels(["7", "7.0", "007"]) == ["7", "7.0", "007"]
    assert labels(["a", float("nan"), None, pd.NA])[:1] == ["a"]


def test_a_text_that_spells_two_levels_is_neither():
    levels = np.array(["7.0", "7.00"], dtype=object)
    assert places(np.array([7]), levels).tolist() == [-1]
    assert places(np.array(["007"], dtype=object), np.array([7])).tolist() == [-1]


def test_combinations_that_are_written_alike_are_refused():
    data = {"y": np.arange(4.0), "a": ["x", "x:y", "x", "x:y"], "b": ["y:z", "z", "y:z", "z"]}
    with pytest.raises(MMEError, match="two combinations of levels are both written 'x:y:z'"):
        design("y ~ 1 + (1 | a:b)", data)
