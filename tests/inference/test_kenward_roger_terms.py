"""Kenward and Roger's method for random terms not linear in their parameters, by dense algebra as it is written."""

import numpy as np
import pandas as pd
import pytest
from numpy.linalg import inv

import mme

TIMES = 4
LAGS = np.abs(np.subtract.outer(np.arange(TIMES), np.arange(TIMES)))


def trial(seed=3):
    rng = np.random.default_rng(seed)
    data = pd.DataFrame([(g, t) for g in range(14) for t in range(TIMES)], columns=["g", "t"])
    data["arm"], data["f"] = np.where(data.g % 2, "a", "b"), data.t.map(lambda t: f"t{t}")
    L = np.linalg.cholesky(0.7**LAGS)
    data["y"] = np.concatenate([1.5 * L @ rng.normal(size=TIMES) for _ in range(14)]) + 0.7 * rng.normal(size=56)
    data = pd.concat([data, data.assign(y=data.y + 0.6 * rng.normal(size=56))], ignore_index=True)
    return data[rng.random(112) > 0.15].reset_index(drop=True)


DATA = trial()
X, Y = np.column_stack([np.ones(len(DATA)), DATA.arm == "b", DATA.t]).astype(float), DATA.y.to_numpy()
E, SAME = np.eye(TIMES)[DATA.t], np.equal.outer(DATA.g.to_numpy(), DATA.g.to_numpy()) * 1.0
APART = np.abs(np.subtract.outer(DATA.t.to_numpy(), DATA.t.to_numpy()))
EYE = np.eye(TIMES)
COVARIANCES = {  # by variances, correlations, ranges, loadings
    "ar1(0 + f | g)": lambda x: SAME * (E @ (x[0] * x[1] ** LAGS) @ E.T),
    "cs(0 + f | g, hom = TRUE)": lambda x: SAME * (E @ (x[0] * ((1 - x[1]) * EYE + x[1])) @ E.T),
    "ou(t | g)": lambda x: SAME * x[0] * np.exp(-APART / x[1]),
    "fa(0 + f | g, k = 1)": lambda x: SAME * (E @ (np.outer(x[:4], x[:4]) + np.diag(x[4:8])) @ E.T),
}


def changes(f, x):
    """Derivatives by central differences of fourth order."""
    steps = np.diag(2e-3 * np.maximum(np.abs(x), 0.05))
    return np.array([(8 * (f(x + e) - f(x - e)) - f(x + 2 * e) + f(x - 2 * e)) / (12 * e.sum()) for e in steps])


def dense(V_of, x):
    """Standard errors and degrees of freedom of each coefficient (Kenward and Roger 1997)."""
    V_i, V_ij = changes(V_of, x), changes(lambda z: changes(V_of, z), x)
    V_inverse, k = inv(V_of(x)), range(x.size)
    Phi = inv(X.T @ V_inverse @ X)
    P = V_inverse - V_inverse @ X @ Phi @ X.T @ V_inverse
    r, left = P @ Y, V_inverse @ X
    H = [
        [np.trace(P @ (V_ij[i, j] - V_i[i] @ P @ V_i[j])) + r @ (2 * V_i[i] @ P @ V_i[j] - V_ij[i, j]) @ r for j in k]
        for i in k
    ]
    W, P_i = 2 * inv(H), [-left.T @ one @ left for one in V_i]
    inner = sum(
        W[i, j] * (left.T @ (V_i[i] @ V_inverse @ V_i[j] - V_ij[i, j] / 4) @ left - P_i[i] @ Phi @ P_i[j])
        for i in k
        for j in k
    )
    moved = np.array([np.diag(Phi @ one @ Phi) / np.diag(Phi) for one in P_i])
    return np.sqrt(np.diag(Phi + 2 * Phi @ inner @ Phi)), 2 / np.einsum("ia,ij,ja->a", moved, W, moved)


@pytest.mark.parametrize("text", COVARIANCES)
def test_standard_errors_and_degrees_of_freedom_are_those_of_the_definition(text):
    fit = mme.lmer(f"y ~ arm + t + {text}", DATA)
    table = fit.coefficients(ddf="kenward-roger")
    (part,) = fit.internals.model.structures
    natural = part.natural(fit.theta, fit.sigma)
    parameters = np.append(np.where(part.diagonal, natural**2, natural), fit.sigma**2)
    se, df = dense(lambda x: COVARIANCES[text](x) + x[-1] * np.eye(len(DATA)), parameters)
    np.testing.assert_allclose(table["se"], se, rtol=3e-6)
    np.testing.assert_allclose(table["df"], df, rtol=3e-5)


@pytest.mark.parametrize("ddf", ["kenward-roger", "satterthwaite"])
def test_one_variance_of_all_coefficients_is_an_interaction_with_the_factor(ddf):
    one, other = (mme.lmer(f"y ~ arm + t + {bar}", DATA).coefficients(ddf=ddf) for bar in ("id(f):g", "(1 | f:g)"))
    np.testing.assert_allclose(one[["se", "df"]], other[["se", "df"]], rtol=1e-5)


def test_without_the_second_order_term_the_standard_errors_are_others():
    fit = mme.lmer("y ~ arm + t + ar1(0 + f | g)", DATA)
    whole, linear = (fit.coefficients(ddf=ddf) for ddf in ("kenward-roger", "kenward-roger-linear"))
    np.testing.assert_allclose(whole["df"], linear["df"], rtol=1e-10)
    assert abs(whole["se"].iloc[0] / linear["se"].iloc[0] - 1) > 1e-3
