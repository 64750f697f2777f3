"""What passes by level give is what steps of matrices over all levels give: criterion, gradient, modes, fits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.generalised.columns import Prior
from mme.generalised.criterion import Criterion
from mme.generalised.laplace import Laplace, Psi
from mme.generalised.level_totals import OfTotals, log_effects
from mme.generalised.mode import find_mode
from mme.generalised.problem import Problem
from mme.generalised.scalar_effects import OfScalars
from mme.generalised.sorted_records import SortedRecords
from mme.generalised.start import start
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from tests.generalised.test_gradient import drawn

FAMILIES = [mme.Binomial(), mme.Poisson(), mme.NegativeBinomial(), mme.NegativeBinomial(size=0.7)]

OF_A_NUMBER = [
    mme.Binomial(),
    mme.Binomial(link="cloglog"),
    mme.Poisson(),
    mme.NegativeBinomial(),
    mme.Gamma(link="log"),
    mme.Gaussian(),
]

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
    known = by_matrices(problem, point)
    with within(WAYS[way]):
        found = SortedRecords(drawn(family, 11, False, slope)).at(point, np.zeros((8, 1 + slope)))
    assert found is not None
    assert found.value == pytest.approx(known.value, rel=1e-12)
    np.testing.assert_allclose(found.gradient(), known.gradient(), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.u[0], known.u[0], rtol=0, atol=1e-9)


def by_matrices(problem: Problem, point: Psi) -> Laplace:
    """(L) by steps that all levels take together, whatever stands in a level."""
    prior, fixed = Prior.at(problem.blocks, point.theta), problem.offset + point.gamma @ problem.Q
    mode = find_mode(problem, prior, fixed, point.tau, problem.columns.nothing())
    assert mode is not None
    assert mode.factor is not None
    return Laplace(problem, point, mode, mode.factor, expected=False)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(OF_A_NUMBER), st.booleans(), st.booleans())
def test_levels_of_a_number_each_have_the_criterion_of_matrices(
    seed: int, family: mme.Family, weighted: bool, slope: bool
) -> None:
    rng = np.random.default_rng(seed)
    n, J = 60, 9
    g, x, a = rng.integers(0, J, n), rng.normal(size=n), rng.integers(1, 4, n).astype(float)
    tau = np.full(len(family.parameters), 0.3)
    eta = 0.5 + 0.4 * x + rng.normal(size=J)[g]
    y = family.draw(eta, a, tau, rng)
    y[g == 0] = 0.0 if family.whole else y[g == 0]
    data = family.observe(y, a if weighted or family.whole == "trials" else None, "y")
    terms = [mme.Term(g, x[:, None] if slope else None)]
    model = build_model(data.y, np.column_stack([np.ones(n), x]), terms, method="ML", offset=0.2 * x)
    problem = Problem(model, family, data)
    theta = rng.choice([-1.0, 0.0, 1e-4, 0.5, 3.0], size=1)
    point = Psi(theta, np.array([0.5, 0.3]), tau)
    known = by_matrices(problem, point)
    with within(TOGETHER):
        found = Criterion(problem).at(point)
    assert isinstance(found, OfTotals if family.name == "poisson" and not slope else OfScalars)
    assert found.value == pytest.approx(known.value, rel=1e-11)
    np.testing.assert_allclose(found.gradient(), known.gradient(), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.u[0], known.u[0], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.laplace.gradient(), known.gradient(), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(found.laplace.mode.eta, known.mode.eta, rtol=0, atol=1e-9)
    assert found.laplace.value == pytest.approx(known.value, rel=1e-11)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_effects_of_totals_solve_their_equation_whatever_the_sizes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    v, S = 10.0 ** rng.uniform(-12, 3), 10.0 ** rng.uniform(-8, 8, 50)
    Y, first = np.floor(10.0 ** rng.uniform(-1, 6, 50)), 100.0 * rng.normal(size=50)
    w = log_effects(v, S, Y, first)
    assert w is not None
    rising = v * S * np.exp(w)
    np.testing.assert_allclose(w + rising - v * Y, 0.0, atol=1e-12 * (1.0 + np.abs(w) + rising + v * Y).max())


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
