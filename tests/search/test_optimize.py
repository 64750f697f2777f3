"""The search on plain functions: what it calls a minimum is one, and what it cannot tell it says."""

import numpy as np
import pytest
from designs import seeds
from hypothesis import given, settings
from hypothesis import strategies as st

from mme.errors import MemoryForecastError, MMEError
from mme.numeric.by_values import bobyqa
from mme.numeric.counted import Counted
from mme.numeric.curvature import curvature, second_difference
from mme.numeric.newton import ACCEPTED
from mme.numeric.optimize import evaluate_only, minimise


def search(f, start, *, radius=0.3, even=False, progress=None):
    start = np.array(start, dtype=float)
    return minimise(
        f, start, np.full(start.size, radius), even=np.broadcast_to(np.array(even), start.shape), progress=progress
    )


def spd(rng, k, condition=1e2):
    Q = np.linalg.qr(rng.normal(size=(k, k)))[0]
    return Q @ np.diag(np.geomspace(1.0, condition, k)) @ Q.T


def rosenbrock(x):
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def rosenbrock_derivatives(x):
    k = x.size
    g, H = np.zeros(k), np.zeros((k, k))
    for i in range(k - 1):
        g[i] += -400.0 * x[i] * (x[i + 1] - x[i] ** 2) - 2.0 * (1.0 - x[i])
        g[i + 1] += 200.0 * (x[i + 1] - x[i] ** 2)
        H[i, i] += 1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0
        H[i, i + 1] = H[i + 1, i] = -400.0 * x[i]
        H[i + 1, i + 1] += 200.0
    return g, H


def variance_profile(ratio, J=20, n=5):
    """-2 log REML likelihood of a balanced one-way layout whose estimate of theta is ``ratio``; even in theta."""
    at_minimum = 1.0 + n * ratio**2

    def f(x):
        shrunk = 1.0 + n * x[0] ** 2
        return (J - 1) * np.log(shrunk) + (J * n - 1) * np.log(J * (n - 1) + (J - 1) * at_minimum / shrunk)

    return f


# -- minima ------------------------------------------------------------------------------------------------------------


@given(seed=seeds, k=st.integers(1, 8), level=st.sampled_from([0.0, 100.0, -1e4]))
def test_a_quadratic_is_minimised_by_its_finite_differences(seed, k, level):
    rng = np.random.default_rng(seed)
    H, x0 = spd(rng, k), rng.normal(size=k)
    found = search(lambda x: level + 0.5 * (x - x0) @ H @ (x - x0), x0 + 0.3 * rng.normal(size=k))
    assert found.curvature.converged
    assert found.curvature.flat == 0
    assert found.value < level + 1e-7
    assert found.evaluations < 4 * (k + 1) * (k + 2)


@settings(max_examples=60)
@given(seed=seeds, k=st.integers(2, 6))
def test_what_is_called_converged_on_rosenbrocks_function_is_a_minimum(seed, k):
    """A Newton step by the exact derivatives gains nothing there; valleys curved like a banana have no false bottom."""
    start = np.random.default_rng(seed).uniform(-2.0, 2.0, size=k)
    found = search(rosenbrock, start)
    assert found.value <= rosenbrock(start)
    if found.curvature.converged:
        g, H = rosenbrock_derivatives(found.x)
        assert np.linalg.eigvalsh(H).min() > 0.0
        assert 0.5 * g @ np.linalg.solve(H, g) < 1e-5


@pytest.mark.parametrize("k", [2, 3, 4, 6])
def test_rosenbrocks_minimum_is_found_from_nearby(k):
    found = search(rosenbrock, np.full(k, 1.3))
    assert found.curvature.converged
    assert found.value < 1e-6


@pytest.mark.parametrize("minimum", [1e-3, 1e-2, 0.3, 1.0, 30.0, 1e3, 1e5])
def test_one_coordinate_is_found_over_eight_decades(minimum):
    f = variance_profile(minimum)
    found = search(f, [1.0], even=True)
    assert found.curvature.converged
    assert found.value - f(np.array([minimum])) < 1e-7
    assert found.evaluations < 200
    if minimum >= 0.3:
        assert abs(abs(found.x[0]) / minimum - 1.0) < 1e-3


@pytest.mark.parametrize("start", [1e-3, 1.0, 50.0])
def test_one_coordinate_with_its_minimum_at_zero_ends_at_exactly_zero(start):
    found = search(variance_profile(0.0), [start], even=True)
    assert found.x[0] == 0.0
    assert found.zeros.tolist() == [True]
    assert found.curvature.converged


