"""A record that leaves where residuals are correlated: by the closed form, and by least squares without it."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.linalg import inv, solve

import mme

J, T = 12, 3


class Trial:
    """Groups of up to three records in any order, some missing; a site holds groups, items cross them."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        at = rng.permutation(J * T)[: J * T - 5]
        self.group, self.time = np.repeat(np.arange(J), T)[at], np.tile(np.arange(T), J)[at]
        n = self.n = at.size
        self.site, self.item = self.group // 3, rng.integers(0, 5, n)
        self.stratum, self.v = np.array(["f", "m"])[rng.integers(0, 2, n)], rng.uniform(1, 3, n)
        self.weights = rng.uniform(0.5, 2.0, n)
        self.X = np.column_stack([np.ones(n), rng.normal(size=n)])
        self.y = (
            self.X.sum(axis=1) + rng.normal(size=n) + rng.normal(size=J)[self.group] + rng.normal(size=5)[self.item]
        )

    @property
    def residuals(self):
        return {
            "AR1": mme.AR1(self.time, self.group),
            "Exponential": mme.Exponential(1.3 * self.time, self.group),
            "Exponential, nugget": mme.Exponential(self.time, self.group, nugget=True),
            "CompoundSymmetry": mme.CompoundSymmetry(self.group),
            "Unstructured": mme.Unstructured(self.time, self.group, equal_variances=True),
            "Toeplitz": mme.Toeplitz(self.time, self.group),
            "AR1 x Heterogeneous": [mme.AR1(self.time, self.group), mme.Heterogeneous(self.stratum)],
            "Heterogeneous": mme.Heterogeneous(self.stratum),
        }

    @property
    def terms(self):
        slopes = np.column_stack([np.ones(self.n), self.v])
        return {
            "no random term": [],
            "site": [mme.Term(self.site, slopes, name="site", covariance="diagonal")],
            "item": [mme.Term(self.item, name="item")],
            "site and item": [mme.Term(self.item, name="item"), mme.Term(self.site, name="site")],
        }

    def fit(self, residual: str, term: str, weights: bool):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", mme.MMEWarning)
            terms = self.terms[term]
            theta = np.full(sum(one.q for one in terms), 0.6)
            w = self.weights if weights else None
            return mme.fit(self.y, self.X, terms, residual=self.residuals[residual], weights=w, theta=theta)


def covariance(fit) -> np.ndarray:
    """V of y in units of sigma^2, dense."""
    model = fit.internals.model
    V = model.residual.covariance(fit.optimum.phi, np.arange(model.n))
    if model.weights is not None:
        V = V / np.sqrt(np.outer(model.weights, model.weights))
    for term, T_ in zip(model.terms, model.T(fit.theta), strict=True):
        Z = term.Z.toarray()
        V = V + Z @ np.kron(np.eye(term.n_levels), T_ @ T_.T) @ Z.T
    return V


def shifts(fit, V: np.ndarray) -> np.ndarray:
    """beta - beta_(i) by generalised least squares at the same V."""
    X, y, every = fit.internals.model.X, fit.internals.model.y, np.arange(fit.nobs)

    def beta(kept):
        W = inv(V[np.ix_(kept, kept)])
        return solve(X[kept].T @ W @ X[kept], X[kept].T @ W @ y[kept])

    return np.array([beta(every) - beta(np.delete(every, i)) for i in every])


@pytest.mark.parametrize("residual", Trial(1).residuals)
@pytest.mark.parametrize("term", Trial(1).terms)
def test_a_record_that_leaves_moves_beta_by_what_least_squares_without_it_says(residual, term):
    fit = Trial(3).fit(residual, term, weights="site" in term)
    V = covariance(fit)
    expected = shifts(fit, V)
    scale = np.abs(expected).max()
    labels = np.array([f"r{i:03d}" for i in range(fit.nobs)])
    np.testing.assert_allclose(fit.dfbeta(), expected, atol=1e-10 * scale)
    by_label = fit.dfbeta(by=labels[::-1])
    np.testing.assert_allclose(by_label, expected[::-1], atol=1e-10 * scale)
    assert by_label.index.tolist() == labels.tolist()
    distance = np.einsum("ij,jk,ik->i", expected, inv(fit.beta_cov.to_numpy()), expected) / 2.0
    np.testing.assert_allclose(fit.cooks_distance(by=labels), distance, atol=1e-9 * distance.max())
    if residual != "Heterogeneous":  # of independent records it is lme4's, by the conditional residual
        np.testing.assert_allclose(fit.cooks_distance(), distance, atol=1e-9 * distance.max())


