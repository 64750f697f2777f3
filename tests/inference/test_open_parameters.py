"""A variance that the data do not determine: intervals and replicates of the rest are those of the model without it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.intervals.whole import AllParameters

RNG = np.random.default_rng(1)
G, H = np.repeat(np.arange(6), 6), np.tile(np.arange(4), 9)
DATA = pd.DataFrame(
    {
        "g": np.array(list("abcdef"))[G],
        "h": np.array(list("pqrs"))[H],
        "x": RNG.normal(size=36),
        "y": RNG.normal(size=36) + RNG.normal(size=6)[G] + RNG.normal(size=4)[H],
    }
)
FIXED, OPEN = "y ~ x + g", "sd_(Intercept)|g"


@pytest.fixture(scope="module", params=["(1 | g) + (1 | h)", "(1 | h) + (1 | g)"])
def fits(request) -> tuple[mme.Fit, mme.Fit]:
    """With a variance between the levels of a fixed factor, and without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.lmer(f"{FIXED} + {request.param}", DATA), mme.lmer(f"{FIXED} + (1 | h)", DATA)


def test_all_names_stand_and_one_is_open(fits):
    whole, own = (AllParameters.of(fit.internals) for fit in fits)
    assert [name for name, is_open in zip(whole.names, whole.open.tolist(), strict=True) if is_open] == [OPEN]
    assert tuple(whole.names[i] for i in whole.places.tolist()) == own.names
    assert not own.open.any()
    assert own.places.tolist() == list(range(len(own.names)))
    assert whole.bounds == ((0.0, np.inf),) * 3


@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_values_stand_at_their_names_whatever_stands_before_them(fits, shape):
    whole = AllParameters.of(fits[0].internals)
    P = len(whole.names)
    values = np.arange(float(np.prod(shape, dtype=int) * (P - 1))).reshape(*shape, P - 1)
    found = whole.spread(values)
    np.testing.assert_array_equal(np.delete(found, whole.names.index(OPEN), axis=-1), values)
    assert np.isnan(found[..., whole.names.index(OPEN)]).all()


def test_replicates_and_their_errors_are_those_of_the_model_without_it(fits):
    with pytest.warns(mme.MMEWarning, match="the bootstrap has no values of"):
        boot = fits[0].bootstrap(3, seed=2, workers=1)
    known, at = fits[1].bootstrap(3, seed=2, workers=1), boot.names.index(OPEN)
    np.testing.assert_allclose(np.delete(boot.values, at, axis=1), known.values, rtol=1e-5, atol=1e-8)
    assert np.isnan(boot.values[:, at]).all()
    np.testing.assert_allclose(boot.theta, known.theta, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(boot.singular, known.singular)
    errors = [one.behind.standard_errors(one.theta, one.values) for one in (boot, known)]
    for found, expected in zip(*errors, strict=True):
        np.testing.assert_allclose(np.delete(found, at, axis=-1), expected, rtol=1e-4)


def test_its_interval_is_all_it_can_be_and_that_of_another_is_as_without_it(fits):
    names = [OPEN, "sd_(Intercept)|h", "x"]
    with pytest.warns(mme.MMEWarning, match="no profile of"):
        table = fits[0].confint("profile", parameters=names)
    assert table.loc[OPEN].tolist() == [0.0, np.inf]
    np.testing.assert_allclose(table.loc[names[1:]], fits[1].confint("profile", parameters=names[1:]), rtol=1e-4)
