"""The columns of a wide X are those of a dense one, entry by entry, in the fit and in new rows."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from mme.formula.design import design
from mme.numeric.limits import within
from tests.wide import SPARSE

FORMULAS = [
    "y ~ x + factor(year) + (1 | g)",
    "y ~ 0 + factor(year) + town + (1 | g)",
    "y ~ x * factor(year) + (1 | g)",
    "y ~ factor(year) * town + (x | g)",
    "y ~ factor(year):town:x + town + (1 | g)",
    "y ~ poly(x, 2) + factor(year) + factor(year):poly(x, 2) + (1 | g)",
    "y ~ C(town, Treatment('c')) + factor(year) + flag + (1 | g)",
    "y ~ factor(year) + M + (1 | g)",
]


def table(n=400):
    rng = np.random.default_rng(0)
    return {
        "y": rng.standard_normal(n),
        "x": rng.standard_normal(n),
        "M": rng.standard_normal((n, 2)),
        "year": rng.integers(1960, 1990, n),
        "town": rng.choice(list("abcd"), n),
        "flag": rng.random(n) < 0.5,
        "g": rng.integers(0, 20, n),
    }


@pytest.mark.parametrize("formula", FORMULAS)
def test_columns_are_those_of_a_dense_matrix(formula):
    data = table()
    dense = design(formula, data)
    with within(SPARSE):
        wide = design(formula, data, wide=True)
    assert sp.issparse(wide.X)
    assert wide.x_names == dense.x_names
    assert wide.spec.column_terms == dense.spec.column_terms
    np.testing.assert_array_equal(wide.X.toarray(), dense.X)
    rows = {name: column[:7] for name, column in data.items() if name != "y"}
    np.testing.assert_array_equal(wide.spec.rows(rows).X.toarray(), dense.spec.rows(rows).X)


def test_a_row_that_misses_a_label_is_missing():
    data = pd.DataFrame({name: column for name, column in table().items() if name != "M"})
    with within(SPARSE):
        made = design("y ~ x + factor(year) + (1 | g)", data, wide=True)
    rows = data.iloc[:3].assign(year=[1960.0, np.nan, 1961.0])
    assert np.isnan(made.spec.rows(rows).X.toarray()).any(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("formula", ["y ~ C(factor(year), contr.sum) + (1 | g)", "y ~ x + (1 | g)"])
def test_a_matrix_without_zeros_is_dense(formula):
    with within(SPARSE):
        assert isinstance(design(formula, table(), wide=True).X, np.ndarray)
