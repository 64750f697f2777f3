"""Theorems about mixed models, each as a property: what must stay the same, and what must move and by how much."""

import numpy as np
import pytest
from designs import (
    LAYOUTS,
    Problem,
    RandomPart,
    estimates,
    labels,
    objective,
    plans,
    problems,
    random_T,
    seeds,
    simulate,
)
from hypothesis import assume, given
from hypothesis import strategies as st
from profiles import examples

import mme
from mme.engine.plan import Plan

layouts = st.sampled_from(list(LAYOUTS))
methods = st.sampled_from(["REML", "ML"])


def line(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.column_stack([np.ones(n), rng.normal(size=n)])


@st.composite
def moderate(draw, layout=None, q=2, method=None):
    """A problem of order one: an intercept and a covariate, T regular with entries of order one."""
    n, rng = draw(st.integers(24, 48)), np.random.default_rng(draw(seeds))
    factors = LAYOUTS[layout or draw(layouts)](rng, n, 5)
    X = line(rng, n)
    parts = []
    for t, groups in enumerate(factors):
        width = q if t == 0 else 1
        T = np.tril(rng.normal(size=(width, width)))
        np.fill_diagonal(T, rng.uniform(0.3, 2.0, size=width))
        parts.append(RandomPart(groups, X if width == 2 else None, T))
    problem = Problem(np.zeros(n), X, tuple(parts), (0, 1), method=method or draw(methods))
    return problem.with_(y=simulate(rng, problem))


@st.composite
def well_determined(draw, crossed=None):
    """Levels and records enough for a likelihood with one minimum: twenty levels and more of twelve records each."""
    rng, J = np.random.default_rng(draw(seeds)), draw(st.integers(20, 30))
    n = 12 * J
    X = line(rng, n)
    T = np.array([[rng.uniform(0.5, 2.0), 0.0], [rng.normal(), rng.uniform(0.5, 2.0)]])
    parts = [RandomPart(np.arange(n) % J, X, T)]
    if draw(st.booleans()) if crossed is None else crossed:
        parts.append(RandomPart(labels(rng, n, 20), None, rng.uniform(0.5, 2.0, size=(1, 1))))
    problem = Problem(np.zeros(n), X, tuple(parts), (0, 1), method=draw(methods))
    return problem.with_(y=simulate(rng, problem))


def criterion(problem: Problem) -> float:
    """The criterion at the problem's theta, by the function that the search sees."""
    return objective(problem)(problem.theta)


def fit(problem: Problem, **options) -> mme.Fit:
    return mme.fit(problem.y, problem.X, problem.terms, **problem.options, **options)


def same(one, other, scale=1.0, tolerance=1e-9):
    np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * scale)


# -- BLUP --------------------------------------------------------------------------------------------------------------


@given(problem=moderate())
def test_blup_is_the_regression_of_b_on_the_gls_residual(problem):
    """b = G Z'V^-1 (y - X beta), Henderson (1963)."""
    own, oracle = estimates(problem), problem.dense
    Z = np.hstack([Z for Z, _, _ in problem.blocks])
    expected = oracle.G @ Z.T @ np.linalg.solve(oracle.V, problem.y - problem.X @ own.beta)
    same(np.concatenate([b.ravel() for b in own.b]), expected, scale=np.abs(expected).max())


@given(problem=moderate())
def test_hendersons_equations_give_the_beta_b_and_pev_of_the_fit(problem):
    own, oracle = estimates(problem), problem.dense
    Z = np.hstack([Z for Z, _, _ in problem.blocks])
    solution = mme.solve(problem.y, problem.X, Z, Ginv=np.linalg.inv(oracle.G), Rinv=1 / oracle.sigma**2)
    same(solution.beta, own.beta, 1.0, 1e-8)
    same(solution.b, np.concatenate([b.ravel() for b in own.b]), 1.0, 1e-8)
    same(solution.pev(), np.concatenate([np.einsum("gii->gi", pev).ravel() for pev in own.pev]), 1.0, 1e-8)
    same(solution.beta_cov, own.beta_cov, 1.0, 1e-8)
    assert abs(solution.criterion(problem.method) - own.criterion) < 1e-8


