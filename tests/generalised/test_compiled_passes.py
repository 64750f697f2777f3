"""The compiled passes give what the steps over all levels together give: criterion, gradient, modes, fits."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.generalised.criterion import Criterion
from mme.generalised.start import start
from mme.numeric.limits import Limits, within
from tests.generalised.test_gradient import drawn

FAMILIES = [mme.Binomial(), mme.Poisson(), mme.NegativeBinomial(), mme.NegativeBinomial(size=0.7)]


WAYS = {
    "plain Python": Limits(compiled_records=1, interpreted_steps=10**9, machine_code=False),
    "compiled": Limits(compiled_records=1, interpreted_steps=0, machine_code=False),
    "machine code": Limits(compiled_records=1),
}
TOGETHER = Limits(machine_code=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("slope", [False, True])
@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_pass_by_level_gives_the_criterion_its_gradient_and_the_modes(
    family: mme.Family, slope: bool, way: str
) -> None:
    problem = drawn(family, 11, False, slope)
    point = start(problem)
    with within(TOGETHER):
        known = Criterion(problem).at(point)
    with within(WAYS[way]):
        found = Criterion(drawn(family, 11, False, slope)).at(point)
    assert known is not None
    assert found is not None
    assert type(known) is not type(found)
    assert found.value == pytest.approx(known.value, rel=1e-12)
    np.testing.assert_allclose(found.gradient(), known.gradient(), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.u[0], known.u[0], rtol=0, atol=1e-9)


def test_a_fit_by_passes_is_the_fit() -> None:
    rng = np.random.default_rng(5)
    g, x = rng.integers(0, 40, 400), rng.normal(size=400)
    data = {
        "y": rng.poisson(np.exp(0.3 * x + 0.5 * rng.normal(size=40)[g])),
        "x": x,
        "g": g,
        "e": rng.uniform(1, 2, 400),
    }
    with within(TOGETHER):
        one = mme.glmer("y ~ x + (x | g)", data, "poisson", exposure="e")
    with within(Limits(compiled_records=1)):
        other = mme.glmer("y ~ x + (x | g)", data, "poisson", exposure="e")
    assert other.engine.compiled
    assert "40 levels, each by itself" in str(one.engine)
    assert other.criterion == pytest.approx(one.criterion, abs=1e-9)
    np.testing.assert_allclose(other.beta, one.beta, atol=1e-7)
    np.testing.assert_allclose(other.se, one.se, rtol=1e-5)
    np.testing.assert_allclose(other.ranef()["g"], one.ranef()["g"], atol=1e-6)


def test_counts_too_large_for_the_compiled_density_are_stepped_together() -> None:
    y = np.array([10**7, 10**7 + 400, 9 * 10**6, 9 * 10**6 + 100])
    with within(Limits(compiled_records=1)):
        fit = mme.glm_fit(y, np.ones((4, 1)), [mme.Term([0, 0, 1, 1])], "poisson")
    assert fit.internals.searched.criterion.records is None
