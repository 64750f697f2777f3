"""Linear functions of the fixed effects: terms, contrasts, hypotheses and marginal means, by lmerTest and emmeans."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cases import load_data
from fits import at as fit_at
from scipy.stats import chi2, f, studentized_range, t

import mme
from mme.inference.fixed.comparisons import comparisons_of
from mme.inference.fixed.hypotheses import read_hypotheses
from mme.inference.fixed.means import Means
from mme.inference.fixed.reference import two_sided

REFERENCE = Path(__file__).parents[1] / "reference" / "contrasts"
STORED = json.loads((REFERENCE / "contrasts.json").read_text())
# lmerTest's degrees of freedom rest on a numerical Hessian; its type III rows are rounded to seven digits.
DF, ROUNDED = 1e-6, 5e-6


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    """240 records in 15 groups, factors a (3) and b (2) in very unequal cells, covariates x and z, weights w."""
    return pd.read_csv(REFERENCE / "contrasts.csv")


@pytest.fixture(scope="module")
def sleep() -> mme.Fit:
    return mme.lmer("Reaction ~ Days + (Days | Subject)", load_data("sleepstudy"))


def fitted(stored: dict, data: pd.DataFrame) -> mme.Fit:
    """The model of a stored table, at lme4's theta."""
    if stored["subset"] == "cell":
        data = data[(data["a"] != "r") | (data["b"] != "v")]
    if stored["subset"] == "gaps":
        data = data.assign(z=data["z"].where(np.arange(len(data)) % 9 != 0))
    fit = mme.lmer(stored["formula"], data, weights="w" if stored["weights"] else None)
    return fit_at(fit, stored["theta"])


def numbers(values: list) -> np.ndarray:
    return np.array(values, dtype=float)


# -- terms -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stored", STORED["anovas"], ids=lambda s: f"{s['formula']} {s['subset']}{' weighted' * s['weights']}"
)
def test_f_tests_of_all_types_are_those_of_lmertest(stored, data):
    fit = fitted(stored, data)
    for expected in stored["tables"]:
        table = fit.anova(ddf=expected["ddf"], type=expected["type"])
        named = table.set_axis(
            [name.replace(", contr.sum", "").replace("C(", "").replace(")", "") for name in table.index]
        )
        table = table if "contr.sum" not in stored["formula"] else named
        assert sorted(table.index) == sorted(expected["terms"])
        table = table.loc[expected["terms"]]
        assert table["num_df"].tolist() == expected["num_df"]
        np.testing.assert_allclose(table["den_df"], numbers(expected["den_df"]), rtol=DF)
        for column in ("F", "sum_sq"):
            np.testing.assert_allclose(table[column], numbers(expected[column]), rtol=ROUNDED)
        np.testing.assert_allclose(table["mean_sq"] * table["num_df"], table["sum_sq"], rtol=1e-14)
        np.testing.assert_allclose(np.log(table["p"]), np.log(numbers(expected["p"])), rtol=ROUNDED, atol=ROUNDED)


def test_types_agree_on_balanced_data_and_on_the_last_term(data):
    oats = mme.lmer("yield ~ factor(nitro) * Variety + (1 | Block/Variety)", load_data("Oats"))
    tables = [oats.anova(type=kind) for kind in (1, 2, 3)]
    for table in tables[1:]:
        np.testing.assert_allclose(table, tables[0], rtol=1e-6)
    unbalanced = mme.lmer("y ~ x + a * b + (1 | g)", data)
    last = [unbalanced.anova(type=kind).loc["a:b"] for kind in ("I", "II", "III")]
    for row in last[1:]:
        np.testing.assert_allclose(
            row[["F", "num_df"]].astype(float), last[0][["F", "num_df"]].astype(float), rtol=1e-9
        )


