"""What a fit with many fixed effects answers, beside the same fit with a dense X; and what it says it does not."""

import re

import numpy as np
import pandas as pd
import pytest

import mme
from mme.engine.objective import Objective
from mme.errors import MMEError, MMEWarning
from mme.inference.fixed.treatment import triangle_of
from mme.numeric.limits import Limits, within
from tests.counting import entered
from tests.wide import SPARSE, Records, sparse

FORMULA = "y ~ x + rater + factor(school) + (z || pupil)"
OVERLAPPING = "y ~ x + factor(school) + factor(school):z + (1 | pupil)"


def table(seed=0):
    records = Records(seed, schools=20)
    columns = {name: getattr(records, name) for name in ("y", "x", "z", "pupil")}
    return pd.DataFrame(columns | {"school": records.school + 2001, "rater": np.array(list("abcdefgh"))[records.rater]})


@pytest.fixture(scope="module", params=[FORMULA, OVERLAPPING])
def fits(request):
    data = table()
    dense = mme.lmer(request.param, data)
    with within(SPARSE):
        wide = mme.lmer(request.param, data, start=dense.theta)
    assert wide.model.is_wide
    return dense, wide, data


def close(one, other, tolerance):
    if isinstance(one, dict):
        for name in one:
            close(one[name], other[name], tolerance)
        return
    if isinstance(one, pd.DataFrame):
        assert list(one.columns) == list(other.columns)
        one, other = one.select_dtypes("number"), other.select_dtypes("number")
    left, right = np.asarray(one, dtype=float), np.asarray(other, dtype=float)
    scale = max(float(np.nanmax(np.abs(left[np.isfinite(left)]), initial=0.0)), 1e-300)
    np.testing.assert_allclose(right, left, rtol=0.0, atol=tolerance * scale)


ANSWERS = {
    "coefficients": lambda fit, data: fit.coefficients(),
    "wald": lambda fit, data: fit.confint(),
    "contrast": lambda fit, data: fit.contrast({"x": 1.0, "factor(school)2003": -1.0}),
    "joint": lambda fit, data: fit.test("x = 0, `factor(school)2004` = `factor(school)2005`"),
    "ranef": lambda fit, data: fit.ranef(),
    "condvar": lambda fit, data: fit.condvar(),
    "pev": lambda fit, data: fit.pev(),
    "coef": lambda fit, data: fit.coef(),
    "fitted": lambda fit, data: fit.fitted,
    "leverage": lambda fit, data: fit.leverage(),
    "cooks_distance": lambda fit, data: fit.cooks_distance(),
    "dfbeta": lambda fit, data: fit.dfbeta(),
    "type 1": lambda fit, data: fit.anova(type=1),
    "kenward-roger": lambda fit, data: fit.coefficients(ddf="kenward-roger"),
    "dfbeta by group": lambda fit, data: fit.dfbeta("pupil"),
    "cooks distance by group": lambda fit, data: fit.cooks_distance("pupil"),
    "type 3": lambda fit, data: fit.anova(type=3, ddf="none"),
    "type 3 by Kenward-Roger": lambda fit, data: fit.anova(type=3, ddf="kenward-roger"),
    "containment": lambda fit, data: fit.coefficients(ddf="containment"),
    "robust": lambda fit, data: fit.coefficients(robust="CR0", cluster="pupil"),
    "type 2": lambda fit, data: fit.anova(type=2, ddf="none"),
    "residuals": lambda fit, data: fit.scaled_residuals(),
    "predict": lambda fit, data: fit.predict(data.assign(x=1.0).iloc[:30]),
    "fixed": lambda fit, data: fit.predict(data.iloc[:30], random=False),
    "interval": lambda fit, data: fit.predict(data.iloc[:30], interval="confidence", ddf="none")[["fit", "se"]],
    "record": lambda fit, data: fit.predict(data.iloc[:30], interval="prediction")[["fit", "se"]],
    "simulate": lambda fit, data: fit.simulate(2, seed=1),
    "shares": lambda fit, data: fit.variance_shares(),
    "r2": lambda fit, data: fit.r2(),
    "glance": lambda fit, data: fit.glance(),
    "tidy": lambda fit, data: fit.tidy(),
    "augment": lambda fit, data: fit.augment(),
    "criteria": lambda fit, data: [fit.aic, fit.bic, fit.loglik, fit.criterion_contrasts],
    "refit": lambda fit, data: fit.refit(2.0 * data["y"].to_numpy()).beta,
}


@pytest.mark.parametrize("what", list(ANSWERS))
def test_answers_are_those_of_a_dense_fit(fits, what):
    dense, wide, data = fits
    close(ANSWERS[what](dense, data), ANSWERS[what](wide, data), 1e-6)


