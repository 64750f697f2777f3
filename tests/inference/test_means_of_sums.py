"""Marginal means of fits by sums of records: those of the records, or a reason why there are none."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

import mme
from mme.errors import MMEError
from mme.inference.fixed.wide_grid import reference_grid


def table() -> pd.DataFrame:
    """A and B crossed by unequal numbers of records but for the cell r, t; N within A; an indicator and a covariate."""
    rng = np.random.default_rng(6)
    counts = {("p", "s"): 9, ("p", "t"): 4, ("q", "s"): 3, ("q", "t"): 11, ("r", "s"): 7}
    data = pd.DataFrame([cell for cell, count in counts.items() for _ in range(count)], columns=["A", "B"])
    n = len(data)
    data["N"] = [f"{a}{k % 3}" if a != "q" else f"{a}{k % 2}" for k, a in enumerate(data["A"])]
    return data.assign(
        d=1.0 * (rng.random(n) < 0.3), C=rng.choice(list("uvw"), n, p=[0.6, 0.3, 0.1]), g=np.arange(n) % 5
    )


@cache
def fitted(terms: str, *, sums: bool, weights: bool = False) -> mme.Fit:
    data = table()
    n = len(data)
    rng = np.random.default_rng(7)
    data = data.assign(x=rng.normal(2.0, 1.0, n), y=rng.normal(size=n), w=1.0 + np.arange(n) % 2)
    given = {"weights": "w"} if weights else {}
    pieces = [data.iloc[:15], data.iloc[15:]]
    fit = mme.lmer(f"y ~ {terms} + (1 | g)", pieces if sums else data, theta=[0.6], **given)
    assert (fit.internals.model.compressed is not None) == sums
    return fit


# By terms: of what factors means are told by their sums, whatever the weights.
TERMS = {
    "A + B": (["A"], ["B"], ["A", "B"]),
    "A * C + B": (["A"], ["C"], ["B"], ["A", "C"]),
    "A + A:N + B": (["A"], ["B"], ["A", "B"]),
    "A:N + B": (["A"], ["B"]),
    "B * d + A": (["A"], ["B"]),
}


@pytest.mark.filterwarnings("ignore:Not estimable")
@pytest.mark.parametrize("weights", ["equal", "proportional", "cells"])
@pytest.mark.parametrize("terms", TERMS)
def test_means_of_sums_are_those_of_their_records(terms: str, weights: str) -> None:
    of_sums, of_records = (fitted(terms, sums=one) for one in (True, False))
    for wanted in TERMS[terms]:
        found, expected = (fit.means(wanted, weights=weights) for fit in (of_sums, of_records))
        assert found.index.tolist() == expected.index.tolist()
        np.testing.assert_allclose(found["mean"], expected["mean"], rtol=1e-7, err_msg=str(wanted))
        np.testing.assert_allclose(found["se"], expected["se"], rtol=1e-6, err_msg=str(wanted))


@pytest.mark.parametrize("weights", ["proportional", "cells"])
def test_records_of_three_that_meet_in_no_term_are_not_counted(weights: str) -> None:
    """X'X counts the records of two at a time; equal weights need none, but of factors within others."""
    of_sums, of_records = (fitted("A + B + C", sums=one) for one in (True, False))
    for wanted in (["A"], ["A", "C"]):
        np.testing.assert_allclose(of_sums.means(wanted)["mean"], of_records.means(wanted)["mean"], rtol=1e-7)
    with pytest.raises(MMEError, match="of d, A, N, which a fit of sums by level does not know; fit the formula"):
        fitted("A + N + d", sums=True).means("A", weights=weights, at={"d": [0.0, 1.0]})


@pytest.mark.parametrize("weights", ["equal", "proportional", "cells"])
def test_means_of_sums_count_records_beside_their_weights(weights: str) -> None:
    of_sums, of_records = (fitted("A + A:N + B", sums=one, weights=True) for one in (True, False))
    for wanted in ("A", "B"):
        found, expected = (fit.means(wanted, weights=weights) for fit in (of_sums, of_records))
        np.testing.assert_allclose(found[["mean", "se"]], expected[["mean", "se"]], rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_sums_of_weights_tell_what_occurs_and_count_no_records(unit: float) -> None:
    grid = reference_grid(fitted("A + A:N", sums=True).internals, {})
    heavy = replace(grid, X=np.sqrt(unit) * grid.X, has_weights=True)
    assert heavy.nested == grid.nested
    assert [[node.value for node in nest] for nest in heavy.nests] == [["N", "A"]]
    with pytest.raises(MMEError, match="does not know beside weights"):
        heavy.counts(heavy.factors)
    with pytest.raises(MMEError, match="by level does not know; fit"):
        replace(grid, X=np.sqrt(1.001) * grid.X).counts(grid.factors)  # counts are whole
    many = replace(grid, X=1e3 * (1.0 + 1e-8) * grid.X).counts(grid.factors)  # to a share of them
    np.testing.assert_array_equal(many, 1e6 * grid.counts(grid.factors))


def test_counts_of_sums_are_those_of_the_table() -> None:
    data, grid = table(), reference_grid(fitted("A * C + B", sums=True).internals, {})
    A, C, B = grid.factors
    np.testing.assert_array_equal(grid.counts([A, B]), pd.crosstab(data["A"], data["B"]))
    np.testing.assert_array_equal(grid.counts([B, A]), pd.crosstab(data["B"], data["A"]))
    np.testing.assert_array_equal(grid.counts([A, C]), pd.crosstab(data["A"], data["C"]))
    np.testing.assert_array_equal(grid.counts([C]), data["C"].value_counts().sort_index())
    three = (
        data.groupby(["A", "C", "B"]).size().reindex(pd.MultiIndex.from_product([list("pqr"), list("uvw"), list("st")]))
    )
    np.testing.assert_array_equal(grid.counts([A, C, B]).ravel(), three.fillna(0))
    np.testing.assert_array_equal(grid.counts([B, A, C]), np.moveaxis(grid.counts([A, C, B]), 2, 0))
