"""Prediction intervals of new records: against draws of eta and of y given eta."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.errors import MMEError
from mme.prediction.new_record import NewRecords

FAMILIES = {
    "poisson": (mme.Poisson(), []),
    "binomial": (mme.Binomial(), []),
    "nbinom": (mme.NegativeBinomial(), [0.5]),
    "gamma": (mme.Gamma(link="log"), [-0.5]),
    "gaussian": (mme.Gaussian(), [0.3]),
    "beta": (mme.Beta(), [1.5]),
    "ordinal": (mme.Ordinal(), [-0.5, 0.2]),
    "tweedie": (mme.Tweedie(), [0.2, 0.0]),
}


@pytest.mark.parametrize("name", list(FAMILIES))
def test_quantiles_are_those_of_draws(name: str) -> None:
    family, tau = FAMILIES[name]
    tau = np.array(tau)
    trials = 12.0 if name == "binomial" else 1.0
    eta, se, weights = np.array([-0.6, 0.9]), np.array([0.4, 0.7]), np.array([1.0, trials])
    rng, m = np.random.default_rng(1), 20_000
    new = NewRecords.of(family, tau, eta, se, weights)
    for i in range(2):
        w = np.full(m, weights[i])
        draws = np.sort(family.draw(eta[i] + se[i] * rng.normal(size=m), w, tau, rng))
        assert new.mean[i] == pytest.approx(draws.mean(), abs=5.0 * draws.std() / np.sqrt(m))
        assert new.sd[i] == pytest.approx(draws.std(), rel=0.06)
        for probability in (0.025, 0.5, 0.975):
            y = new.quantile(probability)[i]
            share = np.searchsorted(draws, [y - 1e-9, y + 1e-9]) / m  # below y, and at or below it
            assert share[0] - 0.015 <= probability <= share[1] + 0.015
            if family.whole and y > 0.0:  # the least such y
                assert new.below(np.full(2, y - 1.0 / weights[i]).clip(0.0))[i] < probability


def test_new_rows_and_rows_of_the_fit() -> None:
    rng = np.random.default_rng(4)
    g, x = np.repeat(np.arange(25), 8), rng.normal(size=200)
    p = 1.0 / (1.0 + np.exp(-(0.2 + 0.5 * x + 0.8 * rng.normal(size=25)[g])))
    data = {"s": rng.binomial(10, p), "m": np.full(200, 10), "x": x, "g": g}
    fit = mme.glmer("cbind(s, m - s) ~ x + (1 | g)", data, "binomial")
    own = fit.predict(interval="prediction")
    inside = (own["lower"] <= data["s"] / 10) & (data["s"] / 10 <= own["upper"])
    assert 0.95 <= inside.mean() <= 1.0
    np.testing.assert_allclose(own["lower"] * 10, np.rint(own["lower"] * 10), atol=1e-9)
    new = {"x": [0.0, 1.0], "g": [3, 99], "n": [10, 40]}
    known = fit.predict(new, interval="prediction", new_levels="population", weights="n")
    single = fit.predict(new, interval="prediction", new_levels="population")
    assert known["upper"].max() < 1.0
    assert single["upper"].tolist() == [1.0, 1.0]
    confidence = fit.predict(new, interval="confidence", new_levels="population")
    assert (known["lower"] < confidence["lower"]).all()
    anew = fit.predict({"x": [1.0]}, interval="prediction", random="average", weights=40)
    np.testing.assert_allclose(anew["fit"], fit.predict({"x": [1.0]}, random="average"), atol=2e-3)
    np.testing.assert_allclose(anew[["lower", "upper"]], known[["lower", "upper"]].iloc[1:], atol=0.026)


def test_what_a_new_response_cannot_be_is_said() -> None:
    fit = mme.glm_fit([0, 1, 2, 4, 9, 7], np.ones((6, 1)), [mme.Term([1, 1, 2, 2, 3, 3])], "poisson")
    with pytest.raises(MMEError, match="type='response'"):
        fit.predict(type="link", interval="prediction")
    with pytest.raises(MMEError, match="'confidence' or 'prediction'"):
        fit.predict(interval="both")
    answers = mme.glm_fit([0, 1, 1, 0, 1, 0], np.ones((6, 1)), [mme.Term([1, 1, 2, 2, 3, 3])], "binomial")
    with pytest.raises(MMEError, match="which are whole"):
        answers.predict(interval="prediction", weights=np.full(6, 1.5))
