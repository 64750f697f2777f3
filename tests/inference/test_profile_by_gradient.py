"""What the search of a generalised profile begins with, and a family's parameter in its own units."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2

import mme
from mme.inference.intervals.curves import Curve
from mme.inference.intervals.generalised_profile import _ByGradient, _curve, _jacobian, _natural
from mme.inference.intervals.question import Question
from mme.inference.intervals.tracing import Knot

A = np.array([[1.0, 0.5], [-2.0, 1.0], [0.3, 0.0]])


def question(start: list[float], even: list[bool], point=None) -> Question:
    """psi = A x^2 + value, or another function of x."""
    made = point or (lambda x, value: A @ x**2 + value)
    return Question("v", 0.7, (-np.inf, np.inf), 0.1, np.array(start), np.full(2, 0.25), np.array(even), made)


def test_the_slopes_of_psi_are_those_of_its_formula_and_of_nothing_there_are_none():
    asked = question([0.4, -1.5], [False, False])
    np.testing.assert_allclose(_jacobian(asked, asked.start, 0.7), 2.0 * A * [0.4, -1.5], rtol=1e-9)
    waves = question([0.4, -1.5], [False, False], lambda x, value: np.sin(A @ x) + value)
    np.testing.assert_allclose(_jacobian(waves, waves.start, 0.7), np.cos(A @ [0.4, -1.5])[:, None] * A, atol=1e-8)
    none = question([], [], lambda x, value: np.array([value, value, value]))
    assert _jacobian(none, np.zeros(0), 0.7).shape[1] == 0


H = np.array([[5.0, 1.0, 0.2], [1.0, 4.0, 0.1], [0.2, 0.1, 3.0]])


def first_inverse(asked: Question, hessian: np.ndarray = H) -> np.ndarray:
    return _ByGradient._first_inverse(SimpleNamespace(question=asked, maximum=SimpleNamespace(hessian=hessian)))


@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_the_first_inverse_hessian_is_that_of_the_others_at_the_maximum(unit):
    scales = np.array([1.0, unit])
    asked = question([1.0, 2.0], [False, False], lambda x, value: A @ (x * scales) + value)
    J = A * scales
    np.testing.assert_allclose(first_inverse(asked), np.linalg.inv(J.T @ H @ J), rtol=1e-5)


def test_a_parameter_that_is_even_stands_beside_zero_where_it_would_have_no_slope():
    inside = [0.25, 1.0]
    for start, even in (([0.0, 1.0], [True, False]), ([1e-7, 1.0], [True, False])):
        J = 2.0 * A * inside
        np.testing.assert_allclose(first_inverse(question(start, even)), np.linalg.inv(J.T @ H @ J), rtol=1e-6)
    J = 2.0 * A * [0.1, 1.0]
    found = first_inverse(question([0.1, 1.0], [True, False]))
    np.testing.assert_allclose(found, np.linalg.inv(J.T @ H @ J), rtol=1e-6)


def test_directions_without_curvature_have_a_thousand_times_the_variance_and_no_more():
    asked = question([1.0, 2.0], [False, False], lambda x, value: np.array([x[0] + x[1], 0.0, 0.0]) + value)
    found = first_inverse(asked)
    values = np.linalg.eigvalsh(5.0 * found)  # J'HJ is 5 times the matrix of ones
    np.testing.assert_allclose(values, [0.5, 1000.0], rtol=1e-4)
    lost = question([1.0, 2.0], [False, False], lambda x, value: np.array([x[0], 0.0, 0.0]) + value)
    np.testing.assert_allclose(first_inverse(lost).diagonal(), [0.2, 1.0 / (1e-6 * 5.0 * 1e-3)], rtol=1e-3)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_curve_of_a_coordinate_is_that_of_the_parameter_in_rising_order(sign):
    """size = 2 exp(sign c), beside another parameter of the family."""
    held = SimpleNamespace(
        others=np.array([1]),
        natural=lambda rest, c: rest[0] * np.exp(sign * c),
        bounds=lambda rest: (0.0, rest[0] * 100.0),
    )
    maximum = SimpleNamespace(names=("beta", "size"), tau=np.array([9.0, 2.0]))
    c, zeta = np.array([-1.0, 0.2, 0.9]), np.array([-1.5, 0.0, 1.1])
    parameters = np.column_stack([[4.0, 5.0, 6.0], 2.0 * np.exp(sign * c)])
    curve = Curve("size", 0.2, (-np.inf, np.inf), c, zeta, parameters, (True, False), (False, True))
    found = _natural(curve, maximum, held)
    order = slice(None, None, int(sign))
    np.testing.assert_allclose(found.values, 2.0 * np.exp(sign * c)[order])
    np.testing.assert_array_equal(found.zeta, sign * zeta[order])
    np.testing.assert_array_equal(found.parameters, parameters[order])
    assert (found.estimate, found.bounds) == (2.0 * np.exp(sign * 0.2), (0.0, 200.0))
    assert (found.complete, found.lower) == ((True, False)[order], (False, True)[order])
    assert (np.diff(found.values) > 0.0).all()


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize("c", [[-1.0, 0.2], [0.2, 0.2, 0.9], [-1.0, 0.2, 0.2]], ids=["two", "at an edge", "at another"])
def test_a_curve_of_two_knots_or_with_two_at_one_value_is_in_rising_order_too(c, sign):
    """Where a likelihood ends, its last two knots have the parameters of one."""
    held = SimpleNamespace(others=np.zeros(0, dtype=int), natural=lambda rest, c: c, bounds=lambda rest: (0.0, 9.0))
    maximum, zeta = SimpleNamespace(names=("size",), tau=np.zeros(1)), np.arange(-1.0, len(c) - 1.0)
    parameters = np.exp(sign * np.array([c])).T
    curve = Curve("size", 0.2, (-9.0, 9.0), np.arange(len(c)), zeta, parameters, (True, False), (False, True))
    found = _natural(curve, maximum, held)
    order = slice(None, None, int(sign))
    np.testing.assert_array_equal(found.parameters, parameters[order])
    np.testing.assert_array_equal(found.zeta, sign * zeta[order])
    assert (found.complete, found.lower) == ((True, False)[order], (False, True)[order])


def test_a_curve_of_one_knot_has_its_sides_as_they_are():
    held = SimpleNamespace(others=np.zeros(0, dtype=int), natural=lambda rest, c: c, bounds=lambda rest: (0.0, 9.0))
    curve = Curve("size", 0.2, (-9.0, 9.0), np.zeros(1), np.zeros(1), np.ones((1, 1)), (True, False), (False, True))
    found = _natural(curve, SimpleNamespace(names=("size",), tau=np.zeros(1)), held)
    assert (found.complete, found.lower) == ((True, False), (False, True))


def test_a_model_of_one_parameter_has_a_profile_whose_ends_are_the_quantile_higher():
    data = pd.DataFrame({"y": [3, 4, 1, 7, 2, 5, 9, 1], "g": list("aabbccdd")})
    fit = mme.glmer("y ~ 0 + (1 | g)", data, "poisson")
    limits = fit.confint(method="profile").to_numpy()[0]
    for limit in limits:
        held = mme.glmer("y ~ 0 + (1 | g)", data, "poisson", theta=[limit])
        assert held.criterion - fit.criterion == pytest.approx(chi2.isf(0.05, 1), rel=1e-5)
    assert limits[0] < fit.theta[0] < limits[1]


def test_a_correlation_with_a_deviation_of_zero_has_a_curve_without_knots():
    maximum = SimpleNamespace(names=("sd", "cor"))
    curve = _curve(maximum, np.array([0.0, np.nan]), "cor", 1.96)
    assert (curve.values.shape, curve.zeta.shape, curve.parameters.shape) == ((0,), (0,), (0, 2))
    assert (curve.bounds, curve.complete) == ((-1.0, 1.0), (True, True))


class Known:
    """A criterion that is a function of psi, with its slopes."""

    u = None

    def __init__(self, F, slopes):
        self.F, self.slopes = F, slopes

    def point(self, psi: np.ndarray) -> np.ndarray:
        return psi

    def at(self, psi: np.ndarray) -> SimpleNamespace | None:
        value = self.F(psi)
        return SimpleNamespace(value=value, gradient=lambda: self.slopes(psi), u=None) if np.isfinite(value) else None

    def keep(self, at: SimpleNamespace) -> None:
        pass


def tracer(criterion: Known, start: list[float], even: list[bool]) -> _ByGradient:
    """Holds the last entry of psi; the others are free as they are."""
    m = len(start)
    asked = Question(
        "v",
        0.0,
        (-np.inf, np.inf),
        0.2,
        np.array(start),
        np.full(m, 0.25),
        np.array(even),
        lambda x, v: np.append(x, v),
    )
    fit = SimpleNamespace(criterion=0.0, searched=SimpleNamespace(at=SimpleNamespace(u=None)))
    maximum = SimpleNamespace(
        names=("v", "sum"),
        hessian=np.eye(m + 1),
        fit=fit,
        criterion=lambda: criterion,
        values=lambda psi: np.array([psi[-1], psi.sum()]),
        family_parameter=lambda name: None,
    )
    return _ByGradient(maximum, asked)


def origin(of: _ByGradient) -> Knot:
    return Knot(0.0, 0.0, of.question.start, None, np.zeros(2))


def test_zeta_is_known_to_its_ninth_digit_where_the_others_follow_a_curve():
    """F = v^2 + 8 (exp(a) - 1 - a), a = psi_0 - sin(2 v): the other is at sin(2 v), and zeta is v."""

    def slopes(psi: np.ndarray) -> np.ndarray:
        v, own = psi[-1], 8.0 * (np.exp(psi[0] - np.sin(2.0 * psi[-1])) - 1.0)
        return np.array([own, 2.0 * v - 2.0 * np.cos(2.0 * v) * own])

    def F(psi: np.ndarray) -> float:
        a = psi[0] - np.sin(2.0 * psi[-1])
        return float(psi[-1] ** 2 + 8.0 * (np.expm1(a) - a))

    of = tracer(Known(F, slopes), [0.0], [False])
    curve = of.curve(origin(of), 1.96)
    np.testing.assert_allclose(curve.zeta, curve.values, atol=2e-9)
    assert 0.0 in curve.zeta
    np.testing.assert_allclose(curve.parameters[:, 1], curve.values + np.sin(2.0 * curve.values), atol=1e-4)
    assert curve.limit(1.96) == pytest.approx(1.96, abs=1e-6)


def test_a_search_leaves_zero_where_that_is_stationary_and_no_minimum():
    """F = (x^2 - 1)^2 + v^2."""
    of = tracer(
        Known(
            lambda psi: float((psi[0] ** 2 - 1.0) ** 2 + psi[1] ** 2),
            lambda psi: np.array([4.0 * psi[0] * (psi[0] ** 2 - 1.0), 2.0 * psi[1]]),
        ),
        [0.0],
        [True],
    )
    knot = of.knot(0.5, [origin(of)])
    assert abs(knot.x[0]) == pytest.approx(1.0, abs=1e-5)
    assert knot.zeta == pytest.approx(0.5, abs=1e-8)


def test_where_the_criterion_has_no_value_or_no_slope_there_is_no_likelihood():
    cliff = tracer(
        Known(lambda psi: np.inf if psi[-1] > 1.0 else float(psi @ psi), lambda psi: 2.0 * psi), [0.0], [False]
    )
    steep = tracer(
        Known(lambda psi: float(psi @ psi), lambda psi: 2.0 * psi / (0.0 if psi[-1] > 1.0 else 1.0)), [0.0], [False]
    )
    for of in (cliff, steep):
        near = [replace(origin(of), value=0.1 * i, x=np.array([0.01 * i])) for i in range(4)]
        for value, side in ((1.5, 1.0), (np.inf, 1.0), (-np.inf, -1.0)):
            knot = of.knot(value, near)
            assert knot.zeta == side * np.inf
            np.testing.assert_array_equal(knot.x, near[-1].x)
            assert np.isnan(knot.parameters).all()
        assert of.knot(0.9, near).zeta == pytest.approx(0.9, abs=1e-8)


class Recorded(Known):
    """Known, with the first of the others at every point that is asked for."""

    def at(self, psi: np.ndarray) -> SimpleNamespace | None:
        self.asked = [*getattr(self, "asked", []), float(psi[0])]
        return super().at(psi)


def asked_from(x: list[float], value: float, even: bool, minimum: float = 0.5) -> list[float]:
    """Where a search looks that these knots lead to; its inverse Hessian is one, and (x - minimum)^2 has a half."""
    criterion = Recorded(
        lambda psi: float((psi[0] - minimum) ** 2 + psi[1] ** 2),
        lambda psi: np.array([2.0 * (psi[0] - minimum), 2.0 * psi[1]]),
    )
    of = tracer(criterion, [0.0], [even])
    of.knot(value, [replace(origin(of), value=0.1 * i, x=np.array([one])) for i, one in enumerate(x)])
    return criterion.asked


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_search_begins_where_knots_lead_unless_that_is_within_a_tenth_of_a_radius_of_an_even_zero(side):
    for share in (0.0, 0.05, 0.09):
        assert asked_from([side * share * 0.25], 0.3, True)[0] == 0.25
        assert asked_from([side * share * 0.25], 0.3, False)[0] == side * share * 0.25
    for share in (0.1, 0.11, 0.15, 1.0, 1.5):
        assert asked_from([side * share * 0.25], 0.3, True)[0] == side * share * 0.25


def test_a_search_begins_on_the_parabola_through_the_last_three_knots():
    begun = asked_from([-1.0, 0.0, 1.0, 8.0, 27.0], 0.5, False, 50.0)[0]
    assert begun == pytest.approx(27.0 + 19.0 + 12.0, rel=1e-12)  # second differences are 12


def test_a_first_step_goes_no_further_than_three():
    assert asked_from([0.0], 0.3, False, 50.0)[1] == pytest.approx(3.0, rel=1e-12)
