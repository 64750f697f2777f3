"""Every engine gives the dense n x n answer: whatever is absorbed, however the rest is factorised.

One comparison stands behind every test: criterion, sigma, beta, its covariance, b, var(b | y) and the prediction error
variances against ``dense.py``, for each choice of the absorbed factor (or none), dense and by CHOLMOD.
"""

from functools import cache

import numpy as np
import pytest
from designs import (
    LAYOUTS,
    Problem,
    RandomPart,
    disagreement,
    labels,
    objective,
    plans,
    problems,
    random_columns,
    seeds,
    simulate,
)
from hypothesis import given
from hypothesis import strategies as st
from profiles import examples

from mme.engine.plan import Plan

# The oracle inverts V in double precision: at the variance ratios of 1e8 that random T and weights over eight decades
# can meet, seven digits of a random effect are left to it (``test_numerics.py`` has an oracle that keeps them all).
FAR_APART = 1e-6


def assert_every_engine_agrees(problem: Problem, tolerance: float = 1e-9) -> None:
    for plan in (None, *plans(problem)):
        found = disagreement(problem, plan)
        assert max(found.values()) < tolerance, (plan, found)


def two_columns(rng: np.random.Generator, n: int = 36) -> np.ndarray:
    return np.column_stack([np.ones(n), rng.normal(size=n)])


def drawn(rng: np.random.Generator, X: np.ndarray, *parts: RandomPart, **options) -> Problem:
    """A problem with a response from its own model."""
    problem = Problem(np.zeros(X.shape[0]), X, parts, tuple(range(X.shape[1])), **options)
    return problem.with_(y=simulate(rng, problem))


@pytest.mark.parametrize("layout", LAYOUTS)
@examples(6)
@given(data=st.data())
def test_every_engine_gives_the_dense_answer(layout, data):
    assert_every_engine_agrees(data.draw(problems(layout)), FAR_APART)


@examples(10)
@given(layout=st.sampled_from(list(LAYOUTS)), data=st.data())
def test_weights_over_eight_decades_and_a_known_sigma_change_nothing(layout, data):
    assert_every_engine_agrees(data.draw(problems(layout, weighted=True, fixed_sigma=True)), FAR_APART)


