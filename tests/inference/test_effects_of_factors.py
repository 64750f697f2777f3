"""Contrasts, adjustments, slopes, weights and scales of marginal means: those of emmeans, and theorems."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fits import at as fit_at
from scipy.stats import multivariate_normal, norm, studentized_range, t

import mme
from mme.inference.fixed.families import polynomial
from mme.inference.fixed.response_scale import response_scale
from mme.numeric.unions import LargestNormal

STORED = json.loads((Path(__file__).parents[1] / "reference" / "contrasts" / "effects.json").read_text())
DATA = {name: np.array(values) for name, values in STORED["data"].items()}
FORMULAS = {
    "main": "y ~ f + h + x + (1 | g)",
    "inter": "y ~ f * h + x + (1 | g)",
    "slope": "y ~ f * x + h + (1 | g)",
    "curve": "y ~ f + poly(x, 2) + (1 | g)",
    "logged": "log(y) ~ f + x + (1 | g)",
    "rooted": "sqrt(y) ~ f + x + (1 | g)",
}
# emmeans' words, and ours.
METHODS = {
    "pairwise": "pairwise",
    "trt.vs.ctrl": "reference",
    "consec": "sequential",
    "poly": "polynomial",
    "eff": "effect",
}


@pytest.fixture(scope="module")
def fits():
    """The fits at the theta of R's."""
    return {
        name: fit_at(mme.lmer(formula, DATA), np.atleast_1d(STORED["theta"][name]))
        for name, formula in FORMULAS.items()
    }


def agree(table, stored, estimate="estimate", rtol=2e-6, p_rtol=2e-5):
    for ours, theirs in ((estimate, "estimate"), ("se", "se"), ("df", "df"), ("lower", "lower"), ("upper", "upper")):
        if theirs in stored:
            np.testing.assert_allclose(table[ours], stored[theirs], rtol=rtol, atol=1e-7 + 20 * (rtol - 2e-6))
    if "p" in stored and "p" in table:
        np.testing.assert_allclose(table["p"], stored["p"], rtol=p_rtol, atol=1e-9)


@pytest.mark.parametrize("stored", STORED["contrasts"], ids=lambda s: f"{s['method']} {s['adjust']}")
def test_contrasts_with_adjusted_p_values_and_intervals_are_those_of_emmeans(stored, fits):
    table = fits["main"].means("f", contrast=METHODS[stored["method"]], adjust=stored["adjust"])
    expected = [
        name.replace(" effect", "") + (" effect" if stored["method"] == "eff" else "") for name in stored["names"]
    ]
    assert table.index.tolist() == expected
    if stored["adjust"] == "mvt":  # of chance there, to some 3e-4, and on whole degrees of freedom
        np.testing.assert_allclose(table["p"], stored["p"], rtol=0.03, atol=3e-4)
        np.testing.assert_allclose(
            table[["lower", "upper"]], np.transpose([stored["lower"], stored["upper"]]), atol=5e-3
        )
    else:
        agree(table, stored)


def test_families_within_levels_of_another_factor_are_those_of_emmeans(fits):
    for stored in STORED["by"]:
        table = fits["inter"].means("f", by="h", pairs=True, adjust=stored["adjust"])
        agree(table, stored)


def test_interaction_contrasts_are_those_of_emmeans(fits):
    table = fits["inter"].means(["f", "h"], contrast=["pairwise", "sequential"], interaction=True)
    stored = STORED["interaction"]
    order = [list(table["estimate"].round(5)).index(round(value, 5)) for value in stored["estimate"]]
    agree(table.iloc[order], stored)
    assert table.index[0] == "p - q : v - u"


@pytest.mark.parametrize("stored", STORED["weights"], ids=lambda s: s["weights"])
def test_weighted_means_are_those_of_emmeans(stored, fits):
    agree(fits["inter"].means("f", weights=stored["weights"]), stored, "mean")


