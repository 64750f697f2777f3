"""The data sets that ship with the package."""

import pandas as pd
import pytest
from cases import load_data

from mme.errors import MMEError
from mme.tables.datasets import NAMES, load
from tests.glmm import data_of

SIZES = {
    "sleepstudy": (180, {"Subject": 18}),
    "Dyestuff": (30, {"Batch": 6}),
    "Dyestuff2": (30, {"Batch": 6}),
    "Penicillin": (144, {"plate": 24, "sample": 6}),
    "Pastes": (60, {"batch": 10, "cask": 3, "sample": 30}),
    "Orthodont": (108, {"Subject": 27, "Sex": 2}),
    "Oats": (72, {"Block": 6, "Variety": 3}),
    "Machines": (54, {"Worker": 6, "Machine": 3}),
    "cbpp": (56, {"herd": 15, "period": 4}),
}


def test_every_data_set_is_described_here_and_in_the_docstring():
    assert set(NAMES) == set(SIZES)
    assert all(name in load.__doc__ for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_is_the_table_that_the_references_were_fitted_to(name):
    theirs = data_of(name)[load(name).columns.tolist()].astype(load(name).dtypes) if name == "cbpp" else load_data(name)
    pd.testing.assert_frame_equal(load(name), theirs, check_exact=True)


@pytest.mark.parametrize("name", NAMES)
def test_labels_are_strings_and_measurements_floats_without_gaps(name):
    rows, levels = SIZES[name]
    data = load(name)
    assert len(data) == rows
    assert not data.isna().any(axis=None)
    assert {column: data[column].nunique() for column in data if not is_float(data[column])} == levels
    assert all(isinstance(label, str) for column in levels for label in data[column])


@pytest.mark.parametrize("name", ["SLEEPSTUDY", "SleepStudy", "sleepstudy"])
def test_upper_and_lower_case_are_not_told_apart(name):
    assert load(name).equals(load("sleepstudy"))


def test_a_loaded_table_is_the_callers_own():
    mine = load("Dyestuff")
    mine["Yield"] = 0.0
    assert load("Dyestuff")["Yield"].mean() == 1527.5


def test_an_unknown_name_is_answered_with_the_nearest_and_the_list():
    with pytest.raises(MMEError, match=r"no data set is named 'penicilin' \(did you mean 'Penicillin'\?\)") as caught:
        load("penicilin")
    assert all(name in str(caught.value) for name in NAMES)
    with pytest.raises(MMEError, match=r"no data set is named 'iris'; available are"):
        load("iris")


def is_float(column):
    return pd.api.types.is_float_dtype(column)
