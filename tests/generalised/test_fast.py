"""The fast criterion: lme4's values for nAGQ = 0, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.generalised.criterion import Criterion
from mme.generalised.start import start
from tests.generalised.test_gradient import drawn
from tests.generalised.test_reference_models import FINITE
from tests.glmm import glmm_case

KNOWN = [name for name in FINITE if glmm_case(name).json.get("nagq0")]


@pytest.mark.parametrize("name", KNOWN)
def test_the_fast_fit_is_the_one_of_the_reference(name: str) -> None:
    known = glmm_case(name).json["nagq0"]
    fit = glmm_case(name).fit(n_agq=0)
    polished = known["gradient_theta"] is not None
    assert fit.criterion <= known["objective"] + 1e-8
    if polished:
        assert fit.criterion == pytest.approx(known["objective"], abs=1e-6)
    peer = glmm_case(name).json["peers"]["lme4_nAGQ0"]
    if polished and "beta" in peer:  # the reference's own beta is of another theta
        assert (np.abs(fit.beta.to_numpy() - peer["beta"]) < 1e-3 * fit.se.to_numpy()).all()
    at = fit.internals.searched.at
    assert np.abs(at.problem.Q @ at.mode.density.slope).max() < 1e-7 * at.problem.n


@pytest.mark.parametrize("crossed", [False, True])
@pytest.mark.parametrize("family", [mme.Poisson(), mme.Binomial(link="probit"), mme.Gamma(link="log")], ids=str)
def test_the_gradient_is_that_of_the_fast_criterion(family: mme.Family, crossed: bool) -> None:
    criterion = Criterion(drawn(family, 3, crossed, True), points=0)
    point = start(criterion.problem)
    at = criterion.at(point)
    assert at is not None
    criterion.keep(at)
    gradient, k, p = at.gradient(), point.theta.size, point.gamma.size
    for j in [*range(k), *range(k + p, point.x.size)]:
        values = []
        for step in (-2, -1, 1, 2):
            x = point.x.copy()
            x[j] += step * 1e-3
            found = criterion.at(criterion.point(x))
            assert found is not None
            values.append(found.value)
        slope = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
        assert gradient[j] == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_what_follows_a_fast_fit_holds_its_variances() -> None:
    herds = mme.load("cbpp")
    fit = mme.glmer("cbind(incidence, size - incidence) ~ period + (1 | herd)", herds, n_agq=0)
    fixed = fit.predict(random=False, interval="confidence", type="link")
    V = fit.beta_cov.to_numpy()
    X = np.column_stack([np.ones(56), *((herds["period"].to_numpy().astype(str) == k) for k in "234")])
    np.testing.assert_allclose(fixed["se"], np.sqrt(np.einsum("ij,jk,ik->i", X, V, X)), rtol=1e-8)
    z, weights = np.polynomial.hermite_e.hermegauss(60)
    p = 1.0 / (1.0 + np.exp(-(X @ fit.beta)[:, None] - fit.theta[0] * z))
    slope = (p * (1.0 - p)) @ weights / weights.sum()
    average = fit.predict(random="average", interval="confidence")["se"]
    np.testing.assert_allclose(average, slope * fixed["se"], rtol=1e-8)
    assert (fit.pev()["herd"] > fit.condvar()["herd"]).all()