@given(problem=moderate())
def test_residuals_are_what_fixed_and_random_parts_leave(problem):
    own = estimates(problem)
    b = np.concatenate([b.ravel() for b in own.b])
    same(own.fitted, problem.X @ own.beta + np.hstack([Z for Z, _, _ in problem.blocks]) @ b, 1.0, 1e-11)


@given(problem=moderate())
def test_weighted_residuals_are_orthogonal_to_the_fixed_effects_and_pull_u_back_to_zero(problem):
    """The normal equations of penalised least squares: X'W e = 0 and T'Z_g'W e = u_g with b_g = T u_g."""
    rng = np.random.default_rng(0)
    problem = problem.with_(weights=rng.uniform(0.5, 2.0, size=problem.y.size))
    own = estimates(problem)
    e = problem.weights * (problem.y - own.fitted)
    same(problem.X.T @ e, 0.0, scale=np.abs(problem.X.T @ np.abs(e)).max())
    for b, (Z, T, _) in zip(own.b, problem.blocks, strict=True):
        pull = (Z.T @ e).reshape(b.shape) @ (T @ T.T)
        same(pull, b, scale=np.abs(b).max() + 1.0, tolerance=1e-8)


@given(problem=moderate())
def test_random_intercepts_sum_to_zero_beside_a_fixed_intercept(problem):
    """For every factor whose levels add up to the intercept, weighted by nothing: 1'u = 1'T'Z'e = 0."""
    parts = tuple(RandomPart(part.groups, None, part.T[:1, :1]) for part in problem.parts)
    own = estimates(problem.with_(parts=parts))
    for b in own.b:
        assert abs(b.sum()) < 1e-9 * (1.0 + np.abs(b).sum())


@given(layout=layouts, data=st.data())
def test_prediction_error_lies_between_zero_and_the_prior_variance_and_above_the_conditional_one(layout, data):
    """0 <= var(b | y) <= PEV <= G as matrices, whatever theta: at zero variances all are zero."""
    problem = data.draw(problems(layout))
    own = estimates(problem)
    for part, condvar, pev in zip(problem.parts, own.condvar, own.pev, strict=True):
        G = own.sigma**2 * part.T @ part.T.T
        smallest = -1e-7 * np.abs(G).max(initial=0.0)
        assert np.linalg.eigvalsh(condvar).min() >= smallest
        assert np.linalg.eigvalsh(pev - condvar).min() >= smallest
        assert np.linalg.eigvalsh(G - condvar).min() >= smallest
        # with beta estimated the PEV of a direction that beta takes up can exceed no prior variance either
        assert np.linalg.eigvalsh(G - pev).min() >= smallest - 1e-7 * np.abs(pev).max(initial=0.0)


# -- exact invariances -------------------------------------------------------------------------------------------------


@given(problem=moderate(), shift=st.tuples(st.floats(-50, 50), st.floats(-50, 50)))
def test_adding_X_c_to_y_moves_beta_by_c_and_nothing_else(problem, shift):
    one, other = estimates(problem), estimates(problem.with_(y=problem.y + problem.X @ shift))
    same(other.beta, one.beta + shift, 100.0, 1e-11)
    same(other.criterion, one.criterion, 1.0, 1e-11)
    same(other.sigma, one.sigma, 1.0, 1e-11)
    for b, b_other in zip(one.b, other.b, strict=True):
        same(b_other, b, 100.0, 1e-11)


@given(problem=moderate(), log10=st.floats(-6, 6), sign=st.sampled_from([-1.0, 1.0]))
def test_scaling_y_scales_the_estimates_and_adds_the_logarithm_of_the_scale(problem, log10, sign):
    """c y: beta, b times c; sigma times |c|; criterion + 2 (n - p) log|c| by REML, + 2 n log|c| by ML."""
    c = sign * 10.0**log10
    one, other = estimates(problem), estimates(problem.with_(y=c * problem.y))
    n, p = problem.X.shape
    degrees = n - p if problem.method == "REML" else n
    same(other.criterion - one.criterion, 2 * degrees * np.log(abs(c)), 1.0, 1e-11)
    same(other.beta / c, one.beta, 1.0, 1e-11)
    same(other.sigma / abs(c), one.sigma, 1.0, 1e-11)
    for b, b_other in zip(one.b, other.b, strict=True):
        same(b_other / c, b, 1.0, 1e-10)


