"""From a formula and a table to y, X and the random terms: lme4's names, columns and order; the same on new data."""

import json
import math
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from cases import lme4_case_names, load_case, private_case_names, private_cases
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.errors import FormulaError, MemoryForecastError, MMEError, MMEWarning
from mme.formula.design import design
from mme.formula.grouping import spelt_out
from mme.numeric.limits import Limits, within
from mme.tables.frame import labels_of

LME4 = json.loads((Path(__file__).parents[1] / "reference" / "formulas.json").read_text())


def lme4_data():
    data = pd.DataFrame(LME4["data"])
    return data.astype({"l": "boolean", "big": float})  # JSON writes 1e5 as an integer


def small():
    return pd.DataFrame(
        {
            "y": [1.0, 2.5, 3.0, 4.5, 5.0, 7.5, 6.0, 8.5],
            "x": [0.5, 1.0, 2.0, 4.0, 3.0, 5.0, 8.0, 6.0],
            "f": ["lo", "hi", "mid", "lo", "hi", "mid", "lo", "hi"],
            "g": ["b", "b", "a", "a", "d", "d", "c", "c"],
            "h": [2, 1, 2, 1, 2, 1, 2, 1],
            "w": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0],
        },
        index=pd.Index(list("pqrstuvw")),
    )


def theta_names(terms):
    """lme4's names of theta: the lower triangle of each term by columns."""
    return [
        ".".join(dict.fromkeys([base_name(term), term.columns[b], term.columns[a]]))
        for term in terms
        for a in range(term.q)
        for b in range(a, term.q)
    ]


def base_name(term):
    head, _, tail = term.name.rpartition(".")
    return head if tail.isdigit() and head else term.name


def probe(n):
    return np.sin(np.arange(1, n + 1))


# ---- lme4 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [*lme4_case_names(), *(case for case in private_cases() if case.values[0] in private_case_names("tlc"))]
)
def test_every_reference_fit_has_lme4s_columns_levels_and_order_of_theta(name):
    case = load_case(name)
    expected = case.json
    made = design(expected["formula"], case.data, weights=expected["weights"], offset=expected["offset"])
    dropped = expected.get("dropped_columns") or []
    assert [column for column in made.x_names if column not in dropped] == expected["beta_names"]
    assert set(dropped) <= set(made.x_names)
    assert len(made.y) == expected["n"] == len(case.data) - made.n_dropped
    if "ranef" not in expected:
        return  # derived by hand, not by lme4
    assert theta_names(made.terms) == expected["theta_names"]
    assert {base_name(term) for term in made.terms} == set(expected["ranef"])
    for group, ranef in expected["ranef"].items():
        terms = [term for term in made.terms if base_name(term) == group]
        assert [column for term in terms for column in term.columns] == ranef["names"]
        assert all(labels_of(term.levels) == ranef["levels"] for term in terms)


@pytest.mark.parametrize("expected", LME4["formulas"], ids=lambda case: case["formula"])
def test_a_formula_makes_the_matrices_that_lme4_makes(expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MMEWarning)  # round labels of a number, missing values: not the subject here
        made = design(expected["formula"], lme4_data())
    n = expected["n"]
    # R writes a whole number that is a double as 2e+05, one that is an integer as 200000: here both are the latter
    assert list(made.x_names) == [name.replace("e+05", "00000") for name in expected["x_names"]]
    np.testing.assert_allclose(made.X.T @ probe(n), np.array(expected["x_sums"], dtype=float), rtol=1e-9, atol=1e-9)
    assert made.y @ probe(n) == pytest.approx(expected["y_sum"], rel=1e-12)
    assert (made.offset is None) == (expected["offset_sum"] is None)
    if made.offset is not None:
        assert made.offset @ probe(n) == pytest.approx(expected["offset_sum"], rel=1e-12)
    assert [base_name(term) for term in made.terms] == [term["group"] for term in expected["terms"]]
    for term, theirs in zip(made.terms, expected["terms"], strict=True):
        assert list(term.columns) == theirs["columns"]
        assert labels_of(term.levels) == theirs["levels"]
        sums = term.Z.T @ probe(n)
        assert sums @ np.cos(np.arange(1, sums.size + 1)) == pytest.approx(theirs["sum"], rel=1e-9, abs=1e-9)


# ---- formulaic, as an independent oracle ------------------------------------------------------------------------


@st.composite
def sums_of_crossings(draw):
    crossing = st.lists(st.sampled_from(["f", "h", "x", "np.log(x)"]), min_size=1, max_size=3, unique=True)
    terms = draw(st.lists(crossing.map("*".join), min_size=1, max_size=3, unique=True))
    return " + ".join([draw(st.sampled_from(["0", "1"])), *terms])


