"""Which engine is chosen: by what is left after absorption, before anything is spent."""

from time import perf_counter
from types import SimpleNamespace

import numpy as np
import pytest
from wide import SPARSE, Records, sparse

import mme
from mme.engine.assembly import names_of
from mme.engine.iteration import IterativeWork
from mme.engine.meetings import filled_share, product_count, spread
from mme.engine.objective import Objective
from mme.engine.plan import Plan, Stochastic, after_analysis, plan, require_dense_memory
from mme.model.problem import build_model
from mme.numeric.limits import Limits, within
from mme.numeric.sums import cells


def ratings(n, users, items, seed=0):
    """Labels of n ratings, with power laws on both sides."""
    rng = np.random.default_rng(seed)

    def draw(J, power):
        share = np.cumsum((np.arange(J) + 10.0) ** -power)
        return rng.permutation(J)[np.searchsorted(share / share[-1], rng.random(n))]

    return draw(users, 0.8), draw(items, 1.0), rng.standard_normal(n)


def chosen(*factors):
    model = build_model(
        np.random.default_rng(1).standard_normal(factors[0].size),
        np.ones((factors[0].size, 1)),
        [mme.Term(codes, name=f"g{t}") for t, codes in enumerate(factors)],
    )
    with within(Limits(dense_whatever_fill=0)):
        blocks = Objective.of(model, plan=Plan(None, False)).blocks
    largest = max(range(len(blocks)), key=lambda b: blocks[b].J)
    return plan(
        blocks,
        names_of(model, blocks),
        [blocks[largest].cells(block) for b, block in enumerate(blocks) if b != largest],
    )


def test_products_are_the_pairs_of_columns_that_each_level_meets():
    a, b, _ = ratings(200, 30, 12)
    c = np.random.default_rng(2).integers(0, 5, 200)
    met = [cells(a, other, 30, other.max() + 1) for other in (b, c)]
    pairs = 0
    for level in range(30):
        columns = 2 * len(set(b[a == level])) + len(set(c[a == level]))  # b has two coefficients
        pairs += columns * (columns + 1) // 2  # with itself, and one of two orders
    assert product_count(met, [2, 1], 30, 3) == 3 * pairs


def test_the_share_of_pairs_that_meet_is_told_from_some_columns():
    a, b, _ = ratings(20_000, 2000, 400)
    met = cells(a, b, a.max() + 1, b.max() + 1)
    B = np.zeros((a.max() + 1, b.max() + 1))
    B[met.rows, met.cols] = 1.0
    assert filled_share([met], [1]) == pytest.approx((B.T @ B > 0).mean(), abs=0.06)


def test_ratings_beyond_the_usual_size_are_dense_where_nothing_would_stay_sparse():
    a, b, _ = ratings(20_000, 2000, 400)
    with within(Limits(dense_up_to=100, dense_whatever_fill=0, listed_products=10_000)):
        found = chosen(a, b)
    assert (found.absorb, found.dense, found.summed) == (0, True, True)


def test_levels_that_meet_few_others_stay_sparse_beyond_the_usual_size():
    rng = np.random.default_rng(2)
    place = rng.integers(4000, size=20_000)
    a, b = place // 2, (place + rng.integers(2, size=place.size)) // 10  # neighbours meet, and no others
    with within(Limits(dense_up_to=100, dense_whatever_fill=0, listed_products=10_000)):
        assert not chosen(a, b).dense


def test_a_dense_factor_of_too_many_operations_is_not_chosen():
    a, b, _ = ratings(20_000, 2000, 400)
    with within(Limits(dense_up_to=100, dense_whatever_fill=0, listed_products=10_000, dense_operations=1e6)):
        assert not chosen(a, b).dense


