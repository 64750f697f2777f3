"""Marginal means: where covariates and offsets stand, in whatever container, and which means are compared."""

import json
import warnings
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fits import at as fit_at
from scipy.stats import studentized_range

import mme
from mme.inference.fixed.means import marginal_means

STORED = json.loads((Path(__file__).parents[1] / "reference" / "contrasts" / "means.json").read_text())
DATA = {name: np.array(values) for name, values in STORED["data"].items()}


def quiet_lmer(*args: object, **options: object) -> mme.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.lmer(*args, **options)


@pytest.mark.parametrize("stored", STORED["means"], ids=lambda s: f"{s['formula']} {s['specs']} {s['by']} {s['at']}")
def test_means_beside_any_covariate_are_those_of_emmeans(stored):
    fit = quiet_lmer(f"{stored['formula']} + (1 | g)", DATA, offset=stored["offset"])
    fit = fit_at(fit, np.atleast_1d(stored["theta"]))
    at = {name: values if len(values) > 1 else values[0] for name, values in stored["at"].items()}
    table = fit.means(stored["specs"], by=stored["by"], at=at)
    levels = {name: [_label(value) for value in values] for name, values in stored["levels"].items()}
    assert table.index.names == [*stored["by"], *stored["specs"]]
    table = table.loc[list(zip(*levels.values(), strict=True)) if len(levels) > 1 else next(iter(levels.values()))]
    for name in ("mean", "se", "df"):
        np.testing.assert_allclose(table[name], stored[name], rtol=2e-6)
    pairs = fit.means(stored["specs"], by=stored["by"], at=at, pairs=True, adjust="none")
    assert len(pairs) == len(stored["p"])
    np.testing.assert_allclose(np.sort(pairs["p"]), np.sort(stored["p"]), rtol=1e-5, atol=1e-9)


def _label(value: object) -> object:
    return str(value).upper() if isinstance(value, bool) else value


# -- containers --------------------------------------------------------------------------------------------------------


def as_arrow(values: np.ndarray) -> object:
    import pyarrow as pa

    return pa.chunked_array([pa.array(values)])


def as_polars(values: np.ndarray) -> object:
    import polars as pl

    return pl.Series(values)