def test_means_weighted_by_cells_are_means_of_predictions_of_the_records(fits):
    fit = fits["inter"]
    table = fit.means("f", weights="cells")["mean"]
    x = DATA["x"]
    population = np.asarray(fit.predict(DATA | {"x": np.full(x.size, x.mean())}, random=False))
    for level in "pqrs":
        assert table[level] == pytest.approx(population[DATA["f"] == level].mean(), rel=1e-10)


def test_slopes_within_levels_are_those_of_emtrends(fits):
    agree(fits["slope"].trends("x", by="f"), STORED["trends"], "slope")
    agree(fits["slope"].trends("x", by="f", pairs=True), STORED["trend_pairs"])
    b = fits["slope"].beta
    assert fits["slope"].trends("x", by="f")["slope"].iloc[1] == pytest.approx(b["x"] + b["fq:x"], rel=1e-12)


def test_slopes_of_a_curve_are_its_derivatives_where_at_puts_it(fits):
    table = fits["curve"].trends("x", at={"x": [2, 5, 8]})
    for row, stored in zip(table.itertuples(), STORED["curve"], strict=True):
        assert (row.slope, row.se) == pytest.approx(
            (stored["estimate"][0], stored["se"][0]), rel=1e-3
        )  # first order there
    logged = mme.lmer("y ~ log(x) + (1 | g)", DATA)
    slope = logged.trends("x", at={"x": [2, 5]})["slope"].to_numpy()
    np.testing.assert_allclose(slope, logged.beta["log(x)"] / np.array([2.0, 5.0]), rtol=1e-8)


def test_means_on_the_scale_of_the_response_are_those_of_emmeans(fits):
    stored = STORED["response"]
    agree(fits["logged"].means("f", scale="response"), stored["log"], "mean")
    agree(fits["logged"].means("f", pairs=True, scale="response"), stored["log_pairs"], "ratio")
    agree(fits["rooted"].means("f", scale="response"), stored["sqrt"], "mean")
    pairs = fits["rooted"].means("f", pairs=True, scale="response", adjust="none")
    np.testing.assert_allclose(
        pairs[["estimate", "se"]], np.transpose([stored["sqrt_pairs"][k] for k in ("estimate", "se")]), rtol=1e-6
    )
    biased = fits["rooted"].means("f", scale="response", bias_adjust="residual")
    np.testing.assert_allclose(biased["mean"], stored["sqrt_bias"]["estimate"], rtol=1e-7)


def test_a_bias_adjusted_mean_of_logarithms_is_that_of_the_lognormal(fits):
    fit = fits["logged"]
    plain, mean = (fit.means("f", scale="response", bias_adjust=word)["mean"] for word in (False, "total"))
    variance = float(fit.varcorr["g"].cov[0, 0]) + fit.sigma**2
    np.testing.assert_allclose(mean / plain, np.exp(variance / 2), rtol=1e-9)


def test_effect_sizes_are_those_of_emmeans(fits):
    fit = fits["main"]
    table = fit.means("f", pairs=True, effect_size="residual")
    stored = STORED["effect"]
    assert fit.nobs - len(fit.fixed_names) == 113
    d, se = np.array(stored["estimate"]), np.array(stored["se"])
    np.testing.assert_allclose(table["effect_size"], d, rtol=1e-6)
    known = se**2 - d**2 / (2 * 114) + d**2 / (2 * 113)
    np.testing.assert_allclose(table["se"], np.sqrt(known), rtol=1e-5)
    half = t.ppf(0.975, table["df"]) * table["se"]
    np.testing.assert_allclose(table["lower"], table["effect_size"] - half, rtol=1e-12)
    np.testing.assert_allclose(table["upper"], table["effect_size"] + half, rtol=1e-12)


def test_joint_tests_are_those_of_emmeans(fits):
    table, stored = fits["inter"].joint_tests(by="h"), STORED["joint"]
    for h, term, df1, df2, F, p in zip(*(stored[k] for k in ("h", "term", "df1", "df2", "F", "p")), strict=True):
        row = table.loc[(h, term)]
        assert row["num_df"] == df1
        # rounded there to three decimals, and degrees of freedom by other coordinates of the same hypothesis
        assert row["F"] == pytest.approx(F, abs=6e-4)
        assert row["den_df"] == pytest.approx(df2, rel=5e-3)
        assert row["p"] == pytest.approx(p, abs=2e-4)


