"""Factors of I + A_g A_g' for all levels at once, each against dense matrices of its level."""

import mpmath as mp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from mme.engine.absorption import Levels
from mme.engine.level_factors import LevelFactor, factor_levels, factor_of, factor_products
from mme.engine.spectrum import spectrum
from mme.numeric.limits import Limits, within

J = 5


def levels(q: int, scale: float, J: int = J) -> LevelFactor:
    """Factors for triangles R_g of J levels, the last of them singular, and a T of q columns."""
    rng = np.random.default_rng(q)
    R = np.triu(rng.normal(size=(J, q, q)))
    R[-1:, :, -1] = 0.0
    T = scale * np.tril(rng.normal(size=(q, q)))
    return factor_levels(Levels(np.ascontiguousarray(R.transpose(1, 2, 0)), np.zeros((1, q, J))), T)


def one_level(n: int, q: int, scale: float) -> LevelFactor:
    """The factor of one level whose q coefficients have one variance."""
    found = spectrum(np.random.default_rng(q).normal(size=(q, n)))
    V = np.zeros((1, found.s.size, 1))
    return factor_levels(Levels(found.R[:, :, None], V, singular=found.s), scale * np.eye(q))


FACTORS = {
    **{f"{q} coefficients times {scale:g}": (levels, q, scale) for q in (1, 2, 3, 4) for scale in (0.0, 1.0, 1e3)},
    **{f"20 coefficients times {scale:g}": (levels, 20, scale) for scale in (0.0, 0.3)},
    "3 coefficients of 2 levels": (levels, 3, 1.0, 2),
    "2 coefficients of no level": (levels, 2, 1.0, 0),
    "one variance, fewer records": (one_level, 4, 7, 0.8),
    "one variance, more records": (one_level, 9, 3, 0.8),
}


@pytest.fixture(params=FACTORS)
def factor(request) -> LevelFactor:
    make, *sizes = FACTORS[request.param]
    return make(*sizes)


def dense(factor: LevelFactor) -> tuple[np.ndarray, np.ndarray]:
    """A (levels, rows, columns) and I + A A'."""
    A = factor.A.transpose(2, 0, 1)
    return A, np.eye(A.shape[1]) + A @ A.transpose(0, 2, 1)


def test_log_determinants_are_those_of_dense_matrices(factor):
    s = np.linalg.svd(dense(factor)[0], compute_uv=False)  # I + A A' itself would lose half of the digits of A
    assert factor.logdet(None) == pytest.approx(np.log1p(s**2).sum(), rel=1e-12)


def test_a_level_that_stands_for_several_counts_so_often():
    factor, many = levels(2, 1.0), np.array([1.0, 3.0, 0.0, 2.0, 1.5])
    assert factor.logdet(many) == pytest.approx(many @ np.linalg.slogdet(dense(factor)[1])[1], rel=1e-12)


@pytest.mark.parametrize("q", [2, 3, 4])
def test_levels_of_ordinary_size_keep_their_numbers_beside_a_large_one(q):
    """It has them factorised without squares, by Gram and Schmidt."""
    A = np.random.default_rng(q).normal(size=(q, q, J))
    A[:, :, 0] *= 1e4
    factor = factor_of(A)
    s = np.linalg.svd(A.transpose(2, 0, 1), compute_uv=False)
    assert_allclose(factor.logdets(), np.log1p(s**2).sum(axis=1), rtol=1e-12)
    W = np.linalg.inv(np.eye(q) + np.einsum("iag,jag->gij", A, A))[1:]
    assert_allclose(factor.weights().transpose(2, 0, 1)[1:], W, atol=1e-12)


@pytest.mark.parametrize("q", [2, 3])
def test_large_variances_that_hardly_differ_between_columns_keep_their_digits(q):
    """Squares of 1e7 times 1 + 1e-6 would leave the pivots, of about a hundred, no digit."""
    A = 1e7 * (1.0 + 1e-6 * np.random.default_rng(q).normal(size=(q, q, J)))
    with mp.workdps(60):
        exact = [mp.log(mp.det(mp.eye(q) + one * one.T)) for one in (mp.matrix(A[:, :, g]) for g in range(J))]
    assert_allclose(factor_of(A).logdets(), [float(x) for x in exact], rtol=1e-9)


def test_few_levels_of_many_columns_are_those_of_few_columns():
    A = np.random.default_rng(2).normal(size=(4, 4, J))
    with within(Limits(many_columns=3)):
        by_level = factor_products(A)
    together = factor_products(A)
    assert type(by_level) is not type(together)
    assert by_level.logdet(np.arange(5.0)) == pytest.approx(together.logdet(np.arange(5.0)), rel=1e-13)
    assert by_level.logdet(None) == pytest.approx(together.logdet(None), rel=1e-13)
    V = np.random.default_rng(3).normal(size=(2, 4, J))
    for answer in ("forward", "backward", "solve"):
        assert_allclose(getattr(by_level, answer)(V), getattr(together, answer)(V), atol=1e-12)


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
