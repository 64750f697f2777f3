"""Factors of I + A_g A_g' for all levels at once, each against dense matrices of its level."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mme.engine.absorption import Levels
from mme.engine.level_factors import LevelFactor, factor_levels
from mme.engine.spectrum import spectrum

J = 5


def levels(q: int, scale: float) -> LevelFactor:
    """Factors for triangles R_g of J levels, one of them singular, and a T of q columns."""
    rng = np.random.default_rng(q)
    R = np.triu(rng.normal(size=(J, q, q)))
    R[2, :, -1] = 0.0
    T = scale * np.tril(rng.normal(size=(q, q)))
    return factor_levels(Levels(np.ascontiguousarray(R.transpose(1, 2, 0)), np.zeros((1, q, J))), T)


def one_level(n: int, q: int, scale: float) -> LevelFactor:
    """The factor of one level whose q coefficients have one variance."""
    found = spectrum(np.random.default_rng(q).normal(size=(q, n)))
    V = np.zeros((1, found.s.size, 1))
    return factor_levels(Levels(found.R[:, :, None], V, singular=found.s), np.array([[scale]]))


FACTORS = {
    **{f"{q} coefficients times {scale:g}": levels(q, scale) for q in (1, 2, 3, 4) for scale in (0.0, 1.0, 1e3)},
    **{f"20 coefficients times {scale:g}": levels(20, scale) for scale in (0.0, 0.3)},
    "one variance, fewer records": one_level(4, 7, 0.8),
    "one variance, more records": one_level(9, 3, 0.8),
}


@pytest.fixture(params=FACTORS)
def factor(request) -> LevelFactor:
    return FACTORS[request.param]


def dense(factor: LevelFactor) -> tuple[np.ndarray, np.ndarray]:
    """A (levels, rows, columns) and I + A A'."""
    A = factor.A.transpose(2, 0, 1)
    return A, np.eye(A.shape[1]) + A @ A.transpose(0, 2, 1)


def test_log_determinants_are_those_of_dense_matrices(factor):
    s = np.linalg.svd(dense(factor)[0], compute_uv=False)  # I + A A' itself would lose half of the digits of A
    assert factor.logdet(None) == pytest.approx(np.log1p(s**2).sum(), rel=1e-12)


def test_a_level_that_stands_for_several_counts_so_often():
    factor, many = FACTORS["2 coefficients times 1"], np.array([1.0, 3.0, 0.0, 2.0, 1.5])
    assert factor.logdet(many) == pytest.approx(many @ np.linalg.slogdet(dense(factor)[1])[1], rel=1e-12)


def test_weights_are_inverses(factor):
    W = np.linalg.inv(dense(factor)[1]).transpose(1, 2, 0)
    assert_allclose(factor.weights(), W, rtol=1e-7, atol=1e-9)
    packed = W.ravel() if factor.packed_weights().size == W.size else np.diag(W[:, :, 0])
    assert_allclose(factor.packed_weights(), packed, rtol=1e-7, atol=1e-9)


def test_going_there_and_back_solves(factor):
    M = dense(factor)[1]
    V = np.random.default_rng(1).normal(size=(3, M.shape[1], len(M)))
    half = factor.forward(V)
    assert_allclose(np.einsum("gab,mbg->mag", M, factor.backward(half)), V, atol=1e-7)
    assert_allclose(factor.solve(V), factor.backward(half), rtol=1e-12, atol=1e-12)
    norms = np.einsum("mag,mag->mg", half, half)
    assert_allclose(norms, np.einsum("mag,mag->mg", V, factor.solve(V)), rtol=1e-7, atol=1e-12)


def test_inner_matrices_and_gains_are_those_of_the_coefficients(factor):
    A, M = dense(factor)
    inner = np.linalg.inv(np.eye(A.shape[2]) + A.transpose(0, 2, 1) @ A)
    assert_allclose(factor.inner(), inner, rtol=1e-6, atol=1e-9)
    gains = A.transpose(0, 2, 1) @ np.linalg.inv(M)
    assert_allclose(factor.gain(), gains.transpose(1, 2, 0), rtol=1e-6, atol=1e-9)
