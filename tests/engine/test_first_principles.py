"""Core arithmetic against dense algebra and theorems: these tests run before all others, and take seconds.

A wrong sign in the criterion, in the absorption, in an elimination or in a derivative is found here, by a test that
names the formula, before the rest of the suite starts. Designs are small, fixed and of every kind that takes a path of
its own through the engine.
"""

import numpy as np
import pandas as pd
import pytest
from designs import Problem, RandomPart, disagreement, estimates, labels, objective, plans, simulate
from residuals import STRUCTURES, bound, records
from wide import SPARSE, Records, sparse

import mme
from mme.derivatives.slopes import criterion_slopes
from mme.engine.absorption import classes_of
from mme.engine.basis import orthonormalise
from mme.engine.block_pattern import block_patterns
from mme.engine.criterion import of_least_squares
from mme.engine.elimination import DenseWork
from mme.engine.level_loops import collect, subtract_numbers, subtract_rows, take_numbers, take_rows
from mme.engine.objective import Objective
from mme.engine.span import within_X
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from mme.residual import AR1, CompoundSymmetry, Heterogeneous, bind
from mme.residual.whitening import Whitening


def line(n: int, seed: int = 1) -> np.ndarray:
    """An intercept and a predictor (n, 2)."""
    return np.column_stack([np.ones(n), np.random.default_rng(seed).normal(1.0, 2.0, size=n)])


def drawn(X: np.ndarray, *parts: RandomPart, **options) -> Problem:
    """A problem with a response from its own model."""
    problem = Problem(np.zeros(len(X)), X, parts, tuple(range(X.shape[1])), **options)
    return problem.with_(y=simulate(np.random.default_rng(7), problem))


def triangle(q: int, scale: float = 1.0) -> np.ndarray:
    """A relative covariance factor T (q, q) with every entry below the diagonal, of both signs."""
    return scale * (0.6 * np.eye(q) + np.tril(np.fromfunction(lambda i, j: 0.3 * (-1.0) ** (i + j), (q, q)), -1))


def slopes(n: int, J: int, q: int, scale: float = 1.0, seed: int = 3) -> RandomPart:
    """Q coefficients a level, of J unbalanced levels."""
    rng = np.random.default_rng(seed)
    columns = np.column_stack([np.ones(n), rng.normal(size=(n, q - 1))]) if q > 1 else None
    return RandomPart(labels(rng, n, J), columns, triangle(q, scale))


N = 40
WEIGHTS = np.random.default_rng(5).uniform(0.3, 3.0, size=N)
PROBLEMS = {
    "no random term": drawn(line(N)),
    "intercepts": drawn(line(N), slopes(N, 7, 1)),
    "intercepts by ML": drawn(line(N), slopes(N, 7, 1), method="ML"),
    "intercepts, sigma known": drawn(line(N), slopes(N, 7, 1), sigma=1.7),
    "intercepts, sigma known, ML": drawn(line(N), slopes(N, 7, 1), sigma=1.7, method="ML"),
    "intercepts, weights and an offset": drawn(
        line(N), slopes(N, 7, 1), weights=WEIGHTS, offset=np.linspace(-3.0, 4.0, N)
    ),
    "a slope": drawn(line(N), slopes(N, 7, 2)),
    "two slopes": drawn(line(N), slopes(N, 6, 3)),
    "three slopes, weights": drawn(line(N), slopes(N, 5, 4), weights=WEIGHTS),
    "a slope of large variance": drawn(line(N), slopes(N, 7, 2, 1e4)),
    "two slopes of large variance": drawn(line(N), slopes(N, 6, 3, 1e4)),
    "crossed": drawn(line(N), slopes(N, 7, 1), slopes(N, 5, 1, seed=4)),
    "crossed by ML, weights": drawn(line(N), slopes(N, 7, 1), slopes(N, 5, 1, seed=4), weights=WEIGHTS, method="ML"),
    "slopes in two crossed factors": drawn(line(N), slopes(N, 6, 2), slopes(N, 4, 2, seed=4)),
    "slopes in three crossed factors": drawn(
        line(N), slopes(N, 5, 3), slopes(N, 4, 2, seed=4), slopes(N, 3, 1, seed=8)
    ),
    "crossed, deviations twice sigma": drawn(
        line(N), slopes(N, 7, 1, 2.0 / 0.6), RandomPart(np.arange(N) % 5, None, np.array([[2.0]]))
    ),
    "crossed, variances far apart": drawn(line(N), slopes(N, 7, 1, 1e-2), slopes(N, 5, 1, 30.0, seed=4)),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_engine_gives_the_numbers_of_dense_algebra(name):
    """Criterion, sigma, beta and its covariance, BLUP, conditional variance and PEV; see ``dense.py``."""
    problem = PROBLEMS[name]
    for plan in (None, *plans(problem)):
        off = disagreement(problem, plan)
        assert max(off.values()) < 1e-6 if "large" in name else max(off.values()) < 1e-9, (plan, off)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "no random term"])
