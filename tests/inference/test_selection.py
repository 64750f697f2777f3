"""Models with a term less: update, ranova, drop1 and step as lmerTest and lme4 have them, and least squares."""

import warnings

import numpy as np
import pytest
from scipy.stats import chi2

import mme


@pytest.fixture(scope="module")
def sleep():
    return mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))


@pytest.fixture(scope="module")
def oats():
    return mme.lmer("yield ~ nitro * Variety + (1 | Block/Variety)", mme.load("Oats"))


# lmerTest 3.1-3 in R 4.2.2: ranova(fit), as npar, logLik, LRT, Df, p.
RANOVA = {
    "sleep": {"Days in (Days | Subject)": (4, -893.2325, 42.83681, 2, 4.99e-10)},
    "uncorrelated": {
        "(1 | Subject)": (4, -883.2625, 22.85573, 1, 1.7463e-06),
        "Days in (0 + Days | Subject)": (4, -893.2325, 42.79579, 1, 6.0763e-11),
    },
    "oats": {
        "(1 | Variety:Block)": (8, -285.9651, 8.692947, 1, 0.0031944),
        "(1 | Block)": (8, -284.1077, 4.978204, 1, 0.0256686),
    },
    "machines": {"Machine in (Machine | Worker)": (5, -143.4391, 78.56698, 5, 1.6732e-15)},
}


@pytest.mark.parametrize("name", RANOVA)
def test_ranova_is_that_of_lmertest(name, sleep, oats):
    fit = {"sleep": sleep, "oats": oats}.get(name)
    if name == "uncorrelated":
        fit = sleep.update("~ Days + (Days || Subject)")
    if name == "machines":
        fit = mme.lmer("score ~ Machine + (Machine | Worker)", mme.load("Machines"))
    table = fit.ranova()
    assert table.index.tolist() == ["<none>", *RANOVA[name]]
    assert table["loglik"].iloc[0] == pytest.approx(fit.loglik)
    for label, (npar, loglik, lrt, df, p) in RANOVA[name].items():
        row = table.loc[label]
        assert (row["npar"], row["df"]) == (npar, df)
        assert row["loglik"] == pytest.approx(loglik, abs=1e-4)
        assert row["lrt"] == pytest.approx(lrt, rel=1e-5)
        assert row["p"] == pytest.approx(p, rel=1e-4)


@pytest.mark.parametrize("x", ["scale(Days)", "poly(Days, 2)"])
def test_models_with_a_term_less_keep_what_transforms_learned_of_all_rows(x):
    """The REML criterion has the units of X: a mean or basis of other rows would change it."""
    data = mme.load("sleepstudy").assign(z=lambda one: (one.Days % 3).where(one.Days < 9))
    data.loc[::7, "Reaction"] = np.nan
    fit = mme.lmer(f"Reaction ~ {x} + z + (Days | Subject)", data)
    direct = mme.lmer(f"Reaction ~ {x} + z + (1 | Subject)", data)
    for table in (fit.ranova(), mme.lmer(fit.formula, [data[:50], data[50:]]).ranova()):
        assert table["lrt"].iloc[1] == pytest.approx(direct.criterion - fit.criterion, rel=1e-6)
        assert 0.0 < table["p_boundary"].iloc[1] < table["p"].iloc[1]
    less = mme.lmer(f"Reaction ~ {x} + (Days | Subject)", data.assign(Reaction=data.Reaction.where(data.z.notna())))
    ml = less.update("~ .", method="ML").criterion - fit.update("~ .", method="ML").criterion
    assert fit.drop1(test="lrt").loc["z", "lrt"] == pytest.approx(ml, rel=1e-6)


def test_ranova_counts_the_boundary_in_a_column_of_its_own(sleep, oats):
    one = oats.ranova().loc["(1 | Block)"]
    assert one["p_boundary"] == pytest.approx(one["p"] / 2)
    pair = sleep.ranova().iloc[1]
    assert pair["p_boundary"] == pytest.approx((chi2.sf(pair["lrt"], 1) + chi2.sf(pair["lrt"], 2)) / 2)
    assert pair["reference"] == "0.5 chi2(1) + 0.5 chi2(2)"


