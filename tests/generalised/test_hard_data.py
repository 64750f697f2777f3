"""Outliers, huge counts, ranges without end, levels of one answer: an answer by name, in few steps."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import gammaln, polygamma

import mme
from mme.errors import MMEError, MMEWarning
from mme.family.base import Observed


def groups(seed: int = 0) -> dict[str, np.ndarray]:
    """Twenty groups of ten records, a covariate and the log of a mean."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(20), 10)
    x = rng.normal(size=200)
    return {"g": g, "x": x, "t": np.tile(np.arange(10.0), 20), "eta": 1.0 + 0.3 * x + 0.5 * rng.normal(size=20)[g]}


@pytest.mark.parametrize("out", [1e3])
@pytest.mark.parametrize(
    "family", [mme.InverseGaussian("inverse"), mme.InverseGaussian("log"), mme.Gamma("log")], ids=repr
)
def test_an_outlier_stops_no_search(family: mme.family.base.Family, out: float) -> None:
    """Where the search ends no direction leads down, unless eta of the outlier is at the end of the link."""
    data = groups()
    data["y"] = np.random.default_rng(1).gamma(3.0, np.exp(data["eta"]) / 3.0)
    data["y"][7] = out
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = mme.glmer("y ~ x + (1 | g)", data, family)
    assert fit.optimum.converged
    assert ("eta of 1 record at zero" in fit.optimum.bound) == (family.link == "inverse")
    for j, step in [(0, -0.01), (0, 0.01), (1, -0.01), (1, 0.01)] if not fit.optimum.bound else []:
        beta = fit.beta.to_numpy() + step * np.abs(fit.beta.to_numpy()) * (np.arange(2) == j)
        assert fit.criterion_at(beta=beta) > fit.criterion - 1e-6


@pytest.mark.parametrize(("mean", "alpha"), [(1e4, 50.0), (1e4, 2e4), (3e3, 5e3), (500.0, 2e4)])
def test_the_information_of_skewed_large_counts_is_the_sum_over_all_counts(mean: float, alpha: float) -> None:
    data, r = Observed(np.array([np.rint(mean)]), np.ones(1)), mean / alpha
    density = mme.NegativeBinomial(kind=1).at(data, np.log([mean]), np.log([alpha]))
    y = np.arange(mean + 12.0 * np.sqrt(mean * (1.0 + alpha)) + 45.0 * (1.0 + alpha))
    log_f = gammaln(y + r) - gammaln(r) - gammaln(y + 1.0) - r * np.log1p(alpha) - y * np.log1p(1.0 / alpha)
    D = polygamma(1, y + r) - polygamma(1, r)
    assert density.expected[0] == pytest.approx(-(r**2) * np.exp(log_f) @ D, rel=2e-9)


def test_counts_of_a_billion_take_no_longer_than_small_ones() -> None:
    """Counts ten times as large have ten times the alpha, and another intercept."""
    data, alpha = groups(), []
    for size in (1e8, 1e9):
        rng = np.random.default_rng(1)
        data["y"] = rng.poisson(size * np.exp(0.1 * data["eta"]) * rng.gamma(50.0, 1.0 / 50.0, 200))
        fit = mme.glmer("y ~ x + (1 | g)", data, mme.NegativeBinomial(kind=1))
        assert fit.optimum.converged
        assert fit.optimum.evaluations < 40
        alpha.append(fit.dispersion)
    assert alpha[1] / alpha[0] == pytest.approx(10.0, rel=1e-3)


@pytest.mark.parametrize("link", ["cauchit", "logit", "probit"])
@pytest.mark.parametrize("seed", [0, 3, 4, 10, 15])
def test_a_range_without_end_is_a_random_intercept_and_named(link: str, seed: int) -> None:
    data = groups()
    rng = np.random.default_rng(seed)
    data["y"] = (rng.random(200) < 1.0 / (1.0 + np.exp(1.0 - data["eta"]))).astype(float)
    fit = mme.glmer("y ~ x + ou(t | g)", data, mme.Binomial(link))
    plain = mme.glmer("y ~ x + (1 | g)", data, mme.Binomial(link))
    assert fit.criterion <= plain.criterion + 1e-6
    assert fit.optimum.evaluations < 1000
    if fit.criterion > plain.criterion - 1e-4:
        assert "range at its limit (infinity)" in fit.optimum.bound


