"""What a bootstrap draws by: moments of the draws, and standard errors that theory gives."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mme
from mme.results.resample import ResampledEffects, WildResiduals, drawn_by

SLEEP = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))


@pytest.mark.parametrize("draws", ["given", "residual", "wild"])
def test_draws_have_the_mean_and_the_covariance_that_they_are_made_for(draws):
    estimates, sigma = SLEEP.internals.estimates, SLEEP.sigma
    Y = drawn_by(draws, estimates)(np.random.default_rng(1), 4000)
    mean = estimates.fitted if draws == "given" else estimates.population
    error = Y.std(axis=1) / np.sqrt(4000)
    assert np.abs((Y.mean(axis=1) - mean) / error).max() < 4.5
    if draws == "given":
        expected = np.full(180, sigma**2)
    elif draws == "residual":
        (T,) = SLEEP.internals.model.T(SLEEP.theta)
        Z = np.column_stack([np.ones(180), SLEEP.internals.model.X[:, 1]])
        expected = sigma**2 * (1.0 + ((Z @ T) ** 2).sum(axis=1))
    else:
        X = SLEEP.internals.model.X
        h = np.einsum("ij,jk,ik->i", X, np.linalg.inv(X.T @ X), X)
        expected = ((SLEEP.internals.model.y - mean) / (1.0 - h)) ** 2
    assert_allclose(Y.var(axis=1).mean(), expected.mean(), rtol=0.05)


def test_resampled_levels_have_the_estimated_covariance_exactly():
    drawn = ResampledEffects(SLEEP.internals.estimates)
    (T,) = SLEEP.internals.model.T(SLEEP.theta)
    values = drawn(np.random.default_rng(1), 1)
    assert values.shape == (180, 1)
    levels = drawn.levels_of(0)
    assert_allclose(levels.mean(axis=0), 0.0, atol=1e-9)
    assert_allclose(levels.T @ levels / 18, SLEEP.sigma**2 * T @ T.T, rtol=1e-9)


@pytest.mark.parametrize("draws", ["residual", "wild"])
def test_standard_errors_of_fixed_effects_are_near_those_of_the_model(draws):
    found = SLEEP.bootstrap(400, draws=draws, seed=1, workers=1)
    assert found.n_failed == 0
    assert_allclose(found.summary()["se"].iloc[-2:], SLEEP.se, rtol=0.2)
    limits = SLEEP.confint("bootstrap", draws=draws, n=400, seed=1, kind="basic")
    assert limits.loc["Days", "lower"] < 10.47 < limits.loc["Days", "upper"]


def test_a_variance_of_zero_stays_zero():
    fit = mme.lmer("Yield ~ 1 + (1 | Batch)", mme.load("Dyestuff2"))
    Y = drawn_by("residual", fit.internals.estimates)(np.random.default_rng(1), 2)
    assert np.isfinite(Y).all()


def test_wild_draws_of_nested_factors_go_by_the_coarsest_and_crossed_ones_are_refused():
    pastes = mme.lmer("strength ~ 1 + (1 | batch) + (1 | sample)", mme.load("Pastes"))
    Y = WildResiduals(pastes.internals.estimates)(np.random.default_rng(1), 1)[:, 0] - float(pastes.beta.iloc[0])
    ratio = Y / (pastes.internals.model.y - float(pastes.beta.iloc[0]))
    batch = next(term.codes for term in pastes.internals.model.terms if term.n_levels == 10)
    assert all(np.ptp(ratio[batch == g]) < 1e-9 for g in range(10))
    crossed = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mme.load("Penicillin"))
    with pytest.raises(mme.MMEError, match="cross"):
        crossed.bootstrap(10, draws="wild")
    with pytest.raises(mme.MMEError, match="'residual'"):
        crossed.bootstrap(10, draws="rows")


def test_what_is_done_before_an_interruption_is_kept():
    def stop(done, _):
        if done >= 250:
            raise KeyboardInterrupt

    with pytest.warns(mme.MMEWarning, match="250 of 1000"):
        found = SLEEP.bootstrap(1000, seed=1, progress=stop)
    assert found.n == 250
    np.testing.assert_array_equal(found.values, SLEEP.bootstrap(250, seed=1).values)
