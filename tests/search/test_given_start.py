"""Theta as it is given: by name or in order, to stay there or to begin a search there."""

import numpy as np
import pandas as pd
import pytest

import mme

FORMULA = "Reaction ~ Days + (Days | Subject)"
NAMES = r"Subject\.\(Intercept\)'?, '?Subject\.Days\.\(Intercept\)'?, '?Subject\.Days'?"


@pytest.fixture(scope="module")
def data():
    return mme.load("sleepstudy")


@pytest.fixture(scope="module")
def fit(data):
    return mme.lmer(FORMULA, data)


def test_theta_is_given_by_name_as_in_order(data, fit):
    by_name = dict(reversed(list(zip(fit.theta_names, fit.theta, strict=True))))
    assert mme.lmer(FORMULA, data, theta=by_name).criterion == mme.lmer(FORMULA, data, theta=fit.theta).criterion


@pytest.mark.parametrize("start", [[0.0, 0.0, 0.0], [100.0, 0.0, 1e5], [-1.0, 0.2, -0.2], [1.0, 0.0, 0.2]])
def test_the_optimum_is_the_same_from_wherever_the_search_begins(data, fit, start):
    found = mme.lmer(FORMULA, data, start=start)
    assert found.criterion == pytest.approx(fit.criterion, abs=1e-8)
    assert found.optimum.converged
    assert not found.internals.theta_given


def test_a_search_that_begins_at_an_optimum_is_shorter():
    rng = np.random.default_rng(2)
    n, a, b, x = 5000, rng.integers(0, 700, 5000), rng.integers(0, 90, 5000), rng.normal(size=5000)
    y = rng.normal(size=700)[a] + 0.5 * rng.normal(size=700)[a] * x + 0.4 * rng.normal(size=90)[b] + rng.normal(size=n)
    X, terms = np.column_stack([np.ones(n), x]), [mme.Term(a, np.column_stack([np.ones(n), x])), mme.Term(b)]
    first = mme.fit(y, X, terms)
    again = mme.fit(y, X, terms, start=first.theta)
    assert again.optimum.evaluations < first.optimum.evaluations
    assert again.criterion == pytest.approx(first.criterion, abs=1e-7)
    table = pd.DataFrame({"y": y, "x": x, "a": a, "b": b})
    by_formula = mme.lmer("y ~ x + (x | a) + (1 | b)", table)
    start = dict(zip(by_formula.theta_names, by_formula.theta, strict=True))
    assert mme.lmer("y ~ x + (x | a) + (1 | b)", table, start=start).optimum.evaluations == again.optimum.evaluations


@pytest.mark.parametrize("argument", ["theta", "start"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], rf"must be 3 finite numbers \({NAMES}\), got \[1.0, 2.0\]"),
        ([1.0, np.nan, 2.0], r"must be 3 finite numbers .*, got \[1.0, nan, 2.0\]"),
        ({"a": 1.0}, rf"must have a number for each of '{NAMES}, got \['a'\]"),
        (["one", "two", "three"], r"must be numeric, got text \(one\)"),
    ],
)
def test_what_is_no_theta_is_refused_with_what_is_needed(data, argument, given, message):
    with pytest.raises(mme.MMEError, match=rf"^{argument} {message}"):
        mme.lmer(FORMULA, data, **{argument: given})


def test_theta_and_start_are_not_given_together(data):
    with pytest.raises(mme.MMEError, match="theta= evaluates there without a search, which start= would begin"):
        mme.lmer(FORMULA, data, theta=[1.0, 0.0, 0.2], start=[1.0, 0.0, 0.2])