@given(seed=seeds, k=st.integers(2, 5))
def test_a_minimum_at_zero_of_an_even_function_is_exactly_zero(seed, k):
    rng = np.random.default_rng(seed)
    scale, free = rng.uniform(1.0, 20.0, size=k), rng.normal()

    def f(x):  # even in all coordinates but the last
        return float(scale[:-1] @ np.log1p(x[:-1] ** 2) + scale[-1] * (x[-1] - free) ** 2)

    found = search(f, rng.uniform(0.2, 1.0, size=k), even=np.arange(k) < k - 1)
    assert found.curvature.converged
    assert found.zeros.tolist() == [True] * (k - 1) + [False]
    assert not found.x[:-1].any()
    assert abs(found.x[-1] - free) < 1e-3


@pytest.mark.parametrize("start", [[0.0, 1.0], [0.0, 0.0], [1e-9, 1.0], [0.0, 2.0]])
def test_a_zero_that_is_a_saddle_is_left(start):
    found = search(lambda x: 10.0 * (x[0] ** 2 - 1.0) ** 2 + (x[1] ** 2 - 4.0) ** 2, start, even=True)
    np.testing.assert_allclose(np.abs(found.x), [1.0, 2.0], atol=1e-3)
    assert found.curvature.converged
    assert not found.zeros.any()


def test_zeros_are_not_tried_where_the_function_is_not_even():
    found = search(lambda x: 50.0 * float(((x - 1e-3) ** 2).sum()), [0.5, 0.5])
    np.testing.assert_allclose(found.x, 1e-3, atol=1e-5)
    assert not found.zeros.any()


# -- what the data do not determine ------------------------------------------------------------------------------------


@given(seed=seeds, k=st.integers(2, 4))
def test_a_valley_is_reported_as_flat_at_its_bottom(seed, k):
    rng = np.random.default_rng(seed)
    direction = rng.uniform(0.3, 1.0, size=k) * rng.choice([-1.0, 1.0], size=k)
    found = search(lambda x: 100.0 + 50.0 * float(direction @ x - 2.0) ** 2, np.ones(k))
    assert found.value - 100.0 < 1e-7
    assert found.curvature.flat == k - 1
    assert found.curvature.converged


def test_a_constant_is_flat_in_every_direction():
    found = search(lambda x: 7.0, [1.0, 2.0, 3.0])
    assert found.curvature.flat == 3
    assert found.curvature.converged
    assert found.value == 7.0


@pytest.mark.parametrize("k", [1, 2])
def test_a_function_without_a_minimum_ends_and_says_that_it_is_flat_or_not_converged(k):
    found = search(lambda x: -float(np.log1p(x @ x)), np.ones(k))
    assert found.curvature.flat > 0 or not found.curvature.converged


def test_a_minimum_of_fourth_order_is_flat_or_not_called_converged_far_from_it():
    found = search(lambda x: float((x**4).sum()), [1.0, 1.0])
    assert found.value < 1e-5
    assert found.value < ACCEPTED or found.curvature.flat or not found.curvature.converged


# -- rounding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [1e-13, 1e-11, 1e-9])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_rounding_raises_no_false_alarm(noise, k):
    rng = np.random.default_rng(1)
    H = spd(rng, k, 10.0)
    found = search(lambda x: 500.0 + 20.0 * (x - 1.0) @ H @ (x - 1.0) + noise * rng.normal(), np.full(k, 1.4))
    assert found.curvature.converged
    assert abs(found.value - 500.0) < 1e-7


@pytest.mark.parametrize("level", [0.0, 1e3, 1e6, -1e6])
def test_the_size_of_the_criterion_does_not_matter(level):
    H = spd(np.random.default_rng(2), 3)
    found = search(lambda x: level + (x - 1.0) @ H @ (x - 1.0), [1.2, 0.9, 0.7])
    assert found.curvature.converged
    assert found.curvature.flat == 0
    assert found.value - level < 1e-6


def test_coordinates_of_unlike_curvature_are_both_found():
    found = search(lambda x: 1e6 * (x[0] - 1.0) ** 2 + 1e-2 * (x[1] - 2.0) ** 2, [1.1, 0.5])
    assert found.curvature.converged
    np.testing.assert_allclose(found.x, [1.0, 2.0], atol=1e-2)


