"""What the densities say of y on the whole: they sum to one, and mean, variance and information are their averages."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from mme import Beta, Binomial, Gamma, Gaussian, InverseGaussian, NegativeBinomial, Ordinal, Poisson, Tweedie
from mme.family.base import Observed

NONE = np.empty(0)
PROBABILITIES = ("logit", "probit", "cloglog", "cauchit")
THIRD = np.log([0.3])
# Families with a prior weight, some linear predictors and tau.
TABLE = [
    *(
        (Binomial(link), a, [-1.3, 0.2, 0.9], NONE)
        for link in ("logit", "probit", "cloglog", "cauchit")
        for a in (1, 9)
    ),
    *((Poisson(link), 1.0, [0.4, 1.1, 3.0], NONE) for link in ("log", "sqrt", "identity")),
    *((Gaussian(link), 2.5, [-0.7, 0.4, 1.3], THIRD) for link in ("identity", "log", "inverse")),
    *((Gamma(link), 2.5, [0.3, 0.9, 1.7], THIRD) for link in ("inverse", "log", "identity")),
    *((InverseGaussian(link), 2.5, [0.3, 0.9, 1.7], THIRD) for link in ("1/mu^2", "log", "inverse", "identity")),
    *((NegativeBinomial(kind), 1.0, [-0.4, 0.9, 2.3], THIRD) for kind in (2, 1)),
    (NegativeBinomial(size=3.0), 1.0, [-0.4, 0.9, 2.3], NONE),
    *((Beta(link), 1.0, [-0.9, 0.1, 0.7], np.log([8.0])) for link in ("logit", "probit", "cloglog")),
    *((Ordinal(link), 1.0, [-0.9, 0.1, 1.4], np.array([-0.6, -0.2, -1.5])) for link in PROBABILITIES),
    (Tweedie(), 2.5, [-0.3, 0.4, 1.2], np.array([-0.4, 0.3])),
]
COUNTS = ("poisson", "nbinom2", "nbinom1")
DISCRETE = ("binomial", "ordinal", *COUNTS)
each = pytest.mark.parametrize(("family", "a", "etas", "tau"), TABLE, ids=lambda one: str(one)[:40])


def support(family, a, eta, tau):
    """Values of y with their measures: all that there are, or a grid on which smooth sums are integrals."""
    if family.name == "binomial":
        return np.arange(a + 1) / a, np.ones(a + 1)
    if family.name in COUNTS:
        return np.arange(2000.0), np.ones(2000)
    if family.name == "ordinal":
        return np.arange(tau.size + 1.0), np.ones(tau.size + 1)
    if family.name == "beta":
        t = np.linspace(-36, 36, 20001)
        y = 1.0 / (1.0 + np.exp(-t))
        return y, y / (1.0 + np.exp(t)) * 72 / 20000
    if family.name == "gaussian":
        sd = np.sqrt(np.exp(tau[0]) / a)
        t = np.linspace(-12, 12, 4001)
        return family.mean(np.array([eta]), tau)[0] + sd * t, np.full(t.size, sd * 24 / 4000)
    t = np.linspace(-60, 8, 60001)
    zero = [0.0] if family.name == "tweedie" else []
    return np.concatenate([zero, np.exp(t)]), np.concatenate([np.ones(len(zero)), np.exp(t) * 68 / 60000])


def averages(family, a, eta, tau):
    """y (m,), its probabilities and the density at one eta."""
    y, measure = support(family, a, eta, tau)
    density = family.at(Observed(y, np.full(y.size, float(a))), np.full(y.size, eta), tau)
    return y, measure * np.exp(density.value), density


@each
def test_densities_sum_to_one(family, a, etas, tau):
    for eta in etas:
        _, f, _ = averages(family, a, eta, tau)
        assert f.sum() == pytest.approx(1.0, abs=1e-12)


@each
def test_mean_and_variance_are_those_of_the_density(family, a, etas, tau):
    for eta in etas:
        y, f, _ = averages(family, a, eta, tau)
        at = np.array([eta])
        assert family.mean(at, tau)[0] == pytest.approx(f @ y, rel=1e-11)
        variance = family.variance(at, np.array([float(a)]), tau)[0]
        assert variance == pytest.approx(f @ (y - f @ y) ** 2, rel=1e-10)


@each
def test_expected_information_is_the_mean_of_the_observed(family, a, etas, tau):
    for eta in etas:
        _, f, density = averages(family, a, eta, tau)
        assert f @ density.slope == pytest.approx(0.0, abs=1e-10)
        assert density.expected[0] == pytest.approx(f @ density.observed, rel=1e-10)
        assert density.expected[0] == pytest.approx(f @ density.slope**2, rel=1e-10)


def differences(f, x, h=1e-3):
    """f'(x) to the eighth power of h."""
    return sum(c * (f(x + k * h) - f(x - k * h)) for k, c in ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))) / h


@each
def test_slopes_of_means_and_of_the_expected_information_are_those_of_differences(family, a, etas, tau):
    eta = np.array(etas)
    y = np.array([0.0, 2.0, 1.0]) if family.name == "ordinal" else family.mean(eta, tau)
    data = Observed(y, np.full(eta.size, float(a)))
    np.testing.assert_allclose(family.mean_slope(eta, tau), differences(lambda x: family.mean(x, tau), eta), rtol=1e-9)
    got = family.at(data, eta, tau).expected_slope
    want = differences(lambda x: family.at(data, x, tau).expected, eta)
    np.testing.assert_allclose(got, want, rtol=1e-8, atol=1e-11)
    for k, part in enumerate(family.at(data, eta, tau).by_parameters):

        def moved(t, k=k):
            at = tau.copy()
            at[k] = t
            return family.at(data, eta, at).expected

        np.testing.assert_allclose(part.expected, differences(moved, tau[k]), rtol=1e-8, atol=1e-11)