@pytest.mark.parametrize("residual", Trial(1).residuals)
@pytest.mark.parametrize("term", ["no random term", "site"])
def test_a_deletion_residual_is_what_a_record_is_off_its_prediction_from_the_others(residual, term):
    fit = Trial(5).fit(residual, term, weights=True)
    V, X, y = covariance(fit), fit.internals.model.X, fit.internals.model.y
    found = fit.scaled_residuals("deletion")
    for i in (0, 7, fit.nobs - 1):
        kept = np.delete(np.arange(fit.nobs), i)
        W, c = inv(V[np.ix_(kept, kept)]), V[i, kept]
        XWX = X[kept].T @ W @ X[kept]
        beta = solve(XWX, X[kept].T @ W @ y[kept])
        off = y[i] - X[i] @ beta - c @ W @ (y[kept] - X[kept] @ beta)
        x = X[i] - c @ W @ X[kept]
        variance = V[i, i] - c @ W @ c + x @ solve(XWX, x)
        assert found[i] == pytest.approx(off / (fit.sigma * np.sqrt(variance)), rel=1e-9)
    if residual == "Heterogeneous":
        np.testing.assert_allclose(found, fit.scaled_residuals("standardised"), rtol=1e-10)


def test_without_a_record_that_alone_tells_of_a_fixed_effect_there_is_no_beta():
    trial = Trial(7)
    only = np.zeros(trial.n)
    only[4] = 1.0
    fit = mme.fit(trial.y, np.column_stack([trial.X, only]), [], residual=mme.AR1(trial.time, trial.group))
    lost = fit.dfbeta().isna().any(axis=1)
    assert lost.tolist() == [i == 4 for i in range(trial.n)]
    assert np.isnan(fit.cooks_distance()).tolist() == lost.tolist()


def test_groups_of_several_records_that_are_correlated_with_others_leave_together_or_not_at_all():
    trial = Trial(9)
    fit = mme.fit(trial.y, trial.X, [], residual=mme.AR1(trial.time, trial.group))
    with pytest.raises(mme.MMEError, match="leave together, or one by one"):
        fit.dfbeta(by=trial.item)


def test_nothing_of_the_size_of_records_squared_is_made():
    """Memory grows with the records: 4,000 of them in four series."""
    import tracemalloc

    n = 4_000
    rng = np.random.default_rng(1)
    series, when = np.repeat(np.arange(4), n // 4), np.tile(np.arange(n // 4), 4)
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    residual = mme.Exponential(when, series, nugget=True)
    fit = mme.fit(rng.normal(size=n), X, [mme.Term(series, name="s")], residual=residual, theta=[0.5])
    tracemalloc.start()
    fit.dfbeta()
    assert tracemalloc.get_traced_memory()[1] < 1000 * n
    tracemalloc.stop()


@pytest.mark.parametrize("residual", ["AR1", "Unstructured", "AR1 x Heterogeneous"])
@pytest.mark.parametrize("term", ["item", "site and item"])
@pytest.mark.parametrize("by", ["group", "site"])
def test_whole_series_leave_beside_random_effects_that_cross_them(residual, term, by):
    trial = Trial(11)
    fit = trial.fit(residual, term, weights=True)
    V, X, y = covariance(fit), fit.internals.model.X, fit.internals.model.y

    def beta(kept):
        W = inv(V[np.ix_(kept, kept)])
        return solve(X[kept].T @ W @ X[kept], X[kept].T @ W @ y[kept])

    labels = getattr(trial, by)
    moved = fit.dfbeta(by=labels)
    expected = [beta(np.arange(trial.n)) - beta(np.flatnonzero(labels != label)) for label in moved.index]
    np.testing.assert_allclose(moved, expected, rtol=0, atol=1e-10 * np.abs(expected).max())


def test_groups_that_leave_are_named_by_any_column_of_the_data():
    data = mme.load("sleepstudy").assign(half=lambda d: d["Days"] // 5)
    data["series"] = data["Subject"].astype(str) + data["half"].astype(str)
    fit = mme.lmer("Reaction ~ Days", data, residual=mme.AR1("Days", "series"))
    np.testing.assert_array_equal(fit.dfbeta(by="series"), fit.dfbeta(by=data["series"]))
    assert fit.cooks_distance(by="series").index.name == "series"
    with pytest.raises(mme.MMEError, match="they are none"):
        fit.dfbeta(by="serie")
