"""The criterion of small models at many thetas at once, and descents on it."""

import numpy as np
import pytest
from fuzz.problems import problem
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.derivatives.slopes import criterion_slopes
from mme.search.descents import descend
from mme.search.valleys import Valleys


def evaluated(number, **options):
    """The criterion of a problem in its axes, as the library evaluates it, and all at once."""
    given = problem(number)
    model = mme.lmer(given.formula, given.table, **(given.options | options)).internals.model
    found = mme.objective(
        model.y,
        model.X,
        list(model.terms),
        method=model.method,
        weights=model.weights,
        offset=model.offset,
        sigma=model.sigma,
    ).in_axes
    return found, Valleys.of(found)


@pytest.mark.parametrize("sigma", [None, 2.0])
@pytest.mark.parametrize("number", [2, 5, 6, 17, 24])
def test_all_at_once_are_the_criterion_and_its_slopes_one_by_one(number, sigma):
    objective, valleys = evaluated(number, sigma=sigma)
    x, scale = np.random.default_rng(0).normal(size=(5, objective.model.k)), objective.theta_scale
    value, gradient, hessian = valleys(x)
    assert_allclose(value, [objective(one / scale) for one in x], rtol=1e-12, atol=1e-10)
    for i, one in enumerate(x):
        g, H = criterion_slopes(objective, one / scale)
        assert_allclose(gradient[i], g / scale, rtol=1e-9, atol=1e-9 * np.abs(g / scale).max())
        H = H / np.outer(scale, scale)
        assert_allclose(hessian[i], H, rtol=1e-9, atol=1e-9 * np.abs(H).max())


@pytest.mark.parametrize("number", [2071])
def test_where_an_axis_lies_within_x_theta_moves_a_column_of_T_and_slopes_are_its_differences(number):
    objective, valleys = evaluated(number)
    assert objective.within is not None
    x, k, h = np.random.default_rng(3).normal(size=(1, objective.model.k)), objective.model.k, 1e-5
    assert_allclose(valleys(x)[0], objective(x[0] / objective.theta_scale), rtol=1e-12, atol=1e-9)
    _, gradient, hessian = valleys(x)
    value, slopes, _ = valleys(np.concatenate([x + h * np.eye(k), x - h * np.eye(k)]))
    assert_allclose(gradient[0], (value[:k] - value[k:]) / (2.0 * h), atol=1e-5 * np.abs(gradient).max())
    assert_allclose(hessian[0], (slopes[:k] - slopes[k:]) / (2.0 * h), atol=1e-5 * np.abs(hessian).max())


def test_the_sign_of_a_column_of_T_is_no_other_point():
    _, valleys = evaluated(5)
    x = np.random.default_rng(1).normal(size=(4, valleys.free.size))
    assert_allclose(valleys(valleys.canonical(x))[0], valleys(x)[0], atol=1e-9)
    assert_array_equal(valleys.canonical(valleys.canonical(x)), valleys.canonical(x))


def test_a_point_without_digits_leaves_the_others_theirs():
    _, valleys = evaluated(5)
    x = np.random.default_rng(2).normal(size=(3, valleys.free.size))
    x[1] = np.nan
    assert_array_equal(np.isfinite(valleys(x)[0]), [True, False, True])


def two_valleys(x):
    """(x^2 - 1)^2 + x / 3 + y^2: a valley on each side, the lower one at the left."""
    value = (x[:, 0] ** 2 - 1.0) ** 2 + x[:, 0] / 3.0 + x[:, 1] ** 2
    gradient = np.stack([4.0 * x[:, 0] * (x[:, 0] ** 2 - 1.0) + 1.0 / 3.0, 2.0 * x[:, 1]], axis=1)
    hessian = np.zeros((len(x), 2, 2))
    hessian[:, 0, 0], hessian[:, 1, 1] = 12.0 * x[:, 0] ** 2 - 4.0, 2.0
    return value, gradient, hessian


