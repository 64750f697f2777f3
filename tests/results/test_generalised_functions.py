"""Functions of the parameters of a generalised fit, its Hessian, and draws from what it leaves uncertain."""

import numpy as np
import pytest

import mme
from mme.errors import MMEError
from tests.glmm import glmm_case, glmm_fit


@pytest.mark.parametrize("name", ["cbpp_logit", "contra_slope", "singular_slope"])
def test_the_hessian_is_that_of_differences_of_the_criterion_in_the_users_columns(name: str) -> None:
    fit = glmm_fit(name)
    k, x = fit.theta.size, np.concatenate([fit.theta, fit.beta])
    steps = 0.02 * np.concatenate([np.full(k, 0.05), fit.se])
    found, free = fit.hessian, np.flatnonzero(np.isfinite(np.diag(fit.hessian)))
    assert free.size == x.size - (name == "singular_slope")  # a variance of zero is held
    size = np.sqrt(np.diag(found)[free])

    def moved(i: int, a: float, j: int, b: float) -> float:
        at = x.copy()
        at[i] += a * steps[i]
        at[j] += b * steps[j]
        return fit.criterion_at(at[:k], at[k:])

    for i, j in [(free[0], free[0]), (free[0], free[-1]), (free[1], free[2]), (free[-1], free[-2])]:
        four = moved(i, 1, j, 1) - moved(i, 1, j, -1) - moved(i, -1, j, 1) + moved(i, -1, j, -1)
        scale = size[free == i] * size[free == j]
        np.testing.assert_allclose(found[i, j] / scale, four / (4 * steps[i] * steps[j]) / scale, atol=2e-5)


def test_functions_of_variances_have_the_errors_of_the_delta_method() -> None:
    fit = glmm_fit("cbpp_logit")
    icc = fit.vpredict("icc ~ V_herd / (V_herd + V_dist)")
    assert icc.name == "icc"
    assert icc["estimate"] == pytest.approx(fit.icc()["all"], rel=1e-12)
    theta, latent = fit.theta[0], np.pi**2 / 3.0
    slope = 2.0 * theta * latent / (theta**2 + latent) ** 2
    sd = fit.tidy("variance").set_index("term").loc["sd (Intercept)", "std_error"]
    assert icc["se"] == pytest.approx(slope * sd, rel=1e-6)
    beta = fit.vpredict("period2 + log(exp(period3))")
    both = np.sqrt(fit.beta_cov.loc[["period2", "period3"], ["period2", "period3"]].to_numpy().sum())
    assert beta["se"] == pytest.approx(both, rel=1e-6)
    counts = glmm_case("epil_nb2").fit()
    assert counts.vpredict("1 / size")["estimate"] == pytest.approx(1.0 / counts.dispersion)
    with pytest.raises(MMEError, match="there is no 'V_dist'"):
        counts.vpredict("V_dist")


def test_draws_spread_as_far_as_standard_errors_and_prediction_error_variances_say() -> None:
    fit, n = glmm_fit("contra_slope"), 4000
    draws = fit.draws(n, seed=1)
    tolerance = 5.0 / np.sqrt(2.0 * n)
    np.testing.assert_allclose(draws.beta.std() / fit.se, 1.0, atol=tolerance)
    np.testing.assert_allclose(np.corrcoef(draws.beta.T)[1, 2], _correlation(fit.beta_cov.to_numpy(), 1, 2), atol=0.06)
    b, pev = draws.b["district"], fit.pev()["district"]
    np.testing.assert_allclose(b.var(axis=0).sum() / np.einsum("gaa->", pev), 1.0, atol=tolerance)
    assert np.abs(b.mean(axis=0) - fit.ranef()["district"]).max().max() < 5.0 * np.sqrt(pev.max() / n)
    assert fit.draws(3, seed=1).beta.equals(draws.beta.iloc[:3])
    assert set(fit.draws(2, seed=1, by="term").b) == {"district"}


def test_standardised_residuals_by_the_identity_are_those_of_the_linear_model() -> None:
    data = mme.load("sleepstudy")
    formula = "Reaction ~ Days + (Days | Subject)"
    fit, linear = mme.glmer(formula, data, mme.Gaussian()), mme.lmer(formula, data, method="ML")
    expected = linear.scaled_residuals("standardised")
    for kind in ("standardised", "standardised_deviance"):
        np.testing.assert_allclose(fit.scaled_residuals(kind), expected, atol=1e-5)
    assert fit.scaled_residuals("response").equals(fit.residuals("response"))
    with pytest.raises(MMEError, match="kind must be one of 'standardised'"):
        fit.scaled_residuals("studentised")


def _correlation(V: np.ndarray, i: int, j: int) -> float:
    return float(V[i, j] / np.sqrt(V[i, i] * V[j, j]))
