"""Valleys at the other sign of a parameter of the residuals."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import mme


def growth(seed):
    """Animals of very different weights that all grow, weighed seven times."""
    rng = np.random.default_rng(seed)
    animal, week = np.repeat(np.arange(9), 7), np.tile(np.arange(7.0), 9)
    first, gain = 200.0 + 100.0 * rng.normal(size=9), 3.0 + rng.normal(size=9)
    weight = first[animal] + gain[animal] * week + rng.normal(size=63)
    return pd.DataFrame({"animal": animal, "week": week, "back": 7.0 - week, "weight": weight})


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("seed", range(4))
def test_a_covariate_turned_round_turns_its_exponent_and_leaves_the_criterion(seed, method):
    """sd exp(a v) = sd' exp(-a (c - v)): one model, of which each way begins on another side of a = 0.

    Compound symmetry beside a random intercept is told from it by a alone, so that a = 0 lies between two valleys.
    """
    data, found = growth(seed), {}
    for v in ("week", "back"):
        residual = mme.CompoundSymmetry("animal") * mme.ExponentialOfCovariate(v)
        found[v] = mme.lmer("weight ~ 1 + (1 | animal)", data, method=method, residual=residual)
    assert_allclose(found["back"].criterion, found["week"].criterion, atol=1e-5)
    assert_allclose(found["back"].residual["exponent"], -found["week"].residual["exponent"], rtol=1e-3)


def test_a_search_ends_no_higher_than_beside_a_held_parameter_of_the_other_sign():
    data = growth(1)
    residual = mme.CompoundSymmetry("animal") * mme.ExponentialOfCovariate("week")
    found = mme.lmer("weight ~ 1 + (1 | animal)", data, residual=residual)
    for exponent in (-0.1, -0.03, -0.01, 0.01, 0.03, 0.1):
        beside = mme.lmer("weight ~ 1 + (1 | animal)", data, residual=residual, hold={"exponent": exponent})
        assert found.criterion <= beside.criterion + 1e-6
