"""What statistics are compared with: F of rows of any size, dependent ones counted once, right sides that agree."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.inference.fixed.reference import Normal, check_consistent, independent, reciprocal

rng = np.random.default_rng(2)
HALF = rng.normal(size=(4, 4))
BETA = rng.normal(size=4)
L = rng.normal(size=(3, 4))


def F_of(rows: np.ndarray) -> float:
    """d'(L cov L')^-1 d / q."""
    d = rows @ BETA
    return float(d @ np.linalg.solve(rows @ HALF.T @ HALF @ rows.T, d)) / len(rows)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
@pytest.mark.parametrize("sizes", [[1.0, 1.0, 1.0], [1.0, 1e-12, 1.0], [1e-7, 1.0, 1e9]])
def test_F_knows_neither_the_sizes_of_rows_nor_the_unit_of_estimates(sizes, unit):
    rows = np.diag(sizes) @ L
    found = independent(rows, rows @ BETA * unit, HALF * unit)
    assert_allclose(found.F, F_of(L), rtol=1e-8)
    cov = found.weights @ rows @ HALF.T @ HALF @ rows.T @ found.weights.T * unit**2
    sd = np.sqrt(np.diag(cov))
    assert_allclose(found.sd, sd, rtol=1e-8)
    assert_allclose(cov / np.outer(sd, sd), np.eye(3), atol=1e-8)
    assert_allclose(found.difference, found.weights @ rows @ BETA * unit, rtol=1e-8)


def test_rows_of_like_size_are_combined_by_the_eigenvectors_of_their_covariance():
    values, vectors = np.linalg.eigh(L @ HALF.T @ HALF @ L.T)
    found = independent(L, L @ BETA, HALF)
    assert_allclose(found.sd, np.sqrt(values[::-1]), rtol=1e-10)
    assert_allclose(np.abs(found.weights), np.abs(vectors.T[::-1]), rtol=1e-8)


@pytest.mark.parametrize("unit", [1e-8, 1.0, 1e8])
def test_rows_that_are_made_of_others_or_of_nothing_count_once_or_not_at_all(unit):
    rows = np.array([L[0], 0.0 * L[0], L[1], L[0] - 2.0 * L[1], 1e-9 * L[0], L[2]])
    found = Normal(BETA * unit, HALF * unit).f_test(rows, rows @ BETA * unit)
    assert (found.numerator, found.denominator) == (3, np.inf)
    assert_allclose(found.F, F_of(L), rtol=1e-7)
    none = Normal(BETA, HALF).f_test(np.zeros((2, 4)), np.zeros(2))
    assert none.numerator == 0
    assert np.isnan(none.F)


def test_nearly_collinear_estimates_and_origins_far_away_are_no_dependence():
    collinear = np.array([[1.0, 1.0], [0.0, 1e-7]]) * 1e7
    assert independent(np.eye(2), np.ones(2), collinear).sd.size == 2
    in_units = collinear * [1.0, 1e6] / 1e7  # the second in units of which it has a million
    assert independent(np.array([[1.0, 0.0], [1.0, 1e-6]]), np.ones(2), in_units).sd.size == 2
    far = 1e6  # of estimates at x = far and one further on, by intercept and slope there
    rows = np.array([[1.0, far], [1.0, far + 1.0]])
    half = np.array([[1.0, 0.0], [-far, 1.0]])  # the slope and the estimate at x = far are apart
    assert independent(rows, np.ones(2), half).sd.size == 2


def test_reciprocals_of_degrees_of_freedom_that_are_rounding_are_infinite():
    found = reciprocal(np.array([0.25, 1e-10, 1e-13, 0.0, -1e-20, np.nan]))
    assert_array_equal(found, [4.0, 1e10, np.inf, np.inf, np.inf, np.nan])
    assert reciprocal(np.array(0.5)) == 2.0


def agrees(rows: list[list[float]], right: list[float], half: np.ndarray) -> bool:
    names = [f"row {k}" for k in range(len(rows))]
    try:
        check_consistent(np.array(rows), np.array(right), half, names)
    except mme.MMEError:
        return False
    return True


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
@pytest.mark.parametrize("apart", [0.0, 1e-12, 1e-7, 0.1])
def test_rows_that_are_made_of_others_have_right_sides_made_of_theirs(apart, unit):
    half, rounding = np.diag([unit, 30.0 * unit]), apart < 1e-10
    a, b = [1.0, 2.0], [0.0, 3.0]
    third, sum_of = [1.0 / 3.0, 2.0 / 3.0], [1.0, 5.0]
    assert agrees([a, third], [0.1 * unit, 0.1 * unit / 3.0 * (1.0 + apart)], half) == rounding
    assert agrees([third, a, b], [0.1 * unit / 3.0 * (1.0 + apart), 0.1 * unit, 7.0], half) == rounding
    both = [0.1 * unit, 0.2 * unit, 0.3 * unit * (1.0 + apart)]
    assert agrees([a, b, sum_of], both, half) == rounding
    cancels = [0.1 * unit, 0.2 * unit, -0.1 * unit - 0.2 * unit, unit * apart]  # (0.1 + 0.2) - 0.3 is rounding
    assert agrees([a, b, [-1.0, -5.0], [0.0, 0.0]], cancels, half) == (apart == 0.0)


def test_a_right_side_of_zero_may_be_what_larger_ones_leave():
    rows = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, -1.0]]
    assert agrees(rows, [0.1, 0.2, 0.3, 0.0], np.eye(3))
    assert not agrees(rows, [0.1, 0.2, 0.3, 1e-6], np.eye(3))
    assert agrees(rows, [1.0, 2.0, 3.0, 0.0], np.eye(3))
    assert not agrees([*rows[:2], [0.0, 0.0, 0.0]], [0.0, 0.0, 1e-300], np.eye(3))


def test_rows_agree_or_not_whatever_the_units_of_their_coefficients():
    rows, half = [[1.0, 0.0], [0.0, 1e-20], [1.0, 1e-20]], np.array([[1.0, 1e20], [0.0, 1e19]])
    assert agrees(rows, [1.0, 2.0, 3.0], half)
    assert not agrees(rows, [1.0, 2.0, 3.1], half)


def test_rows_are_independent_as_they_stand_and_any_right_side_has_coefficients():
    assert agrees(L.tolist(), [1.0, -5.0, 1e6], HALF)
