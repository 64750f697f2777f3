"""The left side of a formula as a family of distributions reads it: numbers, two counts, truth values, labels."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mme.errors import FormulaError, MMEError, MMEWarning
from mme.formula.design import design


def herds():
    return pd.DataFrame(
        {
            "s": [2.0, 0.0, 3.0, 1.0, 0.0, 4.0],
            "n": [5.0, 4.0, 3.0, 6.0, 0.0, 8.0],
            "sick": ["yes", "no", "yes", "yes", "no", "no"],
            "grade": pd.Categorical(
                ["low", "high", "mid", "mid", "low", "high"], categories=["none", "low", "mid", "high"], ordered=True
            ),
            "x": [0.5, 1.0, 2.0, 4.0, 3.0, 5.0],
            "g": ["a", "a", "b", "b", "c", "c"],
            "days": [1.0, 2.0, 4.0, 8.0, 16.0, 32.0],
        },
        index=list("pqrstu"),
    )


def made(left, data=None, right="x + (1 | g)", **options):
    return design(f"{left} ~ {right}", herds() if data is None else data, response="family", **options)


# ---- counts of two kinds -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "left",
    [
        "cbind(s, n - s)",
        "(cbind(s, n - s))",
        "base::cbind(s, n - s)",
        "cbind(cases = s, healthy = n - s)",
        "cbind(s, healthy = n - s)",
        "cbind(healthy = s, n - s)",
        "both",
    ],
)
def test_two_counts_are_two_columns_whose_first_is_the_success(left):
    data = {name: column.to_numpy() for name, column in herds().items()}
    data["both"] = np.column_stack([data["s"], data["n"] - data["s"]])
    parts = made(left, data)
    np.testing.assert_array_equal(parts.outcome, data["both"])
    # the share of successes; where nothing was tried it is 0, as in R's binomial()
    np.testing.assert_array_equal(parts.y, [2 / 5, 0, 1, 1 / 6, 0, 1 / 2])
    assert parts.spec.response_labels == ()


def test_truth_values_and_constants_can_be_counted():
    truth = made("cbind(x > 1.5, 1 - (x > 1.5))").outcome
    np.testing.assert_array_equal(truth, [[0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [1, 0]])
    assert made("cbind(s, 9)").outcome[:, 1].tolist() == [9.0] * 6


def test_counts_that_no_family_has_are_left_to_the_family():
    data = herds().assign(s=[-2.0, 0.0, 3.0, 1.0, 0.0, 4.0])
    parts = made("cbind(s, n)", data.assign(n=[2.0, 4.5, 3.0, 6.0, 1.0, 8.0]))
    assert parts.outcome[:2].tolist() == [[-2.0, 2.0], [0.0, 4.5]]
    assert np.isfinite(parts.y).all()


def test_a_gap_in_either_count_drops_the_row():
    data = herds()
    data.loc["q", "s"] = np.nan
    data.loc["t", "n"] = np.nan
    parts = made("cbind(s, n)", data, weights="days")
    assert parts.n_dropped == 2
    assert parts.index()[parts.kept].tolist() == ["p", "r", "s", "u"]
    assert parts.outcome.tolist() == [[2, 5], [3, 3], [1, 6], [4, 8]]
    assert parts.weights.tolist() == [1, 4, 8, 32]
    with pytest.raises(MMEError, match=r"2 of 6 rows miss a value \(response 'cbind\(s, n\)': 2\)"):
        made("cbind(s, n)", data, na_action="raise")


def test_what_is_counted_is_no_covariate():
    assert made("cbind(s, n - s)", right="0 + .", data=herds().drop(columns=["sick", "grade", "g"])).x_names == (
        "x",
        "days",
    )


# ---- numbers, truth values, labels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("left", ["n", "I(n)", "log(days)", "s / days"])
def test_numbers_are_the_response_of_a_linear_model(left):
    parts, linear = made(left), design(f"{left} ~ x + (1 | g)", herds())
    np.testing.assert_array_equal(parts.outcome, linear.y)
    np.testing.assert_array_equal(parts.y, linear.y)
    assert linear.outcome is linear.y
    assert parts.spec.response == linear.spec.response


def test_an_expression_that_is_undefined_somewhere_drops_those_rows():
    with pytest.warns(MMEWarning, match="'s/n' is undefined in 1 rows"):
        parts = made("s/n", weights="n")
    assert parts.n_dropped == 1
    np.testing.assert_array_equal(parts.outcome * parts.weights, [2, 0, 3, 1, 4])


@pytest.mark.parametrize("left", ["sick", "factor(sick)", "C(sick)"])
def test_labels_keep_their_names_and_their_order(left):
    parts = made(left)
    assert parts.outcome.categories[parts.outcome.codes].tolist() == herds()["sick"].tolist()
    assert parts.spec.response_labels == ("no", "yes")
    assert parts.y.tolist() == [1, 0, 1, 1, 0, 0]
    assert not parts.outcome.logical


@pytest.mark.parametrize("convert", [pl.from_pandas, pa.Table.from_pandas, lambda data: data.to_dict("list")])
def test_the_kind_of_table_makes_no_difference(convert):
    data = herds().drop(columns="grade").assign(answer=[True, False, True, True, False, False])
    for left in ("sick", "answer", "cbind(s, n - s)"):
        here, there = made(left, data), made(left, convert(data))
        np.testing.assert_array_equal(here.y, there.y)
        assert here.spec.response_labels == there.spec.response_labels


@pytest.mark.parametrize(
    "left", ["x > 1.5", "I(x > 1.5)", "(x > 1.5)", "truth", "whole", 'g != "a"', 'I(g == "b" | x > 2)']
)
def test_truth_values_are_outcomes_of_two_levels(left):
    truth = herds()["x"] > 1.5
    parts = made(left, herds().assign(truth=truth, whole=truth.astype("boolean")))
    assert parts.outcome.logical
    assert parts.y.tolist() == [0, 0, 1, 1, 1, 1]
    assert parts.spec.response_labels == ("FALSE", "TRUE")


def test_that_all_is_true_is_an_outcome():
    parts = made("x > 0")
    assert parts.y.tolist() == [1.0] * 6
    assert parts.spec.response_labels == ("FALSE", "TRUE")


def test_an_ordered_outcome_keeps_its_order_and_loses_the_levels_that_do_not_occur():
    parts = made("grade")
    assert parts.outcome.ordered
    assert parts.spec.response_labels == ("low", "mid", "high")
    assert parts.y.tolist() == [0, 2, 1, 1, 0, 2]
    few = made("grade", subset="x != 3 & x != 0.5")  # without the rows of "low"
    assert few.spec.response_labels == ("mid", "high")
    assert few.y.tolist() == [1, 0, 0, 1]
    assert few.outside == 2
    assert not made('factor(grade, levels = c("high", "mid", "low"), ordered = FALSE)').outcome.ordered


def test_labels_that_miss_drop_the_row_and_a_level_of_these_rows_alone():
    data = herds().assign(grade=["low", "high", "mid", None, "low", "high"])
    data.loc["r", "x"] = np.nan
    parts = made("grade", data)
    assert parts.n_dropped == 2
    assert parts.spec.response_labels == ("high", "low")
    assert parts.outcome.rows == parts.y.size == parts.X.shape[0] == 4


# ---- what cannot be a response -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "problem", "place"),
    [
        ("cbind(s, n, x)", "takes two columns, counts of successes and of failures; got 3", 0),
        ("cbind(s)", "got 1", 0),
        ("cbind(s, sick)", "'sick' in cbind() needs numbers, but was given labels ('no', 'yes')", 9),
        ("cbind(s, nn - s)", "unknown column 'nn'; did you mean 'n'?", 9),
        ("cbind(s, n - sick)", "'-' needs numbers", 11),
        ("cbind(s, three)", "'three' in cbind() needs numbers, one a row, but was given 3 columns", 9),
        ("three", "the response 'three' has 3 columns; two are counted", 0),
        ("one", "the response 'one' has only the level 'a' in the rows used", 0),
        ("factor(one)", "only the level 'a'", 0),
        ("sik", "unknown column 'sik'; did you mean 'sick'?", 0),
    ],
)
def test_an_error_in_a_response_has_a_caret_under_it(left, problem, place):
    data = {name: column.to_numpy() for name, column in herds().items()}
    data |= {"one": ["a"] * 6, "three": np.ones((6, 3))}
    with pytest.raises(FormulaError) as caught:
        made(left, data)
    message, _, caret = str(caught.value).split("\n")
    assert problem in message
    assert caret.index("^") == 4 + place


def test_an_infinite_count_and_an_unknown_kind_of_response_are_named():
    with (
        pytest.raises(MMEError, match=r"response 'cbind\(s, n/s\)' is infinite in 1 rows \(first: row q\)"),
        np.errstate(all="ignore"),
        pytest.warns(MMEWarning, match="undefined"),
    ):
        made("cbind(s, n/s)")
    with pytest.raises(MMEError, match='response must be "numbers" or "family", got \'binomial\''):
        design("s ~ x", herds(), response="binomial")


def test_a_linear_model_takes_numbers_and_truth_values_alone():
    with pytest.raises(MMEError, match="the response 'sick' needs numbers"):
        design("sick ~ x", herds())
    with pytest.raises(FormulaError, match=r"cbind\(\) takes contrasts"):
        design("cbind(s, n - s) ~ x", herds())
    assert design("x > 1.5 ~ days", herds()).spec.response_labels == ()


# ---- exposure ------------------------------------------------------------------------------------------------------


def test_an_exposure_is_the_offset_of_its_logarithm():
    right = "x + offset(s) + (1 | g)"
    written = design(f"n ~ {right} + offset(log(days))", herds())
    for exposure in ("days", "exp(log(days))", herds()["days"].to_numpy()):
        parts = made("n", right=right, exposure=exposure)
        np.testing.assert_allclose(parts.offset, written.offset, rtol=1e-15)
    new = herds().iloc[:2].assign(days=[3.0, 5.0])
    parts = made("n", right=right, exposure="days")
    np.testing.assert_allclose(parts.spec.rows(new).offset, np.log([3.0, 5.0]) + new["s"], rtol=1e-15)
    assert parts.spec.offset_mean == written.spec.offset_mean
    assert made("n", right=".", data=herds()[["n", "x", "days"]], exposure="days").x_names == ("(Intercept)", "x")


def test_an_exposure_that_is_not_positive_is_named_and_one_that_misses_drops_the_row():
    with pytest.raises(MMEError, match=r"exposure 's' must be positive.* not in 2 of 6 rows \(first: row q\)"):
        made("n", exposure="s")
    gap = herds().assign(days=[1.0, np.nan, 4.0, 8.0, 16.0, 32.0])
    assert made("n", gap, exposure="days").n_dropped == 1
    with pytest.raises(MMEError, match="exposure 'days' must be positive"):
        made("n", exposure="days").spec.rows(herds().assign(days=0.0))


def test_a_specification_keeps_the_labels_of_the_response():
    spec = pickle.loads(pickle.dumps(made("grade", exposure="days").spec))
    assert spec.response_labels == ("low", "mid", "high")
    assert spec.exposure_column == "days"