@given(problem=moderate(), seed=seeds)
def test_another_basis_of_X_changes_beta_and_the_reml_constant_only(problem, seed):
    """X T: beta becomes T^-1 beta, the REML criterion gains 2 log|det T|, the deviance nothing."""
    basis = np.random.default_rng(seed).normal(size=(2, 2)) + 2.0 * np.eye(2)
    assume(np.linalg.cond(basis) < 100.0)
    one, other = estimates(problem), estimates(problem.with_(X=problem.X @ basis))
    gain = 2 * np.linalg.slogdet(basis)[1] if problem.method == "REML" else 0.0
    same(other.criterion - one.criterion, gain, 1.0, 1e-10)
    same(basis @ other.beta, one.beta, 1.0, 1e-10)
    same(basis @ other.beta_cov @ basis.T, one.beta_cov, 1.0, 1e-9)
    same(other.fitted, one.fitted, 10.0, 1e-10)


@given(layout=layouts, data=st.data(), seed=seeds)
def test_the_order_of_the_records_does_not_matter(layout, data, seed):
    problem = data.draw(problems(layout))
    order = np.random.default_rng(seed).permutation(problem.y.size)
    pick = lambda v: None if v is None else v[order]  # noqa: E731
    shuffled = problem.with_(
        y=problem.y[order],
        X=problem.X[order],
        weights=pick(problem.weights),
        offset=pick(problem.offset),
        parts=tuple(
            RandomPart(part.groups[order], pick(part.covariates), part.T, part.covariance) for part in problem.parts
        ),
    )
    one, other = estimates(problem), estimates(shuffled)
    same(other.criterion, one.criterion, 1.0, 1e-8)
    same(other.sigma, one.sigma, 0.0, 1e-8)
    for part, b, b_other in zip(problem.parts, one.b, other.b, strict=True):
        same(b_other, b, one.sigma * np.abs(part.T).max(initial=0.0) + 1e-12, 1e-6)


@given(problem=moderate(), seed=seeds)
def test_relabelling_the_levels_permutes_the_random_effects(problem, seed):
    rng = np.random.default_rng(seed)
    renamed, names = [], []
    for part in problem.parts:
        new = rng.permutation(part.groups.max() + 1)
        names.append(new)
        renamed.append(RandomPart(new[part.groups], part.covariates, part.T))
    one, other = estimates(problem), estimates(problem.with_(parts=tuple(renamed)))
    same(other.criterion, one.criterion, 1.0, 1e-11)
    for b, b_other, new in zip(one.b, other.b, names, strict=True):
        same(b_other[new], b, 1.0, 1e-9)
    for V, V_other, new in zip(one.pev, other.pev, names, strict=True):
        same(V_other[new], V, 1.0, 1e-9)


@given(problem=moderate())
def test_the_order_of_the_terms_does_not_matter(problem):
    backwards = problem.with_(parts=problem.parts[::-1])
    same(criterion(backwards), criterion(problem), 1.0, 1e-11)
    for b, b_other in zip(estimates(problem).b, reversed(estimates(backwards).b), strict=True):
        same(b_other, b, 1.0, 1e-9)


@given(problem=moderate(layout="one factor"), seed=seeds)
def test_the_sign_of_a_column_of_T_does_not_matter(problem, seed):
    """T and T S with S = diag(+-1) are one covariance: the criterion is even in each column."""
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=2)
    part = problem.parts[0]
    flipped = problem.with_(parts=(RandomPart(part.groups, part.covariates, part.T * signs),))
    same(criterion(flipped), criterion(problem), 1.0, 1e-12)
    same(flipped.model.canonical(flipped.theta), problem.model.canonical(problem.theta), 1.0, 1e-15)


@given(problem=moderate(layout="one factor", q=2), seed=seeds)
def test_another_basis_of_a_random_slope_is_another_T(problem, seed):
    """Z A with T replaced by A^-1 T (any factor of the same covariance): the criterion stays, b becomes A^-1 b."""
    A = np.random.default_rng(seed).normal(size=(2, 2)) + 2.0 * np.eye(2)
    assume(np.linalg.cond(A) < 50.0)
    part = problem.parts[0]
    T = np.linalg.solve(A, part.T)
    T = np.linalg.cholesky(T @ T.T)
    turned = problem.with_(parts=(RandomPart(part.groups, part.covariates @ A, T),))
    same(criterion(turned), criterion(problem), 1.0, 1e-10)
    same(estimates(turned).b[0] @ A.T, estimates(problem).b[0], 10.0, 1e-8)


