"""Many records: the orthonormal basis and the absorption in passes over panels, against what is held whole."""

import tracemalloc
from dataclasses import replace

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
PANELS = Limits(held_rows=0, records_in_panel=37, machine_code=False, compiled_records=-1)


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
@pytest.mark.parametrize("dependent", [False, True])
def test_absorption_by_rotations_is_that_by_sums(q, weigh, dependent):
    """Triangles, projections and what is within levels; columns that a level has alike are none of its directions."""
    y, X, weights, groups = records(q, p=5)
    covariates = np.column_stack([np.ones(len(y)), X[:, 1:q]])
    if dependent:
        covariates[groups % 3 == 0, 1 : q - 1] = 0.1  # not to be told from the constant, but for rounding
        covariates[groups % 3 == 1, 1:2] = 0.7
    model = build_model(y, X, [mme.Term(groups, covariates)], weights=weights if weigh else None)
    with within(PANELS):
        objective = Objective.of(model)
        basis, (block,) = objective.basis, objective.blocks
        rotated, summed = absorb_long(block, basis.long), absorb(block, basis.N)[0]
    np.testing.assert_allclose(rotated.levels.R, summed.levels.R, atol=1e-12)
    np.testing.assert_allclose(rotated.levels.V, summed.levels.V, atol=1e-11)
    np.testing.assert_allclose(rotated.NN, summed.NN, atol=1e-11)


def test_absorption_by_the_loop_that_is_made_for_its_shape_is_that_by_sums():
    """Machine code whose loops end at the numbers of columns that there are: these of Z and of N beside them."""
    y, X, _, groups = records(3, p=3)
    with within(replace(PANELS, machine_code=True, compiled_records=0)):
        objective = Objective.of(build_model(y, X, [mme.Term(groups)]))
        rotated = absorb_long(objective.blocks[0], objective.basis.long)
    summed = absorb(objective.blocks[0], objective.basis.N)[0]
    np.testing.assert_allclose(rotated.levels.R, summed.levels.R, atol=1e-12)
    np.testing.assert_allclose(rotated.levels.V, summed.levels.V, atol=1e-11)
    np.testing.assert_allclose(rotated.NN, summed.NN, atol=1e-11)


def test_columns_of_X_that_are_those_of_Z_among_the_first_records_alone_are_seen():
    """What a row of N is of Z is told by the first panel, and looked at in all others."""
    y, X, _, groups = records(5, p=2)
    slope = np.where(np.arange(len(y)) < 300, X[:, 1], 2.0 * X[:, 1] + 1.0)
    model = build_model(y, X, [mme.Term(groups, np.column_stack([np.ones(len(y)), slope]))])
    with within(PANELS):
        objective = Objective.of(model)
        rotated, summed = (
            absorb_long(objective.blocks[0], objective.basis.long),
            absorb(objective.blocks[0], objective.basis.N)[0],
        )
    np.testing.assert_allclose(rotated.levels.V, summed.levels.V, atol=1e-11)
    np.testing.assert_allclose(rotated.NN, summed.NN, atol=1e-11)


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ x + (x | g)",
        "y ~ x + (1 | g)",
        "y ~ x + (1 | g) + (1 | h)",
        "y ~ x * z + (x + z || g)",
        "y ~ f * x + (f | g)",
    ],
)
@pytest.mark.parametrize("weights", [None, "w"])
def test_a_fit_in_panels_is_that_of_whole_columns_and_answers_the_same(formula, weights):
    """What needs records makes N when it is asked: residuals, leverage, a refit, robust covariances."""
    y, X, w, g = records(7)
    table = pd.DataFrame({"y": y, "x": X[:, 1], "z": X[:, 2], "g": g, "h": np.arange(len(y)) % 17, "w": w})
    table["f"] = np.array(["a", "b", "c"])[np.arange(len(y)) % 3]
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


def test_a_fit_takes_little_more_memory_than_its_columns():
    """Columns y, x and g of 8 bytes each; X with its constant, y and codes are 32, and N alone would be 24 more."""
    rng = np.random.default_rng(1)
    n = 400_000
    table = pd.DataFrame({"y": rng.standard_normal(n), "x": rng.standard_normal(n), "g": np.arange(n) % 500})
    limits = Limits(held_rows=n, machine_code=False, compiled_records=0)
    with within(limits):
        mme.lmer("y ~ x + (x | g)", table)  # the compiler takes memory of its own
    tracemalloc.start()
    try:
        with within(limits):
            mme.lmer("y ~ x + (x | g)", table)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.6 * 24 * n
