"""What the data determine: one test of it behind means, contrasts, hypotheses and predictions."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mme
from mme.engine.aliasing import aliasing
from mme.engine.basis import orthonormalise
from mme.residual.whitening import Whitening

SEEDS = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def line() -> pd.DataFrame:
    """x2 = 2 x in all records, x3 a constant, z free."""
    rng = np.random.default_rng(3)
    data = pd.DataFrame({"x": np.arange(24) % 6, "g": np.repeat(np.arange(4), 6), "z": rng.normal(size=24)})
    return data.assign(x2=2 * data["x"], x3=7.0, y=rng.normal(size=24) + data["x"])


@given(SEEDS)
def test_combinations_of_rows_are_estimable_and_no_others(seed):
    rng = np.random.default_rng(seed)
    n, rank, p = 20, int(rng.integers(1, 5)), int(rng.integers(5, 8))
    X = rng.integers(-2, 3, (n, rank)) @ rng.integers(-2, 3, (rank, p)) * 10.0 ** rng.integers(-6, 7, p)
    found = aliasing(X, orthonormalise(X, rng.normal(size=n), Whitening()))
    np.testing.assert_allclose(X[:, found.kept] @ found.A, X, rtol=0, atol=1e-9 * found.size.max())
    inside = rng.normal(size=(8, n)) @ X
    assert found.estimable(inside).all()
    null = np.linalg.svd(X / found.size)[2][found.kept.size :]
    outside = (
        inside + rng.choice([-1.0, 1.0], size=(8, len(null))) @ null * found.size * np.abs(inside / found.size).max()
    )
    assert not found.estimable(outside).any()


def test_a_column_of_zeros_is_made_of_nothing(line):
    fit = mme.lmer("y ~ x + zero + (1 | g)", line.assign(zero=0))
    assert fit.internals.aliasing.combination(2, fit.internals.model.x_names) == "zero = 0"
    assert not fit.internals.aliasing.A[:, 2].any()


def test_predictions_off_the_row_space_are_nan_and_leave_the_others_alone(line):
    fit, alone = (mme.lmer(f"y ~ x {more}+ z + (1 | g)", line) for more in ("+ x2 + x3 ", ""))
    new = line.head(4).assign(x2=[0.0, 50.0, 4.0, 6.0], x3=[7, 7, 7, 8.0])
    with pytest.warns(mme.MMEWarning, match=r"2 of 4 rows cannot be predicted and are NaN \(first: row 1\).*x2 = 2 x"):
        found = fit.predict(new)
    np.testing.assert_allclose(found, alone.predict(new).where([True, False, True, False]), rtol=1e-10)
    for interval in ("confidence", "prediction"):
        with pytest.warns(mme.MMEWarning, match=r"x3 = 7 \(Intercept\)"):
            table = fit.predict(new, interval=interval)
        assert table.isna().all(axis=1).tolist() == [False, True, False, True]
        expected = alone.predict(new, interval=interval)
        np.testing.assert_allclose(table.iloc[[0, 2]], expected.iloc[[0, 2]], rtol=1e-9)


def test_predictions_of_an_empty_cell_are_nan(cells):
    fit, by_cell = mme.lmer("y ~ a * b + (1 | g)", cells), mme.lmer("y ~ cell + (1 | g)", cells)
    new = pd.DataFrame({"a": list("pqrq"), "b": list("ttts"), "g": [0, 1, 2, 3]})
    with pytest.warns(mme.MMEWarning, match=r"1 of 4 rows .* aq:bt = 0, and in these rows not"):
        found = fit.predict(new, random=False)
    known = new.drop(1).assign(cell=["pt", "rt", "qs"])
    np.testing.assert_allclose(found.drop(1), by_cell.predict(known, random=False), rtol=1e-6)
    assert np.isnan(found[1])


def test_predictions_from_arrays_know_their_row_space(line):
    X = np.column_stack([np.ones(24), line["x"], line["x2"]])
    fit = mme.fit(line["y"], X, [mme.Term(line["g"], name="g")])
    with pytest.warns(mme.MMEWarning, match="x3 = 2 x2"):
        found = fit.predict((np.array([[1, 1, 2], [1, 1, 50.0]]), [mme.Term([0, 1], name="g")]))
    assert np.isnan(found).tolist() == [False, True]


def test_missing_values_are_nan_without_a_word(line):
    fit = mme.lmer("y ~ x + x2 + (1 | g)", line)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = fit.predict(line.head(3).assign(x=[np.nan, 1.0, 2.0]))
        assert np.isnan(found).tolist() == [True, False, False]
        np.testing.assert_allclose(fit.predict(line), fit.fitted, rtol=1e-10)


def test_printed_digits_of_percentages_do_not_make_a_row_unknown():
    rng = np.random.default_rng(5)
    parts = rng.dirichlet([2.0, 3.0, 4.0], 60) * 100
    data = pd.DataFrame(parts.round(7), columns=["u", "v", "w"]).assign(g=np.arange(60) % 6, y=rng.normal(size=60))
    fit = mme.lmer("y ~ u + v + w + (1 | g)", data)
    assert fit.dropped == ("w",)
    again = pd.DataFrame((rng.dirichlet([2.0, 3.0, 4.0], 60) * 100).round(7), columns=["u", "v", "w"]).assign(g=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(fit.predict(again)).all()
    with pytest.warns(mme.MMEWarning, match="cannot be predicted"):
        assert np.isnan(fit.predict(again.assign(w=again["w"] * 1.1))).all()


def test_contrasts_and_hypotheses_say_what_the_dropped_column_is_made_of(line, cells):
    fit = mme.lmer("y ~ x + x2 + (1 | g)", line)
    for ask in (lambda: fit.contrast({"x2": 1}), lambda: fit.test("x2 = 0"), lambda: fit.test("x = 1, x2 = 2")):
        with pytest.raises(mme.MMEError, match=r"cannot be estimated: .*dropped \(x2\).*x2 = 2 x"):
            ask()
    assert fit.test("x + 2*x2 = 0")["estimate"].iloc[0] == pytest.approx(fit.beta["x"], rel=1e-12)
    with pytest.raises(mme.MMEError, match="aq:bt = 0"):
        mme.lmer("y ~ a * b + (1 | g)", cells).contrast({"aq:bt": 1})


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_what_is_estimable_does_not_depend_on_units(line, unit):
    data = line.assign(x=line["x"] * unit, x2=line["x2"] * unit)
    fit = mme.lmer("y ~ x + x2 + I(x^2) + I(3 * x^2) + (1 | g)", data, theta=[0.5])
    with pytest.raises(mme.MMEError, match=r"I\(3 \* x\^2\) = 3 I\(x\^2\)"):
        fit.contrast({"I(3 * x^2)": 1})
    assert np.isfinite(fit.contrast({"I(x^2)": 1, "I(3 * x^2)": 3})["se"]).all()


@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger", "none"])
def test_right_sides_that_contradict_each_other_are_refused(line, ddf):
    fit = mme.lmer("y ~ x + z + (1 | g)", line)
    L = [[0, 1, 0], [0, 0, 1], [0, 1, 1]]
    with pytest.raises(
        mme.MMEError, match=r"no coefficients satisfy all rows: L3 is 1 x \(L1\) \+ 1 x \(L2\).* 4, and it is 2"
    ):
        fit.contrast(L, rhs=[2, 2, 2], joint=True, ddf=ddf)
    agreed = fit.contrast(L, rhs=[2, 2, 4], joint=True, ddf=ddf)
    once = fit.contrast(
        L[:2], rhs=[2, 2], joint=True, ddf=ddf
    )  # Satterthwaite's den_df is of the rows, not of the plane
    np.testing.assert_allclose(agreed[["num_df", "F"]], once[["num_df", "F"]], rtol=1e-8)
    with pytest.raises(mme.MMEError, match=r"2\*x = 3 is 2 x \(x = 1\).* must be 2"):
        fit.test("x = 1, 2*x = 3", ddf=ddf)
    with pytest.raises(mme.MMEError, match="a row of zeros"):
        fit.contrast([[0, 0, 0], [0, 1, 0]], rhs=[1, 0], joint=True, ddf=ddf)
    assert len(fit.contrast(L, rhs=[2, 2, 2], ddf=ddf)) == 3  # one by one each can be true