def test_the_only_random_term_is_tested_against_least_squares():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    # lmerTest 3.1-3: ranova(lmer(Yield ~ 1 + (1 | Batch), Dyestuff))
    row = fit.ranova().loc["(1 | Batch)"]
    assert row["lrt"] == pytest.approx(mme.variance_test(fit).statistic)
    assert row["p_boundary"] == pytest.approx(mme.variance_test(fit).p)


def test_drop1_by_F_is_that_of_lmertest(oats):
    # drop1(fit) of lmerTest 3.1-3, with and without the interaction
    table = oats.drop1()
    assert table.index.tolist() == ["nitro:Variety"]
    assert table[["sum_sq", "num_df", "den_df", "F", "p"]].iloc[0].tolist() == pytest.approx(
        [168.35, 2, 51, 0.49881, 0.61018], rel=1e-4
    )
    table = oats.update("~ . - nitro:Variety").drop1()
    assert table["F"].tolist() == pytest.approx([118.00309, 1.48533], rel=1e-4)
    assert table["p"].tolist() == pytest.approx([4.3006e-15, 0.27239], rel=1e-3)


def test_drop1_by_likelihood_ratio_is_that_of_lme4(oats):
    # drop1(update(fit, REML = FALSE), ddf = "lme4", test = "Chisq") of lme4 1.1-31
    table = oats.drop1("LRT")
    assert table["aic"].tolist() == pytest.approx([618.0616, 615.1077], abs=1e-3)
    assert table["lrt"].iloc[1] == pytest.approx(1.046115, rel=1e-4)
    table = oats.update("~ . - nitro:Variety").drop1("LRT")
    assert table["lrt"].iloc[1:].tolist() == pytest.approx([63.26495, 3.12128], rel=1e-4)
    assert table["p"].iloc[1:].tolist() == pytest.approx([1.8069e-15, 0.21], rel=1e-3)


def test_drop1_of_a_generalised_model_is_by_likelihood_ratio():
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"))
    # drop1(glmer(...), test = "Chisq") of lme4 1.1-31: AIC 219.74 without period, 194.05 with
    table = fit.drop1()
    assert table["aic"].iloc[0] == pytest.approx(fit.aic)
    null = fit.update("~ . - period")
    assert table["lrt"].iloc[1] == pytest.approx(null.criterion - fit.criterion)
    with pytest.raises(mme.MMEError, match="test='LRT'"):
        fit.drop1("F")


def test_step_leaves_out_what_lmertest_leaves_out(oats):
    with pytest.warns(mme.MMEWarning, match="chosen by its p-values"):
        found = oats.step()
    assert found.fit.formula == "yield ~ nitro + (1 | Block/Variety)"
    assert found.fixed["eliminated"].to_dict() == {"nitro:Variety": 1, "Variety": 2, "nitro": 0}
    assert found.fixed["F"].tolist() == pytest.approx([0.49881, 1.48533, 118.00256], rel=1e-4)
    assert found.random["eliminated"].iloc[1:].tolist() == [0, 0]
    assert "Left: yield ~ nitro + (1 | Block/Variety)" in repr(found)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert oats.step(alpha_random=1, alpha_fixed=1).fit is oats
    with pytest.warns(mme.MMEWarning):
        assert oats.step(keep="Variety").fit.fixed_names == (
            "(Intercept)",
            "nitro",
            "VarietyMarvellous",
            "VarietyVictory",
        )
    with pytest.raises(mme.MMEError, match="'nitre' is no term"):
        oats.step(keep="nitre")