def test_the_fast_criterion_does_not_run_away() -> None:
    """Of a heavy-tailed link it falls with a standard deviation without end; there is a minimum near Laplace's."""
    rng = np.random.default_rng(6)
    g, x = np.repeat(np.arange(20), 10), rng.normal(size=200)
    b = 0.5 * rng.normal(size=20)
    y = (rng.random(200) < 1.0 / (1.0 + np.exp(-(0.5 * x + b[g])))).astype(float)
    data = {"y": y, "x": x, "g": g, "t": np.tile(np.arange(10.0), 20)}
    fit = mme.glmer("y ~ x + ou(t | g)", data, mme.Binomial("cauchit"), n_agq=0)
    assert fit.optimum.verdict == "minimum"
    assert 0.0 < abs(fit.theta[0]) < 5.0


def test_an_effect_of_each_normal_record_is_refused() -> None:
    data = groups() | {"obs": np.arange(200)}
    data["y"] = data["eta"] + np.random.default_rng(1).normal(size=200)
    with pytest.raises(MMEError, match=r"variance and the residual variance cannot be told apart\. Give theta="):
        mme.glmer("y ~ x + (1 | g) + (1 | obs)", data, "gaussian")
    assert mme.glmer("y ~ x + (1 | g) + (1 | obs)", data, "gaussian", theta=[0.3, 0.5]).optimum.verdict == "given"


@pytest.mark.parametrize("link", ["logit", "cauchit"])
def test_levels_of_one_category_are_named(link: str) -> None:
    data = {"y": [0, 1, 2] * 6, "g": [1, 2, 3, 4, 5, 6] * 3}
    with pytest.warns(MMEWarning, match="(?i)every level of 'g' has one answer alone"):
        fit = mme.glmer("y ~ 0 + (1 | g)", data, mme.Ordinal(link=link))
    assert fit.optimum.verdict == "no finite maximum"


def test_what_goes_to_infinity_alone_leaves_the_other_coefficients() -> None:
    rng = np.random.default_rng(2)
    data = groups() | {"f": np.array(list("abc"))[rng.integers(0, 3, 200)]}
    data["y"] = (rng.random(200) < 0.5).astype(float)
    fit = mme.glmer("y ~ x + cs(0 + f | g)", data, mme.Binomial("cauchit"))
    table = fit.shrinkage()["g"]
    assert not table["no_pooling"].isna().to_numpy().any()
    assert np.isinf(table["no_pooling"].to_numpy()).any()


@pytest.mark.parametrize("family", [mme.Gamma(link="inverse"), mme.InverseGaussian(link="log")], ids=str)
def test_one_record_a_million_times_its_mean_leaves_the_others_their_optimum(family: mme.Family) -> None:
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(12), 10), rng.normal(size=120)
    eta = 1.0 + 0.1 * x + 0.1 * rng.normal(size=12)[g]
    y = rng.gamma(5.0, (1.0 / eta if family.link == "inverse" else np.exp(eta)) / 5.0)
    y[7] *= 1e6
    data = {"y": y, "x": x, "g": g}
    fit = mme.glmer("y ~ x + (1 | g)", data, family)
    assert fit.optimum.converged
    near = mme.glmer("y ~ x + (1 | g)", data, family, start=[0.2])
    assert fit.criterion <= near.criterion + 1e-6


@pytest.mark.parametrize("family", [mme.Gamma(link="log"), mme.Gamma(link="inverse"), mme.InverseGaussian()], ids=str)
def test_the_dispersion_to_begin_with_is_that_of_most_records(family: mme.Family) -> None:
    eta = np.random.default_rng(4).uniform(0.5, 1.5, 200)
    y = family.draw(eta, np.ones(200), np.log([0.2]), np.random.default_rng(5))
    far = y.copy()
    far[7] *= 1e6
    plain, found = (family.first_tau(family.observe(one, None, "y"), eta) for one in (y, far))
    assert plain == pytest.approx(np.log([0.2]), abs=0.3)
    assert found == pytest.approx(plain, abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [3, 13])
def test_inverse_links_with_one_such_record_converge(seed: int) -> None:
    """The first start of 3 crept 500 steps; that of 13 ended at its optimum with a slope, which another has not."""
    rng = np.random.default_rng(seed)
    J, m = int(rng.integers(6, 20)), int(rng.integers(5, 15))
    g, x = np.repeat(np.arange(J), m), rng.normal(size=J * m)
    eta = 1.0 + 0.1 * x + 0.1 * rng.normal(size=J)[g]
    y = rng.gamma(5.0, 1.0 / eta / 5.0)
    y[int(rng.integers(J * m))] *= 1e6
    assert mme.glmer("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, mme.Gamma(link="inverse")).optimum.converged
