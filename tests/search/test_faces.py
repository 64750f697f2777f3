"""Minima on the faces where covariances have fewer columns."""

import numpy as np
import pytest
from fuzz.problems import problem
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.search.faces import minima_of_faces
from mme.search.valleys import Valleys


def evaluated(number):
    """The criterion of a problem in its axes, all at once, and where its search ended in scaled coordinates."""
    given = problem(number)
    fit = mme.lmer(given.formula, given.table, **given.options)
    objective = fit.internals.objective.in_axes
    x = objective.model.coordinates.inner(fit.theta) * objective.theta_scale
    return objective.model, Valleys.of(objective), x


def ranks(model, x):
    return [
        int(np.linalg.matrix_rank(part.T(piece), tol=1e-9))
        for part, piece in zip(model.structures, model.split(x), strict=True)
    ]


# (x + z | g) by itself, three scalar terms, and (x | h) beside two scalar ones.
@pytest.mark.parametrize("number", [8907, 114, 1039])
def test_every_lower_rank_of_every_term_is_a_face_and_its_end_is_stationary_within_it(number):
    model, valleys, _ = evaluated(number)
    x = np.random.default_rng(0).normal(size=model.k) * 2.0
    found, evaluations = minima_of_faces(valleys, model, x)
    whole = ranks(model, x)
    below = [ranks(model, one) for one in found]
    assert evaluations >= len(found)
    assert all(np.less_equal(one, whole).all() and one != whole for one in below)
    assert len(found) == min(15, np.prod(np.add(whole, 1)) - 1)
    _, gradient, hessian = valleys(found)
    for at, slope, H in zip(found, gradient, hessian, strict=True):
        free = at != 0.0
        assert_array_equal(slope[~free & model.diagonal], 0.0)
        step = np.linalg.lstsq(H[np.ix_(free, free)], slope[free], rcond=1e-8)[0]
        assert abs(slope[free] @ step) < 0.01


def test_a_face_has_a_minimum_that_descents_from_the_interior_pass_by():
    model, valleys, _ = evaluated(1770)
    x = np.zeros(model.k)  # the lowest minimum in the interior: 105.974816
    x[:5], x[6:10] = [0.6545, 0.3627, -0.8608, 0.3909, 0.1320], [0.0206, -0.0034, 0.3279, 0.2638]
    found, _ = minima_of_faces(valleys, model, x)
    assert_allclose(valleys(x[None])[0], 105.974816, atol=1e-4)
    assert_allclose(valleys(found)[0].min(), 105.969547, atol=1e-3)


def test_of_no_variance_there_is_no_face_below():
    model, valleys, x = evaluated(8907)
    found, evaluations = minima_of_faces(valleys, model, 0.0 * x)
    assert (found.shape, evaluations) == ((0, model.k), 0)