def test_type_three_does_not_depend_on_how_cells_are_coded(data):
    crossed = mme.lmer("y ~ a * b + (1 | g)", data)
    nested = mme.lmer("y ~ a + a:b + (1 | g)", data)  # b within a: a is tested at equal weights of b, as it is crossed
    summed = mme.lmer("y ~ C(a, contr.helmert) * C(b, contr.SAS) + (1 | g)", data)
    F = crossed.anova().loc["a", "F"]
    assert nested.anova().loc["a", "F"] == pytest.approx(F, rel=1e-6)
    assert summed.anova()["F"].iloc[0] == pytest.approx(F, rel=1e-6)


def test_terms_on_a_basis_are_covariates(data):
    fit = mme.lmer("y ~ poly(x, 2) * b + (1 | g)", data)
    # b is not contained in poly(x, 2):b, whose covariate it lacks: all types but the first test its coefficient
    assert fit.anova(type=2).loc["b", "F"] == pytest.approx(fit.coefficients()["t"]["bv"] ** 2, rel=1e-9)
    assert fit.anova(type=3)["num_df"].tolist() == [2, 1, 2]


def test_each_column_of_an_array_is_a_term(data):
    X = np.column_stack([np.ones(240), data["x"], data["z"]])
    fit = mme.fit(data["y"], X, [mme.Term(data["g"])])
    by_formula = mme.lmer("y ~ x + z + (1 | g)", data)
    for kind in (1, 2, 3):
        table = fit.anova(type=kind)
        assert table.index.tolist() == ["x1", "x2", "x3"]
        np.testing.assert_allclose(table.loc[["x2", "x3"]], by_formula.anova(type=kind), rtol=1e-5)


def test_unknown_types_are_refused(sleep):
    with pytest.raises(mme.MMEError, match="type must be 1, 2 or 3"):
        sleep.anova(type=4)


# -- contrasts ---------------------------------------------------------------------------------------------------------


def test_joint_contrasts_at_a_right_side_are_those_of_lmertest_and_pbkrtest(data):
    stored = STORED["contrasts"]
    fit, L, rhs = fitted(stored, data), stored["L"], stored["rhs"]
    for ddf in ("satterthwaite", "kenward-roger"):
        found, expected = fit.contrast(L, rhs=rhs, joint=True, ddf=ddf).iloc[0], stored[ddf.replace("-", "_")]
        for name in ("num_df", "den_df", "F", "p"):
            assert found[name] == pytest.approx(expected[name], rel=DF * 10)
    scale = fit.kenward_roger.f_test(np.array(L), np.array(L) @ fit.internals.estimates.beta).scale
    assert scale == pytest.approx(stored["kenward_roger"]["scale"], rel=DF)


def test_single_contrasts_are_those_of_lmertest(data):
    stored = STORED["contrasts"]
    fit, row = fitted(stored, data), stored["L"][2]
    found = fit.contrast(row, rhs=0.25).iloc[0]
    for name, expected in stored["third_row_at_0.25"].items():
        assert found[name] == pytest.approx(expected, rel=DF * 10)
    found = fit.contrast(row, ddf="kenward-roger").iloc[0]
    for name, expected in stored["third_row_kenward_roger"].items():
        assert found[name] == pytest.approx(expected, rel=DF)


def test_contrasts_are_given_by_position_by_name_or_as_a_table(sleep):
    by_position = sleep.contrast([[1, 5], [0, 1]])
    assert by_position.index.tolist() == ["L1", "L2"]
    table = pd.DataFrame({"Days": [5, 1], "(Intercept)": [1, 0]}, index=["day 5", "a day"])
    by_name = sleep.contrast(table)
    assert by_name.index.tolist() == ["day 5", "a day"]
    np.testing.assert_array_equal(by_position, by_name)
    # One row and two are different products of matrices: the same up to the order of their sums.
    np.testing.assert_allclose(sleep.contrast({"(Intercept)": 1, "Days": 5}), by_position.iloc[:1], rtol=1e-12)
    assert by_position["estimate"].tolist() == [sleep.beta.iloc[0] + 5 * sleep.beta.iloc[1], sleep.beta.iloc[1]]