@settings(max_examples=25)
@given(sums_of_crossings())
def test_columns_are_a_basis_of_the_space_that_formulaic_spans(right):
    formulaic = pytest.importorskip("formulaic")
    x = np.random.default_rng(3).uniform(1, 2, 48)
    data = pd.DataFrame({"y": x, "f": list("abc") * 16, "h": (["u"] * 3 + ["v"] * 3) * 8, "x": x})
    ours = design(f"y ~ {right}", data).X
    theirs = np.asarray(formulaic.model_matrix(right, data, ensure_full_rank=False))
    rank = np.linalg.matrix_rank(theirs)
    assert np.linalg.matrix_rank(np.hstack([ours, theirs])) == rank == ours.shape[1]


# ---- data ----------------------------------------------------------------------------------------------------------

LANGUAGE = "log(y) ~ scale(x) * f + offset(w) + (x | g) + (1 | g:h)"


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        pa.Table.from_pandas,
        lambda data: {name: data[name].to_numpy() for name in data},
        lambda data: {name: data[name].tolist() for name in data},
        lambda data: data.convert_dtypes(),
    ],
    ids=["polars", "arrow", "dict of arrays", "dict of lists", "nullable pandas"],
)
def test_the_kind_of_table_makes_no_difference(convert):
    data = small()
    expected, made = design(LANGUAGE, data), design(LANGUAGE, convert(data))
    np.testing.assert_array_equal(made.X, expected.X)
    np.testing.assert_array_equal(made.y, np.log(data["y"]))
    np.testing.assert_array_equal(made.offset, data["w"])
    assert made.x_names == expected.x_names
    for ours, theirs in zip(made.terms, expected.terms, strict=True):
        assert ours.levels.tolist() == theirs.levels.tolist()
        np.testing.assert_array_equal(ours.Z.toarray(), theirs.Z.toarray())


def test_a_categorical_keeps_its_order_and_loses_the_levels_that_do_not_occur():
    data = small()
    data["f"] = pd.Categorical(data["f"], categories=["mid", "never", "lo", "hi"])
    data["g"] = pd.Categorical(data["g"], categories=["d", "c", "b", "a", "z"])
    made = design("y ~ f + (1 | g) + (1 | g:h)", data)
    assert made.x_names == ("(Intercept)", "flo", "fhi")
    assert made.terms[1].levels.tolist() == ["d", "c", "b", "a"]
    assert made.terms[0].levels.tolist() == ["d:1", "d:2", "c:1", "c:2", "b:1", "b:2", "a:1", "a:2"]


def test_rows_with_a_gap_are_left_out_and_counted():
    data = small()
    data.loc["q", "x"] = np.nan
    data.loc["s", "g"] = None
    data.loc["v", "w"] = np.nan
    data["unused"] = np.nan
    made = design("y ~ x + (1 | g)", data, weights="w", offset=np.arange(8.0))
    assert made.n_dropped == 3
    assert made.index()[made.kept].tolist() == ["p", "r", "t", "u", "w"]
    assert made.y.tolist() == data["y"][made.kept].tolist()
    assert made.weights.tolist() == data["w"][made.kept].tolist()
    assert made.offset.tolist() == [0, 2, 4, 5, 7]
    assert made.terms[0].levels[made.terms[0].codes].tolist() == ["b", "a", "d", "d", "c"]


def test_a_group_of_whole_numbers_with_a_gap_keeps_whole_labels():
    data = small()
    data["h"] = [1.0, 2.0, np.nan, 1.0, 2.0, 1.0, 2.0, 1.0]
    assert design("y ~ 1 + (1 | h)", data).terms[0].levels.tolist() == [1, 2]
    assert "a:1" in design("y ~ 1 + (1 | g:h)", data).terms[0].levels


def test_weights_and_offset_may_be_columns_expressions_or_arrays():
    data = small()
    made = design("y ~ x + offset(x)", data, weights="1 / w", offset="log(w)")
    np.testing.assert_allclose(made.weights, 1 / data["w"])
    np.testing.assert_allclose(made.offset, np.log(data["w"]) + data["x"])
    assert design("y ~ x", data, weights=data["w"]).weights.tolist() == data["w"].tolist()
    assert design("y ~ x", data).weights is None
    assert design("y ~ x", data).offset is None


def test_a_second_term_on_a_factor_is_numbered_and_terms_sort_by_levels_as_in_lme4():
    made = design("y ~ x + (1 | h) + (x || g)", small())
    assert [term.name for term in made.terms] == ["g", "g.1", "h"]
    assert [term.columns for term in made.terms] == [("x",), ("(Intercept)",), ("(Intercept)",)]  # rev() turns ties
    assert [term.name for term in design("y ~ x + (x || g)", small()).terms] == ["g", "g.1"]


