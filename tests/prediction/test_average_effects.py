"""Average effects: against predictions of moved data, and the delta method by differences of whole predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import mme
from mme.errors import MMEError


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    n = 240
    g, x, dose = rng.integers(0, 20, n), rng.normal(size=n), rng.choice(["low", "mid", "top"], n)
    sex = rng.integers(0, 2, n)
    eta = 0.3 + 0.6 * x - 0.5 * (dose == "mid") + 0.4 * (dose == "top") + 0.3 * sex + 0.7 * rng.normal(size=20)[g]
    p = 1.0 / (1.0 + np.exp(-eta))
    draws = eta + rng.logistic(size=n)
    return pd.DataFrame(
        {
            "g": g,
            "x": x,
            "dose": dose,
            "sex": sex,
            "y": (rng.random(n) < p).astype(int),
            "k": rng.poisson(np.exp(0.5 * eta)),
            "grade": pd.Categorical.from_codes(np.digitize(draws, [-0.5, 1.0]), ["a", "b", "c"], ordered=True),
        }
    )


def by_hand(fit: Any, moved: list[pd.DataFrame], width: float, random: Any) -> tuple[float, float]:
    """A difference of averages of predictions, and its standard error by moving the parameters themselves."""
    searched, covariance = fit.internals.searched, fit.internals.estimates.parameter_cov
    at, problem = searched.at.at, fit.internals.problem

    def effect(x: np.ndarray) -> float:
        point = searched.criterion.point(x)
        beta = problem.beta(point.gamma)
        sd = abs(fit.model.canonical(fit.model.coordinates.outer(point.theta))[0])
        out = []
        for one in moved:
            X = fit.internals.specification.rows(one, random=False).X
            nodes, weights = np.polynomial.hermite_e.hermegauss(60)
            eta = (X @ beta)[:, None] + (sd * nodes if random else 0.0)
            mean = fit.family.mean(eta.ravel(), point.tau).reshape(eta.shape)
            out.append(np.mean(mean @ (weights / weights.sum()) if random else mean[:, 0]))
        return float(out[0] - out[1]) / width

    J = [(effect(at.x + 1e-5 * e) - effect(at.x - 1e-5 * e)) / 2e-5 for e in np.eye(at.x.size)]
    return effect(at.x), float(np.sqrt(J @ covariance @ np.array(J)))


@pytest.mark.parametrize("random", [False, "average"])
def test_differences_and_slopes_are_those_of_predictions(data: pd.DataFrame, random: Any) -> None:
    fit = mme.glmer("y ~ x + dose + sex + (1 | g)", data, "binomial")
    table = fit.average_effects(data, random=random)
    assert table.index.tolist() == [("x", "slope"), ("dose", "mid - low"), ("dose", "top - low"), ("sex", "1 - 0")]
    pairs = {
        ("x", "slope"): ([data.assign(x=data["x"] + 1e-3), data.assign(x=data["x"] - 1e-3)], 2e-3),
        ("dose", "top - low"): ([data.assign(dose="top"), data.assign(dose="low")], 1.0),
        ("sex", "1 - 0"): ([data.assign(sex=1), data.assign(sex=0)], 1.0),
    }
    for row, (moved, width) in pairs.items():
        estimate, se = by_hand(fit, moved, width, random)
        assert table.loc[row, "estimate"] == pytest.approx(estimate, rel=1e-6)
        assert table.loc[row, "se"] == pytest.approx(se, rel=1e-4)
    ratios = fit.average_effects(data, "dose", random=random, ratio=True)
    top, low = (fit.predict(data.assign(dose=d), random=random).mean() for d in ("top", "low"))
    assert ratios.loc[("dose", "top - low"), "ratio"] == pytest.approx(top / low, rel=1e-9)


def test_a_log_link_without_covariates_has_the_exact_delta_method(data: pd.DataFrame) -> None:
    fit = mme.glmer("k ~ sex + (1 | g)", data, "poisson")
    row = fit.average_effects(data, ratio=True).iloc[0]
    known = fit.coefficients(scale="response").loc["sex"]
    np.testing.assert_allclose(row, known[["rate_ratio", "se", "z", "p", "lower", "upper"]], rtol=1e-9)


def test_effects_on_the_probabilities_of_categories_sum_to_zero(data: pd.DataFrame) -> None:
    fit = mme.glmer("grade ~ x + dose + (1 | g)", data, mme.Ordinal())
    table = fit.average_effects(data.drop(columns="grade"))
    assert table.index.names == ["column", "contrast", "category"]
    assert table.index.get_level_values("category").unique().tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(table["estimate"].groupby(level=[0, 1]).sum(), 0.0, atol=1e-9)
    assert table.loc[("x", "slope", "a"), "estimate"] < 0.0 < table.loc[("x", "slope", "c"), "estimate"]
    averaged = fit.average_effects(data, "x", random="average")
    assert abs(averaged["estimate"].iloc[0]) < abs(table.loc[("x", "slope", "a"), "estimate"])


def test_missing_cells_are_left_out_and_what_has_no_effect_is_said(data: pd.DataFrame) -> None:
    fit = mme.glmer("k ~ x + factor(sex) + (1 | g)", data, mme.NegativeBinomial())
    holed = data.assign(x=data["x"].where(data.index % 3 > 0))
    one, other = fit.average_effects(holed, "x"), fit.average_effects(data[data.index % 3 > 0], "x")
    np.testing.assert_allclose(one, other, rtol=1e-5)
    assert fit.average_effects({"x": [0.0, 1.0], "sex": [0, 1]}, "sex").index[0] == ("sex", "1 - 0")
    with pytest.raises(MMEError, match="no part in the fixed effects, which are of x, sex"):
        fit.average_effects(data, "dose")
    with pytest.raises(MMEError, match="has no ratio"):
        fit.average_effects(data, "x", ratio=True)
    with pytest.raises(MMEError, match="random must be"):
        fit.average_effects(data, random=True)
    arrays = mme.glm_fit(data["k"], np.ones((240, 1)), [mme.Term(data["g"])], "poisson")
    with pytest.raises(MMEError, match="a fit by a formula"):
        arrays.average_effects(data)
