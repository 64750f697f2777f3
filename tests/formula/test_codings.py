"""Codings of factors, kinds of columns, choice of rows: R's columns by R's names, and one model after the fit."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.errors import FormulaError, MMEError
from mme.formula.codings import Contrast, contrast_matrix
from mme.formula.design import design

R = json.loads((Path(__file__).parents[1] / "reference" / "codings.json").read_text())
SIZES = ["s", "m", "l", "xl", "xxl"]


def r_data():
    """The data of the reference: a frame whose matrix R has as one column."""
    data = pd.DataFrame(R["data"])
    data["f"] = pd.Categorical(data["f"])
    data["o"] = pd.Categorical(data["o"], categories=SIZES, ordered=True)
    return {**{name: data[name] for name in data}, "Xm": np.column_stack([data["x"], data["x"] ** 2])}


def assert_columns_of_r(made, expected):
    assert list(made.x_names) == expected["names"]
    probe = np.sin(np.arange(1, len(made.y) + 1))
    np.testing.assert_allclose(made.X.T @ probe, expected["sums"], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("expected", R["formulas"], ids=lambda case: case["formula"])
def test_a_coding_in_a_formula_makes_the_columns_of_r(expected):
    assert_columns_of_r(design(f"y ~ {expected['formula']}", r_data()), expected)


@pytest.mark.parametrize("expected", R["contrasts"], ids=lambda case: f"{case['factor']} {case['coding']}"[:20])
def test_a_coding_that_is_given_makes_the_columns_of_r(expected):
    coding = expected["coding"]
    if isinstance(coding, dict):
        coding = pd.DataFrame(coding["weights"], index=["hi", "lo", "mid", "top"], columns=coding["names"] or None)
        coding = coding if expected["coding"]["names"] else coding.to_numpy()
    assert_columns_of_r(design("y ~ f * x + o", r_data(), contrasts={expected["factor"]: coding}), expected)


@pytest.mark.parametrize("expected", R["poly"], ids=lambda case: str(case["k"]))
def test_polynomial_contrasts_are_those_of_r(expected):
    made, _ = contrast_matrix(Contrast("poly"), [str(j) for j in range(expected["k"])])
    np.testing.assert_allclose(made, expected["values"], atol=1e-12)


@settings(max_examples=25)
@given(st.integers(2, 150))
def test_polynomial_contrasts_are_orthonormal_at_any_number_of_levels(k):
    made, names = contrast_matrix(Contrast("poly"), [str(j) for j in range(k)])
    np.testing.assert_allclose(made.T @ made, np.eye(k - 1), atol=1e-12)
    np.testing.assert_allclose(made.sum(axis=0), 0.0, atol=1e-12)
    assert len(set(names)) == k - 1


# ---- ordered -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "dict"])
def test_an_ordered_column_is_coded_by_polynomials_whatever_holds_it(kind):
    frame = pd.DataFrame({name: column for name, column in r_data().items() if name != "Xm"})
    data = {
        "pandas": frame,
        "polars": pl.DataFrame({"y": frame["y"].to_numpy(), "o": pl.Series(frame["o"].tolist(), dtype=pl.Enum(SIZES))}),
        "arrow": pa.Table.from_pandas(frame),
        "dict": {"y": frame["y"].tolist(), "o": frame["o"]},
    }[kind]
    made = design("y ~ o", data)
    assert made.x_names == ("(Intercept)", "o.L", "o.Q", "o.C", "o^4")
    np.testing.assert_array_equal(made.X, design("y ~ o", frame).X)


def test_an_ordered_column_may_be_coded_by_treatments():
    data = r_data()
    unordered = design("y ~ o", {**data, "o": pd.Categorical(data["o"].astype(str), categories=SIZES)})
    assert unordered.x_names == ("(Intercept)", "om", "ol", "oxl", "oxxl")
    assert design("y ~ o", data, contrasts={"o": "treatment"}).x_names == unordered.x_names
    for formula in ("y ~ o", "y ~ C(o, treatment)", "y ~ factor(o, ordered = FALSE)"):
        options = {"contrasts": {"o": "treatment"}} if formula == "y ~ o" else {}
        np.testing.assert_array_equal(design(formula, data, **options).X, unordered.X)


def test_levels_of_an_ordered_column_that_do_not_occur_are_left_out_before_it_is_coded():
    data = r_data()
    data["o"] = pd.Categorical(data["o"], categories=["xs", "s", "m", "never", "l", "xl", "xxl"], ordered=True)
    np.testing.assert_array_equal(design("y ~ o", data).X, design("y ~ o", r_data()).X)


# ---- one model, whatever codes it ----------------------------------------------------------------------------------

OWN = pd.DataFrame({"mean": [-0.5, 0.25, 0.25], "rest": [0.0, -1.0, 1.0]}, index=["c", "a", "b"])
CODINGS = ["sum", "helmert", "poly", "SAS", "sdif", "contr.treatment", OWN, OWN.loc[["a", "b", "c"]].to_numpy()]


def trial(seed=4):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 9), "arm": np.tile(list("abc"), 24), "x": rng.normal(size=72)})
    data["o"] = pd.Categorical(np.tile(np.repeat(["lo", "mid", "hi"], 3), 8), ["lo", "mid", "hi"], ordered=True)
    data["y"] = rng.normal(size=72) + rng.normal(size=8)[data["g"]] + (data["arm"] == "b") + data["x"]
    return data.iloc[rng.permutation(72)[:67]]


FORMULA = "y ~ arm * x + o + (1 | g)"
PLAIN = mme.lmer(FORMULA, trial())


@pytest.mark.parametrize(
    "coding", CODINGS, ids=lambda coding: coding if isinstance(coding, str) else type(coding).__name__
)
def test_the_coding_of_a_factor_changes_its_coefficients_and_nothing_else(coding, tmp_path):
    fit = mme.lmer(FORMULA, trial(), contrasts={"arm": coding})
    p = len(fit.fixed_names)
    # log|X'V^-1 X| moves with the coding, so that REML's criterion does; what the data say does not
    np.testing.assert_allclose(fit.criterion_contrasts, PLAIN.criterion_contrasts, rtol=1e-9)
    np.testing.assert_allclose(fit.fitted, PLAIN.fitted, atol=1e-6)
    new = pd.DataFrame({"g": [1, 99], "arm": ["b", "a"], "x": [0.5, 2.0], "o": ["hi", "lo"]})
    for model in (fit, saved(fit, tmp_path)):
        np.testing.assert_allclose(
            model.predict(new, new_levels="population"), PLAIN.predict(new, new_levels="population"), atol=1e-6
        )
        np.testing.assert_allclose(model.means("arm")["mean"], PLAIN.means("arm")["mean"], atol=1e-6)
        np.testing.assert_allclose(model.anova()[["F", "den_df"]], PLAIN.anova()[["F", "den_df"]], rtol=1e-4)
        assert model.anova().index.tolist() == PLAIN.anova().index.tolist()
    assert p == len(PLAIN.fixed_names)
    assert all(name in fit.summary() for name in fit.fixed_names)


@pytest.mark.parametrize("expected", R["partial"], ids=lambda case: case["formula"])
def test_tests_of_a_factor_with_fewer_contrasts_than_its_levels_have_are_those_of_lmertest(expected):
    contrasts = {"o": expected["coding"]} if expected["coding"] else {}
    fit = mme.lmer(expected["formula"], r_data(), contrasts=contrasts)
    for kind, F, df in zip((1, 2, 3), expected["F"], expected["df"], strict=True):
        table = fit.anova(type=kind)
        np.testing.assert_allclose(table["F"], F, rtol=1e-4)
        assert table["num_df"].tolist() == df


def test_means_beside_what_is_made_of_labels_are_at_its_mean():
    data = trial()
    fit = mme.lmer("y ~ arm + as.numeric(o) + dummy(o) + (1 | g)", data)
    counted = data.assign(n=data["o"].cat.codes + 1.0, d=1.0 * (data["o"] == "mid"), e=1.0 * (data["o"] == "hi"))
    same = mme.lmer("y ~ arm + n + d + e + (1 | g)", counted)
    at = counted[["n", "d", "e"]].mean().to_dict()
    np.testing.assert_allclose(fit.means("arm"), same.means("arm", at=at), rtol=1e-6)


def saved(fit, folder):
    fit.save(folder / "fit.mme")
    return mme.load_fit(folder / "fit.mme")


def test_sum_contrasts_are_deviations_from_the_mean_of_the_means():
    fit = mme.lmer("y ~ arm + (1 | g)", trial(), contrasts={"arm": "sum"})
    means = fit.means("arm")["mean"].to_numpy()
    np.testing.assert_allclose(fit.beta[["arm1", "arm2"]], means[:2] - means.mean(), atol=1e-10)


def test_successive_differences_are_differences_of_means():
    fit = mme.lmer("y ~ arm + (1 | g)", trial(), contrasts={"arm": "sdif"})
    np.testing.assert_allclose(fit.beta[["armb-a", "armc-b"]], np.diff(fit.means("arm")["mean"]), atol=1e-10)


def test_contrasts_side_by_side_in_a_formula_are_those_that_are_given():
    made = design("y ~ C(arm, cbind(c(-1, 0, 1), c(1, -2, 1)))", trial())
    given_ones = design("y ~ arm", trial(), contrasts={"arm": np.array([[-1, 1], [0, -2], [1, 1]])})
    np.testing.assert_array_equal(made.X, given_ones.X)


def test_a_matrix_by_label_needs_no_order():
    by_label = {"arm": {"b": [1, 0], "c": [0, 1], "a": [-1, -1]}}
    plain = design("y ~ arm", trial(), contrasts={"arm": [[-1, -1], [1, 0], [0, 1]]})
    np.testing.assert_array_equal(design("y ~ arm", trial(), contrasts=by_label).X, plain.X)
    assert plain.x_names == ("(Intercept)", "arm1", "arm2")


@pytest.mark.parametrize("name", ["factor(g)", "g"])
def test_a_factor_of_a_number_is_named_as_it_is_written_or_by_its_column(name):
    made = design("y ~ factor(g)", trial(), contrasts={name: "sum"})
    assert made.x_names[1:3] == ("factor(g)1", "factor(g)2")


def test_contrasts_are_of_the_fixed_part_as_in_lme4():
    made = design("y ~ arm + (arm | g)", trial(), contrasts={"arm": "sum"})
    assert made.x_names == ("(Intercept)", "arm1", "arm2")
    assert made.terms[0].columns == ("(Intercept)", "armb", "armc")
    rows = made.spec.rows(trial())
    np.testing.assert_array_equal(rows.X, made.X)
    np.testing.assert_array_equal(rows.groups[0][1], made.terms[0].covariates)


@pytest.mark.parametrize(
    ("contrasts", "problem"),
    [
        ({"armm": "sum"}, "given for 'armm', but the factors of the fixed part are 'arm', 'o'"),
        ({"x": "sum"}, "given for 'x', but the factors"),
        ({"arm": "summ"}, "'arm' has 'summ'; a word is one of treatment, sum"),
        ({"arm": [[1, 0], [0, 1]]}, r"'arm' has 3 levels \(a, b, c\), .* need 3 rows.*got shape \(2, 2\)"),
        ({"arm": [1, np.nan, 0]}, "those of 'arm' hold missing"),
        ({"arm": {"a": 1, "b": 2}}, "those of 'arm' have no row for 'c'; their rows are 'a', 'b'"),
        ({"arm": ["u", "v", "w"]}, "contrasts of 'arm' must be numeric"),
        ({"arm": [[1], [1, 2], [0]]}, "must be one value a row, got rows that hold several values or none"),
        ({"arm": {"a": [1], "b": 2, "c": 0}}, "must be one value a row, got rows that hold several values or none"),
        ({"arm": None}, "need 3 rows"),
        ("sum", 'contrasts must map factors to codings, as {"f": "sum"}; got str'),
    ],
)
def test_contrasts_that_fit_no_factor_are_named(contrasts, problem):
    with pytest.raises(MMEError, match=problem):
        design(FORMULA, trial(), contrasts=contrasts)


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        ("y ~ C(arm, c(1, 1, 1))", "the same for all levels"),
        ("y ~ C(arm, c())", "one a level, got none"),
        ("y ~ cbind(x, y)", "give the matrix as a column of the data"),
        ("y ~ contr.sum", "was given a contrast"),
        ("y ~ C(arm, c(1, 2))", "2 rows for the 3 levels a, b, c"),
        ("y ~ C(arm, contr.poly(scores = c(1, 1, 2)))", "3 distinct scores"),
        ("y ~ C(arm, poly, 0)", "one contrast at least"),
        ("y ~ dummy(arm, 'z')", "no level 'z'; the levels are 'a', 'b', 'c'"),
        ("y ~ factor(arm, levels = c('a', 'b', 'c'), labels = 'u')", "1 labels for 3 levels"),
        ("y ~ as.numeric(arm)", "as.numeric(factor(...)) is their position"),
        ("y ~ as.Date(arm)", "no dates"),
        ("y ~ as.logical(arm)", "as.logical() of 'a', 'b', 'c'"),
    ],
)
def test_a_coding_in_a_formula_that_cannot_be_made_is_named(formula, problem):
    with pytest.raises(MMEError) as caught:
        design(formula, trial())
    assert problem in str(caught.value)


# ---- what a call learned is kept for new data ----------------------------------------------------------------------

LEARNED = (
    "y ~ dummy(arm) + dummy(arm, 'c'):x + as.numeric(o) + as.numeric(factor(g)) + ordered(g, levels = c(7, 6, 5, 4, 3))"
    " + C(arm, contr.sum):x + C(o, poly, 1) + factor(arm, labels = c('u', 'v', 'w')):x + (0 + dummy(arm, 'b') | g)"
)


@settings(max_examples=15)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=4))
def test_a_new_row_is_coded_as_it_was_in_the_fit(rows):
    data = trial().query("g >= 3").reset_index(drop=True)
    made = design(LEARNED, data)
    again = made.spec.rows(data.iloc[rows])
    np.testing.assert_allclose(again.X, made.X[rows], atol=1e-12)
    np.testing.assert_array_equal(again.groups[0][1], made.terms[0].covariates[rows])


def test_a_level_that_the_fit_did_not_see_has_no_position():
    made = design("y ~ as.numeric(o) + dummy(arm)", trial())
    with pytest.raises(
        FormulaError, match=r"dummy\(\): the fit did not see the level 'd'; its levels were 'a', 'b', 'c'"
    ):
        made.spec.rows({"o": ["lo"], "arm": ["d"]})


def test_text_reads_as_numbers_where_a_factor_has_positions():
    data = {"y": [1.0, 2.0, 3.0, 4.0], "t": ["10", "2", "33", "2"]}
    assert design("y ~ as.numeric(t)", data).X[:, 1].tolist() == [10, 2, 33, 2]
    assert design("y ~ as.numeric(factor(t))", data).X[:, 1].tolist() == [1, 2, 3, 2]
    assert design("y ~ as.integer(t)", {**data, "t": pd.Categorical(data["t"])}).X[:, 1].tolist() == [1, 2, 3, 2]


# ---- a matrix as a column ------------------------------------------------------------------------------------------


def test_a_matrix_is_several_columns_under_one_name(tmp_path):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(60, 3))
    data = {"y": X @ [1.0, 2.0, 0.0] + rng.normal(size=60), "X": X, "g": np.repeat(np.arange(6), 10)}
    apart = {**{f"X{j + 1}": X[:, j] for j in range(3)}, "y": data["y"], "g": data["g"]}
    fit, plain = mme.lmer("y ~ X + (1 | g)", data), mme.lmer("y ~ X1 + X2 + X3 + (1 | g)", apart)
    assert fit.beta.equals(plain.beta)
    assert fit.anova().index.tolist() == ["X"]
    assert fit.anova()["num_df"].tolist() == [3]
    new = {"X": X[:2] + 1.0, "g": [0, 1]}
    for model in (fit, saved(fit, tmp_path)):
        np.testing.assert_array_equal(
            model.predict(new), plain.predict({f"X{j + 1}": X[:2, j] + 1.0 for j in range(3)} | {"g": [0, 1]})
        )
    with pytest.raises(MMEError, match=r"column 'X' is a matrix of 2 columns \('1', '2'\), in the fit it had 3"):
        fit.predict({"X": X[:2, :2], "g": [0, 1]})


def test_a_frame_as_a_column_keeps_its_names_and_one_column_has_none():
    data = {"y": np.arange(4.0), "X": pd.DataFrame({"a": [1.0, 2, 3, 5], "b": [0, 1, 0, 1]}), "Z": np.ones((4, 1))}
    assert design("y ~ X + Z", data).x_names == ("(Intercept)", "Xa", "Xb", "Z")


def test_means_beside_a_matrix_are_at_the_means_of_its_columns():
    rng = np.random.default_rng(3)
    X, f = rng.normal(size=(60, 2)), np.tile(["u", "v", "w"], 20)
    data = {"y": rng.normal(size=60), "X": X, "a": X[:, 0], "b": X[:, 1], "f": f, "g": np.repeat(np.arange(6), 10)}
    together, apart = mme.lmer("y ~ f + X + (1 | g)", data), mme.lmer("y ~ f + a + b + (1 | g)", data)
    np.testing.assert_allclose(together.means("f"), apart.means("f"))
    np.testing.assert_allclose(together.means("f", at={"X2": 3}), apart.means("f", at={"b": 3}))
    np.testing.assert_allclose(together.anova(type=3).loc["f", "F"], apart.anova(type=3).loc["f", "F"])


@pytest.mark.parametrize(
    ("formula", "problem"),
    [
        ("X ~ x", "the response 'X' needs numbers, one a row, but was given 2 columns"),
        ("y ~ x + (1 | X)", "grouping factor 'X' has 2 columns"),
        ("y ~ log(X)", "needs numbers, one a row, but was given 2 columns"),
        ("y ~ T", "column 'T' must be numeric, got text"),
        ("y ~ cube", "column 'cube' must have one dimension, or two for a matrix"),
    ],
)
def test_a_matrix_where_one_column_is_needed_is_named(formula, problem):
    data = {"y": np.arange(4.0), "x": np.arange(4.0), "X": np.ones((4, 2)), "cube": np.ones((4, 2, 2))}
    with pytest.raises(MMEError, match=problem):
        design(formula, {**data, "T": [["a", "b"]] * 4})


# ---- subset --------------------------------------------------------------------------------------------------------


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.sampled_from(["y ~ arm * x + (1 | g)", "y ~ scale(x) + poly(x, 2) + o + (x | g)"]))
def test_a_subset_is_the_fit_of_its_rows(seed, formula):
    data = trial(seed % 7)
    mask = np.random.default_rng(seed).random(len(data)) < 0.8
    made, alone = design(formula, data, subset=mask, weights=np.arange(1.0, 68)), design(formula, data[mask])
    assert made.x_names == alone.x_names
    np.testing.assert_array_equal(made.X, alone.X)
    np.testing.assert_array_equal(made.weights, np.arange(1.0, 68)[mask])
    assert [term.levels.tolist() for term in made.terms] == [term.levels.tolist() for term in alone.terms]


@pytest.mark.parametrize(
    "choose",
    [
        "x > 0 & arm != 'c'",
        "late",
        "arm %in% c('a', 'b') & x > 0",
        "x > 0 && !(arm == 'c' || is.na(x))",
        lambda data: (data["x"] > 0) & (data["arm"] != "c"),
        lambda data: ((data["x"] > 0) & (data["arm"] != "c")).tolist(),
        lambda data: ((data["x"] > 0) & (data["arm"] != "c")).astype("boolean").where(lambda kept: kept, pd.NA),
    ],
)
def test_rows_are_chosen_by_a_condition_a_column_or_truth_values(choose):
    data = trial()
    data["late"] = (data["x"] > 0) & (data["arm"] != "c")
    made = design("y ~ arm + x + (1 | g)", data, subset=choose if isinstance(choose, str) else choose(data))
    assert made.index()[made.kept].tolist() == data.index[data["late"]].tolist()
    assert (made.outside, made.n_dropped) == (len(data) - data["late"].sum(), 0)
    assert made.x_names == ("(Intercept)", "armb", "x")


@pytest.mark.parametrize(
    ("subset", "rows"),
    [
        ("o > 'l'", [1, 2, 3, 4]),
        ("'m' >= o", [0, 1, 3]),
        ("n %in% 2:3", [2, 3]),
        ("n %in% 4:3", [3, 4]),
        ("day > '2024-01-02'", [2, 3, 4]),
        ("as.Date(text) <= as.Date('2024-01-02') + 1", [0, 1, 2]),
        ("is.na(z)", [1]),
        ("as.logical(n)", [1, 2, 3, 4]),
        ("as.logical(n > 2)", [3, 4]),
        ("as.Date(n) > as.Date('1970-01-03')", [3, 4]),
        ("as.Date(day) == as.Date('2024-01-02')", [1]),
        ("!is.na(z) & n != 2", [0, 3, 4]),
    ],
)
def test_a_condition_reads_as_in_r(subset, rows):
    data = {
        "n": np.arange(5),
        "o": pd.Categorical(list("lmxmx"), categories=list("lmx"), ordered=True),
        "day": pd.date_range("2024-01-01", periods=5),
        "text": [f"2024-01-0{j}" for j in range(1, 6)],
        "z": [0.0, np.nan, 1.0, 2.0, 3.0],
    }
    assert np.flatnonzero(design("n ~ 1", data, subset=subset).kept).tolist() == rows


def test_what_a_subset_leaves_out_is_counted_apart_from_what_is_missing(tmp_path):
    data = trial()
    data.iloc[[0, 1], data.columns.get_loc("x")] = np.nan
    chosen = np.ones(67, dtype=bool)
    chosen[[1, 2, 3]] = False
    fit = mme.lmer("y ~ x + (1 | g)", data, subset=chosen, residual=mme.Heterogeneous("arm"))
    for model in (fit, saved(fit, tmp_path)):
        assert (model.nobs, model.n_dropped, model.internals.rows.outside) == (63, 1, 3)
        assert model.residuals.index.equals(data.index)
        assert np.flatnonzero(model.residuals.isna()).tolist() == [0, 1, 2, 3]
        assert "Of 67 rows the subset leaves 3 out." in model.summary()
        assert "1 row with a missing value was left out." in model.summary()


@pytest.mark.parametrize(
    ("subset", "problem"),
    [
        ("x > 1e9", "subset = 'x > 1e9' chooses none of the 67 rows"),
        ("x", "subset = 'x' must be true or false for each row, but holds numbers"),
        ("arm", "but holds labels"),
        ([0, 1, 2], "subset has 3 values, the data have 67 rows"),
        (np.arange(67), "subset must be true or false for each row, but holds numbers"),
        ("xx > 1", "unknown column 'xx'"),
        ("x > 1 and g > 2", "'and' is Python's word: write &"),
        ("not x > 1", "'not' is Python's word: write !"),
        ("o > 'huge'", "an ordered factor is compared with one of its levels: 'lo', 'mid', 'hi'"),
        ("g %in% 1:1e9", "holds more than 1000000 numbers"),
    ],
)
def test_a_subset_that_chooses_no_rows_is_named(subset, problem):
    with pytest.raises(MMEError, match=problem):
        design("y ~ x + (1 | g)", trial(), subset=subset)
