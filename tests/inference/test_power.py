"""Assumed models are drawn as they are assumed, and power is what theory says where theory has it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import nct, t

import mme

DESIGN = {"subject": np.repeat(np.arange(10), 4), "x": np.tile([-1.0, 1.0], 20)}


def test_draws_have_the_assumed_mean_and_covariance():
    H = np.array([[1.0, 0.3], [0.3, 0.5]])
    y = mme.simulate_model(
        "~ x + (x | subject)",
        DESIGN,
        beta={"(Intercept)": 2.0, "x": 1.0},
        varcorr={"subject": H},
        sigma=0.7,
        nsim=40_000,
        seed=1,
    )
    Y = np.asarray(y)
    one = np.column_stack([np.ones(4), [-1.0, 1.0, -1.0, 1.0]])
    V = one @ H @ one.T + 0.49 * np.eye(4)
    np.testing.assert_allclose(Y.mean(axis=1)[:2], [1.0, 3.0], atol=0.02)
    np.testing.assert_allclose(np.cov(Y[:4]), V, atol=0.05)
    np.testing.assert_allclose(np.cov(Y[0], Y[4])[0, 1], 0.0, atol=0.03)


def test_the_same_seed_draws_the_same():
    options = {"beta": [0.0, 1.0], "varcorr": {"subject": 1.0}}
    one = mme.simulate_model("~ x + (1 | subject)", DESIGN, seed=3, **options)
    pd.testing.assert_frame_equal(one, mme.simulate_model("~ x + (1 | subject)", DESIGN, seed=3, **options))


def test_power_within_subjects_is_that_of_the_noncentral_t():
    # balanced within subjects: x is tested by t on n - J - 1 degrees of freedom, apart from fits at the edge
    sigma, effect = 1.0, 0.45
    found = mme.power(
        "~ x + (1 | subject)",
        DESIGN,
        test="x",
        beta=[0.0, effect],
        varcorr={"subject": 3.0},
        sigma=sigma,
        nsim=4000,
        seed=1,
    )
    df, delta = 29, effect / (sigma / np.sqrt(40.0))
    edge = t.ppf(0.975, df)
    theory = nct.sf(edge, df, delta) + nct.cdf(-edge, df, delta)
    row = found.table.iloc[0]
    assert row["lower"] - 0.01 < theory < row["upper"] + 0.01
    assert row["failed"] == 0


def test_designs_grow_by_levels_whose_rows_are_there():
    found = mme.power(
        "~ x + (1 | subject)",
        DESIGN,
        test={"x": 1.0},
        beta=[0.0, 0.3],
        varcorr={"subject": 1.0},
        extend={"subject": [5, 10, 20]},
        nsim=200,
        seed=1,
    )
    assert found.table["n"].tolist() == [20, 40, 80]
    assert found.table["power"].is_monotonic_increasing
    assert found.plot().get_xlabel() == "subject"


def test_power_of_a_fit_with_a_changed_effect_and_with_a_function_for_a_test():
    data = mme.load("sleepstudy")
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data)
    none = mme.power(fit, test="Days", beta={"Days": 0.0}, nsim=1000, seed=2)
    assert 0.03 < none.table["power"][0] < 0.075
    by_hand = mme.power(
        fit, test=lambda one: float(one.coefficients()["p"]["Days"]), beta={"Days": 1.0}, nsim=20, seed=2
    )
    by_name = mme.power(fit, test="Days", beta={"Days": 1.0}, nsim=20, seed=2)
    assert by_hand.table["power"][0] == by_name.table["power"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": {"x": 1.0}, "varcorr": {"subject": 1.0}}, r"beta must have a value for each of '\(Intercept\)', 'x'"),
        ({"beta": [0.0, 1.0], "varcorr": {"person": 1.0}}, "varcorr must have a value for each of 'subject'"),
        ({"beta": [0.0, 1.0], "varcorr": {"subject": [1.0, 2.0]}}, "1 standard deviations"),
        ({"beta": [0.0, 1.0], "varcorr": {"subject": 1.0}, "sigma": -1.0}, "sigma must be a positive number"),
    ],
)
def test_assumptions_that_are_missing_or_wrong_are_named(options, message):
    with pytest.raises(mme.MMEError, match=message):
        mme.simulate_model("~ x + (1 | subject)", DESIGN, **options)


def test_a_term_without_correlations_refuses_a_correlated_assumption():
    with pytest.raises(mme.MMEError, match="no such covariance"):
        mme.simulate_model(
            "~ x + diag(x | subject)", DESIGN, beta=[0.0, 1.0], varcorr={"subject": [[1.0, 0.5], [0.5, 1.0]]}
        )


def test_copies_of_a_level_have_levels_of_their_own_of_what_is_nested_in_it():
    from mme.inference.power import extended

    design = pd.DataFrame({"school": [1, 1, 2, 2], "room": [1, 2, 3, 4], "arm": ["a", "b", "a", "b"]})
    made = extended(design, {"school": 3}, ("school", "room"))
    assert made["school"].tolist() == [1, 1, 2, 2, 3, 3]
    assert made["room"].tolist() == ["1", "2", "3", "4", "1.2", "2.2"]
    assert made["arm"].tolist() == ["a", "b"] * 3
    assert extended(design, {"school": 3}, ("school", "arm"))["arm"].tolist() == ["a", "b"] * 3  # crosses schools


def test_columns_that_others_determine_have_no_assumed_effect():
    design = {"g": np.repeat(np.arange(8), 4), "x": np.tile([0.0, 1.0], 16)}
    y = mme.simulate_model(
        "~ x + I(2 * x) + (1 | g)", design, beta={"(Intercept)": 1.0, "x": 2.0}, varcorr={"g": 1.0}, seed=1
    )
    plain = mme.simulate_model("~ x + (1 | g)", design, beta={"(Intercept)": 1.0, "x": 2.0}, varcorr={"g": 1.0}, seed=1)
    np.testing.assert_allclose(y, plain)


def test_an_interruption_keeps_the_designs_that_are_done():
    def stop(done, _):
        raise KeyboardInterrupt

    with pytest.warns(mme.MMEWarning, match="1 of 2 designs"):
        found = mme.power(
            "~ x + (1 | subject)",
            DESIGN,
            test="x",
            beta=[0.0, 1.0],
            varcorr={"subject": 1.0},
            nsim=20,
            extend={"subject": [8, 16]},
            seed=1,
            progress=stop,
        )
    assert found.table["subject"].tolist() == [8]


def test_an_extended_design_is_fitted_as_the_fit_was():
    data = mme.load("sleepstudy").assign(w=lambda table: 1.0 + table["Days"] % 3)
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", data, method="ML", weights="w")
    seen = []

    def test(one):
        seen.append((one.method, one.nobs, one.internals.model.weights.sum()))
        return 0.5

    mme.power(fit, data, test=test, extend={"Subject": 6}, nsim=2, seed=1)
    assert seen == [("ML", 60, data["w"][:60].sum())] * 2
    by_array = mme.lmer("Reaction ~ Days + (1 | Subject)", data, weights=data["w"].to_numpy())
    with pytest.raises(mme.MMEError, match="weights= of the fit has 180 values, the design 60 rows: name a column"):
        mme.power(by_array, data, test="Days", extend={"Subject": 6}, nsim=2, seed=1)


@pytest.mark.parametrize("family", [{"sigma": 1.0}, {"family": "poisson"}], ids=["linear", "poisson"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "z"}, r"test must be a fixed effect, of '\(Intercept\)', 'x', .* got 'z'"),
        ({"test": ["x"]}, "test must be a fixed effect"),
        ({"test": 3}, "test must be a fixed effect"),
        ({"test": {}}, "test must be a fixed effect"),
        ({"test": {"x": "a"}}, "the weight of 'x' must be a number"),
        ({"test": lambda fit: None}, "must return a p-value, a number between 0 and 1; it returned None"),
        ({"test": lambda fit: 2.0}, "it returned 2.0"),
        ({"extend": 24}, "extend must be sizes by factor"),
        ({"extend": {"subject": []}}, "extend 'subject' has no sizes"),
        ({"extend": {"subject": [8, 16.0]}}, "extend 'subject' must be a whole number, at least 1; got 16.0"),
        ({"extend": {"subject": "16"}}, "extend 'subject' must be a whole number"),
        ({"alpha": 5}, "alpha must lie between 0 and 1, got 5"),
    ],
)
def test_wrong_tests_sizes_and_levels_say_what_is_needed(family, options, message):
    given = {"test": "x", "beta": [0.0, 1.0], "varcorr": {"subject": 0.5}, "nsim": 2, "seed": 1}
    with pytest.raises(mme.MMEError, match=message):
        mme.power("~ x + (1 | subject)", DESIGN, **given | family | options)