def test_dependent_rows_count_once(sleep):
    for ddf in ("satterthwaite", "kenward-roger", "none"):
        once = sleep.contrast([[0, 1], [1, 0]], joint=True, ddf=ddf)
        twice = sleep.contrast([[0, 1], [1, 0], [1, 1]], joint=True, ddf=ddf)
        assert twice["num_df"].iloc[0] == 2
        np.testing.assert_allclose(twice["F"], once["F"], rtol=1e-9)


def test_wald_tests_are_the_limit_of_many_degrees_of_freedom(sleep):
    found = sleep.contrast(np.eye(2), joint=True, ddf="none").iloc[0]
    beta, cov = sleep.beta.to_numpy(), sleep.beta_cov.to_numpy()
    wald = beta @ np.linalg.solve(cov, beta)
    assert (found["F"], found["den_df"]) == (pytest.approx(wald / 2, rel=1e-12), np.inf)
    assert found["p"] == pytest.approx(chi2.sf(wald, 2), rel=1e-10)


def test_tails_keep_their_digits_far_out():
    ts, df = np.array([0.1, 5.0, 44.0, -44.0]), np.array([3.0, 17.3, 56.0, 1e7])
    np.testing.assert_allclose(two_sided(ts, df), 2 * t.sf(np.abs(ts), df), rtol=1e-9)
    assert two_sided(np.array([1.0]), np.array([np.inf]))[0] == pytest.approx(0.31731050786291415)


def test_contrasts_of_a_wrong_shape_or_name_are_refused(sleep):
    with pytest.raises(mme.MMEError, match=r"2 finite weights.*\(Intercept\), Days.*shape \(3,\)"):
        sleep.contrast([1, 2, 3])
    with pytest.raises(mme.MMEError, match="2 finite weights"):
        sleep.contrast([1, np.nan])
    with pytest.raises(mme.MMEError, match="'Dayz'"):
        sleep.contrast({"Dayz": 1})


@pytest.mark.parametrize("rhs", [[1, 2, 3], np.nan, [1, np.inf], [[1, 2]]])
def test_right_sides_are_one_finite_number_a_row(sleep, rhs):
    for joint in (False, True):
        with pytest.raises(mme.MMEError, match="rhs needs 2 finite numbers, one a row, or one for all"):
            sleep.contrast(np.eye(2), rhs=rhs, joint=joint)
    with pytest.raises(mme.MMEError, match="missing or infinite weights"):
        sleep.contrast({"Days": np.nan})


def test_what_a_dropped_column_would_be_needed_for_cannot_be_estimated(data):
    fit = mme.lmer("y ~ x + I(2 * x) + (1 | g)", data)
    assert fit.dropped == ("I(2 * x)",)
    with pytest.raises(mme.MMEError, match=r"row 1 .* dropped \(I\(2 \* x\)\)"):
        fit.contrast({"x": 1})
    assert fit.contrast({"x": 1, "I(2 * x)": 2})["estimate"].iloc[0] == fit.beta["x"]  # the slope of x as a whole
    assert fit.contrast([0, 1])["estimate"].iloc[0] == fit.beta["x"]  # on the columns that are left


# -- hypotheses --------------------------------------------------------------------------------------------------------


def test_a_hypothesis_is_its_contrast(sleep):
    one = sleep.test("Days = 0")
    assert one.index.tolist() == ["Days = 0"]
    np.testing.assert_allclose(one.iloc[0], sleep.coefficients().loc["Days"], rtol=1e-14)
    shifted = sleep.test("2*Days - 10 = (Intercept)/25", ddf="kenward-roger")
    np.testing.assert_allclose(shifted, sleep.contrast([-1 / 25, 2], rhs=10, ddf="kenward-roger"), rtol=1e-12)
    both = sleep.test("(Intercept) = 250, Days = 10")
    np.testing.assert_allclose(both, sleep.contrast(np.eye(2), rhs=[250, 10], joint=True), rtol=1e-12)


