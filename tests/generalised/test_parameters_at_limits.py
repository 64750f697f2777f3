"""Parameters of families that compete with effects of each record, or go to their limit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import mme
from mme.generalised.marginal import marginal_means

RNG = np.random.default_rng(7)
G, T = np.repeat(np.arange(12), 10), np.tile(np.arange(10), 12)
MEAN = np.exp(0.3 + 0.5 * RNG.normal(size=12)[G])
SPREAD = RNG.poisson(MEAN * np.exp(0.9 * RNG.normal(size=120) - 0.4))
DATA = {"y": SPREAD, "g": G, "t": T, "obs": np.arange(120), "even": 2 + (np.arange(120) + G) % 2}


def test_effects_of_records_and_a_dispersion_are_two_explanations_of_which_the_better_is_found() -> None:
    both = mme.glmer("y ~ 1 + (1 | g) + (1 | obs)", DATA, mme.NegativeBinomial(kind=1))
    poisson = mme.glmer("y ~ 1 + (1 | g) + (1 | obs)", DATA, "poisson")
    without = mme.glmer("y ~ 1 + (1 | g)", DATA, mme.NegativeBinomial(kind=1))
    # each of the two smaller models is a limit of the larger one
    assert both.criterion < min(poisson.criterion, without.criterion) + 1e-6
    assert poisson.criterion < without.criterion - 0.1  # and that of the effects is not where a search begins
    assert both.varcorr["obs"].sd[0] > 0.5 * poisson.varcorr["obs"].sd[0]


def test_counts_that_spread_less_than_poissons_have_an_infinite_size() -> None:
    fit = mme.glmer("even ~ 1 + (1 | g)", DATA, mme.NegativeBinomial())
    poisson = mme.glmer("even ~ 1 + (1 | g)", DATA, "poisson")
    assert fit.criterion == pytest.approx(poisson.criterion, abs=1e-5)
    assert fit.optimum.bound == "size at its limit (infinity)"
    assert fit.optimum.verdict == "minimum on the boundary"
    np.testing.assert_allclose(fit.se, poisson.se, rtol=1e-5)


def test_effects_of_records_can_explain_all_of_a_measurement() -> None:
    y = np.exp(0.3 * RNG.normal(size=12)[G] + 0.6 * RNG.normal(size=120))
    data = DATA | {"y": y, "log_y": np.log(y)}
    fit = mme.glmer("y ~ 1 + (1 | g) + (1 | obs)", data, mme.InverseGaussian("log"))
    normal = mme.lmer("log_y ~ 1 + (1 | g)", data, method="ML")
    # without a dispersion y is lognormal
    assert fit.optimum.bound == "dispersion at its limit (zero)"
    assert fit.criterion == pytest.approx(normal.criterion + 2.0 * np.log(y).sum(), abs=1e-4)
    np.testing.assert_allclose(fit.varcorr["obs"].sd, normal.sigma, rtol=1e-4)


def test_a_log_link_needs_a_positive_value() -> None:
    with pytest.raises(mme.MMEError, match="no positive value"):
        mme.glmer("y ~ 1 + (1 | g)", DATA | {"y": -1.0 - MEAN}, mme.Gaussian("log"))


@pytest.mark.parametrize("family", [mme.Gaussian("log"), mme.Gamma("log"), mme.InverseGaussian("log")])
def test_an_exact_fit_has_no_maximum_and_says_why(family: mme.Family) -> None:
    data = DATA | {"y": np.exp(0.1 * T + 0.2 * np.sin(G))}
    with pytest.warns(mme.MMEWarning, match="fitted without error: the dispersion of the .* family goes to zero"):
        fit = mme.glmer("y ~ t + (1 | g)", data, family)
    assert fit.optimum.verdict == "no finite maximum"
    np.testing.assert_allclose(fit.fitted, data["y"], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_measurements_are_not_said_to_be_separated_whatever_their_unit(scale: float) -> None:
    data = DATA | {"y": 1.0 / (3.0 + 0.1 * T + 0.2 * np.sin(G)) + 0.01 * np.cos(np.arange(120.0)), "x": T}
    plain = mme.glmer("y ~ x + (1 | g)", data, mme.Gaussian("inverse"))
    fit = mme.glmer("y ~ x + (1 | g)", data | {"y": scale * data["y"]}, mme.Gaussian("inverse"))
    assert fit.optimum.converged
    assert not fit.optimum.separation
    np.testing.assert_allclose(fit.beta * scale, plain.beta, rtol=1e-4)
    average = fit.predict(random="average")
    np.testing.assert_allclose(average, scale * np.asarray(plain.predict(random="average")), rtol=1e-4)


def test_an_average_exists_where_the_levels_stay_away_from_the_pole() -> None:
    """E 1 / eta by quadrature where eta is ten standard deviations from zero; it diverges where b may take it there."""
    found = marginal_means(mme.Gamma(), np.array([2.0]), np.array([0.04]), np.zeros(1))
    density = norm(2.0, 0.2).pdf
    expected = quad(lambda eta: density(eta) / eta, 0.3, 3.7, epsabs=1e-13)[0]
    np.testing.assert_allclose(found.mean, expected, rtol=1e-10)
    with pytest.raises(mme.MMEError, match=r"infinite where eta is zero.*an average over b does not exist"):
        marginal_means(mme.Gamma(), np.array([2.0]), np.array([0.25]), np.zeros(1))


@pytest.mark.parametrize("family", [mme.InverseGaussian(), mme.Gamma(), mme.Gamma("identity")])
def test_a_unit_of_the_response_changes_no_verdict(family: mme.Family) -> None:
    rng = np.random.default_rng(5)
    g, x = np.repeat(np.arange(10), 8), rng.normal(size=80)
    y = rng.gamma(4.0, np.exp(0.3 + 0.4 * x + 0.4 * rng.normal(size=10)[g]) / 4.0)
    plain = mme.glmer("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family)
    large = mme.glmer("y ~ x + (1 | g)", {"y": 1e7 * y, "x": x, "g": g}, family)
    assert large.optimum.verdict == plain.optimum.verdict == "minimum"
    assert large.criterion - 160.0 * np.log(1e7) == pytest.approx(plain.criterion, abs=1e-6)
    if family.link != "identity":
        with pytest.warns(mme.MMEWarning, match="simulated responses are missing"):
            plain.simulate(200, seed=1)


def test_shares_that_are_all_one_are_said_to_be_fitted_without_error() -> None:
    with pytest.warns(mme.MMEWarning, match="precision of the beta family goes to infinity"):
        fit = mme.glmer("y ~ t + (1 | g)", DATA | {"y": np.full(120, 0.3)}, mme.Beta())
    np.testing.assert_allclose(fit.fitted, 0.3, rtol=1e-6)
