"""Random effects that cross the groups of a residual structure: rows of several levels are whitened together."""

from __future__ import annotations

import numpy as np
import pytest
from dense import DenseFit, dense_fit, exact_fit
from fits import at
from hypothesis import given
from hypothesis import strategies as st
from oracles import satterthwaite

import mme
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.model.problem import build_model
from mme.residual.whitening import Whitening
from mme.solution.estimates import Estimates

KINDS = ["AR1", "Exponential", "Exponential, nugget", "CompoundSymmetry", "Toeplitz", "Unstructured", "heterogeneous"]


class Trial:
    """Subjects seen at some of five times, each time with one of a few items: items cross subjects."""

    def __init__(self, seed: int, subjects: int = 9, items: int = 4) -> None:
        rng = np.random.default_rng(seed)
        subject, time = np.repeat(np.arange(subjects), 5), np.tile(np.arange(5), subjects)
        kept = rng.random(subject.size) > 0.15
        kept[:10] = True  # every pair of times occurs
        order = rng.permutation(np.flatnonzero(kept))
        self.subject, self.time = subject[order], time[order].astype(float)
        n = order.size
        self.item = rng.integers(0, items, n)
        self.X = np.column_stack([np.ones(n), rng.standard_normal(n)])
        self.Z = np.column_stack([np.ones(n), rng.standard_normal(n)])
        self.w = rng.uniform(0.3, 3.0, n)
        effects = rng.standard_normal(items)[self.item] + 0.7 * rng.standard_normal(subjects)[self.subject]
        self.y = self.X.sum(axis=1) + effects + rng.standard_normal(n)

    def residual(self, kind: str):
        if kind == "heterogeneous":
            return [mme.AR1(self.time, self.subject), mme.Heterogeneous((self.time > 2).astype(int))]
        if kind.startswith("Exponential"):
            return mme.Exponential(self.time, self.subject, nugget="nugget" in kind)
        if kind == "CompoundSymmetry":
            return mme.CompoundSymmetry(self.subject)
        return getattr(mme, kind)(self.time, self.subject)

    def terms(self, which: str, kind: str) -> list[mme.Term]:
        """The intercept of subjects is left out where the residual structure has its covariance already."""
        own = self.Z[:, int(kind in ("CompoundSymmetry", "Toeplitz", "Unstructured")) :]
        item, subject = mme.Term(self.item, self.Z, name="item"), mme.Term(self.subject, own, name="subject")
        if which == "related":
            K = 0.6 * np.eye(6) + 0.4  # two levels without records
            known = mme.Relationship(covariance=K, levels=np.arange(6))
            return [mme.Term(self.item, self.Z, name="item", relationship=known), subject]
        time = mme.Term(self.time, name="time")
        return {"item": [item], "both": [item, subject], "crossed": [subject, time, item]}[which]


def dense_at(objective: Objective, theta: np.ndarray) -> DenseFit:
    """The model at (theta, phi) from its covariance matrices alone."""
    model = objective.model
    R = model.residual.covariance(objective.phi, np.arange(model.n))
    w = np.ones(model.n) if model.weights is None else model.weights
    L = np.linalg.cholesky(R / np.sqrt(np.outer(w, w)))
    blocks = []
    for term, T in zip(model.terms, model.T(theta), strict=True):
        K = None if term.relationship is None else np.linalg.inv(term.relationship.precision.toarray())
        blocks.append((np.linalg.solve(L, term.Z.toarray()), T, K))
    found = dense_fit(np.linalg.solve(L, model.y), np.linalg.solve(L, model.X), blocks, method=model.method)
    logdet = 2.0 * np.log(np.diag(L)).sum()
    object.__setattr__(found, "criterion", found.criterion + logdet)
    return found


@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_the_whitening_as_a_matrix_is_the_whitening(kind, seed):
    trial, rng = Trial(seed), np.random.default_rng(seed)
    model = build_model(trial.y, trial.X, trial.terms("item", kind), residual=trial.residual(kind), weights=trial.w)
    phi = model.residual.start() + 0.3 * rng.standard_normal(model.residual.k)
    whiten = Whitening(trial.w, model.residual, phi)
    rows, W = rng.standard_normal((3, trial.y.size)), whiten.matrix()
    np.testing.assert_allclose(rows @ W.toarray().T, whiten(rows), atol=1e-12)
    if kind in ("AR1", "Exponential", "heterogeneous"):  # a record and the one before it
        assert W.nnz == 2 * trial.y.size - np.unique(trial.subject).size


