"""The entries of a whitening, found from what it makes of ones: all of them, each record's own first, no others."""

from __future__ import annotations

import numpy as np
import pytest

import mme
from mme.residual.mixing import find_mixing

GROUPS = np.array([1, 0, 1, 2, 1, 0, 1, 2, 1])


def lower(rng, sequence, band) -> np.ndarray:
    """W (n, n): within groups, of each record and of those ``band`` before it in the sequence, none zero."""
    place = np.argsort(sequence)
    back = np.subtract.outer(place, place)
    within = np.equal.outer(GROUPS, GROUPS) & (back >= 0) & (back <= band)
    return np.where(within, rng.uniform(1.0, 2.0, within.shape), 0.0)


@pytest.mark.parametrize(("band", "by_sequence"), [(9, False), (1, False), (1, True), (0, True)])
@pytest.mark.parametrize("seed", range(3))
def test_entries_are_those_of_the_matrix_by_row_a_records_own_first(seed, band, by_sequence):
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(9)
    sequence = shuffled[np.argsort(GROUPS[shuffled], kind="stable")]
    W = lower(rng, sequence, band)
    mixing = find_mixing(lambda rows: rows @ W.T, GROUPS, sequence if by_sequence else None)
    again = lower(rng, sequence, band)
    found = np.zeros((9, 9))
    found[mixing.rows, mixing.cols] = mixing.values(lambda rows: rows @ again.T)
    np.testing.assert_array_equal(found, again)
    assert mixing.rows.size == np.count_nonzero(W)
    by_row = [sorted(np.flatnonzero(W[i]), key=lambda j: (j != i, j)) for i in range(9)]
    np.testing.assert_array_equal(mixing.cols, np.concatenate(by_row))
    np.testing.assert_array_equal(mixing.rows, np.repeat(np.arange(9), [len(row) for row in by_row]))


def test_entries_that_were_zero_where_the_pattern_was_found_make_the_pattern_void():
    """None: it is to be found again."""
    rng, sequence = np.random.default_rng(1), np.argsort(GROUPS, kind="stable")
    narrow, wide = lower(rng, sequence, 1), lower(rng, sequence, 2)
    mixing = find_mixing(lambda rows: rows @ narrow.T, GROUPS, None)
    assert mixing.values(lambda rows: rows @ narrow.T) is not None
    assert mixing.values(lambda rows: rows @ wide.T) is None


def test_a_pattern_of_more_than_a_hundred_million_numbers_is_refused_before_it_is_looked_for():
    """One group of 12,000 is 1.44e8; of pairs the same records are 24,000."""
    with pytest.raises(mme.MMEError, match="the longest has 12,000 records of 12,000"):
        find_mixing(lambda rows: pytest.fail("looked for"), np.zeros(12_000, dtype=int), None)
    pairs = find_mixing(lambda rows: rows, np.repeat(np.arange(6_000), 2), None)
    np.testing.assert_array_equal(pairs.rows, np.arange(12_000))