@given(problem=moderate(), scale=st.floats(0.01, 100.0), sigma=st.booleans())
def test_multiplying_all_weights_rescales_sigma_and_nothing_else(problem, scale, sigma):
    """w c: sigma times sqrt(c), theta over sqrt(c), and the criterion as it was."""
    if sigma:
        problem = problem.with_(sigma=0.8)
    w = np.linspace(0.5, 2.0, problem.y.size)
    parts = tuple(RandomPart(p.groups, p.covariates, p.T / np.sqrt(scale)) for p in problem.parts)
    one = estimates(problem.with_(weights=w))
    scaled = problem.with_(weights=scale * w, parts=parts, sigma=0.8 * np.sqrt(scale) if sigma else None)
    other = estimates(scaled)
    same(other.criterion, one.criterion, 1.0, 1e-11)
    same(other.sigma, one.sigma * np.sqrt(scale), 0.0, 1e-11)
    same(other.beta, one.beta, 1.0, 1e-10)


@given(problem=moderate(), seed=seeds)
def test_a_record_of_weight_k_is_k_records_that_agree(problem, seed):
    """k equal rows are their mean with weight k: what is lost is the (k - 1) spreads about it, zero here.

    With sigma known the criteria differ by (N - n) log(2 pi sigma^2) + sum log w exactly, beta, b, their covariances
    and pwrss not at all; with sigma estimated, theta held, only its divisor changes.
    """
    k = np.random.default_rng(seed).integers(1, 5, size=problem.y.size)
    weighted = problem.with_(weights=k.astype(float), sigma=0.7)
    repeated = problem.with_(
        y=np.repeat(problem.y, k),
        X=np.repeat(problem.X, k, axis=0),
        sigma=0.7,
        parts=tuple(
            RandomPart(
                np.repeat(part.groups, k),
                None if part.covariates is None else np.repeat(part.covariates, k, axis=0),
                part.T,
            )
            for part in problem.parts
        ),
    )
    one, other = estimates(weighted), estimates(repeated)
    more = (k.sum() - k.size) * np.log(2 * np.pi * 0.7**2) + np.log(k).sum()
    same(other.criterion - one.criterion, more, 1.0, 1e-10)
    same(other.beta, one.beta, 1.0, 1e-10)
    same(other.beta_cov, one.beta_cov, 1.0, 1e-10)
    for t in range(len(problem.parts)):
        same(other.b[t], one.b[t], 1.0, 1e-9)
        same(other.pev[t], one.pev[t], 1.0, 1e-9)
    free, free_repeated = estimates(weighted.with_(sigma=None)), estimates(repeated.with_(sigma=None))
    p = problem.X.shape[1] if problem.method == "REML" else 0
    same(free_repeated.sigma**2 * (k.sum() - p), free.sigma**2 * (k.size - p), 1.0, 1e-10)


@given(problem=moderate(), seed=seeds)
def test_an_offset_is_a_known_part_of_the_response(problem, seed):
    offset = np.random.default_rng(seed).normal(scale=10.0, size=problem.y.size)
    one, other = estimates(problem), estimates(problem.with_(y=problem.y + offset, offset=offset))
    same(other.criterion, one.criterion, 1.0, 1e-11)
    same(other.beta, one.beta, 10.0, 1e-11)
    same(other.fitted, one.fitted + offset, 10.0, 1e-11)


@given(problem=moderate(), seed=seeds)
def test_a_column_that_others_determine_changes_nothing(problem, seed):
    column = problem.X @ np.random.default_rng(seed).normal(size=2)
    one, other = estimates(problem), estimates(problem.with_(X=np.column_stack([problem.X, column])))
    assert other.objective.basis.kept.tolist() == [0, 1]
    same(other.criterion, one.criterion, 1.0, 1e-11)
    same(other.beta, one.beta, 1.0, 1e-10)