@pytest.mark.parametrize("zeros", [(0,), (1,), (2,), (0, 1), (1, 2), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("beside", ["nothing", "a crossed factor"])
def test_a_singular_T_is_an_ordinary_point(zeros, beside):
    rng = np.random.default_rng(sum(zeros))
    n, g = 40, labels(rng, 40, 5)
    T = np.tril(rng.normal(size=(3, 3)))
    T[:, list(zeros)] = 0.0  # columns of T: the rank falls by one for each
    parts = [RandomPart(g, np.column_stack([np.ones(n), rng.normal(size=(n, 2))]), T)]
    if beside != "nothing":
        parts.append(RandomPart(labels(rng, n, 4), None, np.zeros((1, 1))))
    assert_every_engine_agrees(drawn(rng, two_columns(rng, n), *parts))


@pytest.mark.parametrize("rows_of_T", [(0,), (1,), (0, 1)])
def test_a_variance_of_zero_leaves_its_effects_at_zero(rows_of_T):
    rng = np.random.default_rng(3)
    T = np.array([[1.2, 0.0], [-0.7, 0.5]])
    T[list(rows_of_T)] = 0.0
    g = labels(rng, 36, 6)
    assert_every_engine_agrees(drawn(rng, two_columns(rng), RandomPart(g, two_columns(rng), T)))


@pytest.mark.parametrize("absent", ["one record a level, but for two", "a slope where its level has one value"])
def test_levels_that_cannot_carry_all_their_coefficients_are_shrunk_like_any_other(absent):
    rng = np.random.default_rng(4)
    n = 36
    g = np.append(np.arange(n - 20), np.repeat([0, 1], 10)) if absent.startswith("one") else labels(rng, n, 5)
    x = rng.normal(size=g.max() + 1)[g]  # constant within levels: collinear with the intercept there
    T = np.array([[1.0, 0.0], [0.5, 0.8]])
    other = RandomPart(labels(rng, n, 4), None, np.array([[0.6]]))
    problem = drawn(rng, two_columns(rng), RandomPart(g, np.column_stack([np.ones(n), x]), T), other)
    assert_every_engine_agrees(problem)


def test_cells_without_records_have_no_effect_of_their_own():
    """A slope for each of three conditions, each level of the factor having seen two of them."""
    rng = np.random.default_rng(5)
    g, condition = np.repeat(np.arange(6), 6), np.arange(36) % 2
    condition = (condition + g) % 3
    indicators = (condition[:, None] == np.arange(3)).astype(float)
    T = np.array([[1.0, 0.0, 0.0], [0.3, 0.7, 0.0], [-0.2, 0.1, 0.9]])
    assert_every_engine_agrees(drawn(rng, indicators, RandomPart(g, indicators, T)))


def test_a_column_of_zeros_in_Z_predicts_from_the_correlations_alone():
    rng = np.random.default_rng(6)
    g, columns = labels(rng, 36, 5), np.column_stack([np.ones(36), np.zeros(36)])
    assert_every_engine_agrees(drawn(rng, two_columns(rng), RandomPart(g, columns, np.array([[1.0, 0.0], [0.6, 0.4]]))))


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_as_many_levels_as_records_are_fitted_when_sigma_is_known(method):
    """Fay and Herriot (1979): a record an area, sampling variances known."""
    rng = np.random.default_rng(7)
    X, variances = two_columns(rng, 20), rng.uniform(0.2, 2.0, size=20)
    part = RandomPart(np.arange(20), None, np.array([[0.9]]))
    assert_every_engine_agrees(drawn(rng, X, part, method=method, weights=1 / variances, sigma=1.0))


@given(seed=seeds, p=st.integers(0, 3))
def test_terms_on_one_factor_are_one_block(seed, p):
    rng = np.random.default_rng(seed)
    g = labels(rng, 36, 4)
    parts = [
        RandomPart(g, random_columns(rng, g, 2), np.tril(rng.normal(size=(2, 2)))),
        RandomPart(g, rng.normal(size=(36, 2)), np.diag(rng.normal(size=2)), "diagonal"),
        RandomPart(g, None, rng.normal(size=(1, 1))),
    ]
    problem = drawn(rng, rng.normal(size=(36, p)), *parts)
    blocks = objective(problem).blocks
    assert [(block.q, block.terms) for block in blocks] == [(5, (0, 1, 2))]
    assert_every_engine_agrees(problem)


def test_without_random_effects_it_is_least_squares():
    rng = np.random.default_rng(8)
    problem = drawn(rng, two_columns(rng), weights=rng.uniform(0.5, 2.0, size=36))
    assert max(disagreement(problem).values()) < 1e-12


@cache
def many_levels() -> Problem:
    rng = np.random.default_rng(9)
    n = 1200
    g, h = labels(rng, n, 330), labels(rng, n, 260)
    X = two_columns(rng, n)
    T = np.array([[1.0, 0.0], [0.4, 0.3]])
    return drawn(rng, X, RandomPart(g, X, T), RandomPart(h, None, np.array([[0.7]])))


@pytest.mark.parametrize("plan", [None, Plan(0, True), Plan(0, False), Plan(1, False), Plan(None, False)])
def test_many_levels_by_compiled_loops_give_the_dense_answer(plan):
    assert max(disagreement(many_levels(), plan).values()) < 1e-9


def test_supernodes_give_the_dense_answer(monkeypatch):
    pytest.importorskip("sksparse")
    monkeypatch.setenv("MME_FACTOR", "cholmod")
    plan = Plan(1, False)
    assert "supernodal" in objective(many_levels(), plan).engine.remainder
    assert max(disagreement(many_levels(), plan).values()) < 1e-9


def test_the_factor_with_the_most_random_effects_is_absorbed():
    rng = np.random.default_rng(10)
    g, h = labels(rng, 300, 60), labels(rng, 300, 7)
    problem = drawn(rng, two_columns(rng, 300), *(RandomPart(f, None, np.ones((1, 1))) for f in (h, g)))
    engine = objective(problem).engine
    assert engine.absorbed == "g1"
    assert engine.n_random == 67
    assert engine.n_remainder == 7


@pytest.mark.parametrize("theta", [1e8, 1e10, 1e15])
def test_where_rounding_leaves_no_residual_the_criterion_is_infinite_not_an_error(theta):
    """The null vector of crossed factors: 1 + theta^2 times zero, of which rounding makes a negative pivot."""
    rng = np.random.default_rng(11)
    problem = drawn(rng, two_columns(rng), *(RandomPart(labels(rng, 36, J), None, np.ones((1, 1))) for J in (7, 5)))
    for plan in plans(problem):
        value = objective(problem, plan)([theta, theta])
        assert np.isfinite(value) or value == np.inf