CONTAINERS = {
    "int64": lambda v: v.astype(np.int64),
    "int8": lambda v: v.astype(np.int8),
    "uint16": lambda v: v.astype(np.uint16),
    "float32": lambda v: v.astype(np.float32),
    "list of int": lambda v: v.tolist(),
    "objects": lambda v: v.astype(object),
    "nullable Int32": lambda v: pd.array(v, dtype="Int32"),
    "nullable UInt8": lambda v: pd.array(v, dtype="UInt8"),
    "nullable Float64": lambda v: pd.array(v.astype(float), dtype="Float64"),
    "pandas Arrow": lambda v: pd.array(v, dtype="int64[pyarrow]"),
    "Series": pd.Series,
    "Arrow": as_arrow,
    "Polars": as_polars,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_means_do_not_see_in_what_container_numbers_come(container):
    make = CONTAINERS[container]
    for model, columns in [
        ("f * age + x", ["age"]),
        ("f + log(age) + I(dose^2) + x", ["age", "dose"]),
        ("f + poly(age, 2) + scale(dose)", ["age", "dose"]),
        ("f + treated + offset(age)", ["treated", "age"]),
    ]:
        floats = DATA | {name: DATA[name].astype(float) for name in columns}
        held = DATA | {name: make(DATA[name]) for name in columns}
        expected, fit = (mme.lmer(f"y ~ {model} + (1 | g)", data, theta=[0.5]) for data in (floats, held))
        np.testing.assert_allclose(fit.means("f"), expected.means("f"), rtol=1e-6)
        at = {columns[0]: [1, 4]}  # of several, each in its row
        np.testing.assert_allclose(fit.means("f", at=at), expected.means("f", at=at), rtol=1e-6)


@pytest.mark.parametrize("dtype", [bool, "boolean", "bool[pyarrow]", object])
def test_booleans_in_a_transform_are_zero_and_one(dtype):
    held = DATA | {"flag": pd.Series(DATA["flag"]).astype(dtype)}
    counted = DATA | {"flag": DATA["flag"].astype(float)}
    fit, expected = (mme.lmer("y ~ f + I(flag * x) + (1 | g)", data, theta=[0.5]) for data in (held, counted))
    np.testing.assert_allclose(fit.means("f"), expected.means("f"), rtol=1e-12)


def test_a_covariate_with_gaps_is_at_the_mean_of_the_rows_used():
    age = pd.array(DATA["age"], dtype="Int64")
    age[[3, 17, 40]] = pd.NA
    fit = mme.lmer("y ~ f + age + (1 | g)", DATA | {"age": age}, theta=[0.5])
    used = ~np.isin(np.arange(72), [3, 17, 40])
    np.testing.assert_allclose(fit.means("f"), fit.means("f", at={"age": DATA["age"][used].mean()}), rtol=1e-12)
    filled = mme.lmer("y ~ f + ifelse(z > 0, 1, 0) + I(z^2) + (1 | g)", DATA | {"z": DATA["age"] - 40}, theta=[0.5])
    assert np.isfinite(filled.means("f")["mean"]).all()


def test_a_date_is_at_its_mean_in_days():
    day = np.datetime64("2024-01-01") + DATA["age"]
    fit = mme.lmer("y ~ f * day + (1 | g)", DATA | {"day": day}, theta=[0.5])
    counted = mme.lmer("y ~ f * age + (1 | g)", DATA, theta=[0.5])
    np.testing.assert_allclose(fit.means("f"), counted.means("f"), rtol=1e-6)
    at = [np.datetime64("2024-01-31"), np.datetime64("2024-02-20")]
    np.testing.assert_allclose(fit.means("f", at={"day": at}), counted.means("f", at={"age": [30, 50]}), rtol=1e-6)


# -- where covariates stand --------------------------------------------------------------------------------------------


def test_several_values_of_a_covariate_are_several_rows():
    fit = mme.lmer("y ~ f * age + x + (1 | g)", DATA, theta=[0.5])
    table = fit.means("f", at={"age": [30, 50.5]})
    assert table.index.names == ["age", "f"]
    assert table.index.tolist() == [(age, f) for age in (30, 50.5) for f in "pqr"]
    for age in (30, 50.5):
        np.testing.assert_allclose(table.loc[age], fit.means("f", at={"age": age}), rtol=1e-12)
        pairs = fit.means("f", at={"age": [30, 50.5]}, pairs=True).loc[age]
        np.testing.assert_allclose(pairs, fit.means("f", at={"age": age}, pairs=True), rtol=1e-9)
    across = fit.means(["f", "age"], at={"age": (30, 50.5)}, pairs=True)
    assert "p 30 - p 50.5" in across.index
    assert len(across) == 15
    for values in (np.array([30, 40]), pd.Series([30, 40]), range(30, 41, 10), [30, 40, 30]):
        np.testing.assert_array_equal(fit.means("f", at={"age": values}), fit.means("f", at={"age": [30, 40]}))
    assert fit.means("f", at={"age": [30]}).index.tolist() == [(30, f) for f in "pqr"]
    trend = fit.means("age", at={"age": [0, 1]}, pairs=True)["estimate"].iloc[0]
    b = fit.beta
    assert -trend == pytest.approx(b["age"] + (b["fq:age"] + b["fr:age"]) / 3, rel=1e-9)


def test_several_values_of_a_transform_are_several_rows():
    fit = mme.lmer("y ~ f + log(x + 9) + (1 | g)", DATA, theta=[0.5])
    table = fit.means("f", at={"log(x+9)": [2.0, 2.5]})["mean"]  # spaces do not matter
    difference = table.loc[2.5] - table.loc[2.0]
    np.testing.assert_allclose(difference, 0.5 * fit.beta["log(x + 9)"], rtol=1e-9)


def test_a_covariate_at_its_mean_has_no_levels():
    fit = mme.lmer("y ~ f + age + treated + (1 | g)", DATA, theta=[0.5])
    with pytest.raises(mme.MMEError, match=r"'age' is a covariate at its mean; give its values, at=\{'age': \[...\]\}"):
        fit.means("age")
    with pytest.raises(mme.MMEError, match="'sex' is not a factor of the fixed part; its factors are 'f', 'treated'"):
        fit.means("sex")


def test_a_column_of_two_values_is_at_both_with_equal_weights():
    fit = mme.lmer("y ~ f * treated + (1 | g)", DATA, theta=[0.5])
    low, high = (fit.means("f", at={"treated": value})["mean"] for value in (0, 1))
    np.testing.assert_allclose(fit.means("f")["mean"], (low + high) / 2, rtol=1e-12)
    as_factor = mme.lmer("y ~ f * factor(treated) + (1 | g)", DATA, theta=[0.5])
    np.testing.assert_allclose(fit.means("f"), as_factor.means("f"), rtol=1e-6)
    np.testing.assert_allclose(fit.means("treated"), as_factor.means("treated"), rtol=1e-6)
    rare = mme.lmer("y ~ f + z + (1 | g)", DATA | {"z": np.where(np.arange(72) == 70, 7, 2)}, theta=[0.5])
    np.testing.assert_allclose(rare.means("f"), rare.means("f", at={"z": 4.5}), rtol=1e-12)


def test_a_column_that_a_factor_is_made_of_stands_where_the_factor_does():
    fit = quiet_lmer("y ~ f + factor(step) + step + (1 | g)", DATA, theta=[0.5])
    without = mme.lmer("y ~ f + factor(step) + (1 | g)", DATA, theta=[0.5])
    for factor in ("f", "step"):
        np.testing.assert_allclose(fit.means(factor), without.means(factor), rtol=1e-9)
    named = mme.lmer("y ~ factor(treated, levels = c(0, 1), labels = c(5, 9)) + treated:x + (1 | g)", DATA, theta=[0.5])
    at_both = named.beta.iloc[0] + 0.5 * DATA["x"].mean() * named.beta.iloc[-1]  # 5 and 9 are no values of the column
    assert named.means("treated")["mean"]["5"] == pytest.approx(at_both, rel=1e-12)
    inside = mme.lmer('y ~ f + I((f == "q") * x) + (1 | g)', DATA, theta=[0.5])
    b, x = inside.beta, DATA["x"].mean()
    expected = [b.iloc[0], b.iloc[0] + b["fq"] + x * b.iloc[-1], b.iloc[0] + b["fr"]]
    np.testing.assert_allclose(inside.means("f")["mean"], expected, rtol=1e-12)


def test_the_offset_is_at_its_mean_or_where_it_is_put():
    plain = mme.lmer("y ~ f + (1 | g)", DATA | {"y": DATA["y"] - np.log(DATA["time"])}, theta=[0.5])
    written = mme.lmer("y ~ f + offset(log(time)) + (1 | g)", DATA, theta=[0.5])
    others = [mme.lmer("y ~ f + (1 | g)", DATA, theta=[0.5], offset=o) for o in ("log(time)", np.log(DATA["time"]))]
    for fit in (written, *others):
        expected = plain.means("f")["mean"] + np.log(DATA["time"]).mean()
        np.testing.assert_allclose(fit.means("f")["mean"], expected, rtol=1e-9)
        np.testing.assert_allclose(fit.means("f", at={"offset": 0}), plain.means("f"), rtol=1e-6)
        np.testing.assert_allclose(fit.means("f", pairs=True), plain.means("f", pairs=True), rtol=1e-6)
    with pytest.raises(mme.MMEError, match="'offset' is no covariate"):
        plain.means("f", at={"offset": 0})


def test_saved_fits_know_where_their_covariates_stand(tmp_path):
    fit = mme.lmer("y ~ f * treated + age + offset(x) + (1 | g)", DATA, offset="time")
    fit.save(tmp_path / "fit.mme")
    np.testing.assert_allclose(mme.load_fit(tmp_path / "fit.mme").means("f"), fit.means("f"), rtol=1e-9)


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        ({"age": []}, r"at: 'age' needs a number or a list of numbers, got \[\]"),
        ({"age": np.nan}, "at: 'age' needs a number"),
        ({"age": [1, np.inf]}, "at: 'age' needs a number"),
        ({"age": "old"}, "at: 'age' needs numbers, but was given labels"),
        ({"height": 3}, "at: 'height' is no covariate of the fixed part; they are age"),
        ({"offset": 3}, "at: 'offset' is no covariate"),
        ([("age", 3)], "at must map covariates to values"),
    ],
)
def test_values_that_a_covariate_cannot_have_are_refused(at, problem):
    with pytest.raises(mme.MMEError, match=problem):
        mme.lmer("y ~ f + age + (1 | g)", DATA, theta=[0.5]).means("f", at=at)


