"""Kinds of bootstrap intervals by their formulas, cases by group, and what they cover."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import gamma

import mme
from mme.inference.intervals.kinds import acceleration, basic, bca, percentile, share_below, studentised

SLEEP = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))

# R's boot 1.3-28.1: x <- c(...); b <- boot(x, function(d, i) mean(d[i]), R = 99); b$t <- qgamma(1:99 / 100, 9, 2.6);
# boot.ci(b, conf = 0.9, type = c("perc", "basic", "bca"), L = mean(left) - left), left the means without each
X = np.array([2.1, 3.4, 0.7, 5.9, 1.2, 8.8, 2.2, 4.1, 0.9, 3.0])
REPLICATES = gamma.ppf(np.arange(1, 100) / 100, 9, scale=1 / 2.6)[:, None]
WITHOUT = np.array([np.delete(X, i).mean() for i in range(10)])


def test_where_no_replicate_is_there_or_no_acceleration_known_limits_are_nan():
    none, one = np.full((5, 1), np.nan), np.ones(1)
    assert np.isnan(percentile(none, 0.9)).all()
    assert np.isnan(bca(one, REPLICATES, np.full((10, 1), np.nan), 0.9)).all()
    assert np.isfinite(percentile(np.vstack([none, REPLICATES]), 0.9)).all()  # those that are there count


def test_limits_are_those_of_boot():
    mean = np.array([X.mean()])
    assert_allclose(percentile(REPLICATES, 0.9), [[1.80585674629, 5.551788352]], rtol=1e-9)
    assert_allclose(basic(mean, REPLICATES, 0.9), [[0.908211648001, 4.65414325371]], rtol=1e-9)
    # ranks 4.82 and 94.78: boot interpolates between order statistics along the normal quantile, not linearly
    found = bca(mean, REPLICATES, WITHOUT[:, None], 0.9)
    assert_allclose(found, [[1.7932385291, 5.51900980723]], atol=2e-3)
    ranks = np.interp(found[0], REPLICATES[:, 0], np.arange(1, 100))
    assert_allclose(ranks, [4.82, 94.78], atol=5e-3)


def test_studentised_limits_are_order_statistics_of_t():
    mean, se = X.mean(), 0.6
    errors = 0.5 + 0.1 * REPLICATES
    z = np.sort(((REPLICATES - mean) / errors)[:, 0])
    found = studentised(np.array([mean]), np.array([se]), REPLICATES, errors, 0.9)
    assert_allclose(found, [[mean - se * z[94], mean - se * z[4]]], rtol=1e-12)
    errors[:6] = np.nan  # more than one in twenty
    assert np.isnan(studentised(np.array([mean]), np.array([se]), REPLICATES, errors, 0.9)).all()


def test_bca_of_symmetric_replicates_about_the_estimate_is_the_percentile():
    values = np.linspace(-3.0, 3.0, 199)[:, None]
    level = np.array([-1.0, 0.0, 1.0])[:, None]
    assert_allclose(bca(np.zeros(1), values, level, 0.95), percentile(values, 0.95), rtol=1e-9)


def test_acceleration_is_a_sixth_of_the_skewness_over_the_root_of_n():
    x = np.random.default_rng(1).exponential(size=400)
    left = (x.sum() - x) / 399
    skewness = ((x - x.mean()) ** 3).mean() / x.std() ** 3
    assert acceleration(left) == pytest.approx(skewness / 6.0 / np.sqrt(400), rel=1e-9)
    assert acceleration(np.array([1.0, 1.0, np.nan])) == acceleration(np.array([2.0, np.nan])) == 0.0
    assert share_below(np.array([1.0, 2.0, 2.0, 3.0]), 2.0) == 0.5


def test_bca_and_studentised_limits_of_a_fit_are_the_formulas():
    boot = SLEEP.bootstrap(50, seed=3)
    data = mme.load("sleepstudy")
    left = []
    for subject in data["Subject"].unique():
        one = mme.lmer("Reaction ~ Days + (Days | Subject)", data[data["Subject"] != subject])
        part = one.varcorr["Subject"]
        left.append([part.sd[0], part.corr[1, 0], part.sd[1], one.sigma, *one.beta])
    assert_allclose(boot.confint(0.9, "bca"), bca(boot.estimates, boot.values, np.array(left), 0.9), rtol=1e-3)
    refits = SLEEP.refit(np.column_stack([SLEEP.simulate(seed=_stream(3, i)).to_numpy()[:, 0] for i in range(50)]))
    assert_allclose(refits.beta, boot.values[:, -2:], rtol=1e-6)
    z = np.array([(one.beta - SLEEP.beta) / one.se for one in refits])
    ends = percentile(z, 0.9)[:, ::-1]
    expected = SLEEP.beta.to_numpy()[:, None] - SLEEP.se.to_numpy()[:, None] * ends
    limits = boot.confint(0.9, "studentised")
    assert_allclose(limits.to_numpy()[-2:], expected, rtol=1e-5)
    # on the scale of the logarithm: of sigma alone its standard error is about 1 / sqrt(2 (n - p))
    sigma = boot.values[:, 3]
    z = np.quantile(np.log(sigma / SLEEP.sigma) * np.sqrt(2 * 144), [0.95, 0.05], method="weibull")
    assert_allclose(limits.loc["sigma"], SLEEP.sigma * np.exp(-z / np.sqrt(2 * 144)), rtol=0.02)


def _stream(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


def test_cases_are_the_refits_to_the_groups_drawn_whatever_the_number_of_processes():
    data = mme.load("sleepstudy")
    subjects = np.sort(data["Subject"].unique())
    boot = SLEEP.bootstrap(4, draws="cases", seed=5, workers=1)
    assert_array_equal(boot.values, SLEEP.bootstrap(4, draws="cases", seed=5, workers=2).values)
    drawn = _stream(5, 2).integers(0, 18, 18)
    parts = [data[data["Subject"] == subjects[g]].assign(Subject=f"s{i}") for i, g in enumerate(drawn)]
    again = mme.lmer("Reaction ~ Days + (Days | Subject)", pd.concat(parts))
    assert_allclose(boot.values[2, -2:], again.beta, rtol=1e-6)
    assert boot.values[2, 3] == pytest.approx(again.sigma, rel=1e-5)


def test_groups_that_do_not_determine_a_fixed_effect_are_counted_as_failures():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(6), 5)
    data = pd.DataFrame({"g": g, "arm": np.where(g == 0, "a", "b"), "y": rng.normal(size=30) + rng.normal(size=6)[g]})
    boot = mme.lmer("y ~ arm + (1 | g)", data).bootstrap(60, draws="cases", seed=1, workers=1)
    expected = sum(bool((_stream(1, i).integers(0, 6, 6) != 0).all()) for i in range(60))
    assert boot.failures == {"the groups of a sample do not determine all fixed effects": expected}
    assert boot.confint().notna().all(axis=None)


def test_groups_of_a_generalised_fit():
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", mme.load("cbpp"), "binomial")
    data = mme.load("cbpp")
    boot = fit.bootstrap(3, draws="cases", seed=5, workers=1)
    herds = fit.internals.model.terms[0].levels
    drawn = _stream(5, 1).integers(0, 15, 15)
    parts = [data[data["herd"].astype(str) == str(herds[g])].assign(herd=f"h{i}") for i, g in enumerate(drawn)]
    again = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", pd.concat(parts), "binomial")
    assert_allclose(boot.values[1, 1:], again.beta, rtol=1e-4)
    limits = fit.bootstrap(25, seed=1, workers=1).confint(kind="studentised")
    assert ((limits["upper"] - limits["lower"])[1:] < 6 * fit.se).all()
    with pytest.raises(mme.MMEError, match="'parametric', 'cases'; got 'wild'"):
        fit.bootstrap(3, draws="wild")


def test_bca_of_crossed_factors_leaves_levels_of_the_larger_out():
    fit = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", mme.load("Penicillin"))
    limits = fit.bootstrap(50, seed=1).confint(0.9, "bca")
    wald = fit.confint(level=0.9).loc["(Intercept)"]
    assert_allclose(limits.loc["(Intercept)"], wald, atol=1.0)
    assert limits.notna().all(axis=None)


def test_beside_correlated_residuals_bca_is_refused_and_studentised_is_not():
    fit = mme.lmer("distance ~ age", mme.load("Orthodont"), residual=mme.CompoundSymmetry("Subject"))
    boot = fit.bootstrap(20, seed=1, workers=1)
    with pytest.raises(mme.MMEError, match="correlated residuals"):
        boot.confint(kind="bca")
    assert boot.confint(kind="studentised").notna().all(axis=None)


@pytest.mark.slow
@pytest.mark.parametrize("draws", ["parametric", "cases"])
def test_intervals_of_a_slope_cover_it(draws):
    """Of a hundred studies of 24 groups with skewed effects 95 intervals cover the slope, but for chance."""
    covered = dict.fromkeys(("percentile", "bca", "studentised"), 0)
    for s in range(100):
        rng = np.random.default_rng(s)
        g = np.repeat(np.arange(24), 5)
        x = rng.normal(size=120) + rng.normal(size=24)[g]
        y = 1.0 + 0.5 * x + (rng.exponential(size=24) - 1.0)[g] + rng.normal(size=120)
        boot = mme.lmer("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}).bootstrap(79, draws=draws, seed=s, workers=1)
        for kind in covered:
            limits = boot.confint(0.95, kind).loc["x"]
            covered[kind] += bool(limits["lower"] < 0.5 < limits["upper"])
    assert min(covered.values()) >= 86  # 0.95 of 100 less four standard errors
