"""Many records: the orthonormal basis and the absorption in passes over panels, against what is held whole."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import mme
from mme.covariance.axes import build_axes
from mme.engine.absorption import absorb, projected
from mme.engine.basis import long_basis, orthonormalise
from mme.engine.centring import centred_columns
from mme.engine.long_levels import absorb_by_rows, absorb_long
from mme.engine.objective import Objective
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from mme.numeric.long_columns import LongColumns
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
    white = Whitening(weights if weigh else None)
    whole = orthonormalise(X, y, white)
    with within(PANELS):
        made = long_basis(y, white, centred_columns(LongColumns.of(X)))
        N = made.N
    size = np.sqrt(weights) if weigh else np.ones(len(y))
    beta = np.linalg.lstsq(X * size[:, None], y * size, rcond=None)[0]
    residual = (y - X @ beta) * size
    np.testing.assert_allclose(N[:-1] @ N[:-1].T, np.eye(X.shape[1]), atol=1e-14)
    np.testing.assert_allclose(made.Q @ made.R, X * size[:, None], rtol=0, atol=1e-12 * max(far, 1.0))
    np.testing.assert_allclose(N[-1], residual, atol=1e-11 * max(far, 1.0))
    np.testing.assert_allclose(N, whole.N, atol=1e-11)
    np.testing.assert_allclose(made.beta0, beta, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose([made.squares, made.length], [whole.squares, whole.length], rtol=1e-12)


@pytest.mark.parametrize("q", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("dependent", [False, True])
def test_absorption_by_rotations_is_that_by_sums(q, weigh, dependent):
    """Triangles, projections and what is within levels; columns that a level has alike are none of its directions."""
    y, X, weights, groups = records(q, p=5)
    covariates = np.column_stack([np.ones(len(y)), X[:, 1:q]])
    if dependent:
        covariates[groups % 3 == 0, 1 : q - 1] = 0.1  # not to be told from the constant, but for rounding
        covariates[groups % 3 == 1, 1:2] = 0.7
    with within(PANELS):
        model = build_model(y, X, [mme.Term(groups, covariates)], weights=weights if weigh else None)
        objective = Objective.of(model)
        basis, (block,) = objective.basis, objective.blocks
        rotated, summed = absorb_long(block, basis.long), absorb(block, basis.N)[0]
    np.testing.assert_allclose(rotated.levels.R, summed.levels.R, atol=1e-12)
    np.testing.assert_allclose(rotated.levels.V, summed.levels.V, atol=1e-11)
    np.testing.assert_allclose(rotated.NN, summed.NN, atol=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_a_direction_that_rounding_made_is_left_out_and_small_ones_behind_it_stay(seed):
    """R'V = Z'N, and what is within levels is N less its projection on each level's columns, by dense algebra."""
    y, X, _, groups = records(seed, p=5)
    first, near = X[:, 1], X[:, 1] + 0.01 * X[:, 2]
    between = np.where(groups % 3, X[:, 3], 7.0 * (near - first) - first)  # in a third of the levels, but for rounding
    columns = (first, near, between, X[:, 4] * np.where(groups % 3, 1.0, 0.1), X[:, 2] ** 2)
    unit = np.where(groups == 1, 1e-8, 1.0)
    terms = [mme.Term(groups, (unit * column)[:, None], name=f"t{t}") for t, column in enumerate(columns)]
    with within(PANELS):
        objective = Objective.of(build_model(y, X[:, :1], terms))
        (block,), N = objective.blocks, objective.basis.N
        found, Z = absorb_long(block, objective.basis.long), np.column_stack(block.columns_at(slice(None)))
    left = np.zeros_like(N)
    for g in range(block.J):
        at = block.codes == g
        left[:, at] = N[:, at] @ (np.eye(at.sum()) - Z[at] @ np.linalg.pinv(Z[at], rcond=1e-10))
        R, V = found.levels.R[:, :, g], found.levels.V[:, :, g]
        np.testing.assert_allclose(V @ R, N[:, at] @ Z[at], atol=1e-12 * np.linalg.norm(Z[at]))
        np.testing.assert_allclose(R.T @ R, Z[at].T @ Z[at], atol=1e-13 * np.linalg.norm(Z[at]) ** 2)
    np.testing.assert_allclose(found.NN, left @ left.T, atol=1e-9)


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


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("weigh", [False, True])
def test_absorption_row_by_row_is_that_of_whole_rows(q, weigh):
    """What levels leave of N and of the columns of another factor, beside triangles and projections."""
    y, X, weights, groups = records(q, p=4)
    covariates, other = np.column_stack([np.ones(len(y)), X[:, 1:q]]), np.arange(len(y)) % 7
    with within(PANELS):
        terms = [mme.Term(groups, covariates), mme.Term(other, X[:, :2])]
        objective = Objective.of(build_model(y, X, terms, weights=weights if weigh else None))
        basis, (block, crossed) = objective.basis, objective.blocks
        found, rows, C = absorb_by_rows(block, basis.long, (crossed,))
        summed, left = absorb(block, basis.N)
        for k in range(basis.m):
            np.testing.assert_allclose(basis.long.row(k), basis.N[k], atol=1e-14)
        rows_beside = np.array([weights, y])
        np.testing.assert_allclose(basis.beside(rows_beside), rows_beside @ basis.N.T, atol=1e-12)
        one = projected(block, basis.r)
    np.testing.assert_allclose(found.levels.R, summed.levels.R, atol=1e-13)
    np.testing.assert_allclose(found.levels.V, summed.levels.V, atol=1e-12)
    np.testing.assert_allclose(found.NN, summed.NN, atol=1e-12)
    np.testing.assert_allclose(one.V, summed.levels.V[-1:], atol=1e-12)
    np.testing.assert_allclose(one.R, summed.levels.R, atol=1e-13)
    np.testing.assert_allclose(C, crossed.sums(left.N).reshape(-1, basis.m), atol=1e-12)
    assert rows.N.shape == (0, len(y))  # N is not whole
    for z, given in zip(rows.Z, left.Z, strict=True):
        assert (z is None) == (given is None)
        assert z is None or np.allclose(z, given, rtol=0, atol=1e-13)