def test_the_criterion_at_many_thetas_together_is_that_at_each(name):
    f = objective(PROBLEMS[name])
    at = PROBLEMS[name].theta * np.random.default_rng(6).normal(1.0, 0.5, size=(4, f.model.k))
    np.testing.assert_allclose(f.many(at), [f(theta) for theta in at], rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "no random term"])
def test_log_M_alone_is_that_of_an_evaluation(name):
    f, theta = objective(PROBLEMS[name]), PROBLEMS[name].theta
    assert f.logdet_M(theta) == pytest.approx(f.evaluate(theta).logdet_M, rel=1e-9)


@pytest.mark.parametrize("random", ["crossed", "pedigree", "series"])
def test_log_M_of_the_random_effects_is_the_same_beside_an_X_of_sparse_columns(random):
    """These are eliminated as effects without a variance, which log|M| of the random effects has none of."""
    records = Records(1)
    terms = {
        "series": lambda: [mme.Term.ou(np.arange(records.n) % 8, records.pupil, name="series")],
        "pedigree": lambda: records.terms("pedigree"),
        "crossed": lambda: [*records.terms("crossed"), mme.Term(np.arange(records.n) % 5, name="day")],
    }[random]()
    X = records.X("factor")
    dense = mme.objective(records.y, X, terms)
    theta = np.array([0.8, 0.5, 0.4])[: dense.model.k]
    with within(SPARSE):
        wide = mme.objective(records.y, sparse(X), terms)
        assert wide.fixed is not None
        assert wide.logdet_M(theta) == pytest.approx(dense.logdet_M(theta), abs=1e-9)
        assert wide(theta) == pytest.approx(dense(theta), abs=1e-8)


def test_many_groups_of_few_sizes_give_the_numbers_of_dense_algebra():
    """Levels with equal triangles are merged: 90 groups of one, two or three records."""
    groups = np.repeat(np.arange(90), np.arange(90) % 3 + 1)
    X = line(groups.size)
    problem = drawn(X, RandomPart(groups, None, np.array([[0.7]])))
    for plan in (None, *plans(problem)):
        assert max(disagreement(problem, plan).values()) < 1e-9


def test_levels_merged_in_classes_of_few_and_of_many_give_the_numbers_of_dense_algebra():
    """A class of more levels than rows of its triangle is replaced by that; one of fewer stays as it is."""
    groups = np.repeat(np.arange(64), [*[1] * 60, 2, 2, 2, 3])
    problem = drawn(line(groups.size), RandomPart(groups, None, np.array([[0.7]])))
    assert max(disagreement(problem).values()) < 1e-9


