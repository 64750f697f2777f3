"""Every stored generalised model: criterion, theta, beta, standard errors, modes, conditional variances, means."""

from __future__ import annotations

import numpy as np
import pytest

from mme.generalised.curvature import covariance
from mme.generalised.scoring import by_gamma
from tests.glmm import NAMES, glmm_case, glmm_fit

FINITE = [name for name in NAMES if "laplace" in glmm_case(name).json]


@pytest.mark.parametrize("name", FINITE)
def test_the_optimum_is_that_of_the_reference(name: str) -> None:
    case, fit = glmm_case(name), glmm_fit(name)
    known = case.json["laplace"]
    assert fit.criterion == pytest.approx(known["objective"], rel=1e-11, abs=2e-9)
    se = np.array(known["se_hessian"])
    assert fit.fixed_names == tuple(case.json["beta_names"])
    assert (np.abs(fit.beta.to_numpy() - known["beta"]) < 1e-5 * se).all()
    for group, part in known["varcorr"].items():
        np.testing.assert_allclose(fit.varcorr[group].cov, part["cov"], rtol=1e-5, atol=1e-7)
    assert fit.singular == known["singular"]
    assert fit.optimum.converged
    assert fit.dof == known["df"]
    assert fit.aic == pytest.approx(known["AIC"], rel=1e-10)
    assert fit.bic == pytest.approx(known["BIC"], rel=1e-10)
    if known.get("dispersion") is not None:
        assert fit.dispersion == pytest.approx(known["dispersion"], rel=2e-6)


@pytest.mark.parametrize("name", FINITE)
def test_standard_errors_are_those_of_the_joint_hessian(name: str) -> None:
    case, fit = glmm_case(name), glmm_fit(name)
    known = case.json["laplace"]
    np.testing.assert_allclose(fit.se, known["se_hessian"], rtol=2e-5)
    held = fit.internals.estimates.beta_cov_given_theta
    if case.json["family"] == "nbinom1":  # the reference's is by the observed information there
        C = fit.internals.problem.beta_of_gamma
        of_gamma = covariance(by_gamma(fit.internals.searched.at))
        assert of_gamma is not None
        held = C @ of_gamma @ C.T
    np.testing.assert_allclose(np.sqrt(np.diag(held)), known["se_rx"], rtol=1e-6)


@pytest.mark.parametrize("name", FINITE)
def test_modes_and_means_are_those_of_the_reference(name: str) -> None:
    case, fit = glmm_case(name), glmm_fit(name)
    known = case.json["laplace"]
    modes, variances = fit.ranef(by="term"), fit.condvar(by="term")
    for group, part in known["ranef"].items():
        table = modes[group]
        order = [list(map(str, table.index)).index(level) for level in part["levels"]]
        scale = max(np.abs(part["values"]).max(), 1e-3)
        np.testing.assert_allclose(table.to_numpy()[order], part["values"], rtol=0, atol=2e-5 * scale)
        if part.get("condVar") is not None:
            V = np.array(part["condVar"]).reshape(variances[group].shape)
            np.testing.assert_allclose(variances[group][order], V, rtol=0, atol=2e-5 * max(np.abs(V).max(), 1e-6))
    used = fit.fitted.to_numpy()[~np.isnan(fit.fitted.to_numpy())]
    np.testing.assert_allclose(used[:10], known["fitted_head"], rtol=3e-5)
    assert used.sum() == pytest.approx(known["sum_fitted"], rel=1e-5)


EXPECTED = [name for name in FINITE if "laplace_expected" in glmm_case(name).json]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_expected_information_gives_the_criterion_of_lme4(name: str) -> None:
    case = glmm_case(name)
    fit, known = case.fit(laplace="expected"), case.json["laplace_expected"]
    assert fit.criterion == pytest.approx(known["objective"], rel=1e-11, abs=2e-9)
    assert (np.abs(fit.beta.to_numpy() - known["beta"]) < 2e-5 * np.array(known["se_hessian"])).all()
