"""Fixed effects of generalised fits: Wald tests, means, pairs and ratios by emmeans, lmerTest's hypotheses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm

import mme
from tests.glmm import FOLDER, glmm_case, glmm_fit

STORED: dict[str, Any] = json.loads((FOLDER / "fixed.json").read_text())
READY = [name for name in STORED if name not in ("owls_offset", "versions")]
ASKED = [(name, i) for name in READY for i in range(len(STORED[name]["means"]))]
# Estimates are within 1e-5 standard errors of the stored optimum, standard errors within 2e-5 of theirs.
CLOSE = 4e-5


def near(found: Any, known: Any, scale: Any = 1.0) -> None:
    """Within the digits of both optima."""
    np.testing.assert_allclose(
        np.asarray(found, float), np.asarray(known, float), rtol=CLOSE, atol=CLOSE * np.max(scale)
    )


def asked(name: str, i: int) -> tuple[mme.GeneralisedFit, dict[str, Any], dict[str, Any]]:
    """A fit, what emmeans was asked, and what it answered."""
    one = STORED[name]["means"][i]
    at = one["at"] if one["at"] else None
    return glmm_fit(name), {"factors": one["factors"], "by": one["by"] or (), "at": at}, one


def places(table: pd.DataFrame, one: dict[str, Any]) -> list[int]:
    """Where each row of emmeans stands."""
    names = list(table.index.names)
    keys = [tuple(map(str, key if isinstance(key, tuple) else (key,))) for key in table.index]
    wanted = zip(*([str(label) for label in np.atleast_1d(one["labels"][name])] for name in names), strict=True)
    return [keys.index(key) for key in wanted]


@pytest.mark.parametrize(("name", "i"), ASKED)
def test_means_on_both_scales_are_those_of_emmeans(name: str, i: int) -> None:
    fit, given, one = asked(name, i)
    for scale in ("link", "response"):
        table = fit.means(**given, scale=scale)
        table = table.iloc[places(table, one)]
        for column in ("mean", "se", "lower", "upper"):
            near(table[column], np.atleast_1d(one[scale][column]), one[scale]["se"])


@pytest.mark.parametrize(("name", "i"), ASKED)
def test_pairs_with_adjusted_p_values_and_limits_are_those_of_emmeans(name: str, i: int) -> None:
    fit, given, one = asked(name, i)
    for known in one["pairs"]:
        table = fit.means(**given, pairs=True, adjust=known["adjust"])
        for column in ("estimate", "se", "z", "lower", "upper"):
            near(table[column], np.atleast_1d(known[column]), known["se"] if column != "z" else 1.0)
        np.testing.assert_allclose(table["p"], np.atleast_1d(known["p"]), rtol=3e-3, atol=1e-9)


@pytest.mark.parametrize(("name", "i"), [one for one in ASKED if not one[0].endswith(("probit", "cloglog"))])
def test_pairs_on_the_scale_of_the_response_are_the_ratios_of_emmeans(name: str, i: int) -> None:
    fit, given, one = asked(name, i)
    table, known = fit.means(**given, pairs=True, scale="response"), one["ratio"]
    name_of = {"odds.ratio": "odds_ratio", "ratio": "rate_ratio"}[known["kind"]]
    assert table.columns.tolist() == [name_of, "se", "z", "p", "lower", "upper"]
    for column, key in ((name_of, "value"), ("se", "se"), ("lower", "lower"), ("upper", "upper")):
        near(table[column], np.atleast_1d(known[key]), known["value"])


@pytest.mark.parametrize("name", READY)
def test_wald_tests_of_all_types_are_of_the_hypotheses_of_lmertest(name: str) -> None:
    fit = glmm_fit(name)
    for known in STORED[name]["wald"]:
        table = fit.anova(type=known["type"])
        assert table.index.tolist() == np.atleast_1d(known["terms"]).tolist()
        np.testing.assert_allclose(table["chisq"], np.atleast_1d(known["chisq"]), rtol=2e-4, atol=1e-6)
        assert table["df"].tolist() == np.atleast_1d(known["df"]).tolist()
        np.testing.assert_allclose(table["p"], chi2.sf(table["chisq"], table["df"]), rtol=1e-10)


def test_the_offset_is_at_its_mean_as_in_emmeans_unless_it_is_put_elsewhere() -> None:
    fit = glmm_fit("owls_pois")
    there, at_zero = (fit.means("FoodTreatment", at=at)["mean"] for at in (None, {"offset": 0}))
    np.testing.assert_allclose(there - at_zero, STORED["owls_offset"], rtol=1e-12)


def test_coefficients_are_z_tests_with_intervals_and_ratios_are_named_by_the_link() -> None:
    fit, known = glmm_fit("cbpp_logit"), glmm_case("cbpp_logit").json["laplace"]
    table = fit.coefficients()
    assert table.columns.tolist() == ["estimate", "se", "z", "p", "lower", "upper"]
    near(table["se"], known["se_hessian"])
    near(fit.coefficients("rx")["se"], known["se_rx"])
    np.testing.assert_allclose(table["p"], 2.0 * norm.sf(np.abs(table["estimate"] / table["se"])), rtol=1e-12)
    np.testing.assert_allclose(table["upper"] - table["estimate"], norm.ppf(0.975) * table["se"], rtol=1e-12)
    wide = fit.coefficients(level=0.99)
    np.testing.assert_allclose(wide["upper"] - wide["estimate"], norm.ppf(0.995) * table["se"], rtol=1e-12)
    odds = fit.coefficients(scale="response")
    assert odds.columns[0] == "odds_ratio"
    for column, of in (("odds_ratio", "estimate"), ("lower", "lower"), ("upper", "upper")):
        np.testing.assert_allclose(odds[column], np.exp(table[of]), rtol=1e-12)
    np.testing.assert_allclose(odds["se"], np.exp(table["estimate"]) * table["se"], rtol=1e-12)
    pd.testing.assert_frame_equal(odds[["z", "p"]], table[["z", "p"]])
    assert glmm_fit("quine_pois").coefficients(scale="response").columns[0] == "rate_ratio"
    assert glmm_fit("quine_nb2").coefficients(scale="response").columns[0] == "rate_ratio"
    assert glmm_fit("pos_gamma").coefficients(scale="response").columns[0] == "mean_ratio"


def test_a_contrast_is_its_quadratic_form_and_a_joint_one_a_chi_square() -> None:
    fit = glmm_fit("cbpp_logit")
    L = np.array([[0.0, 1.0, -1.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
    beta, V = fit.beta.to_numpy(), fit.beta_cov.to_numpy()
    rows, joint = fit.contrast(L, rhs=[0.1, 0.0]), fit.contrast(L, rhs=[0.1, 0.0], joint=True)
    np.testing.assert_allclose(rows["estimate"], L @ beta - [0.1, 0.0], rtol=1e-12)
    np.testing.assert_allclose(rows["se"], np.sqrt(np.diag(L @ V @ L.T)), rtol=1e-9)
    d = L @ beta - [0.1, 0.0]
    chisq = float(d @ np.linalg.solve(L @ V @ L.T, d))
    assert joint.columns.tolist() == ["chisq", "df", "p"]
    assert joint.to_numpy()[0] == pytest.approx([chisq, 2, chi2.sf(chisq, 2)], rel=1e-9)
    text = fit.test("period2 - period3 = 0.1, period3 = period4")
    assert text.to_numpy()[0] == pytest.approx(joint.to_numpy()[0], rel=1e-9)
    one = fit.test("period2 - period3 = 0.1")
    np.testing.assert_allclose(one.to_numpy()[0], rows.to_numpy()[0], rtol=1e-9)
    assert fit.contrast({"period2": 1.0}, scale="response").columns[0] == "odds_ratio"


def test_a_likelihood_ratio_is_twice_the_difference_of_log_likelihoods() -> None:
    data = glmm_case("cbpp_logit").data
    large = glmm_fit("cbpp_logit")
    small = mme.glmer("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", data)
    table = mme.anova(large, small)
    assert table["npar"].tolist() == [2, 5]
    assert table["chisq"].iloc[1] == pytest.approx(2.0 * (large.loglik - small.loglik), rel=1e-12)
    assert table["p"].iloc[1] == pytest.approx(chi2.sf(table["chisq"].iloc[1], 3), rel=1e-12)


def test_a_variance_more_is_compared_with_the_mixture_on_the_boundary() -> None:
    data = glmm_case("cross_logit").data
    small = mme.glmer("y ~ x + z + (1 | a) + (1 | b)", data)
    large = glmm_fit("cross_logit")
    table = mme.anova(small, large, boundary=True)
    t = 2.0 * (large.loglik - small.loglik)
    assert table["reference"].tolist() == ["", "0.5 chi2(1) + 0.5 chi2(2)"]
    assert table["p"].iloc[1] == pytest.approx(0.5 * (chi2.sf(t, 1) + chi2.sf(t, 2)), rel=1e-9)
    assert mme.variance_test(large, small).p == pytest.approx(table["p"].iloc[1], rel=1e-12)


def test_fits_whose_likelihoods_are_not_comparable_are_refused_with_the_reason() -> None:
    data = glmm_case("cbpp_logit").data
    fit = glmm_fit("cbpp_logit")
    linear = mme.lmer("incidence ~ period + (1 | herd)", data, method="ML")
    counts = mme.glmer("incidence ~ period + (1 | herd)", data, "poisson")
    fewer = mme.glmer("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", data.iloc[1:])
    trials = mme.glmer("cbind(incidence, 2 * size - incidence) ~ 1 + (1 | herd)", data)
    proportions = mme.glmer("I(incidence / size) ~ 1 + (1 | herd)", data, weights="size")
    doubled = mme.glmer("I(incidence / size) ~ 1 + (1 | herd)", data, weights=2 * data["size"])
    finer = mme.glmer("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", data, n_agq=5)
    for other, why in (
        (finer, "n_agq=1 and n_agq=5"),
        (linear, "of linear and of generalised"),
        (counts, "do not share their records"),
        (fewer, "do not share their records"),
        (trials, "do not share their records"),
    ):
        with pytest.raises(mme.MMEError, match=why):
            mme.anova(fit, other)
    with pytest.raises(mme.MMEError, match="different numbers of trials"):
        mme.anova(proportions, doubled)
    with pytest.raises(mme.MMEError, match="restricted likelihood"):
        mme.exact_rlrt(fit)
    with pytest.raises(mme.MMEError, match="without the variance"):
        mme.variance_test(fit)


def test_fits_of_different_families_are_refused_and_sent_to_their_aic() -> None:
    counts = pd.DataFrame({"y": [0, 1, 1, 0, 1, 1, 0, 0], "g": [1, 1, 2, 2, 3, 3, 4, 4]})
    binary, poisson = (mme.glmer("y ~ 1 + (1 | g)", counts, family) for family in ("binomial", "poisson"))
    with pytest.raises(mme.MMEError, match=r"different families.*compare their aic"):
        mme.anova(binary, poisson)


def test_words_of_linear_models_are_refused_with_the_reason() -> None:
    fit = glmm_fit("cbpp_logit")
    for ask in (fit.coefficients, fit.anova):
        with pytest.raises(mme.MMEError, match="by the normal distribution"):
            ask("kenward-roger")
    with pytest.raises(mme.MMEError, match="scale must be"):
        fit.means("period", scale="probability")
    with pytest.raises(mme.MMEError, match="adjust must be"):
        fit.means("period", pairs=True, adjust="duncan")


def test_a_column_that_others_determine_leaves_tests_and_means_as_they_are() -> None:
    case = glmm_case("schizo")
    data = case.data.assign(twice=2.0 * case.data["month"])
    fit, plain = mme.glmer("y ~ onset * month + twice + (1 | subject)", data), glmm_fit("schizo")
    assert fit.dropped == ("twice",)
    near(fit.coefficients(), plain.coefficients())
    near(fit.means("onset"), plain.means("onset"))
    with pytest.raises(mme.MMEError, match="cannot be estimated"):
        fit.contrast({"twice": 1.0})
    with pytest.warns(mme.MMEWarning, match="No test of twice"):
        table = fit.anova(type=2)
    assert "twice" not in table.index


def test_one_coefficient_and_a_singular_fit_have_their_tables() -> None:
    fit = glmm_fit("singular_logit")
    assert np.isfinite(fit.coefficients().to_numpy()).all()
    known = glmm_case("singular_logit").json["laplace"]
    near(fit.coefficients()["se"], known["se_hessian"])
    alone = mme.glmer("y ~ 1 + (1 | g)", glmm_case("singular_logit").data)
    assert alone.coefficients().shape == (1, 6)
    assert alone.anova().empty
    assert mme.glmer("y ~ 0 + x + (1 | g)", glmm_case("singular_logit").data).anova().index.tolist() == ["x"]


def test_pairs_of_a_cloglog_link_are_hazard_ratios_and_those_of_a_probit_differences_of_probabilities() -> None:
    fit = glmm_fit("cbpp_cloglog")
    ratios, pairs = (fit.means("period", pairs=True, scale=scale) for scale in ("response", "link"))
    np.testing.assert_allclose(ratios["hazard_ratio"], np.exp(pairs["estimate"]), rtol=1e-12)
    probit = glmm_fit("cbpp_probit")
    means, found = (probit.means("period", pairs=how, scale="response") for how in (False, True))
    known = norm.cdf(probit.means("period")["mean"])
    np.testing.assert_allclose(means["mean"], known, rtol=1e-12)
    np.testing.assert_allclose(found["estimate"]["1 - 2"], known[0] - known[1], rtol=1e-10)


def test_a_difference_of_means_without_a_ratio_is_on_the_scale_of_the_response() -> None:
    data = pd.DataFrame({"g": np.repeat(np.arange(8), 6), "f": ["a", "b", "c"] * 16})
    rng = np.random.default_rng(4)
    data["y"] = rng.poisson(np.exp(0.8 + 0.5 * (data["f"] == "b") + rng.normal(size=8)[data["g"]]))
    fit = mme.glmer("y ~ f + (1 | g)", data, mme.Poisson(link="sqrt"))
    means, pairs = fit.means("f", scale="response"), fit.means("f", pairs=True, scale="response", adjust="none")
    assert pairs.columns[0] == "estimate"
    np.testing.assert_allclose(pairs["estimate"]["a - b"], means["mean"]["a"] - means["mean"]["b"], rtol=1e-12)
    L = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    slope = 2.0 * (L @ fit.beta)
    c = slope[0] * L[0] - slope[1] * L[1]
    np.testing.assert_allclose(pairs["se"]["a - b"], np.sqrt(c @ fit.beta_cov.to_numpy() @ c), rtol=1e-9)
    with pytest.raises(mme.MMEError, match="no ratios"):
        fit.coefficients(scale="response")


def test_empty_cells_are_told_as_of_linear_models_and_make_the_same_hypotheses() -> None:
    rng = np.random.default_rng(8)
    data = pd.DataFrame(
        {"a": rng.choice(["p", "q", "r"], 240), "b": rng.choice(["u", "v"], 240), "g": np.arange(240) % 12}
    )
    data = data[(data["a"] != "r") | (data["b"] != "v")]
    data["y"] = rng.poisson(np.exp(0.5 + 0.4 * (data["a"] == "q") + 0.3 * rng.standard_normal(12)[data["g"]]))
    fit = mme.glmer("y ~ a * b + (1 | g)", data, "poisson")
    linear = mme.lmer("y ~ a * b + (1 | g)", data)
    with pytest.warns(mme.MMEWarning, match="No records in ar:bv"):
        table = fit.anova()
    with pytest.warns(mme.MMEWarning, match="No records in ar:bv"):
        known = linear.anova()
    assert table.attrs["note"] == known.attrs["note"]
    assert table["df"].tolist() == known["num_df"].tolist()
    means = fit.means(["a", "b"])
    assert np.isnan(means.loc[("r", "v")]).all()
    assert np.isfinite(means.drop(("r", "v")).to_numpy()).all()
    pairs = fit.means("a", by="b", pairs=True, scale="response")
    assert np.isnan(pairs.loc[("v", "p - r")]).all()
    assert np.isfinite(pairs.loc[("u", "p - r")]).all()


def test_beside_one_variance_too_many_standard_errors_are_those_without_it() -> None:
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"g": np.repeat(np.arange(25), 6), "f": ["a", "b"] * 75})
    b = 0.5 * rng.standard_normal((25, 1)) + 0.4 * rng.standard_normal((25, 2))
    data["y"] = rng.poisson(np.exp(1.5 + b[data["g"], (data["f"] == "b").to_numpy(dtype=int)]))
    fit = mme.glmer("y ~ f + (1 | g) + (0 + f | g)", data, "poisson")
    assert fit.optimum.verdict == "flat"
    assert "(Intercept) by g is held at zero" in str(fit)
    without = mme.glmer("y ~ f + (0 + f | g)", data, "poisson")
    np.testing.assert_allclose(fit.coefficients(), without.coefficients(), rtol=1e-6)


def test_where_the_hessian_is_not_positive_definite_theta_is_held_and_a_warning_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = glmm_case("cbpp_cloglog").fit()
    monkeypatch.setitem(vars(fit.internals.estimates), "parameter_cov", None)
    with pytest.warns(mme.MMEWarning, match="not positive definite") as told:
        table = fit.coefficients()
    assert told[0].filename == __file__
    np.testing.assert_allclose(table["se"], fit.coefficients("rx")["se"], rtol=1e-12)


def test_fits_by_arrays_have_tables_but_no_factors() -> None:
    rng = np.random.default_rng(2)
    X = np.column_stack([np.ones(60), rng.standard_normal(60)])
    fit = mme.glm_fit(rng.poisson(2.0, 60), X, [mme.Term(np.arange(60) % 10)], "poisson")
    assert fit.anova().index.tolist() == list(fit.fixed_names)
    assert fit.test(f"{fit.fixed_names[1]} = 0").shape == (1, 6)
    with pytest.raises(mme.MMEError, match="by formula"):
        fit.means("x")


def test_what_has_no_limit_has_infinite_errors_and_the_rest_those_of_the_limit() -> None:
    case = glmm_case("sep_quasi")  # where f2 is hi all are successes
    with pytest.warns(mme.MMEWarning, match="no finite maximum"):
        fit = case.fit()
    table = fit.coefficients()
    assert np.isinf(table["se"]).all()
    assert (table["p"] == 1.0).all()
    assert table[["lower", "upper"]].to_numpy().tolist() == [[-np.inf, np.inf]] * 2
    assert np.isinf(fit.coefficients(scale="response")["upper"]).all()
    # the records of lo alone are the model that is left
    rest = mme.glmer("y2 ~ 1 + (1 | g)", case.data[case.data["f2"] == "lo"])
    known = rest.coefficients().loc["(Intercept)"]
    for random in (False, "average"):
        means = fit.means("f2", random=random)
        assert np.isinf(means.loc["hi", "se"])
        assert np.isfinite(means.loc["lo"]).all()
    lo = fit.means("f2").loc["lo"]
    np.testing.assert_allclose(lo["mean"], known["estimate"], rtol=1e-4)
    np.testing.assert_allclose(lo["se"], known["se"], rtol=1e-3)
    assert fit.means("f2", scale="response").loc["hi", ["lower", "upper"]].tolist() == pytest.approx([0.0, 1.0])
    assert np.isinf(fit.means("f2", pairs=True)["se"]).all()
    assert fit.anova()["df"].tolist() == [0]
    joint = fit.contrast(np.array([[1.0, 1.0], [0.0, 1.0]]), joint=True)
    assert joint.to_numpy()[0] == pytest.approx(
        [lo["mean"] ** 2 / lo["se"] ** 2, 1, fit.contrast([1.0, 1.0])["p"].iloc[0]]
    )


@pytest.mark.parametrize("link", ["inverse", "1/mu^2", "identity"])
def test_means_by_links_of_a_positive_eta_are_on_the_scale_of_the_response_too(link: str) -> None:
    rng = np.random.default_rng(4)
    g, k = np.repeat(np.arange(8), 6), np.tile(list("abc"), 16)
    data = {"y": rng.wald(1.0 + (k == "b"), 20.0), "g": g, "k": k}
    fit = mme.glmer("y ~ k + (1 | g)", data, mme.InverseGaussian(link=link))
    eta, mean = fit.means("k"), fit.means("k", scale="response")
    back = {"inverse": lambda one: 1.0 / one, "1/mu^2": lambda one: one**-0.5, "identity": lambda one: one}[link]
    np.testing.assert_allclose(mean["mean"], back(eta["mean"]), rtol=1e-12)
    apart = fit.means("k", pairs=True, scale="response")["estimate"]
    assert apart.iloc[0] == pytest.approx(mean["mean"].iloc[0] - mean["mean"].iloc[1])


def test_joint_tests_are_those_of_emmeans() -> None:
    """F of emmeans 1.8 ``joint_tests`` of glmmTMB's fit, three decimals."""
    fit = glmm_fit("owls_pois")
    assert fit.joint_tests()["chisq"].round(3).tolist() == [257.505, 0.606, 3.474]
    simple = fit.joint_tests(by="SexParent")
    assert simple["chisq"].round(3).tolist() == [136.591, 135.069]
    assert simple.index.tolist() == [("Female", "FoodTreatment"), ("Male", "FoodTreatment")]
    rx = fit.joint_tests(se="rx")["chisq"]
    np.testing.assert_allclose(rx, fit.anova("rx")["chisq"], rtol=1e-9)
