"""A long covariate in the axes of its term, made when asked, against the axes of whole columns."""

import numpy as np
import pytest

from mme.covariance.axes import build_axes
from mme.numeric.limits import Limits, within
from mme.numeric.long_columns import LongColumns


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (3.0, 1e-3), (1e4, 1e-3), (-2e6, 5.0), (0.0, 1e-8)])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_axes_of_a_long_slope_are_those_of_whole_columns(mean, spread, order):
    """E, C and its inverse; Z = E C to the digits of Z."""
    x = mean + spread * np.random.default_rng(3).standard_normal(500)
    Z = np.asfortranarray(np.column_stack([np.full(500, 2.0), x])[:, order])
    whole = build_axes(Z, None)
    with within(Limits(held_rows=0, records_in_panel=37)):
        made = build_axes(LongColumns.of(Z), None)
    assert callable(vars(made)["columns"])
    E = np.array([np.ones(500) if column is None else column for column in made.columns])
    np.testing.assert_allclose(E[1], whole.columns[1], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(made.C, whole.C, rtol=1e-13)
    np.testing.assert_allclose(made.inverse, whole.inverse, rtol=1e-12)
    np.testing.assert_allclose(E.T @ made.C, Z, rtol=1e-15, atol=1e-15 * np.abs(Z).max())
    np.testing.assert_allclose(made.apart, whole.apart, rtol=1e-12)
    assert made.rank == whole.rank


def test_a_long_column_that_is_nearly_constant_has_no_axis():
    """A spread that is rounding is none, as in whole columns."""
    Z = np.column_stack([np.ones(400), 0.1 + np.tile([0.0, 1e-17], 200)])
    with within(Limits(held_rows=0)):
        assert build_axes(LongColumns.of(Z), None).rank == 1
