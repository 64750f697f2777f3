"""The oracle of the search is right, and agrees with the search on a few of its problems."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mme
from fuzz.minima import outcome, report
from fuzz.oracle import dense, lowest
from fuzz.problems import problem

# Some of one to four terms, by REML and ML, with weights and offsets, crossed and nested.
NUMBERS = [2, 5, 6, 11, 17, 24]


def evaluated(number):
    """A problem with its random terms at theta = 1, and its dense form."""
    given = problem(number)
    model = mme.lmer(given.formula, given.table, **given.options).internals.model
    return mme.objective(
        model.y, model.X, list(model.terms), method=model.method, weights=model.weights, offset=model.offset
    ), dense(model)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_oracle_has_the_librarys_criterion_but_for_a_constant(number):
    objective, oracle = evaluated(number)
    thetas = np.random.default_rng(0).normal(size=(6, oracle.k))
    values, _ = oracle.f(thetas)
    own = np.array([objective(oracle.users(theta)) for theta in thetas])
    assert_allclose(own - own[0], values - values[0], atol=1e-8)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_oracle_has_the_gradient_of_its_criterion(number):
    _, oracle = evaluated(number)
    theta = np.random.default_rng(1).normal(size=oracle.k)
    steps = 1e-5 * np.eye(oracle.k)
    differences = (oracle.f(theta + steps)[0] - oracle.f(theta - steps)[0]) / 2e-5
    assert_allclose(oracle.f(theta[None, :])[1][0], differences, atol=1e-6 * np.abs(differences).max())


@pytest.mark.parametrize("number", [21, 23])
def test_the_oracle_ends_in_the_same_minimum_from_other_starts(number):
    _, oracle = evaluated(number)
    found = [lowest(oracle, 40, seed)[0] for seed in range(3)]
    assert_allclose(found, min(found), atol=1e-6)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_search_ends_no_higher_than_many_starts_of_the_oracle(number):
    found = outcome(number, starts=12)
    assert found.what == "equal", found


# The lowest criterion that 40 starts of the oracle find where one valley is not the lowest: weights over decades, two
# slopes on one factor, a variance that is zero in one of them, a column of ones among those of (f | h), and minima on
# faces: covariances of rank one beside variances of zero, or of rank two in several directions, or two of rank one;
# and far out, where residuals are a five hundredth of the random effects.
LOWEST = {
    32: -161.184360,
    64: 1092.430103,
    114: 72.182994,
    223: 157.978208,
    227: 77.436912,
    294: 916.224203,
    1039: 135.060363,
    1770: 105.969547,
    2071: 496.578693,
    2326: 366.906887,
    3436: -170.663633,
    3676: 62.502766,
    4599: 138.219410,
    4968: 94.066629,
    7909: 452.107343,
    8820: 986.909701,
    8907: 2034.372250,
    9705: 104.604160,
    20815: 71.791191,
    22216: 245.334680,
    24514: 819.209122,
    24888: -75.178863,
    27283: 133.885645,
    210188: 211.198634,
    900199: 1269.018491,
}


@pytest.mark.parametrize("number", LOWEST)
def test_the_search_finds_the_lowest_of_several_valleys(number):
    given = problem(number)
    assert mme.lmer(given.formula, given.table, **given.options).criterion == pytest.approx(LOWEST[number], abs=1e-4)


@pytest.mark.parametrize("number", [2326, 8820, 8907])
def test_a_covariance_near_the_edge_is_the_same_in_the_users_columns(number):
    given = problem(number)
    fit = mme.lmer(given.formula, given.table, **given.options)
    assert abs(fit.criterion - fit.optimum.criterion) < 1e-6
    objective, rng = fit.internals.objective.in_axes, np.random.default_rng(0)
    model = objective.model
    for _ in range(60):
        x = rng.normal(size=model.k) * 10.0 ** rng.uniform(-14.0, 0.5, model.k) / objective.theta_scale
        found = objective.in_columns(model.coordinates.outer(x))
        assert abs(found - objective(x)) < 1e-5


def test_a_descent_after_a_response_without_residuals_is_no_refusal():
    given = problem(761)
    assert mme.lmer(given.formula, given.table, **given.options).criterion < 78.549


@pytest.mark.parametrize("number", [8498, pytest.param(29157, marks=pytest.mark.slow)])
def test_a_criterion_that_falls_without_bound_has_no_lowest_value_to_be_above(number):
    assert outcome(number).what == "the lowest criterion is at infinity"


def test_the_report_counts_what_ended_above():
    outcomes = [outcome(number, starts=4) for number in (6, 11)]
    text = "\n".join(report(outcomes))
    assert "2 problems, 2 compared" in text
    assert "evaluations: mean" in text


def test_problems_are_the_same_on_every_run():
    assert problem(7).table.equals(problem(7).table)
    assert str(problem(7)) == str(problem(7))
    assert str(problem(7)) != str(problem(8))
