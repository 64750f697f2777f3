"""Intervals of generalised fits: glmmTMB's, lme4's, linear models as a special case, and profiles by definition."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, norm

import mme
from mme.fitted.natural import generalised_values
from mme.generalised.laplace import Psi
from mme.inference.intervals.generalised_held import GeneralisedMaximum
from mme.inference.intervals.generalised_wald import natural_errors
from tests.glmm import FOLDER, glmm_case, glmm_fit

PROFILES: dict[str, Any] = json.loads((FOLDER / "profiles.json").read_text())
RISE = float(chi2.ppf(0.95, 1))


@pytest.fixture(scope="module")
def counts() -> pd.DataFrame:
    """Counts of 20 groups with an intercept and a slope each, and an exposure."""
    rng = np.random.default_rng(11)
    g, x = np.repeat(np.arange(20), 7), np.tile(np.linspace(-1.0, 1.0, 7), 20)
    b = rng.multivariate_normal([0.0, 0.0], [[0.4, 0.15], [0.15, 0.3]], 20)
    off = rng.uniform(-0.5, 0.5, g.size)
    y = rng.poisson(np.exp(0.5 + 0.3 * x + b[g, 0] + b[g, 1] * x + off))
    return pd.DataFrame({"y": y, "x": x, "g": g, "off": off})


@pytest.fixture(scope="module")
def slopes(counts: pd.DataFrame) -> mme.GeneralisedFit:
    return mme.glmer("y ~ x + offset(off) + (x | g)", counts, "poisson")


def test_a_question_holds_one_parameter_and_leaves_all_others_free(counts: pd.DataFrame) -> None:
    fit = mme.glmer("y ~ x + offset(off) + (x | g)", counts, mme.NegativeBinomial())
    maximum = GeneralisedMaximum.of(fit.internals)
    for at, name in enumerate(maximum.names):
        question = maximum.question(name)
        psi = question.point(question.start, 0.9 * question.estimate)
        assert question.start.size == maximum.psi.size - 1 == psi.size - 1
        is_curved = maximum.family_parameter(name) is not None  # it is held by its coordinate
        assert (psi[-1] if is_curved else maximum.values(psi)[at]) == pytest.approx(0.9 * question.estimate, rel=1e-9)


def lowest(fit: mme.GeneralisedFit, theta_of: Any, start: np.ndarray) -> float:
    """The lowest criterion over z and beta with theta_of(z), by values alone."""
    problem, criterion = fit.internals.problem, fit.internals.searched.criterion
    k = start.size

    def value(z: np.ndarray) -> float:
        inner = fit.model.coordinates.inner(theta_of(z[:k]))
        found = criterion.at(Psi(inner, problem.gamma(z[k:]), np.zeros(0)))
        return 1e10 if found is None else found.value

    options = {"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000, "maxfev": 4000}
    first = minimize(value, np.concatenate([start, fit.beta]), method="Nelder-Mead", options=options)
    return float(minimize(value, first.x, method="Nelder-Mead", options=options).fun)


def test_wald_intervals_are_those_of_glmmtmb() -> None:
    known = {
        "sd_(Intercept)|herd": (0.37244322, 1.10755154),
        "(Intercept)": (-1.85416931, -0.94289562),
        "period2": (-1.59334054, -0.39132405),
        "period3": (-1.76886964, -0.48847296),
        "period4": (-2.41807402, -0.74255335),
    }
    found = glmm_fit("cbpp_logit").confint()
    assert found.index.tolist() == list(known)
    np.testing.assert_allclose(found.to_numpy(), list(known.values()), rtol=1e-5)


def test_a_dispersion_has_the_intervals_of_glmmtmb() -> None:
    fit = glmm_fit("pos_gamma")
    wald, profile = fit.confint(), fit.confint("profile")
    np.testing.assert_allclose(wald.loc["dispersion"], np.square([0.498622521, 0.591066070]), rtol=1e-6)
    np.testing.assert_allclose(wald.loc["sd_(Intercept)|g"], [0.346293321, 0.621976526], rtol=1e-5)
    np.testing.assert_allclose(wald.loc["x"], [0.358936864, 0.495515271], rtol=1e-5)
    # TMB's profiles are interpolated: to a ten-thousandth
    known = {
        "sd_(Intercept)|g": np.exp([-1.051066029, -0.459303661]),
        "dispersion": np.exp([-1.387516336, -1.047201422]),
        "(Intercept)": [0.839996518, 1.208683127],
        "x": [0.358755972, 0.495900595],
    }
    assert profile.index.tolist() == list(known)
    np.testing.assert_allclose(profile.to_numpy(), list(known.values()), rtol=2e-4)


@pytest.mark.parametrize("name", list(PROFILES))
def test_profile_intervals_are_those_of_lme4(name: str) -> None:
    known = PROFILES[name]
    found = glmm_fit(name).confint("profile")
    assert found.index.tolist() == known["names"]
    width = np.array(known["upper"]) - np.array(known["lower"])
    assert (np.abs(found["lower"] - known["lower"]) < 2e-4 * width).all()
    assert (np.abs(found["upper"] - known["upper"]) < 2e-4 * width).all()


def test_at_the_limits_of_an_effect_that_is_an_offset_the_deviance_is_the_quantile_higher(
    counts: pd.DataFrame, slopes: mme.GeneralisedFit
) -> None:
    for limit in slopes.confint("profile", parameters="x").loc["x"]:
        held = mme.glmer("y ~ 1 + offset(off + at) + (x | g)", counts.assign(at=limit * counts["x"]), "poisson")
        assert held.criterion - slopes.criterion == pytest.approx(RISE, abs=2e-7)


def test_at_the_limits_of_deviations_and_correlations_the_deviance_is_the_quantile_higher(
    slopes: mme.GeneralisedFit,
) -> None:
    profile = slopes.profile()
    limits = profile.confint()
    sd, (r, other) = float(slopes.varcorr["g"].sd[0]), (slopes.varcorr["g"].corr[0, 1], slopes.varcorr["g"].sd[1])
    for limit in limits.loc["sd_(Intercept)|g"]:
        found = lowest(slopes, lambda z, at=limit: np.array([at, z[0], z[1]]), slopes.theta[1:])
        assert found - slopes.criterion == pytest.approx(RISE, abs=1e-5)
    low, high = limits.loc["cor_x.(Intercept)|g"]
    at_one = float(profile.curves["cor_x.(Intercept)|g"].zeta[-1]) ** 2
    assert high == 1.0  # the likelihood does not fall so far before the bound
    assert at_one < RISE
    for limit, rise in ((low, RISE), (high, at_one)):
        found = lowest(
            slopes,
            lambda z, at=limit: np.array([z[0] ** 2, at * z[1] ** 2, np.sqrt(1.0 - at * at) * z[1] ** 2]),
            np.sqrt([sd, other]),
        )
        assert found - slopes.criterion == pytest.approx(rise, abs=1e-5)
    for limit in limits.loc["sd_x|g"]:
        found = lowest(
            slopes,
            lambda z, at=limit: np.array([z[0], at * np.tanh(z[1]), at / np.cosh(z[1])]),
            np.array([sd, np.arctanh(r)]),
        )
        assert found - slopes.criterion == pytest.approx(RISE, abs=1e-5)


def test_a_gaussian_profile_is_that_of_the_linear_model_by_maximum_likelihood() -> None:
    data = mme.load("sleepstudy")
    linear = mme.lmer("Reaction ~ Days + (Days | Subject)", data, method="ML")
    fit = mme.glmer("Reaction ~ Days + (Days | Subject)", data, mme.Gaussian())
    known, found = linear.confint("profile"), fit.confint("profile")
    variance = found.loc["dispersion"]
    np.testing.assert_allclose(np.sqrt(variance), known.loc["sigma"], rtol=1e-6)
    rest = known.index.drop("sigma")
    assert found.index.drop("dispersion").tolist() == rest.tolist()
    width = known.loc[rest, "upper"] - known.loc[rest, "lower"]
    for side in ("lower", "upper"):
        assert (np.abs(found.loc[rest, side] - known.loc[rest, side]) < 1e-6 * width).all()


def test_the_profile_of_a_quadrature_is_of_its_own_criterion(counts: pd.DataFrame) -> None:
    fit = mme.glmer("y ~ x + offset(off) + (1 | g)", counts, "poisson", n_agq=7)
    limit = float(fit.confint("profile", parameters="x").loc["x", "upper"])
    held = mme.glmer("y ~ 1 + offset(off + at) + (1 | g)", counts.assign(at=limit * counts["x"]), "poisson", n_agq=7)
    assert held.criterion - fit.criterion == pytest.approx(RISE, abs=2e-7)


def test_knots_hold_all_parameters_and_zeta_is_the_root_of_the_rise(slopes: mme.GeneralisedFit) -> None:
    profile = slopes.profile("sd_x|g")
    curve = profile.curves["sd_x|g"]
    place = profile.names.index("sd_x|g")
    np.testing.assert_array_equal(curve.parameters[:, place], curve.values)
    assert (np.diff(curve.zeta) > 0.0).all()
    assert profile.deviance == slopes.criterion
    known = generalised_values(slopes.model, slopes.theta, np.zeros(0), slopes.beta.to_numpy())
    np.testing.assert_allclose(profile.estimates, known, rtol=1e-9)


@pytest.mark.parametrize("name", ["singular_logit", "singular_slope", "tiny_pois"])
def test_profiles_of_fits_at_the_edge_end_at_the_bound_and_are_finite_beyond(name: str) -> None:
    fit = glmm_fit(name)
    limits = fit.confint("profile")
    assert np.isfinite(limits.to_numpy()).all()
    assert (limits["lower"] <= limits["upper"]).all()
    deviations = limits[limits.index.str.startswith("sd_")]
    assert (deviations["lower"] >= 0.0).all()
    wald = fit.confint()
    assert wald.index.tolist() == limits.index.tolist()
    assert np.isfinite(wald.loc[list(fit.fixed_names)].to_numpy()).all()


def test_a_deviation_of_zero_has_no_standard_error_and_no_wald_interval() -> None:
    fit = mme.glmer("y ~ 1 + (1 | g)", {"y": [1, 2, 1, 2, 2, 1, 1, 2], "g": [1, 1, 2, 2, 3, 3, 4, 4]}, "poisson")
    assert fit.singular
    assert np.isnan(fit.confint().loc["sd_(Intercept)|g"]).all()
    assert np.isnan(natural_errors(fit.internals).se).all()
    limits = fit.confint("profile").loc["sd_(Intercept)|g"]
    assert limits["lower"] == 0.0 < limits["upper"] < 2.0


def test_standard_errors_of_deviations_are_by_the_delta_method(slopes: mme.GeneralisedFit) -> None:
    found = natural_errors(slopes.internals)
    H = np.zeros((5, 5))
    problem, criterion = slopes.internals.problem, slopes.internals.searched.criterion

    def value(v: np.ndarray) -> float:
        theta = np.array([v[0], v[1] * v[2], np.sqrt(1.0 - v[1] ** 2) * v[2]])
        at = criterion.at(Psi(slopes.model.coordinates.inner(theta), problem.gamma(v[3:]), np.zeros(0)))
        assert at is not None
        return at.value

    v, h = np.concatenate([found.values, slopes.beta]), 2e-3
    for i, j in np.ndindex(5, 5):
        a, b = h * np.eye(5)[i], h * np.eye(5)[j]
        H[i, j] = (value(v + a + b) - value(v + a - b) - value(v - a + b) + value(v - a - b)) / (4.0 * h * h)
    se = np.sqrt(np.diag(2.0 * np.linalg.inv(H)))
    np.testing.assert_allclose(found.se, se[:3], rtol=2e-4)
    np.testing.assert_allclose(slopes.se, se[3:], rtol=2e-4)
    r, z = found.values[1], norm.ppf(0.975)
    ends = np.tanh(np.arctanh(r) + np.array([-z, z]) * found.se[1] / (1.0 - r * r))
    np.testing.assert_allclose(slopes.confint().loc["cor_x.(Intercept)|g"], ends, rtol=1e-5)


def test_wald_intervals_hold_theta_by_word(slopes: mme.GeneralisedFit) -> None:
    table, limits = slopes.coefficients("rx"), slopes.confint(se="rx")
    np.testing.assert_allclose(limits.loc[table.index], table[["lower", "upper"]], rtol=1e-12)


def test_what_cannot_be_asked_is_refused(slopes: mme.GeneralisedFit) -> None:
    with pytest.raises(mme.MMEError, match="there is no parameter 'sigma'; the model has sd_"):
        slopes.profile("sigma")
    with pytest.raises(mme.MMEError, match="method is 'wald', 'profile' or 'bootstrap'"):
        slopes.confint("likelihood")
    with pytest.raises(mme.MMEError, match="ddf"):
        slopes.confint(ddf="satterthwaite")
    fast = mme.glmer("y ~ 1 + (1 | g)", {"y": [0, 1, 2, 4, 9, 7], "g": [1, 1, 2, 2, 3, 3]}, "poisson", n_agq=0)
    with pytest.raises(mme.MMEError, match="fit with n_agq=1"):
        fast.profile()


def test_data_that_are_separated_have_no_profile_and_no_limits_of_what_grows() -> None:
    case = glmm_case("sep_quasi")
    with pytest.warns(mme.MMEWarning, match="no finite maximum"):
        fit = case.fit()
    with pytest.raises(mme.MMEError, match="no finite maximum to profile around"):
        fit.profile()


def test_intervals_of_a_bootstrap_are_those_of_its_replicates(slopes: mme.GeneralisedFit) -> None:
    found = slopes.confint("bootstrap", n=30, seed=4, workers=1)
    pd.testing.assert_frame_equal(found, slopes.bootstrap(30, seed=4, workers=1).confint())
    assert found.index.tolist() == slopes.confint().index.tolist()


def test_a_size_without_end_has_an_interval_that_has_none() -> None:
    rng = np.random.default_rng(5)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 6)})
    data["y"] = rng.poisson(np.exp(1.0 + 0.3 * rng.standard_normal(20)[data["g"]]))
    fit = mme.glmer("y ~ 1 + (1 | g)", data, mme.NegativeBinomial())
    curve = fit.profile("size").curves["size"]
    low, high = fit.confint("profile", parameters="size").loc["size"]
    # at the lower limit the size is given: the deviance is the quantile higher
    held = mme.glmer("y ~ 1 + (1 | g)", data, mme.NegativeBinomial(size=float(low)))
    assert held.criterion - fit.criterion == pytest.approx(RISE, abs=1e-6)
    assert high == np.inf
    assert curve.bounds == (0.0, np.inf)


def test_thresholds_and_powers_have_profiles() -> None:
    data = glmm_case("wine_binary").data
    X = np.column_stack([data["temp"] == "warm", data["contact"] == "yes"]).astype(float)
    groups = mme.Term(data["judge"].astype(str).to_numpy(), name="judge")
    fit = mme.glm_fit(data["rating"].to_numpy(), X, [groups], mme.Ordinal())
    wald, profile = fit.confint(), fit.confint("profile")
    assert profile.index.tolist() == ["sd_(Intercept)|judge", "1|2", "2|3", "3|4", "4|5", "x1", "x2"]
    assert (np.abs(profile - wald) < 0.2 * (wald["upper"] - wald["lower"]).to_numpy()[:, None]).to_numpy().all()
    # x1 at its limit is an offset
    limit = float(profile.loc["x1", "upper"])
    held = mme.glm_fit(data["rating"].to_numpy(), X[:, 1:], [groups], mme.Ordinal(), offset=limit * X[:, 0])
    assert held.criterion - fit.criterion == pytest.approx(RISE, abs=1e-6)