@pytest.mark.parametrize("zeros", [False, True], ids=["other numbers", "zeros"])
def test_columns_of_X_that_are_those_of_Z_among_the_first_records_alone_are_seen(zeros):
    """What a row of N is of Z is told by the first panel, and looked at in all others."""
    y, X, _, groups = records(5, p=2)
    first = np.arange(len(y)) < 8 * PANELS.records_in_panel
    slope = np.where(first, X[:, 1], 2.0 * X[:, 1] + 1.0)
    if zeros:
        X = X[:, 1:] * first[:, None]
    with within(PANELS):
        model = build_model(y, X, [mme.Term(groups, np.column_stack([np.ones(len(y)), slope]))])
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


def test_one_level_of_one_variance_is_absorbed_by_its_singular_values_of_long_columns_too():
    y, X, _, _ = records(9, p=4)
    term = mme.Term(np.zeros(len(y), dtype=int), X[:, 1:], covariance="homogeneous diagonal")
    with within(PANELS):
        objective = Objective.of(build_model(y, X[:, :2], [term]))
    assert objective.basis.long is not None
    assert objective.system.absorbed.levels.singular is not None
    with within(WHOLE):
        whole = Objective.of(build_model(y, X[:, :2], [term]))
    assert objective([0.7]) == pytest.approx(whole([0.7]), abs=1e-8)


