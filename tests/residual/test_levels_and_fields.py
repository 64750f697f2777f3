"""Structures by level, and fields: how groups and coordinates are told, named and refused, and entries of W."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.residual import bind

TIMES, GROUPS = np.array([2, 1, 4, 5, 1, 2, 9, 8]), np.array(list("aabbccdd"))
LEVEL = np.array(list("vvuuvvww"))


def test_levels_that_cross_a_group_are_named_for_the_first_group_that_has_several():
    levels = ["w", "w", "v", "v", "z", "x", "y", "x"]
    groups = ["b", "b", "a", "a", "c", "c", "c", "d"]
    said = r"has the levels 'x' and 'y' of level: .* such as 'arm/subject', or use Heterogeneous"
    with pytest.raises(mme.MMEError, match=said):
        bind(mme.CompoundSymmetry(groups).by(levels), np.asarray, 8)


def test_entries_of_W_by_level_are_those_of_the_parts():
    of = bind(mme.AR1(TIMES, GROUPS).by(LEVEL), np.asarray, 8)
    assert of.names == ("rho.u", "rho.v", "rho.w", "sd.v/sd.u", "sd.w/sd.u")
    x = np.array([0.3, -0.4, 0.5, 0.2, -0.6])
    rows, cols = of.entries
    W = np.zeros((8, 8))
    W[rows, cols] = of.entry_values(x)
    np.testing.assert_allclose(W.T, of.whiten(x, np.eye(8)), rtol=1e-13)
    np.testing.assert_array_equal(np.sort(rows), np.sort([*range(8), 0, 3, 5, 6]))  # a record, and the one before it
    full = mme.Exponential(np.tile([1, 2, 4], 4), np.repeat(range(4), 3), nugget=True)
    assert bind(full.by(np.repeat(["u", "v"], 6)), np.asarray, 12).entries is None


@pytest.mark.parametrize("index", [[0], [7], [2, 5], [4, 0, 3], [6, 7, 1], [7, 6, 5, 4, 3, 2, 1, 0]])
def test_the_covariance_among_some_records_is_that_part_of_the_whole(index):
    of = bind(mme.AR1(TIMES, GROUPS).by(LEVEL), np.asarray, 8)
    x = np.array([0.3, -0.4, 0.5, 0.2, -0.6])
    W = of.whiten(x, np.eye(8)).T
    np.testing.assert_allclose(
        of.covariance(x, np.array(index)), np.linalg.inv(W.T @ W)[np.ix_(index, index)], atol=1e-12
    )


# --- fields ----------------------------------------------------------------------------------------------------------

ROW, COL = (one.ravel() for one in np.meshgrid([0.0, 1.0, 3.0], [0.0, 1.0], indexing="ij"))


def test_coordinates_are_called_by_the_name_of_their_column_or_numbered():
    table = {"row": ROW, "col": COL}
    for form, names in (
        (("row", "col"), ("rho.row", "rho.col")),
        ((pd.Series(ROW, name="row"), pd.Series(COL, name="col")), ("rho.row", "rho.col")),
        ((pd.Series(ROW), COL), ("rho.1", "rho.2")),
    ):
        of = bind(mme.AR1(form[0]) * mme.AR1(form[1]), lambda c: table[c] if isinstance(c, str) else c, 6)
        assert of.names == names


@pytest.mark.parametrize("rounding", [1e-7, -1e-7, 0.0])
def test_places_that_are_whole_but_for_rounding_are_whole_steps(rounding):
    of, whole = (bind(mme.AR1(row) * mme.AR1(COL), np.asarray, 6) for row in (ROW * (1.0 + rounding), ROW))
    x = np.array([-0.5, 0.4])
    np.testing.assert_array_equal(of.covariance(x, np.arange(6)), whole.covariance(x, np.arange(6)))


@pytest.mark.parametrize(("row", "apart"), [(ROW * 1.0001, "1.0001"), (ROW * 0.5, "0.5"), (ROW * 1e-8, "1e-08")])
def test_places_that_are_no_whole_steps_apart_are_refused(row, apart):
    with pytest.raises(mme.MMEError, match=f"must be whole numbers of steps, but two neighbours are {apart} apart"):
        bind(mme.AR1(row) * mme.AR1(COL), np.asarray, 6)


def test_records_of_one_place_are_told_with_the_group_that_factors_share():
    trial, other = np.array(["u", "u", "u", "v", "v", "v"]), np.array([1, 1, 1, 1, 1, 2])
    row, col = np.array([0, 1, 0, 0, 1, 1]), np.array([0, 0, 1, 0, 1, 1])

    def read(column):
        return {"t": trial, "o": other}[column] if isinstance(column, str) else column

    for groups, within in (
        (("t", "t"), "of group 't' 'v'"),
        ((trial, trial), "of group 'v'"),
        ((None, "t"), "of group 't' 'v'"),
    ):
        with pytest.raises(mme.MMEError, match=f"two records are at coordinate 1, coordinate 1 {within} \\(1 such"):
            bind(mme.AR1(row, groups[0]) * mme.AR1(col, groups[1]), read, 6)
    assert bind(mme.AR1(row, trial) * mme.AR1(col, other), read, 6).k == 2


def test_names_of_groups_are_compared_by_what_they_say():
    """Combinations of two columns are asked for in one; a column is asked for once however often it is named."""
    columns = {"row": ROW, "col": COL, "trial": [1] * 6, "site": ["x"] * 6}
    asked = []

    def read(column):
        asked.append(column)
        return columns[column] if isinstance(column, str) else ["1:x"] * 6

    bind(mme.AR1("row", "trial") * mme.AR1("col", "".join(["tri", "al"])), read, 6)
    assert asked.count("trial") == 1
    assert all(isinstance(column, str) for column in asked)
    bind(mme.AR1("row", "trial") * mme.AR1("col", "site"), read, 6)
    assert ["trial", "site"] in asked
