"""The maps from the weights of the levels to what is left after absorption, listed and dense, against their sums."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

from mme.engine.families import add_family, lower_triangle, of_sizes
from mme.engine.meetings import Numbering, everywhere, filled_share, level_pairs, number, product_count, spread
from mme.engine.scatter import DenseScatter, FamilyPairs, LevelScatter, quickest
from mme.numeric.limits import Limits, within
from mme.numeric.sums import Cells

RNG, J, SIZES = np.random.default_rng(1), 6, (5, 4)
NONE = (np.zeros(0, dtype=np.int64),) * 2


def met(size, share, seed):
    """Which of ``size`` effects each of the absorbed levels meets, as cells, level by level; one meets none."""
    occurs = np.random.default_rng(seed).random((J, size)) < share
    occurs[3] = False
    level, effect = np.nonzero(occurs)
    return Cells(np.zeros(0, dtype=int), level, effect)


def meeting(left, right, same):
    """Pairs (i, j) of effects that meet in some level; of one factor i >= j."""
    return sorted(
        {
            (int(i), int(j))
            for g in range(J)
            for i in left.cols[left.rows == g]
            for j in right.cols[right.rows == g]
            if not same or i >= j
        }
    )


@pytest.mark.parametrize("share", [0.15, 0.6, 1.0])
@pytest.mark.parametrize("same", [True, False])
def test_pairs_of_cells_are_those_of_each_level(same, share):
    left, right = met(5, share, 1), met(5 if same else 4, share, 1 if same else 2)
    pairs = level_pairs(left, right, same, J)
    listed = [
        (g, i, j)
        for g in range(J)
        for i in np.flatnonzero(left.rows == g)
        for j in np.flatnonzero(right.rows == g)
        if not same or i >= j
    ]
    assert_array_equal(np.column_stack([left.rows[pairs.i], pairs.i, pairs.j]).reshape(-1, 3), listed)
    assert_array_equal(pairs.rows, left.cols[pairs.i])
    assert_array_equal(pairs.cols, right.cols[pairs.j])
    assert_array_equal(pairs.counts, np.bincount([g for g, _, _ in listed], minlength=J))
    assert pairs.without_levels().rows.size == pairs.without_levels().cols.size == 0


@pytest.mark.parametrize("size", [5, 40], ids=["most occur", "few of all occur"])
@pytest.mark.parametrize("share", [0.0, 0.15, 0.6, 1.0])
@pytest.mark.parametrize("same", [True, False])
def test_blocks_that_occur_are_numbered_once_each_and_found_by_their_levels(same, share, size):
    left, right = met(size, share, 1), met(size if same else size - 1, share, 1 if same else 2)
    pairs, shape = level_pairs(left, right, same, J), (size, size if same else size - 1)
    known = (np.array([size - 1, 2]), np.array([0, 1]))
    direct = (np.array([2]), np.array([2])) if share == 0.0 else NONE
    found, block = number(pairs, direct, known, same, shape)
    blocks = {*meeting(left, right, same), (size - 1, 0), (2, 1), *([(2, 2)] if share == 0.0 else [])}
    if share == 1.0:
        blocks = {(i, j) for i in range(shape[0]) for j in range(shape[1]) if not same or i >= j}
    assert set(zip(found.rows.tolist(), found.cols.tolist(), strict=True)) == blocks
    assert found.rows.size == len(blocks)
    assert_array_equal(found.find(found.rows, found.cols), np.arange(found.rows.size))
    assert_array_equal(
        np.column_stack([found.rows[block], found.cols[block]]), np.column_stack([pairs.rows, pairs.cols])
    )


@pytest.mark.parametrize("size", [4, 70])
def test_all_blocks_are_a_triangle_by_columns_or_a_rectangle_by_rows(size):
    triangle, rectangle = everywhere(True, size, size), everywhere(False, size, size - 1)
    assert_array_equal(
        np.column_stack([triangle.rows, triangle.cols]), [(i, j) for j in range(size) for i in range(j, size)]
    )
    assert_array_equal(
        np.column_stack([rectangle.rows, rectangle.cols]), [(i, j) for i in range(size) for j in range(size - 1)]
    )
    for one in (triangle, rectangle):
        assert_array_equal(one.find(one.rows, one.cols), np.arange(one.rows.size))


def test_products_are_counted_and_effects_reached_by_hand():
    """Two levels that meet (0, 1) and (1, 2) of three effects, and a third that meets another factor's only one."""
    one = Cells(np.zeros(0, dtype=int), np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]))
    other = Cells(np.zeros(0, dtype=int), np.array([2]), np.array([0]))
    assert product_count([one, other], [1, 2], 3, 4) == 4 * (3 + 3 + 3)
    assert product_count([one, other], [2, 1], 3, 1) == 10 + 10 + 1
    assert filled_share([Cells(np.zeros(0, dtype=int), np.zeros(4, dtype=int), np.arange(4))], [3]) == 1.0
    alone = Cells(np.zeros(0, dtype=int), np.arange(8), np.arange(8))
    assert filled_share([alone], [2]) == spread([alone], [2]) == 0.125


def test_shares_and_reaches_count_coefficients_not_levels():
    """Four effects of weight three that all meet, beside four of weight one that meet none: shares of 16."""
    level, effect = np.repeat([0, 1, 2, 3, 4], [4, 1, 1, 1, 1]), np.arange(8)
    first = Cells(np.zeros(0, dtype=int), level[:4], effect[:4])
    second = Cells(np.zeros(0, dtype=int), level[4:], effect[4:] - 4)
    assert 0.06 < filled_share([first, second], [3, 1]) < 0.76
    assert spread([first, second], [3, 1]) in (1 / 16, 12 / 16, 6.5 / 16)