def test_step_goes_on_to_least_squares():
    data = mme.load("sleepstudy").assign(noise=np.sin(np.arange(180.0) ** 2))
    data["Reaction"] = 250.0 + 10.0 * data["Days"] + 20.0 * np.cos(np.arange(180.0) ** 2)
    with pytest.warns(mme.MMEWarning, match="chosen"):
        found = mme.lmer("Reaction ~ Days + noise + (1 | Subject)", data).step()
    assert found.fit.formula == "Reaction ~ Days"
    assert found.random["eliminated"].iloc[1] == 1


# -- update ------------------------------------------------------------------------------------------------------------


def test_an_updated_fit_is_the_fit_of_the_new_formula(sleep):
    data = mme.load("sleepstudy")
    fit = sleep.update("~ . + I(Days^2)", method="ML")
    again = mme.lmer("Reaction ~ Days + I(Days^2) + (Days | Subject)", data, method="ML")
    assert fit.criterion == pytest.approx(again.criterion, rel=1e-12)
    assert (fit.method, sleep.method) == ("ML", "REML")
    assert sleep.update(REML=False).criterion == pytest.approx(sleep.update(method="ML").criterion)
    assert sleep.update("log(.) ~ .").internals.model.response == "log(Reaction)"
    assert sleep.update("~ . - (Days | Subject) + (1 | Subject)").formula == "Reaction ~ Days + (1 | Subject)"
    assert sleep.update(subset="Days < 5").nobs == 90
    assert sleep.update("~ .", data=data[data["Days"] < 3]).nobs == 54


def test_update_keeps_arguments_and_leaves_out_contrasts_of_absent_factors():
    data = mme.load("Oats").assign(w=1.0 + np.arange(72) % 3)
    fit = mme.lmer("yield ~ nitro + Variety + (1 | Block)", data, weights="w", contrasts={"Variety": "sum"})
    assert fit.update("~ . - nitro").fixed_names == ("(Intercept)", "Variety1", "Variety2")
    less = fit.update("~ . - Variety")
    assert less.internals.model.weights is not None
    assert fit.drop1("LRT").index.tolist() == ["<none>", "nitro", "Variety"]


def test_what_cannot_be_updated_says_why(sleep, tmp_path):
    with pytest.warns(mme.MMEWarning, match="no term q to leave out; the terms are Days, \\(Days \\| Subject\\)"):
        sleep.update("~ . - q")
    with pytest.raises(mme.MMEError, match="'wieghts' is no argument of the fit"):
        sleep.update(wieghts=1)
    sleep.save(tmp_path / "fit.mme")
    with pytest.raises(mme.MMEError, match="from a file"):
        mme.load_fit(tmp_path / "fit.mme").update("~ . - Days")
    with pytest.raises(mme.MMEError, match="random term stands alone"):
        sleep.update("~ .:Days")
    with pytest.raises(mme.MMEError, match="does not know its data"):
        sleep.refit(mme.load("sleepstudy")["Reaction"] * 2).update("~ 1")


def test_rows_stay_the_same_where_a_dropped_term_had_gaps():
    data = mme.load("sleepstudy").assign(x=np.where(np.arange(180) % 9 == 0, np.nan, np.arange(180.0)))
    fit = mme.lmer("Reaction ~ Days + x + (1 | Subject)", data, method="ML")
    table = fit.drop1("LRT")
    less = mme.lmer("Reaction ~ Days + (1 | Subject)", data[data["x"].notna()], method="ML")
    assert table.loc["x", "lrt"] == pytest.approx(less.criterion - fit.criterion, rel=1e-6)
    assert fit.update("~ . - x").nobs == 180  # as R does


# -- least squares -----------------------------------------------------------------------------------------------------


# R 4.2.2: summary(lm(yield ~ nitro + Variety, Oats)), logLik, AIC.
LM = {
    "estimate": [82.40000000000, 73.66666666667, 5.29166666667, -6.87500000000],
    "se": [5.48287738733, 11.19187660099, 6.13004327518, 6.13004327518],
    "t": [15.028605270379, 6.582155012336, 0.863234797721, -1.121525524598],
    "p": [2.67897868495e-23, 7.96051113801e-09, 3.91042895854e-01, 2.66009125428e-01],
    "sigma": 21.2350928104,
    "loglik": -320.113041169,
    "aic": 650.226082337,
}


