"""Contrasts are linear functions, in whatever container, of the estimated coefficients or of all columns of X."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import chi2
from scipy.stats import f as f_distribution
from scipy.stats import t as t_distribution

import mme
from mme.inference.fixed.reference import FTest, two_sided

rng = np.random.default_rng(3)
DATA = pd.DataFrame({"x": rng.normal(size=20), "z": rng.normal(size=20), "y": rng.normal(size=20)})
DATA["twice"] = 2.0 * DATA["x"]
FIT = mme.lm("y ~ x + twice + z", DATA)  # twice is dropped
COLUMNS = ["estimate", "se", "df", "t", "p"]


@pytest.mark.parametrize(
    "L",
    [
        [0.0, 1.0, -1.0],
        [[0.0, 1.0, -1.0]],
        [0.0, 1.0, 2.0, -1.0],
        pd.Series([0.0, 1.0, -1.0]),
        {"x": 1.0, "z": -1.0, "twice": 2.0},
        pd.DataFrame({"z": [-1.0], "twice": [2.0], "x": [1.0]}),
    ],
    ids=["row", "rows", "all columns", "Series", "names", "table"],
)
def test_a_function_is_the_same_in_whatever_container(L):
    found = FIT.contrast(L, rhs=0.3)
    b, row = FIT.beta.to_numpy(), np.array([0.0, 1.0, -1.0])
    X = np.column_stack([np.ones(20), DATA["x"], DATA["z"]])
    se = FIT.sigma * np.sqrt(row @ np.linalg.inv(X.T @ X) @ row)
    t = (row @ b - 0.3) / se
    expected = [row @ b - 0.3, se, 17.0, t, 2.0 * t_distribution.sf(abs(t), 17)]
    assert_allclose(found[COLUMNS].iloc[0].astype(float), expected)
    joint = FIT.contrast(L, rhs=0.3, joint=True).iloc[0]
    assert_allclose(joint[["num_df", "den_df", "F"]].astype(float), [1.0, 17.0, t**2])


def test_right_sides_are_one_for_all_rows_or_one_each():
    L = np.eye(3)[1:]
    alike, each = FIT.contrast(L, rhs=0.5), FIT.contrast(L, rhs=[0.5, -1.0])
    assert_allclose(alike["estimate"], FIT.beta.to_numpy()[1:] - 0.5)
    assert_allclose(each["estimate"], FIT.beta.to_numpy()[1:] - [0.5, -1.0])
    for wrong in ([0.5, 1.0, 2.0], [[0.5, 1.0]], [[0.5]], [np.nan, 0.0], []):
        with pytest.raises(mme.MMEError, match="rhs needs 2 finite numbers"):
            FIT.contrast(L, rhs=wrong)


@pytest.mark.parametrize(
    "L",
    [[1.0, 2.0], np.zeros((2, 5)), np.zeros((1, 1, 3)), np.zeros((3, 3, 3)), [0.0, np.nan, 1.0], [np.inf, 0.0, 0.0]],
)
def test_weights_of_another_shape_or_without_a_value_are_refused(L):
    with pytest.raises(mme.MMEError, match="a contrast needs 3 finite weights"):
        FIT.contrast(L)


def test_a_table_of_weights_is_whole_and_of_coefficients():
    with pytest.raises(mme.MMEError, match="missing or infinite weights"):
        FIT.contrast(pd.DataFrame({"x": [1.0, np.nan], "z": [0.0, 1.0]}))
    with pytest.raises(mme.MMEError, match="no fixed effect is called 'w'"):
        FIT.contrast({"x": 1.0, "w": 2.0})
    with pytest.raises(mme.MMEError, match="row 1 of the contrast cannot be estimated"):
        FIT.contrast({"twice": 1.0, "x": 1.0})


def test_tails_are_those_of_t_and_F_and_without_end_those_of_the_normal_and_of_chi_square():
    t, df = np.array([1.3, -2.0, 30.0]), np.array([4.0, np.inf, 7.0])
    expected = [2.0 * t_distribution.sf(1.3, 4.0), 0.04550026389635842, 2.0 * t_distribution.sf(30.0, 7.0)]
    assert_allclose(two_sided(t, df), expected, rtol=1e-12)
    assert FTest(2.5, 3, 8.0).p == pytest.approx(f_distribution.sf(2.5, 3, 8.0), rel=1e-12)
    assert FTest(2.5, 3, np.inf).p == pytest.approx(chi2.sf(7.5, 3), rel=1e-12)
