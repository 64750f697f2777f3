"""Generalised models are drawn as they are assumed, and their power is the share of fits that find the effect."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

import mme
from mme.family.words import WORDS, family_of

J, m = 12, 6
DESIGN = {
    "subject": np.repeat(np.arange(J), m),
    "x": np.tile([-0.5, 0.5], J * m // 2),
    "trials": np.tile([3, 7], J * 3),
}
NATURAL = {
    "gaussian": [0.7],
    "gamma": [0.5],
    "inverse.gaussian": [0.2],
    "nbinom2": [2.5],
    "nbinom1": [0.4],
    "beta": [6.0],
}
NATURAL |= {"tweedie": [1.3, 1.6], "ordinal": [-1.0, 0.2, 1.7]}
ASSUMED = {"beta": {"(Intercept)": 0.4, "x": 0.8}, "varcorr": {"subject": 0.6}}


@pytest.mark.parametrize("word", WORDS)
def test_coordinates_of_natural_parameters_give_them_back(word):
    family, values = family_of(word), np.array(NATURAL.get(word, []))
    np.testing.assert_allclose(family.natural(family.tau_of(values)), values, rtol=1e-13)


@pytest.mark.parametrize(
    ("family", "parameters", "said"),
    [
        ("gamma", None, "'dispersion'"),
        ("gamma", [-1.0], "'dispersion'"),
        ("nbinom2", {"dispersion": 1.0}, "'size'"),
        ("poisson", [1.0], "none"),
        ("tweedie", [1.0, 2.5], "'power'"),
        ("ordinal", [1.0, 0.0], "increasing thresholds"),
    ],
)
def test_parameters_that_a_family_has_not_are_refused(family, parameters, said):
    with pytest.raises(mme.MMEError, match=said):
        mme.simulate_model("~ x + (1 | subject)", DESIGN, family=family, parameters=parameters, **ASSUMED)


def _moments(family, parameters=None, weights=None):
    Y = mme.simulate_model(
        "~ x + (1 | subject)",
        DESIGN,
        family=family,
        parameters=parameters,
        weights=weights,
        nsim=40_000,
        seed=2,
        **ASSUMED,
    )
    return np.asarray(Y)


def test_counts_have_the_moments_of_a_poisson_lognormal():
    Y = _moments("poisson")
    eta, s2 = 0.4 + 0.8 * DESIGN["x"], 0.36
    mean = np.exp(eta + s2 / 2)
    np.testing.assert_allclose(Y.mean(axis=1), mean, rtol=0.03)
    np.testing.assert_allclose(Y.var(axis=1), mean + mean**2 * np.expm1(s2), rtol=0.1)
    between = np.cov(Y[0], Y[1])[0, 1]
    assert between == pytest.approx(mean[0] * mean[1] * np.expm1(s2), rel=0.1)


def test_shares_have_the_mean_over_the_normal_and_the_variance_of_their_trials():
    Y = _moments("binomial", weights="trials")
    u, w = np.polynomial.hermite_e.hermegauss(40)
    p = expit(0.4 + 0.8 * DESIGN["x"][:, None] + 0.6 * u)
    mean, square = p @ w / w.sum(), p**2 @ w / w.sum()
    np.testing.assert_allclose(Y.mean(axis=1), mean, atol=0.01)
    inner = (mean - square) / DESIGN["trials"]
    np.testing.assert_allclose(Y.var(axis=1), inner + square - mean**2, rtol=0.05)


def test_categories_have_the_shares_of_their_thresholds():
    Y = np.asarray(
        mme.simulate_model(
            "~ x + (1 | subject)",
            DESIGN,
            family="ordinal",
            parameters=[-1.0, 0.2, 1.7],
            beta={"x": 0.8},
            varcorr={"subject": 0.0},
            nsim=20_000,
            seed=2,
        )
    )
    for j, threshold in enumerate([-1.0, 0.2, 1.7]):
        np.testing.assert_allclose(np.less_equal(Y, j).mean(axis=1), expit(threshold - 0.8 * DESIGN["x"]), atol=0.015)


@pytest.mark.parametrize(
    ("family", "parameters", "weights"),
    [("poisson", None, None), ("binomial", None, "trials"), ("gamma", [0.5], None), ("nbinom2", {"size": 2.0}, None)],
)
def test_power_is_the_share_of_fits_that_find_the_effect(family, parameters, weights):
    family = mme.Gamma(link="log") if family == "gamma" else family
    how = {"family": family, "parameters": parameters, "weights": weights, **ASSUMED}
    Y = mme.simulate_model("~ x + (1 | subject)", DESIGN, nsim=8, seed=np.random.default_rng([4, 0]), **how)
    fits = [
        mme.glmer("y ~ x + (1 | subject)", DESIGN | {"y": Y[i].to_numpy()}, family, weights=weights) for i in range(8)
    ]
    p = np.array([fit.coefficients()["p"]["x"] for fit in fits])
    for test in ("x", {"x": 2.0}, lambda fit: fit.coefficients()["p"]["x"]):
        row = mme.power("y ~ x + (1 | subject)", DESIGN, test=test, nsim=8, seed=4, **how).table.iloc[0]
        assert row["power"] == pytest.approx((p < 0.05).mean())
        assert row["singular"] == pytest.approx(np.mean([bool(fit.optimum.boundary) for fit in fits]))
        assert (row["n"], row["failed"]) == (J * m, 0)


def test_a_fit_has_its_own_parameters_and_grows_by_levels():
    y = mme.simulate_model("~ x + (1 | subject)", DESIGN, family="poisson", seed=1, **ASSUMED)
    fit = mme.glmer("y ~ x + (1 | subject)", DESIGN | {"y": y[0]}, "poisson")
    here = mme.power(fit, test="x", nsim=30, seed=1).table
    assert here["n"].tolist() == [J * m]
    grown = mme.power(
        fit, DESIGN | {"y": y[0]}, test="x", beta={"x": 0.0}, extend={"subject": [6, 40]}, nsim=30, seed=1
    )
    assert grown.table["n"].tolist() == [6 * m, 40 * m]
    assert grown.table["power"].max() < 0.3  # there is no effect
    assert mme.power(fit, test="x", beta={"x": 2.0}, nsim=30, seed=1).table["power"][0] == 1.0


def test_what_is_of_other_models_is_refused():
    y = mme.simulate_model("~ x + (1 | subject)", DESIGN, family="poisson", seed=1, **ASSUMED)
    fit = mme.glmer("y ~ x + (1 | subject)", DESIGN | {"y": y[0]}, "poisson")
    with pytest.raises(mme.MMEError, match="sigma= is of linear models"):
        mme.power(fit, test="x", sigma=1.0)
    with pytest.raises(mme.MMEError, match="family= and weights= are those of the fit"):
        mme.power(fit, test="x", family="binomial")
    with pytest.raises(mme.MMEError, match="parameters= are those of a family"):
        mme.simulate_model("~ x + (1 | subject)", DESIGN, parameters=[1.0], **ASSUMED)
    with pytest.raises(mme.MMEError, match=r"'x', .* got 'z'"):
        mme.power(fit, test="z")


def test_weights_of_a_linear_model_divide_its_variance():
    Y = mme.simulate_model(
        "~ x + (1 | subject)", DESIGN, beta=[0.0, 0.0], varcorr={"subject": 0.0}, weights="trials", nsim=20_000, seed=1
    )
    np.testing.assert_allclose(np.asarray(Y).var(axis=1), 1.0 / DESIGN["trials"], rtol=0.06)