def test_degrees_of_freedom_of_predictions_are_those_of_a_dense_fit(fits):
    dense, wide, data = fits
    one, other = (fit.predict(data.iloc[:5], interval="confidence")["df"] for fit in (dense, wide))
    np.testing.assert_allclose(other, one, rtol=1e-4)


MEANS = {
    "means": lambda fit: fit.means("rater", by="sex"),
    "pairs": lambda fit: fit.means("rater", pairs=True),
    "records": lambda fit: fit.means("rater", weights="proportional"),
    "cells": lambda fit: fit.means("sex", weights="cells"),
    "values": lambda fit: fit.means("sex", at={"x": [0.0, 2.0]}),
    "nested": lambda fit: fit.means("region"),
    "sparse": lambda fit: fit.means("factor(school)", ddf="none")[["mean", "se", "lower", "upper"]],
    "trends": lambda fit: fit.trends("x", by="sex", pairs=True),
    "joint": lambda fit: fit.joint_tests(),
}


def test_means_are_those_of_a_dense_fit():
    records = Records(1, n=500, schools=45, pupils=50)
    data = pd.DataFrame({name: getattr(records, name) for name in ("y", "x", "rater", "pupil", "school")})
    data = data.assign(rater=data["rater"].map("r{}".format), sex=(data.index * 7) % 3 % 2)
    data["region"] = data["school"].map(lambda school: "NESW"[school % 4])
    dense = mme.lmer(formula := "y ~ x * sex + rater + region + factor(school) + (1 | pupil)", data)
    with within(SPARSE):
        wide = mme.lmer(formula, data, start=dense.theta)
    for ask in MEANS.values():
        close(ask(dense), ask(wide), 1e-6)


@pytest.mark.parametrize(
    "ask",
    [
        lambda fit: fit.coefficients(ddf="kenward-roger"),
        lambda fit: fit.dfbeta("pupil"),
        lambda fit: fit.cooks_distance("pupil"),
        lambda fit: fit.kenward_roger,
        lambda fit: fit.coefficients(robust="CR0", cluster="pupil"),
    ],
)
def test_what_takes_a_dense_X_is_refused_where_it_does_not_fit(fits, ask):
    dear = r"operations, so that it is not available beside .* columns of X"
    large = r"takes a dense X: products of 240 x .* numbers need"
    for bounds, said in ((Limits(hessian_operations=1e4), dear), (Limits(memory=1000), large)):
        with within(bounds), pytest.raises(MMEError, match=said):
            ask(fits[1])


@pytest.mark.parametrize("weights", [None, "w"])
def test_changes_by_groups_of_fewer_records_than_columns_are_those_of_fits_without_them(weights):
    data = table(3).assign(w=Records(3, schools=20).weights)
    formula = "y ~ x + rater + factor(school) + (z || pupil)"
    fit = mme.lmer(formula, data, weights=weights)
    moved = fit.dfbeta("pupil")
    assert data["pupil"].value_counts().max() < len(fit.fixed_names)
    for pupil in moved.index[:6]:
        left = mme.lmer(formula, data[data["pupil"] != pupil], weights=weights, theta=fit.theta)
        close(fit.beta - left.beta, moved.loc[pupil], 1e-7)


@pytest.mark.parametrize("weights", [None, "w"])
def test_type_3_of_terms_that_contain_others_is_that_of_a_dense_fit(weights):
    """Interactions of a factor of many levels, one of whose cells is empty."""
    data = table(5).assign(w=Records(5, schools=20).weights, sex=np.array(list("fm"))[np.arange(240) % 7 % 2])
    data = data[(data["sex"] == "f") | (data["school"] != 2004)]
    formula = "y ~ x * sex + sex * factor(school) + (1 | pupil)"
    dense = mme.lmer(formula, data, weights=weights)
    with within(SPARSE):
        wide = mme.lmer(formula, data, weights=weights, start=dense.theta)
    assert wide.model.is_wide
    for ddf in ("none", "kenward-roger"):
        with pytest.warns(MMEWarning, match="No records in"):
            close(dense.anova(type=3, ddf=ddf), wide.anova(type=3, ddf=ddf), 1e-6)


def test_degrees_of_freedom_that_do_not_fit_name_those_that_do(fits):
    with within(Limits(memory=1000)), pytest.raises(MMEError, match="ddf='satterthwaite' does without"):
        fits[1].coefficients(ddf="kenward-roger")


def test_a_summary_is_short(fits):
    text = fits[1].summary()
    assert len(text.splitlines()) < 60
    assert "more: see coefficients()" in text
    assert "more: see coefficients()" in fits[1]._repr_html_()


