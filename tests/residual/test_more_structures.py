"""Structures of fields, distances and products: R by its definition, its inverse, and its derivatives."""

import numpy as np
import pytest
from hypothesis import given, settings
from residuals import MORE, bound, designs

from mme.numeric.differences import slopes


@pytest.mark.parametrize("name", MORE)
@settings(max_examples=8)
@given(data=designs)
def test_whitening_covariance_and_natural_parameters_are_those_of_R(name, data):
    example = MORE[name](data)
    structure, R = bound(example), example.R
    x, every = structure.coordinates(example.natural), np.arange(data.n)
    tolerance = 1e-12 * np.linalg.cond(R)
    np.testing.assert_allclose(structure.natural(x), example.natural, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(structure.covariance(x, every), R, rtol=1e-9, atol=1e-12)
    W = structure.whiten(x, np.eye(data.n)).T
    np.testing.assert_allclose(W @ R @ W.T, np.eye(data.n), atol=tolerance * 10)
    np.testing.assert_allclose(structure.logdet(x), np.linalg.slogdet(R)[1], atol=tolerance * data.n)
    rows = data.rng.normal(size=(2, data.n))
    np.testing.assert_allclose(structure.colour(x, structure.whiten(x, rows)), rows, atol=tolerance * 100)
    np.testing.assert_allclose(structure.whiten_transposed(x, rows), rows @ W, atol=1e-9 * np.abs(W).max())
    np.testing.assert_allclose(structure.precision_diagonal(x), (W**2).sum(axis=0), rtol=1e-9)
    assert np.isfinite(structure.whiten(x * 1e3, rows)).all()
    assert np.isfinite(structure.logdet(x * -1e3))


@pytest.mark.parametrize("name", MORE)
@settings(max_examples=4)
@given(data=designs)
def test_derivatives_are_those_of_R(name, data):
    example = MORE[name](data)
    structure = bound(example)
    x, v = structure.coordinates(example.natural), data.rng.normal(size=data.n)

    def whole(t):
        return structure.covariance(x + 0.1 * t, np.arange(data.n)).ravel()

    D = 10.0 * slopes(whole, np.zeros(structure.k)).reshape(structure.k, data.n, data.n)
    size = (1.0 + np.abs(D).max()) * np.abs(v).sum()
    np.testing.assert_allclose(structure.changes(x, v), D @ v, atol=(1e-4 if "spherical" in name else 1e-7) * size)
