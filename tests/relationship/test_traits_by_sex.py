"""A trait of two sexes as two traits: what the pedigree says of their correlation, against dense algebra."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

import mme


@pytest.fixture(scope="module")
def weights() -> tuple[pd.DataFrame, mme.Pedigree]:
    rng = np.random.default_rng(3)
    n, founders = 90, 20
    parents = rng.integers(0, 10, (2, n - founders)) + np.array([[0], [10]])
    sire, dam = (np.append(np.full(founders, -1), one) for one in parents)
    pedigree = mme.Pedigree(np.arange(n), *([None if i < 0 else i for i in one] for one in (sire, dam)))
    T = np.linalg.cholesky(np.array([[2.0, 0.9], [0.9, 1.5]]))
    b = np.linalg.cholesky(pedigree.A()) @ rng.standard_normal((n, 2)) @ T.T
    male = rng.integers(0, 2, n)
    y = b[np.arange(n), male] + rng.normal(size=n) * np.array([1.0, 0.7])[male]
    data = pd.DataFrame({"animal": np.arange(n), "sex": np.array(["f", "m"])[male], "y": y})
    data.loc[[3, 30, 60], "sex"] = None  # nobody looked
    return data, pedigree


def dense_criterion(x: np.ndarray, data: pd.DataFrame, A: np.ndarray) -> float:
    """-2 log restricted likelihood at G = T T' and two residual variances."""
    seen = data.dropna()
    male = (seen["sex"] == "m").to_numpy().astype(int)
    T = np.array([[x[0], 0.0], [x[1], x[2]]])
    V = (T @ T.T)[np.ix_(male, male)] * A[np.ix_(seen["animal"], seen["animal"])] + np.diag(np.exp(2 * x[3:])[male])
    X, y = np.column_stack([np.ones(male.size), male]), seen["y"].to_numpy()
    Vi = np.linalg.inv(V)
    XVX = X.T @ Vi @ X
    r = y - X @ np.linalg.solve(XVX, X.T @ Vi @ y)
    logdets = np.linalg.slogdet(V)[1] + np.linalg.slogdet(XVX)[1]
    return float(logdets + r @ Vi @ r + (male.size - 2) * np.log(2 * np.pi))


def test_variances_and_the_correlation_of_the_sexes_are_those_of_dense_algebra(
    weights: tuple[pd.DataFrame, mme.Pedigree],
) -> None:
    data, pedigree = weights
    options = {"relationship": {"animal": pedigree}, "residual": mme.Heterogeneous("sex")}
    fit = mme.lmer("y ~ sex + (0 + sex | animal)", data, **options)
    assert (fit.nobs, fit.n_dropped) == (87, 3)
    A = pedigree.A()
    best = minimize(dense_criterion, [1.4, 0.6, 1.0, 0.0, -0.3], (data, A), method="BFGS", options={"gtol": 1e-6})
    assert fit.criterion == pytest.approx(best.fun, abs=1e-6)
    T = np.array([[best.x[0], 0.0], [best.x[1], best.x[2]]])
    np.testing.assert_allclose(fit.varcorr["animal"].cov, T @ T.T, rtol=2e-3)
    table = fit.heritability("animal")
    H = np.array([[_second(i, j, best.x, data, A) for j in range(5)] for i in range(5)])
    slope = np.array([(_correlation(best.x + d) - _correlation(best.x - d)) / 2e-4 for d in 1e-4 * np.eye(5)])
    rho = table.loc["correlation sexf, sexm"]
    assert rho["estimate"] == pytest.approx(_correlation(best.x), abs=1e-3)
    assert rho["se"] == pytest.approx(np.sqrt(slope @ np.linalg.solve(H, 2.0 * slope)), rel=1e-2)
    by_words = mme.lmer("y ~ sex + us(sex):A(animal)", data, **options)
    assert by_words.criterion == pytest.approx(fit.criterion, abs=1e-8)


def test_a_correlation_of_sexes_without_relatives_of_the_other_sex_is_named() -> None:
    rng = np.random.default_rng(1)
    families = np.arange(80) // 4
    pedigree = mme.Pedigree(np.arange(80), 100 + families, 200 + families)
    sex = np.where(families % 2, "m", "f")
    y = rng.normal(size=20)[families] + rng.normal(size=80)
    data = pd.DataFrame({"animal": np.arange(80), "sex": sex, "y": y})
    fit, apart = (
        mme.lmer(f"y ~ sex + {bar}", data, relationship={"animal": pedigree})
        for bar in ("(0 + sex | animal)", "diag(0 + sex | animal)")
    )
    assert fit.optimum.undetermined == ("the data do not determine the correlation of sexf and sexm by animal",)
    assert fit.criterion == pytest.approx(apart.criterion, abs=1e-6)


def _correlation(x: np.ndarray) -> float:
    return float(np.sign(x[0]) * x[1] / np.hypot(x[1], x[2]))


def _second(i: int, j: int, x: np.ndarray, data: pd.DataFrame, A: np.ndarray) -> float:
    a, b = 1e-3 * np.eye(5)[[i, j]]
    signs = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    return sum(s * dense_criterion(x + p * a + q * b, data, A) for p, q, s in signs) / 4e-6
