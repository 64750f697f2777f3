"""The absorption of a block, of short and of long records, against dense matrices of its definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import mme
from mme.engine.absorption import Levels, absorb, absorb_nothing, classes_of, merge, projected
from mme.engine.blocks import Block
from mme.engine.long_levels import absorb_long
from mme.engine.long_rows import LongRows
from mme.numeric.limits import Limits, within

seeds = st.integers(0, 10_000)
# Indicators or sums, the loop of machine code or NumPy's.
WAYS = {
    "indicators": Limits(machine_code=False),
    "sums": Limits(machine_code=False, numbers_of_indicators=0),
    "loop": Limits(machine_code=True),
}
PANELS = Limits(records_in_panel=32, machine_code=False, compiled_records=-1)


def block_of(rng, n: int, J: int, q: int, *, alike: int = 0) -> Block:
    """J levels of n records with q columns, the first of ones, of which one level has a single record.

    In a third of the levels the column ``alike`` (0: none) is a combination of those before it.
    """
    codes = np.concatenate([np.arange(J), rng.integers(1, J, n - J)]) if J > 1 else np.zeros(n, dtype=np.int64)
    columns = [None, *rng.normal(size=(q - 1, n))]
    if 0 < alike < q:
        others = np.array([np.ones(n), *columns[1:alike]])
        columns[alike] = np.where(codes % 3 == 1, rng.normal(size=alike) @ others, columns[alike])
    return Block(codes, J, q, np.ones(q), (), (), (), (), tuple(columns))


def dense_Z(block: Block) -> np.ndarray:
    """Z (J, n, q)."""
    columns = np.array([np.ones(block.codes.size) if one is None else one for one in block.columns])
    return np.equal.outer(np.arange(block.J), block.codes)[:, :, None] * columns.T


def assert_is_absorption(levels: Levels, NN: np.ndarray, Z: np.ndarray, N: np.ndarray) -> np.ndarray:
    """R_g'R_g = Z_g'Z_g, R_g'V_g = Z_g'N, NN = N'(I - P)N: R a triangle, whose zeros on the diagonal have zero rows."""
    R, V = levels.R.transpose(2, 0, 1), levels.V.transpose(2, 1, 0)
    whole = Z.transpose(1, 0, 2).reshape(N.shape[1], -1)
    left = N - N @ whole @ np.linalg.pinv(whole, rcond=1e-10)
    assert_allclose(np.tril(R, -1), 0.0, atol=0)
    assert_allclose(R.transpose(0, 2, 1) @ R, Z.transpose(0, 2, 1) @ Z, atol=1e-10)
    assert_allclose(R.transpose(0, 2, 1) @ V, Z.transpose(0, 2, 1) @ N.T, atol=1e-10)
    assert_allclose(NN, left @ left.T, atol=1e-10)
    diagonal = np.einsum("gaa->ga", R)
    assert (diagonal >= 0.0).all()
    assert not R[diagonal == 0.0].any()
    assert not V[diagonal == 0.0].any()
    return left


@pytest.mark.parametrize("way", WAYS)
@given(seed=seeds, J=st.sampled_from([2, 7]), q=st.integers(1, 4), m=st.integers(1, 4), alike=st.integers(0, 3))
def test_a_block_is_absorbed_by_the_qr_of_each_level(way, seed, J, q, m, alike):
    """In any way, and again by the QR that was kept; what is left is orthogonal to Z, whose columns lead to Q."""
    rng = np.random.default_rng(seed)
    block, N = block_of(rng, 30, J, q, alike=alike), rng.normal(size=(m, 30))
    Z = dense_Z(block)
    with within(WAYS[way]):
        for rows in (N, rng.normal(size=(m, 30))):
            absorbed, beside = absorb(block, rows)
            left = assert_is_absorption(absorbed.levels, absorbed.NN, Z, rows)
            assert_allclose(beside.N, left, atol=1e-10)
            assert (absorbed.within is None) == (way == "sums")
            if absorbed.within is not None:
                assert_allclose(absorbed.within, left, atol=1e-10)
    columns = np.array([np.ones(30) if one is None else one for one in beside.Z])
    lengths = beside.lengths[block.codes].T
    Q = np.divide(columns, lengths, out=np.zeros_like(columns), where=lengths > 0.0)
    whole = np.equal.outer(np.arange(J), block.codes)[:, :, None] * Q.T
    assert_allclose(whole @ absorbed.levels.R.transpose(2, 0, 1), Z, atol=1e-10)
    real = beside.lengths > 1e-9  # beside rounding, in levels of fewer records than columns
    Q_of = whole * real[:, None]
    assert_allclose(Q_of.transpose(0, 2, 1) @ Q_of, real[:, :, None] * np.eye(q), atol=1e-6)
    assert_allclose(beside.lengths, np.einsum("aag->ga", absorbed.levels.R), rtol=1e-12)
    assert_array_equal(beside.codes, block.codes)
    assert beside.without_N().N.shape == (0, 30)


