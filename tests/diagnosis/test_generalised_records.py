"""Residuals, leverages and influence of generalised models: lme4's values, and the theorems of their kinds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import kstest

import mme
from tests.glmm import FOLDER, glmm_case, glmm_fit

RECORDS = json.loads((FOLDER / "records.json").read_text())
CASES = ["cbpp_logit", "cross_logit", "cross_pois", "contra_slope"]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["response", "pearson", "deviance", "working"])
def test_residuals_are_those_of_lme4(name: str, kind: str) -> None:
    known = RECORDS[name]["lme4"][kind]
    found = glmm_fit(name).residuals(kind).to_numpy()[RECORDS[name]["rows"]]
    np.testing.assert_allclose(found, known, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("name", CASES)
def test_distances_are_those_of_their_formula(name: str) -> None:
    fit = glmm_fit(name)
    r, h, p = fit.residuals("pearson"), fit.leverage(), len(fit.beta)
    assert h.between(0.0, 1.0, inclusive="neither").all()
    np.testing.assert_allclose(fit.cooks_distance(), (r / (1 - h)) ** 2 * h / p, rtol=1e-10)


def test_leverages_sum_to_the_trace_of_the_hat_matrix() -> None:
    fit = glmm_fit("cbpp_logit")
    problem, at = fit.internals.problem, fit.internals.searched.at
    W = at.mode.density.expected
    M = (fit.model.terms[0].codes[:, None] == np.arange(15)) * fit.theta[0]
    C = np.hstack([problem.Q.T, M]) * np.sqrt(W)[:, None]
    H = C @ np.linalg.inv(C.T @ C + np.diag([0.0] * len(problem.Q) + [1.0] * 15)) @ C.T
    np.testing.assert_allclose(fit.leverage(), np.diag(H), rtol=1e-8)


def test_quantile_residuals_are_normal_and_depend_on_the_seed_alone() -> None:
    fit = glmm_fit("cross_pois")
    r = fit.residuals("quantile", seed=1)
    assert kstest(r, "norm").pvalue > 1e-3
    np.testing.assert_array_equal(r, fit.residuals("quantile", seed=1))
    assert not np.array_equal(r, fit.residuals("quantile", seed=2))


def test_a_group_that_leaves_moves_beta_as_the_refit_without_it() -> None:
    fit, case = glmm_fit("cbpp_logit"), glmm_case("cbpp_logit")
    shifts = fit.dfbeta("herd")
    anew = mme.glmer(case.json["formula"], case.data[case.data["herd"] != "1"], case.family)
    moved = (fit.beta - anew.beta) / fit.se
    # one step, and theta held: right to a tenth of the shift
    np.testing.assert_allclose(shifts.loc["1"] / fit.se, moved, atol=0.15 * np.abs(moved).max() + 0.02)
    distance = fit.cooks_distance("herd")
    assert distance.index.tolist() == shifts.index.tolist()
    assert (distance > 0.0).all()


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(mme.MMEError, match="kind must be one of 'response', 'pearson'"):
        glmm_fit("cbpp_logit").residuals("student")
