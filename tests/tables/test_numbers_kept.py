"""Columns that nobody can write to are taken as they are; others are copied."""

import numpy as np
import pandas as pd

import mme


def table(n=60):
    rng = np.random.default_rng(2)
    data = pd.DataFrame({"x": rng.standard_normal(n), "g": np.arange(n) % 6})
    return data.assign(y=data.x + rng.standard_normal(6)[data.g] + rng.standard_normal(n))


def test_fixed_and_random_columns_of_a_formula_are_one_array():
    model = mme.lmer("y ~ x + (x | g)", table()).model
    assert np.shares_memory(model.X, model.terms[0].covariates)


def test_a_fit_does_not_change_with_the_arrays_that_it_was_given():
    data = table()
    y, X = data.y.to_numpy(copy=True), np.column_stack([np.ones(len(data)), data.x])
    fit = mme.fit(y, X, [mme.Term(data.g, X)])
    known = fit.fitted.copy()
    y[:], X[:] = 0.0, 0.0
    again = mme.fit(fit.model.y, fit.model.X, [mme.Term(data.g, fit.model.terms[0].covariates)])
    np.testing.assert_allclose(again.fitted, known, rtol=1e-8)