@pytest.mark.parametrize(
    ("text", "rows", "right"),
    [
        ("a", [[0, 1, 0, 0, 0]], [0]),
        ("a = b = 2", [[0, 1, -1, 0, 0], [0, 0, 1, 0, 0]], [0, 2]),
        ("-(a - 2*b)*3 == 1.5e1", [[0, -3, 6, 0, 0]], [15]),
        ("(Intercept) + 5 = `a:fx`", [[1, 0, 0, -1, 0]], [-5]),
        ("a:fx/4 - poly(a,2)1 = 0", [[0, 0, 0, 0.25, -1]], [0]),
        ("1 = a + a", [[0, -2, 0, 0, 0]], [-1]),
    ],
)
def test_hypotheses_are_linear_arithmetic_on_the_names_of_coefficients(text, rows, right):
    L, r, labels = read_hypotheses(text, ["(Intercept)", "a", "b", "a:fx", "poly(a, 2)1"])
    np.testing.assert_array_equal(L, rows)
    np.testing.assert_array_equal(r, right)
    assert len(labels) == len(rows)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Dayz = 0", "did you mean 'Days'"),
        ("speed = 0", r"the coefficients are \(Intercept\), Days"),
        ("Days*Days = 1", "not linear"),
        ("1/Days = 1", "only division by a number"),
        ("Days/0 = 1", "other than zero"),
        ("Days = ", "expected a coefficient or a number"),
        ("(Days = 1", r"expected '\)'"),
        ("Days = 1 2", "expected an operator"),
        ("Days - Days = 1", "nothing to test"),
        ("Days = 0,", "expected a coefficient"),
    ],
)
def test_what_is_no_linear_hypothesis_is_refused_with_a_caret(sleep, text, problem):
    with pytest.raises(mme.MMEError, match=problem):
        sleep.test(text)


# -- marginal means ----------------------------------------------------------------------------------------------------


def labels_of(stored: dict) -> list:
    columns = list(stored["levels"].values())
    return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))


@pytest.mark.parametrize(
    "stored", STORED["means"], ids=lambda s: f"{s['formula']} {s['subset']} {s['factors']} by {s['by']} {s['ddf']}"
)
def test_marginal_means_and_their_differences_are_those_of_emmeans(stored, data):
    fit = fitted(stored, data)
    options = {"by": stored["by"], "ddf": stored["ddf"]}
    table = fit.means(stored["factors"], **options).loc[labels_of(stored)]
    for name, expected in stored["means"].items():
        # where some means cannot be estimated emmeans differentiates by another way
        np.testing.assert_allclose(table[name], numbers(expected), rtol=1e-6)
    pairs = stored["pairs"]
    for adjust, p in stored["p"].items():
        if adjust != "none" and table["mean"].isna().any():
            continue  # emmeans counts means that the data do not determine
        found = fit.means(stored["factors"], pairs=True, adjust=adjust, **options)
        sign, key = 1.0, pairs["contrast"]
        if len(stored["factors"]) > 1:  # emmeans lets the first factor vary fastest
            turned = [" - ".join(reversed(name.split(" - "))) for name in key]
            sign = np.where([name in found.index for name in key], 1.0, -1.0)
            key = [name if name in found.index else other for name, other in zip(key, turned, strict=True)]
        found = found.loc[list(zip(pairs["by"], key, strict=True)) if pairs["by"] else key]
        for name in ("estimate", "t"):
            np.testing.assert_allclose(found[name] * sign, numbers(pairs[name]), rtol=1e-6)
        for name in ("se", "df"):
            np.testing.assert_allclose(found[name], numbers(pairs[name]), rtol=1e-6)
        np.testing.assert_allclose(found["p"], numbers(p), rtol=1e-6, atol=1e-9)


def test_means_of_a_balanced_layout_are_plain_means():
    oats = load_data("Oats")
    fit = mme.lmer("yield ~ factor(nitro) * Variety + (1 | Block/Variety)", oats)
    np.testing.assert_allclose(fit.means("Variety")["mean"], oats.groupby("Variety")["yield"].mean(), rtol=1e-12)
    cells = fit.means(["nitro", "Variety"])  # the factor made of the column nitro
    assert cells.index.names == ["nitro", "Variety"]
    np.testing.assert_allclose(cells["mean"], oats.groupby(["nitro", "Variety"])["yield"].mean(), rtol=1e-12)
    pairs = fit.means("Variety", by="nitro", pairs=True)
    assert pairs.index.names == ["nitro", "contrast"]
    assert len(pairs) == 4 * 3


