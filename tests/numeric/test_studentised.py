"""The studentised range against SciPy's, in its tails against the bound of all pairs, and quickly."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import studentized_range, t

from mme.numeric.studentised import range_isf, range_sf
from mme.numeric.unions import LargestNormal


@pytest.mark.parametrize("k", [2, 3, 7, 50])
@pytest.mark.parametrize("df", [2.0, 5.5, 30.0, 1000.0, np.inf])
def test_tails_are_those_of_scipy(k: int, df: float) -> None:
    q = np.array([0.5, 2.0, 3.5, 5.0, 8.0])
    np.testing.assert_allclose(range_sf(q, k, df), studentized_range.sf(q, k, df), rtol=1e-6, atol=1e-9)


def test_two_means_differ_as_t_says() -> None:
    q, df = np.array([0.1, 1.0, 4.0, 6.0, 8.0]), np.array([1.0, 3.0, 8.0, 40.0, 100.0])
    np.testing.assert_allclose(range_sf(q, 2, df), 2.0 * t.sf(q / np.sqrt(2.0), df), rtol=1e-8)
    np.testing.assert_allclose(range_sf(q, 2, np.inf), 2.0 * ndtr(-q / np.sqrt(2.0)), rtol=1e-10)


def test_a_far_tail_is_the_sum_over_all_pairs() -> None:
    w = np.array([9.0, 10.0])
    np.testing.assert_allclose(range_sf(w, 5, np.inf), 10 * 2.0 * ndtr(-w / np.sqrt(2.0)), rtol=1e-3)


def test_the_range_of_a_probability_has_that_probability() -> None:
    for k in (3, 10, 50):
        assert range_sf(np.array([range_isf(0.05, k)]), k, np.inf)[0] == pytest.approx(0.05, rel=1e-9)
        assert range_isf(0.05, k) == pytest.approx(studentized_range.ppf(0.95, k, np.inf), rel=1e-6)


def test_unknown_arguments_stay_unknown() -> None:
    assert np.isnan(range_sf(np.array([np.nan, 1.0]), 3, np.array([5.0, np.nan]))).all()


def test_a_quantile_on_a_tenth_of_a_degree_of_freedom_is_beyond_all_bounds():
    assert range_isf(0.05, 3, 0.1) == np.inf
    assert LargestNormal.of(np.eye(3)).isf(0.05, 0.1) == np.inf
    assert range_isf(0.05, 3, 0.5) < np.inf
