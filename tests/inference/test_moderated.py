"""Variances that are squeezed towards a common one: cases by hand, where trigamma(d / 2) is known.

psi(1) = -gamma, psi(1/2) = -gamma - 2 log 2, trigamma(1) = pi^2 / 6, trigamma(1/2) = pi^2 / 2. Two variances v and
v exp(s) on equal df have sample variance s^2 / 2 of their logarithms, which is trigamma(df / 2) + trigamma(d / 2).
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import digamma, zeta
from scipy.stats import t as t_distribution

import mme
from mme.inference.responses.moderated import moderated

TRIGAMMA = {1.0: np.pi**2 / 2.0, 2.0: np.pi**2 / 6.0, 4.0: np.pi**2 / 6.0 - 1.0}


def pair(df: float, d_trigamma: float, v: float = 1.0) -> np.ndarray:
    """Two variances about v whose prior has this trigamma of half its degrees of freedom."""
    s = np.sqrt(2.0 * (TRIGAMMA[df] + d_trigamma))
    return v * np.exp([-s / 2.0, s / 2.0])


# v0 is the geometric mean times exp(psi(d / 2) - log(d / 2) - psi(df / 2) + log(df / 2)).
BY_HAND = {(2.0, 2.0): 1.0, (2.0, 1.0): 0.5, (1.0, 2.0): 2.0, (1.0, 1.0): 1.0, (2.0, 4.0): np.e / 2.0}


@pytest.mark.parametrize("v", [1e-12, 1.0, 1e9])
@pytest.mark.parametrize(("df", "d"), BY_HAND)
def test_two_variances_on_equal_degrees_of_freedom_are_squeezed_as_by_hand(df, d, v):
    variance = pair(df, TRIGAMMA[d], v)
    found = moderated(variance, np.full(2, df))
    assert_allclose(found.d, d, rtol=1e-9)
    assert_allclose(found.v0, BY_HAND[df, d] * v, rtol=1e-9)
    assert_allclose(found.variance, (d * BY_HAND[df, d] * v + df * variance) / (d + df), rtol=1e-9)
    assert_allclose(found.df, d + df, rtol=1e-9)


def test_two_variances_on_one_and_two_degrees_of_freedom_have_the_mean_of_their_trigammas():
    """e = log v - psi(df / 2) + log(df / 2) is log v + gamma + log 2 on one degree of freedom, log v + gamma on two."""
    apart = np.sqrt(2.0 * ((TRIGAMMA[1.0] + TRIGAMMA[2.0]) / 2.0 + TRIGAMMA[2.0]))
    variance, df = np.array([3.0 / 2.0 * np.exp(apart), 3.0]), np.array([1.0, 2.0])
    found = moderated(variance, df)
    assert_allclose(found.d, 2.0, rtol=1e-9)
    assert_allclose(found.v0, 3.0 * np.exp(apart / 2.0), rtol=1e-9)
    assert_allclose(found.variance, (2.0 * found.v0 + df * variance) / (2.0 + df), rtol=1e-9)
    assert_allclose(found.df, [3.0, 4.0], rtol=1e-9)


@pytest.mark.parametrize("ratio", [1.0, 2.0])
def test_variances_that_vary_less_than_their_chi_squares_are_one(ratio):
    """log v less its expectation log v0 + psi(df / 2) - log(df / 2), on average; t is then normal."""
    variance, df = np.array([5.0, 5.0 * ratio, 5.0]), np.array([4.0, 4.0, 4.0])
    found = moderated(variance, df)
    assert found.d == np.inf
    assert_allclose(found.v0, 5.0 * ratio ** (1.0 / 3.0) * np.exp(np.log(2.0) - digamma(2.0)), rtol=1e-12)
    assert_array_equal(found.variance, np.full(3, found.v0))
    assert_array_equal(found.df, np.full(3, np.inf))


@pytest.mark.parametrize(("d", "finite"), [(0.9e7, True), (1.3e7, False)])
def test_a_prior_of_ten_million_degrees_of_freedom_is_one_variance(d, finite):
    found = moderated(pair(2.0, float(zeta(2.0, d / 2.0))), np.full(2, 2.0))
    assert np.isfinite(found.d) == finite
    if finite:
        assert_allclose(found.d, d, rtol=1e-6)
    assert_allclose(found.variance, found.v0, rtol=1e-5)


def test_variances_that_are_not_there_or_zero_stay_as_they_are():
    variance, df = pair(2.0, TRIGAMMA[2.0]), np.full(2, 2.0)
    odd, of_odd = np.array([np.nan, np.inf, 0.0, -1.0, 7.0, 7.0, 7.0, 7.0]), np.full(8, 2.0)
    of_odd[4:] = [np.nan, np.inf, 0.0, -1.0]
    alone, found = moderated(variance, df), moderated(np.append(odd, variance), np.append(of_odd, df))
    assert (found.d, found.v0) == (alone.d, alone.v0)
    assert_array_equal(found.variance, np.append(odd, alone.variance))
    assert_array_equal(found.df, np.append(of_odd, alone.df))


def test_small_variances_and_degrees_of_freedom_are_there():
    """The moments are of logarithms less what df makes of them: 0.01 is a variance as 2 is."""
    variance, df = np.array([1e-8, 0.01, 0.5, 3.0]), np.array([0.5, 0.9, 0.3, 2.0])
    found = moderated(variance, df)
    e = np.log(variance) - digamma(df / 2.0) + np.log(df / 2.0)
    assert_allclose(zeta(2.0, found.d / 2.0), e.var(ddof=1) - zeta(2.0, df / 2.0).mean(), rtol=1e-9)
    assert_allclose(found.df, df + found.d, rtol=1e-12)


@pytest.mark.parametrize("variance", [[], [3.0], [3.0, np.nan], [0.0, 3.0]])
def test_fewer_than_two_variances_have_nothing_in_common(variance):
    given, df = np.array(variance), np.full(len(variance), 3.0)
    found = moderated(given, df)
    assert_array_equal(found.variance, given)
    assert_array_equal(found.df, df)
    assert found.d == 0.0
    assert np.isnan(found.v0)
    assert not np.shares_memory(found.variance, given)
    assert not np.shares_memory(found.df, df)


def test_tests_of_responses_are_on_squeezed_variances_of_their_estimates():
    """Least squares of 30 responses of unequal variances, one of them constant: it has no test, and squeezes none."""
    rng = np.random.default_rng(6)
    Y = rng.normal(size=(12, 30)) * rng.gamma(2.0, 1.0, 30)
    Y[:, 4] = 3.0
    many = mme.lmer_many("~ x", {"x": rng.normal(size=12)}, Y)
    b, se = many.estimate["x"].to_numpy(), many.se["x"].to_numpy()
    squeezed = moderated(se**2, np.where(np.isnan(se), np.nan, 10.0))
    for variance, df, options in ((se**2, 10.0, {}), (squeezed.variance, squeezed.d + 10.0, {"moderate": True})):
        found = many.test("x", adjust="none", **options)
        there = np.arange(30) != 4
        t = (b / np.sqrt(variance))[there]
        assert found.iloc[4].isna().all()
        expected = np.column_stack([b[there], np.sqrt(variance)[there], np.full(29, df), t])
        assert_allclose(found[["estimate", "se", "df", "t"]].to_numpy()[there], expected, rtol=1e-9)
        p = 2.0 * t_distribution.sf(np.abs(t), df)
        assert_allclose(found["p"].to_numpy()[there], p, rtol=1e-8)
        assert_array_equal(found["p"], found["p_adjusted"])
        bonferroni = many.test("x", adjust="bonferroni", **options)["p_adjusted"].to_numpy()[there]
        assert_allclose(bonferroni, np.minimum(29.0 * p, 1.0), rtol=1e-8)