def test_a_nested_factor_is_tested_within_the_other_and_averaged_by_the_records_there():
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"f": rng.choice(list("abc"), 90), "s": np.repeat(np.arange(9), 10), "x": rng.normal(size=90)})
    data["g"] = data["f"] + rng.choice(["1", "2", "3"], 90, p=[0.5, 0.3, 0.2])
    data["y"] = data["x"] + (data["f"] == "b") + 0.5 * (data["g"] == "c2") + rng.normal(size=90)
    fit = mme.lmer("y ~ f + g + x + (1 | s)", data)
    joint, anova = fit.joint_tests(), fit.anova()
    assert list(joint.index) == ["f", "f:g", "x"]
    assert joint.loc["f:g", "num_df"] == anova.loc["g", "num_df"] == 6
    assert joint.loc["f:g", "F"] == pytest.approx(anova.loc["g", "F"], rel=1e-6)
    written = mme.lmer("y ~ f/g + x + (1 | s)", data).joint_tests()
    assert written.loc["f:g", "F"] == pytest.approx(joint.loc["f:g", "F"], rel=1e-6)
    numbers = ["mean", "se", "df"]
    proportional, cells = (fit.means("f", weights=word)[numbers] for word in ("proportional", "cells"))
    np.testing.assert_allclose(proportional, cells, rtol=1e-9)
    share = data[data["f"] == "b"]["g"].value_counts(normalize=True)
    own = fit.means("g", by="f").loc["b"]["mean"].dropna()
    assert proportional.loc["b", "mean"] == pytest.approx(float((own * share.reindex(own.index)).sum()), rel=1e-9)


# -- letters, names ----------------------------------------------------------------------------------------------------


def test_means_that_share_a_letter_do_not_differ(fits):
    fit = fits["main"]
    table, pairs = fit.means("f", letters=True), fit.means("f", pairs=True)
    letters = table["letters"]
    for name, p in pairs["p"].items():
        one, other = name.split(" - ")
        assert bool(set(letters[one]) & set(letters[other])) == (p >= 0.05), name
    assert "a" in letters[table["mean"].idxmax()]
    assert pairs.letters().tolist() == letters.tolist()
    assert pairs.letters(1e-9).tolist() != letters.tolist()
    by = fits["inter"].means("f", by="h", letters=True)
    assert by["letters"].loc["u"].str.contains("a").any()
    assert "share a letter" in repr(table)


def test_a_contrast_that_is_nothing_has_no_test(fits):
    table = fits["main"].means("x", at={"x": [1, 4, 7]}, contrast="polynomial")
    assert table.loc["quadratic", "estimate"] == 0.0
    assert np.isnan(table.loc["quadratic", "p"])
    assert table.loc["linear", "estimate"] == pytest.approx(6 * fits["main"].beta["x"], rel=1e-12)


def test_cells_that_are_not_estimable_are_named():
    rows = ~((DATA["f"] == "s") & (DATA["h"] == "w"))
    fit = mme.lmer(FORMULAS["inter"], {name: values[rows] for name, values in DATA.items()})
    with pytest.warns(mme.MMEWarning, match="Not estimable: s w"):
        table = fit.means(["f", "h"])
    assert np.isnan(table.loc[("s", "w"), "mean"])
    assert "Not estimable: s w" in repr(table)


