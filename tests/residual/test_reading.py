"""How the columns of a residual structure are read: groups of several columns, orders, dates, zeros and few records."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import mme
from mme.residual import bind
from mme.residual.reading import Labels, Reader

BLOCK, PLOT = ["n", "s", "s", "n", "n", "s"], [2, 1, 10, 2, 1, 1]
TWO = {"block": BLOCK, "plot": PLOT}
FORMS = {
    "a list of columns": [BLOCK, PLOT],
    "a tuple of arrays": (np.array(BLOCK), np.array(PLOT)),
    "pandas": pd.DataFrame(TWO),
    "Polars": pl.DataFrame(TWO),
    "Arrow": pa.table(TWO),
}


def read(n: int) -> Reader:
    return Reader("AR1", lambda given: given, n)


@pytest.mark.parametrize("form", FORMS)
def test_groups_of_several_columns_are_the_combinations_that_occur_the_first_varying_slowest(form):
    found = read(6).labels(FORMS[form], "group")
    assert found.levels == ["n:1", "n:2", "s:1", "s:10"]
    assert [found.levels[code] for code in found.codes] == ["n:2", "s:1", "s:10", "n:2", "n:1", "s:1"]
    assert found.sizes.tolist() == [1, 2, 2, 1]


@pytest.mark.parametrize("form", [pd.Series(PLOT), pl.Series(PLOT), pa.array(PLOT), PLOT, tuple(PLOT), np.array(PLOT)])
def test_a_column_alone_is_one_factor_of_any_library(form):
    found = read(6).labels(form, "group")
    assert [found.levels[code] for code in found.codes] == list(map(str, PLOT))


@pytest.mark.parametrize("form", [pd.DataFrame(index=range(4)), pl.DataFrame(), pa.table({})])
def test_a_table_without_columns_has_no_labels(form):
    with pytest.raises(mme.MMEError, match="AR1: group has no columns; give a label for each record"):
        read(4).labels(form, "group")


def test_a_correlation_needs_a_group_of_two_records():
    for sizes, refused in (([1, 1, 1], True), ([1, 2, 1], False), ([2, 2, 2], False), ([1, 3, 1], False)):
        codes = np.repeat(range(3), sizes)
        groups = Labels(codes, ["a", "b", "c"], "group")
        if refused:
            with pytest.raises(mme.MMEError, match="every group has a single record"):
                read(codes.size).require_pairs(groups)
        else:
            read(codes.size).require_pairs(groups)


def test_numbers_whose_squares_vanish_are_refused_and_zeros_are_not():
    tiny = np.array([1e-120, 2e-120, 3e-120, 4e-120])
    with pytest.raises(mme.MMEError, match="values of size 4e-120"):
        read(4).numbers(tiny, "time")
    np.testing.assert_array_equal(read(4).numbers(np.zeros(4), "time")[0], np.zeros(4))


def test_occasions_that_are_dates_are_called_by_their_dates():
    days = np.array(["2024-03-01", "2024-01-31", "2024-01-31", "2024-03-01"], dtype="M8[D]")
    of = bind(mme.Unstructured(days, [1, 1, 2, 2]), np.asarray, 4)
    assert of.names == ("cor.2024-03-01.2024-01-31", "sd.2024-03-01/sd.2024-01-31")
    assert of.occasions.tolist() == [1, 0, 0, 1]


# --- which labels are steps in time ----------------------------------------------------------------------------------

GROUPS = Labels(np.repeat([0, 1], 3), ["a", "b"], "group")


def steps(column) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read(6).steps(column, "time", GROUPS)[0].tolist()


def category(labels: list[str], ordered: bool, declared: list[str]) -> pd.Categorical:
    return pd.Categorical(labels, categories=declared, ordered=ordered)


TURN = ["x", "y", "z"] * 2
BACK = ["x", "y", "z", "z", "y", "x"]


@pytest.mark.parametrize(
    ("column", "places"),
    [
        (category(BACK, True, ["z", "x", "y"]), [1, 2, 0, 0, 2, 1]),  # as declared
        (category(TURN, False, ["x", "y", "z"]), [0, 1, 2] * 2),  # sorted, and so do the records stand
        (category(["x", "y", "x", "y", "x", "y"], False, ["x", "y"]), [0, 1] * 3),  # of two either order is one model
        (["week 1", "week 2", "week 4"] * 2, [1, 2, 4] * 2),  # numbers in text, whose distances are read
        (["1", "2", "4", "4", "2", "1"], [1, 2, 4, 4, 2, 1]),
        (category(["4", "2", "9"] * 2, True, ["4", "9", "2"]), [0, 2, 1] * 2),  # numbers that do not rise are names
        (category(["1", "2", "3"] * 2, True, ["1", "2", "3"]), [0, 1, 2] * 2),
    ],
)
def test_labels_whose_order_is_known_or_does_not_matter_are_steps_in_silence(column, places):
    assert steps(column) == places


@pytest.mark.parametrize("column", [BACK, TURN, ["x", "y"] * 3, category(BACK, False, ["x", "y", "z"])])
def test_labels_whose_order_is_that_of_the_alphabet_alone_are_no_steps(column):
    """Text never; categories that no one declared where another order would be another model."""
    with pytest.raises(mme.MMEError, match=r"time must be numeric, got text \(x\); labels need a declared order"):
        steps(column)


def test_declared_labels_one_step_apart_whose_numbers_are_not_are_pointed_out():
    with pytest.warns(mme.MMEWarning, match="one step apart, but they are 1, 2, 4; Exponential reads the distances"):
        read(6).steps(category(["1", "2", "4"] * 2, True, ["1", "2", "4"]), "time", GROUPS)


@pytest.mark.parametrize(("J", "shown"), [(7, "0, 1, 2, 3, 4, 5, 9"), (8, "0, 1, 2, 3, 4, 5, 6, 9")])
def test_eight_levels_are_shown_whole(J, shown):
    levels = [*map(str, range(J - 1)), "9"]
    with pytest.warns(mme.MMEWarning, match=f"they are {shown};"):
        read(J).compare_spacing(Labels(np.arange(J), levels, "time", np.array(levels, dtype=float)))


def test_of_nine_levels_eight_are_shown():
    levels = [*map(str, range(8)), "99"]
    with pytest.warns(mme.MMEWarning, match=r"they are 0, 1, 2, 3, 4, 5, 6, 7, \.\.\.;"):
        read(9).compare_spacing(Labels(np.arange(9), levels, "time", np.array(levels, dtype=float)))
