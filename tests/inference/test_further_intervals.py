"""Intervals of variances by Wald's method, profiles of variances, and inflation by collinear terms."""

import numpy as np
import pytest

import mme


@pytest.fixture(scope="module")
def fit():
    return mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))


def test_wald_intervals_of_variances_are_those_of_the_tidy_table(fit):
    table = fit.confint(variances=True)
    tidy = fit.tidy("variance")
    assert table.index.tolist()[:4] == [
        "sd_(Intercept)|Subject",
        "cor_Days.(Intercept)|Subject",
        "sd_Days|Subject",
        "sigma",
    ]
    ours = table.iloc[[0, 2, 1, 3]]
    np.testing.assert_allclose(ours[["lower", "upper"]], tidy[["lower", "upper"]], rtol=1e-6)
    np.testing.assert_allclose(table.iloc[4:], fit.confint())


def test_on_the_scale_of_variances_limits_are_squares(fit):
    sd, variance = fit.confint(variances=True), fit.confint(variances=True, scale="variance")
    assert variance.index.tolist()[:4] == [
        "var_(Intercept)|Subject",
        "cor_Days.(Intercept)|Subject",
        "var_Days|Subject",
        "sigma2",
    ]
    np.testing.assert_allclose(variance.iloc[[0, 2, 3]], sd.iloc[[0, 2, 3]] ** 2)
    np.testing.assert_allclose(variance.iloc[[1, 4, 5]], sd.iloc[[1, 4, 5]])
    with pytest.raises(mme.MMEError, match="scale must be 'sd' or 'variance'"):
        fit.confint(scale="log")


def test_a_profile_of_variances_is_that_of_standard_deviations_at_their_squares():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff"))
    sd, variance = fit.profile(), fit.profile(scale="variance")
    # lme4 1.1-31: confint(profile(fit, prof.scale = "varcov")) squares confint(profile(fit))
    np.testing.assert_allclose(variance.confint().iloc[:2], sd.confint().iloc[:2] ** 2)
    curve = variance.curves["var_(Intercept)|Batch"]
    np.testing.assert_array_equal(curve.zeta, sd.curves["sd_(Intercept)|Batch"].zeta)
    assert fit.confint("profile", scale="variance").index.tolist()[:2] == ["var_(Intercept)|Batch", "sigma2"]


def test_inflation_of_one_column_is_one_over_one_less_r_squared():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, 3)) @ np.array([[1, 0.8, 0], [0, 1, 0.5], [0, 0, 1.0]])
    data = {"y": rng.normal(size=200), "a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "f": np.resize(list("pqr"), 200)}
    table = mme.lm("y ~ a + b + c", data).vif()
    for k, name in enumerate("abc"):
        others = np.column_stack([np.ones(200), np.delete(x, k, axis=1)])
        left = x[:, k] - others @ np.linalg.lstsq(others, x[:, k], rcond=None)[0]
        expected = np.var(x[:, k]) * 200 / (left @ left)
        assert table.loc[name, "vif"] == pytest.approx(expected, rel=1e-9)
        assert table.loc[name, "per_df"] == pytest.approx(np.sqrt(expected), rel=1e-9)
    several = mme.lm("y ~ a + f", data).vif()
    assert several["df"].tolist() == [1, 2]
    assert several["vif"].nunique() == 1  # of two terms both are det R_1 det R_2 / det R
    np.testing.assert_allclose(several["per_df"], several["vif"] ** [1 / 2, 1 / 4], rtol=1e-12)
    with pytest.raises(mme.MMEError, match="no two beside the intercept"):
        mme.lm("y ~ a", data).vif()


def test_random_effects_alone_are_what_the_whole_has_beyond_the_fixed_part(fit):
    whole, population = fit.predict(), fit.predict(random=False)
    np.testing.assert_allclose(fit.predict(fixed=False), whole - population, atol=1e-9)
    new = {"Days": [0, 10], "Subject": ["308", "308"]}
    part = fit.predict(new, fixed=False, random="Subject.Days")
    np.testing.assert_allclose(part, [0.0, 10 * fit.ranef()["Subject"].loc["308", "Days"]], atol=1e-9)
    table = fit.predict(new, fixed=False, interval="confidence")
    pev = fit.pev()["Subject"][0]
    z = np.array([[1.0, 0.0], [1.0, 10.0]])
    np.testing.assert_allclose(table["se"] ** 2, np.einsum("ia,ab,ib->i", z, pev, z), rtol=1e-8)


def test_simulations_of_new_rows_have_the_variances_of_the_model(fit):
    new = {"Days": [0.0, 0.0, 9.0], "Subject": ["a", "b", "a"]}
    draws = np.asarray(fit.simulate(20_000, seed=1, newdata=new))
    G, s2 = fit.varcorr["Subject"].cov, fit.sigma**2
    np.testing.assert_allclose(draws.mean(axis=1), fit.predict(new, random=False), rtol=0.01)
    V = np.cov(draws)
    z = np.array([1.0, 9.0])
    assert V[0, 0] == pytest.approx(G[0, 0] + s2, rel=0.04)
    assert V[2, 2] == pytest.approx(z @ G @ z + s2, rel=0.04)
    assert V[0, 2] == pytest.approx(G[0] @ z, rel=0.1)
    assert V[0, 1] == pytest.approx(0.0, abs=40.0)
    kept = np.asarray(fit.simulate(4000, seed=2, newdata={"Days": [9.0], "Subject": ["308"]}, random="fitted"))
    assert kept.mean() == pytest.approx(fit.predict({"Days": [9.0], "Subject": ["308"]})[0], rel=0.01)
    assert kept.var() == pytest.approx(s2, rel=0.06)
    own = np.asarray(fit.simulate(500, seed=3, random="fitted"))
    np.testing.assert_allclose(own.mean(axis=1), fit.fitted, atol=6.0)
    with pytest.raises(mme.MMEError, match="random must be 'new'"):
        fit.simulate(random="old")
