"""Whitening by R(phi) and prior weights together: e of covariance D^-1/2 R D^-1/2, D the diagonal of the weights."""

from __future__ import annotations

import numpy as np
import pytest
from residuals import MORE, STRUCTURES, bound, records

from mme.numeric.limits import Limits, within
from mme.residual.whitening import Whitening

SMOOTH = sorted({*STRUCTURES, *MORE} - {"a user's, by its blocks", "Spatial Matern, its smoothness"})


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SMOOTH)
def test_whitening_by_structure_and_weights_is_that_of_their_covariance(name, weighted):
    data = records(7, 5, 3, True)
    example = (STRUCTURES | MORE)[name](data)
    structure, n = bound(example), data.n
    weights = data.rng.uniform(0.5, 3.0, n) if weighted else None
    V = example.R if weights is None else example.R / np.sqrt(np.outer(weights, weights))
    white = Whitening(weights, structure, structure.coordinates(example.natural))
    W, atol = white(np.eye(n)).T, 1e-11 * np.linalg.cond(V)
    np.testing.assert_allclose(W @ V @ W.T, np.eye(n), atol=atol)
    np.testing.assert_allclose(white.transposed(np.eye(n)), W, atol=atol)
    np.testing.assert_allclose(white.logdet, np.linalg.slogdet(V)[1], atol=n * atol)
    np.testing.assert_allclose(white.precision, np.diag(np.linalg.inv(V)), rtol=atol)
    if white.groups is not None:
        np.testing.assert_allclose(white.matrix().toarray(), W, atol=1e-12 * np.abs(W).max())
        np.testing.assert_array_equal(
            np.equal.outer(white.groups, white.groups), np.equal.outer(data.group, data.group)
        )
    assert white.varies
    assert not white.identity


def test_weights_alone_whiten_by_their_roots_and_nothing_leaves_records_as_they_are():
    weights, rows = np.array([4.0, 9.0, 0.25]), np.arange(6.0).reshape(2, 3)
    white, plain = Whitening(weights), Whitening()
    np.testing.assert_array_equal(white(rows), rows * [2.0, 3.0, 0.5])
    np.testing.assert_array_equal(white.transposed(rows), rows * [2.0, 3.0, 0.5])
    np.testing.assert_array_equal(white.precision, weights)
    np.testing.assert_allclose(white.logdet, -np.log(9.0), rtol=1e-15)
    assert white.groups is None
    assert (white.identity, white.varies, plain.identity, plain.varies) == (False, False, True, False)
    np.testing.assert_array_equal(plain(rows), rows)
    assert (plain.logdet, plain.precision, plain.groups) == (0.0, 1.0, None)


@pytest.mark.parametrize("name", ["Unstructured", "AnteDependence", "ARMA"])
def test_groups_are_whitened_pattern_by_pattern_as_they_are_one_by_one(name):
    data = records(7, 9, 3, True)
    example = (STRUCTURES | MORE)[name](data)
    structure, rows = bound(example), data.rng.normal(size=(2, data.n))
    x, found = structure.coordinates(example.natural), []
    for groups in (0, 10**9):
        with within(Limits(groups_a_pattern=groups)):
            white = structure.whiten(x, rows)
            found.append((white, structure.whiten_transposed(x, rows), structure.colour(x, white)))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found[0][2], rows, atol=1e-12 * np.linalg.cond(example.R))


def test_compound_symmetry_whitens_by_the_symmetric_root_of_the_inverse():
    """Whose eigenvalues are positive: a group's mean keeps its sign, and records their places."""
    data = records(7, 9, 3, True)
    example = STRUCTURES["CompoundSymmetry"](data)
    structure = bound(example)
    values, V = np.linalg.eigh(example.R)
    W = structure.whiten(structure.coordinates(example.natural), np.eye(data.n)).T
    np.testing.assert_allclose(W, (V / np.sqrt(values)) @ V.T, atol=1e-12 * np.linalg.cond(example.R))


@pytest.mark.parametrize("name", ["AR1", "Exponential", "Exponential, nugget"])
def test_series_are_whitened_by_what_the_records_before_leave_of_each(name):
    """By time within groups W is the inverse of the lower Cholesky factor."""
    data = records(7, 9, 3, True)
    example = STRUCTURES[name](data)
    structure = bound(example)
    order = np.lexsort((data.step if name == "AR1" else data.time, data.group))
    W = structure.whiten(structure.coordinates(example.natural), np.eye(data.n)).T
    L = np.linalg.cholesky(example.R[np.ix_(order, order)])
    expected = np.linalg.inv(L)
    np.testing.assert_allclose(W[np.ix_(order, order)], expected, atol=1e-12 * np.linalg.cond(example.R))


def test_of_weights_alone_W_is_its_own_transpose_with_no_parameters_too():
    weights, rows = np.array([0.25, 1.0, 4.0]), np.arange(6.0).reshape(2, 3)
    for white in (Whitening(weights), Whitening(weights, None, np.zeros(0))):
        np.testing.assert_array_equal(white.transposed(rows), rows * [0.5, 1.0, 2.0])
        np.testing.assert_array_equal(white(rows), rows * [0.5, 1.0, 2.0])