@given(seed=seeds, q=st.sampled_from([2, 5]), n=st.sampled_from([3, 20]), m=st.integers(1, 4))
def test_one_level_of_one_variance_is_absorbed_by_its_singular_values(seed, q, n, m):
    """R R' = S^2 and U'N, of fewer records than columns too: (A) is N'(I + t^2 Z Z')^-1 N."""
    rng = np.random.default_rng(seed)
    Z, N, t = rng.normal(size=(n, q)), rng.normal(size=(m, n)), 0.7
    term = mme.Term(np.zeros(n, dtype=int), Z, covariance="homogeneous diagonal")
    (block,) = mme.objective(rng.normal(size=n), np.ones((n, 1)), [term]).blocks
    absorbed, beside = absorb(block, N)
    U, s, _ = np.linalg.svd(Z / block.scale, full_matrices=False)
    left = N - N @ U @ U.T
    assert_allclose(beside.N, left, atol=1e-12)
    assert_allclose(absorbed.NN, left @ left.T, atol=1e-12)
    assert_array_equal(beside.lengths, np.ones((1, s.size)))
    R, V = absorbed.levels.R[:, :, 0], absorbed.levels.V[:, :, 0]
    assert_allclose(V, N @ np.array(beside.Z).T, atol=1e-12)
    assert_allclose(np.array(beside.Z).T @ R, Z / block.scale, atol=1e-10)
    assert_allclose(R @ R.T, np.diag(absorbed.levels.singular**2), atol=1e-10)
    inner = V @ np.diag(1.0 / (1.0 + t**2 * absorbed.levels.singular**2)) @ V.T
    outer = np.eye(n) + t**2 * (Z / block.scale) @ (Z / block.scale).T
    assert_allclose(absorbed.NN + inner, N @ np.linalg.solve(outer, N.T), atol=1e-11)


def test_nothing_is_absorbed_by_no_levels():
    N = np.random.default_rng(0).normal(size=(3, 8))
    absorbed, beside = absorb_nothing(N)
    assert_array_equal(absorbed.NN, N @ N.T)
    assert absorbed.levels.R.shape == (1, 1, 0)
    assert absorbed.levels.V.shape == (3, 1, 0)
    assert_array_equal(beside.N, N)
    assert beside.lengths.shape == (0, 1)
    assert beside.codes.size == 0


@pytest.mark.parametrize("way", ["indicators", "sums"])
def test_another_response_is_the_last_of_the_columns(way):
    rng = np.random.default_rng(1)
    block, N, y = block_of(rng, 40, 6, 2), rng.normal(size=(3, 40)), rng.normal(size=40)
    other = np.vstack([N[:-1], y])
    with within(WAYS[way]):
        (before, _), (anew, beside) = absorb(block, N), absorb(block, other)
    found = before.exchanged(anew.levels, other, beside.N[-1:])
    assert_allclose(found.NN, anew.NN, atol=1e-12)
    assert found.levels is anew.levels
    if way == "indicators":
        assert_allclose(found.within, anew.within, atol=1e-12)
    assert_allclose(before.NN, absorb(block, N)[0].NN, atol=1e-12)  # as it was


