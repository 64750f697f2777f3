"""The exact gradient of the criterion against differences of fourth order: a property of all families and designs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.family.base import Family
from mme.generalised.criterion import Criterion
from mme.generalised.problem import Problem
from mme.generalised.start import start
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within

FAMILIES: list[Family] = [mme.Binomial(), mme.Poisson()]


def drawn(family: Family, seed: int, crossed: bool, slope: bool) -> Problem:
    """Records drawn from the family, of one factor with a slope or not, or of two crossed."""
    rng = np.random.default_rng(seed)
    n, J = 120, 8
    x, g, h = rng.normal(size=n), rng.integers(0, J, n), rng.integers(0, 5, n)
    g[:J] = np.arange(J)
    h[:5] = np.arange(5)
    eta = 0.4 + 0.2 * x + 0.4 * rng.normal(size=J)[g]
    tau = np.full(len(family.parameters), -0.5)
    y = family.draw(eta, np.ones(n), tau, rng)
    terms = [mme.Term(g, np.column_stack([np.ones(n), x]) if slope else None)]
    if crossed:
        terms.append(mme.Term(h, name="h"))
    data = family.observe(y, None, "y")
    model = build_model(data.y, np.column_stack([np.ones(n), x]), terms, method="ML")
    return Problem(model, family, data)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f.name} {f.link}")
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.booleans(), st.booleans())
def test_the_gradient_is_that_of_laplace(family: Family, seed: int, crossed: bool, slope: bool, expected: bool) -> None:
    with within(Limits(machine_code=False)):
        require_gradient(Criterion(drawn(family, seed, crossed, slope), expected), seed)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda f: f"{f.name} {f.link}")
@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.integers(2, 6))
def test_the_gradient_is_that_of_quadrature(family: Family, seed: int, slope: bool, points: int) -> None:
    if family.everywhere:
        require_gradient(Criterion(drawn(family, seed, False, slope), points=points), seed)


def require_gradient(criterion: Criterion, seed: int) -> None:
    """Near the start, by differences of fourth order."""
    problem = criterion.problem
    point = start(problem)
    rng = np.random.default_rng(seed)
    point = replace(point, theta=point.theta + 0.2 * rng.normal(size=point.theta.size))
    at = criterion.at(point)
    if at is None:
        return
    criterion.u = at.u
    gradient, x = at.gradient(), point.x
    for j in range(x.size):
        h = 1e-3
        values = []
        for step in (-2, -1, 1, 2):
            other = x.copy()
            other[j] += step * h
            found = criterion.at(criterion.point(other))
            assert found is not None
            values.append(found.value)
        slope_j = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)
        assert gradient[j] == pytest.approx(slope_j, rel=1e-6, abs=2e-7 * (1.0 + abs(at.value)))