def test_structures_and_relationships_reach_their_terms():
    marker = SimpleNamespace(levels=np.array(["a", "b", "c", "d", "e"]))
    made = design("y ~ x + diag(x | g) + (1 | h)", small(), relationship={"g": marker})
    assert [(term.name, term.covariance, term.relationship) for term in made.terms] == [
        ("g", "diagonal", marker),
        ("h", "unstructured", None),
    ]


def test_a_random_intercept_has_no_covariates():
    made = design("y ~ 1 + (1 | g) + (x | h)", small())
    assert made.terms[0].covariates is None
    assert made.terms[1].covariates.tolist() == [[1.0, x] for x in small()["x"]]


def test_a_dot_is_every_column_without_another_part():
    made = design("log(y) ~ . + (1 | g)", small(), weights="w")
    assert made.x_names == ("(Intercept)", "x", "flo", "fmid", "h")


def test_no_bar_no_terms_and_nothing_at_all_no_columns():
    assert design("y ~ x", small()).terms == ()
    assert design("y ~ 0 + (1 | g)", small()).X.shape == (8, 0)


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("np.log(x)", "log(x)"),
        ("I(x**2)", "I(x^2)"),
        ("np.where(x > 2, 1, 0)", "ifelse(x > 2, 1, 0)"),
        ("C(h)", "factor(h)"),
        ("C(f, Treatment('lo'))", "relevel(f, ref = 'lo')"),
        ("C(f, Treatment(reference='lo'))", "C(f, contr.treatment, base = 2)"),
        ("C(f, 'sum')", "C(f, contr.sum(3))"),
        ("bs(x, df=5, include_intercept=True)", "splines::bs(x, df = 5, intercept = TRUE)"),
        ("bs(x, knots=[2, 3])", "bs(x, knots = c(2, 3), Boundary.knots = c(0.5, 8))"),
        ("I(x - np.mean(x))", "center(x)"),
        ("np.expm1(x) + np.std(x)", "expm1(x) + I(sd(x) * sqrt(7 / 8))"),
        ("Q('x')", "`x`"),
        ("x > 2", "I(x > 2)"),
        ("I(f != 'lo')", "I(!(f == 'lo'))"),
        ("as.numeric(factor(h))", "h"),
    ],
)
def test_python_and_r_spellings_mean_the_same(written, same):
    np.testing.assert_allclose(design(f"y ~ {written}", small()).X, design(f"y ~ {same}", small()).X, rtol=1e-12)


# ---- new data ------------------------------------------------------------------------------------------------------

STATEFUL = (
    "y ~ scale(x) + poly(x, 2) * f + bs(x, df=4) + ns(x, 3) + I(x - mean(x)) + center(w) + C(f, contr.sum):w"
    " + relevel(f, ref='mid') + offset(w) + (poly(x, 2) | g) + (0 + f | h) + (1 | g:h)"
)


def test_the_rows_of_the_fit_come_back_as_they_were():
    data = small()
    made = design(STATEFUL, data)
    rows = made.spec.rows(data.drop(columns="y"))
    np.testing.assert_array_equal(rows.X, made.X)
    np.testing.assert_array_equal(rows.offset, made.offset)
    assert rows.index.equals(data.index)
    for (factor, covariates), term in zip(rows.groups, made.terms, strict=True):
        assert spelt_out(factor).tolist() == term.levels[term.codes].tolist()
        assert (covariates is None) == (term.covariates is None)
        if covariates is not None:
            np.testing.assert_array_equal(covariates, term.covariates)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=5))
def test_a_new_row_does_not_depend_on_the_rows_beside_it(rows):
    data = small()
    made = design(STATEFUL, data)
    np.testing.assert_allclose(made.spec.rows(data.iloc[rows]).X, made.X[rows], rtol=1e-12, atol=1e-12)


def test_a_specification_survives_pickling():
    made = design(STATEFUL, small())
    again = pickle.loads(pickle.dumps(made.spec))
    np.testing.assert_array_equal(again.rows(small()).X, made.X)


