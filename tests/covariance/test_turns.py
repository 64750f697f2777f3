"""Turned axes: the same covariances, in coordinates that serve where a triangle does not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mme.covariance.axes import build_axes
from mme.covariance.coordinates import Coordinates
from mme.covariance.entries import free_triangle
from mme.covariance.triangle import lower_entries
from mme.covariance.turns import turns_at


def turned(q, first_row):
    """Turns of one term of q coefficients whose first row of T is so long, and theta in the axes."""
    rng = np.random.default_rng(q)
    T = np.tril(rng.uniform(1.0, 2.0, (q, q)))
    T[0, 0], T[-1, -1] = first_row, 1e-3
    x = T[lower_entries(q)]
    structures = (free_triangle(q),)
    return turns_at(Coordinates(structures, (build_axes(rng.normal(size=(50, q)), None),)), x), x


@pytest.mark.parametrize("q", [2, 3, 4])
def test_a_turn_makes_the_triangle_diagonal_and_leaves_the_covariance(q):
    turns, x = turned(q, 1e-4)
    z, part = turns.outer(x), free_triangle(q)
    assert_allclose(part.T(z) - np.diag(np.diag(part.T(z))), 0.0, atol=1e-14)
    assert (np.diff(np.abs(np.diag(part.T(z)))) <= 1e-14).all()
    back = part.T(turns.inner(z))
    assert_allclose(back @ back.T, part.T(x) @ part.T(x).T, atol=1e-14)


@pytest.mark.parametrize("q", [2, 3, 4])
def test_the_jacobian_of_a_turn_is_that_of_differences(q):
    turns, x = turned(q, 0.05)
    steps = 1e-7 * np.eye(x.size)
    differences = np.array([(turns.outer(x + step) - turns.outer(x - step)) / 2e-7 for step in steps]).T
    assert_allclose(turns.jacobian(x), differences, rtol=1e-4, atol=1e-4 * np.abs(differences).max())


def test_a_triangle_whose_rows_are_alike_is_not_turned():
    assert turned(3, 2.0)[0] is None