def test_where_the_function_is_infinite_the_search_turns_back():
    found = search(lambda x: np.inf if x[0] < 0.5 else 20.0 * (x[0] - 1.0) ** 2 + x[1] ** 2, [2.0, 1.0])
    assert found.curvature.converged
    np.testing.assert_allclose(found.x, [1.0, 0.0], atol=1e-3)


# -- what is reported --------------------------------------------------------------------------------------------------


def test_every_evaluation_is_counted_and_shown_and_the_best_is_kept():
    seen = []
    found = search(rosenbrock, [1.2, 1.0], progress=lambda *line: seen.append((line[0], line[1], line[2].copy())))
    assert [number for number, _, _ in seen] == list(range(1, found.evaluations + 1))
    assert min(value for _, value, _ in seen) == found.value
    assert all(rosenbrock(x) == value for _, value, x in seen)
    assert rosenbrock(found.x) == found.value


def test_a_search_done_twice_is_the_same_to_the_last_bit():
    one, other = search(rosenbrock, [-1.0, 1.0, 0.5]), search(rosenbrock, [-1.0, 1.0, 0.5])
    assert np.array_equal(one.x, other.x)
    assert one.evaluations == other.evaluations


def test_a_point_that_is_given_is_evaluated_once():
    found = evaluate_only(rosenbrock, np.array([0.0, 2.0]))
    assert (found.value, found.evaluations) == (401.0, 1)
    assert found.zeros.tolist() == [True, False]


@given(seed=seeds, k=st.integers(1, 5))
def test_curvature_is_that_of_a_smooth_function(seed, k):
    """log det(S + x x') sort of function: gradient and Hessian by differences against the exact ones."""
    rng = np.random.default_rng(seed)
    H, x = spd(rng, k), rng.normal(size=k)
    x0 = x + rng.normal(size=k)

    def f(at):
        return 30.0 * np.log1p((at - x0) @ H @ (at - x0) / 30.0)

    d = x - x0
    size = 1.0 + d @ H @ d / 30.0
    gradient = 2.0 * H @ d / size
    hessian = 2.0 * H / size - 4.0 / 30.0 * np.outer(H @ d, H @ d) / size**2
    found = curvature(f, x, f(x), np.full(k, 0.3))
    scale = np.sqrt(np.abs(np.diag(hessian))) + 1.0
    assert np.abs((found.gradient - gradient) / (scale + np.abs(gradient))).max() < 1e-4
    assert np.abs((found.hessian - hessian) / np.outer(scale, scale)).max() < 1e-2


@given(seed=seeds, k=st.integers(1, 5))
def test_a_newton_step_from_the_curvature_of_a_quadratic_ends_at_its_minimum(seed, k):
    rng = np.random.default_rng(seed)
    H, x, x0 = spd(rng, k), rng.normal(size=k), rng.normal(size=k)
    f = lambda at: 3.0 + 0.5 * (at - x0) @ H @ (at - x0)  # noqa: E731
    found = curvature(f, x, f(x), np.full(k, 0.3))
    np.testing.assert_allclose(x + found.newton, x0, atol=1e-4)
    assert abs(found.expected_decrease - (f(x) - 3.0)) < 1e-4 * (1.0 + f(x))
    assert not found.saddle


@given(seed=seeds, k=st.integers(2, 5))
def test_at_a_saddle_a_way_down_is_named(seed, k):
    rng = np.random.default_rng(seed)
    Q = np.linalg.qr(rng.normal(size=(k, k)))[0]
    H = Q @ np.diag(np.append(np.linspace(1.0, 3.0, k - 1), -2.0)) @ Q.T
    f = lambda at: 0.5 * float(at @ H @ at)  # noqa: E731
    found = curvature(f, np.zeros(k), 0.0, np.full(k, 0.3))
    assert not found.converged
    assert found.saddle
    assert f(found.newton) < 0.0


def test_no_coordinates_are_a_minimum():
    found = curvature(lambda x: 1.0, np.zeros(0), 1.0, np.zeros(0))
    assert found.converged
    assert found.flat == 0


@pytest.mark.parametrize("x0", [-40.0, -3.0, 0.5, 900.0])
def test_a_coordinate_that_is_not_even_is_searched_on_both_sides(x0):
    f = lambda x: float(np.sqrt(1.0 + (x[0] - x0) ** 2))  # noqa: E731
    found = minimise(f, np.zeros(1), np.full(1, 0.1), even=np.zeros(1, dtype=bool))
    assert abs(found.x[0] - x0) < 1e-3
    assert found.curvature.converged