def test_gaps_in_new_data_give_nan_rows_and_no_group():
    made = design("y ~ scale(x) * f + (x | g) + (1 | g:h)", small())
    new = pd.DataFrame(
        {"x": [1.0, np.nan, 2.0, 3.0], "f": ["lo", "hi", None, "hi"], "g": ["a", "b", None, "new"], "h": 1}
    )
    rows = made.spec.rows(new)
    assert np.isnan(rows.X).any(axis=1).tolist() == [False, True, True, False]
    labels = [spelt_out(factor).tolist() for factor, _ in rows.groups]
    assert {term.name: found for term, found in zip(made.terms, labels, strict=True)} == {
        "g": ["a", "b", None, "new"],
        "g:h": ["a:1", "b:1", None, "new:1"],
    }
    assert np.isnan(rows.groups[1][1]).any(axis=1).tolist() == [False, True, False, False]


@pytest.mark.parametrize("labels", [[7, 9], [7.0, 9.0], ["7", "9"], [7.0, 9.0, np.nan]])
def test_groups_of_new_data_match_by_what_they_print(labels):
    data = small().assign(h=[7, 8] * 4)
    found = spelt_out(design("y ~ 1 + (1 | h)", data).spec.rows({"h": labels}).groups[0][0])
    assert found[0] == 7
    assert isinstance(found[0], int)
    assert found[2:].tolist() == [None] * (len(labels) - 2)
    with pytest.raises(MMEError, match=r"'factor\(h\)' has the level '9', which the fit did not see.*'7', '8'"):
        design("y ~ factor(h)", data).spec.rows({"h": labels})


def test_without_the_random_part_new_data_need_no_groups():
    made = design("y ~ x + (w | g)", small())
    rows = made.spec.rows({"x": [1.0]}, random=False)
    assert rows.X.tolist() == [[1, 1]]
    assert rows.groups == ()


def test_an_offset_column_is_read_from_new_data():
    made = design("y ~ x + offset(x)", small(), offset="w")
    assert made.spec.rows({"x": [1.0, 2.0], "w": [10.0, 20.0]}).offset.tolist() == [11, 22]
    assert design("y ~ x", small()).spec.rows({"x": [1.0]}).offset is None


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ({"x": [1.0], "f": ["huge"]}, "column 'f' has the level 'huge', which the fit did not see.*'hi', 'lo', 'mid'"),
        ({"x": ["a"], "f": ["lo"]}, "'x' needs numbers, but was given labels"),
        ({"f": ["lo"]}, "unknown column 'x'"),
        ({"x": [], "f": []}, "no rows"),
    ],
)
def test_new_data_that_do_not_fit_are_named(new, problem):
    made = design("y ~ x + f", small())
    with pytest.raises(MMEError, match=problem):
        made.spec.rows(new)


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("formula", "problem", "place"),
    [
        ("y ~ xx + (1 | g)", "unknown column 'xx'; did you mean 'x'?", 4),
        ("y ~ X + (1 | g)", "unknown column 'X'; did you mean 'x'?", 4),
        ("y ~ x + (1 | group)", "unknown column 'group'; the data have 'y', 'x'", 13),
        ("yy ~ x", "unknown column 'yy'", 0),
        ("y ~ x + log(foo)", "unknown column 'foo'", 12),
        ("y ~ x + squrt(x)", "unknown function 'squrt'; did you mean 'sqrt'?", 8),
        ("y ~ log(f)", "log() needs numbers, but was given labels ('hi', 'lo', 'mid')", 4),
        ("y ~ I(f + 1)", "'+' needs numbers", 8),
        ("y ~ poly(x, 9)", "more than 9 distinct values, got 8", 4),
        ("y ~ poly(x, 1.5)", "whole number", 4),
        ("y ~ poly(x, deg = 2)", "unexpected keyword argument 'deg'", 4),
        ("y ~ bs(x, df = 2)", "df is too small", 4),
        ("y ~ relevel(f, ref = 'q')", "no level 'q'", 4),
        ("y ~ scale(pi * 0 + w * 0)", "does not vary", 4),
        ("y ~ as.numeric(f)", "labels that are not numbers", 4),
        ("y ~ C(f, 3)", "contr.sum", 4),
    ],
)
def test_an_error_in_a_variable_has_a_caret_under_it(formula, problem, place):
    with pytest.raises(FormulaError) as caught:
        design(formula, small())
    message, _, caret = str(caught.value).split("\n")
    assert problem in message
    assert caret.index("^") == 4 + place


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ np.load(f)",
        "y ~ __import__('os')",
        "y ~ eval('x')",
        "y ~ np.f2py.run_main(x)",
        "y ~ getattr(x, 'T')",
        "y ~ open(f)",
    ],
)
def test_a_formula_reaches_no_function_but_those_listed(formula):
    with pytest.raises(FormulaError, match="unknown function"):
        design(formula, small())


