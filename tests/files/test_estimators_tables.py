"""Estimators among what scikit-learn's users have: other tables, pipelines, routed groups, no intercept."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

import mme

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="needs scikit-learn: pip install 'mme[sklearn]'")


@pytest.fixture(scope="module")
def sleep():
    return mme.load("sleepstudy")


def test_a_polars_table_is_a_table_like_any_other(sleep):
    X = sleep[["Days", "Subject"]]
    other = pl.DataFrame({name: X[name].to_list() for name in X})
    for make in (
        lambda: mme.MixedLMRegressor(groups="Subject", random_slopes="Days"),
        lambda: mme.MixedLMRegressor(groups=1, random_slopes=0),
        lambda: mme.MixedGLMRegressor("gaussian", groups="Subject", random_slopes=["Days"]),
    ):
        one, two = make().fit(X, sleep["Reaction"]), make().fit(other, pl.Series(sleep["Reaction"].to_list()))
        np.testing.assert_array_equal(one.coef_, two.coef_)
        np.testing.assert_array_equal(one.predict(X.tail(20)), two.predict(other.tail(20)))


def test_one_slope_needs_no_list(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    one, many = (mme.MixedLMRegressor(groups="Subject", random_slopes=at).fit(X, y) for at in ("Days", ["Days"]))
    np.testing.assert_array_equal(one.predict(X), many.predict(X))
    assert one.get_params()["random_slopes"] == "Days"


def test_without_a_fixed_intercept_groups_have_one_about_zero(sleep):
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"] - 250
    model = mme.MixedLMRegressor(groups="Subject", fit_intercept=False).fit(X, y)
    fit = mme.lmer("y ~ 0 + Days + (1 | Subject)", sleep.assign(y=y))
    np.testing.assert_allclose(model.coef_, fit.beta, rtol=1e-8)
    np.testing.assert_allclose(model.predict(X), fit.fitted, rtol=1e-6)
    assert model.intercept_ == 0.0


@pytest.mark.parametrize("library", ["default", "pandas", "polars"])
def test_a_pipeline_may_put_out_any_table(sleep, library):
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    columns = ColumnTransformer(
        [("scaled", StandardScaler(), ["Days"]), ("group", "passthrough", ["Subject"])],
        verbose_feature_names_out=False,
    )
    pipe = make_pipeline(columns, mme.MixedLMRegressor(groups=1, random_slopes=0)).set_output(transform=library)
    X, y = sleep[["Days", "Subject"]], sleep["Reaction"]
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", sleep)
    np.testing.assert_allclose(pipe.fit(X, y).predict(X), fit.fitted, rtol=1e-5)


def test_groups_are_routed_to_fit_predict_and_splitter(sleep):
    import sklearn
    from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

    X, y, groups = sleep[["Days"]], sleep["Reaction"], sleep["Subject"]
    with sklearn.config_context(enable_metadata_routing=True):
        model = mme.MixedLMRegressor().set_fit_request(groups=True).set_predict_request(groups=True)
        scores = cross_val_score(model, X, y, cv=GroupKFold(3), params={"groups": groups}, scoring="r2")
        search = GridSearchCV(model, {"random_slopes": [(), "Days"]}, cv=GroupKFold(3)).fit(X, y, groups=groups)
    assert np.isfinite(scores).all()
    assert search.best_estimator_.fit_ is not None