@pytest.mark.parametrize(
    ("model", "names"),
    [
        ("f * treated + step * log(dose) + x", ["f"]),
        ("f * treated + step * log(dose) + x", ["step", "treated"]),
        ("f * treated + step * log(dose) + x", ["dose"]),
        ("f:treated:dose + x:step", ["f", "dose"]),
        ("0 + step + f * x + I(treated * dose) + poly(x, 2):treated", ["step", "treated"]),
        ("treated * dose * f * step", ["treated", "step"]),
        ("f*step + as.numeric(step == 'v'):treated + treated:dose", ["f", "step", "dose"]),
    ],
)
def test_a_mean_is_the_average_of_x_over_the_whole_grid(model, names):
    data = DATA | {"step": np.array(list("uvwz"))[DATA["step"] - 1]}
    fit = quiet_lmer(f"y ~ {model} + (1 | g)", data, theta=[0.5])
    levels = {"f": list("pqr"), "step": list("uvwz"), "treated": [0, 1], "dose": [2, 10], "x": [DATA["x"].mean()]}
    grid = pd.DataFrame(list(product(*levels.values())), columns=list(levels))
    grid = grid.loc[:, [name for name in levels if name in model]].drop_duplicates()
    X = fit.internals.specification.rows(grid, random=False).X
    expected = pd.DataFrame(X).groupby([grid[name].to_numpy() for name in names]).mean()
    np.testing.assert_allclose(marginal_means(fit.internals, names, (), None).L, expected, rtol=1e-12, atol=1e-12)


