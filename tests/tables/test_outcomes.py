"""Columns as outcomes of a family, wherever they come from."""

import numpy as np
import pytest

from mme.errors import MMEError
from mme.tables.intake import intake
from mme.tables.outcome import as_numbers, labels_of_outcome, outcome_of


def read(values):
    return outcome_of(intake(values, "y"), "response 'y'")


def test_arrays_are_numbers_counts_truth_values_or_labels():
    assert read(np.array([3, 1])).dtype == float
    counts = read(np.array([[3, 1], [0, 2]]))
    assert counts.tolist() == [[3.0, 1.0], [0.0, 2.0]]
    assert read(counts[:, :1]).tolist() == [3.0, 0.0]
    assert read(np.array([True, True])).logical
    assert labels_of_outcome(read(np.array([True, True]))) == ("FALSE", "TRUE")
    assert labels_of_outcome(read(["b", "a"])) == ("a", "b")
    assert labels_of_outcome(counts) == ()
    assert as_numbers(read(["b", "a"])).tolist() == [1.0, 0.0]
    assert as_numbers(counts).tolist() == [0.75, 0.0]


def test_numbers_of_other_kinds_are_doubles():
    assert read([10**30, 2]).tolist() == [1e30, 2.0]
    assert read(np.array(["1970-01-03", "1970-01-02"], dtype="datetime64[D]")).tolist() == [2.0, 1.0]
    given = np.array([1.0, 2.0])
    assert read(given) is given  # a column of doubles is not copied


@pytest.mark.parametrize("pair", [[0.0, 0.0], [-1.0, 1.0]])
def test_the_share_of_no_trials_is_zero(pair):
    assert as_numbers(read(np.array([pair, [1.0, 1.0]]))).tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["a", "a"], "response 'y' has only the level 'a'"),
        (["a", None, "b"], "response 'y': 1 of 3 labels are missing"),
        ([True, None], "response 'y': 1 of 2 labels are missing"),
        (np.ones((2, 3)), "response 'y' has 3 columns; two are counted"),
    ],
)
def test_what_is_no_outcome_is_named(values, problem):
    with pytest.raises(MMEError, match=problem):
        read(values)
