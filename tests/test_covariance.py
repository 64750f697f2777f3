"""Structures of G: theta gives the covariance that the name promises, and the engine's criterion is the dense one."""

import numpy as np
import pytest
from dense import dense_fit
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.covariance import structure

KINDS = ("homogeneous diagonal", "diagonal", "cs", "homogeneous cs", "ar1", "heterogeneous ar1", "unstructured")


@given(q=st.integers(2, 5), seed=st.integers(0, 2**32 - 1))
def test_ar1_correlations_are_powers_of_rho(q, seed):
    rng = np.random.default_rng(seed)
    part = structure("heterogeneous ar1", q, "g")
    theta = np.append(rng.uniform(0.1, 3.0, q), rng.normal())
    T = part.T(theta)
    lag = np.abs(np.subtract.outer(np.arange(q), np.arange(q)))
    np.testing.assert_allclose(T @ T.T, np.outer(theta[:q], theta[:q]) * np.tanh(theta[-1]) ** lag, atol=1e-12)


@given(q=st.integers(2, 5), z=st.floats(-20.0, 20.0))
def test_compound_symmetry_reaches_every_correlation_that_is_positive_definite(q, z):
    part = structure("homogeneous cs", q, "g")
    T = part.T(np.array([2.0, z]))
    rho = (T @ T.T)[0, 1] / 4.0
    assert -1.0 / (q - 1) < rho < 1.0
    np.testing.assert_allclose(T @ T.T, 4.0 * (rho + (1.0 - rho) * np.eye(q)), atol=1e-10)


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_the_criterion_at_any_theta_is_the_dense_one(kind, seed):
    rng = np.random.default_rng(seed)
    n, J, q = 60, 8, 3
    groups = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
    Z, X = rng.standard_normal((n, q)), np.column_stack([np.ones(n), rng.standard_normal(n)])
    y = rng.standard_normal(n)
    term = mme.Term(groups, Z, covariance=kind)
    objective = mme.objective(y, X, [term])
    part = objective.model.structures[0]
    theta = rng.normal(size=part.k)
    dense = dense_fit(y, X, [(term.Z.toarray(), part.T(theta), None)])
    assert objective(theta) == pytest.approx(dense.criterion, abs=1e-9)


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_the_reported_theta_has_the_same_covariance_and_no_negative_standard_deviation(kind, seed):
    part = structure(kind, 4, "g")
    theta = np.random.default_rng(seed).normal(size=part.k)
    reported = part.canonical(theta)
    T, U = part.T(theta), part.T(reported)
    np.testing.assert_allclose(T @ T.T, U @ U.T, atol=1e-12)
    assert (reported[part.diagonal] >= 0.0).all()


def test_compound_symmetry_is_an_intercept_and_an_interaction():
    data = mme.load("Machines")
    nested = mme.lmer("score ~ Machine + (1 | Worker/Machine)", data)
    symmetric = mme.lmer("score ~ Machine + cs(0 + Machine | Worker, hom = TRUE)", data)
    assert symmetric.criterion == pytest.approx(nested.criterion, abs=1e-7)
    variance = sum(part.cov[0, 0] for part in nested.varcorr.values())
    assert symmetric.varcorr["Worker"].cov[0, 0] == pytest.approx(variance, rel=1e-4)
    assert symmetric.varcorr["Worker"].cov[0, 1] == pytest.approx(nested.varcorr["Worker"].cov[0, 0], rel=1e-4)


def test_structures_are_nested_in_the_unstructured_one():
    data = mme.load("Machines")
    free = mme.lmer("score ~ Machine + us(0 + Machine | Worker)", data).criterion
    for bar in ("cs", "ar1", "diag"):
        assert mme.lmer(f"score ~ Machine + {bar}(0 + Machine | Worker)", data).criterion > free - 1e-8


def test_a_structure_that_is_not_known_is_refused_with_those_that_are():
    groups = np.repeat(["a", "b", "c"], 4)
    with pytest.raises(mme.MMEError, match=r"term 'g': covariance 'toep' is not known; use one of 'unstructured'"):
        mme.fit(np.arange(12.0), np.ones((12, 1)), [mme.Term(groups, np.eye(12)[:, :2], covariance="toep")])
