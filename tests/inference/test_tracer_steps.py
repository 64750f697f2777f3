"""What a profile asks for on its way: which values, how often, and from which knots a search begins."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mme.inference.intervals.tracing import Knot
from tests.inference.test_tracer import Known, M, S, square

ORIGIN = Knot(M, 0.0, np.array([3.0 * M + 1.0]), None, np.array([M, 3.0 * M + 1.0]))


class Recorded(Known):
    """Known, with the zeta of the knots that each search begins from, beside its value."""

    def knot(self, value: float, near: list[Knot]) -> Knot:
        self.begun = getattr(self, "begun", [])
        self.begun.append((value, [knot.zeta for knot in near]))
        return super().knot(value, near)


@pytest.mark.parametrize(
    ("z", "bound", "around"),
    [(1.96, np.inf, [1.0, 1.5, 2.0]), (0.7, M + 0.95 * S, [0.0, 0.5, 0.95]), (0.3, np.inf, [0.0, 0.5])],
)
def test_a_knot_at_a_limit_is_begun_from_those_around_it(z, bound, around):
    """Two before the limit, where there are two, and the one behind it; also where there are but three in all."""
    tracer = Recorded(square, 0.5 * S, (-np.inf, bound))
    knots = tracer.side(ORIGIN, 1.0, z)
    value, near = tracer.begun[-1]
    assert value == pytest.approx(M + z * S, rel=1e-9)
    np.testing.assert_allclose(near, around, rtol=1e-9, atol=1e-12)
    assert np.abs(np.array([knot.zeta for knot in knots]) - z).min() < 1e-4


@pytest.mark.parametrize("tail", [0.0, 1e-9])
def test_no_value_of_a_smooth_deviance_is_asked_for_twice(tail):
    """Nor where zeta falls by less than a millionth."""
    for rise in (square, lambda value: 4.0 * (1.0 - np.exp(-square(value) / 4.0)) - tail * square(value)):
        tracer = Known(rise, 0.5 * S, (M - 50.0 * S, M + 50.0 * S))
        tracer.traced()
        assert len(set(tracer.asked)) == len(tracer.asked)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_where_nothing_is_gained_the_bound_is_looked_at_after_two_steps(side):
    bounds = (M - 4.0, M + 4.0)
    tracer = Known(lambda value: 0.0, 0.01, bounds)
    knots = tracer.side(ORIGIN, side, 1.96)
    assert [knot.value for knot in knots] == pytest.approx([M, M + side * 0.01, M + side * 0.09, M + side * 4.0])
    late = Known(lambda value: square(value) * (abs(value - M) > 0.05), 0.04, bounds)
    assert bounds[side > 0.0] not in [knot.value for knot in late.side(ORIGIN, side, 1.96)]
    assert bounds[side > 0.0] not in late.asked


def test_a_step_beyond_the_bound_is_one_to_the_bound_and_is_shortened_as_such():
    tracer = Known(square, 1e6, (M - 20.0 * S, M + 20.0 * S))
    curve = tracer.traced()
    assert tracer.asked.count(M + 20.0 * S) == tracer.asked.count(M - 20.0 * S) == 1
    assert tracer.asked[1:3] == [M - 20.0 * S, M - 2.0 * S]  # a tenth of the way to the bound
    assert np.diff(curve.zeta).max() <= 0.9


@pytest.mark.parametrize("step", [0.5 * S, 40.0 * S])
def test_a_deviance_that_levels_off_is_looked_at_at_infinity_also_after_a_step_that_was_too_long(step):
    curve = Known(lambda value: 9.0 * (1.0 - np.exp(-square(value) / 9.0)), step).traced(2.6)
    assert curve.complete == (True, True)
    np.testing.assert_allclose(np.abs(curve.zeta).max(), 3.0, rtol=1e-4)


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_when_knots_run_out_the_last_one_stands_as_far_as_the_step_has_led(side):
    """The deviance jumps twice, and more than sixty knots would be needed to come near to both places."""

    def rise(value: float) -> float:
        d = side * (value - M) / S
        return square(value) + 4.0 * (d >= 0.7) + 9.0 * (d >= 1.5)

    knots = Known(rise, 0.5 * S).side(ORIGIN, side, 0.5)
    size = np.abs([knot.zeta for knot in knots])
    assert len(knots) == 60
    assert size[-1] > 3.035
    assert size[-1] - size[-2] > 0.9


@pytest.mark.parametrize("estimate", [-2.0, 1e-4, 2.0])
def test_where_there_is_no_likelihood_zeta_is_infinite_on_that_side(estimate):
    tracer = Known(square, 0.1)
    tracer.question = type(tracer.question)("x", estimate, (-np.inf, np.inf), 0.1, *np.zeros((3, 1)), None)
    for side in (-1.0, 1.0):
        knot = tracer.nowhere(estimate + side * 0.01, np.zeros(1), 3)
        assert knot.zeta == side * np.inf
        assert np.isnan(knot.parameters).all()
        assert knot.parameters.shape == (3,)


def test_at_a_limit_that_lies_in_a_small_jump_no_more_than_eight_knots_are_added():
    """Zeta goes from 1.25 to 1.75 or so at one value: no knot comes near to 1.5, and each halves what is left."""
    tracer = Known(lambda value: square(value) + (1.0 + 0.5 * (value - M)) * (value > M + 1.25 * S), 0.5 * S)
    without = len(tracer.side(ORIGIN, 1.0, 0.5))
    knots = tracer.side(ORIGIN, 1.0, 1.4)
    assert min(abs(knot.zeta - 1.4) for knot in knots) > 1e-4
    assert len(knots) - without == 8


def test_a_knot_that_is_begun_again_stays_unless_that_is_lower():
    """Zeta falls beyond M + 2 S, whatever a search begins from."""

    class Marked(Known):
        def knot(self, value: float, near: list[Knot]) -> Knot:
            found = super().knot(value, near)
            again = len(near) == 1 and near[0].value > value
            return replace(found, parameters=-found.parameters) if again else found

    tracer = Marked(lambda value: square(value) * (1.0 - 0.5 * (value > M + 2.0 * S)), 0.5 * S)
    knots = tracer.side(ORIGIN, 1.0, 1.96)
    assert any(after.zeta < knot.zeta for knot, after in pairwise(knots))
    assert all(knot.parameters[0] == knot.value for knot in knots)


@pytest.mark.parametrize("z", [0.5, 1.96, 4.0])
@pytest.mark.parametrize("edge", [0.3, 1.7, 2.45])
def test_where_the_likelihood_ends_zeta_is_one_beyond_its_reach_and_no_value_is_asked_for_twice(z, edge):
    tracer = Known(lambda value: square(value) if value < M + edge * S else np.inf, 0.5 * S)
    zeta = [knot.zeta for knot in tracer.side(ORIGIN, 1.0, z)]
    assert zeta[-1] == max(3.035, z + 0.5) + 1.0
    assert zeta[-2] == pytest.approx(edge, abs=1e-9)
    assert len(set(tracer.asked)) == len(tracer.asked)


@pytest.mark.parametrize("edge", [0.05 + 5e-5, 0.3, 1.7, 2.45])
def test_the_end_of_a_likelihood_takes_the_place_of_knots_that_are_as_good_as_there(edge):
    knots = Known(lambda value: square(value) if value < M + edge * S else np.inf, 0.5 * S).side(ORIGIN, 1.0, 0.02)
    assert (np.diff([knot.zeta for knot in knots]) > 1e-4).all()
