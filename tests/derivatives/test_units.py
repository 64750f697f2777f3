"""Natural units of variance parameters, against dense matrices of each level."""

import numpy as np
import pytest

import mme
from mme.derivatives.units import level_information, natural_units

N, J = 60, 6
RNG = np.random.default_rng(8)
G = np.concatenate([np.arange(J), RNG.integers(0, J, N - J)])
Z = np.column_stack([np.ones(N), RNG.normal(3.0, 1.0, N)])
X = np.column_stack([np.ones(N), RNG.normal(size=N)])
Y = RNG.normal(size=N)


def dense(Z: np.ndarray, H: np.ndarray) -> np.ndarray:
    """Z'(I + Z H Z')^-1 Z."""
    return Z.T @ np.linalg.solve(np.eye(len(Z)) + Z @ H @ Z.T, Z)


@pytest.mark.parametrize("q", [1, 2])
def test_what_the_records_of_a_level_tell_about_its_effects_is_that_of_dense_matrices(q):
    f = mme.objective(Y, X, [mme.Term(G, Z[:, :q]), mme.Term(np.arange(N) % 4, name="h")])
    T = np.array([[0.9, 0.0], [-0.4, 0.7]])[:q, :q]
    theta = np.append(T.T[np.triu_indices(q)], 0.5)
    expected = np.array([dense(Z[g == G, :q], T @ T.T) for g in range(J)])
    np.testing.assert_allclose(level_information(f, theta)[0], expected, rtol=1e-9)
    units = np.sqrt(1.0 / np.einsum("gaa->ga", expected).max(axis=0))
    rows = np.tril_indices(q)[0] if q == 1 else np.array([0, 1, 1])  # of theta's entries, by columns
    np.testing.assert_allclose(natural_units(f, theta)[: rows.size], units[rows], rtol=1e-9)


def test_coefficients_of_one_variance_tell_as_their_one_level_does():
    columns = RNG.normal(size=(N, 5))
    term = mme.Term(np.zeros(N, dtype=int), columns, covariance="homogeneous diagonal", name="markers")
    f = mme.objective(Y, X, [term])
    theta = 0.6
    np.testing.assert_allclose(level_information(f, np.array([theta]))[0][0], dense(columns, theta**2 * np.eye(5)))


@pytest.mark.parametrize("levels", [6, 30])
def test_related_levels_tell_no_more_than_if_all_had_the_largest_eigenvalue_of_their_relationship(levels):
    A = np.cov(np.random.default_rng(levels).normal(size=(levels, 60))) + 0.2 * np.eye(levels)
    g, theta = np.arange(N) % levels, 0.7
    f = mme.objective(Y, X, [mme.Term(g, relationship=mme.Relationship(covariance=A, levels=range(levels)))])
    count, largest = N / levels, np.linalg.eigvalsh(A)[-1]
    bound = level_information(f, np.array([theta]))[0].max()
    assert bound == pytest.approx(count * largest / (1.0 + count * largest * theta**2), rel=0.02)


def test_levels_of_their_own_by_column_tell_no_more_than_the_bound_of_all_columns_together():
    animal, dam = RNG.integers(0, 8, N), RNG.integers(0, 8, N)
    A = np.eye(8)
    term = mme.Term((animal, dam), relationship=mme.Relationship(covariance=A, levels=range(8)))
    f = mme.objective(Y, X, [term])
    bound = level_information(f, np.array([1e-6, 0.0, 1e-6]))[0]
    together = np.concatenate([np.equal.outer(animal, np.arange(8)), np.equal.outer(dam, np.arange(8))], axis=1)
    both = np.einsum("nla,nlb->lab", *2 * [together.reshape(N, 2, 8).transpose(0, 2, 1).astype(float)])
    assert (np.linalg.eigvalsh(bound - both) > -1e-9).all()
