"""Slopes of covariates: rows of derivatives by hand, whatever the unit of the covariate, its origin and its range."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.fixed.slopes import slopes

rng = np.random.default_rng(5)
N = 40
DATA = pd.DataFrame(
    {
        "f": np.tile(["p", "q"], N // 2),
        "x": rng.uniform(0.5, 1.5, N),
        "z": rng.normal(size=N),
        "w": rng.normal(size=N),
        "y": rng.normal(size=N),
    }
)


def fitted(terms: str, **columns: np.ndarray) -> mme.Fit:
    return mme.lmer(f"y ~ {terms}", DATA.assign(**columns))


@pytest.mark.parametrize("x", [-1.5, 0.0, 0.7])
def test_rows_of_a_quartic_are_its_derivatives_within_each_level(x):
    fit = fitted("f + x + I(x^2) + I(x^3) + I(x^4) + f:x")
    found = slopes(fit.internals, "x", "f", {"x": x})
    within = np.array([0.0, 0.0, 1.0, 2.0 * x, 3.0 * x**2, 4.0 * x**3])
    np.testing.assert_allclose(found.L, [[*within, 0.0], [*within, 1.0]], rtol=1e-9, atol=1e-9)
    assert (found.L[:, :2] == 0.0).all()
    assert (found.levels, found.names, found.n_by, found.offset) == ((("p",), ("q",)), ("f",), 0, 0.0)


@pytest.mark.parametrize("unit", [1e-8, 1e-3, 1.0, 1e8])
@pytest.mark.parametrize("terms", ["log(x)", "x + log(x)", "f * sqrt(x)", "I(1e-7 * x^2) + I(1e-6 * x)"])
def test_a_slope_has_the_reciprocal_of_the_unit_of_its_covariate(terms, unit):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        apart = [fitted(terms, x=DATA["x"] * u).trends("x", at={"x": [0.01 * u, u, 9.0 * u]}) for u in (1.0, unit)]
    np.testing.assert_allclose(apart[1]["slope"] * unit, apart[0]["slope"], rtol=1e-8)


def test_a_slope_of_logarithms_is_the_reciprocal_wherever_the_covariate_is():
    """Beside a column whose spread is a thousand times where the slope is taken."""
    fit = fitted("x + log(x)", x=DATA["x"] ** 20)
    at = np.array([1e-5, 0.02, 1.0, 500.0])
    L = slopes(fit.internals, "x", [], {"x": at}).L
    np.testing.assert_allclose(L, np.column_stack([0.0 * at, 0.0 * at + 1.0, 1.0 / at]), rtol=1e-9)


@pytest.mark.parametrize("x", [0.0, 1e-17, 1e-8, 1e-6, 1e-3, 30.0, 2000.0])
@pytest.mark.parametrize("column", ["", "x + "])
def test_a_slope_near_zero_or_far_from_it_is_the_derivative(x, column):
    fit = fitted(f"{column}sin(x)", x=DATA["z"] + x)
    L = slopes(fit.internals, "x", [], {"x": x}).L
    np.testing.assert_allclose(L[0, -1], np.cos(x), rtol=1e-9)


@pytest.mark.parametrize("x", [1e-17, 30.0])
@pytest.mark.parametrize("unit", ["1e-30", "1e-6", "1e30"])
def test_a_slope_is_as_exact_in_whatever_unit_a_column_is(unit, x):
    fit = fitted(f"I({unit} * exp(sin(x)))", x=DATA["z"] + x)
    L = slopes(fit.internals, "x", [], {"x": x}).L
    np.testing.assert_allclose(L[0, 1] / float(unit), np.cos(x) * np.exp(np.sin(x)), rtol=1e-9)


def test_a_column_of_zeros_has_no_slope():
    L = slopes(fitted("x + I(0 * x)").internals, "x", [], {"x": 2.0}).L
    np.testing.assert_allclose(L, [[0.0, 1.0, 0.0]], rtol=1e-9)


def test_a_small_column_beside_a_large_one_moves_as_well():
    fit = fitted("x + I(1e-7 * x^2)")
    L = slopes(fit.internals, "x", [], {"x": 3.0}).L
    np.testing.assert_allclose(L, [[0.0, 1.0, 6e-7]], rtol=1e-6)


def test_a_column_far_from_zero_moves_as_well():
    L = slopes(fitted("I(1e6 + x)").internals, "x", [], {"x": 3.0}).L
    np.testing.assert_allclose(L, [[0.0, 1.0]], rtol=1e-6)


def test_a_covariate_that_is_the_same_in_all_records_has_the_slope_of_a_line_through_zero():
    fit = fitted("0 + x", x=np.full(N, 3.0))
    assert fit.trends("x")["slope"].iloc[0] == pytest.approx(DATA["y"].mean() / 3.0, rel=1e-10)
    nowhere = fit.trends("x", at={"x": 0.0})["slope"].iloc[0]
    assert nowhere == pytest.approx(DATA["y"].mean() / 3.0, rel=1e-10)


def test_slopes_stand_by_the_values_of_other_covariates_then_by_the_factors():
    fit = fitted("f * x + x:z + x:w")
    at = {"z": [0.0, 2.0], "w": [1.0, 5.0]}
    for by, labels in ((["f"], [("p",), ("q",)]), ([], [()])):
        of_q = {("p",): 0.0, ("q",): 1.0, (): 0.5}
        found = slopes(fit.internals, "x", by, at)
        assert found.names == ("z", "w", *by)
        assert found.n_by == 2
        expected = [(z, w, *own) for own in labels for z in at["z"] for w in at["w"]]
        assert set(found.levels) == set(expected)
        for (z, w, *own), row in zip(found.levels, found.L, strict=True):
            np.testing.assert_allclose(row, [0.0, 0.0, 1.0, of_q[tuple(own)], z, w], rtol=1e-9)


def test_the_slope_at_a_list_of_one_value_is_named_by_it_and_that_at_a_number_is_not():
    fit = fitted("f * x + I(x^2)")
    b = fit.beta
    one, listed = (fit.trends("x", by="f", at={"x": at}) for at in (2.0, [2.0]))
    assert one.index.tolist() == ["p", "q"]
    assert listed.index.tolist() == [(2.0, "p"), (2.0, "q")]
    assert slopes(fit.internals, "x", "f", {"x": [2.0]}).n_by == 1
    for table in (one, listed):
        np.testing.assert_allclose(table["slope"], b["x"] + 4.0 * b["I(x^2)"] + [0.0, b["fq:x"]], rtol=1e-9)


def test_pairs_of_slopes_are_those_at_the_same_value_of_the_covariate():
    fit = fitted("f * x + f:I(x^2) + I(x^2)")
    table = fit.trends("x", by="f", at={"x": [1.0, 2.0]}, pairs=True)
    expected = [-fit.beta["fq:x"] - 2.0 * x * fit.beta["fq:I(x^2)"] for x in (1.0, 2.0)]
    assert len(table) == 2
    np.testing.assert_allclose(table["estimate"], expected, rtol=1e-8)


def test_an_offset_has_no_slope():
    fit = mme.lmer("y ~ x", DATA, offset=np.full(N, 7.0))
    assert fit.trends("x", at={"x": [1.0]})["slope"].iloc[0] == pytest.approx(fit.beta["x"], rel=1e-10)
    assert fit.trends("x")["slope"].iloc[0] == pytest.approx(fit.beta["x"], rel=1e-10)


@pytest.mark.filterwarnings("ignore::mme.MMEWarning")
@pytest.mark.parametrize("x", [0.0, -1.0])
def test_where_the_fixed_part_does_not_exist_it_has_no_slope(x):
    with pytest.raises(mme.MMEError, match="not defined on both sides of x"):
        fitted("log(x)").trends("x", at={"x": x})


@pytest.mark.parametrize("x", ["nothing", "f", ["x"], 3])
def test_what_is_no_covariate_has_no_slope(x):
    with pytest.raises(mme.MMEError, match="is no covariate of the fixed part that holds numbers; they are 'x', 'z'"):
        fitted("f + x + z").trends(x)
