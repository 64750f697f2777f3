"""Searches of a profile by values of a deviance that is a known function, and the deviance beside a sparse X."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import mme
from mme.inference.intervals.deviance import Deviance, Point
from mme.inference.intervals.profile import _ByValues
from mme.inference.intervals.question import Question
from mme.inference.intervals.tracing import Knot
from mme.inference.intervals.wide_deviance import WideDeviance, deviance_of
from mme.numeric.limits import within
from mme.search.joint import Joint
from tests.wide import SPARSE, Records, sparse


class Known:
    """The deviance f(x, value) of one other parameter x, which is infinite where there is no covariance matrix."""

    def __init__(self, f: Callable[[float, float], float]) -> None:
        self.f = f

    def __call__(self, at: SimpleNamespace) -> float:
        return np.inf if np.isnan(at.phi).any() else self.f(float(at.x[0]), at.value)

    def parameters(self, at: SimpleNamespace) -> np.ndarray:
        return np.array([at.value, float(at.x[0])])


def tracer(
    f: Callable[[float, float], float], *, even: bool = False, exists: Callable[[float], bool] = bool
) -> _ByValues:
    """``exists(x)``: whether there is a covariance matrix; everywhere unless it is given."""

    def point(x: np.ndarray, value: float) -> SimpleNamespace:
        inside = exists is bool or exists(float(x[0]))
        return SimpleNamespace(x=x, value=value, phi=np.array([0.0 if inside else np.nan]))

    asked = Question("v", 0.0, (-np.inf, np.inf), 0.2, np.zeros(1), np.full(1, 0.25), np.array([even]), point)
    return _ByValues(SimpleNamespace(deviance=Known(f), names=("v", "x")), asked, 0.0)


def knots(*x: float) -> list[Knot]:
    return [Knot(0.1 * i, 0.1 * i, np.array([one]), None, np.array([0.1 * i, one])) for i, one in enumerate(x)]


def test_zeta_is_that_of_the_lowest_deviance_where_the_other_follows_a_curve():
    """v^2 + 8 (exp(a) - 1 - a), a = x - sin(2 v): the other is at sin(2 v), and zeta is v."""
    of = tracer(lambda x, v: v**2 + 8.0 * (np.expm1(x - np.sin(2.0 * v)) - (x - np.sin(2.0 * v))))
    curve = of.curve(knots(0.0)[0], 1.96)
    np.testing.assert_allclose(curve.zeta, curve.values, atol=1e-6)
    np.testing.assert_allclose(curve.parameters[:, 1], np.sin(2.0 * curve.values), atol=1e-2)


def test_a_search_leaves_zero_where_that_is_stationary_and_no_minimum():
    knot = tracer(lambda x, v: (x**2 - 1.0) ** 2 + v**2, even=True).knot(0.5, knots(0.0))
    assert abs(knot.x[0]) == pytest.approx(1.0, abs=1e-3)
    assert knot.zeta == pytest.approx(0.5, abs=1e-6)


def test_a_search_begins_at_the_last_knot_where_there_is_nothing_at_the_place_that_knots_point_to():
    """They point to 0.15; there is a covariance matrix from 0.03 to 0.1 alone."""
    of = tracer(lambda x, v: (x - 0.05) ** 2 + v**2, exists=lambda x: 0.03 < x < 0.1)
    knot = of.knot(0.4, knots(0.0, 0.0, 0.0, 0.05))
    assert knot.zeta == pytest.approx(0.4, abs=1e-4)


def test_where_there_is_nothing_at_either_place_there_is_no_likelihood():
    near = knots(0.0, 0.01, 0.02, 0.025)
    for of in (tracer(lambda x, v: v**2, exists=lambda x: x > 5.0), tracer(lambda x, v: np.inf)):
        for value, side in ((0.7, 1.0), (-0.7, -1.0)):
            knot = of.knot(value, near)
            assert knot.zeta == side * np.inf
            assert np.isnan(knot.parameters).all()


def test_beside_a_sparse_x_the_deviance_is_that_of_a_dense_one():
    """Whatever is held: nothing, sigma, a fixed effect, or both."""
    records = Records(3, n=120, schools=12, pupils=15)
    X, terms = records.X("factor"), records.terms("intercept")
    with within(SPARSE):
        wide = mme.objective(records.y, sparse(X), terms, method="ML")
        found = deviance_of(Joint(wide.model, wide))
        assert isinstance(found, WideDeviance)
        dense = mme.objective(records.y, X, terms, method="ML")
        known = Deviance(Joint(dense.model, dense))
        free = Point(np.array([0.7]), np.zeros(0))
        held = [
            free,
            replace(free, sigma=1.0),
            replace(free, sigma=1.7),
            replace(free, j=1, value=3.0),
            replace(free, j=4, value=-1.0, sigma=0.8),
        ]
        for at in held:
            assert found(at) == pytest.approx(known(at), rel=1e-10)
            np.testing.assert_allclose(found.parameters(at), known.parameters(at), rtol=1e-8, atol=1e-9)
            if at.j is not None:
                assert found.parameters(at)[2 + at.j] == pytest.approx(at.value, rel=1e-9)
        assert found(replace(free, sigma=0.0)) == known(replace(free, sigma=0.0)) == np.inf


def begun(x: float, even: bool) -> float:
    """Where a search begins that a knot at x leads to."""
    asked = []
    of = tracer(lambda x, v: asked.append(x) or (x - 0.5) ** 2 + v**2, even=even)
    of.knot(0.3, knots(x))
    return asked[0]


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_search_begins_where_knots_lead_unless_that_is_within_a_tenth_of_a_radius_of_an_even_zero(side):
    for share in (0.0, 0.05, 0.09):
        assert begun(side * share * 0.25, even=True) == 0.25
        assert begun(side * share * 0.25, even=False) == side * share * 0.25
    for share in (0.1, 0.11, 0.15, 1.0, 1.5):
        assert begun(side * share * 0.25, even=True) == side * share * 0.25


def test_a_search_begins_on_the_parabola_through_the_last_three_knots():
    """From 1, 8 and 27 it leads to 58; the cubic, through four, to 64."""
    asked = []
    of = tracer(lambda x, v: asked.append(x) or (x - 50.0) ** 2 + v**2)
    of.knot(0.5, knots(-1.0, 0.0, 1.0, 8.0, 27.0))
    assert asked[0] == pytest.approx(27.0 + 19.0 + 12.0, rel=1e-12)  # second differences are 12


def test_a_knot_leaves_the_curvature_of_a_minimum_and_none_of_a_plain():
    curved = tracer(lambda x, v: 3.0 * (x - v) ** 2 + v**2).knot(0.3, knots(0.0))
    assert curved.curvature.converged
    assert tracer(lambda x, v: v**2).knot(0.3, knots(0.0)).curvature is None
