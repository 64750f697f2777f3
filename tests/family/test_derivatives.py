"""log f and its derivatives against ninety digits, at ordinary points and where digits are easily lost."""

from __future__ import annotations

import densities
import numpy as np
import pytest
from scipy.special import gammaln

from mme import Beta, NegativeBinomial, Ordinal, Tweedie
from mme.family.base import Observed
from mme.family.binomial import Binomial
from mme.family.gamma import Gamma
from mme.family.gaussian import Gaussian
from mme.family.inverse_gaussian import InverseGaussian
from mme.family.point import by_size, rising, slopes, whole
from mme.family.poisson import Poisson
from mme.numeric.kernels import kernel

# A hundred units of the last place, of the value or of what that of eta makes of it.
DIGITS = 1e-13
NONE = np.empty(0)


def grid(*columns):
    """Every combination."""
    return [np.array(column, dtype=float).ravel() for column in np.meshgrid(*columns, indexing="ij")]


COUNTS = [0.0, 1.0, 7.0, 1e4, 1e9]
ETAS = {
    "log": [-40.0, -3.3, 0.0, 1.7, np.log(7.0), np.log(1e9) + 1e-5, 20.7, 40.0],
    "sqrt": [-3.0, 1e-3, 2.6457, 31622.7766, 4e4],
    "identity": [1e-12, 0.3, 7.1, 1e4, 1e9 + 3e4],
}


@pytest.mark.parametrize("link", ["log", "sqrt", "identity"])
def test_poisson_keeps_its_digits(link):
    y, eta, a = grid(COUNTS, ETAS[link], [1.0, 2.5])
    errors = densities.worst(Poisson(link), Observed(y, a), eta, NONE)
    assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}


FAR = [-800.0, -40.0, -27.6, -4.1, -2.5, 0.1, 1.1, 20.7, 40.0, 800.0]


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_binomial_keeps_its_digits(link):
    far = [-40.0, -27.6, -2.5, 0.1, 1.1, 3.0, 6.0] if link == "cloglog" else FAR if link == "logit" else FAR[1:-1]
    s, a, eta = grid([0.0, 1.0, 3.0, 1e9 - 3], [1.0, 3.0, 1e9], far if link != "probit" else far[::2])
    possible = s <= a
    data = Observed(s[possible] / a[possible], a[possible])
    errors = densities.worst(Binomial(link), data, eta[possible], NONE)
    assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}


POSITIVE = {
    "log": [-40.0, -3.3, 0.0, 1.7, 20.7, 40.0],
    "identity": [1e-12, 0.3, 7.1, 1e9 + 3e4],
    "inverse": [1e-9, 0.14, 7.1, 1e6],
    "1/mu^2": [1e-12, 0.02, 1.3, 1e6],
}


@pytest.mark.parametrize("link", ["inverse", "log", "identity"])
def test_gamma_keeps_its_digits(link):
    y, eta, a = grid([1e-9, 0.3, 7.0, 1e9], POSITIVE[link], [1.0, 2.5])
    for phi in (1e-9, 0.3):
        errors = densities.worst(Gamma(link), Observed(y, a), eta, np.log([phi]))
        assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}, phi


@pytest.mark.parametrize("link", ["1/mu^2", "log", "inverse", "identity"])
def test_inverse_gaussian_keeps_its_digits(link):
    y, eta, a = grid([1e-9, 0.3, 7.0, 1e9], POSITIVE[link], [1.0, 2.5])
    for phi in (1e-9, 0.3):
        errors = densities.worst(InverseGaussian(link), Observed(y, a), eta, np.log([phi]))
        assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}, phi


@pytest.mark.parametrize("link", ["identity", "log", "inverse"])
def test_gaussian_keeps_its_digits(link):
    etas = POSITIVE["log"] if link == "log" else [-40.0, -3.3, 1e-3, 1.7, 1e6]
    y, eta, a = grid([-1e9, -2.0, 0.0, 0.3, 7.0, 1e9], etas, [1.0, 2.5])
    for phi in (1e-9, 0.3):
        errors = densities.worst(Gaussian(link), Observed(y, a), eta, np.log([phi]))
        assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}, phi


@pytest.mark.parametrize("kind", [2, 1])
@pytest.mark.parametrize("parameter", [0.1, 30.0, 1e3])
def test_negative_binomial_keeps_its_digits(kind, parameter):
    y, eta, a = grid([0.0, 7.0, 1e9], [-40.0, 1.7, np.log(1e9) + 1e-5, 40.0], [2.5])
    errors = densities.worst(NegativeBinomial(kind), Observed(y, a), eta, np.log([parameter]))
    assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