def test_a_fit_without_a_list_of_products_is_that_with_one():
    a, b, noise = ratings(2400, 200, 60)
    rng = np.random.default_rng(3)
    x = rng.standard_normal(a.size)
    y = x + rng.standard_normal(200)[a] + (0.5 * rng.standard_normal((60, 2)))[b] @ [1.0, 0.0] + noise
    terms = [mme.Term(a, name="user"), mme.Term(b, np.column_stack([np.ones(a.size), x]), name="item")]
    X = np.column_stack([np.ones(a.size), x])
    listed = mme.fit(y, X, terms)
    with within(Limits(listed_products=0)):
        summed = mme.fit(y, X, terms)
        assert summed.internals.objective.plan.summed
        leverage, pev = summed.leverage(), summed.pev()
    assert summed.criterion == pytest.approx(listed.criterion, abs=1e-7)
    np.testing.assert_allclose(summed.theta, listed.theta, atol=1e-5)
    np.testing.assert_allclose(summed.se, listed.se, rtol=1e-5)
    np.testing.assert_allclose(leverage, listed.leverage(), rtol=1e-4)
    for name, of_level in listed.pev().items():
        np.testing.assert_allclose(pev[name], of_level, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("levels", [9, 100])
def test_sums_over_levels_that_meet_all_others_or_few_are_those_of_a_list(levels):
    """Few levels of many coefficients meet all others: one product of two matrices, and no loop."""
    rng = np.random.default_rng(4)
    n, q = 900, 4
    a, b = rng.integers(60, size=n), rng.integers(levels, size=n)
    x = rng.standard_normal((n, q))
    y = (x * rng.standard_normal((60, q))[a]).sum(axis=1) + rng.standard_normal(levels)[b] + rng.standard_normal(n)
    terms = [mme.Term(a, x, name="a", covariance="diagonal"), mme.Term(b, x[:, :2], name="b")]
    theta = [0.5, 1.0, 0.8, 0.3, 0.6, 0.2, 0.4]
    fits = []
    for products in (10**9, 0):
        with within(Limits(summed_products=products, listed_products=products)):
            fit = mme.fit(y, np.ones((n, 1)), terms, theta=theta)
            assert fit.internals.objective.plan.summed is (products == 0)
            fits.append((fit.criterion, *fit.pev().values()))
    np.testing.assert_allclose(fits[1][0], fits[0][0], rtol=1e-13)
    for one, other in zip(*(fit[1:] for fit in fits), strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9, atol=1e-12)


def test_effects_in_four_worlds_that_do_not_meet_reach_a_quarter():
    """Each of four sets of five effects meets in all of its own hundred levels, and none of another set."""
    level, effect = np.repeat(np.arange(400), 5), (np.repeat(np.arange(400) // 100, 5) * 5 + np.tile(np.arange(5), 400))
    assert spread([cells(level, effect, 400, 20)], [1]) == 0.25


@pytest.mark.parametrize(("summed", "squares"), [(True, 1), (False, 2)])
def test_a_dense_remainder_is_refused_where_its_squares_do_not_fit(summed, squares):
    """One of 8 m^2 bytes that is factorised where it is summed; two where it is copied first."""
    with within(Limits(memory=8 * squares * 1000**2)):
        require_dense_memory(1000, summed=summed)
        with pytest.raises(mme.MemoryForecastError, match="1,001 random effects"):
            require_dense_memory(1001, summed=summed)


def test_a_dense_factor_beyond_reach_is_forecast_of_coefficients_not_of_levels():
    """Two coefficients of each of 30 levels make a triangle of 60, in 60^3 / 3 operations."""
    rng = np.random.default_rng(7)
    a, b, x = rng.integers(200, size=900), rng.integers(30, size=900), rng.standard_normal((900, 2))
    model = build_model(x[:, 0], np.ones((900, 1)), [mme.Term(a, name="a"), mme.Term(b, x, name="b")])
    with within(Limits(dense_operations=60**3 / 3 - 1.0)):
        found = Objective.of(model).plan
    assert found.iterative
    assert found.reasons[-1] == "a dense factor of the other 60 takes 7.2e+04 operations"
    with within(Limits(dense_operations=60**3 / 3)):
        assert not Objective.of(model).plan.iterative
    with within(Limits(memory=8 * 2 * 60**2)):
        assert Objective.of(model).plan.dense
    with within(Limits(memory=8 * 2 * 60**2 - 1)), pytest.raises(mme.MemoryForecastError, match="60 random effects"):
        Objective.of(build_model(x[:, 0], np.ones((900, 1)), model.terms, engine="exact"))


def test_all_effects_are_factorised_together_where_absorption_would_fill_in():
    """The criterion is that beside absorbed levels."""
    rng = np.random.default_rng(7)
    a, b, x = rng.integers(40, size=300), rng.integers(30, size=300), rng.standard_normal((300, 2))
    model = build_model(x[:, 0], np.ones((300, 1)), [mme.Term(a, name="a"), mme.Term(b, x, name="b")])
    theta = np.array([0.7, 0.5, 0.2, 0.9])
    absorbing = Objective.of(model)
    with within(Limits(dense_whatever_fill=0, nearly_dense=1e9, fill_of_absorption=0)):
        together = Objective.of(model)
    assert absorbing.plan.absorb is not None
    assert together.plan.absorb is None
    assert together(theta) == pytest.approx(absorbing(theta), abs=1e-9)


def test_the_forecast_of_the_iterative_engine_is_five_columns_for_each_probe():
    with within(Limits(probes=7)):
        assert IterativeWork(1000, 0).bytes == 5 * np.zeros((1000, 7)).nbytes


def test_the_iterative_engine_keeps_of_each_entry_a_value_and_a_place():
    assert IterativeWork(0, 50).bytes == np.zeros(50).nbytes + np.zeros(50, dtype=np.int32).nbytes


def test_a_product_of_the_iterative_engine_multiplies_and_adds_every_entry_twice():
    """B'(W (B v)): each entry there, and each entry back."""
    assert IterativeWork(1000, 50).flops == (2 + 2) * 50


def test_a_sparse_factor_that_fills_its_triangle_is_dense_instead():
    sparse, half = Plan(0, False), SimpleNamespace(n=9, nnz_L=27)  # of the 45 entries of a triangle
    with within(Limits(nearly_dense=0.31)):
        assert after_analysis(sparse, half) is sparse
    with within(Limits(nearly_dense=0.29)):
        assert after_analysis(sparse, half).dense
        assert "would fill to 60 %" in after_analysis(sparse, half).reasons[-1]


@pytest.mark.parametrize(("related", "others", "full"), [(250, 20, True), (30, 300, False)])
def test_a_relationship_without_zeros_makes_the_remainder_dense_where_it_is_most_of_it(related, others, full):
    rng = np.random.default_rng(1)
    A = rng.standard_normal((related, related))
    K = mme.Relationship(covariance=A @ A.T / related + np.eye(related), levels=np.arange(related))
    data = {name: rng.integers(J, size=1500) for name, J in (("g", related), ("h", 400), ("k", others))}
    data["y"] = rng.standard_normal(1500)
    fit = mme.lmer("y ~ 1 + (1 | g) + (1 | h) + (1 | k)", data, relationship={"g": K}, theta=[0.5, 0.5, 0.5])
    assert ("the inverse of its relationship has no zeros" in fit.engine.reasons) == full


@pytest.mark.parametrize("residual", [None, mme.AR1("Days", "Subject")])
def test_stages_take_no_longer_than_the_whole_fit(residual):
    begun = perf_counter()
    fit = mme.lmer("Reaction ~ Days + (1 | Subject)", mme.load("sleepstudy"), residual=residual)
    whole, stages = perf_counter() - begun, fit.engine.seconds
    assert {"conditioning", "cross-products", "search"} <= set(stages)
    assert min(stages.values()) > 0.0
    assert sum(stages.values()) <= whole
    begun = perf_counter()
    of_model = fit.internals.objective.of_model(fit.model).engine.seconds
    assert set(of_model) == {"conditioning", "cross-products"}
    assert min(of_model.values()) > 0.0
    assert sum(of_model.values()) <= perf_counter() - begun
    again = fit.refit(fit.model.y[::-1]).engine.seconds
    assert "search" in again
    assert min(again.values()) > 0.0


def test_effects_are_counted_by_coefficient_and_those_of_x_are_none():
    x = np.random.default_rng(7).normal(size=(40, 2))
    g, h = mme.Term(np.arange(40) % 7, x, name="g"), mme.Term(np.arange(40) % 5, name="h")
    for terms, counts in (([g], (14, 0)), ([h, g], (19, 5)), ([], (0, 0))):
        engine = mme.objective(x[:, 0], np.ones((40, 1)), terms).engine
        assert (engine.n_random, engine.n_remainder) == counts
        assert engine.nnz_L == counts[1] * (counts[1] + 1) / 2
    records = Records(1)
    with within(SPARSE):
        wide = mme.objective(records.y, sparse(records.X("factor")), records.terms("crossed"))
    dense = mme.objective(records.y, records.X("factor"), records.terms("crossed"))
    assert wide.engine.n_random == dense.engine.n_random
    assert wide.engine.n_remainder == dense.engine.n_remainder + wide.fixed.J


def test_how_far_a_search_of_chance_came_is_said_in_standard_errors_or_not_known():
    assert str(Stochastic(30, 0.25, 12, 9, 0.5)).startswith("within 0.25 standard errors of the exact estimates")
    assert "is not known: 9 steps came to no end" in str(Stochastic(30, np.inf, 12, 9))
