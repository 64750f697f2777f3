"""Candidates from whatever holds them, block by block, and means in place of what they miss."""

import numpy as np
import pytest

from mme.inference.scanning.candidates import Candidates, imputed


class Named(np.ndarray):
    """A matrix with names, as bed files have them, that is read as any other."""

    sid = ("rs1", "rs2", "rs3")


class Readable(np.ndarray):
    """A matrix that has a ``read`` of its own, and no names."""

    def read(self, *_: object) -> None:
        raise AssertionError("only what has names as bed files have them is read by its own")


@pytest.mark.parametrize(("kind", "names"), [(Named, ("rs1", "rs2", "rs3")), (Readable, (0, 1, 2))])
def test_a_matrix_is_read_by_its_columns_whatever_else_it_has(kind, names):
    x = np.arange(12.0).reshape(4, 3)
    found = Candidates.of(x.view(kind), 4)
    assert found.names == names
    assert not found.several
    np.testing.assert_array_equal(found.read(1, 3), x[:, 1:3])


def test_candidates_of_several_columns_say_so():
    x = np.arange(24.0).reshape(4, 3, 2)
    found = Candidates.of(x, 4)
    assert found.several
    assert found.names == (0, 1, 2)
    ((at, block),) = found.blocks(np.array([0, 2]))
    assert at.tolist() == [0, 2]
    np.testing.assert_array_equal(block, x[:, [0, 2]].transpose(1, 2, 0))


@pytest.mark.parametrize("chosen", [[0], [3], [0, 1, 2, 3], [1, 3], [2, 3]])
def test_a_block_has_the_chosen_rows_and_reads_from_the_first_of_them_to_the_last(chosen):
    x, asked = np.arange(20.0).reshape(5, 4), []

    def read(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        return x[:, start:stop]

    ((at, block),) = Candidates(read, (0, 1, 2, 3)).blocks(np.array(chosen))
    assert at.tolist() == chosen
    assert asked == [(chosen[0], chosen[-1] + 1)]
    np.testing.assert_array_equal(block, x[:, chosen].T)
    assert block.flags.c_contiguous


def test_many_candidates_come_in_blocks_of_which_each_is_once_among_them():
    x = np.random.default_rng(1).normal(size=(2, 700))
    chosen = np.arange(3, 700, 2)
    found = list(Candidates.of(x, 2).blocks(chosen))
    assert len(found) > 1
    np.testing.assert_array_equal(np.concatenate([at for at, _ in found]), chosen)
    np.testing.assert_array_equal(np.concatenate([block for _, block in found]), x[:, chosen].T)


def test_none_that_are_chosen_are_no_blocks():
    assert not list(Candidates.of(np.ones((2, 3)), 2).blocks(np.arange(0)))


@pytest.mark.parametrize("shape", [(4, 5), (3, 2, 5), (2, 3, 5)])
def test_what_is_missing_is_the_mean_of_the_rest_of_its_column(shape):
    columns = np.random.default_rng(2).normal(size=shape) + 10.0
    columns[..., 0, 1], columns[..., 1, 3:] = np.nan, [np.inf, -np.inf]
    found, lost = imputed(columns)
    known = np.where(np.isfinite(columns), columns, np.nan)
    np.testing.assert_allclose(found, np.where(np.isnan(known), np.nanmean(known, axis=-1, keepdims=True), columns))
    np.testing.assert_array_equal(lost, np.isnan(known).sum(axis=-1))
    whole, none = imputed(found)
    np.testing.assert_array_equal(whole, found)
    np.testing.assert_array_equal(none, np.zeros(shape[:-1]))


def test_a_column_of_which_all_is_missing_stays_missing():
    found, lost = imputed(np.array([[np.nan, np.nan], [1.0, 2.0]]))
    assert np.isnan(found[0]).all()
    assert found[1].tolist() == [1.0, 2.0]
    assert lost.tolist() == [2.0, 0.0]
