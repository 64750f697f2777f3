"""Families that are limits, mixtures or parts of others."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

import mme
from mme import Beta, Binomial, Gamma, NegativeBinomial, Ordinal, Poisson, Tweedie
from mme.family import saddle
from mme.family.base import Observed

NONE = np.empty(0)
ETA = np.array([-1.2, 0.1, 0.9, 2.0])
ONES = np.ones(4)
PARTS = ("value", "slope", "observed", "observed_slope", "expected", "expected_slope")


@pytest.mark.parametrize("link", ["logit", "probit", "cauchit"])
def test_two_ordered_categories_are_binary_answers(link):
    y = np.array([0.0, 1.0, 1.0, 0.0])
    ordinal = Ordinal(link).at(Observed(y, ONES, (0, 1)), ETA, np.array([0.3]))
    binary = Binomial(link).at(Observed(y, ONES), ETA - 0.3, NONE)
    for part in PARTS:
        np.testing.assert_allclose(getattr(ordinal, part), getattr(binary, part), rtol=1e-13)


def test_categories_of_a_logit_are_the_same_in_reverse():
    y, tau = np.array([0.0, 1.0, 2.0, 1.0]), np.array([-0.4, 0.2])
    forward = Ordinal().at(Observed(y, ONES, (0, 1, 2)), ETA, tau)
    theta = -Ordinal().natural(tau)[::-1]
    turned = np.array([theta[0], np.log(theta[1] - theta[0])])
    backward = Ordinal().at(Observed(2.0 - y, ONES, (0, 1, 2)), -ETA, turned)
    np.testing.assert_allclose(forward.value, backward.value, rtol=1e-13)
    np.testing.assert_allclose(forward.slope, -backward.slope, rtol=1e-13)


@pytest.mark.parametrize("kind", [2, 1])
def test_negative_binomial_counts_without_excess_are_poisson(kind):
    data = Observed(np.array([0.0, 1.0, 4.0, 9.0]), ONES)
    tau = np.array([30.0 if kind == 2 else -30.0])
    near, poisson = NegativeBinomial(kind).at(data, ETA, tau), Poisson().at(data, ETA, NONE)
    for part in PARTS:
        np.testing.assert_allclose(getattr(near, part), getattr(poisson, part), rtol=1e-10)


def test_negative_binomial_counts_are_poisson_with_gamma_means():
    y, k = np.array([0.0, 1.0, 4.0, 9.0]), 1.7
    t = np.linspace(-40, 6, 4001)
    gamma = np.exp(k * np.log(k) + k * t - k * np.exp(t) - gammaln(k)) * 46 / 4000
    poisson = Poisson()
    mixed = [
        gamma @ np.exp(poisson.at(Observed(np.full(t.size, one), np.ones(t.size)), eta + t, NONE).value)
        for one, eta in zip(y, ETA, strict=True)
    ]
    got = NegativeBinomial(size=k).at(Observed(y, ONES), ETA, NONE).value
    np.testing.assert_allclose(np.exp(got), mixed, rtol=1e-11)


def test_tweedie_near_power_two_is_gamma():
    y = np.array([0.4, 1.0, 2.2, 5.0])
    tau = np.array([np.log(0.4), 20.0])
    near, gamma = Tweedie().at(Observed(y, ONES), ETA, tau), Gamma("log").at(Observed(y, ONES), ETA, tau[:1])
    for part in PARTS:
        np.testing.assert_allclose(getattr(near, part), getattr(gamma, part), rtol=1e-6, atol=1e-7)


def test_shares_mirrored_are_those_of_the_other_side():
    y = np.array([0.1, 0.4, 0.7, 0.99])
    one, other = (Beta().at(Observed(a, ONES), b, np.array([1.3])) for a, b in ((y, ETA), (1.0 - y, -ETA)))
    np.testing.assert_allclose(one.value, other.value, rtol=1e-12)
    np.testing.assert_allclose(one.observed, other.observed, rtol=1e-12)


def test_information_of_wide_counts_is_the_sum_over_all_of_them():
    family, eta, tau = NegativeBinomial(kind=1), np.array([np.log(3000.0)]), np.array([0.4])
    y = np.arange(20000.0)
    each = family.at(Observed(y, np.ones(y.size)), np.full(y.size, eta[0]), tau)
    f = np.exp(each.value)
    got = family.at(Observed(np.array([5.0]), np.ones(1)), eta, tau)
    assert got.expected[0] == pytest.approx(f @ each.slope**2, rel=1e-10)
    assert got.expected_slope[0] == pytest.approx(f @ (each.observed_slope + each.slope * each.observed), rel=1e-9)
    by = f @ (each.by_parameters[0].observed + each.by_parameters[0].value * each.observed)
    assert got.by_parameters[0].expected[0] == pytest.approx(by, rel=1e-9)


def test_constants_of_many_small_counts_are_those_of_each():
    y = np.tile([0.0, 1.0, 2.0, 7.0], 600)
    np.testing.assert_array_equal(saddle.log_count(y), np.tile(saddle.log_count(y[:4]), 600))
    np.testing.assert_array_equal(saddle.log_count(np.zeros(5000)), 0.0)


def test_counts_have_no_tweedie_distribution() -> None:
    """Its power goes to one, where the density rises without end: a sentence, and no division by zero."""
    rng = np.random.default_rng(0)
    data = {"y": rng.poisson(2.0, 60), "g": np.repeat(np.arange(6), 10)}
    with pytest.warns(mme.MMEWarning, match="use Poisson or NegativeBinomial"):
        fit = mme.glmer("y ~ 1 + (1 | g)", data, mme.Tweedie())
    assert fit.optimum.verdict == "no finite maximum"
    assert fit.optimum.evaluations < 200
