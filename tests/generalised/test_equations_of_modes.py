"""(H) by levels, dense and sparse against dense algebra: solves, determinants, leverages, gains, covariances."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg as sl
from hypothesis import given, settings
from hypothesis import strategies as st

import mme
from mme.family.base import Observed
from mme.family.words import family_of
from mme.generalised.columns import Effects, Prior
from mme.generalised.dense import DenseEquations
from mme.generalised.equations import Equations, FactorOfH
from mme.generalised.levels import LevelEquations
from mme.generalised.problem import Problem
from mme.generalised.sparse import SparseEquations
from mme.model.problem import build_model


def problem_of(seed: int, factors: int, slope: bool) -> Problem:
    """Crossed factors on a hundred records, the first with a slope or not."""
    rng = np.random.default_rng(seed)
    n = 100
    x = rng.normal(size=n)
    terms = []
    for t, J in enumerate([9, 5, 4][:factors]):
        codes = np.concatenate([np.arange(J), rng.integers(0, J, n - J)])
        Z = np.column_stack([np.ones(n), x]) if slope and t != 1 else None
        terms.append(mme.Term(codes, Z, name=f"f{t}"))
    y = rng.poisson(2.0, n).astype(float)
    model = build_model(y, np.column_stack([np.ones(n), x]), terms, method="ML")
    return Problem(model, family_of("poisson"), Observed(y, np.ones(n)))


def dense_M(problem: Problem, prior: Prior) -> np.ndarray:
    """Z Lambda (n, m), the effects of a block level by level."""
    parts = []
    for block, T in zip(problem.blocks, prior.T, strict=True):
        Z = np.zeros((problem.n, block.J, block.q))
        for a, column in enumerate(block.columns):
            Z[np.arange(problem.n), block.codes, a] = 1.0 if column is None else column
        parts.append((Z @ T).reshape(problem.n, -1))
    return np.hstack(parts)


def flat(u: Effects) -> np.ndarray:
    """Effects in the order of :func:`dense_M`."""
    return np.concatenate([one.T.ravel() for one in u])


def ways(problem: Problem) -> list[Equations]:
    """All that can serve this problem."""
    blocks = problem.blocks
    offsets = np.cumsum([0, *(block.J * block.q for block in blocks)])
    found: list[Equations] = [SparseEquations.of(blocks, offsets)]
    found.append(LevelEquations(blocks[0]) if len(blocks) == 1 else DenseEquations(blocks[0], blocks[1:]))
    return found


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans(), st.booleans())
def test_equations_of_modes_agree_with_dense_algebra(seed: int, factors: int, slope: bool, negative: bool) -> None:
    problem = problem_of(seed, factors, slope)
    rng = np.random.default_rng(seed + 1)
    prior = Prior.at(problem.blocks, rng.normal(size=problem.model.k))
    W = rng.gamma(1.0, 1.0, problem.n) - (0.02 if negative else 0.0)
    M = dense_M(problem, prior)
    H = M.T @ (W[:, None] * M) + np.eye(M.shape[1])
    if np.linalg.eigvalsh(H).min() < 1e-3:
        return
    inverse = np.linalg.inv(H)
    r = [rng.normal(size=(block.q, block.J)) for block in problem.blocks]
    for equations in ways(problem):
        factor = equations.factor(prior, W)
        assert factor.logdet == pytest.approx(np.linalg.slogdet(H)[1], rel=1e-10, abs=1e-10)
        np.testing.assert_allclose(flat(factor.solve(r)), inverse @ flat(r), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(factor.leverages(), np.einsum("ij,jk,ik->i", M, inverse, M), rtol=1e-8, atol=1e-9)
        Z = dense_M(problem, Prior.at(problem.blocks, _units(problem)))
        gain = Z.T @ (W[:, None] * M) @ inverse
        start = 0
        for block, found, V, T in zip(problem.blocks, factor.gains(), factor.covariances(), prior.T, strict=True):
            at = slice(start, start + block.J * block.q)
            blocks = gain[at, at].reshape(block.J, block.q, block.J, block.q)
            known = np.einsum("gagb->ab", blocks)
            np.testing.assert_allclose(found, known, rtol=1e-7, atol=1e-8)
            own = inverse[at, at].reshape(block.J, block.q, block.J, block.q)
            each = np.arange(block.J)
            np.testing.assert_allclose(V, T @ own[each, :, each, :] @ T.T, rtol=1e-7, atol=1e-9)
            start = at.stop
        _check_between(problem, prior, factor, inverse, rng)


def _check_between(
    problem: Problem, prior: Prior, factor: FactorOfH, inverse: np.ndarray, rng: np.random.Generator
) -> None:
    """Covariances between any levels of any two blocks."""
    starts = np.cumsum([0, *(block.J * block.q for block in problem.blocks)])
    for s, one in enumerate(problem.blocks):
        for t, other in enumerate(problem.blocks):
            g, h = rng.integers(0, one.J, 12), rng.integers(0, other.J, 12)
            rows = starts[s] + g[:, None] * one.q + np.arange(one.q)
            cols = starts[t] + h[:, None] * other.q + np.arange(other.q)
            known = prior.T[s] @ inverse[rows[:, :, None], cols[:, None, :]] @ prior.T[t].T
            np.testing.assert_allclose(factor.between(s, t, g, h), known, rtol=1e-7, atol=1e-9)


def _units(problem: Problem) -> np.ndarray:
    """The theta of T = I in every block, whose columns have unit size."""
    one = {1: np.array([1.0]), 2: np.array([1.0, 0.0, 1.0])}
    return np.concatenate([one[part.q] for part in problem.model.structures])


def test_weights_that_make_the_equations_indefinite_are_refused() -> None:
    problem = problem_of(1, 2, True)
    prior = Prior.at(problem.blocks, np.ones(problem.model.k))
    for equations in ways(problem):
        with pytest.raises(ArithmeticError):
            equations.factor(prior, np.full(problem.n, -5.0))


def test_the_dense_oracle_is_not_the_identity() -> None:
    problem = problem_of(2, 2, True)
    M = dense_M(problem, Prior.at(problem.blocks, np.ones(problem.model.k)))
    assert sl.norm(M.T @ M - np.eye(M.shape[1])) > 1.0
