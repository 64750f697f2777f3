"""Searches begin where every record has a mean."""

import numpy as np
import pytest
import scipy.optimize

import mme
from mme.errors import MMEError
from mme.generalised.inside import inside

X = np.column_stack([np.ones(6), [-3.0, -1.0, 0.0, 0.5, 1.5, 9.0]])
Q = np.linalg.qr(X)[0].T * np.sqrt(6.0) * [[-1.0], [1.0]]


def test_the_way_to_coefficients_out_of_range_ends_before_its_edge() -> None:
    far = np.array([1.0, 5.0])
    found = inside(Q, np.zeros(6), far, np.ones(6))
    assert (found @ Q > 0.0).all()
    assert inside(Q, np.zeros(6), found, np.ones(6)) is found  # what is inside stays


def test_without_a_constant_the_inside_is_found_by_a_linear_programme() -> None:
    slope = np.array([[1.0, 2.0, 3.0, 0.5, 0.1, 4.0]])
    assert (inside(slope, -0.3 * np.ones(6), np.array([-1.0]), np.ones(6)) @ slope > 0.3).all()
    nowhere = np.array([[1.0, -1.0]])
    assert inside(nowhere, np.zeros(2), np.array([1.0]), np.ones(2))[0] == 1.0


def test_a_poisson_model_by_identity_begins_although_the_line_through_its_counts_falls_below_zero() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(6), 5)
    x = rng.normal(size=30)
    y = rng.poisson(1.5 + 0.5 * (x > 0.0))
    fit = mme.glmer("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, mme.Poisson(link="identity"))
    assert fit.singular  # so that the optimum is that of a model without random effects, where eta may be zero

    def loss(beta: np.ndarray) -> float:
        mu = beta[0] + beta[1] * x
        return float(np.sum(mu - y * np.log(mu))) if (mu > 0.0).all() else np.inf

    other = scipy.optimize.minimize(loss, [2.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12})
    np.testing.assert_allclose(fit.beta, other.x, atol=1e-5)


def test_no_coefficients_with_a_mean_everywhere_are_an_error_that_says_so() -> None:
    data = {"y": [1, 2, 3, 2], "x": [-1.0, 1.0, -2.0, 2.0], "g": list("aabb")}
    with pytest.raises(MMEError, match="eta must be positive at every record; use the log link"):
        mme.glmer("y ~ 0 + x + (1 | g)", data, mme.Poisson(link="identity"))
