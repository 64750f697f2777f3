"""Profiles of likelihoods with several valleys: zeta falls outwards only where the likelihood itself does."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from fuzz.problems import problem

import mme
from mme.inference.intervals.curves import Profile
from mme.inference.intervals.deviance import Deviance, Point
from mme.inference.intervals.question import Question
from mme.inference.intervals.tracing import Knot, Tracer, extrapolate
from mme.search.joint import Joint


def profiled(number, name):
    """The profile of one parameter of a small problem, and the fit by ML."""
    given = problem(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        fit = mme.lmer(given.formula, given.table, **given.options)
        return fit, fit.profile([name])


# Some knots of each were in a valley of the other parameters above the lowest: zeta fell by 0.03 to 0.55 after them.
STUCK = [
    (32, "cor_x.(Intercept)|g"),
    (33, "sd_ff1|g"),
    (43, "sd_x|g"),
    (54, "cor_ff1.(Intercept)|g"),
    (63, "ff1"),
    (89, "cor_x.(Intercept)|g"),
    (95, "sd_u|h"),
    (95, "cor_u.(Intercept)|h"),
]


@pytest.mark.parametrize(("number", "name"), STUCK)
def test_a_profile_follows_the_lowest_valley(number, name):
    curve = profiled(number, name)[1].curves[name]
    assert np.diff(curve.zeta).min() > -1e-4
    assert not curve.turns


def test_where_zeta_falls_no_start_finds_a_lower_deviance():
    fit, profile = profiled(95, "sigma")
    curve, record = profile.curves["sigma"], fit.internals
    falls = np.flatnonzero(np.diff(curve.zeta) < -1e-4)
    assert falls.size
    assert curve.turns
    objective = record.objective.by_ml()
    deviance = Deviance(Joint(objective.model, objective))
    rng = np.random.default_rng(0)
    for i in {*falls.tolist(), *(falls + 1).tolist()}:
        sigma, rise = float(curve.values[i]), float(curve.zeta[i] ** 2)
        lowest = min(_descended(deviance, sigma, start) for start in rng.normal(size=(12, 4)) * [2.0, 2.0, 1.0, 2.0])
        assert lowest - profile.deviance > rise - 1e-6


def _descended(deviance, sigma, start):
    from scipy.optimize import minimize

    def f(theta):
        return deviance(Point(theta, np.zeros(0), sigma=sigma))

    return minimize(f, start, method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-6, "fatol": 1e-8}).fun


@pytest.mark.parametrize("sigma", [0.0, 0.5, 1.0, 2.0])
def test_the_deviance_is_that_of_a_normal_density_at_every_sigma(sigma):
    fit = mme.lmer("y ~ 1 + (1 | g)", {"y": [1.0, 2.0, 4.0, 3.0, 6.0, 5.0], "g": list("aabbcc")}, method="ML")
    objective = fit.internals.objective
    found = Deviance(Joint(objective.model, objective))(Point(np.array([0.7]), np.zeros(0), sigma=sigma))
    if sigma == 0.0:
        assert found == np.inf
        return
    V = sigma**2 * (np.eye(6) + 0.49 * np.kron(np.eye(3), np.ones((2, 2))))
    y, ones = np.array([1.0, 2.0, 4.0, 3.0, 6.0, 5.0]), np.ones(6)
    weights = np.linalg.solve(V, ones)
    r = y - weights @ y / (weights @ ones)
    exact = np.linalg.slogdet(2.0 * np.pi * V)[1] + r @ np.linalg.solve(V, r)
    assert found == pytest.approx(exact, rel=1e-12)


def test_a_knot_that_is_above_the_next_one_begins_again_from_it():
    """By a ten-thousandth of zeta too, which is a hundred times what a search leaves."""

    class Stuck(Tracer):
        def knot(self, value, known):
            return replace(known[0], value=value, zeta=known[0].zeta - 0.1)

    x = np.zeros(1)
    for found, mended in (([0.0, 1.0001, 1.0], [0.0, 0.9, 1.0]), ([0.0, 1.2, 1.1, 1.0], [0.0, 0.8, 0.9, 1.0])):
        knots = [Knot(float(i), zeta, x, None, x) for i, zeta in enumerate(found)]
        Stuck(None, 0.0)._mend(knots)
        assert [knot.zeta for knot in knots] == pytest.approx(mended, rel=1e-12)


@pytest.mark.parametrize("origin", [0.0, 1e3, -1e3])
def test_knots_point_on_as_far_as_steps_may_grow_wherever_they_stand(origin):
    knots = [Knot(origin + i, 0.0, np.array([3.0 * i, 1.0]), None, np.zeros(1)) for i in (0.0, 1.0)]
    np.testing.assert_allclose(extrapolate(origin + 5.0, knots), [15.0, 1.0], rtol=1e-12)
    np.testing.assert_array_equal(extrapolate(origin + 10.0, knots), [3.0, 1.0])  # ten times as far as they are apart
    np.testing.assert_array_equal(extrapolate(origin + 5.0, knots[1:]), [3.0, 1.0])


@pytest.mark.parametrize(("falls_at", "reached"), [(2.4, True), (1.2, False)])
def test_a_side_ends_where_the_deviance_falls_below_that_of_the_fit(falls_at, reached):
    """The limit stands where it was reached before; it is NaN where it was not, and the other side is as ever."""

    class Falling(Tracer):
        def knot(self, value, known):
            rise = value**2 if value < falls_at else -1.0
            return self.at_minimum(value, rise, np.zeros(1), None, np.array([value]))

    question = Question("b", 0.0, (-np.inf, np.inf), 0.3, np.zeros(1), np.ones(1), np.zeros(1, dtype=bool), None)
    with pytest.warns(mme.MMEWarning, match="its profile ends there"):
        curve = Falling(question, 0.0).curve(Knot(0.0, 0.0, np.zeros(1), None, np.zeros(1)), 1.96)
    assert curve.values.max() < falls_at
    assert curve.lower == (False, True)
    found = Profile({"b": curve}, ("b",), np.zeros(1), 0.0).confint()
    assert found["lower"]["b"] == pytest.approx(-1.959964, abs=1e-6)
    assert found["upper"]["b"] == (pytest.approx(1.959964, abs=1e-6) if reached else pytest.approx(np.nan, nan_ok=True))
