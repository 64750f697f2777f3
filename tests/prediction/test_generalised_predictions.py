"""Predictions of generalised models: glmmTMB's standard errors, joint densities of few records, averages over b."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, ndtr

import mme
from mme.generalised.marginal import marginal_means
from tests.glmm import FOLDER, glmm_case, glmm_fit

RECORDS = json.loads((FOLDER / "records.json").read_text())
CASES = ["cbpp_logit", "cross_logit", "cross_pois", "contra_slope", "quine_nb2"]
NONE = np.empty(0)


def some_rows(name: str) -> Any:
    """The rows of a case that were predicted by glmmTMB."""
    return glmm_case(name).data.iloc[RECORDS[name]["rows"]]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["link", "response", "population", "new"])
def test_predictions_and_their_standard_errors_are_those_of_glmmtmb(name: str, kind: str) -> None:
    fit, known, data = glmm_fit(name), RECORDS[name]["glmmTMB"][kind], some_rows(name)
    options: dict[str, Any] = {"type": "response" if kind == "response" else "link", "random": kind != "population"}
    if kind == "new":
        data = data.assign(**{_first_group(name): "of no level"})
        options["new_levels"] = "population"
    found = fit.predict(data, interval="confidence", **options)
    np.testing.assert_allclose(found["fit"], known["fit"], rtol=2e-5, atol=2e-6)
    # glmmTMB takes its Hessian from differences of an optimum of seven digits
    np.testing.assert_allclose(found["se"], known["se.fit"], rtol=5e-4)


def _first_group(name: str) -> str:
    return {"cbpp_logit": "herd", "contra_slope": "district", "quine_nb2": "cell"}.get(name, "a")


def test_rows_of_the_fit_are_predicted_as_fitted_and_names_choose_effects() -> None:
    fit = glmm_fit("cross_pois")
    np.testing.assert_allclose(fit.predict(), fit.fitted, rtol=1e-12)
    parts = [fit.predict(type="link", random=one) for one in ("a.(Intercept)", "a.x", "b")]
    population = fit.predict(type="link", random=False)
    whole = sum(one - population for one in parts) + population
    np.testing.assert_allclose(whole, fit.predict(type="link"), rtol=1e-12)


def test_intervals_on_the_scale_of_the_mean_are_those_of_the_link() -> None:
    fit = glmm_fit("cbpp_logit")
    mean = fit.predict(interval="confidence", level=0.9)
    eta = fit.predict(type="link", interval="confidence", level=0.9)
    np.testing.assert_allclose(mean[["fit", "lower", "upper"]], expit(eta[["fit", "lower", "upper"]]), rtol=1e-12)
    p = mean["fit"]
    np.testing.assert_allclose(mean["se"], eta["se"] * p * (1 - p), rtol=1e-12)


def test_standard_errors_are_those_of_modes_that_move_with_the_parameters() -> None:
    """E of (U) against differences of the modes, found again at other parameters."""
    fit = glmm_fit("cross_pois")
    estimates, searched = fit.internals.estimates, fit.internals.searched
    at, criterion = searched.at, searched.criterion
    F = np.linalg.cholesky(estimates.parameter_cov)
    h = 1e-3
    total = [block.T * 0.0 for block in at.mode.prior.b(at.mode.u)]
    for column in F.T:
        ends = []
        for sign in (1.0, -1.0):
            x = at.at.x.copy()
            x[searched.free] += sign * h * column
            found = criterion.at(criterion.point(x))
            assert found is not None
            ends.append(found.mode.prior.b(found.mode.u))
        total = [t + ((a - b).T / (2 * h)) ** 2 for t, a, b in zip(total, *ends, strict=True)]
    for known, V in zip(total, estimates.moves.variances(), strict=True):
        np.testing.assert_allclose(np.einsum("gaa->ga", V), known, rtol=1e-4)


@pytest.mark.parametrize("s", [1e-3, 0.3, 1.0, 4.0, 12.0])
def test_averages_over_b_have_all_digits(s: float) -> None:
    eta = np.array([-9.0, -1.3, 0.0, 2.5])
    variance = np.full(4, s * s)
    found = marginal_means(mme.Poisson(), eta, variance, NONE)
    np.testing.assert_allclose(found.mean, np.exp(eta + s * s / 2), rtol=1e-13)
    np.testing.assert_allclose(found.by_variance, 0.5 * found.mean, rtol=1e-9)
    square = marginal_means(mme.Poisson(link="sqrt"), eta, variance, NONE)
    np.testing.assert_allclose(square.mean, eta**2 + s * s, rtol=1e-13)
    np.testing.assert_allclose(square.by_variance, np.ones(4), rtol=1e-9)
    logit = marginal_means(mme.Binomial(), eta, variance, NONE)
    v, w = np.polynomial.hermite_e.hermegauss(100)
    if s <= 1.0:
        np.testing.assert_allclose(logit.mean, expit(eta[:, None] + s * v) @ w / w.sum(), rtol=1e-11)
    for step, slope in ((np.array([0.0, 1e-3]), logit.by_variance), (np.array([1e-3, 0.0]), logit.by_eta)):
        scale = max(1.0, s * s)
        ends = [
            marginal_means(mme.Binomial(), eta + t * step[0], variance + t * scale * min(s * s, 1.0) * step[1], NONE)
            for t in (1.0, -1.0)
        ]
        width = 2e-3 * (scale * min(s * s, 1.0) if step[1] else 1.0)
        np.testing.assert_allclose((ends[0].mean - ends[1].mean) / width, slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("link", ["probit", "cauchit"])
def test_averages_of_other_links_are_those_of_closed_forms(link: str) -> None:
    family = mme.Binomial(link=link)
    eta, s = np.array([-3.0, 0.2, 1.0]), 2.5
    found = marginal_means(family, eta, np.full(3, s * s), NONE).mean
    if link == "probit":
        np.testing.assert_allclose(found, ndtr(eta / np.sqrt(1 + s * s)), rtol=1e-13)
    else:  # Voigt's distribution
        from scipy.integrate import quad

        density = lambda v, e: (0.5 + np.arctan(e + s * v) / np.pi) * np.exp(-v * v / 2) / np.sqrt(2 * np.pi)  # noqa: E731
        known = [quad(density, -9, 9, args=(e,), epsabs=1e-14, epsrel=1e-13, limit=300)[0] for e in eta]
        np.testing.assert_allclose(found, known, rtol=1e-12)


def test_the_average_over_b_is_that_of_a_million_draws() -> None:
    fit = glmm_fit("contra_slope")
    data = glmm_case("contra_slope").data.iloc[[0, 400, 900]].drop(columns="district")
    found = fit.predict(data, random="average", interval="confidence")
    eta = fit.predict(data, type="link", random=False).to_numpy()
    T = np.linalg.cholesky(fit.varcorr["district"].cov)
    b = np.random.default_rng(1).standard_normal((10**6, 2)) @ T.T
    z = np.column_stack([np.ones(3), (data["urban"] == "Y").astype(float)])
    means = expit(eta[:, None] + z @ b.T)
    error = means.std(axis=1) / 1000.0
    assert (np.abs(found["fit"] - means.mean(axis=1)) < 4 * error).all()
    assert (found["lower"] < found["fit"]).all()
    assert (found["fit"] < found["upper"]).all()


def test_the_standard_error_of_an_average_is_that_of_the_delta_method() -> None:
    fit = glmm_fit("contra_slope")
    data = glmm_case("contra_slope").data.iloc[[0, 400]]
    found = fit.predict(data, random="average", interval="confidence")
    searched, estimates = fit.internals.searched, fit.internals.estimates
    model, at = fit.model, searched.at.at
    X = fit.model.X[[0, 400]]
    z = np.column_stack([np.ones(2), (data["urban"] == "Y").astype(float)])

    def means(x: np.ndarray) -> np.ndarray:
        point = searched.criterion.point(x)
        T = model.T(model.coordinates.outer(point.theta))[0]
        eta = X @ fit.internals.problem.beta(point.gamma)
        return marginal_means(fit.family, eta, ((z @ T) ** 2).sum(axis=1), NONE).mean

    J = np.array([(means(at.x + 1e-5 * e) - means(at.x - 1e-5 * e)) / 2e-5 for e in np.eye(at.x.size)]).T
    np.testing.assert_allclose(found["se"], np.sqrt(np.diag(J @ estimates.parameter_cov @ J.T)), rtol=1e-6)


def test_an_average_that_does_not_exist_is_refused() -> None:
    fit = glmm_fit("cbpp_logit")
    with pytest.raises(mme.MMEError, match="random=False"):
        fit.predict(random="average", type="link")
    with pytest.raises(mme.MMEError, match="interval must be None, 'confidence' or 'prediction'"):
        fit.predict(interval="credible")
    with pytest.raises(mme.MMEError, match="type must be"):
        fit.predict(type="mean")
    with pytest.raises(mme.MMEError, match="did not see"):
        fit.predict(glmm_case("cbpp_logit").data.head(1).assign(herd="new"))


def test_new_times_of_known_series_are_those_of_records_that_count_for_nothing() -> None:
    rng = np.random.default_rng(8)
    g, time = np.repeat(np.arange(12), 10), np.tile(np.arange(10.0), 12)
    y = rng.poisson(np.exp(1.0 + np.sin(time + g)))
    data = pd.DataFrame({"y": y, "g": g, "time": time})
    new = pd.DataFrame({"y": 0, "g": [0, 0, 5], "time": [3.5, 11.0, 4.25]})
    fit = mme.glmer("y ~ 1 + ou(time | g)", data, "poisson")
    found = fit.predict(new, type="link", interval="confidence")
    weights = np.r_[np.ones(120), np.zeros(3)]
    beside = mme.glmer("y ~ 1 + ou(time | g)", pd.concat([data, new], ignore_index=True), "poisson", weights=weights)
    known = beside.predict(type="link", interval="confidence").tail(3)
    np.testing.assert_allclose(found["fit"], known["fit"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["se"], known["se"], rtol=1e-3)


FAMILIES = [
    *(mme.Binomial(link=link) for link in ("logit", "probit", "cloglog", "cauchit")),
    *(mme.Poisson(link=link) for link in ("log", "sqrt")),
    *(mme.Gamma(link=link) for link in ("log", "inverse")),
    *(mme.Gaussian(link=link) for link in ("identity", "log")),
    mme.InverseGaussian(link="log"),
    mme.NegativeBinomial(),
    mme.NegativeBinomial(kind=1),
    mme.Beta(),
    mme.Tweedie(),
]


@pytest.mark.parametrize("family", FAMILIES, ids=repr)
def test_every_family_answers_what_is_asked_of_its_records(family: Any) -> None:
    rng = np.random.default_rng(1)
    n, g = 400, np.repeat(np.arange(40), 10)
    x, tau = rng.normal(size=n), np.full(len(family.parameters), -1.5)
    size = {"inverse": (2.0, 0.1), "identity": (4.0, 0.3), "sqrt": (4.0, 0.3)}.get(family.link, (0.3, 0.5))
    eta = size[0] + size[1] * (x + rng.normal(size=40)[g])
    y = family.draw(eta, np.ones(n), tau, rng)
    fit = mme.glmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}), family)
    for random in (True, False, "average"):
        found = fit.predict(random=random, interval="confidence")
        assert np.isfinite(found[["fit", "lower", "upper", "se"]]).all(axis=None)
        assert ((found["lower"] <= found["fit"]) & (found["fit"] <= found["upper"])).all()
    for kind in ("response", "pearson", "deviance", "working", "quantile"):
        assert np.isfinite(fit.residuals(kind, seed=1)).all()
    assert fit.residuals("quantile", seed=1).std() == pytest.approx(1.0, abs=0.15)
    assert fit.leverage().between(0.0, 1.0, inclusive="neither").all()
    assert 0.0 < fit.r2()["marginal"] <= fit.r2()["conditional"] < 1.0
    assert fit.refit(fit.simulate(seed=2).iloc[:, 0]).optimum.converged


@pytest.mark.parametrize("link", ["identity", "sqrt", "inverse"])
def test_intervals_end_where_means_end(link: str) -> None:
    rng = np.random.default_rng(1)
    y = rng.gamma(2.0, 2.0, 30) if link == "inverse" else rng.poisson(1.7, 30)
    rows = {"y": y, "x": rng.normal(size=30), "g": np.repeat(np.arange(6), 5)}
    fit = mme.glmer("y ~ x + (1 | g)", rows, (mme.Gamma if link == "inverse" else mme.Poisson)(link=link))
    at = {"x": np.linspace(-8.0, 8.0, 161)}
    eta = fit.predict(at, random=False, interval="confidence", type="link")
    mean = fit.predict(at, random=False, interval="confidence")
    passes = (eta["fit"] > 0.0) & (eta["lower"] < 0.0)
    assert passes.any()
    assert not mean.loc[eta["fit"] > 0.0, ["lower", "upper"]].isna().any(axis=None)
    assert (mean.loc[passes, "upper" if link == "inverse" else "lower"] == (np.inf if link == "inverse" else 0.0)).all()
