"""Intervals of the mean category: thresholds are in it, and uncertain."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import mme


@pytest.fixture(scope="module")
def fit() -> mme.GeneralisedFit:
    """Three categories in twenty groups."""
    rng = np.random.default_rng(4)
    g, x = np.repeat(np.arange(20), 10), rng.normal(size=200)
    y = np.digitize(0.8 * x + 0.7 * rng.normal(size=20)[g] + rng.logistic(size=200), [-1.0, 1.0])
    return mme.glmer("y ~ x + (1 | g)", pd.DataFrame({"y": y, "x": x, "g": g}), mme.Ordinal())


@pytest.mark.parametrize("random", [False, "average"])
def test_a_mean_has_the_error_of_the_delta_method(fit: mme.GeneralisedFit, random: bool | str) -> None:
    """Of sum_j j P_j as a function of theta, beta and the thresholds, by their joint covariance."""
    record, x = fit.internals, np.array([-1.0, 0.0, 2.0])
    cov, at = record.estimates.joint_cov, record.searched.at.at
    assert cov is not None
    assert record.searched.free.all()
    found = fit.predict(pd.DataFrame({"x": x, "g": 0}), random=random, interval="confidence")
    v, w = np.polynomial.hermite_e.hermegauss(60)

    def mean(psi: np.ndarray) -> np.ndarray:
        sd = abs(record.model.coordinates.outer(psi[:1])[0]) if random else 0.0
        eta = record.problem.beta(psi[1:2])[0] * x[:, None] + sd * v
        up_to = [1.0 / (1.0 + np.exp(eta - c)) @ w / w.sum() for c in fit.family.natural(psi[2:])]
        return np.asarray(2.0 - sum(up_to))

    steps = 1e-5 * np.eye(4)
    J = np.array([(mean(at.x + step) - mean(at.x - step)) / 2e-5 for step in steps]).T
    np.testing.assert_allclose(found["fit"], mean(at.x), rtol=1e-9)
    np.testing.assert_allclose(found["se"], np.sqrt(np.einsum("ij,jk,ik->i", J, cov, J)), rtol=1e-6)
    assert (found["se"] > 0.02).all()
    assert ((found["lower"] < found["fit"]) & (found["fit"] < found["upper"])).all()