@pytest.mark.parametrize("way", ["indicators", "sums"])
def test_the_sums_of_a_response_are_those_of_an_absorption_of_it_alone(way):
    """To the last bit: a fit and its refit to the same response are the same."""
    rng = np.random.default_rng(2)
    block, N = block_of(rng, 60, 9, 2), rng.normal(size=(4, 60))
    with within(WAYS[way]):
        (beside, left), (alone, own) = absorb(block, N), absorb(block, N[-1:])
    assert_array_equal(beside.levels.V[-1:], alone.levels.V)
    assert_array_equal(left.N[-1:], own.N)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("q", [1, 2, 3])
def test_the_levels_of_a_row_are_those_of_its_absorption(way, q):
    rng = np.random.default_rng(q)
    block, row = block_of(rng, 30, 7, q), rng.normal(size=30)
    with within(WAYS[way]):
        found, levels = projected(block, row), absorb(block, row[None, :])[0].levels
    assert_allclose(found.R, levels.R, atol=1e-13)
    assert_allclose(found.V, levels.V, atol=1e-13)
    term = mme.Term(np.zeros(30, dtype=int), rng.normal(size=(30, 3)), covariance="homogeneous diagonal")
    (block,) = mme.objective(row, np.ones((30, 1)), [term]).blocks
    with within(WAYS[way]):
        found, levels = projected(block, row), absorb(block, row[None, :])[0].levels
    assert_array_equal(found.V, levels.V)
    assert_array_equal(found.singular, levels.singular)


# --- Levels that stand for others ------------------------------------------------------------------------------------


def complement(levels: Levels, T: np.ndarray) -> tuple[np.ndarray, float]:
    """Sum_g N_g'(I + R_g T T' R_g')^-1 N_g and log|M| by (A), level by level."""
    total, logdet = np.zeros((len(levels.V),) * 2), 0.0
    for g in range(levels.J):
        R, V = levels.R[:, :, g], levels.V[:, :, g]
        M = np.eye(len(R)) + R @ T @ T.T @ R.T
        total += V @ np.linalg.solve(M, V.T)
        logdet += (1.0 if levels.multiplicity is None else levels.multiplicity[g]) * np.linalg.slogdet(M)[1]
    return total, logdet


