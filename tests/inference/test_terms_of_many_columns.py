"""Tests of terms of many columns of a sparse X: what their dense covariance says, and what is said of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import wide

import mme
from mme.inference.fixed.wide_anova import chi_square
from mme.numeric.limits import Limits, within

N, LEVELS = 360, 120


def table() -> pd.DataFrame:
    """A factor of many levels, one of few, a covariate, and groups across them."""
    rng = np.random.default_rng(4)
    data = pd.DataFrame({"f": np.arange(N) % LEVELS, "h": (np.arange(N) // LEVELS) % 3, "x": rng.normal(size=N)})
    data = data.astype({"f": str, "h": str})
    return data.assign(g=rng.integers(0, 30, N), y=rng.normal(size=N) + 0.3 * data["x"])


def fitted(sparse: bool, terms: str = "x + h + f") -> mme.Fit:
    with within(wide.SPARSE if sparse else Limits()):
        return mme.lmer(f"y ~ {terms} + (1 | g)", table(), theta=[0.7])


def test_a_term_of_many_columns_has_the_chi_square_of_its_covariance():
    fit, data = fitted(True), table()
    assert fit.internals.model.is_wide
    X = fit.internals.model.X.toarray()
    Z = (data["g"].to_numpy()[:, None] == np.unique(data["g"])).astype(float)
    W = np.linalg.inv(fit.sigma**2 * (np.eye(N) + 0.49 * Z @ Z.T))
    cov = np.linalg.inv(X.T @ W @ X)
    beta = cov @ X.T @ W @ data["y"].to_numpy()
    for term in "fh":
        columns = np.flatnonzero([name[0] == term for name in fit.internals.model.x_names])
        expected = beta[columns] @ np.linalg.solve(cov[np.ix_(columns, columns)], beta[columns]) / columns.size
        assert chi_square(fit.internals, columns) == pytest.approx(expected, rel=1e-8)
        row = fit.anova(type=3, ddf="none").loc[term]
        assert (row["num_df"], row["den_df"]) == (columns.size, np.inf)
        assert row["F"] == pytest.approx(expected, rel=1e-8)


def test_it_is_said_of_which_terms_of_a_sparse_X_degrees_of_freedom_are_not_computed():
    sparse, dense = (fitted(one).anova(type=2) for one in (True, False))
    assert sparse.attrs["note"] == ("The test of f is chi-square: den_df of so many columns is taken as infinite.")
    assert "chi-square" not in dense.attrs.get("note", "")
    assert np.isinf(sparse.loc["f", "den_df"])
    assert np.isfinite(dense["den_df"]).all()
    np.testing.assert_allclose(sparse["F"], dense["F"], rtol=1e-7)
    np.testing.assert_allclose(sparse.loc["x":"h", "den_df"], dense.loc["x":"h", "den_df"], rtol=1e-4)


def test_of_terms_within_others_types_are_as_of_a_dense_X():
    sparse, dense = (fitted(one, "x + h + x:h").anova(type=2) for one in (True, False))
    assert sparse.index.tolist() == ["x", "h", "x:h"]
    np.testing.assert_allclose(sparse["F"], dense["F"], rtol=1e-7)
