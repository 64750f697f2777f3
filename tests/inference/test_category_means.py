"""Probabilities of ordered categories at marginal means, and their predictions by record."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.errors import MMEError
from mme.generalised.scores import gradients_by_cluster


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(9)
    g, x, dose = rng.integers(0, 15, 300), rng.normal(size=300), rng.choice(["low", "top"], 300)
    eta = 0.6 * x + 0.8 * (dose == "top") + 0.7 * rng.normal(size=15)[g] + rng.logistic(size=300)
    grade = pd.Categorical.from_codes(np.digitize(eta, [-0.5, 1.0]), ["a", "b", "c"], ordered=True)
    return pd.DataFrame({"g": g, "x": x, "dose": dose, "grade": grade})


@pytest.fixture(scope="module")
def fit(data: pd.DataFrame) -> mme.GeneralisedFit:
    return mme.glmer("grade ~ x + dose + (1 | g)", data, mme.Ordinal())


def test_probabilities_are_those_of_the_thresholds(fit: mme.GeneralisedFit, data: pd.DataFrame) -> None:
    table = fit.means("dose", scale="response")
    eta = data["x"].mean() * fit.beta["x"] + np.array([0.0, 1.0]) * fit.beta["dosetop"]
    ends = np.array(list(fit.parameters.values()))
    below = 1.0 / (1.0 + np.exp(eta[:, None] - ends))
    P = np.diff(np.column_stack([np.zeros(2), below, np.ones(2)]))
    assert table.index.tolist() == [(d, c) for d in ("low", "top") for c in ("a", "b", "c")]
    np.testing.assert_allclose(table["mean"], P.ravel(), rtol=1e-12)
    assert ((table["lower"] < table["mean"]) & (table["mean"] < table["upper"])).all()
    assert (table["upper"] < 1.0).all()


def test_the_first_category_has_the_delta_method_of_one_threshold(fit: mme.GeneralisedFit, data: pd.DataFrame) -> None:
    searched, cov = fit.internals.searched, fit.internals.estimates.parameter_cov
    at, problem = searched.at.at, fit.internals.problem

    def first(psi: np.ndarray, average: bool) -> float:
        point = searched.criterion.point(psi)
        eta = problem.beta(point.gamma) @ [data["x"].mean(), 1.0]
        end = fit.family.natural(point.tau)[0]
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        sd = abs(fit.model.canonical(fit.model.coordinates.outer(point.theta))[0]) if average else 0.0
        return float((1.0 / (1.0 + np.exp(eta + sd * nodes - end))) @ weights / weights.sum())

    scores = gradients_by_cluster(searched.at, data["g"].to_numpy())
    sandwich = 0.25 * cov @ scores.T @ scores @ cov
    for random in (False, "average"):
        average = bool(random)
        J = [(first(at.x + 1e-5 * e, average) - first(at.x - 1e-5 * e, average)) / 2e-5 for e in np.eye(at.x.size)]
        row = fit.means("dose", scale="response", random=random).loc[("top", "a")]
        assert row["mean"] == pytest.approx(first(at.x, average), rel=1e-9)
        assert row["se"] == pytest.approx(float(np.sqrt(J @ cov @ np.array(J))), rel=1e-5)
        row = fit.means("dose", scale="response", random=random, robust="CR0").loc[("top", "a")]
        assert row["se"] == pytest.approx(float(np.sqrt(J @ sandwich @ np.array(J))), rel=1e-5)


def test_predictions_have_a_column_for_each_category(fit: mme.GeneralisedFit, data: pd.DataFrame) -> None:
    table = fit.predict(type="probability")
    assert table.columns.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(table.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(table @ [0.0, 1.0, 2.0], fit.fitted, rtol=1e-12)
    np.testing.assert_allclose(fit.predict(data, type="probability"), table, rtol=1e-12)
    one = fit.predict({"x": [0.0], "dose": ["top"]}, type="probability", random="average")
    assert one.to_numpy().sum() == pytest.approx(1.0, abs=1e-12)
    with pytest.raises(MMEError, match="is of ordered categories"):
        fit.predict(type="probability", interval="confidence")
