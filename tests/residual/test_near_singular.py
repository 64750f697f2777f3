"""Correlations so near one that R is singular to most digits: what is left of a record is known, or kept off zero."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.residual import bind

TIMES, GROUP = np.tile([1, 2, 3, 4], 2), np.repeat([0, 1], 4)


def read(structure):
    return bind(structure, np.asarray, TIMES.size)


@pytest.mark.parametrize(("z", "rtol"), [(10.0, 1e-9), (25.0, 1e-3), (28.0, 1e-2)])
def test_of_two_occasions_the_second_keeps_what_its_correlation_leaves(z, rtol):
    """sqrt(1 - rho^2) = sech z, 1.4e-12 at z = 28: log|R| = 2 log sech z for each group."""
    of = bind(mme.AnteDependence([1, 2] * 3, np.repeat([0, 1, 2], 2)), np.asarray, 6)
    left = 1.0 / np.cosh(z)
    np.testing.assert_allclose(of.logdet(np.array([z, 0.0])), 6.0 * np.log(left), rtol=rtol / 10)
    white = of.whiten(np.array([z, 0.0]), np.array([[1.0, 1.0] * 3, [1.0, 2.0] * 3]))
    np.testing.assert_allclose(white[1, 1::2], (2.0 - np.tanh(z)) / left, rtol=rtol)


def test_beyond_all_digits_an_occasion_keeps_a_quadrillionth_of_its_standard_deviation():
    of = bind(mme.AnteDependence([1, 2] * 3, np.repeat([0, 1, 2], 2)), np.asarray, 6)
    for sd in (1.0, 1e3):
        x = np.array([45.0, np.log(sd)])
        np.testing.assert_allclose(of.logdet(x), 6.0 * np.log(1e-15 * sd), rtol=1e-9)


@pytest.mark.parametrize("z", [(12.0, -5.0), (16.0, -7.5), (-14.0, 6.0), (18.0, 0.0), (40.0, 0.1), (-40.0, 0.0)])
def test_ARMA_near_its_limits_has_the_correlations_of_its_definition(z):
    """To 1e-12, though no Cholesky factor of them is left at the last two."""
    of, (phi, theta) = read(mme.ARMA(TIMES, GROUP)), np.tanh(z)
    gamma = (1 + phi * theta) * (phi + theta) / ((phi + theta) ** 2 + np.cosh(z[0]) ** -2.0)
    row = np.append(1.0, gamma * phi ** np.arange(3.0))
    found = of.covariance(np.array(z), np.arange(4))
    lag = np.abs(np.subtract.outer(np.arange(4), np.arange(4)))
    np.testing.assert_allclose(found, row[lag], atol=1e-12)


def test_of_equal_records_all_but_their_mean_keeps_a_hundred_trillionth_of_the_variance():
    """Correlations of one have the eigenvalue four and three zeros."""
    of = read(mme.ARMA(TIMES, GROUP))
    for z in (40.0, -40.0):
        expected = 2.0 * (np.log(4.0) + 3.0 * np.log(4e-14))
        np.testing.assert_allclose(of.logdet(np.array([z, 0.0])), expected, rtol=0.01)
