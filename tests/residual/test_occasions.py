"""Occasions and times: the order that is declared, times that differ by rounding, groups as a formula writes them."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.tables.order import order_of
from mme.tables.times import merged, tolerance

MONTHS = ["jan", "feb", "mar", "apr"]
J, T = 10, len(MONTHS)


def series(seed: int = 11) -> pd.DataFrame:
    """Ten series of four occasions, numbered, and by labels whose alphabet has another order."""
    rng = np.random.default_rng(seed)
    t, g = np.tile(np.arange(T), J), np.repeat(np.arange(J), T)
    R = 0.7 ** np.abs(np.subtract.outer(np.arange(T), np.arange(T)))
    y = (rng.normal(size=(J, T)) @ np.linalg.cholesky(R).T).ravel()
    return pd.DataFrame({"y": y, "t": t, "g": g, "block": np.where(g < 5, "A", "B"), "plot": g % 5})


def containers(labels: list[str], t: np.ndarray) -> dict[str, object]:
    """A column of labels whose order is declared, in each library that can."""
    import polars as pl
    import pyarrow as pa

    text = np.array(labels)[t]
    ordered = pd.Categorical(text, categories=labels, ordered=True)
    return {
        "ordered": ordered,
        "categories declared, not ordered": pd.Categorical(text, categories=labels),
        "Series": pd.Series(ordered),
        "Enum": pl.Series(text.tolist(), dtype=pl.Enum(labels)),
        "dictionary": pa.DictionaryArray.from_arrays(pa.array(t), pa.array(labels)),
    }


STRUCTURES = {"Toeplitz": mme.Toeplitz, "AR1": mme.AR1, "Unstructured": mme.Unstructured}


@pytest.fixture(scope="module")
def numbered() -> dict[str, float]:
    data = series()
    return {name: mme.lmer("y ~ 1", data, residual=kind("t", "g")).criterion for name, kind in STRUCTURES.items()}


@pytest.mark.parametrize("name", STRUCTURES)
@pytest.mark.parametrize("container", containers(MONTHS, np.arange(T)))
def test_occasions_have_the_order_that_is_declared_by_formula_and_by_arrays(name, container, numbered):
    data, kind = series(), STRUCTURES[name]
    column = containers(MONTHS, data["t"].to_numpy())[container]
    table = {"y": data["y"].to_numpy(), "g": data["g"].to_numpy(), "m": column}
    by_formula = mme.lmer("y ~ 1", table, residual=kind("m", "g"))
    by_array = mme.lmer("y ~ 1", table, residual=kind(column, "g"))
    by_fit = mme.fit(table["y"], np.ones((J * T, 1)), [], residual=kind(column, table["g"]))
    for fit in (by_formula, by_array, by_fit):
        assert fit.criterion == pytest.approx(numbered[name], abs=1e-8)
    if name == "Unstructured":
        assert next(iter(by_formula.residual)) == "cor.feb.jan"
        assert list(by_fit.residual)[-1] == "sd.apr/sd.jan"


@pytest.mark.parametrize("name", STRUCTURES)
def test_declared_order_survives_shuffled_rows_a_gap_in_the_data_and_a_file(name, numbered, tmp_path):
    data, kind = series(), STRUCTURES[name]
    data["m"] = pd.Categorical(np.array(MONTHS)[data["t"]], categories=["dec", *MONTHS, "may"], ordered=True)
    shuffled = data.sample(frac=1.0, random_state=3)
    fit = mme.lmer("y ~ 1", shuffled, residual=kind("m", "g"))
    assert fit.criterion == pytest.approx(numbered[name], abs=1e-8)
    fit.save(tmp_path / "fit.mme")
    again = mme.load_fit(tmp_path / "fit.mme")
    assert again.residual == fit.residual
    np.testing.assert_array_equal(again.simulate(1, seed=4), fit.simulate(1, seed=4))
    gone = data[data["m"] != "mar"]
    if name == "AR1":  # a category without records is a step
        wider = mme.lmer("y ~ 1", gone, residual=mme.AR1("m", "g"))
        assert wider.criterion == pytest.approx(mme.lmer("y ~ 1", gone, residual=mme.AR1("t", "g")).criterion)


@pytest.mark.parametrize("container", containers(MONTHS, np.arange(T)))
def test_strata_begin_with_the_first_that_is_declared(container):
    data = series()
    column = containers(MONTHS, data["t"].to_numpy())[container]
    table = {"y": data["y"].to_numpy(), "g": data["g"].to_numpy(), "m": column}
    fit = mme.lmer("y ~ 1", table, residual=[mme.CompoundSymmetry("g"), mme.Heterogeneous("m")])
    assert list(fit.residual) == ["rho", *(f"sd.{month}/sd.jan" for month in MONTHS[1:])]


@pytest.mark.parametrize("kind", [mme.Toeplitz, mme.AR1])
@pytest.mark.parametrize("words", ["{}", "visit {}", "v{}", "{}.5 weeks", "2024-01-{:02d}"])
def test_text_that_reads_as_numbers_has_their_order(kind, words):
    data = series()
    data["text"] = [words.format(8 + t) for t in data["t"]]
    found = mme.lmer("y ~ 1", data.sample(frac=1.0, random_state=5), residual=kind("text", "g"))
    assert found.criterion == pytest.approx(mme.lmer("y ~ 1", data, residual=kind("t", "g")).criterion, abs=1e-8)


def test_other_text_is_refused_where_times_are_meant_and_its_order_is_said_where_it_matters():
    data = series()
    data["m"] = np.array(MONTHS)[data["t"]]
    with pytest.raises(mme.MMEError, match=r"time 'm' must be numeric, got text .* declared order: pd.Categorical"):
        mme.lmer("y ~ 1", data, residual=mme.AR1("m", "g"))
    with pytest.warns(mme.MMEWarning, match=r"occasion 'm' in alphabetical order \(apr, feb, jan, mar\)"):
        mme.lmer("y ~ 1", data, residual=mme.Toeplitz("m", "g"))
    with pytest.warns(mme.MMEWarning, match=r"ar1\(0 \+ m \| g\) takes the levels in alphabetical order"):
        mme.lmer("y ~ 1 + ar1(0 + m | g)", data, sigma=0.3, theta=[1.0, 1.0])


def test_nothing_is_said_where_the_records_stand_in_alphabetical_order_or_order_does_not_matter():
    data = series()
    data["letter"], data["m"] = np.array(list("abcd"))[data["t"]], np.array(MONTHS)[data["t"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mme.lmer("y ~ 1", data, residual=mme.Toeplitz("letter", "g"))
        mme.lmer("y ~ 1", data, residual=mme.Unstructured("m", "g"))
        mme.lmer("y ~ 1 + ar1(0 + letter | g)", data, sigma=0.3, theta=[1.0, 1.0])
        mme.lmer("y ~ 1 + cs(0 + m | g)", data, sigma=0.3, theta=[1.0] * T + [1.0])
        two = data[data["t"] < 2].assign(m=lambda table: table["m"].astype("category"))  # feb, jan
        mme.lmer("y ~ 1", two, residual=mme.Toeplitz("m", "g"))
        mme.lmer("y ~ 1", two, residual=mme.AR1("m", "g"))
        mme.lmer("y ~ 1 + ar1(0 + m | g)", two, sigma=0.3, theta=[1.0, 1.0])


def test_levels_that_are_not_at_one_distance_are_pointed_out_to_who_takes_them_so():
    data = series()
    data["week"] = np.array([1, 2, 4, 8])[data["t"]]
    data["text"] = pd.Categorical(data["week"].astype(str), categories=["1", "2", "4", "8"], ordered=True)
    for residual in (mme.Toeplitz("week", "g"), mme.AR1("text", "g")):
        with pytest.warns(mme.MMEWarning, match=r"to be one step apart, but they are 1, 2, 4, 8"):
            mme.lmer("y ~ 1", data, residual=residual)
    data["back"] = pd.Categorical(data["week"], categories=[8, 4, 1, 2], ordered=True)  # names, no distances
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mme.lmer("y ~ 1", data, residual=mme.AR1("back", "g"))
    with pytest.warns(mme.MMEWarning, match=r"one step apart \(1, 2, 4, 8\); ou\(\) reads the distances"):
        mme.lmer("y ~ 1 + ar1(0 + factor(week) | g)", data, sigma=0.3, theta=[1.0, 1.0])


@pytest.mark.parametrize("spelling", ["ordered", "categories declared, not ordered", "Enum", "dictionary", "text"])
def test_ar1_goes_along_the_declared_order_or_that_of_numbers_in_text_at_predict_too(spelling, tmp_path):
    data = series()
    labels = [f"week {t}" for t in range(8, 12)] if spelling == "text" else MONTHS
    column = np.array(labels)[data["t"]] if spelling == "text" else containers(labels, data["t"].to_numpy())[spelling]
    table = {"y": data["y"].to_numpy(), "g": data["g"].to_numpy(), "m": column}
    given = {"sigma": 0.3, "theta": [3.0, 0.9]}
    fit = mme.lmer("y ~ 1 + ar1(0 + m | g)", table, **given)
    expected = mme.lmer("y ~ 1 + ar1(0 + factor(t) | g)", data, **given)
    assert fit.criterion == pytest.approx(expected.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.ranef()["g"], expected.ranef()["g"], atol=1e-9)
    assert [name[1:] for name in fit.ranef()["g"].columns] == labels
    fit.save(tmp_path / "fit.mme")
    text = pd.DataFrame({"g": data["g"], "m": np.array(labels)[data["t"]]}).iloc[[7, 3, 21]]
    for one in (fit, mme.load_fit(tmp_path / "fit.mme")):
        np.testing.assert_allclose(one.predict(text), expected.fitted[[7, 3, 21]], atol=1e-9)


@pytest.mark.parametrize(
    ("bar", "advice"),
    [
        ("ar1(0 + t | g)", r"ar1\(0 \+ factor\(t\) \| g\), or ou\(t \| g\)"),
        ("ar1(t | g)", r"ar1\(0 \+ factor\(t\) \| g\)"),
        ("ar1(0 + t | g, hom = FALSE)", r"ar1\(0 \+ factor\(t\) \| g\)"),
        ("cs(0 + t | g)", r"cs\(0 \+ factor\(t\) \| g\), or \(0 \+ t \| g\) for a slope"),
        ("cs(0 + log(t + 1) | g, hom = TRUE)", r"cs\(0 \+ factor\(log\(t \+ 1\)\) \| g\)"),
    ],
)
def test_a_pattern_of_correlations_along_a_number_is_no_random_slope_in_silence(bar, advice):
    with pytest.raises(mme.MMEError, match=advice):
        mme.lmer(f"y ~ 1 + {bar}", series())


def test_compound_symmetry_of_an_intercept_and_a_slope_is_meant():
    assert mme.lmer("y ~ t + cs(t | g)", series()).theta.size == 3


# --- times that differ by rounding -----------------------------------------------------------------------------------


@given(
    times=st.lists(st.integers(-1000, 1000), min_size=2, max_size=30, unique=True),
    unit=st.sampled_from([1e-6, 0.1, 1.0, 1e7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_times_within_a_billionth_of_the_typical_gap_are_one_and_no_others(times, unit, seed):
    rng = np.random.default_rng(seed)
    exact = np.array(times, dtype=float) * unit
    repeated = np.concatenate([exact, exact + rng.uniform(-1e-11, 1e-11, exact.size) * unit, -0.0 * exact])
    codes = np.zeros(repeated.size, dtype=int)
    found = merged(repeated, tolerance(codes, repeated))
    assert np.unique(found).size == np.unique(np.append(exact, 0.0)).size
    assert not np.signbit(found[found == 0.0]).any()
    np.testing.assert_allclose(found, repeated, rtol=0, atol=1e-9 * np.ptp(repeated))
    apart = np.array([0.0, 1.0, 1.0 + 1e-7, 2.0]) * unit
    np.testing.assert_array_equal(merged(apart, tolerance(np.zeros(4, dtype=int), apart)), apart)


def rounded(data: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Times as they are, and as sums and products leave them."""
    exact = data.assign(x=np.array([0.0, 0.1, 0.2, 0.3])[data["t"]])
    near = data.assign(x=np.where(data["g"] % 2, 0.1 * data["t"], exact["x"]))
    near.loc[(near["t"] == 0) & (near["g"] % 3 == 0), "x"] = -0.0
    assert near["x"].nunique() == 5
    return exact, near


