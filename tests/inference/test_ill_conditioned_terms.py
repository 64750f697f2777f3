"""Type 3, and its triangle, of ill-conditioned columns: far from zero, of contrasts nearly parallel, at one level."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from test_terms_by_definition import quiet, table

import mme
from mme.inference.fixed.treatment import triangle_of


def test_the_triangle_of_sparse_columns_is_that_about_means_which_no_double_holds():
    """Of a mean of 2^40 + 31/120 a ten-thousandth is lost, at each record of a level."""
    x = np.arange(120) % 7 + (np.arange(120) == 4)
    near = np.column_stack([np.ones(120), x, np.eye(40)[np.arange(120) % 40, :3]])
    far = near + 2.0**40 * (np.arange(5) == 1)
    model = SimpleNamespace(compressed=None, is_wide=True, X=sp.csc_array(far))
    R = triangle_of(SimpleNamespace(model=model, basis=SimpleNamespace(kept=np.arange(5))))
    centred = (near - near.mean(axis=0))[:, 1:]
    np.testing.assert_allclose(R[1:, 1:].T @ R[1:, 1:], centred.T @ centred, rtol=1e-6)


@pytest.mark.parametrize("full", [True, False])
def test_type_three_is_the_same_by_contrasts_that_are_nearly_parallel(full):
    """Whatever columns span a factor; the inverses of these have large entries beside those that are rounding."""
    A = [[1.0, 1.0], [0.0, 0.01], [-1.0, -1.0]]
    B = [[1.0, 1.0, 1.0], [0.0, 0.01, 1.0], [-1.0, -1.0, 2.0], [3.0, 3.0, 5.0]]
    found, expected = (
        quiet(mme.lm("y ~ A * B * x", table(full=full), contrasts=contrasts))[["num_df", "F"]].astype(float)
        for contrasts in ({"A": A, "B": B}, None)
    )
    pd.testing.assert_frame_equal(pd.DataFrame(found), pd.DataFrame(expected), rtol=1e-5)


@pytest.mark.parametrize("terms", ["x + A", "x * A"])
def test_type_three_tests_of_factors_whose_contrasts_sum_to_zero_do_not_move_with_the_origin_of_x(terms):
    """x + A: A has the same space beside 1 and x whatever the origin; x * A: x and x:A alone have."""
    x, A = np.tile([0.3, -1.0, 2.5, 0.9, -0.4, 1.7], 2), np.repeat(["p", "q"], 6)
    data = pd.DataFrame({"A": A, "y": np.sin(np.arange(12.0) ** 2)})
    near, far = (mme.lm(f"y ~ {terms}", data.assign(x=x + at), contrasts={"A": "sum"}).anova() for at in (0.0, 2.0**30))
    same = ["x", "A"] if terms == "x + A" else ["x", "x:A"]
    np.testing.assert_allclose(far.loc[same, "F"], near.loc[same, "F"], rtol=1e-5)
    assert far["num_df"].tolist() == [1] * len(far)


@pytest.mark.parametrize("unit", [1.0, 1e3])
def test_powers_of_x_at_one_level_alone_are_not_told_from_those_that_hold_a_line_of_levels(unit):
    """x is zero but at r, where A is 2: A x and A x^2 are 2 x and 2 x^2, whatever the unit of x."""
    data = table()
    data["x"] = unit * np.where(data["A"] == "r", data["x"], 0.0)
    fit = mme.lm("y ~ A * poly(x, 2, raw = TRUE)", data, contrasts={"A": [-1.0, 0.5, 2.0]})
    tests = quiet(fit)
    assert len(fit.dropped) == 2
    assert tests.index.tolist() == ["A"]