# -- limits ------------------------------------------------------------------------------------------------------------


def least_squares(problem: Problem, X: np.ndarray) -> tuple[np.ndarray, float]:
    beta = np.linalg.lstsq(X, problem.y)[0]
    return beta, float(np.sum((problem.y - X @ beta) ** 2))


@given(problem=moderate())
def test_theta_zero_is_ordinary_least_squares(problem):
    parts = tuple(RandomPart(part.groups, part.covariates, 0.0 * part.T) for part in problem.parts)
    own = estimates(problem.with_(parts=parts))
    beta, rss = least_squares(problem, problem.X)
    n, p = problem.X.shape
    degrees = n - p if problem.method == "REML" else n
    likelihood = degrees * (1 + np.log(2 * np.pi * rss / degrees))
    if problem.method == "REML":
        likelihood += np.linalg.slogdet(problem.X.T @ problem.X)[1]
    same(own.beta, beta, 1.0, 1e-11)
    same(own.sigma, np.sqrt(rss / degrees), 0.0, 1e-11)
    same(own.criterion, likelihood, 1.0, 1e-11)
    for t in range(len(problem.parts)):
        assert not own.b[t].any()
        assert not own.pev[t].any()


@given(seed=seeds, method=methods)
def test_theta_to_infinity_is_no_pooling(seed, method):
    """Each level keeps its own mean: beta is the within-levels slope, and b the levels' own intercepts."""
    rng = np.random.default_rng(seed)
    n = 36
    g = labels(rng, n, 5)
    problem = Problem(np.zeros(n), line(rng, n), (RandomPart(g, None, np.array([[1e5]])),), (0, 1), method=method)
    problem = problem.with_(y=rng.normal(size=n) + problem.X @ [1.0, 2.0] + rng.normal(size=5)[g])
    own = estimates(problem)
    separate, _ = least_squares(problem, np.column_stack([problem.X[:, 1], g[:, None] == np.arange(5)]))
    same(own.beta[1], separate[0], 1.0, 1e-7)
    same(own.beta[0] + own.b[0][:, 0], separate[1:], 1.0, 1e-7)


@given(seed=seeds)
def test_shrinkage_of_a_random_intercept_is_n_over_n_plus_the_variance_ratio(seed):
    """b_g = (n_g / (n_g + sigma^2 / tau^2)) (mean of y in g - mu)."""
    rng = np.random.default_rng(seed)
    g = labels(rng, 30, 5)
    theta = rng.uniform(0.1, 3.0)
    problem = Problem(rng.normal(size=30), np.ones((30, 1)), (RandomPart(g, None, np.array([[theta]])),), (0,))
    own, counts = estimates(problem), np.bincount(g)
    share = counts / (counts + theta**-2)
    means = np.bincount(g, problem.y) / counts
    same(own.beta[0], (share @ means) / share.sum(), 1.0, 1e-11)
    same(own.b[0][:, 0], share * (means - own.beta[0]), 1.0, 1e-11)
    same(own.condvar[0][:, 0, 0], own.sigma**2 * theta**2 * (1 - share), 1.0, 1e-11)


