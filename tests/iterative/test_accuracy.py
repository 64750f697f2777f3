"""The iterative engine beside the exact one: within what it says, of graphs that mix quickly and slowly."""

import numpy as np
import pytest
from scipy import stats

import mme
from mme.engine.iteration import beside, signs
from mme.engine.objective import Objective
from mme.engine.plan import Plan
from mme.iterative.point import IteratedPoint
from mme.iterative.steps import slopes_at
from mme.iterative.traces import Probes, traces
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within


def ratings(rng, n=3000, users=300, items=90):
    """Power laws on both sides: mixes quickly."""

    def draw(J, power):
        share = np.cumsum((np.arange(J) + 5.0) ** -power)
        return np.searchsorted(share / share[-1], rng.random(n))

    return draw(users, 0.8), draw(items, 1.0)


def schools(rng, n=3000, pupils=600, teachers=60):
    """Pupils change among the teachers of their school."""
    pupil = rng.integers(pupils, size=n)
    return pupil, pupil * teachers // pupils // 6 * 6 + rng.integers(6, size=n)


def employers(rng, n=3000, workers=900, firms=120):
    """Workers with a few records each, most at one firm, some at two."""
    worker = rng.integers(workers, size=n)
    first = rng.integers(firms, size=workers)
    moved = rng.random(n) < 0.2
    return worker, np.where(moved, rng.integers(firms, size=n), first[worker])


def ring(rng, n=3000, length=200):
    """Each level meets its neighbours on a ring: hardly mixes."""
    place = rng.integers(length, size=n)
    return place, (place + rng.integers(3, size=n)) % length


GRAPHS = {"ratings": ratings, "schools": schools, "employers": employers, "ring": ring}


def problem(graph, seed, slope=False):
    rng = np.random.default_rng(seed)
    a, b = (np.unique(codes, return_inverse=True)[1] for codes in GRAPHS[graph](rng))
    x = rng.standard_normal(a.size)
    X = np.column_stack([np.ones(a.size), x])
    y = X @ [1.0, 0.3] + 0.7 * rng.standard_normal(a.max() + 1)[a] + 0.5 * rng.standard_normal(b.max() + 1)[b]
    y += rng.standard_normal(a.size)
    terms = [mme.Term(a, name="a"), mme.Term(b, X if slope else None, name="b")]
    if slope:
        y += 0.3 * x * rng.standard_normal(b.max() + 1)[b]
    return y, X, terms


def in_standard_errors(fit, exact):
    """The largest distance of a combination of theta from the exact one, in its standard errors."""
    apart = fit.theta - exact.theta
    return np.sqrt(0.5 * apart @ exact.internals.optimum.hessian @ apart)


@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("slope", [False, True])
def test_estimates_are_those_of_the_exact_engine_within_what_is_said(graph, slope):
    y, X, terms = problem(graph, 1, slope)
    exact = mme.fit(y, X, terms, engine="exact")
    fit = mme.fit(y, X, terms, engine="iterative")
    said = fit.engine.stochastic
    assert said.error <= 0.02 or said.probes == 480
    assert in_standard_errors(fit, exact) < 1.5 * said.error + 2e-4
    assert abs(fit.criterion - exact.criterion) < 4.0 * said.criterion_error + 1e-3
    assert fit.optimum.verdict == exact.optimum.verdict
    np.testing.assert_allclose(fit.se, exact.se, rtol=2e-3)


@pytest.mark.parametrize("graph", GRAPHS)
def test_at_given_variances_everything_but_the_criterion_is_exact(graph):
    y, X, terms = problem(graph, 2, slope=True)
    theta = mme.fit(y, X, terms, engine="exact").theta
    exact, fit = (mme.fit(y, X, terms, engine=engine, theta=theta) for engine in ("exact", "iterative"))
    np.testing.assert_allclose(fit.beta, exact.beta, atol=1e-8)
    np.testing.assert_allclose(fit.beta_cov, exact.beta_cov, rtol=1e-7, atol=1e-12)
    assert fit.sigma == pytest.approx(exact.sigma, rel=1e-9)
    np.testing.assert_allclose(fit.fitted, exact.fitted, atol=1e-7)
    for name, of_levels in exact.ranef().items():
        np.testing.assert_allclose(fit.ranef()[name], of_levels, atol=1e-7)


