"""Families that users write, and the check of what they give."""

from __future__ import annotations

import numpy as np
import pytest

from mme import Beta, Gamma, MMEError, NegativeBinomial, Ordinal, OwnFamily, Tweedie, check_family
from mme.family.stencils import derivative, derivative_by


class Waiting(OwnFamily):
    """Gamma times of mean exp(eta) by the density alone; the dispersion is exp(tau)."""

    name, link, needed = "waiting", "log", "positive"
    parameters = ("dispersion",)

    def allowed(self, y):
        return y > 0

    def log_density(self, y, eta, tau):
        from scipy.special import gammaln

        shape = np.exp(-tau[0])
        return shape * (np.log(shape) - eta) + (shape - 1) * np.log(y) - shape * y * np.exp(-eta) - gammaln(shape)

    def mean(self, eta, tau):
        return np.exp(eta)

    def variance(self, eta, weights, tau):
        return np.exp(tau[0] + 2 * eta) / weights


class Steep(Waiting):
    """The same with a slope, and with the curvature, one of them wrong."""

    def __init__(self, factor=1.0):
        self.factor = factor

    def log_slope(self, y, eta, tau):
        return np.exp(-tau[0]) * (y * np.exp(-eta) - 1)

    def log_curvature(self, y, eta, tau):
        return -self.factor * np.exp(-tau[0]) * y * np.exp(-eta)


Y = [0.3, 1.0, 2.7, 0.8]


@pytest.mark.parametrize(("family", "digits"), [(Waiting(), 1e-9), (Steep(), 1e-11)])
def test_a_density_alone_is_a_family_with_all_its_derivatives(family, digits):
    eta, tau, peer = np.array([0.1, -0.4, 0.6, 1.2]), np.array([-0.7]), Gamma("log")
    data = family.observe(Y, [1, 2, 0.5, 1], "y")
    got, want = family.at(data, eta, tau), Steep().at(data, eta, tau)
    exact = data.weights * np.exp(0.7) * data.y * np.exp(-eta)
    np.testing.assert_allclose(got.slope, want.slope, rtol=digits, atol=digits)
    np.testing.assert_allclose(got.observed, exact, rtol=digits)
    np.testing.assert_allclose(got.observed_slope, -exact, rtol=digits)
    unweighted = peer.observe(Y, None, "y")
    of_one = peer.at(unweighted, eta, tau)
    own = family.at(unweighted, eta, tau)
    np.testing.assert_allclose(own.value, of_one.value, rtol=1e-13)
    np.testing.assert_allclose(own.by_parameters[0].value, of_one.by_parameters[0].value, rtol=1e-10)
    np.testing.assert_allclose(
        family.deviance(unweighted, eta, tau), peer.deviance(unweighted, eta, tau) / np.exp(tau[0]), rtol=1e-9
    )


def test_what_a_family_of_ones_own_does_not_take_is_said():
    with pytest.raises(MMEError, match="response 'y' must be positive: record 1 has -1; the family 'waiting' says so"):
        Waiting().observe([1.0, -1.0], None, "y")
    with pytest.raises(MMEError, match="give it a method draw"):
        Waiting().draw(np.zeros(1), np.ones(1), np.zeros(1), np.random.default_rng(1))


def test_a_wrong_derivative_is_found_and_named():
    assert max(check_family(Steep(), Y).values()) < 1e-9
    with pytest.raises(MMEError, match=r"'waiting' contradicts itself in observed \(record \d: .*by differences"):
        check_family(Steep(1.01), Y)


@pytest.mark.parametrize(
    ("family", "y"),
    [
        (NegativeBinomial(), [0, 1, 9]),
        (NegativeBinomial(kind=1), [0, 1, 9]),
        (Beta("probit"), [0.1, 0.4, 0.9]),
        (Ordinal("cauchit"), [1, 3, 2, 3]),
        (Tweedie(), [0.0, 0.4, 3.0]),
        (Gamma("log"), [0.1, 0.4, 3.0]),
    ],
)
def test_the_families_of_the_library_agree_with_themselves(family, y):
    assert max(check_family(family, y).values()) < 1e-8


@pytest.mark.parametrize(("order", "error"), [(1, 1e-13), (2, 1e-12), (3, 1e-9)])
def test_differences_are_derivatives(order, error):
    x = np.array([-1.0, 0.3, 1.0])
    want = (np.cos(x), -np.sin(x), -np.cos(x))[order - 1]
    np.testing.assert_allclose(derivative(np.sin, x, order), want, atol=error)
    np.testing.assert_allclose(derivative_by(lambda x: np.sin(x[0] * x[1]), x[:2], 1), -np.cos(0.3), atol=1e-12)
