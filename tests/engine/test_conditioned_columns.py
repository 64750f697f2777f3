"""X conditioned: columns by their distance from their mean, an orthonormal basis, and what it leaves of y."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mme.engine.basis import FixedBasis, long_basis, orthonormal_basis, orthonormalise
from mme.engine.centring import centred, centred_columns, centred_sums
from mme.numeric.long_columns import LongColumns
from mme.residual.whitening import Whitening

N = 24
RNG = np.random.default_rng(12)
ONE, F = np.ones(N), np.arange(N) % 3
LEVELS = np.equal.outer(F, np.arange(3)).astype(float)
NEAR, YEAR, SECONDS = RNG.normal(size=N), 2000.0 + RNG.normal(size=N), 1e9 + 1e3 * RNG.normal(size=N)
SUMS = LEVELS[:, :2] - LEVELS[:, 2:]
WITHIN = (LEVELS * YEAR[:, None]).T
# Columns, and which of them are moved along what, by their places: ones, or the column of a level or contrast.
DESIGNS = {
    "near zero": ([ONE, NEAR, NEAR**2], {}),
    "years": ([ONE, YEAR], {1: ONE}),
    "years and seconds, negative": ([ONE, YEAR, -SECONDS, NEAR], {1: ONE, 2: ONE}),
    "years before the constant": ([YEAR, ONE], {1: ONE}),
    "years without a constant": ([YEAR, NEAR], {}),
    "years beside all levels": ([*LEVELS.T, YEAR], {3: ONE}),
    "years before all levels": ([YEAR, *LEVELS.T, NEAR], {3: ONE}),
    "years before levels of their own": ([WITHIN[1], LEVELS[:, 1], NEAR], {1: LEVELS[:, 1]}),
    "years within levels": ([ONE, LEVELS[:, 1], YEAR, WITHIN[1]], {2: ONE, 3: LEVELS[:, 1]}),
    "years within a level by itself": ([LEVELS[:, 1], WITHIN[1]], {1: LEVELS[:, 1]}),
    "years within a level that is not there": ([ONE, LEVELS[:, 2], WITHIN[1]], {}),
    "years times contrasts": (
        [ONE, *SUMS.T, YEAR, *(SUMS * YEAR[:, None]).T],
        {3: ONE, 4: SUMS[:, 0], 5: SUMS[:, 1]},
    ),
    "years times a contrast that is not there": ([ONE, YEAR, SUMS[:, 0] * YEAR], {1: ONE}),
    "levels of one value": ([ONE, 7.0 * LEVELS[:, 1], YEAR], {2: ONE}),
    "zeros": ([ONE, 0.0 * ONE, YEAR], {2: ONE}),
    "seconds that differ by a hundred-billionth": ([ONE, 1e9 + 1e-2 * NEAR], {1: ONE}),
    "constant but for rounding": ([ONE, 1e9 * (ONE + 1e-16 * np.arange(N))], {1: ONE}),
}


@pytest.mark.parametrize("name", DESIGNS)
def test_columns_far_from_zero_are_their_distance_from_the_mean_along_what_earlier_ones_make_up(name):
    """x = near + c s with sum s near = 0; the others stand as they are."""
    columns, moved = DESIGNS[name]
    X = np.column_stack(columns)
    found = centred(X)
    order = np.arange(len(columns)) if found.order is None else found.order
    assert found.stands == (found.order is None) == (not name.startswith("years before"))
    assert set(found.moved) == set(moved)
    for j, row in enumerate(found.rows):
        x = X[:, order[j]]
        if j not in moved:
            assert_array_equal(row, x)
            continue
        near, mean, along = found.moved[j]
        assert_allclose(along, moved[j], atol=1e-12)
        assert_array_equal(row, near)
        assert_allclose(near + mean * along, x, rtol=2e-15)
        if (along**2 == along).all():
            assert abs(near @ along) <= 1e-15 * N * np.abs(near).max()
            assert mean == pytest.approx(x.sum() / along.sum(), rel=2e-15)
        assert row.any() == ("rounding" not in name)
    if "rounding" in name:
        assert_array_equal(found.rows[1], 0.0)
    assert centred(X, as_they_stand=True).order is None
    if name.startswith("years before"):
        assert centred(X, as_they_stand=True).moved == {}
        assert order[0] != 0
        assert sorted(order) == list(range(len(columns)))
        assert (
            list(order).index(0) == max(list(order).index(j) for j in range(1, len(columns) - ("levels" in name))) + 1
        )
        assert [j for j in order if j] == sorted(j for j in order if j)


@pytest.mark.parametrize(("share", "far"), [(0.9e-2, True), (1.1e-2, False)])
def test_a_column_is_far_from_zero_where_it_varies_by_a_hundredth_of_its_mean(share, far):
    spread = np.resize([1.0, -1.0], N)
    for size in (1.0, -50.0):
        column = size * (1.0 + share * spread)
        assert bool(centred(np.column_stack([ONE, column])).moved) == far
        assert bool(centred_sums(np.column_stack([ONE, column]), ONE, ["1", "x"]).moved) == far
        assert bool(centred_columns(LongColumns.of(np.column_stack([ONE, column]))).moved) == far


@pytest.mark.parametrize(("share", "found"), [(0.5e-9, True), (2e-9, False)])
def test_columns_make_up_a_constant_where_they_leave_no_billionth_of_it(share, found):
    """Whatever the units and the order of the columns, and wherever in them the constant stands."""
    near = NEAR + ONE + share * np.resize([1.0, -1.0], N)
    for columns in ([NEAR, near], [near, NEAR], [1e6 * NEAR, 1e-6 * near], [0.0 * ONE, near, NEAR]):
        assert set(centred(np.column_stack([*columns, YEAR])).moved) == ({len(columns)} if found else set())


def test_records_on_either_side_at_the_head_of_a_long_column_say_that_it_is_near_zero():
    """In a few records of either sign among thousands the others can hide a column far from zero."""
    n = 4000
    column = np.full(n, 5.0) + 1e-3 * np.resize([1.0, -1.0], n)
    assert centred(np.column_stack([np.ones(n), column])).moved
    column[0] = -5.0
    found = centred(np.column_stack([np.ones(n), column]))
    count, total, squares = n, column.sum(), column @ column
    assert bool(found.moved) == (count * squares <= (1.0 + 1e-4) * total**2)
    long = np.full(5 * n, 5.0)
    long[0] = -1e-3  # in one record of 20,000 it is on the other side: it varies by 1 / sqrt(20,000) of its mean
    assert set(centred(np.column_stack([np.ones(5 * n), long])).moved) == {1}


def test_years_within_a_level_of_many_records_are_seen_among_zeros():
    """At the head of a long column zeros are on no side."""
    n = 4000
    level = (np.arange(n) % 3 == 0).astype(float)
    X = np.column_stack([np.ones(n), level, level * (2000.0 + np.sin(np.arange(n)))])
    assert set(centred(X).moved) == {2}
    X[:, 2] *= -1.0
    assert set(centred(X).moved) == {2}


@pytest.mark.parametrize("name", ["near zero", "years", "years and seconds, negative", "levels of one value", "zeros"])
def test_many_records_are_centred_by_columns_as_few_are_by_rows(name):
    columns, moved = DESIGNS[name]
    X = np.column_stack(columns)
    found = centred_columns(LongColumns.of(X))
    assert set(found.moved) == set(moved)
    rows = [ONE if column is None else column[:] for column in found.columns]
    assert_allclose(rows, centred(X).rows, atol=1e-15 * np.abs(X).max(initial=0.0))
    for j, (made, mean, along) in found.moved.items():
        assert along is None
        assert_allclose(made[:] + mean, X[:, j], rtol=2e-15)


def test_many_records_of_a_constant_but_for_rounding_are_left_to_rows():
    assert centred_columns(LongColumns.of(np.column_stack(DESIGNS["constant but for rounding"][0]))) is None


@pytest.mark.parametrize("name", ["years before the constant", "years without a constant", "years within levels"])
def test_columns_that_are_moved_along_others_than_the_constant_are_left_to_rows(name):
    assert centred_columns(LongColumns.of(np.column_stack(DESIGNS[name][0]))) is None


def test_years_times_contrasts_are_left_to_rows_and_other_products_are_not():
    years = DESIGNS["years times contrasts"][0]
    assert centred_columns(LongColumns.of(np.column_stack(years))) is None
    other = DESIGNS["years times a contrast that is not there"][0]
    assert set(centred_columns(LongColumns.of(np.column_stack(other))).moved) == {1}


def test_of_sums_a_column_is_moved_along_the_one_that_its_name_shows():
    ones = np.sqrt(np.arange(1.0, N + 1.0))
    X = np.column_stack([ones, LEVELS[:, 1] * ones, YEAR * ones, LEVELS[:, 1] * YEAR * ones, NEAR])
    names = ["(Intercept)", "f1", "x", "f1:x", "z"]
    found = centred_sums(X, ones, names)
    assert set(found.moved) == {2, 3}
    for j, along in ((2, ones), (3, LEVELS[:, 1] * ones)):
        near, mean, where = found.moved[j]
        assert_allclose(mean, X[:, j] @ along / (along @ along), rtol=1e-14)
        assert_array_equal(where, along)
        assert_allclose(near + mean * where, X[:, j], rtol=2e-15)
        assert abs(near @ where) < 2e-15 * np.linalg.norm(near) * np.linalg.norm(where)
        assert_array_equal(found.rows[j], near)
    assert set(centred_sums(X[:, 1:], ones, names[1:]).moved) == {2}
    zeros = np.column_stack([ones, 0.0 * ones, 0.0 * ones, YEAR * ones])
    assert set(centred_sums(zeros, ones, ["(Intercept)", "f1", "f1:x", "x"]).moved) == {3}
    other = np.column_stack([ones, NEAR, 5e3 * NEAR + 1e-3 * YEAR])  # far from zero along w
    assert centred_sums(other, ones, ["(Intercept)", "w", "z"]).moved == {}  # no part of z is named w
    assert set(centred_sums(X[:, [0, 2, 4]], ones, ["(Intercept)", "f1:x", "f1"]).moved) == {1}


# -- the basis ---------------------------------------------------------------------------------------------------------

WEIGHTS = RNG.uniform(0.2, 5.0, N)
STEEP = [ONE, NEAR, NEAR + 1e-5 * RNG.normal(size=N)]
BASES = {
    **{name: (columns, None) for name, (columns, _) in DESIGNS.items() if name[:4] == "year" and "not" not in name},
    "near zero": ([ONE, NEAR, NEAR**2], None),
    "nothing": ([], None),
    "a constant": ([ONE], None),
    "zeros alone": ([0.0 * ONE, 0.0 * ONE], []),
    "years beside a constant in large units": ([1e6 * ONE, YEAR], None),
    "years within a level in small units": ([ONE, 1e-8 * LEVELS[:, 1], YEAR, 1e-8 * LEVELS[:, 1] * YEAR], None),
    "nearly dependent": (STEEP, None),
    "a copy, zeros and a sum": ([0.0 * ONE, ONE, NEAR, 2.0 * NEAR, YEAR, NEAR + ONE], [1, 2, 4]),
    "nearly dependent beside a copy": ([STEEP[0], STEEP[1], -STEEP[1], STEEP[2]], [0, 1, 3]),
    "copies of years before the constant": ([YEAR, 2.0 * YEAR, ONE], [0, 2]),
    "years and what they are the sum of, before the constant": ([YEAR, YEAR - 2000.0, ONE], [0, 1]),
    "units": ([1e-8 * ONE, 1e7 * NEAR], None),
    "units and a copy": ([1e-8 * ONE, 1e7 * NEAR, 3e-8 * ONE, 1e-9 * NEAR**2], [0, 1, 3]),
}


def assert_is_basis(of: FixedBasis, X: np.ndarray, y: np.ndarray, root: np.ndarray, kept: np.ndarray) -> None:
    """Q'Q = I, X = Q R, R^-1 R = I, and the residual of least squares with its coefficients and squares."""
    p, white = kept.size, root[:, None] * X[:, kept]
    size = np.linalg.norm(white, axis=0)
    assert_array_equal(of.kept, kept)
    assert of.m == p + 1
    assert of.R.shape == of.R_inverse.shape == (p, p)
    assert_allclose(of.Q.T @ of.Q, np.eye(p), atol=1e-14)
    assert_allclose(of.Q @ of.R / size, white / size, atol=1e-14)
    assert_allclose(np.tril(of.R, -1) / size, 0.0, atol=1e-15)
    assert_allclose(np.tril(of.R_inverse, -1) * np.abs(of.R.diagonal()), 0.0, atol=1e-9)
    assert_allclose(of.R_inverse @ of.R * size[:, None] / size, np.eye(p), atol=1e-9)
    r = root * y - of.Q @ (of.Q.T @ (root * y))
    assert_allclose(of.r, r, atol=1e-14 * 40)
    assert_allclose(of.Q.T @ of.r, 0.0, atol=1e-15 * 40)
    assert_allclose(root * y - white @ of.beta0, of.r, atol=1e-7)
    assert of.squares == pytest.approx(r @ r, rel=1e-12)
    assert of.length == pytest.approx(np.linalg.norm(root * y), rel=1e-14)
    s = np.linalg.svd(white / size, compute_uv=False)
    assert of.logdet == pytest.approx(2.0 * (np.log(s).sum() + np.log(size).sum()), abs=1e-7)
    gamma = RNG.normal(size=p)
    assert_array_equal(of.coefficients(gamma), of.beta0 + of.R_inverse @ gamma)


