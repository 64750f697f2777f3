"""Variances of generalised fits as rows with standard errors and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import mme
from mme.inference.intervals.generalised_wald import natural_errors
from mme.results.generalised_variances import generalised_variance_rows
from tests.glmm import glmm_fit

Z = float(norm.ppf(0.975))


def test_rows_are_those_of_linear_models_with_the_errors_of_natural_parameters() -> None:
    fit = glmm_fit("contra_slope")
    rows, known = generalised_variance_rows(fit.internals, Z), natural_errors(fit.internals)
    assert rows.group.tolist() == ["district"] * 3
    assert rows.term.tolist() == ["sd (Intercept)", "sd urbanY", "cor (Intercept), urbanY"]
    places = [0, 2, 1]  # theta has the correlation in between
    np.testing.assert_allclose(rows.estimate, known.values[places], rtol=1e-9)
    np.testing.assert_allclose(rows.std_error, known.se[places], rtol=1e-6)
    limits = fit.confint().iloc[places]
    np.testing.assert_allclose(rows.lower, limits["lower"], rtol=1e-6)
    np.testing.assert_allclose(rows.upper, limits["upper"], rtol=1e-6)
    table = fit.tidy("variance")
    np.testing.assert_allclose(table["std_error"].astype(float), rows.std_error, rtol=1e-12)
    np.testing.assert_allclose(table["lower"].astype(float), rows.lower, rtol=1e-9)


def test_parameters_of_the_family_follow_with_the_intervals_of_glmmtmb() -> None:
    rows = generalised_variance_rows(glmm_fit("pos_gamma").internals, Z)
    assert rows.group.tolist() == ["g", "family"]
    assert rows.term.tolist() == ["sd (Intercept)", "dispersion"]
    np.testing.assert_allclose([rows.lower[1], rows.upper[1]], np.square([0.498622521, 0.591066070]), rtol=1e-6)


def test_ranges_of_processes_have_errors_and_deviations_of_zero_have_none() -> None:
    rng = np.random.default_rng(3)
    g, time = np.repeat(np.arange(25), 6), np.tile(np.arange(6.0), 25)
    K = 0.6 * np.exp(-np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0))) / 2.0)
    y = rng.poisson(np.exp(1.0 + rng.multivariate_normal(np.zeros(6), K, 25).ravel()))
    fit = mme.glmer("y ~ 1 + ou(time | g)", {"y": y, "g": g, "time": time}, "poisson")
    rows, wald = generalised_variance_rows(fit.internals, Z), fit.confint()
    assert rows.term.tolist() == ["sd (Intercept)", "range"]
    assert rows.estimate[1] == pytest.approx(fit.relationships["ou(time | g)"]["range"], rel=1e-9)
    np.testing.assert_allclose(rows.upper, wald["upper"].to_numpy()[:2], rtol=1e-6)
    profile = fit.confint("profile")
    assert profile.index.tolist() == wald.index.tolist()
    assert (np.abs(profile - wald) < 0.15 * (wald["upper"] - wald["lower"]).to_numpy()[:, None]).to_numpy().all()
    flat = mme.glmer("y ~ 1 + (1 | g)", {"y": [1, 2, 1, 2, 2, 1, 1, 2], "g": [1, 1, 2, 2, 3, 3, 4, 4]}, "poisson")
    assert np.isnan(generalised_variance_rows(flat.internals, Z).std_error).all()
