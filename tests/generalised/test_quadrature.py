"""Quadrature: its own optima, the exact likelihood, what it refuses, and what it is for one node."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.errors import MMEError
from tests.generalised.test_reference_models import FINITE
from tests.glmm import glmm_case, glmm_fit

# One rule of each model in every run, all of them before a release.
FITTED = [
    pytest.param(name, int(points), marks=() if points == "9" else pytest.mark.slow)
    for name in FINITE
    for points in glmm_case(name).json.get("agq_fits", {})
]
QUICK = {"cbpp_logit", "quine_pois", "pos_gamma_slope", "tiny_cloglog", "epil_nb2"}
EXACT = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in FINITE
    if "exact_ml" in glmm_case(name).json
]


@pytest.mark.parametrize(("name", "points"), FITTED)
def test_the_optimum_of_quadrature_is_that_of_the_reference(name: str, points: int) -> None:
    known = glmm_case(name).json["agq_fits"][str(points)]
    fit = glmm_case(name).fit(n_agq=points)
    assert fit.criterion == pytest.approx(known["objective"], rel=1e-11, abs=2e-9)
    assert (np.abs(fit.beta.to_numpy() - known["beta"]) < 1e-5 * fit.se.to_numpy()).all()


@pytest.mark.parametrize("name", EXACT)
def test_many_nodes_reach_the_exact_likelihood(name: str) -> None:
    known = glmm_case(name).json["exact_ml"]
    fit = glmm_case(name).fit(n_agq=121 if glmm_fit(name).theta.size == 1 else 15)
    assert fit.criterion == pytest.approx(known["objective"], abs=1e-8 + 2e-11 * abs(known["objective"]))
    assert (np.abs(fit.beta.to_numpy() - known["beta"]) < 1e-4 * fit.se.to_numpy()).all()


def test_a_vector_of_coefficients_has_the_same_quadrature_however_its_covariate_is_written() -> None:
    data = glmm_case("contra_slope").data.assign(late=lambda d: d["age"] * 7.0 - 2000.0)
    one = mme.glmer("use ~ age + (age | district)", data, n_agq=5)
    other = mme.glmer("use ~ late + (late | district)", data, n_agq=5)
    assert one.criterion == pytest.approx(other.criterion, rel=1e-10)


def test_quadrature_refuses_what_it_cannot_do_and_says_why() -> None:
    data = glmm_case("cross_logit").data
    with pytest.raises(MMEError, match=r"one grouping factor.*'a', 'b'.*n_agq=1"):
        mme.glmer("y ~ x + (1 | a) + (1 | b)", data, n_agq=5)
    with pytest.raises(MMEError, match="whole number from 0"):
        mme.glmer("y ~ x + (1 | a)", data, n_agq=0.5)  # type: ignore[arg-type]
    with pytest.raises(MMEError, match="4 random coefficients"):
        mme.glmer("y ~ x + (x + z + I(x^2) | a)", data, n_agq=3)
    with pytest.raises(MMEError, match="leave it out"):
        mme.glmer("y ~ x + (1 | a)", data, n_agq=3, laplace="expected")


@pytest.mark.parametrize("family", [mme.Gamma(), mme.Gamma("identity"), mme.InverseGaussian(), mme.Poisson("identity")])
def test_quadrature_refuses_a_link_without_means_for_all_random_effects(family: mme.Family) -> None:
    data = {"y": [1, 2, 3, 4, 2, 5], "g": list("aabbcc")}
    with pytest.raises(MMEError, match="eta must not be negative"):
        mme.glmer("y ~ 1 + (1 | g)", data, family, n_agq=5)