@each
def test_slopes_of_natural_parameters_are_those_of_differences(family, a, etas, tau):
    for k in range(tau.size):

        def moved(t, k=k):
            at = tau.copy()
            at[k] = t
            return family.natural(at)

        np.testing.assert_allclose(family.natural_slope(tau)[:, k], differences(moved, tau[k]), rtol=1e-9, atol=1e-12)


@each
def test_draws_have_the_mean_and_the_variance(family, a, etas, tau):
    n, rng = 40_000, np.random.default_rng(7)
    for eta in etas:
        at, weights = np.full(n, eta), np.full(n, float(a))
        y = family.draw(at, weights, tau, rng)
        mean, variance = family.mean(at, tau)[0], family.variance(at, weights, tau)[0]
        assert abs(y.mean() - mean) < 5.0 * np.sqrt(variance / n)
        assert abs(y.var() - variance) < 5.0 * np.sqrt(((y - mean) ** 2).var() / n)


@each
def test_probabilities_below_are_sums_of_the_density(family, a, etas, tau):
    for eta in etas:
        y, f, _ = averages(family, a, eta, tau)
        discrete = family.name in DISCRETE
        sums, chosen = (
            np.cumsum(f),
            np.flatnonzero((f > 1e-12) & ((y > 0.0) | discrete) & (np.arange(y.size) % max(1, y.size // 200) == 0)),
        )
        data = Observed(y[chosen], np.full(chosen.size, float(a)))
        below, up_to = family.cdf(data, np.full(chosen.size, eta), tau)
        if discrete:
            np.testing.assert_allclose(up_to, sums[chosen], atol=1e-12)
            np.testing.assert_allclose(below, sums[chosen] - f[chosen], atol=1e-12)
        else:
            np.testing.assert_allclose(up_to, sums[chosen] - f[chosen] / 2, atol=1e-5)  # the grid's, to half a step
            np.testing.assert_array_equal(below, up_to)


@pytest.mark.parametrize(
    ("family", "tau", "peer"),
    [
        (Binomial("probit"), NONE, lambda eta: st.binom(7, st.norm.cdf(eta))),
        (Poisson(), NONE, lambda eta: st.poisson(np.exp(eta))),
        (NegativeBinomial(), THIRD, lambda eta: st.nbinom(0.3, 0.3 / (0.3 + np.exp(eta)))),
        (Gaussian("log"), np.log([0.3]), lambda eta: st.norm(np.exp(eta), np.sqrt(0.3 / 7))),
        (Gamma("log"), np.log([0.3]), lambda eta: st.gamma(7 / 0.3, scale=np.exp(eta) * 0.3 / 7)),
        (InverseGaussian("log"), np.log([0.3]), lambda eta: st.invgauss(np.exp(eta) * 0.3 / 7, scale=7 / 0.3)),
    ],
)
def test_distributions_are_those_of_scipy(family, tau, peer):
    eta = np.array([-0.4, 0.3, 1.0])
    counts = np.array([2.0, 5.0, 3.0])
    data = Observed(counts / 7 if family.name == "binomial" else counts, np.full(3, 7.0))
    np.testing.assert_allclose(family.cdf(data, eta, tau)[1], peer(eta).cdf(counts), rtol=1e-11)


@each
def test_deviance_is_twice_the_fall_of_the_density_from_the_best_mean(family, a, etas, tau):
    y = (
        1 / 3
        if family.name == "binomial"
        else 1.0
        if family.name == "ordinal"
        else 2.0
        if family.name in COUNTS
        else 0.7
    )
    a = 9.0 if family.name == "binomial" else float(a)
    data, eta = Observed(np.full(3, y), np.full(3, a)), np.array(etas)
    grid = np.linspace(-6, 8, 14001)
    with np.errstate(all="ignore"):
        best = np.nanmax(family.at(Observed(np.full(grid.size, y), np.full(grid.size, a)), grid, tau).value)
    phi = np.exp(tau[0]) if "dispersion" in family.parameters else 1.0
    want = 2.0 * phi * (best - family.at(data, eta, tau).value)
    np.testing.assert_allclose(family.deviance(data, eta, tau), want, rtol=1e-5, atol=1e-6)


@each
def test_records_of_no_weight_count_for_nothing(family, a, etas, tau):
    y = np.array([1.0, 0.0] if family.name in DISCRETE else [0.7, 0.5])
    density = family.at(Observed(y, np.zeros(2)), np.array(etas[:2]), tau)
    zeros = [density.value, density.slope, density.observed, density.expected, density.observed_slope]
    zeros += [part.value for part in density.by_parameters]
    np.testing.assert_array_equal(np.abs(zeros), 0.0)


@each
def test_fits_begin_at_finite_places(family, a, etas, tau):
    rng = np.random.default_rng(3)
    y = family.draw(np.full(50, etas[1]), np.full(50, float(a)), tau, rng)
    data = Observed(y, np.full(50, float(a)), tuple(range(tau.size + 1)))
    eta = family.first_eta(data)
    assert np.isfinite(eta).all()
    assert np.isfinite(family.at(data, eta, family.first_tau(data, eta)).value).all()
    assert np.isfinite(family.first_tau(data, np.full(50, etas[1]))).all()


def test_tweedie_probabilities_of_many_gamma_values_sum_to_one() -> None:
    data = Observed(np.array([1.0, 1e6]), np.ones(2))  # about 800 values a record: every so many-th is summed
    below = Tweedie().cdf(data, np.zeros(2), np.array([-6.0, 0.0]))[1]
    assert below[0] == pytest.approx(0.505, abs=0.002)  # skew: a little above a half
    assert below[1] == pytest.approx(1.0, abs=1e-12)