def test_contrasts_of_ones_own_are_by_level_or_in_order(fits):
    fit = fits["main"]
    means = fit.means("f")["mean"]
    table = fit.means("f", contrast={"ends": {"p": -1, "s": 1}, "halves": [-0.5, -0.5, 0.5, 0.5]})
    assert table.loc["ends", "estimate"] == pytest.approx(means["s"] - means["p"])
    assert table.loc["halves", "estimate"] == pytest.approx(means[["r", "s"]].mean() - means[["p", "q"]].mean())
    against = fit.means("f", contrast="reference", reference="s")
    assert against.index.tolist() == ["p - s", "q - s", "r - s"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"contrast": "pairs of"}, "contrast must be one of 'pairwise'"),
        ({"contrast": {"a": {"z": 1}}}, "'z' is no level; they are 'p', 'q'"),
        ({"contrast": {"a": [1, 2]}}, "contrast 'a' needs 4 finite numbers"),
        ({"contrast": "reference", "reference": "z"}, "reference='z' is no level"),
        ({"contrast": "reference", "adjust": "tukey"}, "adjust='mvt' is the exact one"),
        ({"pairs": True, "adjust": "duncan"}, "adjust must be one of 'tukey', 'dunnett'"),
        ({"pairs": True, "contrast": "effect"}, "leave one of them out"),
        ({"weights": "some"}, "weights must be 'equal'"),
        ({"scale": "response"}, "the inverse of y is not known"),
        ({"bias_adjust": True}, "scale='response'"),
        ({"pairs": True, "effect_size": "big"}, "effect_size must be 'residual'"),
    ],
)
def test_what_is_not_known_is_refused(options, said, fits):
    with pytest.raises(mme.MMEError, match=said):
        fits["main"].means("f", **options)
    with pytest.raises(mme.MMEError, match="'z' is no covariate of the fixed part"):
        fits["main"].trends("z")


def test_generalised_fits_have_the_same_contrasts_and_slopes():
    fit = mme.glmer("round(y) ~ f * x + (1 | g)", DATA, "poisson")
    b = fit.beta
    table = fit.trends("x", by="f")
    assert table.loc["q", "slope"] == pytest.approx(b["x"] + b["fq:x"], rel=1e-9)
    assert "z" in table
    contrast = fit.means("f", contrast="reference")
    pairs = fit.means("f", pairs=True, adjust="none")
    assert contrast["estimate"].iloc[0] == pytest.approx(-pairs["estimate"].iloc[0])
    assert contrast["p"].iloc[0] >= pairs["p"].iloc[0]
    assert fit.means("f", letters=True)["letters"].str.len().min() > 0


# -- the largest of correlated variables -------------------------------------------------------------------------------


def test_the_largest_of_independent_variables_is_a_power():
    t = np.array([0.5, 1.5, 2.5, 4.0, 6.0])
    for k in (2, 5, 30):
        expected = -np.expm1(k * np.log1p(-2 * norm.sf(t)))
        np.testing.assert_allclose(LargestNormal.of(np.eye(k)).sf(t, np.inf), expected, rtol=6e-3)


def test_the_largest_difference_of_means_is_the_studentised_range():
    C = np.array([np.eye(6)[i] - np.eye(6)[j] for i in range(6) for j in range(i)]).T
    for df in (17.3, np.inf):
        t = np.array([1.0, 2.5, 4.0])
        theirs = studentized_range.sf(np.sqrt(2) * t, 6, min(df, 1e5))
        np.testing.assert_allclose(LargestNormal.of(C).sf(t, df), theirs, rtol=5e-3)
        q = LargestNormal.of(C).isf(0.05, df)
        assert q * np.sqrt(2) == pytest.approx(studentized_range.isf(0.05, 6, min(df, 1e5)), rel=2e-3)


def test_dunnetts_probability_is_that_of_the_multivariate_normal():
    R = 0.5 * np.eye(4) + 0.5
    box = multivariate_normal(cov=R, allow_singular=True).cdf(np.full(4, 2.3), lower_limit=np.full(4, -2.3))
    found = LargestNormal.of(np.linalg.cholesky(R).T).sf(np.array([2.3]), np.inf)[0]
    assert found == pytest.approx(1.0 - box, rel=3e-3)


def test_the_pairs_of_fifty_means_take_less_than_a_second_each_way():
    from time import process_time

    rng = np.random.default_rng(5)
    f, g = np.arange(1000) % 50, rng.integers(0, 30, 1000)
    fit = mme.lmer("y ~ factor(f) + (1 | g)", {"y": rng.normal(size=1000) + 0.1 * f, "f": f, "g": g})
    fit.coefficients()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for adjust in ("tukey", "mvt"):
            began = process_time()
            table = fit.means("f", pairs=True, adjust=adjust)
            assert process_time() - began < 3.0  # a second, on a quiet machine
            assert len(table) == 1225


