"""Questions to the likelihood of a generalised model: one parameter held, the others free around it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.intervals.generalised_held import GeneralisedMaximum

RNG = np.random.default_rng(6)
G = np.repeat(np.arange(15), 8)
X = np.tile(np.linspace(-1.0, 1.0, 8), 15)
ETA = 0.6 + 0.5 * X + 0.7 * RNG.normal(size=15)[G]
DATA = pd.DataFrame(
    {
        "g": G,
        "x": X,
        "ms": 1000.0 * X,
        "count": RNG.negative_binomial(3.0, 3.0 / (3.0 + np.exp(ETA))),
        "amount": np.where(RNG.uniform(size=120) < 0.25, 0.0, RNG.gamma(2.0, np.exp(ETA) / 2.0)),
        "grade": pd.Categorical.from_codes(
            np.digitize(ETA + RNG.logistic(size=120), [-0.5, 0.8, 2.0]), list("abcd"), ordered=True
        ),
    }
)
FITS = {
    "a slope in small units": ("count ~ ms + (ms || g)", "poisson"),
    "a size": ("count ~ x + (1 | g)", mme.NegativeBinomial()),
    "thresholds": ("grade ~ x + (1 | g)", mme.Ordinal()),
    "a power": ("amount ~ x + (1 | g)", mme.Tweedie()),
}


@pytest.fixture(scope="module", params=FITS)
def maximum(request) -> GeneralisedMaximum:
    formula, family = FITS[request.param]
    return GeneralisedMaximum.of(mme.glmer(formula, DATA, family).internals)


def criterion(maximum: GeneralisedMaximum, psi: np.ndarray) -> float:
    of = maximum.criterion()
    at = of.at(of.point(psi))
    return np.inf if at is None else at.value


def test_at_the_estimate_a_question_leads_back_to_the_maximum(maximum):
    for name in maximum.names:
        question = maximum.question(name)
        psi = question.point(question.start, question.estimate)
        np.testing.assert_allclose(psi, maximum.psi, rtol=1e-6, atol=1e-9)


def test_wherever_the_others_stand_the_parameter_has_its_value(maximum):
    rng = np.random.default_rng(1)
    for at, name in enumerate(maximum.names):
        question, curved = maximum.question(name), maximum.family_parameter(name)
        for step in rng.normal(size=(3, question.start.size)):
            value = question.estimate + rng.normal() * question.step
            psi = question.point(question.start + 0.5 * step * question.radius, value)
            if curved is None:
                assert maximum.values(psi)[at] == pytest.approx(value, rel=1e-9, abs=1e-12)
            else:  # it is held by its coordinate
                assert psi[maximum.psi.size - maximum.tau.size + curved.s] == value


def test_a_first_step_raises_the_deviance_by_a_quarter_and_others_begin_within_three_tenths(maximum):
    """Half the standard error that a parameter has where others are held."""
    for name in maximum.names:
        question = maximum.question(name)
        base = criterion(maximum, question.point(question.start, question.estimate))
        points = [question.point(question.start, question.estimate + by * question.step) for by in (-1.0, 1.0)]
        np.testing.assert_allclose([criterion(maximum, psi) - base for psi in points], 0.25, rtol=0.2)
        assert question.radius.shape == question.start.shape
        assert ((question.radius > 0.05) & (question.radius <= 0.3)).all()


def test_an_effect_has_no_bounds_and_a_curved_parameter_those_of_its_coordinate(maximum):
    for name in maximum.fit.fixed_names:
        assert maximum.question(name).bounds == (-np.inf, np.inf)
    for name in maximum.names:
        curved = maximum.family_parameter(name)
        if curved is None:
            continue
        assert maximum.question(name).bounds == (-36.0, 36.0)
        for own in (-50.0, 50.0):  # as good as infinite: it is its own bound
            psi = maximum.psi.copy()
            psi[psi.size - maximum.tau.size + curved.s] = own
            assert replace(maximum, psi=psi).question(name).bounds == (min(own, -36.0), max(own, 36.0))


def test_a_first_step_of_a_coordinate_that_hardly_matters_is_a_half(maximum):
    flat = replace(maximum, hessian=1e-6 * maximum.hessian)
    for name in maximum.names:
        if maximum.family_parameter(name) is not None:
            assert flat.question(name).step == 0.5


@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_a_deviation_of_zero_may_be_three_tenths_off_in_the_unit_of_its_column(unit):
    data = DATA.assign(x=unit * X, count=np.tile([1, 2, 2, 1, 2, 1, 1, 2], 15))
    fit = mme.glmer("count ~ 1 + (0 + x | g)", data, "poisson")
    assert fit.singular
    maximum = GeneralisedMaximum.of(fit.internals)
    np.testing.assert_allclose(maximum.radius, 0.3, rtol=1e-12)
    size = np.sqrt(np.mean(data["x"] ** 2))
    assert maximum.scale[0] == pytest.approx(size, rel=0.5)
    assert maximum.hessian[0, 0] == pytest.approx(2.0 * (maximum.scale[0] / 0.3) ** 2, rel=1e-12)
