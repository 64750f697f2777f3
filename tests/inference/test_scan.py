"""Candidates for a further column of X: estimates and errors are those of a fit with the column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import mme
from mme.inference.scanning.scan import refit_with
from mme.numeric.limits import Limits, within

MODELS = [
    ("sleepstudy", "Reaction ~ Days + (Days | Subject)"),
    ("Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)"),
    ("Pastes", "strength ~ 1 + (1 | batch / cask)"),
]


def _with_column(name, formula, x, **options):
    data = {**mme.load(name), "candidate": x}
    return mme.lmer(formula.replace("~ ", "~ candidate + "), data, **options)


@pytest.mark.parametrize(("name", "formula"), MODELS)
@pytest.mark.parametrize("dense", [True, False])
def test_a_candidate_is_tested_as_by_a_fit_with_these_variances(name, formula, dense):
    with within(Limits(dense_whatever_fill=10**6 if dense else 0)):
        fit = mme.lmer(formula, mme.load(name))
        x = np.random.default_rng(1).normal(size=(fit.nobs, 5)) + 100.0
        found = mme.scan(fit, x)
    for j in range(5):
        own = _with_column(name, formula, x[:, j], theta=fit.theta)
        at = own.fixed_names.index("candidate")
        assert found.table["estimate"][j] == pytest.approx(np.asarray(own.beta)[at], rel=1e-8)
        assert found.table["se"][j] == pytest.approx(np.asarray(own.se)[at], rel=1e-8)
    assert found.df == fit.nobs - len(fit.beta) - 1


def test_variances_of_the_best_are_estimated_anew():
    name, formula = MODELS[0]
    fit = mme.lmer(formula, mme.load(name))
    x = np.random.default_rng(1).normal(size=(fit.nobs, 30))
    found = mme.scan(fit, x, refit=2)
    best = found.top(2).index
    assert found.table["refit_p"].notna().sum() == 2
    for j in best:
        own = _with_column(name, formula, x[:, j])
        row = own.coefficients().loc["candidate"]
        assert found.table["refit_estimate"][j] == pytest.approx(row["estimate"], rel=1e-5)
        assert found.table["refit_se"][j] == pytest.approx(row["se"], rel=1e-5)
        assert found.table["refit_p"][j] == pytest.approx(row["p"], rel=1e-3)


def test_relationships_and_a_fit_for_each_group():
    rng = np.random.default_rng(4)
    G = rng.integers(0, 3, (60, 300)).astype(float)
    line = [f"l{i}" for i in range(60)]
    K = np.cov((G - G.mean(axis=0)) / G.std(axis=0)) + 0.01 * np.eye(60)
    data = pd.DataFrame({"line": np.repeat(line, 2), "y": np.repeat(rng.multivariate_normal(np.zeros(60), K), 2)})
    data["y"] += rng.normal(size=120)
    fits = {}
    for group in ("a", "b"):
        related = mme.Relationship(covariance=K if group == "a" else K + 0.5 * np.eye(60), levels=line)
        fits[group] = mme.lmer("y ~ 1 + (1 | line)", data, relationship={"line": related})
    markers = np.repeat(G, 2, axis=0)[:, :6]
    groups = np.array(["a", "b"] * 3)
    found = mme.scan(fits, markers, groups=groups)
    Z = np.kron(np.eye(60), np.ones((2, 1)))
    for j in range(6):
        fit, own = fits[groups[j]], K if groups[j] == "a" else K + 0.5 * np.eye(60)
        V = np.eye(120) + fit.theta[0] ** 2 * Z @ own @ Z.T
        X = np.column_stack([np.ones(120), markers[:, j]])
        cov = np.linalg.inv(X.T @ np.linalg.solve(V, X))
        beta = cov @ X.T @ np.linalg.solve(V, data["y"].to_numpy())
        r = data["y"].to_numpy() - X @ beta
        sigma = np.sqrt(r @ np.linalg.solve(V, r) / 118)
        assert found.table["estimate"][j] == pytest.approx(beta[1], rel=1e-7)
        assert found.table["se"][j] == pytest.approx(sigma * np.sqrt(cov[1, 1]), rel=1e-7)


def test_by_ratio_is_near_and_says_how_near():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(50), 6)
    data = pd.DataFrame({"g": g, "y": rng.normal(size=50)[g] + rng.normal(size=300)})
    fit = mme.lmer("y ~ 1 + (1 | g)", data)
    x = rng.integers(0, 3, (300, 500)).astype(float)
    exact, rough = mme.scan(fit, x), mme.scan(fit, x, ratio=True)
    assert rough.ratio_sd < 0.2 * rough.ratio
    assert np.corrcoef(exact.table["t"], rough.table["t"])[0, 1] > 0.99


@pytest.mark.parametrize("kind", ["frame", "sparse", "memmap", "bed"])
def test_candidates_come_from_any_container_and_missing_ones_are_means(kind, tmp_path):
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy"))
    x = np.random.default_rng(1).integers(0, 3, (180, 12)).astype(float)
    if kind in ("frame", "bed"):
        x[5, 3] = np.nan
    whole = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    np.save(tmp_path / "x.npy", x)
    given = {
        "frame": pd.DataFrame(x, columns=[f"m{j}" for j in range(12)]),
        "sparse": sp.csr_array(x),
        "memmap": np.load(tmp_path / "x.npy", mmap_mode="r"),
        "bed": _Bed(x),
    }[kind]
    found, plain = mme.scan(fit, given), mme.scan(fit, whole)
    np.testing.assert_allclose(found.table["t"], plain.table["t"], rtol=1e-9)
    assert found.table["n_missing"].sum() == (1 if kind in ("frame", "bed") else 0)


class _Bed:
    """What a reader of bed files offers."""

    def __init__(self, values):
        self._values, self.shape, self.sid = values, values.shape, [f"rs{j}" for j in range(values.shape[1])]

    def read(self, index, dtype):
        return self._values[index].astype(dtype)


def test_what_x_determines_has_no_test():
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy"))
    days = np.asarray(mme.load("sleepstudy")["Days"], dtype=float)
    found = mme.scan(fit, np.column_stack([np.ones(180), 2.0 * days + 1.0, days**2]))
    assert found.table["t"].isna().tolist() == [True, True, False]


def test_wrong_input_says_what_is_needed():
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy"))
    with pytest.raises(mme.MMEError, match="a row for each of the 180 rows"):
        mme.scan(fit, np.zeros((10, 3)))
    with pytest.raises(mme.MMEError, match="needs a fit for each"):
        mme.scan(fit, np.zeros((180, 3)), groups=[1, 1, 2])


@pytest.mark.parametrize(("name", "formula"), MODELS)
def test_candidates_of_several_columns_are_tested_by_f(name, formula):
    data = mme.load(name)
    fit = mme.lmer(formula, data)
    rng = np.random.default_rng(5)
    first = rng.integers(0, 3, (fit.nobs, 4)).astype(float)
    codes = np.stack([first, (first == 1.0).astype(float)], axis=2)
    codes[:, 1, 1] = 2.0 * codes[:, 1, 0]  # one direction
    codes[:, 2] = 1.0  # none
    found = mme.scan(fit, codes)
    assert found.table["df"].tolist() == [2, 1, 0, 2]
    assert np.isnan(found.table["p"][2])
    both = {**data, "a": codes[:, 0, 0], "d": codes[:, 0, 1]}
    own = mme.lmer(formula.replace("~ ", "~ a + d + "), both, theta=fit.theta)
    at = [own.fixed_names.index(one) for one in ("a", "d")]
    b, V = np.asarray(own.beta)[at], np.asarray(own.beta_cov)[np.ix_(at, at)]
    assert found.table["F"][0] == pytest.approx(b @ np.linalg.solve(V, b) / 2, rel=1e-8)
    assert found.table["df_error"][0] == fit.nobs - len(fit.beta) - 2
    assert found.table["F"][1] == pytest.approx(mme.scan(fit, codes[:, 1:2, 0]).table["t"][0] ** 2, rel=1e-8)
    with pytest.raises(mme.MMEError, match="candidates of one column"):
        mme.scan(fit, codes, refit=1)


def test_an_interrupted_scan_keeps_what_is_done():
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy"))
    x = np.random.default_rng(1).normal(size=(180, 300))

    def stop(done, _):
        raise KeyboardInterrupt

    with pytest.warns(mme.MMEWarning, match="256 of 300"):
        found = mme.scan(fit, x, progress=stop)
    assert found.table["p"].notna().sum() == 256
    np.testing.assert_array_equal(found.table["p"][:256], mme.scan(fit, x[:, :256]).table["p"])


@pytest.mark.parametrize("j", [0, 1])
def test_a_candidate_that_X_holds_has_no_estimate_beside_it(j):
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy")).internals
    assert np.isnan(refit_with(fit, 3.0 * fit.model.X[:, j] + 1.0)).all()


def test_what_are_no_candidates_is_said_and_gaps_are_gaps():
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy"))
    x = np.random.default_rng(1).integers(0, 3, (180, 3)).astype(float)
    masked, holes = np.ma.masked_equal(x, 2.0), np.where(x == 2.0, np.nan, x)
    np.testing.assert_array_equal(mme.scan(fit, masked).table, mme.scan(fit, holes).table)
    twice = pd.DataFrame(x, columns=["a", "a", "b"])
    assert mme.scan(fit, twice, refit=1).table["refit_p"].notna().sum() == 1
    for wrong, message in ((x.astype(str), "numeric, got text"), (x[:, :0], "no candidates"), (x[:9], "180 rows")):
        with pytest.raises(mme.MMEError, match=message):
            mme.scan(fit, wrong)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_a_candidate_is_tested_alike_in_any_unit(unit):
    fit = mme.lmer(MODELS[0][1], mme.load("sleepstudy"))
    x = np.random.default_rng(2).normal(size=(180, 2))
    one, other = mme.scan(fit, x).table, mme.scan(fit, unit * x).table
    np.testing.assert_allclose(other["t"], one["t"], rtol=1e-9)
    np.testing.assert_allclose(unit * other["estimate"], one["estimate"], rtol=1e-9)
    pairs = np.stack([x, x[::-1]], axis=2)
    np.testing.assert_allclose(mme.scan(fit, unit * pairs).table["F"], mme.scan(fit, pairs).table["F"], rtol=1e-9)
