"""Predictors that stand for means: differences of what grows without end, rows of random effects, their variances."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from scipy.linalg import block_diag

import mme
from mme.inference.fixed.generalised_means import (
    Predictors,
    averages_over_b,
    predictors,
    prior_variance_of,
    random_rows,
)
from mme.inference.fixed.means import Means
from mme.inference.fixed.reference import Normal
from mme.inference.fixed.separated import Separated

rng = np.random.default_rng(6)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_a_difference_has_no_limit_where_its_means_grow_apart(unit):
    """Of four means the first two grow alike but for rounding, the third nearly so, the fourth has a limit."""
    grows = unit * np.array([[0.1 + 0.2, 0.3, 0.3 * (1.0 + 1e-6), 0.0]])
    half = np.diag([1.0, 2.0, 3.0, 4.0])
    means = Predictors(np.array([5.0, 3.0, 2.0, 1.0]), half, grows)
    assert np.isinf(means.se).tolist() == [True, True, True, False]
    assert means.se[3] == 4.0
    C = np.array([[1.0, -1.0, 0.0, 0.0], [1.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, -1.0], [0.0, 0.0, 0.0, 1.0]])
    apart = means.combined(sp.csr_array(C))
    assert_allclose(apart.se, [np.sqrt(5.0), np.inf, np.inf, 4.0])
    assert_allclose(apart.eta, C @ means.eta)


def test_what_grows_along_one_of_two_directions_has_no_limit():
    found = Predictors(np.zeros(3), np.ones((2, 3)), np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    assert_allclose(found.se, [np.inf, np.inf, np.sqrt(2.0)])


def test_the_variance_of_a_mean_is_that_of_all_its_random_effects():
    """z'G z with G of blocks: of correlated coefficients, and of columns that have levels of their own."""
    T = np.array([[0.7, 0.0], [0.3, 0.5]])
    apart, one = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 3.0]]), np.array([[1.5]])
    rows = [rng.normal(size=(4, q)) for q in (2, 3, 1)]
    G = block_diag(T @ T.T, apart @ apart.T, one @ one.T)
    z = np.hstack(rows)
    assert_allclose(prior_variance_of([T, apart, one], rows, [False, True, False]), np.diag(z @ G @ z.T), rtol=1e-12)
    assert_allclose(prior_variance_of([apart], rows[1:2], [False]), prior_variance_of([apart], rows[1:2], [True]))
    full = np.array([[1.0, 0.0], [4.0, 2.0]])  # of columns with levels of their own their covariances do not count
    expected = rows[0] ** 2 @ [1.0, 20.0]
    assert_allclose(prior_variance_of([full], rows[:1], [True]), expected, rtol=1e-12)


@pytest.mark.parametrize("unit", [1e-10, 1.0, 1e10])
def test_a_random_column_within_x_is_where_x_is_and_any_other_at_its_mean(unit):
    n = 12
    x, other = rng.normal(size=n), rng.normal(size=n)
    X = np.column_stack([np.ones(n), x * unit])
    Q, R = np.linalg.qr(X)
    nearly = x + 1e-6 * other
    columns = [None, np.column_stack([np.ones(n), x, other, nearly]) * unit, (2.0 - 3.0 * x)[:, None]]
    terms = [SimpleNamespace(n=n, covariates=one) for one in columns]
    fit = SimpleNamespace(model=SimpleNamespace(terms=terms), basis=SimpleNamespace(Q=Q, R_inverse=np.linalg.inv(R)))
    at = np.array([0.5, -2.0, 4.0])
    constant, several, line = random_rows(fit, np.column_stack([np.ones(3), at * unit]))
    assert_allclose(constant, np.ones((3, 1)), rtol=1e-9)
    one = np.ones(3)
    assert_allclose(several, np.column_stack([one, at, other.mean() * one, nearly.mean() * one]) * unit, rtol=1e-8)
    assert_allclose(line, (2.0 - 3.0 * at)[:, None], rtol=1e-9)


def test_random_effects_are_zero_or_averaged_over():
    assert not averages_over_b(False)
    assert averages_over_b("average")
    for other in (True, None, "mean"):
        with pytest.raises(mme.MMEError, match="random must be False"):
            averages_over_b(other)


def test_a_mean_that_is_not_determined_has_no_error_even_where_others_have_no_limit():
    L, beta, half = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), np.array([0.3, 5.0]), np.array([[0.4, 0.1]])
    fit = SimpleNamespace(
        basis=SimpleNamespace(kept=np.arange(2)),
        aliasing=SimpleNamespace(estimable=lambda rows: np.array([True, True, False])),
    )
    means = Means(L, 2.0, (("a",), ("b",), ("c",)), ("f",), 0)
    for to, se in (
        (Normal(beta, half), [0.4, 0.5, np.nan]),
        (Separated(beta, half, np.array([[0.0], [1.0]]), np.array([[0.0], [1.0]])), [0.4, np.inf, np.nan]),
    ):
        found = predictors(fit, means, to, False, with_theta=True)
        assert_allclose(found.eta, [2.3, 7.3, np.nan])
        assert_allclose(found.se, se)
