"""What must hold of any generalised model: the normal family is the linear model, counts are successes, and more."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

import mme
from tests.glmm import glmm_case, glmm_fit


@pytest.mark.parametrize("formula", ["Reaction ~ Days + (Days | Subject)", "Reaction ~ Days + (Days || Subject)"])
def test_the_normal_family_with_the_identity_is_the_linear_model_by_maximum_likelihood(formula: str) -> None:
    data = mme.load("sleepstudy")
    known, fit = mme.lmer(formula, data, method="ML"), mme.glmer(formula, data, "gaussian")
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.beta, known.beta, rtol=1e-6)
    for name, part in known.varcorr.items():
        np.testing.assert_allclose(fit.varcorr[name].cov, part.cov, rtol=2e-5)
    assert fit.dispersion == pytest.approx(known.sigma**2, rel=1e-6)
    np.testing.assert_allclose(fit.ranef()["Subject"], known.ranef()["Subject"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(fit.condvar()["Subject"], known.condvar()["Subject"], rtol=1e-4)


def test_crossed_normal_models_with_weights_are_the_linear_models() -> None:
    data = mme.load("Penicillin")
    w = np.random.default_rng(0).uniform(0.5, 2.0, len(data))
    known = mme.lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data, method="ML", weights=w)
    fit = mme.glmer("diameter ~ 1 + (1 | plate) + (1 | sample)", data, "gaussian", weights=w)
    assert fit.criterion == pytest.approx(known.criterion, abs=1e-9)
    np.testing.assert_allclose(fit.beta, known.beta, rtol=1e-7)


def test_all_nodes_and_the_expected_information_agree_where_the_likelihood_is_normal() -> None:
    data = mme.load("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    fits = [mme.glmer(formula, data, "gaussian", **how) for how in ({}, {"n_agq": 3}, {"laplace": "expected"})]
    for fit in fits[1:]:
        assert fit.criterion == pytest.approx(fits[0].criterion, abs=1e-8)


def test_successes_of_trials_are_as_many_records_of_one_trial_each() -> None:
    case = glmm_case("tiny_binom")
    wide = case.data
    rows = wide.loc[wide.index.repeat(wide["n"].astype(int))].reset_index(drop=True)
    first = rows.groupby(np.repeat(np.arange(len(wide)), wide["n"].astype(int))).cumcount()
    long = rows.assign(y=(first < rows["s"]).astype(int))
    one, other = glmm_fit("tiny_binom"), mme.glmer("y ~ x + (1 | g)", long)
    np.testing.assert_allclose(other.beta, one.beta, atol=1e-6)
    np.testing.assert_allclose(other.theta, one.theta, atol=1e-6)
    ways = 2.0 * stats.binom.logpmf(wide["s"], wide["n"], 0.5).sum() + 2.0 * np.log(2.0) * wide["n"].sum()
    assert other.criterion - one.criterion == pytest.approx(ways, abs=1e-7)


def test_failures_are_the_mirror_of_successes() -> None:
    data = glmm_case("cbpp_logit").data
    one = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", data)
    other = mme.glmer("cbind(size - incidence, incidence) ~ period + (1 | herd)", data)
    assert other.criterion == pytest.approx(one.criterion, abs=1e-9)
    np.testing.assert_allclose(other.beta, -one.beta, atol=1e-7)


def test_the_order_of_records_and_the_units_of_a_covariate_leave_the_fit_as_it_is() -> None:
    case = glmm_case("contra_slope")
    shuffled = case.data.sample(frac=1.0, random_state=3).assign(age=lambda d: 1e6 * d["age"] + 2020.0)
    one = mme.glmer("use ~ age + (age | district)", case.data)
    other = mme.glmer("use ~ age + (age | district)", shuffled)
    assert other.criterion == pytest.approx(one.criterion, abs=1e-7)
    assert other.beta["age"] == pytest.approx(1e-6 * one.beta["age"], rel=1e-5)


def test_one_group_of_quadrature_is_the_integral() -> None:
    y, n = np.array([3, 7, 5, 9, 2, 4]), 10
    g = np.repeat(np.arange(3), 2)
    fit = mme.glm_fit(np.column_stack([y, n - y]), np.ones((6, 1)), [mme.Term(g)], n_agq=41)
    beta, sd = float(fit.beta.iloc[0]), float(fit.theta[0])
    total = 0.0
    for level in range(3):
        own = y[g == level]

        def density(b: float, own: np.ndarray = own) -> float:
            p = 1.0 / (1.0 + np.exp(-beta - b))
            return float(np.prod(stats.binom.pmf(own, n, p)) * stats.norm.pdf(b, scale=sd))

        total -= 2.0 * np.log(integrate.quad(density, -10 * sd, 10 * sd, epsabs=0, epsrel=1e-12)[0])
    assert fit.criterion == pytest.approx(total, abs=1e-8)


def test_a_binary_response_has_the_same_fit_by_numbers_truth_values_and_labels() -> None:
    data = glmm_case("bacteria_logit").data
    y = (data["y"] == 1).to_numpy()
    known = glmm_fit("bacteria_logit")
    for way in (y, y.astype(int), np.where(y, "yes", "no"), pd.Categorical(np.where(y, "b", "a"))):
        fit = mme.glmer("way ~ trt + late + (1 | ID)", data.assign(way=way))
        assert fit.criterion == pytest.approx(known.criterion, abs=1e-9)