def test_rows_of_a_level_that_the_fit_did_not_see_are_refused(fits):
    with pytest.raises(MMEError, match="which the fit did not see"):
        fits[1].predict(fits[2].assign(school=1999))


def test_rows_that_miss_a_value_have_no_prediction(fits):
    rows = fits[2].iloc[:3].copy().assign(school=[2001.0, np.nan, 2003.0])
    predicted = np.asarray(fits[1].predict(rows))
    assert np.isnan(predicted).tolist() == [False, True, False]


def test_a_file_holds_all_of_it(fits, tmp_path):
    wide = fits[1]
    wide.save(tmp_path / "fit.mme")
    with within(SPARSE):
        back = mme.load_fit(tmp_path / "fit.mme")
    assert back.model.is_wide
    np.testing.assert_array_equal(back.beta, wide.beta)
    np.testing.assert_array_equal(back.predict(fits[2]), wide.predict(fits[2]))


def test_terms_are_tested_as_in_a_dense_fit():
    data, formula = table(3), "y ~ x + rater + factor(school) + (1 | pupil)"
    dense = mme.lmer(formula, data)
    with within(SPARSE):
        wide = mme.lmer(formula, data, start=dense.theta)
    close(dense.anova(), wide.anova(), 1e-6)
    close(dense.anova(type=2, ddf="none"), wide.anova(type=2, ddf="none"), 1e-8)


def test_a_term_of_very_many_columns_is_tested_by_what_others_leave():
    records = Records(4, n=900, schools=130, pupils=60)
    data = pd.DataFrame({name: getattr(records, name) for name in ("y", "x", "pupil", "school")})
    formula = "y ~ x + factor(school) + (1 | pupil)"
    dense = mme.lmer(formula, data)
    with within(SPARSE):
        wide = mme.lmer(formula, data, start=dense.theta)
    for kind in (1, 3):
        with pytest.warns(MMEWarning, match="is chi-square"):
            found = wide.anova(type=kind)
        close(dense.anova(type=kind)["F"], found["F"], 1e-8)
        assert np.isinf(found.loc["factor(school)", "den_df"])


def test_joint_tests_of_very_many_levels_are_those_of_a_dense_fit():
    records = Records(4, n=900, schools=130, pupils=60)
    data = pd.DataFrame({name: getattr(records, name) for name in ("y", "x", "pupil", "school")})
    data["sex"] = np.array(list("fm"))[data.index % 2]
    formula = "y ~ x + sex + factor(school) + (1 | pupil)"
    dense = mme.lmer(formula, data)
    with within(SPARSE):
        wide = mme.lmer(formula, data, start=dense.theta)
    found = wide.joint_tests()
    assert np.isinf(found.loc["factor(school)", "den_df"])
    close(dense.joint_tests()[["num_df", "F"]], found[["num_df", "F"]], 1e-7)
    # differences of 128 levels do not span what they are made of; one of them depends on others
    schools = np.array([name.startswith("factor") for name in wide.fixed_names])
    L = np.zeros((128, schools.size))
    L[:, schools] = np.roll(np.eye(129), 1, axis=1)[:128] - np.eye(129)[:128]
    L = np.vstack([L, L[:1] + L[1:2]])
    close(dense.contrast(L, joint=True, ddf="none")["F"], wide.contrast(L, joint=True)["F"], 1e-7)


@pytest.mark.parametrize("structure", [mme.AR1("t", "pupil"), mme.Heterogeneous("rater")])
def test_residual_structures_take_a_dense_X_and_answer_as_beside_one(structure):
    data = table(2)
    data["t"] = data.groupby("pupil").cumcount()
    formula = "y ~ x + factor(school) + (1 | pupil)"
    dense = mme.lmer(formula, data, residual=structure)
    with within(SPARSE):
        fit = mme.lmer(formula, data, residual=structure)
    assert not fit.model.is_wide
    assert fit.criterion == dense.criterion
    close(dense.coefficients(), fit.coefficients(), 1e-12)


def test_what_a_record_without_others_in_its_level_does_is_not_known():
    rng = np.random.default_rng(3)
    data = pd.DataFrame(
        {"school": rng.integers(12, size=120), "pupil": rng.integers(15, size=120), "x": rng.random(120)}
    )
    data.loc[0, "school"] = 12
    data["y"] = data["x"] + rng.standard_normal(120) + rng.standard_normal(15)[data["pupil"]]
    dense = mme.lmer("y ~ x + factor(school) + (1 | pupil)", data)
    with within(SPARSE):
        wide = mme.lmer("y ~ x + factor(school) + (1 | pupil)", data, theta=dense.theta)
    assert wide.dfbeta().iloc[0].isna().all()
    close(dense.dfbeta(), wide.dfbeta(), 1e-8)


