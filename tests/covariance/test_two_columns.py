"""Terms of two columns, as most are: their axes, and triangles of two rows by one rotation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mme.covariance.axes import build_axes
from mme.covariance.triangle import lower_factor

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)


@given(st.lists(numbers, min_size=4, max_size=4))
def test_a_triangle_of_two_rows_is_a_root_of_the_same_covariance(entries: list[float]) -> None:
    A = np.array(entries).reshape(2, 2)
    T, size = lower_factor(A), np.abs(A).max()
    assert T[0, 1] == 0.0
    assert (T.diagonal() >= 0.0).all()
    np.testing.assert_allclose(T @ T.T, A @ A.T, rtol=1e-14, atol=4e-15 * size**2)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
@pytest.mark.parametrize(
    "x",
    [
        np.tile(np.arange(10.0), 7),
        np.random.default_rng(0).normal(2020.0, 3.0, 70),
        -np.random.default_rng(1).gamma(0.2, 1e-30, 70),
        np.append(np.zeros(69), 1e40),
    ],
)
def test_axes_of_a_constant_and_a_covariate_are_those_of_weights_of_one(x: np.ndarray, order: list[int]) -> None:
    Z = np.column_stack([np.full(x.size, 3.0), x])[:, order]
    found, general = build_axes(Z, None), build_axes(Z, np.ones(x.size))
    assert found.rank == general.rank == 2
    assert found.own.all()
    assert found.columns[0] is general.columns[0] is None
    assert found.columns[1] == pytest.approx(general.columns[1], rel=1e-12, abs=1e-13)
    for one, other in ((found.C, general.C), (found.inverse, general.inverse)):
        assert one == pytest.approx(other, rel=1e-12, abs=1e-14 * np.abs(other).min(where=other != 0.0, initial=np.inf))


@pytest.mark.parametrize("x", [np.full(9, 2.5), np.zeros(9)])
def test_a_second_constant_column_has_no_axis_of_its_own(x: np.ndarray) -> None:
    assert build_axes(np.column_stack([np.ones(9), x]), None).rank == 1
