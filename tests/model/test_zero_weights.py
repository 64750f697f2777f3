"""Weights that multiply log densities may be zero: records that count for nothing and are kept."""

import numpy as np
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
