"""Columns that stand where a factor stands: those whose values are its labels, and no others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme
from mme.inference.fixed.bound import columns_of_factors

rng = np.random.default_rng(1)
N = 30
DATA = pd.DataFrame(
    {
        "k": np.arange(N) % 5 + 1.0,
        "f": np.array(list("abc"))[np.arange(N) % 3],
        "b": np.arange(N) % 2 == 0,
        "z": rng.normal(size=N),
        "y": rng.normal(size=N),
    }
)
FIVE = [1.0, 2.0, 3.0, 4.0, 5.0]
BOUND = {
    "factor(k) + k": {"k": FIVE},
    "ordered(k) + I(k * z)": {"k": FIVE},
    "factor(k, levels = c(5, 4, 3, 2, 1)) + k": {"k": FIVE[::-1]},
    "factor(k, c(5, 4, 3, 2, 1)) + k": {"k": FIVE[::-1]},
    "C(k) + k": {"k": FIVE},
    "C(k, sum) + k": {"k": FIVE},
    "C(factor(k), sum) + k": {"k": FIVE},
    "C(k, sum, 4) + k": {"k": FIVE},
    "f + I((f == 'a') * z)": {"f": ["a", "b", "c"]},
    "relevel(f, 'b') + I((f == 'a') * z)": {"f": ["b", "a", "c"]},
    "b + I(b * z)": {"b": [False, True]},
    "f + factor(k) + I((f == 'a') * k)": {"f": ["a", "b", "c"], "k": FIVE},
    "f + z": {},
    "factor(k > 2) + k": {},
    "factor(2 * k) + k": {},
    "factor(k, c(1, 2, 3, 4, 5), c(1, 2, 3, 4, 6)) + k": {},
    "factor(k, labels = c(1, 2, 3, 4, 6)) + k": {},
    "C(factor(k, labels = c(1, 2, 3, 4, 6)), sum) + k": {},
    "factor(k, labels = c('u', 'v', 'w', 's', 't')) + k": {},
    "interaction(f, b) + I(b * z)": {},
}


@pytest.mark.parametrize("terms", BOUND)
def test_a_column_stands_where_a_factor_does_whose_labels_are_its_values(terms):
    fit = mme.lmer(f"y ~ {terms}", DATA)
    found = columns_of_factors(fit.internals.specification, {})
    assert {name: values.tolist() for name, (_, values) in found.items()} == BOUND[terms]
    for name, (node, _) in found.items():
        assert node in fit.internals.specification.codings
        assert name not in columns_of_factors(fit.internals.specification, {name: np.ones(1)})


def test_beside_a_factor_of_what_a_column_exceeds_the_column_is_at_its_mean():
    fit = mme.lmer("y ~ factor(k > 2) + k", DATA)
    b, mean = fit.beta.to_numpy(), DATA["k"].mean()
    np.testing.assert_allclose(fit.means("factor(k > 2)")["mean"], b[0] + [0.0, b[1]] + b[2] * mean, rtol=1e-10)


@pytest.mark.parametrize("coded", ["factor(k)", "C(k, sum)", "C(k, poly)"])
def test_means_beside_the_column_of_their_factor_are_predictions_there(coded):
    fit = mme.lmer(f"y ~ {coded} + I(k * z)", DATA)
    there = DATA.drop_duplicates("k").sort_values("k").assign(z=DATA["z"].mean())
    by_hand = fit.predict(there, random=False)
    np.testing.assert_allclose(fit.means("k")["mean"], by_hand, rtol=1e-9)
