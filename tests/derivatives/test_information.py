"""Derivatives by the variances in closed form: those of the dense V, whatever is absorbed, and those of differences."""

import numpy as np
import pandas as pd
import pytest
from cases import lme4_case_names, load_case
from scipy.linalg import block_diag, cho_factor, cho_solve, cholesky, solve_triangular

import mme
import mme.derivatives.variance_derivatives as derivatives
from mme.derivatives.estimated import Estimated
from mme.derivatives.information import Direction, information
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.numeric.limits import Limits, within

MODELS = {
    "one factor": ("y ~ x + (x | a)", {}, [0.8, -0.3, 0.6]),
    "no variance in the absorbed factor": ("y ~ x + (x | a) + (1 | b)", {}, [0.0, 0.0, 0.0, 0.7]),
    "rank one in each of two factors": (
        "y ~ x + (x | a) + (x | b)",
        {},
        [0.8, -0.3, 0.0, 0.0, 0.0, 0.7],
    ),
    "two factors": ("y ~ x + (x | a) + (1 | b)", {}, [0.8, -0.3, 0.6, 0.7]),
    "three factors": ("y ~ x + (x | a) + (x || b) + (1 | c)", {}, [0.8, -0.3, 0.6, 0.7, 0.5, 1.4]),
    "terms on one factor, weights": ("y ~ x + (1 | a) + (0 + x | a) + (1 | b)", {"weights": "w"}, [0.8, 0.6, 0.7]),
    "ML, sigma known": ("y ~ 1 + (1 | a) + (1 | c)", {"method": "ML", "sigma": 1.3}, [0.8, 0.7]),
}


def data():
    rng = np.random.default_rng(5)
    table = pd.DataFrame({name: rng.integers(0, J, 70) for name, J in (("a", 9), ("b", 6), ("c", 5))})
    return table.assign(x=rng.normal(2.0, 3.0, 70), y=rng.normal(size=70), w=rng.uniform(0.5, 2.0, 70))


def model_fit(name):
    formula, options, theta = MODELS[name]
    return mme.lmer(formula, data(), theta=theta, **options)


def dense(block, n):
    """Z (n, J q), scaled and whitened, level by level."""
    Z = np.zeros((n, block.J, block.q))
    for a, column in enumerate(block.columns):
        Z[np.arange(n), block.codes, a] = 1.0 if column is None else column
    return Z.reshape(n, -1)


def random_directions(objective):
    rng = np.random.default_rng(1)
    for b, block in [*enumerate(objective.blocks), *enumerate(objective.blocks)]:
        D = rng.normal(size=(block.q, block.q))
        yield Direction(b, D + D.T)


# Products of what the absorbed levels meet: dense, or entry by entry, as plain NumPy and as the loop to be compiled.
PRODUCTS = {
    "dense": Limits(),
    "by entry": Limits(pair_product_cost=0),
    "by a loop": Limits(pair_product_cost=0, compiled_product_cost=0, interpreted_products=0),
}


@pytest.mark.parametrize("products", PRODUCTS)
@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_those_of_the_dense_covariance_whatever_is_absorbed(name, products):
    fit = model_fit(name)
    n = fit.nobs
    for absorb in [None, *range(len(fit.internals.objective.blocks))]:
        objective = Objective.of(fit.internals.model, plan=Plan(absorb, True))
        with within(PRODUCTS[products]):
            found = information(objective, fit.theta, objective.evaluate(fit.theta))
        Z = [dense(block, n) for block in objective.blocks]
        H = [block.T(fit.theta) @ block.T(fit.theta).T for block in objective.blocks]
        V = (
            np.eye(n)
            + np.hstack(Z)
            @ block_diag(*(np.kron(np.eye(b.J), h) for b, h in zip(objective.blocks, H, strict=True)))
            @ np.hstack(Z).T
        )
        N = objective.basis.N.T
        inverse = cho_solve(cho_factor(V), np.eye(n))
        U = solve_triangular(cholesky(N.T @ inverse @ N, lower=True), N.T @ inverse, lower=True)
        along = list(random_directions(objective))
        V_i = [Z[at.block] @ np.kron(np.eye(objective.blocks[at.block].J), at.D) @ Z[at.block].T for at in along]
        second, logdet_second = found.product_second(along), found.logdet_second(along)
        for i, at in enumerate(along):
            assert found.logdet(at) == pytest.approx(np.trace(inverse @ V_i[i]), rel=1e-10)
            np.testing.assert_allclose(found.product(at), -U @ V_i[i] @ U.T, rtol=0, atol=1e-10)
            for j in range(len(along)):
                both = np.trace(inverse @ V_i[i] @ inverse @ V_i[j])
                assert logdet_second[i, j] == pytest.approx(-both, rel=1e-9, abs=1e-9)
                product = U @ V_i[i] @ inverse @ V_i[j] @ U.T
                np.testing.assert_allclose(second[i, j], product + product.T, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", [*MODELS, *lme4_case_names()[::6]])
def test_derivatives_by_theta_are_those_of_differences(name):
    """The chain rule on the closed form, against central differences of sixth order."""
    fit = model_fit(name) if name in MODELS else load_case(name).fit()
    free = np.ones(fit.theta.size, dtype=bool)
    closed = information(fit.internals.objective, fit.theta, fit.internals.estimates.at)
    exact, near = (
        derivatives._by_chain_rule(fit.internals.estimates, closed),
        derivatives._by_differences(Estimated(fit.internals.estimates, free)),
    )
    units = exact.units
    scale = np.abs(np.diag(exact.hessian) * units**2).max()
    np.testing.assert_allclose(exact.half, near.half, rtol=1e-12)
    np.testing.assert_allclose(
        exact.hessian * np.outer(units, units), near.hessian * np.outer(units, units), rtol=0, atol=1e-6 * scale
    )
    np.testing.assert_allclose(exact.gradient * units, near.gradient * units, rtol=0, atol=1e-6 * scale)
    np.testing.assert_allclose(
        exact.slopes * units[:, None, None], near.slopes * units[:, None, None], rtol=0, atol=1e-6
    )


def test_related_levels_and_residual_structures_are_left_to_differences():
    table = data().assign(t=np.arange(70))
    fit = mme.lmer("y ~ x + (1 | a)", table, residual=mme.AR1("t", "a"))
    assert information(fit.internals.objective, fit.theta, fit.internals.estimates.at) is None
    related = mme.Relationship(covariance=np.eye(9) + 0.1, levels=np.arange(9))
    fit = mme.lmer("y ~ x + (1 | a)", table, relationship={"a": related})
    assert information(fit.internals.objective, fit.theta, fit.internals.estimates.at) is None
