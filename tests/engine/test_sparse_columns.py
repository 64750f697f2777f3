"""Sparse columns of X: their sweep, their block, the equations among columns and the basis, against dense algebra."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from mme.engine.dependence import equations
from mme.engine.sweep import Sweep
from mme.engine.unpenalised import fixed_block
from mme.engine.wide_basis import WideBasis, whitened, wide, wide_basis
from mme.numeric.limits import Limits, within
from mme.numeric.pooled import Pooled, pooled
from mme.numeric.rank import independent_columns
from mme.residual.whitening import Whitening

seeds = st.integers(0, 10_000)


def columns(rng, n: int, f: int, kind: str) -> np.ndarray:
    """Independent columns (n, f) that meet on no record, on some, or on all, the last two with numbers of their own."""
    level = np.append(np.arange(f), rng.integers(0, f + 1, n - f))  # the last level belongs to no column
    F = np.equal.outer(level, np.arange(f)).astype(float)
    if kind == "apart":
        return F * rng.uniform(0.5, 2.0, f)
    other = np.equal.outer(rng.integers(0, f, n), np.arange(f))
    return F * rng.uniform(1.0, 2.0, (n, 1)) + (0.3 * other if kind == "overlapping" else 0.1 * rng.normal(size=(n, f)))


def repeated(rng, n: int, f: int, weights: np.ndarray | None) -> tuple[np.ndarray, Pooled]:
    """Columns (n, f) of which each row stands several times, and the same with each once."""
    U = columns(rng, 2 * f, f, "all")
    F = U[np.append(np.arange(2 * f), rng.integers(0, 2 * f, n - 2 * f))]
    rows = pooled(sp.csr_array(F))
    assert rows is not None
    return (F if weights is None else F * weights[:, None]), rows.weighted(weights)


# --- The sweep ---------------------------------------------------------------------------------------------------


@given(seed=seeds, kind=st.sampled_from(["apart", "overlapping", "all", "repeated", "repeated, weights"]))
def test_a_sweep_is_the_projection_off_its_columns(seed, kind):
    """P = I - F (F'F)^-1 F', its coefficients those of least squares, log|F'F| by its definition."""
    rng = np.random.default_rng(seed)
    n, f = 24, int(rng.integers(2, 5))
    rows = None
    if kind.startswith("repeated"):
        F, rows = repeated(rng, n, f, rng.uniform(0.5, 2.0, n) if "weights" in kind else None)
    else:
        F = columns(rng, n, f, kind)
    sweep = Sweep(sp.csc_array(F), rows)
    Y = rng.normal(size=(3, n)) * [[1e6], [1.0], [1e-6]]
    along = np.linalg.lstsq(F, Y.T, rcond=None)[0]
    swept, c = sweep.apart(Y)
    size = np.abs(Y).max(axis=1, keepdims=True)
    assert_allclose(c.T / size, along.T / size, atol=1e-12)
    assert_allclose(swept / size, (Y - (F @ along).T) / size, atol=1e-12)
    assert_array_equal(sweep(Y), swept)
    assert sweep.logdet == pytest.approx(np.linalg.slogdet(F.T @ F)[1], abs=1e-10)
    again = pickle.loads(pickle.dumps(sweep))
    assert_array_equal(again(Y), swept)
    assert_array_equal(sweep.transposed.toarray(), F.T)


def test_what_is_far_from_zero_is_swept_to_its_last_digits():
    """The first pass leaves rounding of the size of the rows, which the second takes."""
    rng = np.random.default_rng(3)
    F, y = columns(rng, 40, 4, "overlapping"), rng.normal(size=40)
    sweep = Sweep(sp.csc_array(F))
    assert np.abs(F.T @ sweep((1e9 * F.sum(axis=1) + y)[None, :])[0]).max() < 1e-12


def test_nothing_is_swept_off_by_no_columns():
    sweep, Y = Sweep(sp.csc_array((7, 0))), np.random.default_rng(0).normal(size=(2, 7))
    swept, along = sweep.apart(Y)
    assert_array_equal(swept, Y)
    assert along.shape == (0, 2)
    assert sweep.logdet == 0.0


# --- The block ---------------------------------------------------------------------------------------------------


@given(seed=seeds, kind=st.sampled_from(["apart", "ones", "overlapping", "all"]), pool=st.booleans())
def test_the_block_of_sparse_columns_has_their_products(seed, kind, pool):
    """F itself, F'N, and F'F by its own cells, with coefficients in the user's units whatever theta."""
    rng = np.random.default_rng(seed)
    n, f = 24, int(rng.integers(1, 5))
    F = columns(rng, n, f, "apart" if kind == "ones" else kind)
    if kind == "ones":  # of every record in one column
        F = np.equal.outer(np.arange(n) % f, np.arange(f)).astype(float)
    rows = pooled(sp.csr_array(F)) if pool else None
    block = fixed_block(sp.csc_array(F), rows)
    assert (block.columns[0] is None) == (kind == "ones")
    assert block.has_many == (block.entries is not None) == bool((F != 0.0).sum(axis=1).max() > 1)
    N = rng.normal(size=(3, n))
    assert_allclose(block.sums(N)[:, 0], F.T @ N.T, atol=1e-12)
    assert_array_equal(block.T(rng.normal(size=2)), [[1.0]])
    b = rng.normal(size=(f, 1))
    assert_array_equal(block.effects(b, rng.normal(size=2)), b)
    assert block.scale == 1.0
    assert block.at_records.pooled is (rows if block.has_many else block.at_records.pooled)
    cells = block.own_cells()
    met = np.zeros((f, f), dtype=bool)
    met[cells.rows, cells.cols] = True
    assert_array_equal(met | met.T, (F != 0.0).astype(int).T @ (F != 0.0).astype(int) > 0)


# --- Equations ---------------------------------------------------------------------------------------------------


def dependent(rng, n: int, kinds: list[str]) -> np.ndarray:
    """Columns (n, p) that are new, dense or sparse, zeros, or made of two before, exactly or nearly."""
    found: list[np.ndarray] = []
    for j, kind in enumerate(kinds):
        sparse, dense = rng.normal(size=n) * (rng.random(n) < 0.2), rng.normal(size=n)
        sparse[j] = 1.0
        a, b = (found[i] for i in rng.integers(0, j, 2)) if j else (sparse, dense)
        made = 2.0 * a - 3.0 * b
        found.append(
            {
                "sparse": sparse,
                "dense": dense,
                "zero": np.zeros(n),
                "made": made,
                "nearly": made + 1e-4 * np.linalg.norm(made) * sparse,
                "not quite": made + 1e-10 * np.linalg.norm(made) * sparse,
            }[kind]
        )
    return np.array(found).T * 10.0 ** rng.integers(-3, 4, len(kinds))


KINDS = ["sparse", "dense", "zero", "made", "made"]
designs = st.sampled_from(["nearly", "not quite"]).flatmap(
    lambda other: st.lists(st.sampled_from([*KINDS, other]), max_size=9).map(lambda kinds: ["sparse", "dense", *kinds])
)


def unit(X: np.ndarray) -> np.ndarray:
    size = np.linalg.norm(X, axis=0)
    return X / np.where(size > 0.0, size, 1.0)


@given(seed=seeds, kinds=designs, share=st.sampled_from([0.0, 0.5, 1.0]), step=st.sampled_from([1, 10**9]))
def test_equations_end_in_the_columns_that_depend_on_those_before_and_hold(seed, kinds, share, step):
    """Those that Gram and Schmidt leave out, however many are given as sparse, each the last of one equation."""
    rng = np.random.default_rng(seed)
    X = dependent(rng, 40, kinds)
    p = X.shape[1]
    is_dense = rng.random(p) >= share
    dense_at, sparse_at = np.flatnonzero(is_dense), np.flatnonzero(~is_dense)
    with within(Limits(solved_numbers=step)):
        found = equations(
            np.ascontiguousarray(X[:, is_dense].T), sp.csc_array(X[:, ~is_dense]), dense_at, sparse_at, None
        )
    dropped = np.setdiff1d(np.arange(p), independent_columns(unit(X)))
    assert sorted(int(one.columns[-1]) for one in found) == dropped.tolist()
    for one in found:
        assert (np.diff(one.columns) > 0).all()
        terms = X[:, one.columns] * one.weights
        size = np.linalg.norm(terms, axis=0).max(initial=0.0)
        assert_allclose(terms.sum(axis=1), 0.0, atol=1e-7 * size)
        assert (one.weights != 0.0).all()
        assert one.weights.shape == one.columns.shape
        assert size > 0.0 or not X[:, one.columns].any()


def test_parts_of_columns_down_to_a_billionth_are_named():
    """Of columns of length one: below 1e-9 a weight is rounding."""
    rng = np.random.default_rng(5)
    X = unit(rng.normal(size=(40, 4)))
    for part, named in ((1e-8, True), (1e-10, False)):
        column = X @ [1.0, 0.0, -2.0, part]
        for at in (slice(0, 5), slice(0, 0)):  # dense, sparse
            M, dense_at = np.column_stack([X, column]), np.arange(5)[at]
            F = sp.csc_array(np.delete(M, dense_at, axis=1))
            (found,) = equations(
                np.ascontiguousarray(M[:, dense_at].T), F, dense_at, np.delete(np.arange(5), dense_at), None
            )
            assert found.columns.tolist() == [0, 2, 3, 4][: 4 if named else 2] + ([] if named else [4])


def test_a_sparse_column_and_its_copy_have_an_equation():
    """A record is in the two, and in no third."""
    F = np.kron(np.eye(3), np.ones((4, 1)))
    (found,) = equations(np.zeros((0, 12)), sp.csc_array(F[:, [0, 1, 2, 1]]), np.arange(0), np.arange(4), None)
    assert found.columns.tolist() == [1, 3]
    assert found.weights[0] == pytest.approx(-found.weights[1])


def test_equations_among_columns_whose_rows_repeat_are_those_without_a_pool():
    rng = np.random.default_rng(7)
    F, _ = repeated(rng, 40, 4, None)
    F = F * [1.0, 1e-3, 10.0, 1e3]
    X = np.column_stack([F, F[:, 1] - 1e-4 * F[:, 2], rng.normal(size=40), F @ [0.0, 1.0, 1.0, 0.0]])
    sparse_at, dense_at = np.arange(5), np.arange(5, 7)
    for rows in (None, pooled(sp.csr_array(X[:, :5]))):
        found = equations(np.ascontiguousarray(X[:, 5:].T), sp.csc_array(X[:, :5]), dense_at, sparse_at, rows)
        by_last = {int(one.columns[-1]): one for one in found}
        assert set(by_last) == {4, 6}
        assert by_last[4].columns.tolist() == [1, 2, 4]
        assert_allclose(by_last[4].weights / by_last[4].weights[-1], [-1.0, 1e-4, 1.0], rtol=1e-6)
        assert by_last[6].columns.tolist() == [1, 2, 6]
        assert_allclose(by_last[6].weights / by_last[6].weights[-1], [-1.0, -1.0, 1.0], rtol=1e-6)


# --- The basis ---------------------------------------------------------------------------------------------------


def basis_of(rng, kinds: list[str], among: int, weigh: bool) -> tuple[np.ndarray, np.ndarray, Whitening, WideBasis]:
    """X (n, p), y, their whitening and the basis; the first ``among`` columns may be dense."""
    X = dependent(rng, 40, kinds)
    y, whiten = rng.normal(size=40), Whitening(rng.uniform(0.5, 2.0, 40) if weigh else None)
    of = wide(sp.csc_array(X), among)
    return X, y, whiten, wide_basis(of, whitened(of, whiten), y, whiten)


plain = st.lists(st.sampled_from(KINDS), max_size=7).map(lambda kinds: ["sparse", "dense", "sparse", *kinds])


@given(seed=seeds, kinds=plain, among=st.sampled_from([0, 1, 3, 10]))
def test_a_wide_x_is_its_independent_columns_in_two_parts(seed, kinds, among):
    X = dependent(np.random.default_rng(seed), 40, kinds)
    of = wide(sp.csc_array(X), among)
    assert_array_equal(X[:, of.dense_at], of.D)
    assert_array_equal(X[:, of.sparse_at], of.F.toarray())
    assert_array_equal(np.sort(np.append(of.dense_at, of.sparse_at)), independent_columns(unit(X)))
    assert (of.dense_at < among).all()
    assert of.p == X.shape[1]
    assert len(of.equations) == of.p - of.dense_at.size - of.sparse_at.size
    if of.rows is not None:
        assert_allclose(of.rows.times(np.eye(of.sparse_at.size)[0]), of.F[:, [0]].toarray().ravel(), atol=0)


def test_rows_that_repeat_are_kept_once_without_the_columns_left_out():
    rng = np.random.default_rng(2)
    F, _ = repeated(rng, 40, 3, None)
    X = np.column_stack([rng.normal(size=40), F, F @ [1.0, 2.0, 0.0], F[:, 2] ** 2])
    of = wide(sp.csc_array(X), 1)
    assert_array_equal(of.sparse_at, [1, 2, 3, 5])
    assert of.rows is not None
    for j, column in enumerate(np.eye(4)):
        assert_array_equal(of.rows.times(column), of.F[:, [j]].toarray().ravel())


@given(seed=seeds, kinds=plain, among=st.sampled_from([0, 1, 3, 10]), weigh=st.booleans())
def test_the_basis_of_a_wide_x_spans_what_sparse_columns_leave_and_leads_back(seed, kinds, among, weigh):
    """F'Q = 0, Q'Q = I, Q R = D - F C, r is the residual of least squares, and (W) leads back to X."""
    rng = np.random.default_rng(seed)
    X, y, whiten, basis = basis_of(rng, kinds, among, weigh)
    root = np.ones(40) if whiten.sqrt_weights is None else whiten.sqrt_weights
    W, white, F = X * root[:, None], y * root, basis.sparse.F.toarray()
    d = len(basis.R)
    assert_array_equal(basis.kept, independent_columns(unit(X)))
    assert_allclose(F, W[:, basis.wide.sparse_at], atol=0)
    assert_allclose(basis.Q.T @ basis.Q, np.eye(d), atol=1e-12)
    assert_allclose(unit(F).T @ basis.Q, 0.0, atol=1e-12)
    Y = W[:, basis.kept]
    least = white - unit(Y) @ np.linalg.lstsq(unit(Y), white, rcond=None)[0]
    assert_allclose(basis.N[-1], least, atol=1e-11)
    assert basis.squares == pytest.approx(least @ least, rel=1e-11)
    assert basis.length == pytest.approx(np.linalg.norm(white), rel=1e-13)
    gamma, a = rng.normal(size=d), rng.normal(size=F.shape[1])
    size = np.linalg.norm(Y, axis=0)
    beta = basis.coefficients(gamma, lambda: [np.zeros((2, 1)), a[:, None]])
    scale = max(1.0, float(np.abs(beta * size).max(initial=0.0)))
    assert_allclose(Y @ beta, white - least + basis.Q @ gamma + F @ a, atol=1e-11 * scale + 1e-11 * np.abs(F @ a).max())
    beta = basis.joined(basis.R_inverse @ np.array([gamma, -gamma]).T[:, 0], a)
    assert_allclose(
        Y @ beta, basis.Q @ gamma + F @ a, atol=1e-11 * max(1.0, float(np.abs(beta * size).max(initial=0.0)))
    )
    logdet = 2.0 * np.log(np.abs(np.diag(np.linalg.qr(unit(Y), mode="r")))).sum() + 2.0 * np.log(size).sum()
    assert basis.logdet_of(None) == pytest.approx(logdet, abs=1e-9)
    Y = X[:, basis.kept]
    logdet = 2.0 * np.log(np.abs(np.diag(np.linalg.qr(unit(Y), mode="r")))).sum()
    logdet += 2.0 * np.log(np.linalg.norm(Y, axis=0)).sum()
    assert basis.logdet_of(root**2) == pytest.approx(logdet, abs=1e-9)
    other = rng.normal(size=40)
    again, anew = basis.with_response(X, other, whiten), wide_basis(basis.wide, basis.sparse.F, other, whiten)
    assert_array_equal(again.N, anew.N)
    assert_array_equal(again.kept, anew.kept)
    assert_array_equal(again.coefficients(gamma, lambda: [a[:, None]]), anew.coefficients(gamma, lambda: [a[:, None]]))
    assert_allclose(basis.N[-1], least, atol=1e-11)  # as it was


def test_a_response_far_from_zero_leaves_a_residual_off_all_columns():
    """Twice, as the first time rounding of its size is left along both."""
    rng = np.random.default_rng(4)
    X, y, whiten, basis = basis_of(rng, ["dense", "dense", "sparse", "sparse"], 2, weigh=True)
    far = basis.with_response(X, y + 1e9 * unit(X).sum(axis=1), whiten)
    assert np.abs(basis.Q.T @ far.N[-1]).max() < 1e-13
    assert np.abs(unit(basis.sparse.F.toarray()).T @ far.N[-1]).max() < 1e-13
    assert_allclose(far.N[-1], basis.N[-1], atol=1e-5)
