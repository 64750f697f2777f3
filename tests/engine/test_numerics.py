"""Nothing is lost to rounding: the fit's numbers against the same formulas in fifty digits.

Responses far from zero, predictors in unsuitable units and variance ratios from 1e-8 to 1e8 cost the criterion less
than a millionth: no likelihood ratio notices. A test run takes three values of each grid, ``./run fuzz`` all of them.
"""

import numpy as np
import pytest
from dense import exact_fit
from designs import Problem, RandomPart, estimates, labels, objective, plans, seeds, simulate
from hypothesis import given
from hypothesis import strategies as st
from profiles import ends, examples

import mme
from mme.engine.plan import Plan

RATIOS = ends([1e-4, 1e-2, 1.0, 1e2, 1e4])  # standard deviation of the effects to that of the residuals

# Shapes of T for an intercept and a slope: regular, rank one, no intercept variance, nearly singular, far apart.
SHAPES = {
    "regular": [[1.0, 0.0], [0.5, 0.7]],
    "rank one": [[1.0, 0.0], [0.5, 0.0]],
    "zero intercept variance": [[0.0, 0.0], [0.0, 1.0]],
    "nearly singular": [[1.0, 0.0], [1.0, 1e-6]],
    "variances eight decades apart": [[1e-4, 0.0], [1e-4, 1.0]],
}


def losses(problem: Problem, plan: Plan | None = None) -> dict[str, float]:
    """What rounding costs: the criterion's error, relative errors of sigma and beta, and beta's in standard errors."""
    y = problem.y if problem.offset is None else problem.y - problem.offset
    options = problem.weights, problem.method, problem.sigma
    criterion, sigma, beta = exact_fit(y, problem.X, problem.blocks, *options, digits=50)
    own = estimates(problem, plan)
    error = np.abs(own.beta - beta)
    return {
        "criterion": abs(own.criterion - criterion),
        "searched": abs(objective(problem, plan)(problem.theta) - criterion),
        "sigma": abs(own.sigma / sigma - 1.0),
        "beta": float(np.max(error / np.abs(beta), initial=0.0)),
        "beta in se": float(np.max(error / np.sqrt(np.diag(own.beta_cov)), initial=0.0)),
    }


def assert_nothing_lost(problem: Problem, plan: Plan | None = None) -> None:
    found = losses(problem, plan)
    assert found["criterion"] < 1e-6, found
    assert found["sigma"] < 1e-9, found
    # beta is known to a standard error: a millionth of it is nothing, nor is the ninth digit of beta
    assert min(found["beta"], found["beta in se"]) < 1e-6, found


def line(rng: np.random.Generator, n: int = 36) -> np.ndarray:
    return np.column_stack([np.ones(n), rng.normal(size=n)])


def drawn(rng: np.random.Generator, X: np.ndarray, *parts: RandomPart, **options) -> Problem:
    problem = Problem(np.zeros(X.shape[0]), X, parts, tuple(range(X.shape[1])), **options)
    return problem.with_(y=simulate(rng, problem))


def scalar(groups: np.ndarray, ratio: float) -> RandomPart:
    return RandomPart(groups, None, np.array([[ratio]]))


def even(n: int, J: int) -> np.ndarray:
    return np.arange(n) % J


# -- the response ----------------------------------------------------------------------------------------------------


def shifted(problem: Problem, by: np.ndarray | float) -> Problem:
    """The problem with y rounded to 2^-16 and shifted: the sums are exact."""
    y = np.round(problem.y * 2**16) / 2**16
    assert np.array_equal((y + by) - by, y)
    return problem.with_(y=y + by)


@pytest.mark.parametrize("shift", [2.0**20, 1e9, -(2.0**30)])
@pytest.mark.parametrize("ratio", [0.0, 1.0, 100.0])
def test_a_response_far_from_zero_loses_nothing(shift, ratio):
    rng = np.random.default_rng(1)
    problem = drawn(rng, line(rng), scalar(labels(rng, 36, 6), ratio))
    assert_nothing_lost(shifted(problem, shift))


@examples(10)
@given(seed=seeds)
def test_a_shift_of_the_response_by_a_billion_moves_the_intercept_by_a_billion_and_nothing_else(seed):
    rng = np.random.default_rng(seed)
    base = shifted(drawn(rng, line(rng), scalar(labels(rng, 36, 6), 1.0)), 0.0)
    far = shifted(base, 1e9)
    one, other = estimates(base), estimates(far)
    assert abs(one.criterion - other.criterion) < 1e-8
    np.testing.assert_allclose(other.beta - [1e9, 0.0], one.beta, atol=2e-7)  # the doubles near 1e9 are 1e-7 apart
    np.testing.assert_allclose(other.b[0], one.b[0], atol=1e-9)


def test_a_weighted_response_far_from_zero_loses_nothing():
    rng = np.random.default_rng(2)
    weights = 10.0 ** rng.uniform(-2, 2, size=36)
    problem = drawn(rng, line(rng), scalar(labels(rng, 36, 6), 1.0), weights=weights)
    assert_nothing_lost(shifted(problem, 1e9))


