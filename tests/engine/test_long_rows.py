"""Many records: the orthonormal basis and the absorption in passes over panels, against what is held whole."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest

import mme
from mme.engine.absorption import absorb
from mme.engine.basis import orthonormalise
from mme.engine.long_levels import absorb_long
from mme.engine.objective import Objective
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from mme.residual.whitening import Whitening

WHOLE = Limits(held_rows=10**9)
PANELS = Limits(held_rows=0, records_in_panel=37)


def records(seed, n=400, p=3, far=0.0):
    """y (n,), X (n, p) with a constant, weights, and groups of which one has a single record."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([np.ones(n), far + rng.standard_normal((n, p - 1))])
    groups = np.append(rng.integers(1, 30, n - 1), 0)
    y = (
        (X - [0.0, *[far] * (p - 1)]) @ rng.standard_normal(p)
        + rng.standard_normal(30)[groups]
        + rng.standard_normal(n)
    )
    return y, X, rng.uniform(0.5, 2.0, n), groups


@pytest.mark.parametrize("far", [0.0, 2000.0])
@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_the_basis_by_panels_is_that_of_whole_columns(seed, weigh, far):
    """Q orthonormal, X = Q R, r the residual of least squares, beta0 its coefficients."""
    y, X, weights, _ = records(seed, p=2 + seed, far=far)
    root = np.sqrt(weights) if weigh else None
    white = Whitening(root)
    with within(WHOLE):
        whole = orthonormalise(X, y, white)
    with within(PANELS):
        made = orthonormalise(X, y, white)
        assert made.long is not None
        assert whole.long is None
        N = made.N
    size = np.ones(len(y)) if root is None else root
    beta = np.linalg.lstsq(X * size[:, None], y * size, rcond=None)[0]
    residual = (y - X @ beta) * size
    np.testing.assert_allclose(N[:-1] @ N[:-1].T, np.eye(X.shape[1]), atol=1e-14)
    np.testing.assert_allclose(made.Q @ made.R, X * size[:, None], rtol=0, atol=1e-12 * max(far, 1.0))
    np.testing.assert_allclose(N[-1], residual, atol=1e-11 * max(far, 1.0))
    np.testing.assert_allclose(N, whole.N, atol=1e-11)
    np.testing.assert_allclose(made.beta0, beta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose([made.squares, made.length], [whole.squares, whole.length], rtol=1e-12)


@pytest.mark.parametrize("q", [1, 2, 3, 4])
@pytest.mark.parametrize("weigh", [False, True])
def test_absorption_in_passes_has_the_numbers_of_absorption_at_once(q, weigh):
    """The same operations in the same order: triangles and projections to the last bit."""
    y, X, weights, groups = records(q, p=5)
    covariates = np.column_stack([np.ones(len(y)), X[:, 1:q]])
    model = build_model(y, X, [mme.Term(groups, covariates)], weights=weights if weigh else None)
    with within(PANELS):
        objective = Objective.of(model)
        basis, (block,) = objective.basis, objective.blocks
        in_passes, at_once = absorb_long(block, basis.long), absorb(block, basis.N)[0]
    assert np.array_equal(in_passes.levels.R, at_once.levels.R)
    assert np.array_equal(in_passes.levels.V, at_once.levels.V)
    np.testing.assert_allclose(in_passes.NN, at_once.NN, atol=1e-12 * len(y))


@pytest.mark.parametrize(
    "formula", ["y ~ x + (x | g)", "y ~ x + (1 | g)", "y ~ x + (1 | g) + (1 | h)", "y ~ x * z + (x + z || g)"]
)
@pytest.mark.parametrize("weights", [None, "w"])
def test_a_fit_in_panels_is_that_of_whole_columns_and_answers_the_same(formula, weights):
    """What needs records makes N when it is asked: residuals, leverage, a refit, robust covariances."""
    y, X, w, g = records(7)
    table = pd.DataFrame({"y": y, "x": X[:, 1], "z": X[:, 2], "g": g, "h": np.arange(len(y)) % 17, "w": w})
    fits = []
    for limits in (WHOLE, PANELS):
        with within(limits):
            fit = mme.lmer(formula, table, weights=weights)
            again = fit.refit(table["x"] + table["y"])
            fits.append((fit, fit.residuals, fit.leverage(), fit.beta, fit.se, again.beta, again.criterion))
    (whole, *of_whole), (made, *of_made) = fits
    assert made.criterion == pytest.approx(whole.criterion, abs=1e-8)
    for one, other in zip(of_whole, of_made, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)


def test_a_fit_takes_less_than_twice_the_memory_of_its_columns():
    """Columns y, x and g of 8 bytes each beside panels and levels; N alone is as much, and was held twice."""
    rng = np.random.default_rng(1)
    n = 400_000
    table = pd.DataFrame({"y": rng.standard_normal(n), "x": rng.standard_normal(n), "g": np.arange(n) % 500})
    mme.lmer("y ~ x + (x | g)", table[:2000])
    tracemalloc.start()
    try:
        with within(Limits(held_rows=n)):
            mme.lmer("y ~ x + (x | g)", table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2.0 * 24 * n