@pytest.mark.parametrize(
    "residual",
    [
        mme.Exponential("x", "g"),
        mme.Exponential("x", "g", nugget=True),
        mme.Toeplitz("x", "g"),
        mme.Unstructured("x", "g"),
        mme.AR1("ten", "g"),
    ],
)
def test_residual_structures_take_times_that_differ_by_rounding_as_one(residual):
    exact, near = (table.assign(ten=table["x"] * 10) for table in rounded(series()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = (mme.lmer("y ~ 1", table, residual=residual) for table in (exact, near))
    assert other.criterion == pytest.approx(one.criterion, abs=1e-8)
    assert list(other.residual) == list(one.residual)


@pytest.mark.parametrize("residual", [mme.Exponential("x", "g"), mme.AR1("ten", "g"), mme.Toeplitz("x", "g")])
def test_two_records_at_times_that_differ_by_rounding_are_two_at_one_time(residual):
    data = series().assign(x=lambda table: table["t"] * 0.1)
    data.loc[data["t"] == 3, "x"] = 0.1 * 3
    data = pd.concat([data, data[data["t"] == 3].assign(x=0.3)]).assign(ten=lambda table: table["x"] * 10)
    with pytest.raises(mme.MMEError, match="has 2 records of level '0' at the same"):
        mme.lmer("y ~ 1", data, residual=residual)


def test_times_less_than_a_step_apart_are_no_steps_of_an_autoregression():
    data = series().assign(x=lambda table: table["t"] + 0.0)
    data.loc[data["t"] == 1, "x"] = 5e-7
    with pytest.raises(mme.MMEError, match=r"two neighbours in a group 'g' are 5e-07 apart"):
        mme.lmer("y ~ 1", data, residual=mme.AR1("x", "g"))


def test_a_process_takes_times_that_differ_by_rounding_as_one_at_predict_too(tmp_path):
    exact, near = rounded(series())
    again = series(12)["y"]  # a second record at each time, which the other spelling of it holds
    exact = pd.concat([exact, exact.assign(y=again)])
    near = pd.concat([near, near.assign(y=again, x=near["x"].iloc[[*range(4, 40), *range(4)]].to_numpy())])
    one, other = (mme.lmer("y ~ 1 + ou(x | g)", table) for table in (exact, near))
    assert other.criterion == pytest.approx(one.criterion, abs=1e-7)
    assert other.internals.model.terms[0].n_levels == one.internals.model.terms[0].n_levels == 40
    other.save(tmp_path / "fit.mme")
    new = pd.DataFrame({"g": [0, 0, 1, 1, 2, 3], "x": [0.3, 0.1 * 3, 0.0, -0.0, 0.7, 0.7]})
    spelt = new.assign(x=[0.1 * 3, 0.3, -0.0, 0.0, 0.1 * 7, 0.7])
    expected = one.predict(new, interval="prediction")
    for fit in (other, mme.load_fit(tmp_path / "fit.mme")):
        found = fit.predict(spelt, interval="prediction")
        np.testing.assert_allclose(found[["fit", "se"]], expected[["fit", "se"]], rtol=1e-5)
    arrays = mme.fit(near["y"], np.ones((80, 1)), [mme.Term.ou(near["x"], near["g"])], theta=one.theta)
    term = mme.Term.ou(spelt["x"], spelt["g"])
    np.testing.assert_allclose(arrays.predict((np.ones((6, 1)), [term])), expected["fit"], rtol=1e-6)


# --- groups as a formula writes them ---------------------------------------------------------------------------------


@pytest.mark.parametrize("groups", ["block/plot", "block:plot", ["block", "plot"], ("block", "plot")])
def test_groups_of_residuals_are_combinations_as_in_a_formula(groups):
    data = series().assign(key=lambda table: table["block"] + "/" + table["plot"].astype(str))
    data.loc[[7, 31], "block"] = None  # a row without a block is left out, whatever the spelling
    data.loc[[7, 31], "key"] = None
    for kind in (lambda g: mme.AR1("t", g), mme.CompoundSymmetry):
        found, expected = (mme.lmer("y ~ 1", data, residual=kind(given)) for given in (groups, "key"))
        assert found.nobs == expected.nobs == 38
        assert found.criterion == pytest.approx(expected.criterion, abs=1e-9)


def test_arrays_and_tables_are_combinations_too():
    data = series()
    expected = mme.lmer("y ~ 1", data, residual=mme.AR1("t", "g")).criterion
    X = np.ones((J * T, 1))
    for groups in ([data["block"], data["plot"]], data[["block", "plot"]]):
        assert mme.fit(data["y"], X, [], residual=mme.AR1(data["t"], groups)).criterion == pytest.approx(expected)
        assert mme.lmer("y ~ 1", data, residual=mme.AR1("t", groups)).criterion == pytest.approx(expected)


def test_months_are_a_month_apart():
    data = series()
    data["month"] = [f"2024-{t + 1:02d}" for t in data["t"]]
    found = mme.lmer("y ~ 1", data, residual=mme.AR1("month", "g"))
    assert found.criterion == pytest.approx(mme.lmer("y ~ 1", data, residual=mme.AR1("t", "g")).criterion, abs=1e-9)


def test_a_column_that_is_not_there_is_named_and_a_column_of_such_a_name_is_itself():
    data = series()
    with pytest.raises(mme.MMEError, match="no column 'plott' in the data"):
        mme.lmer("y ~ 1", data, residual=mme.CompoundSymmetry("block/plott"))
    with pytest.raises(mme.MMEError, match="no column 'plott' in the data"):
        mme.lmer("y ~ 1", data, residual=mme.CompoundSymmetry(["block", "plott"]))
    with pytest.raises(mme.MMEError, match="AR1: time must be the name of a column or an array, got None"):
        mme.lmer("y ~ 1", data, residual=mme.AR1(None, "g"))
    data["block/plot"] = data["g"] // 2
    found = mme.lmer("y ~ 1", data, residual=mme.CompoundSymmetry("block/plot"))
    assert np.unique(found.internals.model.residual.group).size == 5


def test_a_second_record_of_an_occasion_says_how_plots_numbered_anew_are_written():
    with pytest.raises(
        mme.MMEError, match=r"at the same time 't' .* such as 'block/plot' where plots are numbered anew"
    ):
        mme.lmer("y ~ 1", series(), residual=mme.AR1("t", "plot"))


def test_groups_that_run_across_blocks_though_the_model_keeps_their_parts_apart_are_pointed_out():
    data = series()
    with pytest.warns(mme.MMEWarning, match=r"run across the levels of 'block', though the model has 'plot:block'"):
        mme.lmer("y ~ t + (1 | block/plot)", data, residual=mme.CompoundSymmetry("plot"), theta=[1.0, 1.0])
    items = data.assign(item=np.random.default_rng(2).integers(0, 6, len(data)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mme.lmer("y ~ t + (1 | block)", data, residual=mme.CompoundSymmetry("g"), theta=[1.0])
        mme.lmer("y ~ t + (1 | item)", items, residual=mme.CompoundSymmetry("g"), theta=[1.0])
        mme.lmer("y ~ t + (1 | block/g)", data, residual=mme.AR1("t", "g"), theta=[1.0, 1.0])


def test_groups_that_may_be_several_of_one_label_are_pointed_out_where_blocks_are_random_or_fixed():
    data = series()
    structure = mme.CompoundSymmetry("plot")
    with pytest.warns(mme.MMEWarning, match="run across the levels of 'block' with several records in each"):
        random = mme.lmer("y ~ t + (1 | block)", data, residual=structure, theta=[1.0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # as any repeated condition: no warning, a note
        fixed = mme.lmer("y ~ block", data, residual=structure)
        right = mme.lmer("y ~ block", data, residual=mme.CompoundSymmetry("block/plot"))
        once = mme.lmer("y ~ factor(t)", data, residual=mme.CompoundSymmetry("g"))
    note = "run across the levels of block, with several records in each"
    assert [note in " ".join(fit.summary().split()) for fit in (random, fixed, right)] == [True, True, False]
    assert "run across" not in once.summary()


def test_the_summary_says_how_many_groups_the_residuals_have():
    wrong = mme.lmer("y ~ 1", series(), residual=mme.CompoundSymmetry("plot")).summary()
    right = mme.lmer("y ~ 1", series(), residual=mme.CompoundSymmetry("block/plot")).summary()
    assert "5 groups of 8 records" in " ".join(wrong.split())
    assert "10 groups of 4 records" in " ".join(right.split())


@given(st.permutations(MONTHS), st.sampled_from(["ordered", "factor", "text"]))
def test_what_is_declared_is_taken_as_it_stands_and_what_is_sorted_is_a_guess(labels, kind):
    found = order_of(np.array(labels, dtype=object), kind)
    declared = kind == "ordered" or (kind == "factor" and labels != sorted(labels))
    assert found.known == ("declared" if declared else "sorted")
    assert [labels[j] for j in np.argsort(found.places)] == (labels if declared else sorted(labels))