def test_a_formula_without_bars_is_least_squares():
    data = mme.load("Oats")
    for fit in (mme.lm("yield ~ nitro + Variety", data), mme.lmer("yield ~ nitro + Variety", data)):
        table = fit.coefficients()
        assert fit.sigma == pytest.approx(LM["sigma"], rel=1e-9)
        for column in ("estimate", "se", "t", "p"):
            assert table[column].tolist() == pytest.approx(LM[column], rel=1e-8)
        assert table["df"].tolist() == [68.0] * 4
        assert fit.summary().startswith("Linear model fit by least squares (REML)\n")
        assert "Random effects" not in fit.summary()
    ml = mme.lm("yield ~ nitro + Variety", data, method="ML")
    assert (ml.loglik, ml.aic) == pytest.approx((LM["loglik"], LM["aic"]), rel=1e-9)
    with pytest.raises(mme.MMEError, match=r"has random terms: fit it by mme.lmer"):
        mme.lm("yield ~ nitro + (1 | Block)", data)


def test_least_squares_is_compared_by_the_method_of_the_others(sleep):
    least = mme.lm("Reaction ~ Days", mme.load("sleepstudy"))
    by_reml = mme.anova(least, sleep)
    assert by_reml["chisq"].iloc[1] == pytest.approx(least.criterion - sleep.criterion)
    ml = sleep.update(method="ML")
    by_ml = mme.anova(ml, least)
    assert by_ml["chisq"].iloc[1] == pytest.approx(least.update(method="ML").criterion - ml.criterion)
    null = mme.anova(ml, mme.lm("Reaction ~ 1", mme.load("sleepstudy")))
    assert null["df"].iloc[1] == 4


def test_anova_of_one_fit_is_the_table_of_its_terms(oats):
    assert mme.anova(oats).equals(oats.anova())


def test_ranova_of_one_random_term_of_a_generalised_model_is_against_the_model_without():
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"))
    # R 4.2.2: -2 logLik(glm(..., binomial)) is 198.058399
    row = fit.ranova().loc["(1 | herd)"]
    assert row["npar"] == 4
    assert -2.0 * row["loglik"] == pytest.approx(198.058399, abs=1e-6)
    assert row["aic"] == pytest.approx(198.058399 + 2.0 * 4, abs=1e-6)
    assert row["lrt"] == pytest.approx(-2.0 * row["loglik"] - fit.criterion, abs=1e-9)
    assert row["p_boundary"] == pytest.approx(0.5 * row["p"], rel=1e-9)
    assert row["reference"] == "0.5 chi2(0) + 0.5 chi2(1)"
    held = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), theta=[0.0])
    assert -2.0 * row["loglik"] == pytest.approx(held.criterion, abs=1e-8)


def test_a_dispersion_counts_in_the_model_without_random_effects():
    rng = np.random.default_rng(3)
    data = {"x": rng.normal(size=60), "g": np.repeat(np.arange(12), 5)}
    data["y"] = rng.gamma(3.0, np.exp(0.3 * data["x"] + 0.4 * rng.normal(size=12)[data["g"]]))
    table = mme.glmer("y ~ x + (1 | g)", data, mme.Gamma(link="log")).ranova()
    assert table["npar"].tolist() == [4, 3]  # two effects, the dispersion, and the variance of g


def test_step_leaves_a_generalised_model_its_last_random_term():
    data = {"y": [1, 0, 2, 1, 0, 1, 1, 2, 0, 1, 2, 0], "g": [1, 2, 3, 4] * 3, "x": [0.0, 1.0, 2.0] * 4}
    left = mme.glmer("y ~ x + (1 | g)", data, "poisson")
    with pytest.warns(mme.MMEWarning, match="chosen by its p-values"):
        assert left.step().fit.formula == "y ~ 1 + (1 | g)"
