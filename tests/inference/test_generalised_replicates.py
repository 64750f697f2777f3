"""Replicates of small generalised models: each is a refit in all its columns, drawn or without a group."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.intervals.generalised_wald import natural_errors
from mme.numeric.limits import Limits, within

RNG = np.random.default_rng(8)
G = np.repeat(np.arange(7), 6)
X = np.tile(np.linspace(-1.0, 1.0, 6), 7)
ETA = 0.4 + 0.3 * X + 0.6 * RNG.standard_normal(7)[G] + 0.4 * RNG.standard_normal(7)[G] * X
DATA = pd.DataFrame(
    {
        "g": np.array(list("abcdefg"))[G],
        "x": X,
        "arm": np.where(G == 0, "new", "old"),
        "amount": RNG.gamma(4.0, np.exp(ETA) / 4.0),
        "count": RNG.poisson(np.exp(ETA)),
    }
)
SLOPES = "amount ~ x + (x || g)"


@cache
def slopes() -> mme.GeneralisedFit:
    """Two deviations, a dispersion and two fixed effects."""
    return mme.glmer(SLOPES, DATA, mme.Gamma(link="log"))


@cache
def drawn() -> mme.Bootstrap:
    """Ten replicates of these."""
    return slopes().bootstrap(10, seed=3, workers=1)


def stream(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def parameters(fit: mme.GeneralisedFit) -> np.ndarray:
    """Deviations, the dispersion and the fixed effects."""
    return np.concatenate([*(part.sd for part in fit.varcorr.values()), [*fit.parameters.values()], fit.beta])


def test_a_replicate_is_the_refit_to_its_draw_in_all_its_columns() -> None:
    fit, boot = slopes(), drawn()
    assert boot.names == ("sd_(Intercept)|g", "sd_x|g", "dispersion", "(Intercept)", "x")
    np.testing.assert_allclose(boot.estimates, parameters(fit), rtol=1e-12)
    refits = [fit.refit(fit.simulate(seed=stream(3, i)).iloc[:, 0]) for i in range(10)]
    np.testing.assert_allclose(boot.values, [parameters(one) for one in refits], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(boot.theta, [one.theta for one in refits], rtol=1e-5, atol=1e-7)
    assert boot.singular.tolist() == [one.singular for one in refits]
    assert boot.singular.any()
    assert not boot.singular.all()
    assert boot.converged.all()
    assert boot.seed == 3


def test_without_a_group_the_estimates_are_those_of_the_others_records() -> None:
    found = drawn().behind.without_groups()
    assert found.shape == (7, 5)
    for level, row in zip("abcdefg", found, strict=True):
        fit = mme.glmer(SLOPES, DATA[DATA["g"] != level], mme.Gamma(link="log"))
        np.testing.assert_allclose(row, parameters(fit), rtol=1e-4, atol=1e-5)


def test_standard_errors_of_replicates_are_those_of_their_refits_on_the_scale_without_bounds() -> None:
    fit, boot = slopes(), drawn()
    own, of_replicates = boot.behind.standard_errors(boot.theta, boot.values)
    refits = [fit.refit(fit.simulate(seed=stream(3, i)).iloc[:, 0]) for i in range(10)]
    expected = [np.append(natural_errors(one.internals).unbounded_se, one.se) for one in (fit, *refits)]
    np.testing.assert_allclose([own, *of_replicates], expected, rtol=1e-3)
    sd = fit.varcorr["g"].sd[0]
    assert own[0] == pytest.approx(natural_errors(fit.internals).se[0] / sd, rel=1e-4)  # of the logarithm
    assert np.isfinite(of_replicates[:, 2:]).all()


def test_parameters_have_the_bounds_of_their_kind() -> None:
    low, high = mme.glmer("amount ~ x + (x | g)", DATA, mme.Gamma(link="log")).bootstrap(1, seed=1).behind.bounds
    assert low.tolist() == [0.0, -1.0, 0.0, 0.0, -np.inf, -np.inf]
    assert high.tolist() == [np.inf, 1.0, np.inf, np.inf, np.inf, np.inf]


def test_groups_that_do_not_determine_an_effect_give_no_replicate_and_no_standard_error() -> None:
    fit = mme.glmer("amount ~ arm + (1 | g)", DATA, mme.Gamma(link="log"))
    boot = fit.bootstrap(12, draws="cases", seed=4, workers=1)
    missing = np.array([not (stream(4, i).integers(0, 7, 7) == 0).any() for i in range(12)])
    assert boot.failures == {"the groups of a sample do not determine all fixed effects": missing.sum()}
    assert 0 < missing.sum() < 12
    for rows in (boot.values, boot.theta, boot.behind.standard_errors(boot.theta, boot.values)[1][:, 1:]):
        np.testing.assert_array_equal(np.isnan(rows), np.repeat(missing[:, None], rows.shape[1], axis=1))
    np.testing.assert_array_equal(boot.converged, ~missing)
    with within(Limits(responses_together=2)):  # groups are never searched together
        again = fit.bootstrap(3, draws="cases", seed=4, workers=1)
    np.testing.assert_array_equal(again.values, boot.values[:3])


def test_a_given_theta_is_that_of_all_replicates() -> None:
    fit = mme.glmer("amount ~ x + (1 | g)", DATA, mme.Gamma(link="log"), theta=[0.5])
    boot = fit.bootstrap(3, seed=1, workers=1)
    np.testing.assert_allclose(boot.theta, 0.5, rtol=1e-12)
    np.testing.assert_allclose(boot.values[:, 0], 0.5, rtol=1e-12)


def test_draws_have_a_word_and_a_count() -> None:
    with pytest.raises(mme.MMEError, match="'parametric', 'cases'; got 'rows'"):
        slopes().bootstrap(3, draws="rows")
    with pytest.raises(mme.MMEError, match="n must"):
        slopes().bootstrap(0)