@pytest.mark.parametrize("method", ["REML", "ML"])
@pytest.mark.parametrize("sigma", [None, 1.1])
@pytest.mark.parametrize("slope", [False, True])
def test_slopes_with_exact_traces_are_differences_of_the_exact_criterion(method, sigma, slope):
    y, X, terms = problem("ratings", 3, slope)
    model = build_model(y, X, terms, method=method, sigma=sigma)
    exact = Objective.of(model).in_axes
    objective = Objective.of(model, plan=Plan(0, False, summed=True, iterative=True)).in_axes
    theta = np.array([0.6, 0.4, 0.1, 0.2])[: model.k]
    point = IteratedPoint.of(objective, theta)
    m = objective.system.rest.m
    M = point.factor.operator.product(np.eye(m))
    np.testing.assert_allclose(M, M.T, atol=1e-10)
    # every direction by itself is a set of probes whose mean, m times over, is the trace
    z = beside(point.factor.operator.shared, np.sqrt(m) * np.eye(m))
    found = traces(point, Probes(m, np.linalg.solve(M, z)), z)
    own = slopes_at(point, found, np.ones(model.k)).gradient
    h = 1e-5
    central = [(exact(theta + h * e) - exact(theta - h * e)) / (2.0 * h) for e in np.eye(model.k)]
    np.testing.assert_allclose(own, central, rtol=1e-4, atol=1e-3)


def test_probes_are_independent_signs_and_the_same_wherever_they_begin():
    z = signs(5000, 6)
    assert set(np.unique(z)) == {-1.0, 1.0}
    assert (np.abs(z.T @ z / 5000 - np.eye(6)) < 5.0 / np.sqrt(5000)).all()
    np.testing.assert_array_equal(signs(5000, 2, first=3), z[:, 3:5])


def test_information_is_the_average_of_the_observed_and_the_expected_one():
    """By dense algebra: y'P V_i P V_j P y over s, less what sigma takes."""
    y, X, terms = problem("schools", 4)
    y, X = y[:400], X[:400]
    terms = [mme.Term(term.codes[:400], name=term.name) for term in terms]
    model = build_model(y, X, terms)
    theta = np.array([0.6, 0.4])
    objective = Objective.of(model, plan=Plan(0, False, summed=True, iterative=True))
    point = IteratedPoint.of(objective, theta)
    found, along = point.information([(0, np.array([[1.0]])), (1, np.array([[1.0]]))])
    Z = [term.Z.toarray() for term in terms]
    V = np.eye(400) + sum(t**2 * z @ z.T for t, z in zip(theta, Z, strict=True))
    inverse = np.linalg.inv(V)
    P = inverse - inverse @ X @ np.linalg.solve(X.T @ inverse @ X, X.T @ inverse)
    q = np.array([z @ z.T @ P @ y for z in Z])
    np.testing.assert_allclose(found, q @ P @ q.T, rtol=1e-6)
    np.testing.assert_allclose(along, q @ P @ y, rtol=1e-6)


def test_three_factors_one_related_and_weights_agree_with_the_exact_engine():
    rng = np.random.default_rng(5)
    n, J = 4000, 60
    a, b, c = rng.integers(400, size=n), rng.integers(J, size=n), rng.integers(110, size=n)
    root = np.tril(rng.normal(scale=0.1, size=(J, J)), -1) + np.eye(J)
    K = root @ root.T
    known = mme.Relationship(covariance=K, levels=np.arange(J))
    X = np.column_stack([np.ones(n), rng.standard_normal(n)])
    w = rng.uniform(0.5, 2.0, size=n)
    y = 0.6 * rng.standard_normal(400)[a] + 0.5 * (np.linalg.cholesky(K) @ rng.standard_normal(J))[b]
    y += 0.4 * rng.standard_normal(110)[c] + rng.standard_normal(n) / np.sqrt(w)
    terms = [mme.Term(a, name="a"), mme.Term(b, name="b", relationship=known), mme.Term(c, name="c")]
    exact, fit = (mme.fit(y, X, terms, weights=w, engine=engine) for engine in ("exact", "iterative"))
    assert fit.engine.remainder.startswith("conjugate gradients")
    assert in_standard_errors(fit, exact) < 1.5 * fit.engine.stochastic.error + 2e-4
    np.testing.assert_allclose(fit.se, exact.se, rtol=2e-3)
    there = mme.fit(y, X, terms, weights=w, engine="iterative", theta=exact.theta)
    for name, found in there.pev(levels={"a": [0, 5], "b": [3, 1], "c": [7, 2]}).items():
        at = {"a": [0, 5], "b": [3, 1], "c": [7, 2]}[name]
        np.testing.assert_allclose(found, exact.pev()[name][at], rtol=1e-6)


