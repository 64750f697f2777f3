"""Residuals are drawn by colour, the inverse of the whitening: their covariance is R."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from residuals import STRUCTURES, bound, designs, every_structure

import mme
from mme.errors import MemoryForecastError
from mme.numeric.limits import Limits, within
from mme.residual import AR1, CompoundSymmetry, Exponential, Toeplitz
from mme.residual.base import Bound
from mme.results.simulate import Simulator


@every_structure
@given(data=designs)
def test_coloured_unit_vectors_are_a_root_of_R(name, data):
    example = STRUCTURES[name](data)
    structure = bound(example)
    x = structure.coordinates(example.natural)
    for colour in (structure.colour, lambda x, rows: Bound.colour(structure, x, rows)):
        root = colour(x, np.eye(data.n)).T
        tolerance = 1e-12 * np.linalg.cond(example.R) * np.abs(example.R).max()
        np.testing.assert_allclose(root @ root.T, example.R, atol=tolerance)


@pytest.mark.parametrize("residual", ["AR1", "Exponential", "CompoundSymmetry", "Toeplitz"])
def test_simulated_residuals_have_the_covariance_of_the_model(residual):
    visit, subject = np.tile(np.arange(4), 6), np.repeat(np.arange(6), 4)
    structures = {
        "AR1": AR1(visit, subject),
        "Exponential": Exponential(visit**1.5, subject, nugget=True),
        "CompoundSymmetry": CompoundSymmetry(subject),
        "Toeplitz": Toeplitz(visit, subject, bands=1),
    }
    rng = np.random.default_rng(1)
    weights, n = rng.uniform(0.5, 2.0, 24), 24
    y = rng.normal(size=n) + rng.normal(size=6)[subject]
    fit = mme.fit(y, np.ones((n, 1)), [], weights=weights, residual=structures[residual])
    units = SimpleNamespace(standard_normal=lambda shape: np.eye(*shape))
    drawn = Simulator(fit.internals.estimates)(units, n) - np.asarray(fit.fitted)[:, None]
    model, phi = fit.internals.model, fit.internals.objective.phi
    R = model.residual.covariance(phi, np.arange(n))
    expected = fit.sigma**2 * R / np.sqrt(np.outer(weights, weights))
    np.testing.assert_allclose(drawn @ drawn.T, expected, atol=1e-11 * np.abs(expected).max())


@pytest.mark.parametrize("residual", [AR1, Exponential])
def test_one_long_series_is_simulated_in_linear_memory(residual):
    n = 10_000
    y = np.random.default_rng(1).normal(size=n)
    fit = mme.fit(y, np.ones((n, 1)), [], residual=residual(np.arange(n), np.zeros(n, dtype=int)))
    fit.simulate(1, seed=1)
    tracemalloc.start()
    fit.simulate(1, seed=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * 8 * n


def test_a_structure_without_colour_refuses_groups_that_would_fill_the_memory():
    n = 3000
    structure = CompoundSymmetry(np.repeat([0, 1], n // 2)).bind(np.asarray, n)
    too_large = pytest.raises(MemoryForecastError, match="a group of 1,500 records, whose whitening as a matrix takes")
    with within(Limits(memory=2**20)), too_large:
        Bound.colour(structure, np.zeros(1), np.ones((1, n)))
