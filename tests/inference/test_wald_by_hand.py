"""Wald limits of residual parameters from a Hessian written down: of known curvature, and of none."""

from __future__ import annotations

import numpy as np
import pytest

from mme.inference.intervals.wald import _residual_limits
from mme.residual import AR1, Heterogeneous, bind

R = bind([AR1([1, 2, 3], ["a", "a", "a"]), Heterogeneous(["u", "v", "v"])], np.asarray, 3)
PHI = np.array([0.2, np.log(3.0)])  # rho is tanh(0.2), the ratio 3
Z = 1.5


@pytest.mark.parametrize("terms", [0, 2])
def test_limits_are_a_multiple_of_the_root_of_two_over_the_curvature_on_the_scale_without_bounds(terms):
    """Of theta, ``terms`` entries, as well: in units of its own, and free beside the others."""
    curvature = np.diag([*[4.0, 4e6][:terms], 8.0, 50.0])
    found = _residual_limits(R, PHI, curvature, Z)
    ends = np.array([-Z, Z])
    np.testing.assert_allclose(found[0], np.tanh(0.2 + ends * np.sqrt(2.0 / 8.0)), rtol=1e-6)
    np.testing.assert_allclose(found[1], 3.0 * np.exp(ends * np.sqrt(2.0 / 50.0)), rtol=1e-6)


def test_what_is_free_beside_a_parameter_makes_its_interval_wider():
    hessian = np.array([[8.0, 0.0, 10.0], [0.0, 8.0, 0.0], [10.0, 0.0, 50.0]])  # one of theta, then rho and the ratio
    found = _residual_limits(R, PHI, hessian, Z)
    se = np.sqrt(2.0 * np.linalg.inv(hessian)[2, 2])
    np.testing.assert_allclose(found[1], 3.0 * np.exp(np.array([-Z, Z]) * se), rtol=1e-6)


@pytest.mark.parametrize("least", [0.0, 1e-7, -3.0])
def test_a_parameter_without_curvature_has_no_limits_and_the_other_keeps_its_own(least):
    found = _residual_limits(R, PHI, np.diag([8.0, least]), Z)
    np.testing.assert_allclose(found[0], np.tanh(0.2 + np.array([-Z, Z]) * 0.5), rtol=1e-6)
    assert np.isnan(found[1]).all()
    assert np.isfinite(_residual_limits(R, PHI, np.diag([8.0, 1e-5]), Z)).all()
