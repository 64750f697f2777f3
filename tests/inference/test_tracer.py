"""Knots of a profile along deviances that are known functions: how far they go, how near they stand, where they end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mme.errors import MMEWarning
from mme.inference.intervals.curves import Curve
from mme.inference.intervals.question import Question
from mme.inference.intervals.tracing import Knot, Tracer, extrapolate

M, S = 2.0, 0.5  # the estimate and its standard error


class Known(Tracer):
    """A profile whose deviance and whose other parameter, 3 value + 1, are known; every knot asked for is kept."""

    def __init__(self, rise: Callable[[float], float], step: float, bounds=(-np.inf, np.inf)) -> None:
        zeros = np.zeros(1)
        super().__init__(Question("x", M, bounds, step, zeros, zeros, zeros > 0.0, lambda x, value: x), 7.0)
        self.rise, self.asked = rise, [M]

    def knot(self, value: float, near: list[Knot]) -> Knot:
        self.asked.append(value)
        rise = self.rise(value)
        if np.isinf(rise):
            return self.nowhere(value, near[-1].x, 2)
        others = np.array([3.0 * value + 1.0])
        return self.at_minimum(value, 7.0 + rise, others, None, np.array([value, *others]))

    def traced(self, z: float = 1.96) -> Curve:
        return self.curve(Knot(M, 0.0, np.array([3.0 * M + 1.0]), None, np.array([M, 3.0 * M + 1.0])), z)


def square(value: float) -> float:
    return ((value - M) / S) ** 2


@pytest.mark.parametrize(("z", "last"), [(1.96, 3.5), (2.6, 3.5), (4.0, 4.5), (0.5, 3.5)])
def test_knots_of_a_parabola_stand_at_every_half_up_to_the_reach_and_at_the_limit(z, last):
    """At least to the 99 % region of two parameters, 3.035, and half beyond z: first beyond it."""
    curve = Known(square, 0.5 * S).traced(z)
    expected = np.arange(0.0, last + 0.1, 0.5)
    expected = np.unique(np.append(expected, z))
    np.testing.assert_allclose(curve.zeta, np.concatenate([-expected[:0:-1], expected]), atol=1e-6)
    np.testing.assert_allclose(curve.values, M + S * curve.zeta, rtol=1e-12)
    np.testing.assert_allclose(curve.parameters[:, 1], 3.0 * curve.values + 1.0, rtol=1e-14)
    assert curve.complete == (False, False)
    assert curve.lower == (False, False)


@pytest.mark.parametrize("step", [1e-3, 0.01, 0.3, 0.6, 40.0])
def test_a_first_step_is_a_guess_that_grows_at_most_eightfold_and_shrinks_at_most_tenfold(step):
    tracer = Known(square, step)
    curve = tracer.traced()
    gaps = np.diff(curve.zeta)
    assert gaps.max() <= 0.9
    assert np.abs(curve.zeta).max() >= 3.035
    up = np.array([value for value in tracer.asked[1:] if value > M])
    if step < 0.1:
        first = np.diff(np.append(M, up[:4]))
        np.testing.assert_allclose(first[1:] / first[:-1], np.minimum(8.0, 0.5 * S / first[:-1]), rtol=1e-6)
    elif step > 10.0 * S:
        np.testing.assert_allclose((up[1] - M) / (up[0] - M), 0.1, rtol=1e-9)


def test_a_parameter_at_its_bound_ends_the_profile_there():
    curve = Known(square, 0.5 * S, (M - 1.2 * S, M + 2.2 * S)).traced()
    assert curve.complete == (True, True)
    np.testing.assert_allclose(curve.zeta[[0, -1]], [-1.2, 2.2], rtol=1e-12)
    np.testing.assert_allclose(curve.values[[0, -1]], [M - 1.2 * S, M + 2.2 * S], rtol=1e-15)
    assert curve.zeta.max() == curve.zeta[-1]


def test_where_the_likelihood_ends_knots_come_as_near_as_numbers_do():
    """Beyond M + 1.5 S it is zero: the last knot but one is the nearest number or two, the last is beyond any limit."""
    edge = M + 1.5 * S

    def rise(value: float) -> float:
        return square(value) if value < edge else np.inf

    curve = Known(rise, 0.5 * S).traced()
    near = curve.values[np.abs(curve.zeta - 1.5) < 1e-9]
    assert near.size
    assert 0.0 < edge - near[-1] <= 12.0 * np.spacing(edge)
    assert curve.zeta[-1] >= 3.035
    assert abs(curve.values[-1] - edge) <= 12.0 * np.spacing(edge)
    below = Known(lambda value: rise(2.0 * M - value), 0.5 * S).traced()
    assert below.zeta[0] <= -3.035


def test_the_last_two_knots_before_an_edge_are_numbers_that_are_hardly_told_apart():
    """Eight spacings at the most, wherever the edge is; the estimate stays, also where the edge is beside it."""
    for edge in M + S * np.append(1e-5, np.linspace(0.3, 2.9, 21)):
        curve = Known(lambda value, edge=edge: square(value) if value < edge else np.inf, 0.5 * S).traced()
        last, beyond = curve.values[-2:]
        assert last < edge <= beyond
        assert M in curve.values
        assert beyond - last <= 8.0 * np.spacing(edge)
        assert curve.zeta[-1] >= 3.035 > curve.zeta[-2]


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_jump_of_the_deviance_lies_between_two_neighbours_and_steps_begin_again_behind_it(side):
    """Higher by four from 0.7 standard errors on: zeta goes from 0.7 to 2.1."""
    tracer = Known(lambda value: square(value) + 4.0 * (side * (value - M) >= 0.7 * S), 0.5 * S)
    curve = tracer.traced(2.6)
    away = side * (curve.values - M)
    before, behind = away[away < 0.7 * S].max(), away[away >= 0.7 * S].min()
    assert behind - before <= 8.0 * np.spacing(M)
    np.testing.assert_allclose(np.abs(curve.zeta), np.sqrt(square(curve.values) + 4.0 * (away >= 0.7 * S)), rtol=1e-12)
    assert 3.1 <= (side * curve.zeta).max() <= 4.0
    asked = side * (np.array(tracer.asked) - M)
    again = int(np.flatnonzero(asked == behind)[-1]) + 1
    assert 0.0 < asked[again] - behind <= 8.0 * (behind - before)


def test_a_deviance_that_levels_off_is_taken_to_have_no_further_limit():
    """4 (1 - exp(-d^2 / 4)) stays below four: after two flat steps the end is looked at, infinity."""
    tracer = Known(lambda value: 4.0 * (1.0 - np.exp(-square(value) / 4.0)), 0.5 * S)
    curve = tracer.traced(2.6)
    assert curve.complete == (True, True)
    assert {np.inf, -np.inf} <= set(tracer.asked)
    np.testing.assert_allclose(np.abs(curve.zeta).max(), 2.0, rtol=1e-4)
    assert len(tracer.asked) < 60


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_lower_deviance_ends_a_side_and_is_told(side):
    """A second minimum two standard errors away, lower by one."""

    def rise(value: float) -> float:
        d = side * (value - M) / S
        return d**2 * (d - 2.0) ** 2 - 1.0 * (d > 1.2) * (1.0 - (d - 2.0) ** 2)

    with pytest.warns(MMEWarning, match="a deviance lower by"):
        curve = Known(rise, 0.5 * S).traced()
    assert curve.lower == (side < 0.0, side > 0.0)
    assert (side * (curve.values - M)).max() < 2.0 * S
    assert not np.isnan(curve.zeta).any()


@pytest.mark.parametrize("estimate", [1e-4, 2.0, -2.0, 1e4])
def test_a_lower_deviance_at_the_estimate_but_for_rounding_is_told_and_ends_nothing(estimate):
    zeros = np.zeros(1)
    tracer = Known(square, 0.1)
    tracer.question = replace(tracer.question, estimate=estimate)
    with pytest.warns(MMEWarning, match="not at the maximum of the likelihood$"):
        at = tracer.at_minimum(estimate * (1.0 + 1e-8), 6.0, zeros, None, zeros)
    assert at.zeta == 0.0
    with pytest.warns(MMEWarning, match="its profile ends there"):
        beside = tracer.at_minimum(estimate * (1.0 + 1e-4), 6.0, zeros, None, zeros)
    assert np.isnan(beside.zeta)


def test_limits_of_a_parameter_whose_logarithm_has_the_parabola_are_where_theory_has_them():
    """M exp(zeta / 3): parabolas through the knots lead there in more than one step."""
    curve = Known(lambda value: 9.0 * np.log(value / M) ** 2, 0.3, (0.0, np.inf)).traced()
    for limit in (-1.96, 1.96):
        near = int(np.argmin(np.abs(curve.zeta - limit)))
        assert curve.zeta[near] == pytest.approx(limit, abs=1e-4)
        assert curve.limit(limit) == pytest.approx(M * np.exp(limit / 3.0), rel=1e-8)


def test_a_knot_that_is_higher_than_the_one_beyond_begins_again_from_it():
    """Searches outwards stay in a higher valley by one from M + S to M + 1.5 S; those from beyond find the lower."""

    class Sticky(Known):
        def knot(self, value: float, near: list[Knot]) -> Knot:
            found = super().knot(value, near)
            stuck = M + 0.9 * S < value < M + 1.6 * S and abs(near[-1].value - M) < abs(value - M)
            return (
                found
                if not stuck
                else self.at_minimum(value, 9.0 + square(value) + 4.0, found.x, None, found.parameters)
            )

    curve = Sticky(square, 0.5 * S).traced(3.2)
    np.testing.assert_allclose(curve.zeta, (curve.values - M) / S, atol=1e-6)


def test_knots_point_on_by_their_polynomial_and_where_a_step_is_too_long_the_last_one_stands():
    knots = [Knot(v, 0.0, np.array([v**2, v]), None, np.zeros(0)) for v in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(extrapolate(5.0, knots), [25.0, 5.0], rtol=1e-12)
    np.testing.assert_allclose(extrapolate(3.0 + 8.0 * 2.0, knots), [19.0**2, 19.0], rtol=1e-12)
    np.testing.assert_array_equal(extrapolate(3.1 + 8.0 * 2.0, knots), knots[-1].x)
    np.testing.assert_array_equal(extrapolate(np.inf, knots), knots[-1].x)
    np.testing.assert_array_equal(extrapolate(50.0, knots[:1]), knots[0].x)
