"""Generalised estimators beside scikit-learn's."""

import pickle
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import mme
from tests.glmm import glmm_case, glmm_fit

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="needs scikit-learn: pip install 'mme[sklearn]'")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        lambda: mme.MixedGLMClassifier(),
        lambda: mme.MixedGLMClassifier(link="probit"),
        lambda: mme.MixedGLMRegressor(),
        lambda: mme.MixedGLMRegressor(mme.Gamma(link="log")),
    ],
)
def test_the_estimators_pass_scikit_learns_own_checks(make):
    from sklearn.utils.estimator_checks import check_estimator

    results = check_estimator(make(), on_skip=None, on_fail=None)
    assert {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"} == {}
    assert sum(one["status"] == "passed" for one in results) > 40


def contraception():
    data = glmm_case("contra_slope").data
    X = pd.DataFrame(
        {
            "age": data["age"],
            "age2": data["age"] ** 2,
            "urban": (data["urban"] == "Y") * 1.0,
            "ch": (data["ch"] == "Y") * 1.0,
        }
    )
    return X.assign(district=data["district"]), np.where(data["use"] == 1.0, "Y", "N")


def test_the_classifier_is_the_fit():
    X, y = contraception()
    model = mme.MixedGLMClassifier(groups="district", random_slopes=["urban"]).fit(X, y)
    fit = glmm_fit("contra_slope")
    np.testing.assert_allclose([model.intercept_, *model.coef_], fit.beta, rtol=1e-6)
    assert model.classes_.tolist() == ["N", "Y"]
    p = model.predict_proba(X)
    np.testing.assert_allclose(p[:, 1], fit.fitted, atol=1e-6)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-15)
    assert (model.predict(X) == np.where(p[:, 1] > 0.5, "Y", "N")).all()
    new = X.head(2).assign(district=["nowhere", X["district"].iloc[1]])
    eta = model.decision_function(new)
    assert eta[0] == pytest.approx(model.intercept_ + new.iloc[0, :4].to_numpy(dtype=float) @ model.coef_)
    assert 1.0 / (1.0 + np.exp(-eta[1])) == pytest.approx(p[1, 1])
    with pytest.raises(mme.MMEError, match="1 records are of groups that the fit did not see"):
        mme.MixedGLMClassifier(groups="district", new_levels="error").fit(X, y).predict(new)


def test_without_groups_the_classifier_is_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    X, y = contraception()
    X = X.drop(columns="district")
    X["age2"] /= 100.0
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10000).fit(X, y)
    ours = mme.MixedGLMClassifier().fit(X, y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_[0], rtol=1e-4)
    weighted = mme.MixedGLMClassifier().fit(X, y, sample_weight=np.arange(len(y)) % 3)
    rows = np.repeat(np.arange(len(y)), np.arange(len(y)) % 3)
    repeated = mme.MixedGLMClassifier().fit(X.iloc[rows], y[rows])
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-7)


def test_the_regressor_is_the_fit_with_its_exposure():
    rng = np.random.default_rng(4)
    g, t, x = np.repeat(np.arange(30), 6), rng.uniform(1.0, 5.0, 180), rng.normal(size=180)
    y = rng.poisson(t * np.exp(0.3 * x + 0.5 * rng.normal(size=30)[g]))
    fit = mme.glmer("y ~ x + (1 | g)", {"y": y, "x": x, "g": g, "t": t}, "poisson", exposure="t")
    model = mme.MixedGLMRegressor("poisson").fit(x[:, None], y, groups=g, exposure=t)
    np.testing.assert_allclose([model.intercept_, *model.coef_], fit.beta, rtol=1e-7)
    np.testing.assert_allclose(model.predict(x[:, None], groups=g, exposure=t), fit.fitted, rtol=1e-6)
    np.testing.assert_allclose(model.predict(x[:, None], groups=g) * t, fit.fitted, rtol=1e-6)
    with pytest.raises(mme.MMEError, match="exposure must be 180 positive numbers"):
        model.fit(x[:, None], y, groups=g, exposure=-t)
    with pytest.raises(mme.MMEError, match="record 3 has -1"):
        model.fit(x[:, None], np.where(np.arange(180) == 3, -1, y), groups=g)


def test_estimators_work_in_searches_and_copies():
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV

    X, y = contraception()
    model = mme.MixedGLMClassifier(groups="district")
    assert clone(model).get_params() == model.get_params()
    search = GridSearchCV(model, {"link": ["logit", "cloglog"]}, cv=3, scoring="neg_log_loss").fit(X, y)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict_proba(X), search.predict_proba(X))


@pytest.mark.parametrize(
    ("y", "said"),
    [
        (["a", "b", "c"] * 4, "Only binary classification is supported. .* y has 3 classes"),
        (["a"] * 12, "y has 1 class$"),
    ],
)
def test_other_than_two_classes_are_refused(y, said):
    with pytest.raises(ValueError, match=said):
        mme.MixedGLMClassifier().fit(np.arange(12.0)[:, None], y)


def test_scores_take_the_groups_that_are_no_column() -> None:
    rng = np.random.default_rng(0)
    g, x = np.repeat(np.arange(20), 15), rng.normal(size=(300, 1))
    eta = x[:, 0] + 1.5 * rng.normal(size=20)[g]
    y = np.where(rng.random(300) < 1.0 / (1.0 + np.exp(-eta)), "yes", "no")
    model = mme.MixedGLMClassifier().fit(x, y, groups=g)
    assert model.score(x, y, groups=g) == np.mean(model.predict(x, g) == y) > model.score(x, y)
    counts = rng.poisson(np.exp(0.3 * eta))
    of_counts = mme.MixedGLMRegressor("poisson").fit(x, counts, groups=g)
    assert of_counts.score(x, counts, groups=g) > of_counts.score(x, counts)
    with pytest.raises(mme.MMEError, match="ordered categories have probabilities"):
        mme.MixedGLMRegressor("ordinal").fit(x, counts.clip(0, 2), groups=g)
