"""Fields of plots as random effects: their sparse inverse, their likelihood, new plots, and what they refuse."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mme
from mme.relationship.lattice import lattice

TRIALS = Path(__file__).parents[1] / "reference" / "fields"


def field(seed=2, rows=6, cols=7, trials=2, missing=0.15):
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(trials * rows * cols) % (rows * cols), cols)
    data = pd.DataFrame({"row": row + 1, "col": col + 1, "trial": np.repeat(list("abc")[:trials], rows * cols)})
    data["gen"] = rng.integers(0, 9, len(data)).astype(str)
    C = covariance(data, [0.8, 0.6])
    data["y"] = 5 + 2 * np.linalg.cholesky(C) @ rng.normal(size=len(data)) + rng.normal(size=len(data))
    return data[rng.random(len(data)) > missing].reset_index(drop=True)


def covariance(data, rho):
    lags = [np.abs(np.subtract.outer(at, at)) for at in (data["row"].to_numpy(), data["col"].to_numpy())]
    return np.equal.outer(data["trial"].to_numpy(), data["trial"].to_numpy()) * rho[0] ** lags[0] * rho[1] ** lags[1]


def dense_criterion(y, X, V):
    XVX, n = X.T @ np.linalg.solve(V, X), y.size
    r = y - X @ np.linalg.solve(XVX, X.T @ np.linalg.solve(V, y))
    logs = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    return logs + r @ np.linalg.solve(V, r) + (n - X.shape[1]) * np.log(2 * np.pi)


@pytest.mark.parametrize("seed", range(5))
def test_the_inverse_and_the_determinant_are_those_of_the_product_of_the_chains(seed):
    rng = np.random.default_rng(seed)
    fields = np.repeat(["a", "b"], 12)
    row, col, time = rng.integers(0, 4, 24) * 2, rng.integers(0, 4, 24), rng.integers(0, 3, 24) * 0.7
    _, K = lattice(fields, [row, col, time], ["ar1", "ar1", "exponential"], ["row", "col", "time"], "g")
    x = rng.normal(size=3)
    rho, other, length = K.natural(x)
    lags = [np.abs(np.subtract.outer(one, one)) for one in K.place]
    dense = np.equal.outer(K.fields, K.fields) * rho ** lags[0] * other ** lags[1] * np.exp(-lags[2] / length)
    np.testing.assert_allclose(np.linalg.inv(K.precision_at(x).toarray()), dense, atol=1e-9)
    assert K.logdet_at(x) == pytest.approx(np.linalg.slogdet(dense)[1], abs=1e-8)
    np.testing.assert_allclose(K.coordinates(K.natural(x)), x, atol=1e-9)


def test_the_field_beside_errors_has_the_likelihood_of_the_dense_covariance():
    data = field()
    one = mme.lmer(
        "y ~ trial + (1 | gen)", data, residual=(mme.AR1("row", "trial") * mme.AR1("col", "trial")).with_nugget()
    )
    other = mme.lmer("y ~ trial + (1 | gen) + (ar1(row):ar1(col) | trial)", data)
    assert one.criterion == pytest.approx(other.criterion, abs=1e-9)
    assert list(one.residual) == ["rho.row", "rho.col", "nugget"]
    name = "ar1(row):ar1(col) | trial"
    rho = [other.relationships[name][f"rho.{axis}"] for axis in ("row", "col")]
    assert list(one.residual.values())[:2] == pytest.approx(rho, abs=1e-4)
    variance = {term: other.varcorr[term].cov.item() for term in ("gen", name)}
    assert one.residual["nugget"] == pytest.approx(other.sigma**2 / (other.sigma**2 + variance[name]), abs=1e-4)
    Z = pd.get_dummies(data["gen"]).to_numpy(dtype=float)
    V = variance["gen"] * Z @ Z.T + variance[name] * covariance(data, rho) + other.sigma**2 * np.eye(len(data))
    X = np.column_stack([np.ones(len(data)), data["trial"] == "b"]).astype(float)
    assert other.criterion == pytest.approx(dense_criterion(data["y"].to_numpy(), X, V), abs=1e-8)


def test_arrays_make_the_same_field():
    data = field(trials=1)
    X = np.ones((len(data), 1))
    by_formula = mme.lmer("y ~ 1 + ar1(row):ar1(col)", data)
    term = mme.Term.field({"row": data["row"], "col": data["col"]}, name="plots")
    residual = (mme.AR1(data["row"]) * mme.AR1(data["col"])).with_nugget()
    for fit in (mme.fit(data["y"], X, [term]), mme.fit(data["y"], X, [], residual=residual)):
        assert fit.criterion == pytest.approx(by_formula.criterion, abs=1e-9)
    assert list(fit.residual) == ["rho.row", "rho.col", "nugget"]


def test_new_plots_are_predicted_from_all_sides():
    data = field(trials=1, missing=0.2)
    fit = mme.lmer("y ~ 1 + ar1(row):ar1(col)", data)
    np.testing.assert_allclose(fit.predict(data), fit.fitted, atol=1e-8)
    new = pd.DataFrame({"row": [9, 3, 20], "col": [9, 2, 1]})
    found = fit.predict(new)
    both = pd.concat([data[["row", "col"]], new]).assign(trial="a")
    K = fit.varcorr["ar1(row):ar1(col)"].cov.item() * covariance(
        both, list(fit.relationships["ar1(row):ar1(col)"].values())
    )
    n = len(data)
    V = K[:n, :n] + fit.sigma**2 * np.eye(n)
    mean = fit.beta["(Intercept)"]
    np.testing.assert_allclose(found, mean + K[n:, :n] @ np.linalg.solve(V, data["y"] - mean), atol=1e-7)
    assert np.isnan(fit.predict({"row": [np.nan], "col": [2.0]})).all()


def test_the_steps_after_a_fit(tmp_path):
    data = field(trials=1, rows=5, cols=5, missing=0.1)
    fit = mme.lmer("y ~ 1", data, residual=(mme.AR1("row") * mme.AR1("col")).with_nugget())
    assert "rho.row" in fit.summary()
    fit.save(tmp_path / "field.mme")
    again = mme.load_fit(tmp_path / "field.mme")
    assert again.criterion == fit.criterion
    assert again.residual == fit.residual
    assert fit.simulate(2, seed=1).shape == (len(data), 2)
    assert fit.refit(data["y"] + 1.0).criterion == pytest.approx(fit.criterion, abs=1e-6)
    name = "rho.row|ar1(row):ar1(col)"
    lower, upper = fit.confint("profile", parameters=[name]).loc[name]
    assert lower < fit.residual["rho.row"] < upper
    assert fit.confint("profile", parameters=["rho.row"]).index.tolist() == [name]


def test_the_early_generation_trial_has_the_variances_that_asreml_prints():
    """agridat's page of cullis.earlygen: gen 73780, units 30440, field 54730, .38, .84."""
    fit = mme.lmer(
        "yield ~ weed + col + (1 | gen)",
        pd.read_csv(TRIALS / "cullis.earlygen.csv"),
        residual=(mme.AR1("row") * mme.AR1("col")).with_nugget(),
    )
    assert fit.varcorr["gen"].cov.item() == pytest.approx(73780, abs=20)
    assert fit.varcorr["ar1(row):ar1(col)"].cov.item() == pytest.approx(54730, abs=20)
    assert fit.sigma**2 == pytest.approx(30440, abs=10)
    assert [fit.residual["rho.col"], fit.residual["rho.row"]] == pytest.approx([0.38, 0.84], abs=0.005)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("y ~ 1 + ar1(row):ar1(one)", "one does not differ between the records of any field"),
        ("y ~ 1 + ar1(half):ar1(col)", "half must be whole numbers of steps"),
        ("y ~ 1 + (ar1(row):ar1(col) | trial/gen)", "a field takes one factor of fields"),
    ],
)
def test_what_makes_no_field_is_refused(formula, message):
    data = field().assign(one=1)
    with pytest.raises(mme.MMEError, match=re.escape(message)):
        mme.lmer(formula, data.assign(half=data["row"] / 2))


