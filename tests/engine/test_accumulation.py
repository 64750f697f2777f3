"""Sums over the levels of the absorbed block, by loops and by whole matrices, against dense algebra level by level."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mme.engine import accumulation, level_loops
from mme.engine.accumulation import LevelRows, are_written_out, runs_at_once
from mme.numeric.limits import Limits, within
from mme.numeric.machine_code import machine_code, make
from mme.numeric.sums import Cells

J, SIZES = 5, (16, 12)


def crossings(q, widths, share):
    """Rows of so many blocks, of ``widths`` coefficients, with B (cells, q, width) of every cell, and B_g (J, q, m)."""
    rng = np.random.default_rng(10 * q + len(widths))
    met, values = [], []
    offsets = np.concatenate([[0], np.cumsum(np.multiply(SIZES[: len(widths)], widths))])
    dense = np.zeros((J, q, offsets[-1]))
    for size, width, start in zip(SIZES, widths, offsets[:-1], strict=False):
        occurs = rng.random((J, size)) < share
        occurs[2] = False  # a level that meets nothing
        level, other = np.nonzero(occurs)
        met.append(Cells(np.zeros(0, dtype=int), level, other))
        values.append(rng.normal(size=(level.size, q, width)))
        for g, j, B in zip(level, other, values[-1], strict=True):
            dense[g, :, start + j * width : start + (j + 1) * width] = B
    blocks = tuple(SimpleNamespace(q=width) for width in widths)
    return LevelRows.of(blocks, offsets, tuple(met), J), values, dense


@pytest.mark.parametrize("whole", [0, 10**6], ids=["loops", "whole matrices"])
@pytest.mark.parametrize(("widths", "share"), [((1,), 0.9), ((2,), 0.75), ((1, 2), 0.9), ((2, 1), 0.3)])
@pytest.mark.parametrize("q", [1, 2, 3])
def test_sums_over_absorbed_levels_are_those_of_dense_matrices_of_each_level(q, widths, share, whole):
    rows, values, dense = crossings(q, widths, share)
    rng, m = np.random.default_rng(q), dense.shape[2]
    T = [np.tril(rng.normal(size=(width, width))) for width in widths]
    Lambda = np.zeros((m, m))
    start = 0
    for size, width, factor in zip(SIZES, widths, T, strict=False):
        stop = start + size * width
        Lambda[start:stop, start:stop] = np.kron(np.eye(size), factor)
        start = stop
    B = rows.moved(values, T)
    dense = dense @ Lambda
    assert_allclose(B, dense[rows.level, :, rows.row], atol=1e-12)
    assert_allclose(rows.matrix(B).toarray(), dense.transpose(2, 1, 0).reshape(m, -1), atol=1e-12)
    assert_allclose(rows.written_out(B), dense, atol=1e-12)
    W, U = (rng.normal(size=(J, q, q)) for _ in range(2))
    W, U = W + W.transpose(0, 2, 1), U + U.transpose(0, 2, 1)
    H, V = rng.normal(size=(m, m)), rng.normal(size=(m, 2))
    H = H + H.T
    full, out = np.asfortranarray(np.tril(rng.normal(size=(m, m)))), rng.normal(size=(m, 2))
    taken = np.einsum("gai,gab,gbj->ij", dense, np.eye(q) - W, dense)
    expected = full - np.tril(taken), out - np.einsum("gai,gab,gbj,jk->ik", dense, U, dense, V)
    with within(Limits(pair_numbers=whole, panel_numbers=3 * m)):
        assert are_written_out(rows.level.size, rows.steps, m, q, J) is (whole > 0 and share > 0.5)
        rows.subtract(full, B, np.eye(q) - W)
        through = rows.through(H, B)
    rows.take_through(out, B, U, V)
    assert_allclose(full, expected[0], atol=1e-12)
    assert_allclose(out, expected[1], atol=1e-12)
    assert_allclose(through, np.einsum("gai,ij,gbj->abg", dense, H, dense), atol=1e-11)


def through_loops(q):
    """What all loops over levels of q coefficients make of one case."""
    rows, values, dense = crossings(q, (1,), 0.9)
    rng, m = np.random.default_rng(q), dense.shape[2]
    B, W = rows.entries(values), rng.normal(size=(J, q, q))
    full, out, U = np.zeros((m, m), order="F"), rng.normal(size=(m, 3)), rng.normal(size=(J, q, q))
    with within(Limits(pair_numbers=0, panel_numbers=2 * m)):
        rows.subtract(full, B, W)
        through = rows.through(rng.normal(size=(m, m)), B)
        rows.take_through(out, B, U, rng.normal(size=(m, 3)))
    return full, through, out


def test_loops_from_disk_give_the_same_bits_and_need_no_compiler(tmp_path, monkeypatch):
    with within(Limits(machine_code=False)):
        plain = [through_loops(q) for q in (1, 2)]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for name, arguments in level_loops.ARGUMENTS.items():
        make(getattr(level_loops, name), arguments)
        assert machine_code(getattr(level_loops, name), arguments, 1) is not None, name
    monkeypatch.setattr(accumulation, "kernel", None)
    for q, expected in zip((1, 2), plain, strict=True):
        for found, one in zip(through_loops(q), expected, strict=True):
            assert_array_equal(found, one)


def test_sums_run_at_once_where_their_own_loops_are_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    found = []
    for name in ("subtract_numbers", "collect", "subtract_rows"):
        make(getattr(level_loops, name), level_loops.ARGUMENTS[name])
        found.append([runs_at_once(10, 10, 10, q, 10**6) for q in (1, 2)])
    assert found == [[False, False], [True, False], [True, True]]
    with within(Limits(machine_code=False, pair_numbers=1200)):
        assert not runs_at_once(10, 10, 10, 1, 10**6)
        assert runs_at_once(100, 1600, 10, 3, 40)  # all columns of the levels: a product of matrices
        for less in ((99, 1600, 10, 3, 40), (100, 1599, 10, 3, 40), (100, 1600, 10, 4, 40)):
            assert not runs_at_once(*less)


def test_entries_come_level_by_level_with_their_rows_ascending_and_are_counted_in_pairs():
    for widths in ((1,), (3,), (1, 2)):
        rows, _, dense = crossings(1, widths, 0.8)
        assert_array_equal(np.diff(rows.level) >= 0, True)
        sizes = (dense[:, 0] != 0.0).sum(axis=1)
        assert_array_equal(rows.ends, np.cumsum(sizes))
        assert_array_equal(np.concatenate([np.flatnonzero(one) for one in dense[:, 0]]), rows.row)
        assert (rows.steps, rows.m) == (sum(k * (k + 1) // 2 for k in sizes), dense.shape[2])


def test_entries_of_one_block_of_numbers_are_not_copied():
    """B by cells is B by levels there, and the values of the matrix of all levels."""
    rows, (B,), dense = crossings(1, (1,), 0.9)
    entries = rows.entries([B])
    assert np.shares_memory(entries, B)
    assert np.shares_memory(rows.matrix(entries).data, B)
    assert np.shares_memory(rows.matrix(entries).indices, rows.row)
    assert_array_equal(rows.matrix(entries).toarray(), dense[:, 0].T)
