"""The mode by a factor that is at hand is the mode: criteria, fits and evaluations are those of Newton's method."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.generalised.criterion import Criterion
from mme.numeric.limits import Limits, within


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ x + (x | a) + (1 | b)", mme.Binomial()),
        ("k ~ x + (1 | a) + (1 | b)", mme.Poisson()),
        ("p ~ x + (1 | a) + (1 | b)", mme.Gamma(link="log")),
    ],
)
def test_a_fit_by_known_factors_is_that_by_newtons_method(formula: str, family: mme.Family, dense: bool) -> None:
    rng = np.random.default_rng(3)
    a, b, x = rng.integers(0, 40, 400), rng.integers(0, 15, 400), rng.normal(size=400)
    eta = -0.5 + 0.3 * x + 0.7 * rng.normal(size=40)[a] + 0.5 * rng.normal(size=15)[b]
    answers = (rng.random(400) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    data = {"a": a, "b": b, "x": x, "y": answers, "k": rng.poisson(np.exp(eta)), "p": rng.gamma(2.0, np.exp(eta))}
    fits = []
    for dear in (0.0, np.inf):
        with within(Limits(dear_factor=dear, dense_effects=1500 if dense else 0)):
            fits.append(mme.glmer(formula, data, family))
    near, newton = fits
    known = [fit.internals.searched.criterion.known for fit in fits]
    assert known[0] is not None
    assert known[1] is None
    assert near.criterion == pytest.approx(newton.criterion, abs=1e-10)
    np.testing.assert_allclose(near.beta, newton.beta, atol=1e-8)
    np.testing.assert_allclose(near.theta, newton.theta, atol=1e-8)
    assert near.optimum.evaluations <= newton.optimum.evaluations + 2


def test_a_factor_of_far_away_leads_to_the_mode_or_makes_way() -> None:
    rng = np.random.default_rng(1)
    a, b = np.repeat(np.arange(10), 6), np.tile(np.arange(6), 10)
    data = {"a": a, "b": b, "k": rng.poisson(np.exp(3.0 * rng.normal(size=10)[a]))}
    with within(Limits(dear_factor=0.0)):
        fit = mme.glmer("k ~ 1 + (1 | a) + (1 | b)", data, "poisson")
        criterion: Criterion = fit.internals.searched.criterion
        x = fit.internals.searched.at.at.x
        for factor in (0.01, 0.5, 20.0):
            point = criterion.point(x * np.array([factor, factor, 1.0]) + 0.3)
            found, fresh = criterion.at(point), Criterion(fit.internals.problem).at(point)
            assert found is not None
            assert fresh is not None
            assert found.value == pytest.approx(fresh.value, rel=1e-12)
            np.testing.assert_allclose(found.gradient(), fresh.gradient(), rtol=1e-7, atol=1e-7)