@given(seed=seeds, q=st.integers(1, 3), m=st.integers(1, 3), kinds=st.integers(1, 6), J=st.sampled_from([0, 1, 6, 60]))
def test_levels_alike_stand_for_each_other(seed, q, m, kinds, J):
    """A class of equal triangles is at most q m levels, which count as many as it had; cut in pieces they add up."""
    rng = np.random.default_rng(seed)
    each = np.where(rng.random(J) < 0.8, 0, rng.integers(0, kinds, J))  # one class of many, others of few
    R = np.triu(rng.normal(size=(kinds, q, q)))[each].transpose(1, 2, 0)
    levels = Levels(np.ascontiguousarray(R), rng.normal(size=(m, q, J)))
    T = np.tril(rng.normal(size=(q, q)))
    with within(Limits(unmerged_numbers=0)):
        merged = merge(levels)
    fewer = int(np.minimum(np.bincount(classes_of(levels.R)[1]), q * m).sum())
    assert (fewer if J > 1 and fewer <= J // 2 else J) == merged.J
    with within(Limits(levels_in_panel=4)):
        pieces = merged.chunks()
    assert len(pieces) == max(1, -(-merged.J // 4))
    assert all(piece.J <= 4 for piece in pieces)
    whole = complement(levels, T)
    for parts in ((merged,), pieces):
        found = [complement(part, T) for part in parts]
        assert_allclose(sum(one[0] for one in found), whole[0], atol=1e-10)
        assert sum(one[1] for one in found) == pytest.approx(whole[1], abs=1e-9)


def test_few_levels_are_not_merged():
    levels = Levels(np.ones((1, 1, 10)), np.ones((2, 1, 10)))
    with within(Limits(unmerged_numbers=20)):
        assert merge(levels) is levels
    with within(Limits(unmerged_numbers=19)):
        assert merge(levels).J == 2


@pytest.mark.parametrize(("alike", "merged"), [(2, 4), (1, 8)])
def test_levels_are_merged_where_half_of_them_stand_for_all(alike, merged):
    R = np.repeat(np.arange(1.0, 5.0), 2) if alike == 2 else np.arange(1.0, 9.0)
    with within(Limits(unmerged_numbers=0)):
        assert merged == merge(Levels(R.reshape(1, 1, 8), np.ones((1, 1, 8)))).J


@given(seed=seeds, q=st.integers(1, 3), J=st.integers(1, 9))
def test_a_class_has_equal_triangles_and_different_ones_have_others(seed, q, J):
    rng = np.random.default_rng(seed)
    each = rng.integers(0, 3, J)
    R = np.triu(rng.normal(size=(3, q, q)))[each].transpose(1, 2, 0)
    first, members = classes_of(R)
    assert_array_equal(R[:, :, first[members]], R)
    assert first.size >= np.unique(each).size
    assert_array_equal(members[first], np.arange(first.size))
    if q == 1:
        assert first.size == np.unique(each).size


@pytest.mark.parametrize("q", [1, 2, 3])
def test_triangles_that_differ_in_one_entry_are_of_two_classes(q):
    R = np.triu(np.random.default_rng(q).normal(size=(q, q)))
    for a, b in zip(*np.triu_indices(q), strict=True):
        other = R.copy()
        other[a, b] += 1e-9
        first, members = classes_of(np.stack([R, other, R], axis=2))
        assert members[0] != members[1]
        assert_array_equal(np.stack([R, other, R], axis=2), np.stack([R, other, R], axis=2)[:, :, first[members]])


# --- Long records ------------------------------------------------------------------------------------------------


@given(
    seed=seeds,
    q=st.integers(1, 4),
    kind=st.sampled_from(["none", "others", "those of Z", "those of Z at first"]),
    weigh=st.booleans(),
    alike=st.integers(0, 3),
)
def test_long_records_are_absorbed_by_the_qr_of_each_level(seed, q, kind, weigh, alike):
    """Columns of X that are combinations of those of Z, in all records or in those of the first panel alone."""
    rng = np.random.default_rng(seed)
    n = 100
    block = block_of(rng, n, 8, q, alike=alike)
    weights = rng.uniform(0.5, 2.0, n) if weigh else None
    root = np.ones(n) if weights is None else np.sqrt(weights)
    own = np.array([np.ones(n) if c is None else c for c in block.columns])
    size = np.append(1.0, 10.0 ** rng.integers(-6, 7, q - 1))
    columns = [root if weigh else None, *(root * own[1:] * size[1:, None])]
    block = Block(block.codes, 8, q, np.ones(q), (), (), (), (), tuple(columns))
    X = [None, rng.normal(size=n), rng.normal(size=n)]
    if kind.startswith("those"):
        X[1] = rng.normal(size=q) @ own
    if kind == "those of Z at first":
        X[1] = X[1] + np.where(np.arange(n) < 70, 0.0, rng.normal(size=n))
    unit = 10.0 ** np.append(rng.integers(-8, 9, 3), 0)
    X = [] if kind == "none" else [None if x is None else x * size for x, size in zip(X, unit, strict=False)]
    unit = np.ones(1) if kind == "none" else np.append(1.0, unit[1:])
    rows = LongRows(X, rng.normal(size=n), weights).less(rng.normal(size=len(X)) / unit[:-1])
    with within(PANELS):
        N, absorbed = rows.whole(), absorb_long(block, rows)
    Z, diagonal = dense_Z(block) / size, np.einsum("aag->ga", absorbed.levels.R)
    levels = Levels(absorbed.levels.R / size[:, None], absorbed.levels.V / unit[:, None, None])
    assert_is_absorption(levels, absorbed.NN / np.outer(unit, unit), Z, N / unit[:, None])
    assert_array_equal(np.count_nonzero(diagonal, axis=1), np.linalg.matrix_rank(Z, tol=1e-10))
    assert absorbed.within is None
