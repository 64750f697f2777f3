"""Tests of terms of many columns of a sparse X: what their dense covariance says, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

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


def test_type_two_of_terms_within_others_takes_no_dense_X_as_type_three_does():
    fit = fitted(True, "x + h + x:h")
    with within(replace(wide.SPARSE, hessian_operations=1)):
        assert np.isfinite(fit.anova(type=2, ddf="none")["F"]).all()
        with pytest.raises(mme.MMEError, match=r"anova\(\) of type 3 where terms contain others takes a dense X"):
            fit.anova(type=3, ddf="none")


@pytest.mark.parametrize("contrasts", [None, {"h": "sum"}])
def test_groups_of_unknown_parents_are_a_term_of_their_own(contrasts):
    """Beside terms that contain others it is tested by its own coefficients, and they by theirs."""
    animals = np.arange(1, 41)
    rng = np.random.default_rng(5)
    sires = ["u", "v", "w", *rng.choice(["u", "v", "w"], 7), *rng.integers(1, 11, 30).tolist()]
    pedigree = mme.Pedigree(animals, sires, sires, unknown_groups=["u", "v", "w"], hermaphrodite=True)
    data = pd.DataFrame(
        {"animal": np.tile(animals, 2), "f": np.resize(list("aabbb"), 80), "h": np.resize(list("stu"), 80)}
    )
    data["y"] = rng.normal(size=80)
    fit = mme.lmer(
        "y ~ f * h + (1 | animal)", data, relationship={"animal": pedigree}, theta=[0.6], contrasts=contrasts
    )
    found, names = fit.anova(type=3, ddf="none"), fit.fixed_names
    assert found.index.tolist() == ["f", "h", "f:h", "groups of animal"]
    own = [np.eye(len(names))[j] for j in range(6, len(names))]
    assert found.loc["groups of animal", "num_df"] == len(own)
    joint = fit.contrast(own, joint=True, ddf="none")
    assert found.loc["groups of animal", "F"] == pytest.approx(joint["F"].iloc[0], rel=1e-9)
    crossed = fit.contrast([np.eye(len(names))[j] for j in (4, 5)], joint=True, ddf="none")
    assert found.loc["f:h", "F"] == pytest.approx(crossed["F"].iloc[0], rel=1e-9)