@pytest.mark.parametrize("q", [1, 2, 3])
def test_levels_are_of_one_class_where_every_entry_of_their_triangles_is_equal(q):
    """Of two levels with one triangle, and others that differ from it in one entry each, the two are alike."""
    R = np.repeat(np.triu(np.arange(1.0, 1.0 + q * q).reshape(q, q))[:, :, None], 2 + q * (q + 1) // 2, axis=2)
    for level, (i, j) in enumerate(zip(*np.triu_indices(q), strict=True), start=2):
        R[i, j, level] += 0.5
    first, members = classes_of(R)
    assert first.size == R.shape[2] - 1
    np.testing.assert_array_equal(R[:, :, first[members]], R)


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("width", [1, 3, 9])
def test_the_loops_over_levels_give_the_sums_that_they_stand_for(width, q):
    """Six levels that meet some of eight effects, one of them none; a triangle is made ``width`` columns at a time."""
    rng, m = np.random.default_rng(width + q), 8
    rows = [np.flatnonzero(rng.random(m) < share) for share in (0.5, 1.0, 0.3, 0.0, 0.7, 0.5)]
    row, ends = np.concatenate(rows), np.cumsum([own.size for own in rows])
    B = rng.normal(size=(row.size, q))
    U, V, H = rng.normal(size=(len(rows), q, q)), rng.normal(size=(m, 4)), rng.normal(size=(m, m))
    begin = np.append(0, ends[:-1])
    wide = np.zeros((len(rows), m, q))
    for g, own in enumerate(rows):
        wide[g, own] = B[begin[g] : ends[g]]
    full, half, out = rng.normal(size=(m, m)), np.zeros((len(rows), q, q)), rng.normal(size=(m, 4))
    expected = full - np.tril(np.einsum("gia,gab,gjb->ij", wide, U, wide))
    given = out - np.einsum("gia,gab,gjb,jk->ik", wide, U, wide, V)
    collect(half, H.T, width, ends, begin.copy(), row, B, np.empty(q))
    lower = np.tril(H) - 0.5 * np.diag(np.diag(H))
    np.testing.assert_allclose(half, np.einsum("gia,ij,gjb->gab", wide, lower, wide), atol=1e-12)
    if q == 1:
        subtract_numbers(full.T, width, ends, begin.copy(), row, B.ravel(), U.ravel())
        take_numbers(out, ends, row, B.ravel(), U.ravel(), V, np.empty(4))
    else:
        subtract_rows(full.T, width, ends, begin.copy(), row, B, U, np.empty(q))
        take_rows(out, ends, row, B, U, V, np.empty((q, 4)), np.empty((q, 4)))
    np.testing.assert_allclose(full, expected, atol=1e-12)
    np.testing.assert_allclose(out, given, atol=1e-12)


def test_levels_taken_a_few_at_a_time_add_up():
    problem = PROBLEMS["two slopes"]
    whole = objective(problem)
    with within(Limits(levels_in_panel=2)):
        pieces = objective(problem)
    assert len(pieces.system.chunks) == 3
    assert pieces(problem.theta) == pytest.approx(whole(problem.theta), rel=1e-12)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a factor"])
def test_many_coefficients_of_one_variance_have_the_covariance_of_their_columns(beside):
    """A smooth, absorbed by its singular values: V = I + theta^2 ZZ'."""
    rng, h = np.random.default_rng(6), np.arange(N) % 5
    Z, X, y = rng.normal(size=(N, 6)), line(N), rng.normal(size=N)
    terms = [mme.Term(np.zeros(N, dtype=int), Z, name="s", covariance="homogeneous diagonal")]
    V = np.eye(N) + 0.8**2 * Z @ Z.T
    if beside:
        terms.append(mme.Term(h, name="h"))
        V += 0.5**2 * np.equal.outer(h, h)
    assert mme.objective(y, X, terms)([0.8, 0.5][: len(terms)]) == pytest.approx(density(y, X, V), abs=1e-9)


def test_an_axis_of_a_term_within_X_leaves_the_numbers_of_dense_algebra():
    """X holds 1 + 2x of each level: neither the intercepts nor the slopes lie within X, a combination of them does."""
    groups, x = np.arange(N) % 3, np.random.default_rng(3).normal(1.0, 1.0, size=N)
    X = np.equal.outer(groups, np.arange(3)) * (1.0 + 2.0 * x)[:, None]
    part = RandomPart(groups, np.column_stack([np.ones(N), x]), np.array([[0.8, 0.0], [-0.5, 0.6]]))
    problem = drawn(X, part)
    for plan in (None, *plans(problem)):
        assert max(disagreement(problem, plan).values()) < 1e-9


@pytest.mark.parametrize("m", [0, 1, 7])
def test_a_dense_factor_has_the_entries_of_a_triangle_and_the_bytes_of_a_square(m):
    work, square = DenseWork(m), np.ones((m, m))
    assert (work.nnz_L, work.bytes) == (np.count_nonzero(np.tril(square)), square.nbytes)
    assert 0.0 <= work.flops - sum(k**2 for k in range(m)) <= m**2  # a column at a time


# -- closed forms ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_without_random_effects_the_criterion_is_that_of_the_normal_linear_model(method):
    """REML: (n-p)(1 + log(2 pi rss / (n-p))) + log|X'X|;  ML: n (1 + log(2 pi rss / n))."""
    problem = PROBLEMS["no random term"].with_(method=method)
    X, y, n, p = problem.X, problem.y, *problem.X.shape
    rss = float(np.linalg.lstsq(X, y)[1][0])
    left = n - p if method == "REML" else n
    expected = left * (1.0 + np.log(2.0 * np.pi * rss / left))
    expected += np.linalg.slogdet(X.T @ X)[1] if method == "REML" else 0.0
    assert objective(problem)([]) == pytest.approx(expected, abs=1e-9)
    assert estimates(problem).sigma == pytest.approx(np.sqrt(rss / left), rel=1e-12)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "no random term"])
