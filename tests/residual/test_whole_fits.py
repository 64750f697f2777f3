"""Whole fits beside a crossing random effect, of every residual structure, against dense algebra with R as defined."""

import numpy as np
import pytest
from hypothesis import given, settings
from residuals import MORE, STRUCTURES, bound, designs

import mme
from mme.errors import MMEWarning


@pytest.mark.parametrize("name", [*STRUCTURES, *MORE])
@pytest.mark.filterwarnings(f"ignore::{MMEWarning.__module__}.{MMEWarning.__name__}")
@settings(max_examples=3)
@given(data=designs)
def test_estimates_predictions_and_their_errors_are_those_of_dense_algebra(name, data):
    """V = Z G Z' + R; b = G Z'V^-1 r, condvar = G - G Z'V^-1 Z G, PEV = G - G Z'P Z G, at given parameters."""
    example = (STRUCTURES | MORE)[name](data)
    n, judge = data.n, data.rng.integers(0, 5, data.n)
    judge[:5] = np.arange(5)
    X, y = np.column_stack([np.ones(n), data.rng.normal(size=n)]), data.rng.normal(size=n)
    phi = dict(zip(bound(example).names, example.natural.tolist(), strict=True))
    fit = mme.fit(y, X, [mme.Term(judge, name="judge")], residual=example.structure, theta=[0.7], phi=phi)
    R, Z, G = example.R, np.eye(5)[judge], 0.49 * np.eye(5)
    Vi = np.linalg.inv(Z @ G @ Z.T + R)
    cov = np.linalg.inv(X.T @ Vi @ X)
    beta = cov @ X.T @ Vi @ y
    r, P = y - X @ beta, Vi - Vi @ X @ cov @ X.T @ Vi
    s2 = r @ Vi @ r / (n - 2)
    criterion = (n - 2) * (1 + np.log(2 * np.pi * s2)) - np.linalg.slogdet(Vi)[1] - np.linalg.slogdet(cov)[1]
    close = {"rtol": 1e-6, "atol": 1e-9 * np.linalg.cond(R)}
    assert fit.criterion == pytest.approx(criterion, rel=1e-8, abs=1e-6)
    np.testing.assert_allclose(fit.beta, beta, **close)
    np.testing.assert_allclose(fit.beta_cov, s2 * cov, **close)
    np.testing.assert_allclose(fit.ranef()["judge"].to_numpy().ravel(), G @ Z.T @ Vi @ r, **close)
    for found, of in ((fit.condvar(), Vi), (fit.pev(), P)):
        expected = s2 * np.diag(G - G @ Z.T @ of @ Z @ G)
        np.testing.assert_allclose(found["judge"].ravel(), expected, **close)
