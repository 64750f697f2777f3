"""Marginal means averaged over the random effects: closed forms, quadrature by another rule, the delta method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.special import expit, logit
from scipy.stats import norm

import mme
from mme.inference.intervals.generalised_wald import natural_errors
from tests.glmm import glmm_case, glmm_fit


def test_with_a_log_link_the_mean_of_levels_is_that_in_the_middle_times_exp_of_half_the_variance() -> None:
    fit = glmm_fit("owls_pois")
    middle, mean = (fit.means("FoodTreatment", scale="response", random=how) for how in (False, "average"))
    variance = float(fit.varcorr["Nest"].cov[0, 0])
    np.testing.assert_allclose(mean["mean"], middle["mean"] * np.exp(0.5 * variance), rtol=1e-12)
    ratios = [
        fit.means("FoodTreatment", pairs=True, scale="response", random=how)["rate_ratio"] for how in (False, "average")
    ]
    np.testing.assert_allclose(*ratios, rtol=1e-11)


def test_standard_errors_of_averages_have_what_theta_leaves_uncertain() -> None:
    fit = glmm_fit("quine_pois")
    table = fit.means("Sex", random="average")
    middle = fit.means("Sex")
    theta, se = natural_errors(fit.internals).values[0], natural_errors(fit.internals).se[0]
    estimates = fit.internals.estimates
    cov, p = estimates.parameter_cov, len(fit.beta)
    assert cov is not None
    L = np.array([[1.0, 0.0, 0.5], [1.0, 1.0, 0.5]])  # ethnicity is averaged
    np.testing.assert_allclose(L @ fit.beta, middle["mean"], rtol=1e-12)
    between = L @ estimates.problem.beta_of_gamma @ cov[1 : 1 + p, 0] * (se / np.sqrt(cov[0, 0]))
    known = np.sqrt(middle["se"] ** 2 + theta**2 * se**2 + 2.0 * theta * between)  # of eta + theta^2 / 2
    np.testing.assert_allclose(table["se"], known, rtol=1e-5)
    held = fit.means("Sex", random="average", se="rx")
    np.testing.assert_allclose(held["se"], fit.means("Sex", se="rx")["se"], rtol=1e-9)


def test_with_a_logit_link_means_are_integrals_and_slopes_count_where_the_covariate_is() -> None:
    fit = glmm_fit("contra_slope")
    for at in (None, {"age": 0.0}):
        table = fit.means("urban", at=at, scale="response", random="average")
        middle = fit.means("urban", at=at)["mean"]
        G = fit.varcorr["district"].cov
        for level, z in (("N", np.array([1.0, 0.0])), ("Y", np.array([1.0, 1.0]))):
            sd = float(np.sqrt(z @ G @ z))
            known = quad(lambda v, s=sd, m=middle[level]: expit(m + s * v) * norm.pdf(v), -12, 12, epsabs=1e-13)[0]
            assert table["mean"][level] == pytest.approx(known, rel=1e-10)
    linked = fit.means("urban", random="average")
    response = fit.means("urban", scale="response", random="average")
    np.testing.assert_allclose(linked["mean"], logit(response["mean"]), rtol=1e-9)
    np.testing.assert_allclose(response["lower"], expit(linked["lower"]), rtol=1e-9)
    odds = fit.means("urban", pairs=True, scale="response", random="average")
    assert odds["odds_ratio"].iloc[0] == pytest.approx(np.exp(linked["mean"]["N"] - linked["mean"]["Y"]), rel=1e-9)


def test_averages_are_means_of_simulated_levels() -> None:
    fit = glmm_fit("cbpp_logit")
    rng = np.random.default_rng(1)
    b = fit.varcorr["herd"].sd[0] * rng.standard_normal(400_000)
    eta = fit.means("period")["mean"]
    table = fit.means("period", scale="response", random="average")
    for level in table.index:
        drawn = expit(eta[level] + b)
        assert abs(table["mean"][level] - drawn.mean()) < 4.0 * drawn.std() / np.sqrt(b.size)


def test_the_error_of_an_average_is_that_of_fits_nearby() -> None:
    """The delta method against the average as a function of all parameters, by differences."""
    fit = glmm_fit("cbpp_logit")
    table = fit.means("period", scale="response", random="average")
    cov = fit.internals.estimates.parameter_cov
    assert cov is not None
    problem, at = fit.internals.problem, fit.internals.searched.at.at

    def average(psi: np.ndarray) -> np.ndarray:
        beta, sd = problem.beta(psi[1:]), abs(psi[0]) * np.sqrt(fit.theta[0] ** 2 / at.theta[0] ** 2)
        eta = beta[0] + np.concatenate([[0.0], beta[1:]])
        return np.array([quad(lambda v, e=e: expit(e + sd * v) * norm.pdf(v), -12, 12)[0] for e in eta])

    J = np.array([(average(at.x + h) - average(at.x - h)) / 2e-4 for h in 1e-4 * np.eye(5)]).T
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(J @ cov @ J.T)), rtol=1e-6)


def test_a_random_column_that_is_not_fixed_is_at_its_mean() -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(15), 6), "f": ["a", "b"] * 45, "x": rng.uniform(1.0, 3.0, 90)})
    slope = 0.4 * rng.standard_normal(15)
    data["y"] = rng.poisson(np.exp(0.6 + 0.3 * (data["f"] == "b") + slope[data["g"]] * data["x"]))
    fit = mme.glmer("y ~ f + (0 + x | g)", data, "poisson")
    middle, mean = fit.means("f"), fit.means("f", random="average")
    variance = float(fit.varcorr["g"].cov[0, 0]) * data["x"].mean() ** 2
    np.testing.assert_allclose(mean["mean"] - middle["mean"], 0.5 * variance, rtol=1e-10)


def test_a_singular_fit_has_its_means_in_the_middle() -> None:
    case: dict[str, Any] = {"y": [1, 2, 1, 2, 2, 1, 1, 2], "f": list("abababab"), "g": [1, 1, 2, 2, 3, 3, 4, 4]}
    fit = mme.glmer("y ~ f + (1 | g)", case, "poisson")
    assert fit.singular
    pd.testing.assert_frame_equal(fit.means("f", random="average"), fit.means("f"), rtol=1e-9)


def test_other_words_are_refused() -> None:
    with pytest.raises(mme.MMEError, match="random must be False"):
        glmm_fit("cbpp_logit").means("period", random=True)


def test_a_mean_that_moves_with_thresholds_is_on_the_scale_of_the_link_alone() -> None:
    data = glmm_case("wine_binary").data
    data = data.assign(warm=(data["temp"] == "warm").astype(float), touch=(data["contact"] == "yes").astype(float))
    fit = mme.glmer("rating ~ 0 + warm + touch + (1 | judge)", data, mme.Ordinal())
    with pytest.raises(mme.MMEError, match="parameters of its own"):
        fit.means("warm", random="average")
    with pytest.raises(mme.MMEError, match="has no letters, and se='hessian'"):
        fit.means("warm", scale="response", letters=True)
    pairs = fit.means("warm", pairs=True, scale="response")
    assert pairs["odds_ratio"].iloc[0] == pytest.approx(np.exp(-fit.beta["warm"]), rel=1e-9)


def test_an_average_at_the_levels_of_the_only_factor_is_the_prediction_of_a_new_level() -> None:
    fit = glmm_fit("cbpp_logit")
    table = fit.means("period", scale="response", random="average")
    rows = fit.predict({"period": list(table.index)}, random="average", interval="confidence")
    np.testing.assert_allclose(table["mean"], rows["fit"], rtol=1e-12)
    for column in ("se", "lower", "upper"):
        np.testing.assert_allclose(table[column], rows[column], rtol=1e-6)
