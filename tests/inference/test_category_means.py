"""Probabilities of ordered categories at marginal means, and their predictions by record."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from scipy.stats import norm

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


@pytest.mark.parametrize("level", [0.8, 0.95])
@pytest.mark.parametrize("options", [{}, {"random": "average"}, {"robust": "CR1"}])
def test_limits_are_those_of_the_logit(fit: mme.GeneralisedFit, options: dict[str, str], level: float) -> None:
    table = fit.means("dose", scale="response", level=level, **options)
    half = norm.isf((1.0 - level) / 2.0) * table["se"] / (table["mean"] * (1.0 - table["mean"]))
    np.testing.assert_allclose(logit(table["upper"]) - logit(table["mean"]), half, rtol=1e-9)
    np.testing.assert_allclose(logit(table["mean"]) - logit(table["lower"]), half, rtol=1e-9)


def test_probabilities_move_with_all_thresholds_and_sum_to_one(fit: mme.GeneralisedFit) -> None:
    """Of three categories the last is one less the two below: its error is that of their sum."""
    table = fit.means("dose", scale="response", random="average").loc["low"]
    assert table["mean"].sum() == pytest.approx(1.0, abs=1e-12)
    first, middle, last = table["se"] ** 2
    assert abs(middle - first - last) < 2.0 * np.sqrt(first * last)  # a correlation


@pytest.mark.parametrize("terms", ["dose * h", "dose + h + x + x2", "dose + seven + x + h", "0 + dose:h"])
@pytest.mark.parametrize("empty", [("low", "down"), ("low", "up"), ("top", "down"), ("top", "up")])
def test_what_two_categories_determine_is_what_a_binomial_fit_does(
    data: pd.DataFrame, terms: str, empty: tuple[str, str]
) -> None:
    """Their logit is that of the upper one, but for a threshold in the place of the constant."""
    data = data.assign(h=np.where(data["g"] % 2, "up", "down"), x2=2.0 * data["x"] + 1.0, seven=7.0)
    data = data.assign(above=data["grade"] > "a", two=np.where(data["grade"] > "a", "yes", "no"))
    data["two"] = pd.Categorical(data["two"], ordered=True)
    if "*" in terms or ":" in terms:
        data = data[(data["dose"] != empty[0]) | (data["h"] != empty[1])]
    ordinal = mme.glmer(f"two ~ {terms} + (1 | g)", data, mme.Ordinal())
    binomial = mme.glmer(f"above ~ {terms} + (1 | g)", data, "binomial")
    new = pd.DataFrame({"dose": ["low", "low", "top", "top"], "h": ["down", "up"] * 2, "x": 1.0})
    new = new.assign(x2=[3.0, 3.0, 3.0, 2.0], seven=[7.0, 7.0, 7.0, 8.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        found, expected = (fit.means(["dose", "h"], scale="response")["mean"] for fit in (ordinal, binomial))
        np.testing.assert_allclose(found.xs("yes", level="category"), expected, rtol=1e-4)
        assert expected.isna().sum() == (":" in terms or "*" in terms)
        found, expected = (fit.predict(new, random=False, type="response") for fit in (ordinal, binomial))
        np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert np.isnan(expected).sum() == 1
        for kind in (1, 2, 3):
            tables = [fit.anova(type=kind) for fit in (ordinal, binomial)]
            if "0" not in terms:  # where the constant is a sum of columns, these are others
                np.testing.assert_allclose(tables[0], tables[1], rtol=1e-3)


def test_probabilities_need_all_parameters_estimated_and_have_no_letters(
    fit: mme.GeneralisedFit, data: pd.DataFrame
) -> None:
    with pytest.raises(MMEError, match="no letters"):
        fit.means("dose", scale="response", se="rx")
    with pytest.raises(MMEError, match="covariance of all parameters"):
        mme.glmer("grade ~ dose + (1 | g)", data, mme.Ordinal(), n_agq=0).means("dose", scale="response")


def test_an_offset_shifts_the_logit_of_what_is_above_a_threshold(data: pd.DataFrame) -> None:
    fit = mme.glmer("grade ~ dose + offset(x) + (1 | g)", data, mme.Ordinal())
    plain, moved = (fit.means("dose", scale="response", at={"offset": one})["mean"] for one in (0.0, 0.7))
    first = logit(moved.xs("a", level="category")) - logit(plain.xs("a", level="category"))
    last = logit(moved.xs("c", level="category")) - logit(plain.xs("c", level="category"))
    np.testing.assert_allclose(np.column_stack([first, last]), [[-0.7, 0.7]] * 2, rtol=1e-9)


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
