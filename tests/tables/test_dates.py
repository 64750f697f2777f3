"""Dates and spans of time are days wherever a number is needed, labels wherever a label is."""

import datetime
import decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

import mme
from mme.formula.design import design
from mme.tables.arrays import numbers
from mme.tables.dates import days, number

N = 60


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    day = np.arange("2024-02-26", "2024-03-07", dtype="M8[D]")[np.arange(N) % 10].astype("M8[ns]")
    table = pd.DataFrame({"y": rng.normal(size=N), "day": day, "g": np.arange(N) // 10, "f": np.tile(["a", "b"], 30)})
    table["span"] = table["day"] - table["day"].min()
    table["n"] = (table["day"] - pd.Timestamp(0)) / pd.Timedelta(1, "D")
    table["s"] = table["span"] / pd.Timedelta(1, "D")
    return table


@pytest.mark.parametrize("unit", ["D", "h", "m", "s", "ms", "us", "ns"])
def test_days_are_those_since_1970_in_any_unit(unit):
    held = np.array(["1970-01-01", "1969-12-31", "2000-02-29", "NaT"], dtype=f"M8[{unit}]")
    assert days(held)[:3].tolist() == [0.0, -1.0, 11016.0]
    assert np.isnan(days(held)[3])
    assert days(np.array([36], dtype="m8[h]").astype(f"m8[{unit}]"))[0] == (1.0 if unit == "D" else 1.5)


@pytest.mark.parametrize("values", [["1970-01-02", None], ["1970-01-02T00:00Z", "NaT"]])
def test_one_number_from_any_container_of_dates(values):
    held = pd.to_datetime(pd.Series(values), utc=True, format="ISO8601")
    expected = [1.0, np.nan]
    containers = [held, held.dt.tz_convert(None).to_numpy(), held.astype(object), pl.from_pandas(held), pa.array(held)]
    for container in (*containers, [held[0].to_pydatetime(), None], [held[0].date(), pd.NaT]):
        np.testing.assert_array_equal(numbers(container, "x"), expected)
    assert number("1970-01-02") == number(datetime.date(1970, 1, 2)) == number(held[0]) == 1.0


@pytest.mark.parametrize(
    ("dated", "numbered"),
    [
        ("y ~ day + (1 | g)", "y ~ n + (1 | g)"),
        ("y ~ poly(day, 2) + (1 | g)", "y ~ poly(n, 2) + (1 | g)"),
        ("y ~ scale(day) + I((day - 19782)^2) + (1 | g)", "y ~ scale(n) + I((n - 19782)^2) + (1 | g)"),
        ("y ~ span + (span | g)", "y ~ s + (s | g)"),
        ("y ~ bs(day, df = 4) + (1 | g)", "y ~ bs(n, df = 4) + (1 | g)"),
        ("y ~ I(day >= '2024-03-01') + (1 | g)", "y ~ I(n >= 19783) + (1 | g)"),
        ("day ~ f + (1 | g)", "n ~ f + (1 | g)"),
    ],
)
def test_a_date_in_a_formula_is_its_number_of_days(data, dated, numbered):
    theta = [0.5, 0.1, 0.2] if "span" in dated else [0.5]
    one, other = (mme.lmer(formula, data, theta=theta) for formula in (dated, numbered))
    assert one.criterion == other.criterion
    np.testing.assert_array_equal(one.beta, other.beta)
    coarse = data.assign(day=data["day"].astype("M8[s]"), span=data["span"].astype("m8[s]"))
    np.testing.assert_array_equal(one.predict(coarse), other.predict(data))


def test_means_are_taken_at_the_mean_day_or_at_dates(data):
    one, other = (mme.lmer(f"y ~ f + {x} + (1 | g)", data, theta=[0.5]) for x in ("day", "n"))
    pd.testing.assert_frame_equal(one.means("f"), other.means("f"))
    for day in ("2024-03-05", pd.Timestamp("2024-03-05"), np.datetime64("2024-03-05"), 19787):
        np.testing.assert_array_equal(one.means("f", at={"day": day}), other.means("f", at={"n": 19787.0}))
    two = one.means("f", at={"day": ["2024-03-05", datetime.date(2024, 3, 6)]})
    np.testing.assert_array_equal(two, other.means("f", at={"n": [19787.0, 19788.0]}))


@pytest.mark.parametrize("structure", [mme.AR1, mme.Exponential, mme.Toeplitz, mme.Unstructured])
def test_times_of_a_residual_structure_may_be_dates(data, structure):
    few = data[data["n"] < 19783]
    one, other = (mme.lmer("y ~ 1", few, residual=structure(time, "g")) for time in ("day", "n"))
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)


def test_a_saved_fit_knows_its_dates(data, tmp_path):
    for formula in ("y ~ factor(day) + (1 | day)", "y ~ 1 + (1 | day:f)"):
        fit = mme.lmer(formula, data, theta=[0.5])
        fit.save(tmp_path / "fit.mme")
        text = data.assign(day=data["day"].dt.strftime("%Y-%m-%d %H:%M:%S"))
        np.testing.assert_array_equal(mme.load_fit(tmp_path / "fit.mme").predict(text), fit.predict(data))


def test_a_relationship_among_dates_is_matched_in_any_container(data):
    levels = pd.to_datetime(data["day"].unique())
    relations = [mme.Relationship(covariance=np.eye(10), levels=one) for one in (levels, levels.astype("M8[s]").date)]
    relations += [mme.Relationship(covariance=np.eye(10), levels=levels.strftime("%Y-%m-%d"))]
    fits = [mme.lmer("y ~ 1 + (1 | day)", data, relationship={"day": one}, theta=[0.5]) for one in relations]
    assert len({fit.criterion for fit in fits}) == 1


ODD = {
    "masked text": np.ma.masked_array(["a", "b"] * 30, mask=np.arange(N) == 3),
    "sparse": sp.csc_array(np.arange(float(N))[:, None]),
    "sparse matrix": sp.csc_array(np.ones((N, 2))),
    "beyond 64 bits": [2**63 + i % 6 for i in range(N)],
    "Int128": pl.Series([2**100 + i % 6 for i in range(N)], dtype=pl.Int128),
    "several kinds": [1, "a", 2.5, None, True, b"x"] * 10,
    "bytes of another encoding": [b"\xff", b"a"] * 30,
    "complex": [1j, 2] * 30,
    "lists": [[1], [2, 3]] * 30,
    "dicts": [{"a": 1}] * N,
    "structs": pl.Series([{"a": 1}] * N),
    "objects": [object()] * N,
    "nothing": [None] * N,
    "no categories": pd.Categorical([None] * N, categories=[]),
    "categories of pairs": pd.Categorical([(1, 2), (3, 4)] * 30),
    "intervals": pd.Series(pd.interval_range(0, N)),
    "two indices": pd.MultiIndex.from_arrays([range(N), range(N)]),
    "one number": 3.0,
    "no dimension": np.array(3.0),
    "three dimensions": np.ones((N, 2, 2)),
    "attoseconds": np.arange(N).astype("M8[as]"),
    "months": np.arange(N).astype("m8[M]"),
    "no unit": np.zeros(N, dtype="M8"),
    "far years": np.array(["-10000-01-01", "12000-01-01"] * 30, dtype="M8[D]"),
    "dates and spans": [datetime.timedelta(1), datetime.date(2020, 1, 1)] * 30,
    "spans of NumPy": [np.timedelta64(1, "D"), np.timedelta64(2, "h")] * 30,
    "signalling": [decimal.Decimal("sNaN"), decimal.Decimal(1)] * 30,
    "union": pa.UnionArray.from_dense(
        pa.array([0, 1] * 30, pa.int8()), pa.array(range(N), pa.int32()), [pa.array(range(N)), pa.array(["a"] * N)]
    ),
    "a long text": ["a" * 10_000, "b"] * 30,
}


@pytest.mark.filterwarnings("ignore::mme.MMEWarning")
@pytest.mark.parametrize("what", ODD)
def test_a_column_of_any_kind_is_used_or_refused_in_words(data, what):
    column, table = ODD[what], {name: data[name].to_numpy() for name in ("y", "n", "g", "f")}
    fit = mme.lmer("y ~ n + (1 | g)", table, theta=[0.5])
    formulas = ["y ~ z + (1 | g)", "y ~ factor(z) + (1 | g)", "y ~ 1 + (1 | z)", "y ~ (z | g)", "z ~ 1 + (1 | g)"]
    calls = [lambda formula=formula: design(formula, {**table, "z": column}) for formula in formulas]
    calls += [
        lambda: fit.predict({"n": table["n"], "g": column}, new_levels="population"),
        lambda: fit.predict({"n": column, "g": table["g"]}),
        lambda: mme.lmer("y ~ n + (1 | g)", table, theta=[0.5], weights=column),
        lambda: mme.lmer("y ~ n + (1 | g)", column, theta=[0.5]),
        lambda: mme.Term(column),
        lambda: mme.Term(table["g"], column),
        lambda: mme.Pedigree(column, [None] * N, [None] * N),
        lambda: mme.fit(column, np.ones((N, 1)), [mme.Term(table["g"])], theta=[0.5]),
        lambda: mme.fit(table["y"], column, [mme.Term(table["g"])], theta=[0.5]),
        lambda: fit.means("f", at={"n": column}),
    ]
    said = []
    for call in calls:
        try:
            call()
        except mme.MMEError as error:
            said.append(str(error))
    assert all(20 < len(message) < 1000 and "np." not in message for message in said), said