@pytest.mark.parametrize("k", [1, 3])
def test_a_function_that_is_infinite_everywhere_has_no_minimum_and_is_no_error(k):
    found = minimise(lambda x: np.inf, np.ones(k), np.ones(k), even=np.ones(k, dtype=bool))
    assert found.value == np.inf
    assert found.reason == "the criterion is infinite wherever it was tried"
    assert not found.curvature.converged


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("problem", [MMEError("no"), np.linalg.LinAlgError("no"), FloatingPointError("no"), None])
@pytest.mark.parametrize("start", [0.0, 0.29, 0.6])
def test_a_trial_point_at_which_something_raises_counts_as_infinite(k, problem, start):
    """Beyond 0.3 there is no value: at trial points, or already at the start."""

    def f(x):
        if x[0] <= 0.3:
            return 100.0 * float(((x - 0.1 * np.arange(1, k + 1)) ** 2).sum())
        if problem is None:
            return float("nan")
        raise problem

    with np.errstate(invalid="ignore"):
        found = search(f, np.full(k, start), radius=0.2)
    assert found.value < 1e-9
    np.testing.assert_allclose(found.x, 0.1 * np.arange(1, k + 1), atol=1e-5)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_a_function_without_a_value_anywhere_ends_the_search_in_its_own_words(k):
    def refuses(x):
        raise MMEError("there is nothing to fit")

    with np.errstate(invalid="ignore"):
        assert search(lambda x: np.inf, np.zeros(k)).value == np.inf
        with pytest.raises(MMEError, match="there is nothing to fit"):
            search(refuses, np.zeros(k))


def test_a_forecast_of_memory_is_no_trial_point():
    def refuses(x):
        raise MemoryForecastError("too large")

    with pytest.raises(MemoryForecastError, match="too large"):
        search(refuses, [0.0, 0.0])


@pytest.mark.parametrize("value", [0.0, 1e4, -3e5])
@pytest.mark.parametrize(("errors", "flat"), [(20.0, 1), (45.0, 0)])
def test_a_curvature_counts_where_it_is_beyond_thirty_errors_of_its_differences(value, errors, flat):
    """A quadratic of curvatures 1 - c and c in two directions at 45 degrees: rounding of f leaves c an error known."""
    c = errors * second_difference(value)
    H = np.array([[1.0, 1.0 - c], [1.0 - c, 1.0]])
    found = curvature(lambda x: value + 0.5 * x @ H @ x, np.zeros(2), value, np.full(2, np.sqrt(2.0)))
    assert found.flat == flat


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_search_from_a_point_that_is_not_finite_evaluates_nothing(bad):
    counted = Counted(lambda x: float(x @ x), np.zeros(2), None)
    bobyqa(counted, np.array([bad, 0.0]), np.ones(2))
    bobyqa(counted, np.zeros(2), np.array([bad, 1.0]))
    assert counted.evaluations == 0


def test_a_function_of_many_points_at_once_is_searched_as_one_of_single_points():
    class Both:
        stacks = 0

        def __call__(self, x):
            return float(((x - 1.0) ** 2).sum() + 0.3 * x[0] * x[1] + 0.1 * x[0] ** 4)

        def many(self, points):
            self.stacks += 1
            return np.array([self(x) for x in points])

    both, how = Both(), {"even": np.zeros(2, dtype=bool)}
    at_once = minimise(both, np.array([0.5, 0.8]), np.array([0.2, 0.2]), **how)
    apart = minimise(both.__call__, np.array([0.5, 0.8]), np.array([0.2, 0.2]), **how)
    np.testing.assert_array_equal(at_once.x, apart.x)
    assert at_once.evaluations == apart.evaluations
    assert both.stacks > 0


def test_of_points_of_which_one_raises_the_others_have_their_values():
    class Partly:
        def __call__(self, x):
            if x[0] > 0.5:
                raise ArithmeticError
            return float(x @ x)

        def many(self, points):
            return np.array([self(x) for x in points])

    counted = Counted(Partly(), np.zeros(1), None)
    assert counted.many(np.array([[0.2], [0.7], [0.1]])).tolist() == pytest.approx([0.04, np.inf, 0.01])
    assert (counted.evaluations, counted.best) == (3, pytest.approx(0.01))


def test_steps_of_differences_are_those_at_which_the_function_was_taken():
    """A radius far too small: steps grow by a hundred four times, and the slope is the function's all the same."""
    found = curvature(lambda x: 1.0 + float(x[0] ** 2 + x[0]), np.array([1.0]), 3.0, np.array([1e-10]))
    assert found.gradient[0] == pytest.approx(3.0, rel=1e-6)