def test_where_all_variances_are_zero_the_criterion_is_that_of_least_squares(name):
    f = objective(PROBLEMS[name])
    assert of_least_squares(f.constants, f.basis.squares) == pytest.approx(f(np.zeros(f.model.k)), abs=1e-9)


def test_where_the_variance_of_related_levels_is_zero_the_criterion_is_that_of_least_squares():
    A = np.cov(np.random.default_rng(6).normal(size=(6, 20))) + 0.2 * np.eye(6)
    term = mme.Term(np.arange(N) % 6, name="g", relationship=mme.Relationship(covariance=A, levels=range(6)))
    f = mme.objective(PROBLEMS["intercepts"].y, line(N), [term])
    assert of_least_squares(f.constants, f.basis.squares) == pytest.approx(f([0.0]), abs=1e-9)


@pytest.mark.parametrize("theta", [0.0, 0.4, 3.0])
def test_a_balanced_one_way_layout_has_its_closed_form(theta):
    """J groups of m: |V| = (1 + m theta^2)^J, y'Py = SSW + SSB / (1 + m theta^2), X'V^-1 X = Jm / (1 + m theta^2)."""
    J, m = 8, 5
    y = np.random.default_rng(2).normal(size=(J, m)) + np.arange(J)[:, None]
    problem = Problem(
        y.ravel(), np.ones((J * m, 1)), (RandomPart(np.repeat(np.arange(J), m), None, np.array([[theta]])),), (0,)
    )
    means, grown = y.mean(axis=1), 1.0 + m * theta**2
    within, between = ((y - means[:, None]) ** 2).sum(), m * ((means - means.mean()) ** 2).sum()
    pwrss, left = within + between / grown, J * m - 1
    expected = J * np.log(grown) + np.log(J * m / grown) + left * (1.0 + np.log(2.0 * np.pi * pwrss / left))
    own = estimates(problem)
    assert objective(problem)([theta]) == pytest.approx(expected, abs=1e-9)
    assert own.beta[0] == pytest.approx(y.mean(), rel=1e-12)
    shrunken = m * theta**2 / grown * (means - means.mean())
    np.testing.assert_allclose(own.b[0][:, 0], shrunken, atol=1e-12)