def test_many_factors_and_indicators_are_no_large_grid():
    rng = np.random.default_rng(1)
    factors = {f"f{k}": rng.integers(0, 10, 400).astype(str) for k in range(9)}
    indicators = {f"i{k}": rng.integers(0, 2, 400) for k in range(30)}
    data = factors | indicators | {"y": rng.normal(size=400), "g": np.arange(400) % 8}
    fit = mme.lmer(f"y ~ {' + '.join([*factors, *indicators])} + (1 | g)", data, theta=[0.5])
    found, b = fit.means("f0")["mean"], fit.beta
    others = sum(b[name] / (10 if name[0] == "f" else 2) for name in b.index[1:] if name[:2] != "f0")
    np.testing.assert_allclose(found, b.iloc[0] + others + [0.0, *b.filter(regex="^f0")], rtol=1e-9)


def test_a_grid_too_large_is_refused_before_it_is_made():
    fit = mme.lmer("y ~ f + age + (1 | g)", DATA, theta=[0.5])
    with pytest.raises(mme.MMEError, match="the reference grid would have 6000000 rows"):
        fit.means("f", at={"age": np.arange(2_000_000)})


# -- families of comparisons -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adjust", ["tukey", "bonferroni", "none"])
def test_families_count_the_means_that_exist(cells, adjust):
    fit, by_cell = (mme.lmer(f"y ~ {model} + (1 | g)", cells, theta=[0.8]) for model in ("a * b", "cell"))
    found = fit.means(["a", "b"], pairs=True, adjust=adjust)
    assert (len(found), int(found["p"].notna().sum())) == (15, 6)
    expected = by_cell.means("cell", pairs=True, adjust=adjust)
    np.testing.assert_allclose(np.sort(found["p"].dropna()), np.sort(expected["p"]), rtol=1e-6)


