"""Tables of many responses say one thing in each column, whatever levels a response misses and X leaves out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme


def _design(seed: int = 5) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"f": np.repeat(list("abc"), 12), "g": np.tile(np.arange(6), 6), "x": rng.normal(size=36)})
    donors = rng.normal(size=(6, 4))[data["g"]]
    return data, donors + rng.normal(size=(36, 4)) + 2.0 * (np.arange(36)[:, None] // 12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ddf", ["satterthwaite", "kenward-roger"])
def test_effects_of_levels_that_a_response_misses_are_nan_and_others_keep_their_meaning(ddf, weighted):
    data, Y = _design()
    Y[data["f"] == "a", 1] = np.nan  # the level that others are compared with
    Y[data["f"] == "b", 2] = np.nan
    weights = np.random.default_rng(1).gamma(2.0, 1.0, Y.shape) if weighted else None
    many = mme.lmer_many(
        "~ f * x + (1 | g)", data, Y, ddf=ddf, weights=weights, contrasts={"c - b": {"fc": 1, "fb": -1}}
    )
    for j, level, alone, names in [
        (0, None, None, {name: name for name in many.estimate if name != "c - b"}),
        (1, "a", "fc", {"c - b": "fc"}),
        (2, "b", "fc", {"(Intercept)": "(Intercept)", "fc": "fc", "x": "x", "fc:x": "fc:x"}),
    ]:
        rows = data["f"] != level
        of = None if weights is None else weights[rows, j]
        fit = mme.lmer("y ~ f * x + (1 | g)", data[rows].assign(y=Y[rows, j]), weights=of)
        table = fit.coefficients(ddf=ddf)
        assert alone is None or alone in table.index
        for mine, its in names.items():
            assert many.estimate[mine][j] == pytest.approx(table["estimate"][its], abs=1e-5 * table["se"][its])
            assert many.se[mine][j] == pytest.approx(table["se"][its], rel=1e-5)
            assert many.df[mine][j] == pytest.approx(table["df"][its], rel=1e-3)
        determined = {*names} if level else {*many.estimate}
        assert {*many.estimate.columns[many.estimate.iloc[j].notna()]} == determined
        assert {*many.p.columns[many.p.iloc[j].notna()]} == determined
    assert not many.failures


def test_columns_that_x_leaves_out_have_no_column_in_the_tables():
    data, Y = _design()
    data["h"] = np.where(data["f"] == "c", "one", np.where(np.arange(36) % 2, "one", "two"))  # an empty cell
    many = mme.lmer_many("~ f * h + (1 | g)", data, Y)
    for j in range(4):
        table = mme.lmer("y ~ f * h + (1 | g)", data.assign(y=Y[:, j])).coefficients()
        assert many.estimate.columns.tolist() == table.index.tolist()
        np.testing.assert_allclose(many.estimate.iloc[j], table["estimate"], atol=1e-5)
        np.testing.assert_allclose(many.se.iloc[j], table["se"], rtol=1e-5)


def test_a_response_without_a_level_that_has_a_variance_says_so():
    data, Y = _design()
    Y[data["f"] == "c", 1] = np.nan
    many = mme.lmer_many("~ f + (0 + f | g)", data, Y)
    assert list(many.failures) == [1]
    assert "'fc'" in many.failures[1]
    assert many.variances.drop(1).notna().all(axis=None)


@pytest.mark.parametrize("seed", range(4))
def test_a_covariate_of_any_small_seed_is_a_covariate(seed):
    data, Y = _design()
    data["z"] = np.random.default_rng(seed).standard_normal(36)
    assert not mme.lmer_many("~ z + (1 | g)", data, Y).failures
    truth = {"beta": {"(Intercept)": 0.0, "z": 1.0}, "varcorr": {"g": [[1.0]]}, "sigma": 1.0}
    assert len(mme.simulate_model("~ z + (1 | g)", data, **truth, seed=1)) == 36