def test_polynomials_over_fifteen_levels_are_those_of_emmeans():
    """``poly.emmc(1:15)``, degree 5: its smallest entry, which the others are whole multiples of, is below 0.02."""
    half = [0, 675, 1000, 751, -44, -979, -1144, 1001]
    found = polynomial([str(level) for level in range(15)])[0][4]
    assert found.tolist() == [*(-value for value in half[:0:-1]), *half]


def test_without_random_terms_all_variances_are_that_of_the_residual():
    rng = np.random.default_rng(2)
    data = {"f": np.repeat(["a", "b", "c"], 5), "y": rng.normal(size=15)}
    fit = mme.lmer("y ~ f", data)
    total, residual = (fit.means("f", pairs=True, effect_size=word) for word in ("total", "residual"))
    np.testing.assert_array_equal(total, residual)


@pytest.mark.parametrize(
    "response",
    [
        *("log(y)", "log2(y)", "log10(y)", "log1p(y)", "log(y, 3)", "log(y, base=3)", "log(y + 2)", "log(2 + y)"),
        *("sqrt(y)", "exp(y)", "I(y^3)", "1/y", "log(y / (1 - y))", "(log(y))"),
    ],
)
def test_the_way_back_is_the_inverse_of_the_transform_and_its_slope_the_derivative(response):
    y = np.linspace(0.1, 0.8, 9)
    fit = mme.lmer(f"{response} ~ 1", {"y": y})
    back, eta = response_scale(fit.internals, "response", False), fit.internals.model.y
    np.testing.assert_allclose(back.mean(eta), y, rtol=1e-12)
    step = 1e-5 * np.abs(eta)
    np.testing.assert_allclose(back.slope(eta), (back.mean(eta + step) - back.mean(eta - step)) / (2 * step), rtol=1e-7)


def test_a_bias_adjusted_mean_by_a_given_deviation_is_that_of_the_lognormal():
    fit = mme.lmer("log(y) ~ 1", {"y": np.linspace(0.1, 0.8, 9)})
    eta = fit.internals.model.y
    plain, adjusted = (response_scale(fit.internals, "response", sigma).mean(eta) for sigma in (False, 0.3))
    np.testing.assert_allclose(adjusted / plain, np.exp(0.3**2 / 2), rtol=1e-12)
    with pytest.raises(mme.MMEError, match="bias_adjust must be False"):
        response_scale(fit.internals, "response", -1.0)
    with pytest.raises(mme.MMEError, match="bias_adjust is of means on the scale of the response"):
        response_scale(fit.internals, "link", 0.3)


def test_polynomials_over_eight_levels_are_those_of_fishers_tables():
    """Of the first six degrees, as R's package emmeans has and names them."""
    coefficients, names = polynomial(list("abcdefgh"))
    assert names == ["linear", "quadratic", "cubic", "quartic", "degree 5", "degree 6"]
    assert coefficients.tolist() == [
        [-7, -5, -3, -1, 1, 3, 5, 7],
        [7, 1, -3, -5, -5, -3, 1, 7],
        [-7, 5, 7, 3, -3, -7, -5, 7],
        [7, -13, -3, 9, 9, -3, -13, 7],
        [-7, 23, -17, -15, 15, 17, -23, 7],
        [1, -5, 9, -5, -5, 9, -5, 1],
    ]


def test_two_contrasts_are_said_to_be_adjusted_and_one_is_not():
    for levels, said in (("abc", ("p and 95 % intervals adjusted for 2 contrasts: holm.",)), ("ab", None)):
        fit = mme.lm("y ~ f", {"y": [1.0, 2.0, 4.0, 3.0, 5.0, 9.0], "f": list(levels * 3)[:6]})
        assert fit.means("f", contrast="sequential", adjust="holm").attrs.get("notes") == said
