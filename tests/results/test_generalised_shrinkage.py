"""Estimates of a level from its own records: closed forms, levels without a maximum, and the linear model."""

import numpy as np
import pandas as pd
import pytest

import mme


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(9), 7)
    x = rng.normal(size=g.size)
    mu = np.exp(0.4 + 0.3 * x + rng.normal(0.0, 0.7, 9)[g] + rng.normal(0.0, 0.3, 9)[g] * x)
    return pd.DataFrame({"y": rng.poisson(mu), "x": x, "g": g + 2001})


def test_an_intercept_alone_is_a_log_of_a_ratio(counts):
    data = counts.assign(y=counts.y.where(counts.g != 2003, 0))
    fit = mme.glmer("y ~ x + (1 | g)", data, "poisson")
    table = fit.shrinkage()["g"]
    sums = pd.DataFrame({"y": data.y, "mu": np.exp(fit.beta["x"] * data.x)}).groupby(data.g).sum()
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(table["no_pooling"], np.log(sums.y / sums.mu), atol=1e-9)
    assert table.loc[2003, "no_pooling"] == -np.inf
    np.testing.assert_allclose(table["partial_pooling"], fit.coef()["g"]["(Intercept)"])
    G = pd.Series(fit.fitted).groupby(data.g).sum()
    prior = fit.varcorr["g"].cov[0, 0]
    np.testing.assert_allclose(table["weight"], prior * G / (1.0 + prior * G))


def test_slopes_alone_solve_the_equations_of_their_level(counts):
    fit = mme.glmer("y ~ x + (x | g)", counts, "poisson")
    own = fit.shrinkage()["g"]["no_pooling"].unstack()
    of_record = own.loc[counts.g].to_numpy()
    residual = counts.y - np.exp(of_record[:, 0] + of_record[:, 1] * counts.x)
    score = pd.DataFrame({"one": residual, "x": residual * counts.x}).groupby(counts.g).sum()
    np.testing.assert_allclose(score, 0.0, atol=1e-8)


def test_a_normal_response_has_the_table_of_the_linear_model():
    dyes = mme.load("Dyestuff")
    linear = mme.lmer("Yield ~ 1 + (1 | Batch)", dyes, method="ML").shrinkage()["Batch"]
    general = mme.glmer("Yield ~ 1 + (1 | Batch)", dyes, mme.Gaussian()).shrinkage()["Batch"]
    pd.testing.assert_frame_equal(general, linear, rtol=1e-6)


def test_answers_all_alike_have_no_maximum_of_their_own():
    data = pd.DataFrame({"y": [0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0], "g": list("aaaabbbbcccc")})
    own = mme.glmer("y ~ 1 + (1 | g)", data, "binomial").shrinkage()["g"]["no_pooling"]
    assert own["a"] == -np.inf
    assert own["b"] == np.inf
    assert abs(own["c"]) < 1e-9
