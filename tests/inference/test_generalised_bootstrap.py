"""Draws of generalised models, refits to them, and the bootstrap."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import mme
from mme.inference.intervals.generalised_bootstrap import bootstrap_generalised
from tests.glmm import glmm_case, glmm_fit


def simulated(seed: int = 1) -> pd.DataFrame:
    """Records of 40 groups."""
    rng = np.random.default_rng(seed)
    n, J = 600, 40
    g, x = rng.integers(0, J, n), rng.normal(size=n)
    eta = -0.3 + 0.5 * x + 0.8 * rng.normal(size=J)[g]
    return pd.DataFrame({"g": g, "x": x, "y": rng.binomial(1, expit(eta))})


@pytest.mark.parametrize("name", ["cbpp_logit", "cross_pois", "contra_slope"])
def test_a_refit_to_its_own_response_is_the_fit(name: str) -> None:
    fit = glmm_fit(name)
    y = fit.internals.rows.aligned(fit.internals.problem.data.y, "y")
    again = fit.refit(y)
    assert again.criterion == pytest.approx(fit.criterion, abs=1e-8)
    np.testing.assert_allclose(again.theta, fit.theta, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(again.beta, fit.beta, rtol=1e-4, atol=1e-6)
    assert again.optimum.evaluations < fit.optimum.evaluations


def test_a_refit_is_the_fit_of_the_model_to_that_response() -> None:
    fit, case = glmm_fit("cross_pois"), glmm_case("cross_pois")
    y = fit.simulate(seed=3).iloc[:, 0]
    again, anew = fit.refit(y), mme.glmer(case.json["formula"], case.data.assign(k=y.to_numpy()), "poisson")
    assert again.criterion == pytest.approx(anew.criterion, abs=1e-8)
    np.testing.assert_allclose(again.se, anew.se, rtol=1e-4)
    np.testing.assert_allclose(again.predict(), anew.predict(), rtol=1e-4)


def test_a_refit_from_a_singular_fit_leaves_the_edge() -> None:
    herds = {"herd": [1, 1, 2, 2, 3, 3], "ill": [2, 3, 4, 0, 8, 2], "of": [14, 12, 9, 5, 21, 22]}
    fit = mme.glmer("cbind(ill, of - ill) ~ 1 + (1 | herd)", herds, "binomial")
    assert fit.singular
    again = fit.refit(np.array([[14, 0], [11, 1], [1, 8], [0, 5], [2, 19], [4, 18]]))
    assert not again.singular
    assert again.varcorr["herd"].sd[0] > 1.0


def test_two_columns_are_successes_and_failures() -> None:
    fit, data = glmm_fit("cbpp_logit"), glmm_case("cbpp_logit").data
    both = np.column_stack([data["incidence"], data["size"] - data["incidence"]])
    assert fit.refit(both).criterion == pytest.approx(fit.criterion, abs=1e-8)
    with pytest.raises(mme.MMEError, match="has 3 values"):
        fit.refit([0.0, 1.0, 0.0])
    with pytest.raises(mme.MMEError, match="between 0 and 1"):
        fit.refit(np.full(len(data), 2.0))


def test_draws_have_the_means_of_averages_over_b() -> None:
    fit = glmm_fit("contra_slope")
    draws = fit.simulate(2000, seed=5).to_numpy()
    known = fit.predict(random="average").to_numpy()
    # districts make draws of one simulation alike: the standard error is between simulations
    error = draws.mean(axis=0).std() / np.sqrt(2000)
    assert abs(draws.mean() - known.mean()) < 4 * error
    assert set(np.unique(draws)) == {0.0, 1.0}


def test_the_bootstrap_is_one_whatever_the_number_of_processes() -> None:
    fit = glmm_fit("cbpp_logit")
    one = fit.bootstrap(12, seed=7, workers=1)
    two = fit.bootstrap(12, seed=7, workers=2)
    spawned = bootstrap_generalised(fit.internals, 4, 7, 2, False, start_method="spawn")
    np.testing.assert_array_equal(one.values, two.values)
    np.testing.assert_allclose(one.values[:4], spawned.values, rtol=1e-9)
    assert one.names == ("sd_(Intercept)|herd", *fit.fixed_names)
    assert one.n_failed == 0
    assert one.converged.all()
    np.testing.assert_array_equal(one.singular, one.values[:, 0] == 0.0)


def test_the_bootstrap_spreads_as_standard_errors_say() -> None:
    fit = mme.glmer("y ~ x + (1 | g)", simulated(), "binomial")
    boot = fit.bootstrap(300, seed=1, workers=2)
    assert boot.converged.all()
    found = boot.summary()
    np.testing.assert_allclose(found.loc[list(fit.fixed_names), "se"], fit.se, rtol=0.15)
    assert found.loc["sd_(Intercept)|g", "estimate"] == pytest.approx(fit.varcorr["g"].sd[0])
    assert (found["n"] == 300).all()


def test_a_replicate_is_the_refit_to_its_draw() -> None:
    fit = glmm_fit("cross_pois")
    boot = fit.bootstrap(2, seed=11, workers=1)
    rng = np.random.default_rng(np.random.SeedSequence(11, spawn_key=(1,)))
    again = fit.refit(fit.simulate(seed=rng).iloc[:, 0])
    np.testing.assert_allclose(boot.values[1, -len(again.beta) :], again.beta, rtol=1e-7)