def test_each_family_counts_its_own_means(cells):
    fit = mme.lmer("y ~ a * b + (1 | g)", cells)
    plain, tukey = (fit.means("a", by="b", pairs=True, adjust=adjust) for adjust in ("none", "tukey"))
    assert plain["p"].notna().groupby(level="b").sum().tolist() == [1, 1]
    np.testing.assert_allclose(tukey["p"].dropna(), plain["p"].dropna(), rtol=1e-9)  # one difference is one test
    more = pd.concat([cells, cells[cells["a"] == "r"].assign(a="q", y=lambda d: d["y"] + 0.3)])
    table = mme.lmer("y ~ a * b + (1 | g)", more).means("a", by="b", pairs=True)
    three, two = table.loc["t"], table.loc["s"].dropna()
    q = np.sqrt(2) * three["t"].abs()
    np.testing.assert_allclose(three["p"], studentized_range.sf(q, 3, three["df"]), rtol=1e-9)
    assert len(two) == 1


def test_differences_that_are_known_between_means_that_are_not_are_compared(cells):
    # the cell of h and k that is empty makes all means of f unknown, their differences not
    n = np.arange(72)
    table = pd.DataFrame({"f": np.array(list("pqr"))[n % 3], "h": np.array(list("uv"))[n // 3 % 2], "k": n // 6 % 3})
    table = table.assign(y=DATA["y"], g=DATA["g"], k=table["k"].map({0: "a", 1: "b", 2: "c"}))
    table = table[(table["h"] != "v") | (table["k"] != "c")]
    fit = quiet_lmer("y ~ f + h * k + (1 | g)", table)
    assert fit.means("f")["mean"].isna().all()
    assert fit.means("f", pairs=True)["p"].notna().all()


NESTED = {
    "y ~ a + b + w + (1 | g)": {
        "a": [(17.296507, 3.850575, 5.1169), (17.388181, 3.837291, 5.0467), (17.422181, 3.874146, 5.2432)],
        "b": [
            *((17.322174, 3.874098, 5.243), (17.27084, 3.890094, 5.33), (16.765432, 3.874074, 5.2429)),
            *((18.7067, 3.87406, 5.2428), (16.692412, 3.874085, 5.2429), (17.422181, 3.874146, 5.2432)),
        ],
    },
    "y ~ a / b + c + (1 | g)": {
        "a": [(17.280498, 3.856177, 5.1207), (17.387037, 3.842291, 5.0473), (17.438889, 3.879547, 5.2458)],
        "b": [
            *((17.311111, 3.879547, 5.2458), (17.249884, 3.89754, 5.3436), (16.772222, 3.879547, 5.2458)),
            *((18.705556, 3.879547, 5.2458), (16.683333, 3.879547, 5.2458), (17.438889, 3.879547, 5.2458)),
        ],
        "c": [(17.325309, 3.853713, 5.1076), (17.472531, 3.853713, 5.1076), (17.308584, 3.858249, 5.1317)],
    },
    "y ~ a / b * c + (1 | g)": {
        "a": [(17.201667, 3.868306, 5.1475), (17.387037, 3.849114, 5.0461), (17.438889, 3.88632, 5.2439)],
        "c": [(17.297222, 3.86466, 5.1281), (17.316667, 3.86466, 5.1281), (17.413704, 3.874501, 5.1805)],
    },
}  # emmeans 1.8.4 of R, which finds the nests by itself


@pytest.mark.parametrize("formula", NESTED)
def test_means_of_factors_that_are_nested_average_within_the_nests_as_emmeans(formula):
    nests = {"A": "pq", "B": "rst", "C": "u"}
    rows = [(a, b, c, g) for a, inner in nests.items() for b in inner for c in "xyz" for g in range(6)]
    data = pd.DataFrame(rows, columns=["a", "b", "c", "g"])
    i = np.arange(len(data))
    data = data.assign(y=(37 * i * i + 11 * i) % 101 / 10 + 5 * data["g"], w=13 * i % 17)
    data = data.drop(index=data.index[(data["b"] == "q") & (data["c"] == "z")][:4])
    fit = quiet_lmer(formula, data)
    for factor, expected in NESTED[formula].items():
        np.testing.assert_allclose(fit.means(factor)[["mean", "se"]], np.array(expected)[:, :2], rtol=1e-6)
        np.testing.assert_allclose(fit.means(factor)["df"], np.array(expected)[:, 2], atol=1e-4)  # of four decimals
    within = fit.means("b", by="a")
    assert list(within.index) == [(a, b) for a, inner in nests.items() for b in inner]
    assert len(fit.means("b", by="a", pairs=True)) == 1 + 3


COUNTED = {
    ("y ~ a + k + b", "a", "proportional"): ([2.0375, 2.875, 2.0], [0.2559562987, 0.2089874427, 0.361976869]),
    ("y ~ a + k + b", "a", "cells"): ([2.0375, 2.875, 2.0], [0.2559562987, 0.2089874427, 0.361976869]),
    ("y ~ a + k + b", "k", "proportional"): (
        [2.6125, 1.230555556, 2.452777778, 3.480555556, 2.425, 1.334722222],
        [0.3374138777, 0.4114020225, 0.2703406932, 0.3306339179, 0.4676215647, 0.5724487259],
    ),
    ("y ~ a + k + b", "k", "cells"): (
        [2.479166667, 1.375, 2.486111111, 3.458333333, 2.458333333, 1.3125],
        [0.3304381607, 0.4047024426, 0.2698016284, 0.3304381607, 0.4673101284, 0.5723356831],
    ),
    ("y ~ a + k + b", "b", "proportional"): ([2.927777778, 2.261111111], [0.2857577271, 0.1766004576]),
    ("y ~ a:b", "a", "proportional"): (
        [2.031388889, 2.870701058, 1.968253968],
        [0.2765115723, 0.2252535911, 0.3901506643],
    ),
    ("y ~ a:b", "a", "cells"): ([2.0375, 2.875, 2.0], [0.2756959021, 0.2251047615, 0.3898928839]),
}  # emmeans 1.8.4 of R, which finds the nests by itself


@pytest.mark.parametrize(("formula", "factor", "weights"), COUNTED)
def test_records_are_counted_within_nests_and_where_an_interaction_alone_tells_as_in_emmeans(formula, factor, weights):
    i = np.arange(60)
    a = np.array(["A", "B", "C"])[np.array([0, 0, 1, 1, 1, 2])[i % 6]]
    k = np.char.add(a, np.where((i * 7) % 5 < 3, "1", "2"))
    data = pd.DataFrame({"a": a, "k": k, "b": np.where((i * i) % 7 < 3, "y", "x")})
    data["y"] = (i * 13) % 17 / 4 + (a == "B")
    found = mme.lm(formula, data).means(factor, weights=weights)
    np.testing.assert_allclose(found[["mean", "se"]].T, COUNTED[formula, factor, weights], rtol=1e-8)