@pytest.mark.parametrize("weigh", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("name", BASES)
def test_the_basis_is_orthonormal_spans_x_and_leaves_the_residual_of_least_squares(name, weigh):
    columns, kept = BASES[name]
    X = np.column_stack([*columns, np.zeros((N, 0))])
    kept = np.arange(X.shape[1]) if kept is None else np.array(kept, dtype=np.intp)
    y, whiten = 3.0 + RNG.normal(size=N), Whitening(WEIGHTS if weigh else None)
    root = np.sqrt(WEIGHTS) if weigh else np.ones(N)
    of = orthonormalise(X, y, whiten)
    assert_is_basis(of, X, y, root, kept)
    r = root * y - of.Q @ (of.Q.T @ (root * y))
    assert_allclose(of.N, np.vstack([of.Q.T, of.r]), atol=0)
    other = of.with_response(X, 2.0 * y + 1e3 * X.sum(axis=1) / (1.0 + np.abs(X).max(initial=0.0)), whiten)
    assert_allclose(other.r, 2.0 * r, atol=1e-10)
    assert_allclose(of.r, r, atol=1e-14 * 40)
    alone = orthonormal_basis(X)
    assert_array_equal([alone.squares, alone.length, *alone.r, *alone.beta0], 0.0)
    assert_allclose(alone.Q.T @ alone.Q, np.eye(kept.size), atol=1e-14)


def test_the_rank_of_columns_far_from_zero_is_told_by_their_spread_wherever_their_constant_stands():
    for columns in ([ONE, 1e8 + NEAR], [1e8 + NEAR, ONE]):
        of = orthonormalise(np.column_stack(columns), NEAR, Whitening())
        assert_array_equal(of.kept, [0, 1])
        assert_allclose(of.Q.T @ of.Q, np.eye(2), atol=1e-14)


def test_small_records_keep_their_digits_beside_large_ones():
    """Of columns nearly dependent, whose basis is Householder's."""
    size = 10.0 ** np.linspace(-9.0, 0.0, N)
    X = np.column_stack(STEEP) * size[RNG.permutation(N), None]
    of = orthonormalise(X, NEAR, Whitening())
    assert (np.abs(of.Q @ of.R - X).max(axis=1) <= 1e-14 * np.abs(X).max(axis=1)).all()


@pytest.mark.parametrize("weigh", [False, True], ids=["", "weights"])
@pytest.mark.parametrize("name", ["near zero", "years", "years and seconds, negative", "a constant", "units", "steep"])
def test_the_basis_of_many_records_is_made_by_panels(name, weigh):
    """Where two passes of Cholesky serve."""
    X = np.column_stack(BASES[name][0] if name in BASES else [ONE, NEAR, NEAR + 0.02 * F])
    y, root = 3.0 + RNG.normal(size=N), np.sqrt(WEIGHTS) if weigh else np.ones(N)
    of = long_basis(y, Whitening(WEIGHTS if weigh else None), centred_columns(LongColumns.of(X)))
    assert_is_basis(of, X, y, root, np.arange(X.shape[1]))


@pytest.mark.parametrize("name", ["nearly dependent", "zeros alone"])
def test_many_records_of_which_two_passes_of_cholesky_make_no_basis_are_left_to_rows(name):
    X = np.column_stack(BASES[name][0])
    assert long_basis(NEAR, Whitening(), centred_columns(LongColumns.of(X))) is None


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(("share", "found"), [(0.9e-3, False), (1.1e-3, True)])
def test_many_records_of_a_response_far_from_zero_are_left_to_rows(share, found, unit):
    """Where less than a thousandth of it is left."""
    X = np.column_stack([ONE, NEAR])
    left = RNG.normal(size=N)
    left -= X @ np.linalg.lstsq(X, left, rcond=None)[0]
    y = unit * (ONE / np.linalg.norm(ONE) + share * left / np.linalg.norm(left))
    assert (long_basis(y, Whitening(), centred_columns(LongColumns.of(X))) is not None) == found


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("far", "slope", "digits"), [(1e9, 3e7, 1e-12), (1e9, 1.0, 1e-12), (2e3, 1.0, 2e-14)])
def test_residuals_of_a_response_far_from_zero_are_exact(far, slope, digits, turned):
    """Y is 1e9 beside residuals of one: least squares in fractions says what is left, whichever column is the first."""
    y = far + slope * NEAR + RNG.normal(size=N)
    X = np.column_stack([NEAR, ONE] if turned else [ONE, NEAR])
    rows = [[Fraction(x) for x in row] for row in X.tolist()]
    target = [Fraction(v) for v in y.tolist()]
    a, b, d = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    u, v = (sum(row[i] * t for row, t in zip(rows, target, strict=True)) for i in (0, 1))
    beta = (d * u - b * v) / (a * d - b * b), (a * v - b * u) / (a * d - b * b)
    exact = [float(t - beta[0] * row[0] - beta[1] * row[1]) for row, t in zip(rows, target, strict=True)]
    found = orthonormalise(X, y, Whitening())
    assert_allclose(found.r, exact, rtol=0, atol=digits)
    assert_allclose(found.beta0, [float(one) for one in beta], rtol=1e-15, atol=4e-15)
    weighted = orthonormalise(X, y, Whitening(np.full(N, 4.0))).r
    assert_allclose(weighted, 2.0 * np.array(exact), rtol=0, atol=2.0 * digits)