def test_the_reml_estimates_of_a_balanced_one_way_layout_are_those_of_the_mean_squares():
    """sigma^2 = MSW, sigma_b^2 = (MSB - MSW) / m; F and its degrees of freedom, J - 1, are those of the means."""
    J, m = 8, 5
    y = np.random.default_rng(2).normal(size=(J, m)) + np.arange(J)[:, None]
    data = pd.DataFrame({"y": y.ravel(), "g": np.repeat(np.arange(J), m)})
    fit = mme.lmer("y ~ 1 + (1 | g)", data)
    within = ((y - y.mean(axis=1, keepdims=True)) ** 2).sum() / (J * (m - 1))
    between = m * y.mean(axis=1).var(ddof=1)
    assert fit.sigma**2 == pytest.approx(within, rel=1e-7)
    assert (fit.theta[0] * fit.sigma) ** 2 == pytest.approx((between - within) / m, rel=1e-6)
    for method in ("satterthwaite", "kenward-roger"):
        row = fit.coefficients(ddf=method).iloc[0]
        assert row["df"] == pytest.approx(J - 1, rel=1e-4), method
        assert row["se"] == pytest.approx(np.sqrt(between / (J * m)), rel=1e-6), method


# -- theorems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_criterion_does_not_move_with_the_predictors_multiples_added_to_the_response(name):
    """The restricted likelihood is that of error contrasts: y + X a has the same, and so has the profiled one."""
    problem = PROBLEMS[name]
    moved = problem.with_(y=problem.y + problem.X @ np.array([3.0, -2.0]))
    assert objective(moved)(problem.theta) == pytest.approx(objective(problem)(problem.theta), rel=1e-10)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "known" not in name])
def test_a_response_c_times_as_large_adds_2_log_c_for_each_error_contrast(name):
    problem = PROBLEMS[name]
    offset = None if problem.offset is None else 10.0 * problem.offset
    larger = problem.with_(y=10.0 * problem.y, offset=offset)
    left = N - 2 if problem.method == "REML" else N
    added = objective(larger)(problem.theta) - objective(problem)(problem.theta)
    assert added == pytest.approx(2.0 * left * np.log(10.0), rel=1e-9)


@pytest.mark.parametrize("name", ["intercepts", "a slope", "crossed", "intercepts, sigma known, ML"])
def test_weights_four_times_as_large_are_a_criterion_of_known_distance(name):
    """R of a quarter: log|V| falls by n log 4 and theta by half, pwrss grows by 4, log|X'V^-1 X| by p log 4."""
    problem = PROBLEMS[name]
    weighted = problem.with_(weights=np.full(N, 4.0), sigma=None)
    halved = tuple(RandomPart(part.groups, part.covariates, part.T / 2.0) for part in problem.parts)
    own = objective(weighted.with_(parts=halved))(problem.theta / 2.0)
    assert own == pytest.approx(objective(problem.with_(sigma=None))(problem.theta), abs=1e-8)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "no random term" and "large" not in name])
def test_slopes_of_the_criterion_are_its_differences(name):
    problem = PROBLEMS[name]
    f, at, h = objective(problem), problem.theta, 1e-4
    found = criterion_slopes(f, at)
    assert found is not None
    units = h * np.eye(at.size)
    by_difference = [(8 * (f(at + u) - f(at - u)) - (f(at + 2 * u) - f(at - 2 * u))) / (12 * h) for u in units]
    np.testing.assert_allclose(found[0], by_difference, rtol=1e-6, atol=1e-6)
    curved = [(criterion_slopes(f, at + u)[0] - criterion_slopes(f, at - u)[0]) / (2 * h) for u in units]
    np.testing.assert_allclose(found[1], curved, rtol=1e-4, atol=1e-4)


