"""Marginal means are averages of predictions over the combinations of levels, dense or sparse, by whatever weights."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import wide

import mme
from mme.inference.fixed.wide_grid import reference_grid
from mme.numeric.limits import Limits, within

AXES = {"A": list("pqr"), "B": list("st"), "C": list("uvw"), "d": [0.0, 1.0]}


def table() -> pd.DataFrame:
    """Three factors and an indicator, every combination of A, B and C met, by unequal numbers of records."""
    rng = np.random.default_rng(6)
    rows = [cell for k, cell in enumerate(product("pqr", "st", "uvw")) for _ in range(1 + (k * 7) % 4)]
    data = pd.DataFrame(rows, columns=["A", "B", "C"])
    n = len(data)
    return data.assign(d=1.0 * (rng.random(n) < 0.3), x=rng.normal(2.0, 1.0, n), y=rng.normal(size=n))


def averaged(fit: mme.Fit, data: pd.DataFrame, wanted: list[str], weights: str) -> np.ndarray:
    """Predictions at x's mean, averaged over the axes that are not wanted."""
    axes = [axis for axis in AXES if axis in fit.formula]
    grid = pd.DataFrame(list(product(*(AXES[axis] for axis in axes))), columns=axes).assign(x=data["x"].mean())
    others = [axis for axis in axes if axis not in wanted]
    counted = {"equal": [], "proportional": others, "cells": axes}[weights]
    counts = data.groupby(counted).size() if counted else None
    keys = [tuple(row) if len(counted) > 1 else row[0] for row in grid[counted].to_numpy().tolist()] if counted else []
    grid["w"] = [counts.get(key, 0) for key in keys] if counted else 1.0
    grid["sum"] = grid["w"] * fit.predict(grid, random=False)
    total = grid.groupby(wanted)[["sum", "w"]].sum()
    return (total["sum"] / total["w"]).to_numpy()


@cache
def fitted(terms: str, sparse: bool) -> tuple[mme.Fit, pd.DataFrame]:
    """A fit by least squares of one table."""
    data = table()
    if "d" in terms:  # every combination of the four
        whole = pd.DataFrame(list(product(*AXES.values())), columns=list(AXES))
        data = pd.concat([data, whole.assign(x=1.0, y=np.arange(len(whole)) % 5.0)], ignore_index=True)
    with within(wide.SPARSE if sparse else Limits()):
        return mme.lmer(f"y ~ {terms}", data), data


