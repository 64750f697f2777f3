"""Marginal means are averages of predictions over the combinations of levels, dense or sparse, by whatever weights."""

from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
import wide

import mme
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
