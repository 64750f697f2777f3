"""Derivatives by R of every structure, in closed form or by differences of its small matrices: those of the whole R."""

import numpy as np
from hypothesis import given
from residuals import STRUCTURES, bound, designs, every_structure

from mme.numeric.differences import slopes


def of_R(structure, x):
    """R (n, n) and its derivatives (k, n, n), by short steps: powers near zero are steep."""
    n = structure.n

    def whole(t):
        return structure.covariance(x + 0.1 * t, np.arange(n)).ravel()

    origin = np.zeros(structure.k)
    return whole(origin).reshape(n, n), 10.0 * slopes(whole, origin).reshape(structure.k, n, n)


@every_structure
@given(data=designs)
def test_the_score_is_the_inner_product_with_the_derivatives_of_R(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x, n = structure.coordinates(example.natural), data.n
    A = data.rng.normal(size=(n, n))
    S = A @ A.T / n  # among whitened records
    W = structure.whiten(x, np.eye(n)).T
    R, D = of_R(structure, x)
    group = np.arange(n) if structure.group is None else structure.group
    within = np.equal.outer(group, group)
    expected = np.einsum("ist,st->i", D, W.T @ np.where(within, S, 0.0) @ W)
    of = structure.sensitivity(x, lambda members: S[members[:, :, None], members[:, None, :]])
    size = np.abs(D).max() * np.abs(W).max() ** 2 * np.abs(S).max()
    np.testing.assert_allclose(structure.score(x, of), expected, atol=1e-7 * size)
    relative = np.diag(W.T @ np.where(within, S, 0.0) @ W @ R)
    np.testing.assert_allclose(of.relative, relative, atol=1e-9 * np.linalg.cond(R) * np.abs(S).max())


@every_structure
@given(data=designs)
def test_changes_are_the_derivatives_of_R_times_a_vector(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x, v = structure.coordinates(example.natural), data.rng.normal(size=data.n)
    R, D = of_R(structure, x)
    np.testing.assert_allclose(structure.changes(x, v), D @ v, atol=1e-7 * (1.0 + np.abs(D).max()) * np.abs(v).sum())
    np.testing.assert_allclose(
        structure.multiplied(x, v[None, :])[0], R @ v, atol=1e-9 * np.abs(R).max() * np.abs(v).sum()
    )
