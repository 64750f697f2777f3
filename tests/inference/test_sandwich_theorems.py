"""Theorems about sandwich covariances: leaving clusters out, clusters that X fits, units, Hotelling's distribution."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import f as f_distribution

import mme
from mme.inference.fixed.robust import KINDS, Robust, robust

rng = np.random.default_rng(7)
N = 24
DATA = pd.DataFrame({"x": rng.normal(size=N), "z": rng.normal(size=N), "y": rng.normal(size=N), "one": np.arange(N)})
DATA["c"] = DATA["one"] // 3


def of(fit: mme.Fit, kind: str, cluster: np.ndarray, **options: bool) -> Robust:
    return robust(fit.internals, kind, np.unique(cluster, return_inverse=True)[1], "cluster", **options)


def least_squares(data: pd.DataFrame) -> np.ndarray:
    X = np.column_stack([np.ones(len(data)), data["x"], data["z"]])
    return np.linalg.lstsq(X, data["y"], rcond=None)[0]


@pytest.mark.parametrize("far", [1.0, 1e3])
@pytest.mark.parametrize("by", ["one", "c"])
def test_the_jackknife_is_the_spread_of_estimates_without_one_cluster_each(by, far):
    """With ``far`` one record is left a share of 1e-6 of its variance."""
    data = DATA.assign(x=DATA["x"].where(DATA["one"] != 5, far))
    moves = np.array([least_squares(data[data[by] != c]) - least_squares(data) for c in data[by].unique()])
    assert_allclose(of(mme.lm("y ~ x + z", data), "CR3", data[by]).cov, moves.T @ moves, rtol=1e-8)


def test_clusters_of_one_record_are_whites():
    fit = mme.lm("y ~ x + z", DATA)
    X = fit.internals.model.X
    e, M = DATA["y"] - X @ least_squares(DATA), np.linalg.inv(X.T @ X)
    white = M @ (X.T * e.to_numpy() ** 2) @ X @ M
    assert_allclose(of(fit, "CR0", DATA["one"]).cov, white, rtol=1e-10)


@pytest.mark.parametrize("far", [1.0, 1e4])
@pytest.mark.parametrize("by", ["one", "c"])
def test_where_the_model_holds_cr2_estimates_the_covariance_without_bias(by, far):
    """E sum_c P_c'e_c e_c'P_c = sum_c P_c'(V_c - X_c M X_c')P_c is M."""
    data = DATA.assign(x=DATA["x"].where(DATA["one"] != 5, far))
    fit = mme.lm("y ~ x + z", data)
    found, M = of(fit, "CR2", data[by]), fit.internals.estimates.half.T @ fit.internals.estimates.half
    expected = (found.a - found.b.transpose(0, 2, 1) @ M @ found.b).sum(axis=0)
    sd = np.sqrt(np.diag(M))
    assert_allclose(expected / np.outer(sd, sd), M / np.outer(sd, sd), atol=1e-6)


@pytest.mark.parametrize("kind", ["CR0", "CR2", "CR3"])
@pytest.mark.parametrize("size", [1, 2])
def test_a_cluster_with_a_column_of_its_own_says_nothing_of_the_others(kind, size):
    """Its records, alike in x, are as if they were not; its coefficient is its mean less what the others expect."""
    own = DATA["one"] < size
    data = DATA.assign(d=1.0 * own, x=DATA["x"].where(~own, 0.3), k=np.maximum(DATA["one"] - size + 1, 0) // size)
    whole = of(mme.lm("y ~ x + d", data), kind, data["k"])
    rest = of(mme.lm("y ~ x", data[~own]), kind, data["k"][~own])
    first = np.eye(3)[:2]
    assert_allclose(whole.se(first), rest.se(np.eye(2)), rtol=1e-8)
    assert_allclose(whole.df(first), rest.df(np.eye(2)), rtol=1e-7)
    expected = np.array([[1.0, 0.3]])
    assert_allclose(whole.se(np.eye(3)[2:]), rest.se(expected), rtol=1e-8)
    assert_allclose(whole.df(np.eye(3)[2:]), rest.df(expected), rtol=1e-7)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
@pytest.mark.parametrize("kind", KINDS)
def test_the_unit_of_the_response_is_that_of_standard_errors_and_no_matter_of_tests(kind, unit):
    plain, other = (of(mme.lm("y ~ x + z", DATA.assign(y=DATA["y"] * u)), kind, DATA["c"]) for u in (1.0, unit))
    L = np.eye(3)
    assert_allclose(other.se(L), unit * plain.se(L), rtol=1e-9)
    assert_allclose(other.df(L), plain.df(L), rtol=1e-9)
    tests = [to.f_test(L[1:], L[1:] @ to.beta) for to in (plain, other)]
    assert_allclose(*([one.F, one.numerator, one.denominator] for one in tests), rtol=1e-8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_test_of_one_row_is_its_t_test(kind):
    found, row = of(mme.lm("y ~ x + z", DATA), kind, DATA["c"]), np.array([[0.0, 1.0, -2.0]])
    one = found.f_test(row, row @ found.beta)
    assert_allclose(one.F, ((row @ found.beta) / found.se(row)) ** 2, rtol=1e-10)
    assert (one.numerator, one.denominator) == (1, pytest.approx(found.df(row)[0], rel=1e-8))


def test_two_clusters_are_enough_and_the_statistics_are_on_one_degree_of_freedom():
    fit, half = mme.lm("y ~ 1", DATA), np.arange(N) % 2
    sums = np.array([(DATA["y"] - DATA["y"].mean())[half == c].sum() for c in (0, 1)])
    found = of(fit, "CR1", half)
    assert found.se(np.eye(1))[0] == pytest.approx(np.sqrt(2.0 * (sums**2).sum()) / N, rel=1e-10)
    assert found.df(np.eye(1))[0] == pytest.approx(1.0, rel=1e-10)
    with pytest.raises(mme.MMEError, match="needs two clusters or more, and cluster has one"):
        of(fit, "CR0", 0 * half)


def independent(weights: np.ndarray, q: int) -> Robust:
    """Estimates of a covariance by clusters whose shares of it are these, as if X took nothing of them."""
    a = weights[:, None, None] * np.eye(q)
    return Robust(np.zeros(q), np.eye(q), a, np.zeros((weights.size, q, q)), np.eye(q), False)


@pytest.mark.parametrize("q", [1, 2, 3])
@pytest.mark.parametrize("unit", [1e-3, 1.0, 1e3])
def test_of_independent_clusters_t_squared_is_hotellings(q, unit):
    """T^2 (m - q + 1) / (m q) is F on q and m - q + 1, with m the reciprocal of the sum of squared shares."""
    shares = np.array([0.3, 0.3, 0.2, 0.1, 0.1])
    m = 1.0 / (shares**2).sum()
    to, d = independent(shares * unit, q), np.arange(1.0, q + 1.0)
    found = to.f_test(np.eye(q), d)
    F = d @ d * (m - q + 1) / (m * q)
    assert_allclose([found.F, found.numerator, found.denominator], [F, q, m - q + 1.0], rtol=1e-10)
    assert found.p == pytest.approx(f_distribution.sf(F, q, m - q + 1), rel=1e-10)
    assert_allclose(to.df(np.eye(q)), m, rtol=1e-10)


@pytest.mark.parametrize(("shares", "q"), [([0.5, 0.5], 2), ([0.7, 0.3], 2), ([0.4, 0.3, 0.3], 3)])
def test_as_many_rows_as_clusters_count_have_a_test_and_more_have_none(shares, q):
    m, to = 1.0 / np.sum(np.square(shares)), independent(np.array(shares), q)
    assert q - 1 < m <= q
    assert to.f_test(np.eye(q), np.ones(q)).denominator == pytest.approx(m - q + 1.0, rel=1e-10)
    for more in (q + 1, q + 2):
        found = independent(np.array(shares), more).f_test(np.eye(more), np.ones(more))
        assert np.isnan(found.denominator)
        assert np.isnan(found.p)


def test_what_no_cluster_tells_has_no_degrees_of_freedom():
    """The second coefficient has an estimated variance of no expectation, the first one of a half."""
    a = np.array([np.diag([0.5, 0.0]), np.diag([0.5, 0.0])])
    to = Robust(np.zeros(2), np.eye(2), a, np.zeros((2, 2, 2)), np.eye(2), False)
    assert_allclose(to.df(np.eye(2)), [2.0, np.nan], rtol=1e-12)
    assert np.isnan(to.f_test(np.eye(2), np.ones(2)).denominator)


def test_of_no_rows_nothing_is_tested_and_by_the_normal_distribution_all_are():
    fit = mme.lm("y ~ x + z", DATA)
    none = of(fit, "CR2", DATA["c"]).f_test(np.zeros((1, 3)), np.zeros(1))
    assert none.numerator == 0
    assert np.isnan(none.F)
    to = of(fit, "CR2", DATA["c"], normal=True)
    both = to.f_test(np.eye(3)[1:], to.beta[1:])
    cov = to.cov[1:, 1:]
    assert_allclose(both.F, to.beta[1:] @ np.linalg.solve(cov, to.beta[1:]) / 2.0, rtol=1e-9)
    assert (both.numerator, both.denominator) == (2, np.inf)
    assert np.isinf(to.df(np.eye(3))).all()