@pytest.mark.parametrize("weigh", [False, True])
@pytest.mark.parametrize("q", [2, 3, 5])
def test_axes_made_by_panels_are_those_of_whole_columns(q, weigh):
    """E, C and C^-1 of a constant, wherever it stands, and covariates of any origin and unit."""
    rng = np.random.default_rng(q)
    x = rng.standard_normal((400, q - 1)) @ rng.standard_normal((q - 1, q - 1)) * [1e3, *[1.0] * (q - 2)] + 7.0
    Z, weights = np.insert(x, 1, 2.0, axis=1), rng.uniform(0.5, 2.0, 400) if weigh else None
    whole = build_axes(Z, weights)
    with within(PANELS):
        made = build_axes(LongColumns.of(Z), weights)
        assert not isinstance(vars(made)["columns"], tuple)
        columns = made.columns
    np.testing.assert_allclose(columns[1:], whole.columns[1:], atol=1e-10)
    np.testing.assert_allclose(made.C, whole.C, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(made.C @ made.inverse, np.eye(q), atol=1e-12)


KINDS = {
    "y ~ x1 + (1 | g)": (24, False),
    "y ~ x1 + (x1 | g)": (24, False),
    "y ~ x1 + (x1 || g)": (24, False),
    "y ~ x1 + (x1 | g), weights": (32, True),
    "y ~ x1 + x2 + x3 + x4 + (x1 + x2 + x3 + x4 | g)": (48, False),
    "y ~ " + " + ".join(f"x{j}" for j in range(1, 21)) + " + (x1 | g)": (176, False),
}


def test_a_model_beside_another_X_has_no_columns_of_the_former():
    """Records that are drawn, turned or counted make models of their own; a model beside other fields keeps its X."""
    y, X, weights, groups = records(3)
    with within(PANELS):
        model = build_model(y, X, [mme.Term(groups)])
        half = slice(0, 200)
        other = replace(model, y=y[half], X=model.X[half], terms=(mme.Term(groups[half]),))
        again = model.beside(weights=weights)
    assert model.long_X is again.long_X is replace(model, method="ML").long_X is not None
    assert other.long_X is None
    plain = Objective.of(build_model(y[half], X[half], [mme.Term(groups[half])]))
    assert Objective.of(other)(np.array([0.7])) == pytest.approx(plain(np.array([0.7])), rel=1e-12)


def test_cases_drawn_of_many_records_are_those_of_few():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(12), 8)
    data = {"x": rng.standard_normal(96), "g": g, "y": rng.standard_normal(96) + rng.standard_normal(12)[g]}
    drawn = []
    for bounds in (WHOLE, PANELS):
        with within(bounds):
            fit = mme.lmer("y ~ x + (1 | g)", data)
            drawn.append(fit.bootstrap(6, seed=1, draws="cases", by="g", workers=1).replicates.to_numpy(dtype=float))
    np.testing.assert_allclose(drawn[1], drawn[0], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_formula", [True, False])
def test_a_fit_takes_at_its_peak_its_data_once_more(kind, by_formula):
    """Bytes of the fit beside those of the table, which has 8 for each number; X by arrays has its constant."""
    formula, weigh = kind.removesuffix(", weights"), KINDS[kind][1]
    rng, n, p = np.random.default_rng(1), 200_000, formula.partition("(")[0].count("x")
    x, g, y, w = rng.standard_normal((p, n)), np.arange(n) % 100, rng.standard_normal(n), rng.uniform(0.5, 2.0, n)
    table = pd.DataFrame({"y": y, "g": g, "w": w, **{f"x{j + 1}": one for j, one in enumerate(x)}})
    X = np.column_stack([np.ones(n), *x])
    q = formula.partition("(")[2].count("x") + 1

    def fit():
        if by_formula:
            return mme.lmer(formula, table, weights="w" if weigh else None)
        covariance = "diagonal" if "||" in formula else "unstructured"
        term = mme.Term(g, None if q == 1 else X[:, :q], covariance=covariance)
        return mme.fit(y, X, [term], weights=w if weigh else None)

    bytes_a_row = KINDS[kind][0] if by_formula else 8 * (p + 3 + weigh + (q if q > 1 else 0))
    with within(Limits(held_rows=n, machine_code=False, compiled_records=0, interpreted_steps=0)):
        fit()  # the compiler takes memory of its own
        tracemalloc.start()
        try:
            fit()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    of_panels = 8 * 2**16 * (2 + q)
    assert peak < bytes_a_row * n + of_panels


@pytest.mark.parametrize(("formula", "bytes_a_row"), [("y ~ x + (1 | g) + (1 | h)", 62), ("y ~ x + (1 | h/k)", 48)])
def test_crossed_factors_take_their_cells_beside_their_data(formula, bytes_a_row):
    """The columns and codes of the model, its cells with their products once, one row of N and no other of records."""
    rng, n, dense = np.random.default_rng(1), 200_000, 200
    table = {"x": rng.standard_normal(n), "y": rng.standard_normal(n), "k": rng.integers(0, 10, n)}
    table |= {"g": rng.integers(0, 10_000, n), "h": rng.integers(0, dense, n)}
    compiled = Limits(held_rows=n, listed_products=0, machine_code=False, compiled_records=0, interpreted_steps=0)
    with within(compiled):
        mme.lmer(formula, {name: column[::-1].copy() for name, column in table.items()})  # the compiler takes its own
        tracemalloc.start()
        try:
            mme.lmer(formula, table)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < bytes_a_row * n + 3 * 8 * dense**2 + 8 * 2**17
