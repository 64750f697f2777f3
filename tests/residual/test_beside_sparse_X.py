"""Residual structures beside an X that is given sparse, or that a formula would make sparse, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from residuals import MORE, STRUCTURES, designs
from wide import SPARSE, indicators

import mme
from mme.numeric.limits import within
from mme.residual import bind

# Those of strata are refused where all groups of one have single records, as they have in some designs.
EVERY = {name: made for name, made in {**STRUCTURES, **MORE}.items() if not name.endswith("by level")}
# Columns that earlier ones do not make up: the constant, all levels but the last of four, the covariate.
KEPT = [0, 1, 2, 3, 5]


def columns(data, factor):
    """A constant, a covariate, all levels of a factor (one of them too many), a column of zeros and a twin."""
    one, levels = np.ones((data.n, 1)), indicators(factor, int(factor.max()) + 1)
    x = data.covariate[:, None]
    return np.hstack([one, levels, x, 0.0 * x, 2.0 * x])


def by_definition(y, X, Z, G, R):
    """Criterion, sigma, beta, its covariance, BLUPs and PEV of y ~ N(X beta, sigma^2 (Z G Z' + R)), by REML."""
    V = Z @ G @ Z.T + R
    inverse = np.linalg.inv(V)
    C = np.linalg.inv(X.T @ inverse @ X)
    beta = C @ X.T @ inverse @ y
    r, dof = y - X @ beta, len(y) - X.shape[1]
    sigma2 = r @ inverse @ r / dof
    logs = [np.linalg.slogdet(one)[1] for one in (V, X.T @ inverse @ X)]
    P = inverse - inverse @ X @ C @ X.T @ inverse
    criterion = dof * (1.0 + np.log(2 * np.pi * sigma2)) + sum(logs)
    return (
        criterion,
        np.sqrt(sigma2),
        beta,
        sigma2 * C,
        G @ Z.T @ inverse @ r,
        sigma2 * np.diag(G - G @ Z.T @ P @ Z @ G),
    )


@pytest.mark.parametrize("name", EVERY)
@given(designs)
@settings(max_examples=6)
def test_a_sparse_X_beside_a_residual_structure_has_the_numbers_of_the_definition(name, data):
    """At given variances: criterion, sigma, beta, its covariance, BLUPs and their prediction errors."""
    example, rng = EVERY[name](data), np.random.default_rng(data.n)
    factor, level = rng.integers(0, 4, data.n), rng.integers(0, 5, data.n)
    factor[:4], level[:5] = np.arange(4), np.arange(5)
    X = columns(data, factor)
    y, theta = rng.standard_normal(data.n) + factor, rng.uniform(0.2, 2.0)
    of = bind(example.structure, np.asarray, data.n)
    phi, terms = dict(zip(of.names, example.natural, strict=True)), [mme.Term(level, name="level")]
    with within(SPARSE):
        fit = mme.fit(y, sp.csr_array(X), terms, theta=[theta], residual=example.structure, phi=phi)
    Z = indicators(level, 5)
    expected = by_definition(y, X[:, KEPT], Z, theta**2 * np.eye(5), example.R)
    found = fit.criterion, fit.sigma, fit.beta, fit.beta_cov, fit.ranef()["level"], fit.pev()["level"]
    assert list(fit.beta.index) == [f"x{j + 1}" for j in KEPT]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.ravel(one), np.ravel(other), rtol=1e-6, atol=1e-7)