def density(y: np.ndarray, X: np.ndarray, V: np.ndarray) -> float:
    """-2 log restricted likelihood of y ~ N(X beta, sigma^2 V), profiled over beta and sigma, by dense matrices."""
    n, p = X.shape
    inverse = np.linalg.inv(V)
    XVX = X.T @ inverse @ X
    r = y - X @ np.linalg.solve(XVX, X.T @ inverse @ y)
    logdets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    return float(logdets + (n - p) * (1.0 + np.log(2.0 * np.pi * (r @ inverse @ r) / (n - p))))


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a crossed factor"])
def test_related_levels_have_the_covariance_that_their_relationship_says(beside):
    """b ~ N(0, sigma^2 theta^2 K), K given: the criterion is the density of y."""
    rng, J = np.random.default_rng(6), 6
    g, h = np.concatenate([np.arange(J), rng.integers(J, size=N - J)]), np.arange(N) % 5
    A = np.cov(rng.normal(size=(J, 20))) + 0.2 * np.eye(J)
    X, y = line(N), rng.normal(size=N) + rng.normal(size=J)[g]
    terms = [mme.Term(g, name="g", relationship=mme.Relationship(covariance=A, levels=range(J)))]
    V = np.eye(N) + 0.8**2 * A[np.ix_(g, g)]
    if beside:
        terms.append(mme.Term(h, name="h"))
        V += 0.5**2 * np.equal.outer(h, h)
    assert mme.objective(y, X, terms)([0.8, 0.5][: len(terms)]) == pytest.approx(density(y, X, V), abs=1e-9)


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a crossed factor"])
def test_a_relationship_with_a_parameter_has_the_covariance_of_its_process(beside):
    """cov(b_s, b_t) = sigma^2 theta^2 exp(-|t - s| / range) within a series: K^-1 and log|K| move with the range."""
    rng = np.random.default_rng(6)
    series, times, h = np.arange(N) // 10, rng.uniform(0.0, 20.0, size=N), np.arange(N) % 5
    data = pd.DataFrame({"y": rng.normal(size=N), "x": line(N)[:, 1], "h": h})
    terms = [mme.Term.ou(times, series, name="s"), *([mme.Term(h, name="h")] if beside else [])]
    X, y = line(N), data["y"].to_numpy()
    f = mme.objective(y, X, terms)
    theta = np.array([0.8, np.log(3.0), 0.5][: 2 + beside])
    process = f.model.terms[0].relationship
    distance = float(process.natural(theta[1:2])[0])
    lag = np.abs(np.subtract.outer(times, times))
    V = np.eye(N) + 0.8**2 * np.equal.outer(series, series) * np.exp(-lag / distance)
    V += 0.5**2 * np.equal.outer(h, h) if beside else 0.0
    assert f(theta) == pytest.approx(density(y, X, V), abs=1e-8)
    assert f.logdet_M(theta) == pytest.approx(f.evaluate(theta).logdet_M, abs=1e-9)


# -- residuals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STRUCTURES)
def test_a_residual_structure_whitens_its_own_covariance(name):
    """W R W' = I, log|R| as said, W' and W^-1 and diag(W'W) those of the same W."""
    data = records(3, 6, 4, shuffled=True)
    example = STRUCTURES[name](data)
    of = bound(example)
    x, identity = of.coordinates(example.natural), np.eye(data.n)
    W = of.whiten(x, identity).T
    np.testing.assert_allclose(W @ example.R @ W.T, identity, atol=1e-8)
    assert of.logdet(x) == pytest.approx(np.linalg.slogdet(example.R)[1], abs=1e-8)
    np.testing.assert_allclose(of.natural(x), example.natural, atol=1e-8)
    np.testing.assert_allclose(of.whiten_transposed(x, identity).T, W.T, atol=1e-9)
    np.testing.assert_allclose(of.colour(x, identity).T @ W, identity, atol=1e-8)
    np.testing.assert_allclose(of.precision_diagonal(x), np.diag(W.T @ W), rtol=1e-8)
    np.testing.assert_allclose(of.covariance(x, np.arange(data.n)), example.R, atol=1e-8)


