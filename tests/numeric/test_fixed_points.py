"""Fixed points by mixing."""

import numpy as np
import pytest

from mme.numeric.fixed_points import mixed


@pytest.mark.parametrize("factor", [-3.0, -1.0, 0.5, 0.99, 2.0])
def test_a_linear_map_is_solved_whether_its_plain_steps_end_or_not(factor):
    rng = np.random.default_rng(1)
    A = factor * np.diag([1.0, 0.7, 0.3])
    fixed = rng.normal(size=3)
    points, images, x = [], [], np.zeros(3)
    for _ in range(5):
        points.append(x)
        images.append(fixed + A @ (x - fixed))
        x = mixed(points, images)
    np.testing.assert_allclose(x, fixed, atol=1e-9)


def test_the_first_step_is_the_plain_one():
    np.testing.assert_array_equal(mixed([np.zeros(2)], [np.array([1.0, 2.0])]), [1.0, 2.0])
