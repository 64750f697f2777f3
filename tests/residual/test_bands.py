"""Toeplitz correlations that end after some lags: their coordinates near zero, near the edge and far out."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.residual import bind


def banded(T: int, bands: int | None):
    return bind(mme.Toeplitz(np.tile(np.arange(T), 3), np.repeat(np.arange(3), T), bands), np.asarray, 3 * T)


def dense(rho: np.ndarray, T: int) -> np.ndarray:
    by_lag = np.zeros(T)
    by_lag[0], by_lag[1 : 1 + len(rho)] = 1.0, rho
    return by_lag[np.abs(np.subtract.outer(np.arange(T), np.arange(T)))]


@pytest.mark.parametrize(("T", "bands"), [(3, 1), (5, 2), (6, 4), (12, 3)])
@pytest.mark.parametrize("size", [1e-13, 1e-9, 1e-6, 1e-4, 0.01, 0.3, 1.0])
def test_correlations_at_coordinates_of_any_size_are_on_their_ray_at_the_determinant_said(T, bands, size):
    """sinh(|z| / s) z / |z| = rho |C|^(-1 / 2s), s = min(T - 1, 8)."""
    of, s = banded(T, bands), min(T - 1, 8)
    for direction in np.random.default_rng(T).normal(size=(6, bands)):
        u = direction / np.linalg.norm(direction)
        rho = of.natural(size * s * u)
        logdet = np.linalg.slogdet(dense(rho, T))[1]
        rounding = 1e-14 / np.linalg.eigvalsh(dense(rho, T))[0]
        np.testing.assert_allclose(rho * np.exp(-0.5 * logdet / s), np.sinh(size) * u, rtol=5e-14 + rounding)


def test_correlations_are_coordinates_up_to_the_edge_where_the_matrix_is_singular():
    """Of three occasions the lowest eigenvalue is 1 - sqrt(2) |rho|."""
    of = banded(3, 1)
    for sign in (1.0, -1.0):
        rho = sign * (1.0 - 1e-12) * np.sqrt(0.5)
        x = of.coordinates(np.array([rho]))
        assert 0.0 < sign * x[0] < 20.0
        np.testing.assert_allclose(of.natural(x), [rho], rtol=1e-14)
        for beyond in (0.0, 1e-12, 0.1):
            with pytest.raises(mme.MMEError, match="not positive definite"):
                of.coordinates(np.array([sign * (1.0 + beyond) * np.sqrt(0.5)]))


@pytest.mark.parametrize("size", [1e-300, 1e-8, 1.0, 30.0, 299.0, 1e4, 1e100])
def test_no_coordinates_overflow(size):
    for T, bands in ((2, 1), (4, 1), (12, 5)):
        of, u = banded(T, bands), np.linspace(-1.0, 1.0, bands) + 0.1
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            assert np.isfinite(of.natural(size * u)).all()


@pytest.mark.parametrize("bands", [1, 2, 3, None])
def test_an_intercept_is_absorbed_where_its_correlations_leave_none_at_zero(bands):
    """(C + t) / (1 + t) has t / (1 + t) beyond the bands."""
    of = banded(4, bands)
    natural = np.array([0.4, 0.2, 0.1])[: of.k]
    farthest = ((dense(natural, 4) + 0.5) / 1.5)[0, 3]
    held = of.k == 3
    assert of.absorbs_intercept is held
    assert held or farthest == pytest.approx(0.5 / 1.5)