@pytest.mark.parametrize(
    "structure", [AR1("t", "g"), CompoundSymmetry("g"), Heterogeneous("s")], ids=["AR1", "CS", "sd"]
)
def test_the_criterion_of_a_residual_structure_is_the_density_of_the_response(structure):
    """REML of y ~ N(X beta, sigma^2 (Z Z' theta^2 + R(phi))) at the estimates, from R = W^-1 W^-T."""
    rng = np.random.default_rng(4)
    g, t = np.repeat(np.arange(8), 5), np.tile(np.arange(5), 8)
    data = pd.DataFrame({"g": g, "t": t, "h": (g + t) % 4, "s": np.array(["f", "m"])[g % 2], "x": rng.normal(size=N)})
    data["y"] = data["x"] + rng.normal(size=4)[data["h"]] + rng.normal(size=N)
    fit = mme.lmer("y ~ x + (1 | h)", data, residual=structure)
    of = bind(structure, lambda name: data[name].to_numpy(), N)
    R = of.covariance(of.coordinates(np.array(list(fit.residual.values()))), np.arange(N))
    Z = np.equal.outer(data["h"].to_numpy(), np.arange(4)).astype(float)
    V, X, y = fit.theta[0] ** 2 * Z @ Z.T + R, np.column_stack([np.ones(N), data["x"]]), data["y"].to_numpy()
    assert fit.criterion == pytest.approx(density(y, X, V), abs=1e-7)


def test_slopes_of_the_two_levels_that_have_them_lie_within_an_X_that_has_these_slopes():
    """A covariate of zeros but in two levels of many; the first records have no value of it."""
    groups = np.arange(400) % 40
    x = np.where((groups < 2) & (np.arange(400) > 100), np.linspace(1.0, 2.0, 400), 0.0)
    X = np.column_stack([np.ones(400), x * (groups == 0), x * (groups == 1)])
    y = np.random.default_rng(8).normal(size=400)
    block = Objective.of(build_model(y, X, [mme.Term(groups, x[:, None])])).blocks
    assert within_X(block[0], orthonormalise(X, y, Whitening()))[1].tolist() == [True]
    assert within_X(block[0], orthonormalise(X[:, :2], y, Whitening()))[1].tolist() == [False]


def test_records_without_weights_have_the_block_of_their_pattern_and_no_copy_of_it():
    groups, x = np.arange(60) % 3, np.random.default_rng(3).normal(2.0, 1.0, size=60)
    terms = [mme.Term(groups), mme.Term(groups // 2, np.column_stack([np.ones(60), x]))]
    patterns, _ = block_patterns(build_model(x, np.ones((60, 1)), terms), Whitening())
    assert all(one.weighted(Whitening(), None) is one.plain for one in patterns)


def test_columns_of_a_term_that_lie_within_X_one_by_one_are_not_turned():
    """X has the means of all levels, and their slopes or not: what lies within it is what it is."""
    groups, x = np.arange(60) % 3, np.random.default_rng(3).normal(2.0, 1.0, size=60)
    y, each = np.random.default_rng(8).normal(size=60), np.equal.outer(groups, np.arange(3)).astype(float)
    block = Objective.of(
        build_model(y, np.ones((60, 1)), [mme.Term(groups, np.column_stack([np.ones(60), x]))])
    ).blocks[0]
    for X, expected in ((each, [True, False]), (np.column_stack([each, each * x[:, None]]), [True, True])):
        turned, inside = within_X(block, orthonormalise(X, y, Whitening()))
        assert turned is block
        assert inside.tolist() == expected


@pytest.mark.parametrize(("share", "inside"), [(1e-11, True), (1e-7, False)])
def test_a_slope_lies_within_X_by_the_share_of_it_that_X_leaves_not_by_its_size(share, inside):
    """X has the slopes of both levels, but that of the first with a column at right angles, of this share in length."""
    n = 40_000
    groups, x = np.arange(n) % 2, np.random.default_rng(2).normal(size=n)
    slopes_of = np.equal.outer(groups, np.arange(2)) * x[:, None]
    apart = np.linalg.qr(np.column_stack([np.ones(n), slopes_of, np.random.default_rng(3).normal(size=n)]))[0][:, 3]
    X = np.column_stack([np.ones(n), slopes_of + share * np.outer(apart, [np.linalg.norm(x), 0.0])])
    y = np.random.default_rng(8).normal(size=n)
    block = Objective.of(build_model(y, X, [mme.Term(groups, x[:, None])])).blocks
    assert within_X(block[0], orthonormalise(X, y, Whitening()))[1].tolist() == [inside]