def test_a_response_far_from_zero_loses_nothing_when_the_intercept_is_spread_over_indicators():
    rng = np.random.default_rng(3)
    X = (even(36, 3)[:, None] == np.arange(3)).astype(float)
    assert_nothing_lost(shifted(drawn(rng, X, scalar(labels(rng, 36, 6), 1.0)), 1e9))


def test_a_steep_trend_loses_nothing():
    rng = np.random.default_rng(4)
    t = np.arange(36.0) % 12
    problem = drawn(rng, np.column_stack([np.ones(36), t]), scalar(np.arange(36) // 6, 1.0))
    assert_nothing_lost(shifted(problem, 2.0**26 * t))


def test_an_offset_that_takes_a_billion_away_loses_nothing():
    rng = np.random.default_rng(5)
    problem = shifted(drawn(rng, line(rng), scalar(labels(rng, 36, 6), 1.0)), 1e9)
    assert_nothing_lost(problem.with_(offset=np.full(36, 1e9)))


# -- the units -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [1e-6, 1e6])
@pytest.mark.parametrize("T", SHAPES.values(), ids=SHAPES)
def test_predictors_and_slopes_in_any_unit_lose_nothing(unit, T):
    rng = np.random.default_rng(6)
    X = line(rng) * [1.0, unit]
    part = RandomPart(labels(rng, 36, 6), X, np.array(T) / [[1.0], [unit]])
    assert_nothing_lost(drawn(rng, X, part))


@pytest.mark.parametrize("first", [0.0, 20_000.0], ids=["days of study", "days since 1970"])
@pytest.mark.parametrize("slope", [1e-4, 1e-2, 1.0])
def test_slopes_over_thousands_of_days_lose_nothing(first, slope):
    rng = np.random.default_rng(7)
    days = first + 250.0 * (np.arange(36) % 18)
    X = np.column_stack([np.ones(36), days])
    part = RandomPart(np.arange(36) // 6, X, np.array([[10.0, 0.0], [-0.3 * slope, slope]]))
    assert_nothing_lost(drawn(rng, X, part))


# -- the variance ratios ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", RATIOS)
@examples(4)
@given(seed=seeds, method=st.sampled_from(["REML", "ML"]))
def test_a_scalar_term_at_any_variance_ratio_loses_nothing(ratio, seed, method):
    rng = np.random.default_rng(seed)
    problem = drawn(rng, line(rng), scalar(labels(rng, 36, 6), ratio), method=method)
    assert_nothing_lost(problem)
    assert losses(problem)["searched"] < 1e-6


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("T", SHAPES.values(), ids=SHAPES)
def test_a_vector_valued_term_at_any_variance_ratio_loses_nothing(ratio, T):
    rng = np.random.default_rng(8)
    X = line(rng)
    problem = drawn(rng, X, RandomPart(labels(rng, 36, 6), X, ratio * np.array(T)))
    assert_nothing_lost(problem)
    assert losses(problem)["searched"] < 1e-6


@pytest.mark.parametrize("fine", RATIOS)
@pytest.mark.parametrize("coarse", RATIOS)
def test_nested_terms_at_any_variance_ratio_lose_nothing(fine, coarse):
    rng = np.random.default_rng(9)
    cells = even(36, 9)
    assert_nothing_lost(drawn(rng, line(rng), scalar(cells, fine), scalar(cells // 3, coarse)))


@pytest.mark.parametrize("first", RATIOS)
@pytest.mark.parametrize("second", RATIOS)
def test_crossed_terms_at_any_variance_ratio_lose_nothing(first, second):
    rng = np.random.default_rng(10)
    assert_nothing_lost(drawn(rng, line(rng), scalar(even(36, 7), first), scalar(labels(rng, 36, 5), second)))


@pytest.mark.parametrize("first", RATIOS)
@pytest.mark.parametrize("second", RATIOS)
@pytest.mark.parametrize("shape", ["regular", "rank one"])
def test_slopes_beside_a_crossed_factor_at_any_variance_ratio_lose_nothing(first, second, shape):
    rng = np.random.default_rng(11)
    X = line(rng)
    part = RandomPart(even(36, 7), X, first * np.array(SHAPES[shape]))
    assert_nothing_lost(drawn(rng, X, part, scalar(labels(rng, 36, 5), second)))


@examples(5)
@given(seed=seeds, first=st.sampled_from(RATIOS), second=st.sampled_from(RATIOS))
def test_what_rounding_costs_is_the_variance_ratio_whatever_the_engine(seed, first, second):
    """The Schur complement of crossed factors has a null vector: its pivot is what 1e8 times n leave of one."""
    rng = np.random.default_rng(seed)
    n = 30
    problem = drawn(rng, line(rng, n), scalar(labels(rng, n, 6), first), scalar(labels(rng, n, 4), second))
    rounding, own = np.finfo(float).eps * n, estimates(problem)
    ratio, r = max(first, second) ** 2, own.objective.basis.r
    for plan in plans(problem):
        found = losses(problem, plan)
        assert found["criterion"] < 1e-9 + 4 * rounding * ratio, (plan, found)
        # the search takes pwrss as what elimination leaves of r'r
        assert found["searched"] < 1e-9 + 10 * rounding * (ratio + (r @ r) / own.pwrss), (plan, found)
        assert found["sigma"] < 1e-9, (plan, found)


@pytest.mark.parametrize("ratio", ends([1e2, 1e3, 1e5, 1e6]))
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a crossed factor"])
def test_related_levels_at_any_variance_ratio_lose_nothing(ratio, beside):
    """At 1e5 a Cholesky factor of M leaves log|X'V^-1 X| four digits: orthogonal factors are taken there."""
    rng, n, J = np.random.default_rng(14), 36, 10
    g, h = np.concatenate([np.arange(J), rng.integers(J, size=n - J)]), np.arange(n) % 5
    A = np.cov(rng.normal(size=(J, 30))) + 0.2 * np.eye(J)
    A = (A + A.T) / 2.0
    X, Z = line(rng, n), np.equal.outer(g, np.arange(J)).astype(float)
    y = rng.normal(size=n) + ratio * (Z @ np.linalg.cholesky(A) @ rng.normal(size=J))
    terms, blocks = [mme.Term(g, relationship=mme.Relationship(covariance=A, levels=range(J)))], [(Z, [[ratio]], A)]
    if beside:
        terms.append(mme.Term(h, name="h"))
        blocks.append((np.equal.outer(h, np.arange(5)).astype(float), [[0.7]], None))
    blocks = [(Z, np.array(T), K) for Z, T, K in blocks]
    for method in ("REML", "ML"):
        found = mme.objective(y, X, terms, method=method)([ratio, 0.7][: len(terms)])
        assert found == pytest.approx(exact_fit(y, X, blocks, method=method)[0], abs=1e-7)


@pytest.mark.parametrize("ratio", RATIOS)
def test_groups_of_one_lose_nothing_at_any_variance_ratio(ratio):
    rng = np.random.default_rng(12)
    groups = np.concatenate([np.arange(28), np.arange(8)])
    assert_nothing_lost(drawn(rng, line(rng), scalar(groups, ratio)))


# -- the weights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("decades", "ratio"), [(6, 1e-4), (6, 1e-2), (6, 1.0), (4, 1e2), (0.1, 1e4)])
@pytest.mark.parametrize("crossed", [False, True], ids=["one factor", "crossed"])
def test_weights_over_many_decades_lose_nothing(decades, ratio, crossed):
    """Weights from 10^-d to 10^d, as long as the variance ratio of a record, w theta^2, stays below 1e8."""
    rng = np.random.default_rng(13)
    weights = 10.0 ** rng.uniform(-decades, decades, size=36)
    parts = [scalar(even(36, 7), ratio), scalar(labels(rng, 36, 5), ratio)]
    assert_nothing_lost(drawn(rng, line(rng), *parts[: 1 + crossed], weights=weights))


@pytest.mark.parametrize("sigma", [1e-3, 1.0, 1e3])
def test_a_known_sigma_of_any_size_loses_nothing(sigma):
    rng = np.random.default_rng(14)
    assert_nothing_lost(drawn(rng, line(rng), scalar(labels(rng, 36, 6), 1.0), sigma=sigma))


# -- the rank within a level -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [1e-9, 1e-10, 1e-11])
def test_a_covariate_that_hardly_varies_within_levels_counts_where_its_slope_is_as_large(share):
    """x = a_g + d z within level g, a slope of standard deviation 1 / d: what d z adds to V is of order one."""
    rng = np.random.default_rng(3)
    groups = even(36, 6)
    x = rng.normal(size=6)[groups] + share * rng.normal(size=36)
    part = RandomPart(groups, np.column_stack([np.ones(36), x]), np.diag([1.0, 1.0 / share]), "diagonal")
    problem = drawn(rng, np.ones((36, 1)), part)
    criterion = exact_fit(problem.y, problem.X, problem.blocks, digits=60)[0]
    # T R_g is of size 1 / d: its rounding is what the criterion loses
    assert objective(problem)(problem.theta) == pytest.approx(criterion, abs=1e3 * np.finfo(float).eps / share)


def test_a_covariate_that_is_constant_within_levels_but_for_rounding_takes_no_rank_there():
    """x = a_g, stored as a sum that rounds otherwise in each record: the criterion is that of a_g."""
    rng = np.random.default_rng(4)
    groups, noise = even(36, 6), rng.normal(size=36)
    a = rng.normal(size=6)[groups]
    rounded = (a + noise) - noise
    assert 0.0 < np.abs(rounded - a).max() < 1e-14
    X, y = np.ones((36, 1)), rng.normal(size=36)
    parts = [
        RandomPart(groups, np.column_stack([np.ones(36), x]), np.diag([1.0, 1e16]), "diagonal") for x in (a, rounded)
    ]
    one, other = (objective(Problem(y, X, (part,), (0,)))(np.array([1.0, 1e16])) for part in parts)
    assert one == pytest.approx(other, abs=1e-2)
