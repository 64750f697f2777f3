"""Weights that multiply log densities may be zero: records that count for nothing and are kept."""

import warnings

import numpy as np
import pandas as pd
import pytest

import mme
from mme.errors import MMEError
from mme.formula.design import design
from mme.model.problem import build_model

WEIGHTS = [0.0, 1.0, 2.0, 0.0, 1.0, 3.0]
DATA = {
    "s": [2.0, 0.0, 3.0, 1.0, 0.0, 4.0],
    "n": [5.0, 4.0, 3.0, 6.0, 0.0, 8.0],
    "sick": ["yes", "no", "yes", "yes", "no", "no"],
    "x": [0.5, 1.0, 2.0, 4.0, 3.0, 5.0],
    "g": ["a", "a", "b", "b", "c", "c"],
}


@pytest.mark.parametrize("left", ["cbind(s, n - s)", "sick", "x > 0", "n"])
def test_the_door_takes_the_numbers_of_every_outcome(left):
    parts = design(f"{left} ~ x + (x | g)", DATA, response="family", weights=WEIGHTS)
    with pytest.raises(MMEError, match=r"weights must be positive .*0 are negative and 2 are zero"):
        build_model(parts.y, parts.X, parts.terms, weights=parts.weights)
    model = build_model(parts.y, parts.X, parts.terms, weights=parts.weights, zero_weights=True)
    assert model.y.tolist() == parts.y.tolist()
    assert model.weights.tolist() == WEIGHTS


def test_axes_are_those_of_the_records_that_count():
    counting = np.array(WEIGHTS) > 0
    x, g, w = np.array(DATA["x"]), np.array(DATA["g"]), np.array(WEIGHTS)
    every, few = (
        build_model(
            x[rows],
            np.ones((rows.sum(), 1)),
            [mme.Term(g[rows], np.column_stack([np.ones(rows.sum()), x[rows]]), name="g")],
            weights=w[rows],
            zero_weights=True,
        ).axes[0]
        for rows in (np.ones(6, dtype=bool), counting)
    )
    np.testing.assert_allclose(every.C, few.C, rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "problem"),
    [
        ([0.0, -1.0, 1.0, 1.0, 1.0, 1.0], r"weights must be positive, or zero .*: 1 are negative"),
        ([0.0] * 6, "weights are zero in all 6 records"),
        ([0.0, 1e-300, 1.0, 1.0, 1.0, 1.0], "leave the range of double precision"),
        ([np.nan, 1.0, 1.0, 1.0, 1.0, 1.0], "1 missing"),
    ],
)
def test_weights_that_cannot_count_are_refused(weights, problem):
    with pytest.raises(MMEError, match=problem):
        build_model(np.arange(6.0), np.ones((6, 1)), [mme.Term(DATA["g"])], weights=weights, zero_weights=True)


def _binary_with_two_optima(seed):
    rng, n = np.random.default_rng(seed), 40
    data = pd.DataFrame({"g": rng.integers(7, size=n), "x": rng.normal(size=n), "f": rng.choice(list("abc"), n)})
    eta = 0.5 * data["x"] + rng.normal(size=7)[data["g"]] + (data["f"] == "b") * rng.normal(size=7)[data["g"]]
    data["y"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(float)
    return data.assign(w=1.0)


def _beside_idle(seed):
    """The fits without and beside records of weight zero, outliers and levels of their own among them."""
    data = _binary_with_two_optima(seed)
    idle = data.iloc[:7].assign(w=0.0, x=10.0 * data["x"], g=data["g"] + 500 * (data["g"] % 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return [
            mme.glmer("y ~ x + f + (f | g)", rows, "binomial", weights="w")
            for rows in (data, pd.concat([data, idle], ignore_index=True))
        ]


@pytest.mark.parametrize("seed", [5, 17, 87])
def test_records_of_weight_zero_change_nothing(seed):
    without, beside = _beside_idle(seed)
    assert beside.criterion == pytest.approx(without.criterion, abs=1e-6)
    assert beside.optimum.verdict == without.optimum.verdict
    np.testing.assert_allclose(beside.beta, without.beta, atol=2e-3)


@pytest.mark.parametrize("seed", [6, 32, 46, 72, 98])
def test_records_of_weight_zero_lead_to_no_higher_optimum(seed):
    """Variances grow without end here, or modes are not found but from near; a search that goes on may end lower.

    At standard deviations of 1e5 a criterion moves by 1e-6 where theta moves in its tenth digit.
    """
    without, beside = _beside_idle(seed)
    assert beside.criterion <= without.criterion + 1e-5


@pytest.mark.parametrize("right", ["(x | g)", "(1 | g) + (1 | h)"])
def test_variances_are_determined_by_the_records_that_count(right):
    """Records of weight zero have the only variation of x within levels, and the only second record of a level."""
    rng, n = np.random.default_rng(1), 30
    data = pd.DataFrame({"g": np.arange(n) % 10, "h": np.arange(n) % 4, "x": np.ones(n), "w": 1.0})
    data["y"] = rng.poisson(2.0, n).astype(float)
    idle = data.iloc[:9].assign(w=0.0, x=np.arange(9.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        without, beside = (
            mme.glmer(f"y ~ 1 + {right}", rows, "poisson", weights="w")
            for rows in (data, pd.concat([data, idle], ignore_index=True))
        )
    assert beside.criterion == pytest.approx(without.criterion, abs=1e-6)
    assert beside.optimum.verdict == without.optimum.verdict
