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


def test_descents_into_one_valley_become_one():
    alone = descend(two_valleys, np.array([[-2.0, 5.0]]), lambda x: x).evaluations
    several = descend(two_valleys, np.array([[-2.0, 5.0], [-2.1, 5.0], [-1.9, 5.1], [-2.0, 4.9]]), lambda x: x)
    assert several.evaluations < 4 * alone
    assert_allclose(several.f.min(), two_valleys(np.array([[-1.0380, 0.0]]))[0][0], atol=1e-3)
