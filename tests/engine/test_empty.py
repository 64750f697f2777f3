"""Nothing to solve for, no fixed effects, no random terms, groups of one record: the algebra answers them all."""

from __future__ import annotations

import numpy as np
import pytest
from dense import design
from hypothesis import given, settings
from hypothesis import strategies as st
from residuals import STRUCTURES, bound, every_structure, records

import mme
from mme.engine.objective import Objective
from mme.model.problem import build_model
from mme.numeric import lapack
from mme.residual import bind

sizes = st.integers(0, 3)
seeds = st.integers(0, 2**32 - 1)


def definite(rng: np.random.Generator, m: int) -> np.ndarray:
    A = rng.normal(size=(m, m + 2))
    return A @ A.T + np.eye(m)


@given(m=sizes, c=sizes, seed=seeds)
def test_dense_factors_and_solves_are_right_for_operands_of_any_size_none_included(m, c, seed):
    rng = np.random.default_rng(seed)
    S, b = definite(rng, m), rng.normal(size=(m, c))
    L, failed = lapack.cholesky(S)
    assert failed == 0
    np.testing.assert_allclose(L @ L.T, S)
    for transposed in (False, True):
        for right in (b, b[:, :1].ravel() if c else np.zeros(m)):
            x = lapack.triangular_solve(L, right, transposed=transposed)
            np.testing.assert_allclose((L.T if transposed else L) @ x, right, atol=1e-12)
            assert x.shape == right.shape
            x = lapack.triangular_solve(L.T, right, transposed=transposed, lower=False)
            np.testing.assert_allclose((L if transposed else L.T) @ x, right, atol=1e-12)
    np.testing.assert_allclose(S @ lapack.cholesky_solve(L, b), b, atol=1e-10)
    np.testing.assert_allclose(lapack.triangular_inverse(L.T) @ L.T, np.eye(m), atol=1e-10)
    np.testing.assert_allclose(np.tril(lapack.cholesky_inverse(L)), np.tril(np.linalg.inv(S)), atol=1e-10)


@given(n=st.integers(1, 4), m=sizes, seed=seeds)
def test_bands_are_solved_and_factored_for_operands_of_any_size_none_included(n, m, seed):
    rng = np.random.default_rng(seed)
    below, rows = rng.normal(size=n - 1), rng.normal(size=(m, n))
    L = np.eye(n) + np.diag(below, -1)
    np.testing.assert_allclose(lapack.solve_bidiagonal(below, rows.copy()) @ L.T, rows, atol=1e-10)
    diagonal = 3.0 + rng.random(n)
    d, e = lapack.factor_tridiagonal(diagonal.copy(), below.clip(-1, 1))
    K = np.eye(n) + np.diag(e, -1)
    np.testing.assert_allclose(
        K * d @ K.T, np.diag(diagonal) + np.diag(below.clip(-1, 1), 1) + np.diag(below.clip(-1, 1), -1)
    )


@every_structure
@given(seed=seeds)
@settings(max_examples=5)
def test_no_rows_are_whitened_and_coloured_into_no_rows(name, seed):
    example = STRUCTURES[name](records(seed, 6, 3, False))
    structure = bound(example)
    x, none = structure.coordinates(example.natural), np.zeros((0, structure.n))
    assert structure.whiten(x, none).shape == none.shape
    assert structure.colour(x, none).shape == none.shape


@every_structure
@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("terms", [0, 1])
def test_without_fixed_effects_the_criterion_is_that_of_the_definition(name, method, terms):
    """An evaluation, and again, as nothing that was allocated beside it is damaged."""
    data = records(3, 8, 4, True)
    example = STRUCTURES[name](data)
    y = data.rng.normal(size=data.n)
    among = np.arange(data.n) % 3
    random = [mme.Term(among, name="h")] * terms
    structure = bound(example)
    x = structure.coordinates(example.natural)

    model = build_model(y, np.zeros((data.n, 0)), random, method=method, residual=example.structure)
    Z = design(among, None)
    V = example.R + 0.49 * terms * Z @ Z.T
    expected = np.linalg.slogdet(V)[1] + data.n * (1 + np.log(2 * np.pi * (y @ np.linalg.solve(V, y)) / data.n))
    for _ in range(6):
        assert Objective.of(model, phi=x)(np.full(terms, 0.7)) == pytest.approx(expected, rel=1e-9)


def test_a_fit_without_fixed_effects_or_random_terms_answers_what_is_asked_of_it():
    g, t = np.repeat(np.arange(8), 4), np.tile(np.arange(4.0), 8)
    y = np.random.default_rng(5).normal(size=32)
    for residual in (mme.Exponential(t, g, nugget=True), mme.AR1(t, g), None):
        for X in (np.zeros((32, 0)), np.ones((32, 1))):
            fit = mme.fit(y, X, [], residual=residual)
            assert np.isfinite(fit.criterion)
            assert fit.dfbeta().shape == (32, X.shape[1])
            assert fit.dfbeta(by=g).shape == (8, X.shape[1])
            assert list(fit.predict(interval="prediction")) == ["fit", "lower", "upper", "se", "df"]
            assert fit.simulate(2, seed=1).shape == (32, 2)
            assert fit.leverage().shape == (32,)
            assert len(fit.confint(method="wald")) >= X.shape[1]
            assert "sigma" in fit.summary() or "Residual" in fit.summary()


def test_ordinary_least_squares_has_kenward_and_rogers_degrees_of_freedom():
    y = np.random.default_rng(6).normal(size=20)
    fit = mme.fit(y, np.column_stack([np.ones(20), np.arange(20.0)]), [])
    assert fit.coefficients(ddf="kenward-roger")["df"].to_numpy() == pytest.approx([18.0, 18.0])


@pytest.mark.parametrize(
    "structure",
    [
        mme.AR1("t", "g"),
        mme.Exponential("t", "g"),
        mme.Exponential("t", "g", nugget=True),
        mme.CompoundSymmetry("g"),
        mme.Unstructured("t", "g"),
        mme.Toeplitz("t", "g"),
        mme.Toeplitz("t", "g", bands=1),
    ],
)
def test_groups_of_one_record_each_are_refused_by_every_correlation(structure):
    columns = {"g": np.arange(6), "t": np.arange(6) % 3}
    with pytest.raises(mme.MMEError, match="single record"):
        bind(structure, columns.__getitem__, 6)
