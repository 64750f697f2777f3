"""A likelihood without a finite maximum is recognised early, and said."""

import warnings

import numpy as np
import pandas as pd
import pytest
from dense import design
from fuzz.oracle import dense, lowest
from fuzz.problems import problem

import mme


def fitted(number):
    given = problem(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mme.MMEWarning)
        return mme.lmer(given.formula, given.table, **given.options)


def without_residuals(model, theta):
    """The REML criterion of contrasts K'y, K'X = 0, with V = Z (I (x) TT') Z', profiled over one factor of V."""
    root = np.ones(model.n) if model.weights is None else np.sqrt(model.weights)
    V = np.zeros((model.n, model.n))
    for term, part, own in zip(model.terms, model.structures, model.split(theta), strict=True):
        covariates = np.ones((model.n, 1)) if term.covariates is None else term.covariates
        Z = root[:, None] * design(term.codes, covariates)
        V += Z @ np.kron(np.eye(term.n_levels), part.T(own) @ part.T(own).T) @ Z.T
    X, y = root[:, None] * model.X, root * (model.y if model.offset is None else model.y - model.offset)
    U, lengths, _ = np.linalg.svd(X)
    K, d = U[:, X.shape[1] :], model.n - X.shape[1]
    of_contrasts = K.T @ V @ K
    r = K.T @ y
    logs = np.linalg.slogdet(of_contrasts)[1] + 2.0 * np.log(lengths).sum() - 2.0 * np.log(root).sum()
    return logs + d * (1.0 + np.log(2.0 * np.pi * (r @ np.linalg.solve(of_contrasts, r)) / d))


# They have more effects than records: covariances of low rank fit the response exactly.
@pytest.mark.parametrize("number", [437])
def test_a_likelihood_without_a_finite_maximum_has_a_verdict_of_its_own(number):
    fit = fitted(number)
    assert fit.optimum.verdict == "no finite maximum"
    assert not fit.optimum.converged
    assert fit.optimum.evaluations < 3000
    assert "fit the response exactly" in str(fit.optimum)
    assert "There is no minimum" in str(fit.diagnose())
    assert "fit the response exactly" in " ".join(str(fit.summary()).split())


# Below them the criterion has no bound, or a limit that is higher (23227).
@pytest.mark.parametrize(("number", "criterion"), [(0, 100.32), (596, 48.4138), (21041, 580.0001), (23227, 56.5)])
def test_a_minimum_before_the_response_is_fitted_exactly_is_found(number, criterion):
    fit = fitted(number)
    assert fit.optimum.converged
    assert fit.criterion < criterion
    assert fit.optimum.evaluations < 4500


# Slopes of two or three terms leave no residuals: the criterion comes to a limit, which is lower than all minima.
@pytest.mark.parametrize(
    ("number", "limit"), [(26406, 71.36144), (28277, 581.01355), (901415, 51.28060), (110188, 69.19852)]
)
def test_covariances_without_residuals_are_a_point_of_the_model(number, limit):
    """The REML criterion of y ~ N(X beta, V), V = sum_t Z_t (I (x) G_t) Z_t', dense; no other G near is lower."""
    fit = fitted(number)
    assert fit.optimum.converged
    assert "sigma" in fit.optimum.boundary
    assert "limit without residuals" in str(fit.optimum)
    model, theta = fit.internals.model, fit.theta / np.abs(fit.theta).max()
    assert fit.criterion == pytest.approx(limit, abs=1e-4)
    assert fit.criterion == pytest.approx(without_residuals(model, theta), abs=1e-5)
    rng = np.random.default_rng(0)
    near = [without_residuals(model, theta * (1.0 + 0.01 * rng.normal(size=theta.size))) for _ in range(50)]
    assert min(near) > fit.criterion - 1e-6


# Covariances of low rank fit the response the better the larger they are: a criterion below every minimum.
@pytest.mark.parametrize(("number", "above"), [(70861, 616.7201), (21041, 579.9999)])
def test_a_minimum_that_is_not_the_lowest_criterion_says_where_it_falls(number, above):
    fit = fitted(number)
    assert fit.criterion == pytest.approx(above, abs=1e-4)
    oracle = dense(fit.internals.model)
    lower = fit.internals.objective(oracle.users(lowest(oracle, 40)[1]))
    assert fit.optimum.falls_to < lower < fit.criterion - 0.1
    assert "elsewhere it falls to" in str(fit.optimum)
    assert "elsewhere it falls to" in " ".join(str(fit.summary()).split())
    assert "lower elsewhere" in fit.diagnose().kinds


def test_an_ordinary_minimum_says_nothing_of_elsewhere():
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    assert fit.optimum.elsewhere == ""
    assert "lower elsewhere" not in fit.diagnose().kinds


def test_without_residuals_a_term_may_be_left_out_too():
    """A second slope of one factor is what the first one has already: it is held at zero beside the limit."""
    fit = fitted(29027)
    assert "sigma" in fit.optimum.boundary
    assert fit.optimum.undetermined


@pytest.mark.parametrize("share", [1e-3, 1e-5, 1e-6])
def test_small_residuals_are_no_exact_fit(share):
    rng = np.random.default_rng(0)
    data = pd.DataFrame({"x": np.tile(np.arange(6.0), 12), "g": np.repeat(np.arange(12), 6)})
    b = rng.standard_normal((12, 2))[data["g"]]
    data["y"] = b[:, 0] + b[:, 1] * data["x"] + share * rng.standard_normal(72)
    fit = mme.lmer("y ~ x + (x | g)", data)
    assert fit.optimum.converged
    assert fit.sigma == pytest.approx(share, rel=0.3)


def test_where_no_residual_is_left_all_is_as_in_the_model_without():
    """y ~ N(X beta, s^2 A): beta, its standard error, its degrees of freedom n - p, and the criterion."""
    rng = np.random.default_rng(4)
    sire = np.repeat(np.arange(20), 10)
    pedigree = mme.Pedigree(np.arange(220), [None] * 20 + sire.tolist(), [None] * 220)
    y = rng.normal(size=200) + rng.normal(size=20)[sire]
    fit = mme.lmer("y ~ 1 + (1 | a)", {"y": y, "a": np.arange(20, 220)}, relationship={"a": pedigree})
    A = np.where(sire[:, None] == sire, 0.25, 0.0) + 0.75 * np.eye(200)
    precision = np.linalg.inv(A)
    total = precision.sum()
    r = y - precision.sum(axis=0) @ y / total
    s2 = r @ precision @ r / 199
    assert fit.optimum.verdict == "minimum on the boundary"
    assert fit.optimum.boundary == ("sigma",)
    logs = np.linalg.slogdet(A)[1] + np.log(total)
    assert fit.criterion == pytest.approx(199 * (1.0 + np.log(2.0 * np.pi * s2)) + logs, abs=1e-6)
    row = fit.coefficients().iloc[0]
    assert row["se"] == pytest.approx(np.sqrt(s2 / total), rel=1e-5)
    assert row["df"] == pytest.approx(199.0)
    assert np.isnan(fit.heritability("a")["se"].iloc[0])