@given(seed=seeds, J=st.integers(3, 8), n=st.integers(2, 6))
def test_a_balanced_one_way_layout_has_the_anova_estimates(seed, J, n):
    """REML: sigma^2 = MSE and tau^2 = (MSB - MSE) / n, or tau = 0 where that is negative."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(J), n)
    y = rng.normal(size=J * n) + rng.normal(size=J)[g]
    means = np.bincount(g, y) / n
    between = n * np.sum((means - y.mean()) ** 2) / (J - 1)
    within = np.sum((y - means[g]) ** 2) / (J * (n - 1))
    own = mme.fit(y, np.ones((J * n, 1)), [mme.Term(g)])
    tau2, sigma2 = max(between - within, 0.0) / n, within
    if between < within:
        sigma2 = np.var(y, ddof=1)
    assert own.optimum.converged
    same(own.varcorr["g"].cov[0, 0], tau2, sigma2, 2e-4)
    same(own.sigma**2, sigma2, 0.0, 2e-4)
    if between < 0.999 * within:
        assert own.theta[0] == 0.0
        assert own.singular


# -- engines and fits --------------------------------------------------------------------------------------------------


@examples(20)
@given(layout=layouts, seed=seeds)
def test_absorption_and_factorisation_agree_on_the_criterion(layout, seed):
    rng = np.random.default_rng(seed)
    factors = LAYOUTS[layout](rng, 48, 5)
    distinct = {groups.tobytes(): groups for groups in factors}.values()
    parts = tuple(RandomPart(groups, None, random_T(rng, 1)) for groups in distinct)
    problem = Problem(np.zeros(48), line(rng, 48), parts, (0, 1))
    problem = problem.with_(y=simulate(rng, problem))
    theta = problem.theta + 0.1
    values = [objective(problem, plan)(theta) for plan in (None, *plans(problem))]
    assert max(values) - min(values) < 1e-8


@examples(8)
@given(problem=moderate())
def test_a_fit_done_twice_is_the_same_to_the_last_bit(problem):
    one, other = fit(problem), fit(problem)
    assert np.array_equal(one.theta, other.theta)
    assert one.criterion == other.criterion
    assert one.optimum.evaluations == other.optimum.evaluations
    assert np.array_equal(one.internals.estimates.beta, other.internals.estimates.beta)
    assert np.array_equal(one.internals.estimates.fitted, other.internals.estimates.fitted)


@examples(8)
@given(problem=well_determined(), seed=seeds)
def test_a_fit_started_elsewhere_ends_at_the_same_criterion(problem, seed):
    """A refit to another response and back starts from that one's theta, not from the moments."""
    rng = np.random.default_rng(seed)
    one = fit(problem)
    other = one.refit(simulate(rng, problem)).refit(problem.y)
    assert one.optimum.converged
    assert other.optimum.converged
    assert abs(one.criterion - other.criterion) < 1e-6


@examples(8)
@given(problem=well_determined(crossed=False), log10=st.integers(-6, 6))
def test_units_of_a_slope_leave_the_fit_where_it_was(problem, log10):
    """x c: the criterion of the deviance stays, the slope's row of T is divided by c."""
    unit = np.array([1.0, 10.0**log10])
    part = problem.parts[0]
    other = problem.with_(X=problem.X * unit, parts=(RandomPart(part.groups, part.covariates * unit, part.T),))
    one, scaled = fit(problem), fit(other)
    gain = 2 * np.log(unit[1]) if problem.method == "REML" else 0.0
    assert abs(scaled.criterion - one.criterion - gain) < 1e-6
    assert scaled.optimum.verdict == one.optimum.verdict
    cov, cov_scaled = one.varcorr["g0"].cov, scaled.varcorr["g0"].cov * np.outer(unit, unit)
    same(cov_scaled, cov, np.abs(cov).max(), 1e-3)


@examples(8)
@given(problem=well_determined())
def test_no_theta_nearby_has_a_smaller_criterion_than_the_fit(problem):
    own = fit(problem)
    rng = np.random.default_rng(0)
    at = own.internals.objective
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(5):
            theta = own.theta + size * rng.normal(size=own.theta.size)
            assert at(theta) > own.criterion - 1e-6


@examples(10)
@given(problem=well_determined())
def test_ml_never_has_a_larger_deviance_than_reml_at_its_own_theta(problem):
    """The ML fit minimises the deviance: no other theta has a smaller one."""
    ml, reml = fit(problem.with_(method="ML")), fit(problem.with_(method="REML"))
    assert ml.criterion <= ml.internals.objective(reml.theta) + 1e-6


@pytest.mark.parametrize("plan", [Plan(0, True), Plan(1, True), Plan(None, False)])
def test_an_evaluation_leaves_no_trace(plan):
    """The objective is a function: calls in any order give the same bits."""
    rng = np.random.default_rng(1)
    parts = tuple(RandomPart(labels(rng, 40, J), None, np.ones((1, 1))) for J in (6, 4))
    problem = Problem(rng.normal(size=40), line(rng, 40), parts, (0, 1))
    f = objective(problem, plan)
    thetas = [np.array(theta) for theta in ([1.0, 1.0], [0.0, 2.0], [1e3, 1e-3], [1.0, 1.0])]
    first = [f(theta) for theta in thetas]
    assert first[0] == first[3]
    assert [f(theta) for theta in reversed(thetas)] == first[::-1]