@pytest.mark.parametrize("precision", [1e-3, 1e6])
def test_beta_keeps_its_digits(link, precision):
    etas = [-40.0, -0.3, 3.0] if link == "cloglog" else [-30.0, -0.3, 6.0, 30.0]
    y, eta, a = grid([1e-12, 0.3, 1 - 1e-9], etas, [2.5])
    errors = densities.worst(Beta(link), Observed(y, a), eta, np.log([precision]))
    assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_ordinal_keeps_its_digits(link):
    etas = [-3.0, 0.4, 40.0] if link == "cloglog" else [-40.0, 0.4, 7.0, 40.0]
    y, eta, a = grid([0.0, 1.0, 2.0, 3.0], etas, [2.5])
    is_product = link in ("logit", "cloglog")
    tau = np.array([-0.7, np.log(0.9), np.log(0.01 if is_product else 0.9)])
    errors = densities.worst(Ordinal(link), Observed(y, a, (0, 1, 2, 3)), eta, tau)
    # Of the others a tail that is forty times the category is taken from another.
    assert not {k: v for k, v in errors.items() if v[0] >= DIGITS * (1 if is_product else 10)}


@pytest.mark.parametrize("power", [1.1, 1.9])
@pytest.mark.parametrize("phi", [0.3, 5.0])
def test_tweedie_keeps_its_digits(power, phi):
    y, eta, a = grid([0.0, 1e-3, 2.8], [0.3], [2.5])
    tau = np.array([np.log(phi), np.log((power - 1) / (2 - power))])
    errors = densities.worst(Tweedie(), Observed(y, a), eta, tau)
    assert not {k: v for k, v in errors.items() if v[0] >= DIGITS}


def test_weights_that_are_not_whole_multiply_answers():
    data = Observed(np.array([0.0, 1.0, 1.0]), np.array([0.37, 2.6, 0.0]))
    eta = np.array([0.4, -0.3, 2.0])
    log_p = -np.log1p(np.exp(-np.where(data.y > 0, eta, -eta)))
    np.testing.assert_allclose(Binomial().at(data, eta, NONE).value, data.weights * log_p, rtol=1e-13)


@pytest.mark.parametrize("family", [Binomial(), Poisson(), NegativeBinomial(size=0.7)], ids=lambda f: f.name)
def test_the_compiled_form_is_the_density_less_its_constants(family):
    rng = np.random.default_rng(1)
    a = np.array([1.0, 2.0, 30.0, 0.0])[rng.integers(4, size=60)]
    s = np.floor(a * rng.uniform(size=60)) if family.name == "binomial" else np.floor(10.0 ** rng.uniform(-1, 3, 60))
    y = np.where(a > 0, s / np.maximum(a, 1e-9), 0.0) if family.name == "binomial" else s
    data, eta = Observed(y, a), rng.normal(size=60) * 6
    density, level = family.at(data, eta, NONE), family.at(data, np.zeros(60), NONE)
    want = np.array([density.value - level.value, density.slope, density.observed, density.observed_slope])
    kind, k = family.kind, family.size_of(NONE)
    for loop in (whole, kernel(whole, 10**9)):
        got = np.array([loop(kind, k, *one) for one in zip(y, a, eta, strict=True)]).T
        got[0] -= [loop(kind, k, *one, 0.0)[0] for one in zip(y, a, strict=True)]
        np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-9)
    two = np.array([slopes(kind, k, *one) for one in zip(y, a, eta, strict=True)]).T
    np.testing.assert_allclose(two, want[1:3], rtol=1e-9, atol=1e-12)


def test_the_compiled_form_of_a_negative_binomial_has_the_density_and_its_derivatives_by_the_size():
    rng = np.random.default_rng(2)
    y, a, eta = rng.integers(0, 40, 80) * 1.0, rng.uniform(0.0, 3.0, 80), 3.0 * rng.normal(size=80)
    data = Observed(y, a)
    above = np.array([a[y > j].sum() for j in range(40)])
    for log_size in (-2.0, 0.3, 9.0):
        k, density = np.exp(log_size), NegativeBinomial().at(data, eta, np.array([log_size]))
        inside = np.array([by_size(k, *one) for one in zip(y, a, eta, strict=True)]).T
        value, slope = rising(k, above)
        total = sum(whole(2, k, *one)[0] for one in zip(y, a, eta, strict=True)) + value - a @ gammaln(y + 1.0)
        assert total == pytest.approx(density.value.sum(), rel=1e-12)
        want = density.by_parameters[0]
        assert inside[0].sum() + slope == pytest.approx(want.value.sum(), rel=1e-8, abs=1e-10)
        np.testing.assert_allclose(inside[1:], [want.slope, want.observed], rtol=1e-9, atol=1e-12)
