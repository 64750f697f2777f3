"""What goes and what stays, one step after another: by alpha, by what is kept, and where there is nothing to test."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, poisson

import mme

RNG = np.random.default_rng(6)
N = 96
DATA = pd.DataFrame(
    {"g": np.arange(N) % 8, "h": np.arange(N) // 8 % 6, "x": RNG.normal(size=N), "z": RNG.normal(size=N)}
)
DATA["y"] = DATA["x"] + 1.5 * RNG.normal(size=8)[DATA["g"]] + RNG.normal(size=N)
DATA["noise"] = RNG.normal(size=N)
DATA["count"] = RNG.poisson(np.exp(0.5 * DATA["x"] + 0.5 * RNG.normal(size=8)[DATA["g"]]))


@pytest.fixture(scope="module")
def noise() -> mme.Fit:
    return mme.lmer("noise ~ x + z + (1 | g) + (1 | h)", DATA)


def test_random_and_fixed_terms_go_by_their_own_alpha(noise):
    with pytest.warns(mme.MMEWarning, match="chosen by its p-values"):
        assert noise.step(alpha_random=1.0, alpha_fixed=0.0).fit.formula == "noise ~ 1 + (1 | g) + (1 | h)"
    with pytest.warns(mme.MMEWarning, match="chosen by its p-values"):
        assert noise.step(alpha_random=0.0, alpha_fixed=1.0).fit.formula == "noise ~ x + z"
    with pytest.warns(mme.MMEWarning, match="chosen by its p-values"):
        assert noise.step(alpha_random=1.0, alpha_fixed=0.0, keep=["x"]).fit.fixed_names == ("(Intercept)", "x")


def test_the_steps_are_numbered_in_their_order_and_what_stays_is_zero(noise):
    with pytest.warns(mme.MMEWarning):
        found = noise.step(alpha_random=0.0, alpha_fixed=0.0)
    for table, first in ((found.random, noise.ranova().iloc[1:]), (found.fixed, noise.drop1())):
        steps = table["eliminated"].dropna()
        assert steps.tolist() == [1.0, 2.0]
        assert steps.index[0] == first["p"].idxmax()
        assert table.columns.tolist() == ["eliminated", *first.columns]
    assert found.random.index.tolist()[0] == "<none>"
    assert np.isnan(found.random["eliminated"].iloc[0])
    with pytest.warns(mme.MMEWarning):
        left = noise.step(alpha_random=0.0, alpha_fixed=1.0)
    assert left.fixed["eliminated"].tolist() == [0.0, 0.0]
    assert left.fixed.index.tolist() == ["x", "z"]


def test_a_term_goes_where_its_p_is_larger_than_alpha():
    fit = mme.lmer("y ~ x + z + (1 | g)", DATA)
    p = float(fit.drop1().loc["z", "p"])
    assert fit.step(alpha_random=1.0, alpha_fixed=p).fit is fit
    with pytest.warns(mme.MMEWarning):
        assert fit.step(alpha_random=1.0, alpha_fixed=float(np.nextafter(p, 0.0))).fit.formula == "y ~ x + (1 | g)"


def test_a_random_term_goes_where_its_p_is_larger_than_alpha():
    """A variance that is estimated as zero has a ratio of zero, of which p is one."""
    flat = DATA.assign(flat=DATA["z"] - DATA.groupby("h")["z"].transform("mean"))
    fit = mme.lmer("flat ~ 1 + (1 | h)", flat)
    assert fit.ranova()["p"].iloc[1] == 1.0
    assert fit.step(alpha_random=1.0, alpha_fixed=1.0).fit is fit
    with pytest.warns(mme.MMEWarning):
        assert fit.step(alpha_random=0.99, alpha_fixed=1.0).fit.formula == "flat ~ 1"


@pytest.mark.parametrize("name", ["alpha_random", "alpha_fixed"])
@pytest.mark.parametrize("alpha", [-0.01, 1.01, 1.5, float("nan")])
def test_an_alpha_is_a_share(noise, name, alpha):
    with pytest.raises(mme.MMEError, match=f"{name} must lie between 0 and 1"):
        noise.step(**{name: alpha})


def test_a_random_term_that_becomes_another_has_no_p_and_stays():
    """Without x, (0 + x | g) is (1 | g): as many parameters."""
    fit = mme.lmer("y ~ x + (0 + x | g)", DATA)
    row = fit.ranova().iloc[1]
    assert row["df"] == 0
    assert np.isnan(row["p"])
    found = fit.step(alpha_random=0.0, alpha_fixed=1.0)
    assert found.fit is fit
    assert found.random["eliminated"].tolist()[1:] == [0.0]


def test_a_fixed_term_whose_columns_others_have_has_no_p_and_stays():
    fit = mme.glmer("count ~ x + I(2 * x) + (1 | g)", DATA, "poisson")
    table = fit.drop1()
    assert table["df"].iloc[1:].tolist() == [0.0, 0.0]
    assert table["p"].isna().all()
    np.testing.assert_allclose(table["aic"], fit.aic, rtol=1e-8)
    assert fit.step(alpha_fixed=0.0).fit is fit


def test_F_of_a_term_left_out_is_that_of_the_residual_sums_of_squares_with_empty_cells_too():
    """F = (RSS_0 - RSS) / q / (RSS / (n - p)); no note tells of types of tests, of which it is none."""
    table = DATA.assign(f=np.array(list("abc"))[DATA["g"] % 3], k=np.array(list("pq"))[DATA["h"] // 3])
    table = table[(table["f"] != "a") | (table["k"] != "p")]
    whole = mme.lm("y ~ x + f * k", table)
    found, rss = whole.drop1(), (np.asarray(whole.residuals) ** 2).sum()
    assert found.index.tolist() == ["x", "f:k"]
    assert not found.attrs
    for left_out, formula in (("x", "y ~ f * k"), ("f:k", "y ~ x + f + k")):
        less = mme.lm(formula, table)
        df = len(whole.beta) - len(less.beta)
        gained = ((np.asarray(less.residuals) ** 2).sum() - rss) / df
        assert found.loc[left_out, "num_df"] == df
        assert found.loc[left_out, "F"] == pytest.approx(gained / (rss / (len(table) - len(whole.beta))), rel=1e-9)


@pytest.mark.parametrize("y", ["y", "noise"])
def test_ratios_of_terms_left_out_are_those_of_fits_by_maximum_likelihood(y):
    fit = mme.lmer(f"{y} ~ x + z + (1 | g)", DATA)
    table, whole = fit.drop1("LRT"), mme.lmer(f"{y} ~ x + z + (1 | g)", DATA, method="ML")
    assert table.index.tolist() == ["<none>", "x", "z"]
    assert table["aic"].iloc[0] == pytest.approx(whole.aic, rel=1e-9)
    for left_out, formula in (("x", f"{y} ~ z + (1 | g)"), ("z", f"{y} ~ x + (1 | g)")):
        less = mme.lmer(formula, DATA, method="ML")
        row = table.loc[left_out]
        assert row["lrt"] == pytest.approx(less.criterion - whole.criterion, rel=1e-6)
        assert row["df"] == 1.0
        assert row["p"] == pytest.approx(chi2.sf(row["lrt"], 1), rel=1e-12)
        assert row["aic"] == pytest.approx(less.aic, rel=1e-9)


def test_fits_of_arrays_have_no_terms_to_leave_out():
    fit = mme.fit(DATA["y"], np.ones((N, 1)), [mme.Term(DATA["g"])])
    with pytest.raises(mme.MMEError, match="ranova needs a fit by formula"):
        fit.ranova()
    with pytest.raises(mme.MMEError, match="drop1 needs a fit by formula"):
        fit.drop1()
    with pytest.raises(mme.MMEError, match="has none: it is fitted by least squares"):
        mme.lm("y ~ x", DATA).ranova()


@pytest.mark.parametrize("test", ["T", "f1", 3, ["F"]])
def test_a_test_of_terms_is_by_F_or_by_likelihood_ratio(test):
    with pytest.raises(mme.MMEError, match="test must be 'F' or 'LRT'"):
        mme.lmer("y ~ x + (1 | g)", DATA, theta=[1.0]).drop1(test)


# -- generalised models without random effects ------------------------------------------------------------------------


@pytest.mark.parametrize(("bars", "npar"), [("(1 | g)", 1), ("diag(1 | str(g, h))", 2)])
def test_several_variances_beside_none_have_no_reference_at_the_boundary(bars, npar):
    table = mme.glmer(f"count ~ x + {bars}", DATA, "poisson").ranova()
    row = table.iloc[1]
    assert row["df"] == npar
    assert row["p"] == pytest.approx(chi2.sf(row["lrt"], npar), rel=1e-12)
    assert np.isfinite(row["p_boundary"]) == (npar == 1)
    assert row["reference"] == ("0.5 chi2(0) + 0.5 chi2(1)" if npar == 1 else "")


def test_without_random_effects_the_likelihood_is_that_of_independent_counts():
    """At its maximum the scores X'(y - mu) are zero."""
    row = mme.glmer("count ~ 1 + (1 | g)", DATA, "poisson").ranova().iloc[1]
    y = DATA["count"].to_numpy()
    loglik = poisson.logpmf(y, y.mean()).sum()
    assert row["loglik"] == pytest.approx(loglik, rel=1e-9)
    assert row["aic"] == pytest.approx(-2.0 * loglik + 2.0, rel=1e-9)
    assert row["npar"] == 1