# The criterion is lowest without errors (0, 8, 10), and lower with them in a valley that is not beside that (3, 9).
@pytest.mark.parametrize(("seed", "none"), [(0, True), (3, False), (8, True), (9, False), (10, True)])
def test_an_error_beside_a_field_that_has_none_does_not_lose_the_field(seed, none):
    """The nugget at zero is the field alone, and the field at zero is nothing: no criterion is lower."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({"row": np.arange(48) // 8, "col": np.arange(48) % 8})
    data["y"] = rng.normal(size=48) + 0.4 * np.sin(data["row"] + data["col"])
    field = mme.AR1("row") * mme.AR1("col")
    nothing = mme.lmer("y ~ 1", data)
    alone, beside = (mme.lmer("y ~ 1", data, residual=one) for one in (field, field.with_nugget()))
    assert beside.criterion <= min(alone.criterion, nothing.criterion) + 1e-6
    assert beside.optimum.converged
    assert (beside.optimum.boundary == ("sigma",)) is none
    if none:
        assert beside.optimum.verdict == "minimum on the boundary"
        assert list(beside.residual.values()) == pytest.approx([*alone.residual.values(), 0.0], abs=1e-4)
        assert "the residual variance is zero" in " ".join(beside.summary().split())
        np.testing.assert_allclose(beside.se, alone.se, rtol=1e-3)


def test_a_field_with_errors_beside_rows_columns_and_genotypes_is_searched_in_few_steps():
    data = field(seed=5, rows=12, cols=12, trials=1, missing=0.05)
    fit = mme.lmer(
        "y ~ 1 + (1 | gen) + (1 | row) + (1 | col)", data, residual=(mme.AR1("row") * mme.AR1("col")).with_nugget()
    )
    assert fit.optimum.converged
    assert fit.optimum.evaluations < 60
    again = mme.lmer(
        "y ~ 1 + (1 | gen) + (1 | row) + (1 | col)",
        data,
        residual=(mme.AR1("row") * mme.AR1("col")).with_nugget(),
        search="derivative-free",
    )
    assert fit.criterion <= again.criterion + 1e-6


def plots_of_noise(seed):
    rng = np.random.default_rng(seed)
    row, col = np.divmod(np.arange(81), 9)
    return pd.DataFrame({"row": row, "col": col, "y": (rng.integers(0, 20, 81), rng.normal(size=81))[1]})


@pytest.mark.parametrize("x", [(9.0, -8.5), (-7.0, 7.0), (9.4, 9.4)])
def test_where_neighbours_are_one_another_the_likelihood_keeps_its_digits(x):
    data, theta = plots_of_noise(6), 0.5
    fit = mme.lmer("y ~ ar1(row):ar1(col)", data, theta=[theta, *x])
    place = data.assign(trial="")
    V = fit.sigma**2 * (theta**2 * covariance(place, np.tanh(x)) + np.eye(81))
    assert fit.criterion == pytest.approx(dense_criterion(data["y"].to_numpy(), np.ones((81, 1)), V), abs=1e-9)


def test_a_field_of_noise_ends_in_its_lowest_valley_and_its_limit_is_named():
    fit = mme.lmer("y ~ ar1(row):ar1(col)", plots_of_noise(6))
    # The lowest of 25 searches by BFGS of the dense likelihood: at rho = -.75482 and at the limit -1.
    assert fit.criterion == pytest.approx(228.685535, abs=2e-6)
    assert fit.optimum.boundary == ("ar1(row):ar1(col).rho.col",)
    assert fit.residual == {}
    assert fit.theta[1] == pytest.approx(np.arctanh(-0.75482), abs=1e-3)
    assert "rho.col is at the end of" in " ".join(fit.summary().split())
    assert np.isfinite(fit.coefficients()["df"]).all()


def test_random_walks_along_rows_and_columns_are_the_limit_of_a_field():
    rng = np.random.default_rng(4)
    row, col = np.divmod(np.arange(36), 6)
    walk, other = np.cumsum(rng.normal(size=6)), np.cumsum(rng.normal(size=6))
    y, seen = walk[row] + other[col] + 0.4 * rng.normal(size=36), []
    data = pd.DataFrame({"row": row, "col": col, "y": y})
    fit = mme.lmer("y ~ ar1(row):ar1(col)", data, progress=lambda count, value, at: seen.append(len(at)))
    assert fit.optimum.boundary == ("ar1(row):ar1(col).(Intercept)",)
    w = fit.theta[0] ** 2 * (1.0 - np.tanh(fit.theta[1:]))
    lags = [np.abs(np.subtract.outer(at, at)) for at in (row, col)]
    V = fit.sigma**2 * (12.0 * w.sum() - w[0] * lags[0] - w[1] * lags[1] + np.eye(36))  # contrasts see no constant
    assert fit.criterion == pytest.approx(dense_criterion(y, np.ones((36, 1)), V), abs=2e-6)
    assert set(seen) == {3}
