"""Tests beside coefficients without a limit: the Wald test of all combinations of rows in which none of them is."""

import numpy as np
import pytest
from scipy.linalg import null_space

from mme.inference.fixed.reference import Normal
from mme.inference.fixed.separated import Separated

RNG = np.random.default_rng(6)
BETA, HALF = RNG.normal(size=4), RNG.normal(size=(4, 4))
# beta rises along (1, 2, 0, 0) and (0, 0, 1, 0) without end
D = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
PLAIN = Normal(BETA, HALF)


def separated(D=D):
    return Separated(BETA, HALF, D, np.abs(D))


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_a_row_has_a_standard_error_where_no_direction_moves_it(unit):
    to, ends = separated(unit * D), np.array([[2.0, -1.0, 0.0, 0.5], [0.0, 0.0, 0.0, 1.0]])
    np.testing.assert_allclose(to.se(ends), PLAIN.se(ends), rtol=1e-14)
    for grows in (np.eye(4)[:3], np.array([[2.0, -1.0, 1.0, 0.0], [2.0, -1.0 + 1e-7, 0.0, 0.0]])):
        assert np.isinf(to.se(grows)).all()
    rounded = ends[:1] * (1.0 + 1e-12 * np.arange(4.0))
    np.testing.assert_allclose(to.se(rounded), PLAIN.se(rounded), rtol=1e-14)


def test_what_directions_are_sums_of_is_the_size_of_their_rounding():
    D = np.array([[0.0], [1.0], [0.0], [0.0]])
    for size, grows in ((1.0, True), (1e6, False)):
        to = Separated(BETA, HALF, D, np.full((4, 1), size))
        assert np.isinf(to.se(np.array([[1.0, 1e-6, 0.0, 0.0]]))).all() == grows


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("rows", [4, 3, 2])
def test_of_several_rows_the_combinations_that_have_a_limit_are_tested(rows, unit):
    """Any basis of W with W L D = 0 makes the same test."""
    L = np.vstack([np.eye(4)[[3]], RNG.normal(size=(rows - 1, 4))])
    W = null_space((L @ D).T).T
    found, expected = separated(unit * D).f_test(L, L @ BETA), PLAIN.f_test(W @ L, W @ L @ BETA)
    assert (found.numerator, found.denominator) == (max(rows - 2, 1), np.inf)
    assert pytest.approx(expected.F, rel=1e-9) == found.F


def test_rows_that_all_have_a_limit_are_tested_as_they_are_and_rows_that_none_has_not_at_all():
    L = np.array([[2.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    assert separated().f_test(L, L @ BETA) == PLAIN.f_test(L, L @ BETA)
    none = separated().f_test(np.eye(4)[:1], BETA[:1])
    assert (none.numerator, none.denominator, np.isnan(none.F)) == (0, np.inf, True)
