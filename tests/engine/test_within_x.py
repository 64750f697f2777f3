"""Columns of Z within the columns of X are told from those that are not, one by one and in directions of their axes."""

from dataclasses import replace

import numpy as np
import pytest
from dense import dense_fit, lower_factor
from numpy.testing import assert_allclose, assert_array_equal
from wide import SPARSE, sparse

import mme
from mme.engine.basis import orthonormalise
from mme.engine.span import along, held_within, within_X
from mme.numeric.limits import within
from mme.residual import AR1
from mme.residual.whitening import Whitening

N, J = 90, 10
RNG = np.random.default_rng(3)
G = np.arange(N) % J
U = RNG.normal(2.0, 1.0, size=(N, 3))
LEVELS = np.equal.outer(G, np.arange(J)).astype(float)
Y, ONE = RNG.normal(size=N), np.ones(N)


def by_level(column):
    """A column a level (n, J)."""
    return LEVELS * column[:, None]


# X, the columns of the term, its covariance; and which of the user's columns lie within X.
DESIGNS = {
    "nothing": (ONE[:, None], U, "unstructured", [False] * 3),
    "intercepts": (LEVELS, None, "unstructured", [True]),
    "intercepts, all but one level": (LEVELS[:, 1:], None, "unstructured", [False]),
    "slopes": (by_level(U[:, 1]), U, "unstructured", [False, True, False]),
    "slopes without correlation": (by_level(U[:, 1]), U, "diagonal", [False, True, False]),
    "two of three": (np.hstack([by_level(U[:, 0]), by_level(U[:, 2])]), U, "unstructured", [True, False, True]),
    "all three": (np.hstack([by_level(u) for u in U.T]), U, "diagonal", [True] * 3),
    "a combination": (by_level(U[:, 0] - 3.0 * U[:, 1]), U, "unstructured", [False] * 3),
    "a combination without correlation": (by_level(U[:, 0] - 3.0 * U[:, 1]), U, "diagonal", [False] * 3),
    "a column of zeros": (LEVELS, np.column_stack([0.0 * ONE, U[:, 0]]), "diagonal", [False, False]),
    "two levels that have slopes": (
        by_level(U[:, 0] * (G < 2))[:, :2],
        (U[:, 0] * (G < 2))[:, None],
        "unstructured",
        [True],
    ),
}


def objective(name, **options):
    X, Z, covariance, _ = DESIGNS[name]
    return mme.objective(Y, X, [mme.Term(G, Z, name="g", covariance=covariance)], **options)