@pytest.mark.parametrize("formula", [FORMULA, f"y ~ 0 + {FORMULA[4:]}"])
def test_the_triangle_of_a_sparse_X_has_its_products(formula):
    with within(SPARSE):
        fit = mme.lmer(formula, table()).internals
    assert fit.model.is_wide
    X, R = fit.model.X[:, fit.basis.kept].toarray(), triangle_of(fit)
    np.testing.assert_array_equal(R, np.triu(R))
    np.testing.assert_allclose(R.T @ R, X.T @ X, rtol=1e-9, atol=1e-9 * len(X))


def test_type_1_keeps_its_digits_far_from_zero():
    data, formula = table(3), "y ~ x + rater + factor(school) + (1 | pupil)"
    with within(SPARSE):
        near, far = (mme.lmer(formula, data.assign(x=data["x"] + shift), theta=[0.8]) for shift in (0.0, 1e6))
        close(near.anova(type=1)["F"], far.anova(type=1)["F"], 1e-6)


def test_fits_by_maximum_likelihood_are_compared():
    data = table(1)
    formulas = ["y ~ factor(school) + (1 | pupil)", "y ~ x + factor(school) + (1 | pupil)"]
    dense = mme.anova(*(mme.lmer(formula, data, method="ML") for formula in formulas))
    with within(SPARSE):
        fits = [mme.lmer(formula, data, method="ML") for formula in formulas]
        wide = mme.anova(*fits)
        with pytest.raises(MMEError, match="neither X holds the other"):
            mme.anova(
                fits[1], mme.lmer("y ~ z + rater + factor(school) + (1 | pupil)", data, method="ML"), boundary=True
            )
    close(dense, wide, 1e-6)


def test_arrays_are_predicted_too():
    records = Records(2)
    X, terms = records.X("factor"), records.terms("intercept")
    dense = mme.fit(records.y, X, terms)
    with within(SPARSE):
        wide = mme.fit(records.y, sparse(X), terms)
    for given in (X, sparse(X)):
        close(dense.predict((X, terms)), wide.predict((given, terms)), 1e-5)


def test_degrees_of_freedom_of_all_columns_are_left_where_they_take_long(fits):
    with within(Limits(freedom_operations=0.0)), pytest.warns(MMEWarning, match="of the normal distribution"):
        wide = fits[1].coefficients()
    assert np.isinf(wide["df"]).all()
    assert np.isfinite(fits[1].contrast({"x": 1.0})["df"]).all()


@pytest.mark.parametrize("term", ["(1 | pupil)", "(x | pupil)"])
def test_degrees_of_freedom_of_all_columns_take_the_evaluations_that_are_forecast(term):
    with within(SPARSE):
        wide = mme.lmer(f"y ~ x + factor(school) + {term}", table(5))
    with within(Limits(freedom_operations=0.0)), pytest.warns(MMEWarning) as told:
        wide.coefficients()
    forecast = re.search(r"would take (\d+) evaluations of", str(told[0].message))
    assert entered(wide.coefficients, Objective.evaluation) == int(forecast[1])


def test_bootstrap_replicates_are_those_of_a_dense_fit():
    data, formula = table(5), "y ~ x + factor(school) + (1 | pupil)"
    dense = mme.lmer(formula, data)
    with within(SPARSE):
        wide = mme.lmer(formula, data, start=dense.theta)
        found = wide.bootstrap(3, seed=1, workers=1)
    np.testing.assert_allclose(found.values, dense.bootstrap(3, seed=1, workers=1).values, atol=1e-3)


def test_profiles_are_those_of_a_dense_fit():
    records = Records(1, n=300, schools=50, pupils=40)
    data = pd.DataFrame({name: getattr(records, name) for name in ("y", "x", "pupil", "school")})
    dense = mme.lmer(formula := "y ~ x + factor(school) + (1 | pupil)", data)
    names = ["sd_(Intercept)|pupil", "sigma", "x", "factor(school)4"]  # the last is sparse
    with within(SPARSE):
        wide = mme.lmer(formula, data, start=dense.theta)
        found, every = wide.profile(names), wide.confint(method="profile")
    known = dense.profile(names)
    close(known.confint(), found.confint(), 1e-8)
    ends = [profile.curves["factor(school)4"].parameters[-1] for profile in (known, found)]
    np.testing.assert_allclose(ends[1], ends[0], atol=1e-6)
    assert names[2] in every.index
    assert names[3] not in every.index
