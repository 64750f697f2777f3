"""What left-out columns are made of, dense and sparse, and what the data determine: by equations that are known."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from mme.engine.aliasing import aliasing
from mme.engine.basis import orthonormalise
from mme.engine.wide_aliasing import wide_aliasing
from mme.engine.wide_basis import wide, wide_basis
from mme.residual.whitening import Whitening

N = 30
RNG = np.random.default_rng(5)
ONE, X, Z = np.ones(N), RNG.normal(size=N), 1e4 * RNG.normal(size=N)
LEVELS = np.equal.outer(np.arange(N) % 4, np.arange(4)).astype(float)
# Columns with the A of X = X[:, kept] A by hand.
DESIGNS = {
    "nothing left out": ([ONE, X], [0, 1], np.eye(2)),
    "all levels behind a constant": (
        [ONE, *LEVELS.T],
        [0, 1, 2, 3],
        np.column_stack([np.eye(4), [1.0, -1.0, -1.0, -1.0]]),
    ),
    "copies and zeros": ([X, 2.0 * X, 0.0 * ONE, ONE], [0, 3], np.array([[1.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])),
    "units": ([X, Z, 3.0 * Z - 2e4 * X], [0, 1], np.array([[1.0, 0.0, -2e4], [0.0, 1.0, 3.0]])),
    "units of each": ([X, 1e6 * X, ONE, 1e-6 * ONE], [0, 2], np.array([[1.0, 1e6, 0, 0], [0, 0, 1.0, 1e-6]])),
    "a small one alone": ([X, 1e-12 * X], [0], np.array([[1.0, 1e-12]])),
    "one in another": (
        [ONE, X, ONE + X, LEVELS[:, 0], 2.0 * (ONE + X) - LEVELS[:, 0]],
        [0, 1, 3],
        np.array([[1.0, 0, 1, 0, 2], [0, 1.0, 1, 0, 2], [0, 0, 0, 1.0, -1]]),
    ),
    "one in another with weights": (
        [ONE, X, 2.0 * ONE + 3.0 * X, LEVELS[:, 0], 0.5 * (2.0 * ONE + 3.0 * X) - 4.0 * LEVELS[:, 0]],
        [0, 1, 3],
        np.array([[1.0, 0, 2, 0, 1], [0, 1.0, 3, 0, 1.5], [0, 0, 0, 1.0, -4]]),
    ),
    "zeros alone": ([0.0 * ONE, 0.0 * ONE], [], np.zeros((0, 2))),
}


def dense(M):
    whiten = Whitening()
    return aliasing(M, orthonormalise(M, X, whiten))


def sparse(M):
    of = wide(sp.csc_array(M), 0)
    return wide_aliasing(wide_basis(of, of.F, X, Whitening()))


@pytest.mark.parametrize("of", [dense, sparse])
@pytest.mark.parametrize("name", DESIGNS)
def test_columns_left_out_are_the_combinations_that_they_were_made_as(name, of):
    columns, kept, A = DESIGNS[name]
    M = np.column_stack(columns)
    found = of(M)
    dropped = np.setdiff1d(np.arange(M.shape[1]), kept)
    own = found.A if of is dense else found.A.toarray()
    A = A if of is dense else A[:, dropped]
    assert_array_equal(found.kept, kept)
    assert_array_equal(found.dropped, dropped)
    assert_allclose(own, A, rtol=1e-12, atol=1e-12)
    assert_array_equal(own[A == 0.0], 0.0)
    if of is dense:
        size = np.sqrt(np.mean(M**2, axis=0))
        assert_allclose(found.size, np.where(size > 0.0, size, 1.0) if dropped.size else np.ones(M.shape[1]))


@pytest.mark.parametrize("of", [dense, sparse])
@pytest.mark.parametrize("base", [RNG.normal(size=(N, 4)), LEVELS], ids=["of numbers", "of levels"])
@pytest.mark.parametrize("seed", range(8))
def test_columns_of_any_order_are_made_of_earlier_ones_and_where_they_have_no_part_exactly_so(seed, base, of):
    """Eight combinations of four columns by whole numbers, of which many are zero, in units far apart.

    Sums of levels that stand before these leave levels out, of which others are made in turn.
    """
    rng = np.random.default_rng(seed)
    C = rng.integers(-3, 4, size=(4, 8)) * (rng.random((4, 8)) < 0.6)
    C[:, :4] += 5 * np.eye(4, dtype=int)
    if base is LEVELS:
        C[:, 2:6] = np.eye(4)
    unit = 10.0 ** rng.integers(-6, 7, 8)
    M = base @ C * unit
    found = of(M)
    kept = [j for j in range(8) if np.linalg.matrix_rank(C[:, : j + 1]) > np.linalg.matrix_rank(C[:, :j])]
    assert_array_equal(found.kept, kept)
    own = (found.A[:, found.dropped] if of is dense else found.A.toarray()) * unit[kept, None] / unit[found.dropped]
    A = np.linalg.lstsq(C[:, kept], C[:, found.dropped], rcond=None)[0]
    assert_allclose(own, A, atol=1e-9)
    assert_array_equal(own[np.abs(A) < 1e-9], 0.0)


@pytest.mark.parametrize("of", [dense, sparse])
@pytest.mark.parametrize("name", DESIGNS)
def test_rows_of_x_and_their_combinations_are_estimable_and_others_break_the_equations_they_break(name, of):
    columns, kept, _ = DESIGNS[name]
    M = np.column_stack(columns)
    found, p = of(M), M.shape[1]
    dropped = np.setdiff1d(np.arange(p), kept)
    good = np.vstack([M[:3], RNG.normal(size=(2, 3)) @ M[3:6], np.zeros((1, p))])
    given = good if of is dense else sp.csr_array(good)
    assert found.gaps(given).shape == (6, dropped.size)
    assert not found.gaps(given).any()
    broken = np.repeat(good[3:4], dropped.size + 1, axis=0)
    for k, j in enumerate(dropped):
        broken[k, j] += 1e-3 * (1.0 + np.abs(M).max())
    given = broken if of is dense else sp.csr_array(broken)
    assert_array_equal(found.gaps(given), np.eye(dropped.size + 1, dropped.size, dtype=bool))
    if of is dense:
        assert_array_equal(found.estimable(broken), [False] * dropped.size + [True])


@pytest.mark.parametrize("share", [3e-7, 0.9e-6, 1.1e-6, 3e-5])
@pytest.mark.parametrize("of", [dense, sparse])
def test_rows_may_differ_by_ten_times_what_a_column_may_that_is_left_out(of, share):
    """Of the sizes of what is added up: 1e-6 of them is within rounding of printed digits."""
    found = of(np.column_stack([ONE, X, ONE + X]))
    row = np.array([[40.0, -39.0, 1.0 + share * 80.0]])
    assert found.gaps(row if of is dense else sp.csr_array(row)).any() == (share > 1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_what_is_left_of_differences_is_no_gap_in_any_unit(unit):
    """A row of numbers near 1e6 that cancel to 1e-9 in the columns of an equation says nothing against it."""
    found = dense(np.column_stack([ONE, X, unit * X]))
    assert found.estimable(np.array([[1e4, 0.0, 1e-9 * unit]]))[0]
    assert not found.estimable(np.array([[1e4, 0.0, 1e-5 * unit]]))[0]
    assert found.estimable(np.array([[np.nan, np.nan, 1.0], [0.0, np.inf, np.inf]])).all()


def test_equations_are_said_in_names_eight_at_most():
    names = [f"x{j}" for j in range(14)]
    basis = RNG.normal(size=(N, 10))
    nine = sparse(np.column_stack([basis, basis[:, :9].sum(axis=1)]))
    assert nine.combination(10, names) == "x10 = " + " + ".join(names[:8]) + " and 1 more"
    eight = sparse(np.column_stack([basis, basis[:, :8].sum(axis=1)]))
    assert eight.combination(10, names) == "x10 = " + " + ".join(names[:8])
    M = np.column_stack([basis, basis @ np.arange(10.0), 0.0 * ONE, basis[:, 0] - 2.5 * basis[:, 9], basis.sum(axis=1)])
    for of, ten in ((dense, True), (sparse, False)):
        found = of(M)
        assert found.combination(11, names) == "x11 = 0"
        assert found.combination(12, names) == "x12 = x0 - 2.5 x9"
        whole = "x13 = " + " + ".join(f"x{j}" for j in range(10 if ten else 8)) + ("" if ten else " and 2 more")
        assert found.combination(13, names) == whole
    copies = dense(np.column_stack([X, *[X] * 10]))
    row = np.zeros((1, 11))
    row[0, 1:3] = 1.0
    assert copies.causes(row, names) == "x1 = x0, x2 = x0"
    row[0, 1:9] = 1.0
    assert copies.causes(row, names) == ", ".join(f"x{j} = x0" for j in range(1, 9))
    row[0, 1:] = 1.0
    assert copies.causes(row, names) == ", ".join(f"x{j} = x0" for j in range(1, 9)) + ", and 2 more"


@pytest.mark.parametrize("of", [dense, sparse])
def test_small_parts_of_columns_are_parts(of):
    found = of(np.column_stack([ONE, X, ONE + 1e-7 * X, 2.0 * X + 1e-5]))
    own = found.A if of is dense else found.A.toarray()
    assert_array_equal(found.dropped, [2, 3])
    assert_allclose(own[:, -2:], [[1.0, 1e-5], [1e-7, 2.0]], rtol=1e-5)


@pytest.mark.parametrize("near", [1e-3, 1e-5])
def test_a_copy_has_no_part_of_columns_that_are_nearly_alike(near):
    """What the condition of the columns that are kept leaves of nothing is nothing."""
    twin = X + near * RNG.normal(size=N)
    found = dense(np.column_stack([ONE, X, twin, 1e3 * LEVELS[:, 0], 2.0 * twin, ONE - LEVELS[:, 0]]))
    assert_array_equal(found.dropped, [4, 5])
    own = found.A[:, [4, 5]]
    assert_array_equal(own[[0, 1, 3], 0], 0.0)
    assert_array_equal(own[[1, 2], 1], 0.0)
    assert_allclose(own[2, 0], 2.0, rtol=1e-8)
    assert_allclose(own[[0, 3], 1], [1.0, -1e-3], rtol=1e-8)


@pytest.mark.parametrize("near", [1e-3, 1e-5])
def test_a_difference_of_columns_that_are_nearly_alike_has_no_part_of_others(near):
    """Its parts are large, and what rounding leaves of nothing beside them is as much larger."""
    twin = X + near * RNG.normal(size=N)
    unit = 1.0 / np.sqrt(np.mean((twin - X) ** 2))
    found = dense(np.column_stack([ONE, X, twin, LEVELS[:, :3], unit * (twin - X)]))
    assert_array_equal(found.dropped, [6])
    assert_array_equal(found.A[[0, 3, 4, 5], 6], 0.0)
    assert_allclose(found.A[[1, 2], 6], [-unit, unit], rtol=1e-8)


@pytest.mark.parametrize("roundings", [56, 72])
def test_parts_beyond_64_roundings_of_orthonormal_columns_are_parts(roundings):
    """Two orthonormal columns and their inverse have the norm sqrt(2) each: 128 roundings are what they allow."""
    sign = np.resize([1.0, -1.0], N)
    share = 2.0 * roundings * np.finfo(float).eps
    found = dense(np.column_stack([ONE, sign, ONE + share * sign]))
    assert_array_equal(found.dropped, [2])
    assert (found.A[1, 2] != 0.0) == (roundings > 64)


def test_parts_that_cannot_be_told_from_zero_break_no_equation():
    """Beside columns that are alike to 1e-5 a part of 1e-9 is lost: a row that shows it is a row of X all the same."""
    twin, level = X + 1e-5 * RNG.normal(size=N), LEVELS[:, 0]
    found = dense(np.column_stack([ONE, X, twin, level, ONE + 1e-9 * level]))
    assert_array_equal(found.A[1:, 4], 0.0)
    for part, gap in ((1e-9, False), (1e-6, True)):
        assert_array_equal(found.gaps(np.array([[0.0, 0.0, 0.0, 1.0, part]])), [[gap]])