@pytest.mark.parametrize("seed", [10, 11, 14, 15])
def test_a_variance_of_zero_is_found_as_one(seed):
    y, X, terms = problem("ratings", 6)
    terms.append(mme.Term(np.random.default_rng(seed).integers(110, size=y.size), name="none"))
    exact, fit = (mme.fit(y, X, terms, engine=engine) for engine in ("exact", "iterative"))
    assert exact.theta[2] == fit.theta[2] == 0.0
    assert fit.singular
    assert fit.optimum.verdict == exact.optimum.verdict == "minimum on the boundary"
    np.testing.assert_allclose(fit.theta[:2], exact.theta[:2], rtol=5e-3)


def test_the_same_data_give_the_same_bits_and_probes_stay_where_more_are_drawn():
    y, X, terms = problem("ratings", 8)
    one, other = (mme.fit(y, X, terms, engine="iterative") for _ in range(2))
    assert (one.theta == other.theta).all()
    assert one.criterion == other.criterion
    np.testing.assert_array_equal(signs(50, 4)[:, 2:], signs(50, 2, first=2))


@pytest.mark.slow
@pytest.mark.parametrize("graph", GRAPHS)
def test_the_stated_error_is_honest_over_thirty_draws_of_the_probes(graph, monkeypatch):
    """Distances in units of the stated error: as many beyond it as 95 % of confidence leave."""
    import mme.engine.iteration as iteration
    import mme.iterative.traces as of_traces

    y, X, terms = problem(graph, 9)
    exact = mme.fit(y, X, terms, engine="exact")
    apart = []
    for seed in range(30):

        def drawn(m, count, first=0, seed=seed):
            return signs(m, count, first=1000 * (seed + 1) + first)

        monkeypatch.setattr(of_traces, "signs", drawn)
        monkeypatch.setattr(iteration, "signs", drawn)
        with within(Limits(most_probes=30)):
            fit = mme.fit(y, X, terms, engine="iterative")
        apart.append(in_standard_errors(fit, exact) / fit.engine.stochastic.error)
    beyond = int((np.array(apart) > 1.0).sum())
    assert stats.binom.sf(beyond - 1, 30, 0.05) > 0.01, apart
    assert np.median(apart) > 0.05  # nor is it stated far too large


@pytest.mark.slow
@pytest.mark.parametrize("graph", GRAPHS)
@pytest.mark.parametrize("slope", [False, True])
def test_the_error_of_the_criterion_is_honest_over_thirty_draws_of_the_probes(graph, slope, monkeypatch):
    """Distances from log|M| of dense algebra in units of the stated error have a mean square of one."""
    import mme.engine.iteration as iteration

    y, X, terms = problem(graph, 9, slope)
    theta = mme.fit(y, X, terms, engine="exact").theta
    objective = Objective.of(build_model(y, X, terms), plan=Plan(0, False, summed=True, iterative=True))
    operator = objective.evaluate(theta).rest.operator
    exact, apart = np.linalg.slogdet(operator.product(np.eye(operator.schur.pattern.m)))[1], []
    for seed in range(30):

        def drawn(m, count, first=0, seed=seed):
            return signs(m, count, first=1000 * (seed + 1) + first)

        monkeypatch.setattr(iteration, "signs", drawn)
        factor = iteration.IterativeFactor(operator)
        apart.append((factor.logdet - exact) / factor.logdet_error)
    assert 0.001 < stats.chi2.cdf(np.sum(np.square(apart)), 30) < 0.999, apart