def test_effects_of_a_chain_reach_their_neighbours_five_steps_to_either_side():
    level, effect = np.repeat(np.arange(199), 2), np.add.outer(np.arange(199), [0, 1]).ravel()
    assert spread([Cells(np.zeros(0, dtype=int), level, effect)], [1]) == pytest.approx(11 / 200, abs=1e-6)


def test_the_lower_triangle_has_its_entries_by_column_and_row_whatever_the_order_of_the_blocks():
    """Blocks of a factor of three levels of two columns, and of two levels of one, that are listed in no order."""
    listed = {(1, 1): [(0, 0), (1, 1)], (0, 0): [(2, 2), (2, 0), (1, 1), (0, 0)], (1, 0): [(1, 2), (0, 0), (1, 0)]}
    families, widths, offsets = [], (2, 1), np.array([0, 6, 8])
    for (t_row, t_col), blocks in listed.items():
        rows, cols = np.array(blocks).T
        add_family(families, (t_row, t_col), Numbering(rows, cols, None), (widths[t_row], widths[t_col]))
    M, values = np.zeros((8, 8)), RNG.normal(size=families[-1].values.stop)
    for family in families:
        for i, j, block in zip(family.rows, family.cols, family.blocks(values), strict=True):
            at, to = offsets[family.t_row] + i * len(block), offsets[family.t_col] + j * block.shape[1]
            M[at : at + len(block), to : to + block.shape[1]] = block
    row, col, source = lower_triangle(families, offsets)
    to, at = np.nonzero(np.tril(M).T)
    assert_array_equal(row, at)
    assert_array_equal(col, to)
    assert_array_equal(values[source], M[at, to])


def test_what_all_models_of_the_same_sizes_share_cannot_be_written_to():
    of = of_sizes(((3, 2), (2, 1)))
    for array in (*of.triangle, *of.places):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("widths", [(1,), (2,), (1, 1), (1, 2)])
def test_the_sparse_map_makes_of_the_weights_of_all_levels_the_sums_of_their_products(q, widths):
    rng, families, crossing = np.random.default_rng(3), [], []
    values = [rng.normal(size=(met(SIZES[t], 0.6, t).count, q, width)) for t, width in enumerate(widths)]
    values[0][:4] = 0.0  # zeros of B leave the map
    W = rng.normal(size=(q, q, J))
    expected = []
    for t_col, t_row in combinations_with_replacement(range(len(widths)), 2):
        left, right, same = met(SIZES[t_row], 0.6, t_row), met(SIZES[t_col], 0.6, t_col), t_row == t_col
        pairs = level_pairs(left, right, same, J)
        found, block = number(pairs, NONE, NONE, same, (SIZES[t_row], SIZES[t_col]))
        families.append(FamilyPairs(pairs, block, found.rows.size, (widths[t_row], widths[t_col])))
        crossing.append((values[t_row], values[t_col]))
        blocks = np.zeros((found.rows.size, widths[t_row], widths[t_col]))
        for g, i, j in zip(left.rows[pairs.i], pairs.i, pairs.j, strict=True):
            at = found.find(left.cols[i : i + 1], right.cols[j : j + 1])
            blocks[at] += values[t_row][i].T @ W[:, :, g] @ values[t_col][j]
        expected.append(blocks.ravel())
    scatter = LevelScatter(tuple(families), q, J)
    for of in (scatter, scatter.sorted(), scatter.sorted().sorted()):
        A = of.matrix(crossing)
        assert A.shape == (np.concatenate(expected).size, q * q * J)
        assert_allclose(A @ W.ravel(), np.concatenate(expected), atol=1e-12)
        assert A.indices.dtype == A.indptr.dtype == np.int32
    all_zero = [(np.zeros_like(left), right) for left, right in crossing]
    if q > 1:
        assert scatter.matrix(all_zero).nnz == 0
        assert 0 < scatter.matrix(crossing).nnz == np.count_nonzero(scatter.matrix(crossing).toarray())


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("diagonal", [False, True])
def test_the_dense_map_and_its_transpose_are_those_of_the_listed_one(q, diagonal):
    rng, m, levels = np.random.default_rng(4), 4, 1 if diagonal else 3
    B, W = rng.normal(size=(m, q, levels)), rng.normal(size=(q, q, levels))
    if diagonal:
        W = W * np.eye(q)[:, :, None]
    row, col = np.tril_indices(m)
    scatter = DenseScatter(B, diagonal, row, col)
    given = np.diag(W[:, :, 0]) if diagonal else W.ravel()
    expected = np.einsum("iag,abg,jbg->ij", B, W, B)[row, col]
    assert_allclose(scatter @ given, expected, atol=1e-12)
    values = rng.normal(size=row.size)
    H = np.zeros((m, m))
    H[row, col] = values
    assert_allclose(scatter.T @ values, np.einsum("iag,ij,jbg->abg", B, H, B).ravel(), atol=1e-12)
    assert (scatter.listed() is None) == diagonal
    if not diagonal:
        assert_allclose(scatter.listed() @ W.ravel(), expected, atol=1e-12)
        with within(Limits(dense_factor_entries=row.size * q * q * levels - 1)):
            assert scatter.listed() is None


def test_a_small_matrix_is_dense_and_a_larger_one_stays_sparse():
    A = sp.csr_array(np.eye(3, 4))
    with within(Limits(dense_factor_entries=12)):
        assert isinstance(quickest(A), np.ndarray)
        assert_array_equal(quickest(A), np.eye(3, 4))
    with within(Limits(dense_factor_entries=11)):
        assert quickest(A) is A