def test_intervals_and_adjustments_are_quantiles_of_their_distributions():
    fit = mme.lmer("yield ~ nitro + Variety + (1 | Block/Variety)", load_data("Oats"))
    table = fit.means("Variety", level=0.9)
    half = t.ppf(0.95, table["df"]) * table["se"]
    np.testing.assert_allclose(table["upper"] - table["mean"], half, rtol=1e-10)
    plain, tukey = (fit.means("Variety", pairs=True, adjust=adjust) for adjust in ("none", "tukey"))
    q = np.sqrt(2) * np.abs(plain["t"])
    np.testing.assert_allclose(tukey["p"], studentized_range.sf(q, 3, plain["df"]), rtol=1e-12)
    np.testing.assert_allclose(plain["p"], f.sf(plain["t"] ** 2, 1, plain["df"]), rtol=1e-10)
    normal = fit.means("Variety", ddf="none")
    np.testing.assert_allclose(normal["upper"] - normal["mean"], 1.959963984540054 * normal["se"], rtol=1e-12)


# emmeans of yield ~ nitro * Variety + (1 | Block/Variety), Satterthwaite's degrees of freedom.
EMMEANS_OATS = {
    "none": [6.656720050e-05, 5.648933049e-10, 6.696785358e-13, 1.205047170e-03, 1.583313137e-06, 4.456071775e-02],
    "holm": [1.997016015e-04, 2.824466524e-09, 4.018071215e-12, 2.410094340e-03, 6.333252548e-06, 4.456071775e-02],
    "sidak": [3.993367410e-04, 3.389360126e-09, 4.018119171e-12, 7.208535905e-03, 9.499841219e-06, 2.392909933e-01],
    "bonferroni": [3.994032030e-04, 3.389359829e-09, 4.018071215e-12, 7.230283019e-03, 9.499878822e-06, 0.2673643065],
}


@pytest.mark.parametrize("adjust", ["holm", "sidak", "bonferroni"])
def test_adjustments_by_the_number_of_differences_are_those_of_emmeans(adjust):
    fit = mme.lmer("yield ~ factor(nitro) * Variety + (1 | Block/Variety)", load_data("Oats"))
    plain, found = (fit.means("nitro", pairs=True, adjust=one)["p"].to_numpy() for one in ("none", adjust))
    np.testing.assert_allclose(plain, EMMEANS_OATS["none"], rtol=1e-4)  # lmer stops 1e-5 before its optimum
    # emmeans has 1 - (1 - p)^m, which rounds to multiples of 1e-16.
    as_much = found / plain * EMMEANS_OATS["none"]
    np.testing.assert_allclose(as_much, EMMEANS_OATS[adjust], rtol=3e-6, atol=1e-15)


@pytest.mark.parametrize("adjust", ["holm", "sidak"])
def test_adjustments_count_the_differences_of_a_family(adjust):
    fit = mme.lmer("yield ~ factor(nitro) * Variety + (1 | Block/Variety)", load_data("Oats"))
    plain, found = (fit.means("nitro", by="Variety", pairs=True, adjust=one)["p"] for one in ("none", adjust))
    for variety, p in plain.groupby(level="Variety"):
        ranked = np.sort(p)
        expected = {
            "holm": np.maximum.accumulate(ranked * (6 - np.arange(6))).clip(max=1),
            "sidak": 1 - (1 - ranked) ** 6,
        }
        np.testing.assert_allclose(np.sort(found.loc[variety]), expected[adjust], rtol=1e-8)


