"""Kenward and Roger's degrees of freedom and scale by their equations, at numbers given here."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.optimize import brentq

from mme.inference.fixed.kenward_roger import KenwardRoger, denominator


def by_equations(A_1, A_2, q):
    """Kenward and Roger (1997), section 3: E and V of F, matched by those of an F distribution times 1 / scale."""
    B = (A_1 + 6 * A_2) / (2 * q)
    g = ((q + 1) * A_1 - (q + 4) * A_2) / ((q + 2) * A_2)
    c = [one / (3 * q + 2 * (1 - g)) for one in (g, q - g, q + 2 - g)]
    E = 1 / (1 - A_2 / q)
    V = 2 / q * (1 + c[0] * B) / ((1 - c[1] * B) ** 2 * (1 - c[2] * B))
    m = 4 + (q + 2) / (q * V / (2 * E**2) - 1)
    return float(m), float(m / (E * (m - 2)))


@pytest.mark.parametrize("q", [2, 3, 5])
@pytest.mark.parametrize(("A_1", "A_2"), [(0.4, 0.1), (0.1, 0.3), (0.05, 0.02), (1.1, 0.7)])
def test_kenward_rogers_denominator_is_that_of_their_equations(A_1, A_2, q):
    assert denominator(A_1, A_2, q) == pytest.approx(by_equations(A_1, A_2, q), rel=1e-12)


@pytest.mark.parametrize("df", [1.985, 1.995, 2.005, 2.015])
def test_there_is_no_scale_within_a_hundredth_of_two_degrees_of_freedom(df):
    """The mean of F has none at two: its scale grows without end."""
    A_2 = brentq(lambda one: by_equations(0.4, one, 2)[0] - df, 1.7, 1.9, xtol=1e-15)
    found = denominator(0.4, A_2, 2)
    scale = by_equations(0.4, A_2, 2)[1] if abs(df - 2.0) > 0.01 else 1.0
    assert found == pytest.approx((df, scale), rel=1e-9)
    assert abs(by_equations(0.4, A_2, 2)[1]) > 10.0


@pytest.mark.parametrize("q", [2, 3, 5])
def test_kenward_rogers_denominator_is_finite_where_the_mean_of_f_is_not(q):
    """E is infinite at A_2 = q. Where A_1 = q A_2, of balanced data, V has the same pole and E^2 / V a limit."""
    near = by_equations(Fraction(q) * (q + Fraction(1, 10**9)), q + Fraction(1, 10**9), q)
    assert denominator(float(q * q), float(q), q) == (pytest.approx(near[0], rel=1e-6), 1.0)
    beside = Fraction(1, 10**11)  # the limit depends on where it is approached from
    A_1, A_2 = (float(one) for one in (q * q + 3 * beside, q + beside))
    expected = by_equations(Fraction(A_1), Fraction(A_2), q)
    assert denominator(A_1, A_2, q)[0] == pytest.approx(expected[0], rel=2e-3)
    assert denominator(0.5, float(q), q) == pytest.approx((2.0 - q, 0.0), abs=1e-12)  # V has none: q rho = 0


def test_kenward_rogers_denominator_of_one_row_and_of_known_variances():
    assert denominator(0.25, 0.25, 1) == (8.0, 1.0)
    assert denominator(0.0, 0.0, 3) == (np.inf, 1.0)


def kenward_roger(adjusted: np.ndarray, P: np.ndarray, W: np.ndarray) -> KenwardRoger:
    half = np.array([[2.0, 1.0], [0.0, 0.5]])
    return KenwardRoger(np.array([1.0, -2.0]), half, adjusted, P, W)


def test_the_adjusted_covariance_is_that_of_standard_errors_tests_and_halves():
    adjusted = np.array([[1.5, 0.2], [0.2, 0.7]])
    to = kenward_roger(adjusted, np.array([[[0.3, 0.1], [0.1, 0.2]]]), np.array([[0.8]]))
    cov = to.half.T @ adjusted @ to.half
    np.testing.assert_allclose(to.cov, cov)
    L = np.array([[1.0, -1.0], [0.5, 3.0], [0.0, 1.0]])
    np.testing.assert_allclose(to.se(L), np.sqrt(np.diag(L @ cov @ L.T)), rtol=1e-12)
    made = to.half_of(L)
    np.testing.assert_allclose(made.T @ made, L @ cov @ L.T, rtol=1e-12)
    d = L[:2] @ to.beta
    found = to.f_test(L[:2], d)
    assert found.F / found.scale == pytest.approx(d @ np.linalg.solve(L[:2] @ cov @ L[:2].T, d) / 2.0, rel=1e-12)
    Phi, P = to.half.T @ to.half, -to.half.T @ to.P[0] @ to.half
    Theta = np.linalg.inv(Phi)  # both coefficients
    u = Theta @ P
    expected = denominator(0.8 * np.trace(u) ** 2, 0.8 * np.trace(u @ u), 2)
    assert (found.denominator, found.scale) == pytest.approx(expected, rel=1e-10)
    one = to.df(L[:1])
    v = (L[0] @ P @ L[0]) / (L[0] @ Phi @ L[0])
    np.testing.assert_allclose(one, 2.0 / (0.8 * v**2), rtol=1e-12)
    nothing = to.f_test(np.zeros((1, 2)), np.zeros(1))
    assert (nothing.numerator, np.isnan(nothing.F), np.isnan(nothing.denominator)) == (0, True, True)
