"""The search without gradients ends where the other does; the check of Laplace tells what quadrature does."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.errors import MMEError
from mme.generalised.laplace import Psi
from mme.generalised.search import search
from tests.glmm import glmm_case, glmm_fit


@pytest.mark.parametrize("name", ["cbpp_logit", "cross_logit", "singular_slope", "quine_pois"])
def test_the_search_by_values_ends_at_the_optimum_of_the_gradient(name: str) -> None:
    one, other = glmm_fit(name), glmm_case(name).fit(search="derivative-free")
    assert other.criterion == pytest.approx(one.criterion, abs=1e-6)
    assert (np.abs(other.beta - one.beta) < 2e-3 * one.se).all()
    assert other.optimum.converged


@pytest.mark.parametrize("name", ["toenail_int", "cbpp_logit", "wine_binary"])
def test_the_check_of_laplace_tells_where_quadrature_goes(name: str) -> None:
    fit, exact = glmm_fit(name), glmm_case(name).fit(n_agq=25)
    check = fit.laplace_check(25)
    gained = (fit.criterion + check.difference) - exact.criterion
    assert gained >= -1e-9
    moved = ((exact.beta - fit.beta) / fit.se).to_numpy()
    told = np.array(list(check.shift.values()))
    np.testing.assert_allclose(told, moved, rtol=1e-4, atol=1e-5)


def test_the_check_of_laplace_refuses_crossed_factors() -> None:
    with pytest.raises(MMEError, match="one grouping factor"):
        glmm_fit("cross_logit").laplace_check()


def test_searches_have_names() -> None:
    with pytest.raises(MMEError, match='"gradient" or "derivative-free"'):
        mme.glm_fit([0, 1, 0, 1], np.ones((4, 1)), [mme.Term([0, 0, 1, 1])], search="bobyqa")


def test_signs_of_eta_are_sought_where_the_mean_is_even_in_it() -> None:
    """Means (0.2 + 2 x)^2, x on both sides of zero: a search from positive eta alone ends in another valley."""
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(20), 15), rng.normal(size=300)
    data = {"y": rng.poisson((0.2 + 2.0 * x + 0.3 * rng.normal(size=20)[g]) ** 2), "x": x, "g": g}
    fit = mme.glmer("y ~ x + (1 | g)", data, mme.Poisson(link="sqrt"))
    assert abs(fit.beta["x"]) == pytest.approx(2.0, abs=0.1)
    assert fit.varcorr["g"].sd[0] == pytest.approx(0.3, abs=0.15)


@pytest.mark.parametrize("seed", [3, 4, 8, 9])
def test_no_other_signs_of_eta_have_a_lower_valley(seed: int) -> None:
    """Means (b + x c)^2 on both sides of zero, levels too: searches from random places end no lower."""
    rng = np.random.default_rng(seed)
    g, x = np.repeat(np.arange(10), 8), rng.normal(size=80)
    u, slope = 0.9 * rng.normal(size=(2, 10))
    data = {"y": rng.poisson((0.6 + 0.5 * x + u[g] + (seed % 2) * slope[g] * x) ** 2), "x": x, "g": g}
    fit = mme.glmer(f"y ~ x + ({'x' if seed % 2 else '1'} | g)", data, mme.Poisson(link="sqrt"))
    problem, end = fit.internals.problem, fit.internals.searched.at.at
    for _ in range(12):
        theta = np.where(problem.model.diagonal, rng.uniform(0.1, 1.5, end.theta.size), 0.0)
        other = search(problem, first=Psi(theta, rng.normal(size=end.gamma.size), end.tau))
        assert other.at.value > fit.criterion - 1e-5


def test_a_given_theta_is_held_and_a_start_leads_to_the_same_optimum() -> None:
    case = glmm_case("contra_slope")
    fit = glmm_fit("contra_slope")
    held = case.fit(theta=fit.theta)
    assert held.optimum.verdict == "given"
    assert held.dof == fit.dof - 3
    np.testing.assert_allclose(held.theta, fit.theta, rtol=1e-14)
    np.testing.assert_allclose(held.beta, fit.beta, atol=1e-6)
    assert held.criterion == pytest.approx(fit.criterion, abs=1e-8)
    assert (held.se < fit.se).all()
    other = case.fit(theta=dict(zip(fit.theta_names, [0.4, 0.0, 0.3], strict=True)))
    assert other.criterion == pytest.approx(fit.criterion_at(other.theta, other.beta), abs=1e-8)
    assert other.criterion < fit.criterion_at(other.theta)
    assert other.refit(fit.internals.problem.data.y).criterion == pytest.approx(other.criterion, abs=1e-8)
    with pytest.raises(MMEError, match="theta was given"):
        other.confint(method="profile")
    begun = case.fit(start=[1.0, -0.5, 1.0])
    assert begun.criterion == pytest.approx(fit.criterion, abs=1e-8)
    with pytest.raises(MMEError, match="not both"):
        case.fit(theta=fit.theta, start=fit.theta)
    with pytest.raises(MMEError, match="beta must be 5 finite numbers"):
        fit.criterion_at(beta=[1.0])


def test_the_criterion_elsewhere_has_the_gradient_of_the_search() -> None:
    fit = glmm_fit("cbpp_logit")
    theta, beta, h = np.array([0.9]), np.asarray(fit.beta) + 0.2, 1e-5
    at = fit.internals.searched.criterion.point(np.concatenate([theta, fit.internals.problem.gamma(beta)]))
    found = fit.internals.searched.criterion.at(at)
    assert found is not None
    slope = (fit.criterion_at(theta + h, beta) - fit.criterion_at(theta - h, beta)) / (2.0 * h)
    assert slope == pytest.approx(found.gradient()[0], rel=1e-6)
    assert found.value == pytest.approx(
        fit.criterion_at(theta, dict(zip(fit.fixed_names, beta, strict=True))), rel=1e-13
    )
