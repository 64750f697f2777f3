"""PEV and reliability of generalised models, and where the variance is: glmmTMB's numbers and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, polygamma

import mme
from tests.glmm import glmm_case, glmm_fit

# attr(ranef(f, condVar = TRUE)$cond$herd, "condVar") of glmmTMB 1.1.5, herds 1 to 5
GLMMTMB = {"1": 0.155174676, "2": 0.154546381, "3": 0.119087396, "4": 0.188007180, "5": 0.144495572}


def test_prediction_error_variances_are_those_of_glmmtmb() -> None:
    fit = glmm_fit("cbpp_logit")
    found = pd.Series(fit.pev()["herd"][:, 0, 0], index=fit.ranef()["herd"].index)
    np.testing.assert_allclose(found[list(GLMMTMB)], list(GLMMTMB.values()), rtol=2e-6)
    reliability = fit.reliability()["herd"]["(Intercept)"]
    np.testing.assert_allclose(reliability, 1.0 - found / fit.varcorr["herd"].cov[0, 0], rtol=1e-12)


@pytest.mark.parametrize("name", ["cross_pois", "cross_diag"])
def test_prediction_errors_are_those_of_predictions(name: str) -> None:
    """The variance of x'beta + z'b at x = 0 is z'PEV z: joined by factor, with covariances between its terms."""
    fit = glmm_fit(name)
    pev, data = fit.pev()["a"], glmm_case(name).data
    assert (pev[:, 0, 0] > fit.condvar()["a"][:, 0, 0]).all()
    rows = pd.DataFrame({"x": [0.7], "z": [0.0], "a": [fit.ranef()["a"].index[3]], "b": [data["b"].iloc[0]]})
    whole = fit.predict(rows, type="link", random="a", interval="confidence")["se"].to_numpy()[0]
    z = np.array([1.0, 0.7])
    J, C = fit.internals.estimates.moves, fit.internals.problem
    block = next(b for b, one in enumerate(C.blocks) if C.model.terms[one.terms[0]].group == "a")
    x = np.array([1.0, 0.7, 0.0])
    moved = J.beta.T @ x
    direct = C.blocks[block].effects(J.b[block][:, :, 3].T, fit.internals.searched.at.at.theta) @ z
    known = ((moved + direct) ** 2).sum() + z @ fit.condvar()["a"][3] @ z
    assert whole**2 == pytest.approx(known, rel=1e-9)


def test_r2_and_icc_are_those_of_their_formulas() -> None:
    fit = glmm_fit("cross_pois")
    mean = fit.predict(type="link", random=False)
    fixed = np.var(mean, ddof=1)
    a, b = fit.varcorr["a"].cov, fit.varcorr["b"].cov[0, 0]
    z = np.column_stack([np.ones(fit.nobs), glmm_case("cross_pois").data["x"]])
    random = np.mean(np.einsum("ia,ab,ib->i", z, a, z)) + b
    null = mme.glmer("k ~ 1 + (x | a) + (1 | b)", glmm_case("cross_pois").data, "poisson")
    za = np.mean(np.einsum("ia,ab,ib->i", z, null.varcorr["a"].cov, z)) + null.varcorr["b"].cov[0, 0]
    m = np.exp(null.beta.iloc[0] + za / 2)
    for method, rest in (("lognormal", np.log1p(1 / m)), ("delta", 1 / m), ("trigamma", polygamma(1, m))):
        r2 = fit.r2(method)
        assert r2["marginal"] == pytest.approx(fixed / (fixed + random + rest), rel=1e-6)
        assert r2["conditional"] == pytest.approx((fixed + random) / (fixed + random + rest), rel=1e-6)
        assert fit.icc(method)["all"] == pytest.approx(random / (random + rest), rel=1e-6)
    pd.testing.assert_series_equal(fit.r2(), fit.r2("lognormal"))
    assert fit.variance_shares()["share"].sum() == pytest.approx(1.0)


def test_binomial_distributions_add_a_latent_variance() -> None:
    fit = glmm_fit("cbpp_logit")
    assert fit.variance_shares().loc["distribution", "variance"] == pytest.approx(np.pi**2 / 3)
    null = mme.glmer("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", glmm_case("cbpp_logit").data)
    v, w = np.polynomial.hermite_e.hermegauss(60)
    p = expit(null.beta.iloc[0] + null.varcorr["herd"].sd[0] * v) @ w / w.sum()
    assert fit.variance_shares("delta").loc["distribution", "variance"] == pytest.approx(1 / (p * (1 - p)), rel=1e-6)
    with pytest.raises(mme.MMEError, match="method must be 'theoretical' or 'delta'"):
        fit.r2("lognormal")


def test_ordinal_answers_have_a_latent_variance_alone() -> None:
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(20), 15)
    y = np.digitize(rng.normal(size=20)[g] + rng.logistic(size=300), [-1.0, 0.5])
    fit = mme.glmer("y ~ 0 + (1 | g)", pd.DataFrame({"y": y, "g": g}), mme.Ordinal())
    sd = fit.varcorr["g"].sd[0]
    assert fit.icc()["g"] == pytest.approx(sd**2 / (sd**2 + np.pi**2 / 3))
    with pytest.raises(mme.MMEError, match="method must be 'theoretical'"):
        fit.r2("delta")
