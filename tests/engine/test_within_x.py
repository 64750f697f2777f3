"""Columns of Z within the columns of X are told from those that are not, one by one and in directions of their axes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.engine.span import along, held_within, within_X
from mme.residual import AR1

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
