"""Unstructured terms of many parameters: one verdict whatever the coding, after few evaluations."""

import numpy as np
import pytest

import mme
from mme.derivatives.slopes import criterion_slopes
from mme.numeric.optimize import minimise


def factorial(p, q, groups=16, repeats=3, seed=0):
    """Two factors within groups, whose cells vary by group in fewer directions than there are cells."""
    rng = np.random.default_rng(seed)
    g, a, b, _ = (one.ravel() for one in np.indices((groups, p, q, repeats)))
    u, own = rng.normal(size=groups), 0.5 * rng.normal(size=(groups, p))
    y = 5.0 + 0.4 * a + 0.3 * b + u[g] + own[g, a] + rng.normal(size=g.size)
    h = rng.permutation(g.size) % 20
    names = {"a": a, "b": b, "g": g, "h": h}
    return {name: np.char.add(name, codes.astype(str)) for name, codes in names.items()} | {"y": y}


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 3)])
def test_a_model_in_three_codings_ends_with_one_verdict_after_few_evaluations(size):
    table = factorial(*size)
    fits = [
        mme.lmer("y ~ a*b + (a*b | g)", table, method="ML"),
        mme.lmer("y ~ a*b + (a*b | g)", table, method="ML", contrasts={"a": "sum", "b": "helmert"}),
        mme.lmer("y ~ 0 + a:b + (0 + a:b | g)", table, method="ML"),
    ]
    assert {fit.optimum.verdict for fit in fits} == {"minimum on the boundary"}
    assert {len(fit.optimum.boundary) for fit in fits} == {len(fits[0].optimum.boundary)}
    criteria = [fit.criterion for fit in fits]
    assert np.ptp(criteria) < 1e-8
    assert max(fit.optimum.evaluations for fit in fits) < 60


def test_no_search_from_elsewhere_ends_lower_than_that_of_many_parameters():
    table = factorial(2, 2)
    found = mme.lmer("y ~ a*b + (a*b | g)", table)
    objective, rng = found.internals.objective, np.random.default_rng(3)
    k = found.theta.size
    for _ in range(3):
        other = minimise(objective, rng.normal(size=k), np.full(k, 0.3), even=np.zeros(k, dtype=bool))
        assert found.criterion < other.value + 1e-6


@pytest.mark.parametrize(("formula", "k"), [("y ~ a*b + (a*b | h) + (1 | g)", 11), ("y ~ a + (a*b | g) + (b | h)", 13)])
@pytest.mark.parametrize("singular", [False, True])
def test_closed_forms_of_the_criterion_are_those_of_its_differences(formula, k, singular):
    objective = mme.lmer(formula, factorial(2, 2), theta=np.zeros(k)).internals.objective.in_axes
    theta = 0.4 * np.random.default_rng(1).normal(size=objective.model.k)
    if singular:
        theta = np.where(objective.model.diagonal & (np.arange(k) > 4), 0.0, theta)
    steps = 1e-3 * np.eye(theta.size)

    def slope(f, step):
        near, far = f(theta + step) - f(theta - step), f(theta + 2 * step) - f(theta - 2 * step)
        return (8.0 * near - far) / (12.0 * step.max())

    gradient, hessian = criterion_slopes(objective, theta)
    np.testing.assert_allclose(gradient, [slope(objective, step) for step in steps], rtol=0, atol=1e-6)
    by_gradient = [slope(lambda x: criterion_slopes(objective, x)[0], step) for step in steps]
    np.testing.assert_allclose(hessian, by_gradient, rtol=0, atol=1e-6 * np.abs(hessian).max())


def valley(x):
    """Rosenbrock's, two and two coordinates: f, its gradient and its Hessian."""
    a, b = x[0::2], x[1::2]
    gradient, hessian = np.zeros(x.size), np.zeros((x.size, x.size))
    gradient[0::2], gradient[1::2] = -400.0 * a * (b - a**2) - 2.0 * (1.0 - a), 200.0 * (b - a**2)
    one, two = np.arange(0, x.size, 2), np.arange(1, x.size, 2)
    hessian[one, one], hessian[two, two] = 1200.0 * a**2 - 400.0 * b + 2.0, 200.0
    hessian[one, two] = hessian[two, one] = -400.0 * a
    return float((100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2).sum()), gradient, hessian


def test_known_derivatives_lead_through_a_curved_valley():
    start, even = np.array([-1.2, 1.0] * 4), np.zeros(8, dtype=bool)
    found = minimise(lambda x: valley(x)[0], start, np.full(8, 0.5), even=even, derivatives=lambda x: valley(x)[1:])
    np.testing.assert_allclose(found.x, 1.0, atol=1e-5)
    assert found.evaluations < 60
    assert not found.curvature.saddle


def test_known_derivatives_leave_a_saddle_at_which_the_gradient_is_zero():
    """f = sum (x^2 - 1)^2 from x = 0."""

    def known(x):
        return 4.0 * x * (x**2 - 1.0), np.diag(12.0 * x**2 - 4.0)

    even = np.ones(3, dtype=bool)
    found = minimise(lambda x: ((x**2 - 1.0) ** 2).sum(), np.zeros(3), np.ones(3), even=even, derivatives=known)
    np.testing.assert_allclose(np.abs(found.x), 1.0, atol=1e-5)


def test_where_derivatives_are_not_known_the_search_goes_on_by_values():
    start, even = np.array([-1.2, 1.0] * 2), np.zeros(4, dtype=bool)

    def known(x):
        return None if x[0] > 0.0 else valley(x)[1:]

    found = minimise(lambda x: valley(x)[0], start, np.full(4, 0.5), even=even, derivatives=known)
    np.testing.assert_allclose(found.x, 1.0, atol=1e-4)


@pytest.mark.parametrize("factor", ["Subject", "C(Subject, contr.sum)"])
def test_a_term_most_of_whose_covariances_mean_nothing_is_refused_with_what_to_write(factor):
    says = (
        r"171 variances and covariances of 18 coefficients from 18 levels, and the data determine 18 of .* diag\(1 \+ "
    )
    with pytest.raises(mme.MMEError, match=says):
        mme.lmer(f"Reaction ~ 1 + (1 + {factor} | Subject)", mme.load("sleepstudy"), method="ML")


def test_a_factor_of_the_groups_is_fitted_and_its_covariances_are_called_flat():
    g, f = np.repeat(np.arange(20), 5), np.repeat(np.arange(20), 5) % 4
    rng = np.random.default_rng(2)
    table = {
        "g": g.astype(str),
        "f": np.char.add("f", f.astype(str)),
        "y": rng.normal(size=20)[g] + rng.normal(size=100),
    }
    apart = mme.lmer("y ~ f + diag(0 + f | g)", table)
    together = mme.lmer("y ~ f + (0 + f | g)", table)
    assert together.optimum.verdict == "flat"
    assert together.criterion == pytest.approx(apart.criterion, abs=1e-6)


def test_a_level_that_is_in_one_group_only_is_no_reason_to_refuse():
    table = factorial(2, 2, groups=6)
    table["a"] = np.where((table["g"] == "g0") & (table["a"] == "a1"), "a2", table["a"])
    fit = mme.lmer("y ~ a + (a | g)", table)
    assert fit.optimum.converged


def test_a_long_search_by_differences_is_forecast_in_evaluations():
    from mme.search.known_derivatives import forecast

    with pytest.warns(mme.MMEWarning, match="60 variance parameters .* about 14,640 evaluations"):
        forecast(lambda x: None, np.zeros(60))