@pytest.mark.parametrize("weights", ["equal", "proportional", "cells"])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("terms", ["A * B + C + d + x:A", "A + B + C + x", "A * B * C + d + x"])
def test_a_mean_is_the_average_of_predictions(terms, sparse, weights):
    fit, data = fitted(terms, sparse)
    assert fit.internals.model.is_wide == sparse
    for wanted in (["A"], ["C", "A"], ["A", "B", "C"]):
        found = fit.means(wanted, weights=weights)
        in_order = found["mean"].sort_index() if len(wanted) > 1 else found["mean"]
        np.testing.assert_allclose(in_order, averaged(fit, data, wanted, weights), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("weights", ["equal", "proportional", "cells"])
@pytest.mark.parametrize("sparse", [False, True])
def test_no_records_are_counted_at_values_that_a_covariate_is_put_at(sparse, weights):
    """An indicator at 0.2: the others are weighted by all their records."""
    fit, data = fitted("A * B + C + d + x:A", sparse)
    grid = pd.DataFrame(list(product("pqr", "st", "uvw")), columns=["A", "B", "C"]).assign(d=0.2, x=data["x"].mean())
    counted = {"equal": [], "proportional": ["B", "C"], "cells": ["A", "B", "C"]}[weights]
    grid["w"] = grid.merge(data.groupby(counted).size().rename("w").reset_index())["w"] if counted else 1.0
    grid["sum"] = grid["w"] * fit.predict(grid, random=False)
    total = grid.groupby("A")[["sum", "w"]].sum()
    np.testing.assert_allclose(fit.means("A", at={"d": 0.2}, weights=weights)["mean"], total["sum"] / total["w"])


def test_columns_that_are_made_of_labels_stand_at_their_own_means():
    data = table().assign(k=lambda one: np.array(list("12345"))[(np.arange(len(one)) ** 2) % 5])
    fit = mme.lm("y ~ A + poly(as.numeric(k), 2) + I(2 * pi):x", data)
    X = fit.internals.model.X.mean(axis=0)
    X[1:3] = 0.0
    np.testing.assert_allclose(fit.means("A")["mean"].iloc[0], X @ fit.beta, rtol=1e-9)


@pytest.mark.parametrize("sparse", [False, True])
def test_where_an_empty_cell_leaves_no_mean_determined_there_is_none(sparse):
    with within(wide.SPARSE if sparse else Limits()):
        fit = mme.lmer("y ~ A * B + C", table().query("A != 'r' or B != 't'"))
    with pytest.warns(mme.MMEWarning, match="Not estimable: u, v, w"):
        found = fit.means("C")
    assert found[["mean", "se", "df"]].isna().all(axis=None)


NESTS = {"A": {"p": "12", "q": "3"}, "B": {"r": "456", "s": "7", "t": "89"}}


@cache
def within_each_other(terms: str, sparse: bool) -> tuple[mme.Fit, pd.DataFrame]:
    """A fit where levels of e stand in one of b each, and these in one of a, beside c in all, by unequal records."""
    rng = np.random.default_rng(9)
    rows = [(a, b, e, c) for a in NESTS for b in NESTS[a] for e in NESTS[a][b] for c in "xy"]
    data = pd.DataFrame([row for k, row in enumerate(rows) for _ in range(1 + (k * 7) % 3)], columns=list("abec"))
    data = data.assign(w=rng.normal(size=len(data)), y=rng.normal(size=len(data)))
    with within(wide.SPARSE if sparse else Limits()):
        return mme.lmer(f"y ~ {terms}", data), data


TERMS = ["a + b + e + c + w", "a / b / e + c", "c * a / b", "b + e:a + c", "c + a:b + w", "c:b:a"]


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("sparse", [False, True])
def test_a_mean_over_factors_within_others_averages_the_innermost_first(terms, sparse):
    fit, data = within_each_other(terms, sparse)
    axes = [axis for axis in "abec" if axis in terms.replace("w", "")]
    grid = data.drop_duplicates(axes).assign(w=data["w"].mean())
    cells = grid.assign(mean=fit.predict(grid, random=False)).set_index(axes)["mean"]
    for wanted in (["a"], ["b"], ["c"], ["c", "a"]):
        expected, left = cells, list(axes)
        for axis in [one for one in "ebac" if one in axes and one not in wanted]:
            left.remove(axis)
            expected = expected.groupby(level=left).mean()
        expected = expected.reorder_levels(wanted) if len(wanted) > 1 else expected
        np.testing.assert_allclose(fit.means(wanted)["mean"].sort_index(), expected.sort_index(), rtol=1e-8)


@pytest.mark.parametrize("terms", TERMS)
@pytest.mark.parametrize("weights", ["proportional", "cells"])
def test_means_by_records_within_nests_are_those_of_a_dense_fit(terms, weights):
    dense, sparse = (within_each_other(terms, one)[0] for one in (False, True))
    for wanted in (["a"], ["b"], ["c"], ["a", "c"], ["a", "b"]):
        table = dense.means(wanted, weights=weights)
        np.testing.assert_allclose(sparse.means(wanted, weights=weights)["mean"], table["mean"], rtol=1e-8)
        np.testing.assert_allclose(sparse.means(wanted, weights=weights)["se"], table["se"], rtol=1e-8)


def test_a_sparse_grid_is_forecast_to_be_no_smaller_than_it_is_and_not_much_larger():
    rng = np.random.default_rng(3)
    data = {"A": np.arange(40) % 4, "B": np.arange(40) % 5, "M": rng.normal(size=(40, 3)), "y": rng.normal(size=40)}
    for terms in ("factor(A) + factor(B)", "factor(A) + M", "factor(A):factor(B)"):
        with within(wide.SPARSE):
            fit = mme.lmer(f"y ~ {terms}", data)
        grid = reference_grid(fit.internals, {})
        X = grid.crossed_rows(grid.factors)
        assert X.nnz <= grid.entries(X.shape[0]) <= 2 * X.nnz


def test_more_means_than_there_is_room_for_are_refused_whatever_the_grid_that_they_are_made_of():
    """Main effects alone have a grid of 180 rows, and 216,000 means of 178 weights each."""
    rng = np.random.default_rng(1)
    data = {name: rng.permutation(np.arange(300) % 60).astype(str) for name in "ABC"} | {"y": rng.normal(size=300)}
    fit = mme.lm("y ~ A + B + C", data)
    with pytest.raises(mme.MMEError, match="the reference grid would have 216000 rows"):
        fit.means(["A", "B", "C"])
    assert len(fit.means(["A", "B"])) == 3600


def test_a_factor_of_one_level_has_no_others_within_it():
    """A and B are crossed, of which one cell is empty, whatever stands beside them."""
    data = table().query("A != 'r' or B != 't'").assign(one="o")
    for terms in ("0 + A:B", "0 + one:A:B"):
        with pytest.warns(mme.MMEWarning, match="Not estimable: r"):
            found = mme.lmer(f"y ~ {terms}", data).means("A")["mean"]
        assert found.isna().tolist() == [False, False, True]


@pytest.mark.parametrize(("within", "rows"), [("", 2**22 + 4 + 1), ("f:", 4 * 2**22 + 1)])
def test_a_product_of_many_indicators_is_too_large_a_grid(within, rows):
    """Of 22 at both values each there are 2^22 combinations, beside four levels, or in each, and the constant."""
    rng = np.random.default_rng(1)
    data = {f"i{k}": np.where(np.arange(60) < 20, 1, rng.integers(0, 2, 60)) for k in range(22)}
    data |= {"f": np.array(list("abcd"))[np.arange(60) % 4], "y": rng.normal(size=60)}
    fit = mme.lm(f"y ~ f + {within}{':'.join(name for name in data if name[0] == 'i')}", data)
    with pytest.raises(mme.MMEError, match=f"the reference grid would have {rows} rows"):
        fit.means("f")


def test_a_level_of_one_record_stands_within_its_nest_as_others_do():
    y = np.array([1.0, 4.0, 5.0, 8.0, 2.0, 3.0])
    fit = mme.lm("y ~ a:b", {"a": np.array(list("pppqqq")), "b": np.array(list("122334")), "y": y})
    np.testing.assert_allclose(fit.means("a")["mean"], [(1.0 + 4.5) / 2.0, (5.0 + 3.0) / 2.0], rtol=1e-10)


@pytest.mark.parametrize("weights", ["equal", "proportional"])
def test_a_column_of_a_matrix_stands_at_given_values_beside_the_means_of_others(weights):
    rng = np.random.default_rng(2)
    data = {"A": np.array(list("pqr"))[np.arange(40) % 3], "M": rng.normal(size=(40, 2)), "y": rng.normal(size=40)}
    fit = mme.lm("y ~ A * M", data)
    b, mean = fit.beta, data["M"][:, 0].mean()
    found = fit.means("A", at={"M2": [0.5, 2.0]}, weights=weights)["mean"].to_numpy().reshape(2, 3)
    for value, row in zip((0.5, 2.0), found, strict=True):
        base = b["(Intercept)"] + b["M1"] * mean + b["M2"] * value
        more = [0.0, *(b[f"A{a}"] + b[f"A{a}:M1"] * mean + b[f"A{a}:M2"] * value for a in "qr")]
        np.testing.assert_allclose(row, base + more, rtol=1e-9)
