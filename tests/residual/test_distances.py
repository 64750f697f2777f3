"""Correlations by distance and their slopes, against their definitions in thirty digits."""

from __future__ import annotations

from functools import partial

import mpmath as mp
import numpy as np
import pytest

from mme.residual.distances import KINDS, log_slope, smoothness_slope

DISTANCES = [3e-9, 3e-8, 1e-5, 0.02, 0.3, 0.9, 1.7, 6.0, 40.0]


def matern(h, nu):
    return h**nu * mp.besselk(nu, h) * 2 ** (1 - nu) / mp.gamma(nu)


DEFINED = {
    "exponential": lambda h, nu: mp.exp(-h),
    "gaussian": lambda h, nu: mp.exp(-(h**2)),
    "spherical": lambda h, nu: 1 - 3 * h / 2 + h**3 / 2 if h < 1 else mp.mpf(0),
    "rational quadratic": lambda h, nu: 1 / (1 + h**2),
    "linear": lambda h, nu: 1 - h if h < 1 else mp.mpf(0),
    "matern": matern,
}
CASES = [(kind, 1.0) for kind in DEFINED if kind != "matern"] + [
    ("matern", nu) for nu in (0.3, 0.5, 0.9, 1.5, 2.2, 11.4)
]


@pytest.mark.parametrize(("kind", "nu"), CASES)
def test_correlations_and_their_slopes_are_those_of_the_definition(kind, nu):
    with mp.workdps(30):
        exact, at = DEFINED[kind], [mp.mpf(h) for h in DISTANCES]
        f = [float(exact(h, mp.mpf(nu))) for h in at]
        slope = [float(h * mp.diff(lambda t: exact(t, mp.mpf(nu)), h, h=h / 10**10)) for h in at]
    h = np.array(DISTANCES)
    np.testing.assert_allclose(KINDS[kind](h, nu), f, rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(log_slope(kind, h, nu), slope, rtol=1e-9, atol=1e-18)
    assert KINDS[kind](np.zeros(2), nu).tolist() == [1.0, 1.0]
    assert log_slope(kind, np.zeros(2), nu).tolist() == [0.0, 0.0]


def test_where_a_bessel_function_overflows_records_are_as_one():
    tiny = np.array([1e-11, 1e-9, 1e-7])
    np.testing.assert_array_equal(KINDS["matern"](tiny, 60.0), np.ones(3))
    np.testing.assert_array_equal(log_slope("matern", tiny, 60.0), np.zeros(3))


@pytest.mark.parametrize("nu", [0.4, 1.3, 2.5])
def test_the_slope_by_smoothness_is_that_of_the_definition(nu):
    h = np.array([1e-3, 0.3, 1.7, 6.0])
    with mp.workdps(30):
        exact = [float(nu * mp.diff(partial(matern, mp.mpf(one)), nu, h=mp.mpf(10) ** -10)) for one in h]
    np.testing.assert_allclose(smoothness_slope(h, nu), exact, atol=2e-8)


@pytest.mark.parametrize("nu", [0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
def test_matern_is_continuous_in_its_smoothness_where_it_has_closed_forms_and_elsewhere(nu):
    h = np.array([0.0, 1e-8, 1e-3, 0.3, 1.7, 6.0])
    for of in (KINDS["matern"], lambda h, nu: log_slope("matern", h, nu)):
        np.testing.assert_allclose(of(h, nu), of(h, nu + 1e-9), rtol=1e-7, atol=1e-16)