@pytest.mark.parametrize("way", ["", "weights", "a structure across levels"])
@pytest.mark.parametrize("name", DESIGNS)
def test_columns_whose_every_level_lies_within_x_are_found_whatever_their_axes(name, way):
    options = {
        "weights": {"weights": RNG.uniform(0.5, 2.0, N)},
        "a structure across levels": {"residual": AR1(np.arange(N) // 5, np.arange(N) % 5), "phi": {"rho": 0.3}},
    }
    f = objective(name, **options.get(way, {}))
    block, found = within_X(f.blocks[0], f.basis)
    again, same = within_X(block, f.basis)
    assert_array_equal(same, found)
    assert again is block or name == "a combination"
    if way != "a structure across levels":
        assert_array_equal(held_within(block, found), DESIGNS[name][3])
    # a column of the block is found if and only if X leaves nothing of it
    X, W = DESIGNS[name][0], f.whitening(np.eye(N)).T
    basis = np.linalg.qr(W @ X)[0]
    for a in range(block.q):
        Z = np.array([along(block, a, one) for one in np.eye(block.J)]).T
        left = np.linalg.norm(Z - basis @ (basis.T @ Z)) / max(np.linalg.norm(Z), 1e-300)
        assert found[a] == (np.linalg.norm(Z) > 0.0 and left < 1e-8)
    rank = {"a combination": 1}.get(name, int(np.sum(DESIGNS[name][3])))
    if "without" not in name:
        assert found.sum() == rank


@pytest.mark.parametrize(("share", "inside"), [(1e-10, True), (1e-8, False)])
def test_a_column_of_which_x_leaves_a_billionth_is_outside(share, inside):
    Z = LEVELS @ RNG.normal(1.0, 0.1, J) + share * U[:, 0]
    f = mme.objective(Y, LEVELS, [mme.Term(G, Z[:, None], name="g")])
    assert within_X(f.blocks[0], f.basis)[1].tolist() == [inside]


def test_a_column_by_the_values_of_its_levels_is_that_of_dense_z():
    for options in ({}, {"residual": AR1(np.arange(N) // 5, np.arange(N) % 5), "phi": {"rho": 0.3}}):
        f = objective("nothing", **options)
        x, W = RNG.normal(size=J), f.whitening(np.eye(N)).T
        own = np.column_stack([along(f.blocks[0], a, x) for a in range(3)])
        assert_allclose(own, W @ f.blocks[0].rows(U * x[G][:, None]), atol=1e-12)


def test_levels_that_show_late_are_counted_too():
    """Four levels among the first records, a fifth among the last: no four columns of X hold the column of all."""
    codes = np.append(np.arange(5000) % 4, 4)
    X = np.equal.outer(codes, np.arange(4)).astype(float)
    f = mme.objective(RNG.normal(size=5001), X, [mme.Term(codes, name="g")])
    assert within_X(f.blocks[0], f.basis)[1].tolist() == [False]
    f = mme.objective(RNG.normal(size=5000), X[:-1], [mme.Term(codes[:-1], name="g")])
    assert within_X(f.blocks[0], f.basis)[1].tolist() == [True]


@pytest.mark.parametrize("angle", [1e-6, 1e-4, 1e-2])
def test_a_direction_beside_an_axis_is_not_the_axis(angle):
    """X spans 1 + angle u by level, which leaves intercepts by as much: their correlation with slopes shows it."""
    Z, theta = np.column_stack([ONE, U[:, 0]]), np.array([1.0, 0.2, 0.5])
    X = by_level(ONE + angle * U[:, 0])
    V = (LEVELS[:, :, None] * Z[:, None]).reshape(N, -1)
    f = mme.objective(Y, X, [mme.Term(G, Z, name="g")])
    assert f(theta) == pytest.approx(dense_fit(Y, X, [(V, lower_factor(theta, 2), None)]).criterion, abs=1e-9)
    assert_array_equal(held_within(f.blocks[0], within_X(f.blocks[0], f.basis)[1]), False)


def test_a_covariate_far_from_zero_is_no_intercept():
    """Of seconds since 1970 the intercept is all but a billionth."""
    f = mme.objective(Y, LEVELS, [mme.Term(G, np.column_stack([ONE, 1e9 + U[:, 0]]), name="g")])
    block, found = within_X(f.blocks[0], f.basis)
    assert_array_equal(held_within(block, found), [True, False])


@pytest.mark.parametrize("unit", [1e-9, 1e9])
@pytest.mark.parametrize("name", ["nothing", "slopes", "two of three", "a combination"])
def test_which_of_the_users_columns_lie_within_x_does_not_depend_on_their_units(name, unit):
    X, Z, covariance, expected = DESIGNS[name]
    f = mme.objective(Y, X, [mme.Term(G, unit * Z, name="g", covariance=covariance)])
    assert_array_equal(held_within(f.blocks[0], within_X(f.blocks[0], f.basis)[1]), expected)


def test_a_combination_within_x_becomes_a_column_of_the_block():
    """Turned by an orthogonal matrix, of which the first row is the combination."""
    f = objective("a combination")
    turned = f.blocks[0]
    plain = replace(turned, columns=tuple(turned.turn.T @ np.array(turned.columns)), turn=None)
    block, found = within_X(plain, f.basis)
    assert_array_equal(found, [True, False, False])
    assert_allclose(block.turn @ block.turn.T, np.eye(3), atol=1e-14)
    assert_allclose(block.columns, turned.columns, atol=1e-12)


@pytest.mark.parametrize(("q", "p", "levels"), [(2, 11, 3), (3, 11, 3), (4, 11, 5), (6, 10, 4)])
def test_columns_of_which_x_leaves_few_dimensions_have_no_combination_within_it(q, p, levels):
    """Each leaves v w'x of the values x of the levels: sum_a c_a w_a'x = 0 has solutions c for fewer x than columns."""
    rng, indicators = np.random.default_rng(1), np.equal.outer(np.arange(12) % levels, np.arange(levels))
    X, Z, y = rng.normal(size=(12, p)), rng.normal(size=(12, q)), rng.normal(size=12)
    columns = Z[:, None] * indicators[:, :, None]  # (n, J, q)
    residual = np.eye(12) - X @ np.linalg.pinv(X)
    assert np.linalg.matrix_rank((residual @ columns.reshape(12, -1)).reshape(-1, q), tol=1e-9) == q
    f = mme.objective(y, X, [mme.Term(np.arange(12) % levels, Z, name="g")])
    assert f.blocks[0].turn is None
    assert_array_equal(within_X(f.blocks[0], f.basis)[1], False)
    theta = rng.uniform(0.5, 1.0, q * (q + 1) // 2)
    exact = dense_fit(y, X, [(columns.reshape(12, -1), lower_factor(theta, q), None)])
    assert f(theta) == pytest.approx(exact.criterion, abs=1e-9)


def test_of_more_columns_than_records_those_within_x_leave_the_criterion_of_dense_algebra():
    """Three axes of four columns; X leaves one dimension, of two levels two: one axis is within X, one is zeros."""
    rng, theta, levels = np.random.default_rng(2), np.arange(1.0, 11.0) / 10.0, np.array([[1, 0], [1, 0], [0, 1]])
    X, Z, y = rng.normal(size=(3, 2)), rng.normal(size=(3, 4)), rng.normal(size=3)
    f = mme.objective(y, X, [mme.Term([0, 0, 1], Z, name="g")])
    assert_array_equal(within_X(f.blocks[0], f.basis)[1], [True, False, False, False])
    columns = (Z[:, None] * levels[:, :, None]).reshape(3, -1)
    exact = dense_fit(y, X, [(columns, lower_factor(theta, 4), None)])
    assert f(theta) == pytest.approx(exact.criterion, abs=1e-9)


THETA = np.array([0.7, 0.5])


@pytest.mark.parametrize(("first", "column", "found"), [(0, ONE, [True, False]), (1, ONE, [False, False]),
    (0, U[:, 0] - U[:, 0].mean(), [False, True])], ids=["all levels", "but one", "slopes"])  # fmt: skip
def test_columns_within_the_sparse_columns_of_x_are_found_as_within_dense_ones(first, column, found):
    """Which hold all levels, or all but one, beside no dense column of X and beside one."""
    g = np.arange(N) % 45
    levels = np.equal.outer(g, np.arange(first, 45)) * column[:, None]
    term = mme.Term(g, np.column_stack([ONE, U[:, 0] - U[:, 0].mean()]), name="g", covariance="diagonal")
    for X in (levels, np.column_stack([U[:, 1], levels])):
        dense = mme.objective(Y, X, [term])
        with within(SPARSE):
            f = mme.objective(Y, sparse(X), [term])
            assert f.basis.sweep.F.shape[1] == 45 - first
            for one in (dense, f):
                assert_array_equal(within_X(one.blocks[0], one.basis)[1], found)
            assert f(THETA) == pytest.approx(dense(THETA), abs=1e-8)


@pytest.mark.parametrize("unit", [1e-16, 1e16])
def test_the_unit_of_the_weights_changes_the_basis_of_x_by_its_root_alone(unit):
    """Of years and years within a level, which are moved along columns of X."""
    rng, n = np.random.default_rng(3), 40
    level, year, weights = (np.arange(n) % 3 == 1).astype(float), 2000.0 + rng.normal(size=n), rng.uniform(0.5, 2.0, n)
    X, y = np.column_stack([np.ones(n), level, year, level * year]), rng.normal(size=n)
    one, other = (orthonormalise(X, y, Whitening(w)) for w in (weights, unit * weights))
    size = np.abs(one.R).max(axis=0)
    assert_allclose(other.R / np.sqrt(unit) / size, one.R / size, atol=1e-13)
    assert_allclose(other.R_inverse * np.sqrt(unit), one.R_inverse, rtol=1e-9, atol=1e-9)
    assert_allclose(other.beta0, one.beta0, atol=1e-9)