def test_descents_end_each_in_its_own_valley():
    found = descend(two_valleys, np.array([[-2.0, 5.0], [2.0, 5.0]]), lambda x: x)
    assert_allclose(found.x[:, 0], [-1.04, 0.957], atol=0.02)
    assert not found.in_one_valley


def test_descents_into_one_valley_become_one():
    alone = descend(two_valleys, np.array([[-2.0, 5.0]]), lambda x: x).evaluations
    starts = np.array([[-2.0, 5.0], [-2.1, 5.0], [-1.9, 5.1], [-2.0, 4.9]])
    several = descend(two_valleys, starts, lambda x: x)
    assert several.evaluations < 4 * alone
    assert several.in_one_valley
    assert_allclose(several.f.min(), two_valleys(np.array([[-1.0380, 0.0]]))[0][0], atol=1e-3)


@pytest.mark.parametrize("lowest", [3.0, -2.0])  # curvatures (1, lowest)
def test_a_step_goes_to_the_lowest_point_of_the_quadratic_within_its_reach(lowest):
    gradient, hessian, seen = np.array([4.0, -3.0]), np.array([[1.0, 0.2], [0.2, lowest]]), []

    def quadratic(x):
        seen.append(x)
        value = x @ gradient + 0.5 * np.einsum("si,ij,sj->s", x, hessian, x)
        return value, gradient + x @ hessian, np.repeat(hessian[None], len(x), axis=0)

    descend(quadratic, np.zeros((1, 2)))
    step = seen[1][0]
    assert_allclose(np.linalg.norm(step), 0.5, rtol=1e-5)  # half of one, as all coordinates are zero
    pull = -(gradient + hessian @ step)  # lambda step, with hessian + lambda I positive definite
    multiplier = float(pull @ step / (step @ step))
    assert_allclose(pull, multiplier * step, atol=1e-5)
    assert np.linalg.eigvalsh(hessian)[0] + multiplier > 0.0


def of_two_variances(x):
    """20 (log V + 5 / V), V = 1 + x^2, of each of two standard deviations: V is 5 where it is lowest."""
    V = 1.0 + x**2
    hessian = np.zeros((len(x), 2, 2))
    hessian[:, [0, 1], [0, 1]] = 40.0 / V - 80.0 * x**2 / V**2 - 200.0 / V**2 + 800.0 * x**2 / V**3
    return 20.0 * (np.log(V) + 5.0 / V).sum(axis=1), 40.0 * x / V - 200.0 * x / V**2, hessian


@pytest.mark.parametrize("start", [[1000.0, 0.3], [-1000.0, 300.0], [100.0, 0.01]])
def test_sizes_come_back_from_far_out_in_steps_of_their_logarithms(start):
    whole, by_logarithms = (descend(of_two_variances, np.array([start]), by_logarithms=one) for one in (False, True))
    assert_allclose(np.abs(by_logarithms.x), 2.0, atol=0.02)
    assert by_logarithms.evaluations <= 12 < whole.evaluations


def test_no_size_goes_further_out_than_descents_go():
    def falling(x):
        return -10.0 * x[:, 0], np.tile([-10.0, 0.0], (len(x), 1)), np.zeros((len(x), 2, 2))

    found = descend(falling, np.array([[1.0, 0.0]]), by_logarithms=True)
    assert 1e4 <= found.x[0, 0] <= 1e5
    assert not found.going.any()


def test_where_all_descents_end_in_one_valley_no_others_are_made():
    counts, rng = np.array([3, 1, 5, 2, 4, 1, 2, 5, 3, 4]), np.random.default_rng(0)
    inner = np.repeat(np.arange(10), counts)
    outer = inner // 2
    y = rng.normal(size=30) + 2.0 * rng.normal(size=5)[outer] + rng.normal(size=10)[inner]
    fit = mme.fit(y, np.ones((30, 1)), [mme.Term(outer), mme.Term(inner)])
    assert fit.optimum.evaluations < 80  # 129 with descents from the lowest end too