@pytest.mark.parametrize(
    ("formula", "change", "options", "problem"),
    [
        ("f ~ x", {}, {}, "the response 'f' needs numbers, but was given labels"),
        ("y ~ x", {"x": [1.0] * 7 + [np.inf]}, {}, r"'x' is infinite in 1 rows \(first: row w\)"),
        ("y ~ log(x)", {"x": [0.0] + [1.0] * 7}, {}, r"'log\(x\)' is infinite in 1 rows \(first: row p\)"),
        ("y ~ x", {"y": [-np.inf] * 8}, {}, "response 'y' is infinite in 8 rows"),
        ("y ~ x", {"x": np.nan}, {}, "none of the 8 rows is complete; missing values in 'x': 8"),
        ("y ~ x", {"x": [np.nan] + [1.0] * 7}, {"na_action": "raise"}, r"1 of 8 rows miss a value \('x': 1\)"),
        ("y ~ x", {}, {"na_action": "omit"}, "na_action must be.*got 'omit'"),
        ("y ~ x", {}, {"weights": [1.0, 2.0]}, "weights has 2 values, the data have 8 rows"),
        ("y ~ x", {}, {"offset": np.ones((8, 2))}, "offset needs numbers, one a row, but was given 2 columns"),
        ("y ~ x", {}, {"weights": "ww"}, "unknown column 'ww'; did you mean 'w'"),
        ("y ~ x", {}, {"offset": "f"}, "offset = 'f' needs numbers"),
        ("y ~ f", {"f": "lo"}, {}, "factor 'f' has only the level 'lo'"),
        ("y ~ C(f, Treatment('q'))", {}, {}, "base 'q' is not among the levels hi, lo, mid"),
        ("y ~ x + (1 | g)", {}, {"relationship": {"animal": 1}}, "for 'animal', but .* grouping factors are 'g'"),
    ],
)
def test_data_that_cannot_be_used_are_named(formula, change, options, problem):
    with pytest.raises(MMEError, match=problem):
        design(formula, small().assign(**change), **options)


def test_an_infinite_value_in_a_row_that_is_left_out_does_no_harm():
    data = small().assign(x=[np.inf] + [1.0, 2.0] * 3 + [3.0], w=[np.nan] + [1.0] * 7)
    assert design("y ~ x + w", data).n_dropped == 1


def test_an_expression_that_is_undefined_somewhere_warns_and_drops_those_rows():
    with pytest.warns(MMEWarning, match=r"'log\(x - 1\)' is undefined in 1 rows"):
        made = design("y ~ log(x - 1)", small().query("x != 1"))
    assert made.n_dropped == 1


def test_a_response_on_the_right_side_is_left_out_with_a_warning():
    with pytest.warns(MMEWarning, match="response 'y' is left out"):
        assert design("y ~ x + y", small()).x_names == ("(Intercept)", "x")


def test_a_covariate_right_of_the_bar_warns():
    with pytest.warns(MMEWarning, match="grouping factor 'x' holds continuous numbers"):
        design("y ~ 1 + (1 | x)", small())


def test_numbers_that_are_said_to_be_a_factor_are_no_slip():
    """factor(t) groups by the values of t, whole or not, in silence; new rows find their levels."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"t": np.repeat([0.1, 0.5, 1.3, 2.2, 2.9, 4.0], 5)})
    data["y"] = rng.normal(size=6)[data.t.rank(method="dense").astype(int) - 1] + 0.5 * rng.normal(size=30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mme.lmer("y ~ 1 + (1 | factor(t))", data)
        predicted = fit.predict({"t": [1.3, 9.0]}, new_levels="population")
    text = mme.lmer("y ~ 1 + (1 | t)", data.assign(t=data.t.astype(str)))
    assert fit.criterion == pytest.approx(text.criterion, abs=1e-9)
    by_text = text.predict({"t": ["1.3", "9.0"]}, new_levels="population")
    assert np.asarray(predicted) == pytest.approx(np.asarray(by_text))


def test_a_model_matrix_too_large_for_memory_is_forecast():
    too_large = pytest.raises(MemoryForecastError, match=r"8 x 3 .*'f' alone makes 2 columns.*\(1 \| f\)")
    with within(Limits(memory=64)), too_large:
        design("y ~ f", small())


def test_numbers_print_in_coefficient_names_as_in_r_but_whole_ones_with_all_their_digits():
    data = small().assign(h=[0.1 + 0.2, 1e5, 2.0, 1 / 3] * 2)
    assert design("y ~ 0 + factor(h)", data).x_names == tuple(
        f"factor(h){label}" for label in ("0.3", "0.333333333333333", "2", "100000")
    )
    assert math.isclose(design("y ~ h", data).X[3, 1], 1 / 3)