def test_a_long_series_is_crossed_at_once():
    rng, n = np.random.default_rng(0), 20_000
    item, e = rng.integers(0, 50, n), rng.standard_normal(n)
    residual = mme.AR1(np.arange(n), np.zeros(n))
    fit = mme.fit(rng.standard_normal(50)[item] + e, np.ones((n, 1)), [mme.Term(item, name="item")], residual=residual)
    again = np.count_nonzero(item[1:] == item[:-1])  # a record and the one before it have one level
    assert fit.internals.objective.blocks[0].records.size == 2 * n - 1 - again
    assert fit.residual["rho"] == pytest.approx(0.0, abs=0.03)


@given(
    kind=st.sampled_from(KINDS),
    which=st.sampled_from(["item", "both", "crossed", "related"]),
    weighted=st.booleans(),
    method=st.sampled_from(["REML", "ML"]),
    absorb=st.booleans(),
    dense=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_engine_gives_the_dense_criterion_at_any_theta_and_phi(
    kind, which, weighted, method, absorb, dense, seed
):
    trial, rng = Trial(seed), np.random.default_rng(seed)
    weights = trial.w if weighted else None
    model = build_model(
        trial.y, trial.X, trial.terms(which, kind), residual=trial.residual(kind), weights=weights, method=method
    )
    phi = model.residual.start() + 0.3 * rng.standard_normal(model.residual.k)
    theta = rng.normal(size=model.k)
    first = Objective.of(model, phi=phi)
    engine = Plan(first.plan.absorb if absorb else None, dense)
    assert Objective.of(model, phi=phi, plan=engine)(theta) == pytest.approx(dense_at(first, theta).criterion, abs=1e-8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["item", "both", "related"])
def test_estimates_and_their_variances_are_the_dense_ones(kind, which):
    trial = Trial(3, subjects=40)
    terms = trial.terms(which, kind)
    model = build_model(trial.y, trial.X, terms, residual=trial.residual(kind), weights=trial.w)
    objective = Objective.of(model, phi=model.residual.start() + 0.1)
    theta = np.tile([0.8, 0.2, 0.5], len(terms))
    found, d = Estimates(objective, theta), dense_at(objective, theta)
    assert found.criterion == pytest.approx(d.criterion, abs=1e-9)
    assert found.sigma == pytest.approx(d.sigma, rel=1e-10)
    np.testing.assert_allclose(found.beta, d.beta, atol=1e-10)
    np.testing.assert_allclose(found.beta_cov, d.beta_cov, atol=1e-10)
    np.testing.assert_allclose(np.concatenate([b.ravel() for b in found.b]), d.b, atol=1e-10)
    start = 0
    for ours, pev in zip(found.condvar, found.pev, strict=True):
        J, q, _ = ours.shape
        at_level = [slice(start + g * q, start + (g + 1) * q) for g in range(J)]
        np.testing.assert_allclose(ours, [d.condvar[s, s] for s in at_level], atol=1e-10)
        np.testing.assert_allclose(pev, [d.pev[s, s] for s in at_level], atol=1e-10)
        start += J * q


def test_the_optimum_is_that_of_the_dense_likelihood():
    trial = Trial(5, subjects=60, items=8)
    terms = [mme.Term(trial.item, name="item")]
    fit = mme.fit(trial.y, trial.X, terms, residual=trial.residual("AR1"))
    same = np.equal.outer(trial.subject, trial.subject)
    Z, lag = terms[0].Z.toarray(), np.abs(np.subtract.outer(trial.time, trial.time))

    def variance(x):
        rho = fit.internals.model.residual.natural(x[1:])[0]
        return x[0] ** 2 * Z @ Z.T + np.where(same, rho**lag, 0.0)

    x, df = satterthwaite(
        variance, trial.y, trial.X, np.concatenate([fit.theta, fit.internals.objective.phi]), np.eye(2), "REML"
    )
    np.testing.assert_allclose(np.concatenate([fit.theta, fit.internals.objective.phi]), x, atol=1e-4)
    np.testing.assert_allclose(at(fit, x).coefficients()["df"], df, rtol=1e-5)


def test_predictions_and_simulations_do_not_care_and_what_does_is_refused():
    trial = Trial(11, subjects=30)
    fit = mme.fit(trial.y, trial.X, trial.terms("item", "AR1"), residual=trial.residual("AR1"))
    b = fit.internals.estimates.b[0]
    expected = trial.X @ fit.beta.to_numpy() + (trial.Z * b[trial.item]).sum(axis=1)
    np.testing.assert_allclose(fit.fitted, expected, atol=1e-10)
    assert fit.simulate(2, seed=1).shape[0] == trial.y.size
    for refused in (fit.leverage, fit.shrinkage):
        with pytest.raises(mme.MMEError, match="varies within the groups of the residual structure"):
            refused()


def test_a_factor_that_groups_are_nested_in_keeps_its_engine():
    trial = Trial(13)
    site = mme.Term(trial.subject // 3, name="site")
    fit = mme.fit(trial.y, trial.X, [site], residual=trial.residual("AR1"))
    assert fit.engine.absorbed == "site"
    assert all(block.records is None for block in fit.internals.objective.blocks)


@given(
    kind=st.sampled_from(KINDS),
    which=st.sampled_from(["item", "both", "crossed", "related"]),
    absorb=st.booleans(),
    dense=st.booleans(),
    inside=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_steps_of_phi_weights_and_response_give_the_dense_criterion(kind, which, absorb, dense, inside, seed):
    """Whatever an objective keeps of its neighbour, it is that of the model at its phi, weights and response."""
    trial, rng = Trial(seed), np.random.default_rng(seed)
    model = build_model(trial.y, trial.X, trial.terms(which, kind), residual=trial.residual(kind))
    first = Objective.of(model, phi=model.residual.start())
    first = Objective.of(model, phi=first.phi, plan=Plan(first.plan.absorb if absorb else None, dense))
    first = first.in_axes if inside else first
    moved = first.at(first.phi + 0.3 * rng.standard_normal(model.residual.k))
    other = moved.with_weights(trial.w).with_response(rng.standard_normal(model.n))
    back = other.with_response(trial.y).at(first.phi)
    for objective in (moved, other, back):
        theta = rng.normal(size=model.k)
        x = model.coordinates.inner(theta) if inside else theta
        assert objective(x) == pytest.approx(dense_at(objective, theta).criterion, abs=1e-8)
        assert objective.pattern.plain is first.pattern.plain
        assert objective.system.elimination is first.system.elimination


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("kind", ["AR1", "CompoundSymmetry"])
def test_a_step_away_from_independence_has_the_entries_of_its_whitening(kind, dense):
    """At rho = 0 the whitening is the identity: its pattern, where it was found there, serves nowhere else."""
    trial = Trial(0)
    terms, residual = trial.terms("both", kind), trial.residual(kind)
    model = build_model(trial.y, trial.X, terms, residual=residual, weights=trial.w)
    theta = np.full(model.k, 0.7)
    at = [model.residual.coordinates(np.array([rho])) for rho in (0.0, 0.4)]
    nothing = Objective.of(model, phi=at[0], plan=Plan(1, dense))
    away = nothing.at(at[1])
    back = away.at(at[0])
    assert back.pattern is away.pattern
    assert (away.pattern is nothing.pattern) == (kind == "AR1")
    for objective in (nothing, away, back):
        assert objective(theta) == pytest.approx(dense_at(objective, theta).criterion, abs=1e-8)


def test_new_weights_of_independent_records_re_use_the_pattern():
    trial = Trial(1, subjects=30)
    terms = trial.terms("both", "AR1")
    first = Objective.of(build_model(trial.y, trial.X, terms))
    once = first.with_weights(trial.w)
    twice = once.with_weights(trial.w[::-1])
    assert twice.pattern is once.pattern
    theta = np.full(first.model.k, 0.6)
    for objective, w in ((once, trial.w), (twice, trial.w[::-1])):
        fresh = Objective.of(build_model(trial.y, trial.X, terms, weights=w))
        assert objective(theta) == pytest.approx(fresh(theta), rel=1e-12)
    with pytest.raises(mme.MMEError, match="weights"):
        first.with_weights(-trial.w)


@pytest.mark.parametrize("ratio", [1e3, 1e5])
def test_large_variances_across_correlated_records_keep_their_digits(ratio):
    rng = np.random.default_rng(1)
    group, time, across = np.repeat(np.arange(8), 5), np.tile(np.arange(5), 8), rng.integers(0, 6, 40)
    y = 0.01 * rng.normal(size=40) + 3 * rng.normal(size=6)[across]
    residual = mme.AR1(time, group)
    fit = mme.fit(y, np.ones((40, 1)), [mme.Term(across)], residual=residual, theta=[ratio], phi={"rho": 0.5})
    R = np.equal.outer(group, group) * 0.5 ** np.abs(np.subtract.outer(time, time))
    W = np.linalg.inv(np.linalg.cholesky(R))
    expected, *_ = exact_fit(W @ y, W @ np.ones((40, 1)), [(W @ np.eye(6)[across], np.array([[ratio]]), None)])
    assert fit.criterion == pytest.approx(expected + np.linalg.slogdet(R)[1], abs=1e-8)