def test_covariates_are_at_their_means_unless_they_are_given(data):
    fit = mme.lmer("y ~ a * x + (1 | g)", data)
    at_mean, at_three = fit.means("a"), fit.means("a", at={"x": 3.0})
    np.testing.assert_allclose(fit.means("a", at={"x": data["x"].mean()}), at_mean, rtol=1e-12)
    b = fit.beta
    assert at_three["mean"]["q"] == pytest.approx(b["(Intercept)"] + b["aq"] + 3 * (b["x"] + b["aq:x"]), rel=1e-13)


def test_a_transform_is_of_the_mean_of_its_column_or_of_the_value_given(data):
    fit = mme.lmer("y ~ a + np.log(z) + I(z*pi) + scale(w) + ns(x, df=2, intercept=FALSE) + (1 | g)", data)
    x, z = data["x"].mean(), data["z"].mean()

    def at_first_level(x: float, log_z: float) -> float:
        spline = fit.internals.specification.rows({"a": ["p"], "z": [z], "w": [1.0], "x": [x]}, random=False).X[0, -2:]
        return float(np.concatenate([[1.0, 0.0, 0.0, log_z, np.pi * z, 0.0], spline]) @ fit.beta)

    for at, expected in [
        (None, at_first_level(x, np.log(z))),
        ({"x": 3.5}, at_first_level(3.5, np.log(z))),
        ({"x": 3.5, "np.log(z)": 0.25}, at_first_level(3.5, 0.25)),
    ]:
        assert fit.means("a", at=at)["mean"]["p"] == pytest.approx(expected, rel=1e-12)
    assert fit.anova(type=3)["num_df"].tolist() == [2, 1, 1, 1, 2]


def test_what_means_cannot_be_made_of_is_refused(data):
    labels = mme.lmer(
        "y ~ a + I(as.numeric(f) * z) + (1 | g)", data.assign(f=data["x"].round().astype(int).astype(str))
    )
    with pytest.raises(mme.MMEError, match=r"f has no mean, .*: at=\{'I\(as.numeric\(f\) \* z\)': ...\}"):
        labels.means("a")
    assert np.isfinite(labels.means("a", at={"I(as.numeric(f) * z)": 3.0})["mean"]).all()
    fit = mme.lmer("y ~ a * log(z) + (1 | g)", data)
    with pytest.raises(mme.MMEError, match=r"'g' is not a factor of the fixed part; its factors are 'a'"):
        fit.means("g")
    with pytest.raises(mme.MMEError, match="'q' is no covariate"):
        fit.means("a", at={"z": 2, "q": 1})
    with pytest.raises(mme.MMEError, match="adjust must be one of"):
        fit.means("a", at={"z": 2}, pairs=True, adjust="sheffe")
    with pytest.raises(mme.MMEError, match="each factor once"):
        fit.means("a", by="a", at={"z": 2})
    X = np.column_stack([np.ones(240), data["x"]])
    with pytest.raises(mme.MMEError, match="by formula"):
        mme.fit(data["y"], X, [mme.Term(data["g"])]).means("a")


def test_no_test_warns_on_an_ordinary_fit(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mme.lmer("y ~ a * b + poly(x, 2) + (1 | g)", data)
        fit.anova(ddf="kenward-roger")
        fit.means("a", by="b", at={"x": 3.0}, pairs=True)
        fit.test("aq = ar, bv = 0")


def test_a_family_of_one_mean_has_no_contrasts_wherever_it_stands():
    """School a has one class, school b has two: these are compared."""
    levels = (("a", "x"), ("b", "x"), ("b", "y"))
    for order in ([0, 1, 2], [1, 2, 0]):
        means = Means(np.eye(3)[order], 0.0, tuple(levels[i] for i in order), ("school", "class"), 1)
        found = comparisons_of(means, "pairwise")
        assert found.index.tolist() == [("b", "x - y")]
        np.testing.assert_allclose((found.C @ means.L).tolist(), [[0.0, 1.0, -1.0]])
    with pytest.raises(mme.MMEError, match="there are no two levels of class to compare"):
        comparisons_of(Means(np.eye(1), 0.0, levels[:1], ("school", "class"), 1), "pairwise")
