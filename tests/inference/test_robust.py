"""Sandwich covariances by clusters: the definitions by n x n matrices, and what clubSandwich 0.5.8 prints."""

import numpy as np
import pandas as pd
import pytest
from numpy.linalg import inv
from scipy.linalg import block_diag, cholesky

import mme
from mme.residual import AR1

# coef_test(lme(distance ~ age * Sex, random = ~ 1 | Subject), vcov, test = "Satterthwaite"), Female the reference
CLUBSANDWICH = {
    "CR0": [[0.725206258, 0.0631325987, 1.37778506, 0.116867302], [10, 10, 21.875625, 21.875625]],
    "CR1": [[0.739020952, 0.0643352325, 1.40403094, 0.119093546], [10, 10, 21.875625, 21.875625]],
    "CR1S": [[0.74960413, 0.0652565476, 1.42413742, 0.120799029], [10, 10, 21.875625, 21.875625]],
    "CR2": [[0.760602741, 0.0662140281, 1.42911695, 0.121249144], [10, 10, 21.6534653, 21.6534653]],
    "CR3": [[0.797726884, 0.0694458586, 1.48250379, 0.125807744], [10, 10, 21.4285714, 21.4285714]],
}


@pytest.mark.parametrize("kind", CLUBSANDWICH)
def test_orthodont_is_as_in_clubsandwich(kind):
    fit = mme.lmer("distance ~ age * Sex + (1 | Subject)", mme.load("Orthodont"))
    table = fit.coefficients(robust=kind, cluster="Subject")
    np.testing.assert_allclose(table[["se", "df"]].T.to_numpy(), CLUBSANDWICH[kind], rtol=2e-6)


@pytest.fixture(scope="module")
def records():
    """Twelve sites of unequal size, patients in them at several visits."""
    rng = np.random.default_rng(2)
    site = np.repeat(np.arange(12), rng.integers(4, 11, 12))
    data = pd.DataFrame(
        {"site": site, "arm": rng.integers(0, 3, site.size).astype(str), "x": rng.normal(size=site.size)}
    )
    data["visit"] = data.groupby("site").cumcount() + 1
    data["y"] = data["x"] + rng.normal(size=12)[site] * (1 + data["x"]) + rng.normal(size=site.size)
    return data


def dense(fit, V, cluster, kind):
    """(S), and P with p = P l for each cluster, matrix by matrix."""
    X, y = fit.internals.model.X, fit.internals.model.y
    M = inv(X.T @ inv(V) @ X)
    e = y - X @ M @ X.T @ inv(V) @ y
    m, (n, p), meat, ps = len(set(cluster)), X.shape, 0.0, []
    for c in np.unique(cluster):
        at = cluster == c
        V_c, X_c = V[np.ix_(at, at)], X[at]
        D = cholesky(V_c)
        if kind == "CR2":
            values, vectors = np.linalg.eigh(D @ (V_c - X_c @ M @ X_c.T) @ D.T)
            A = D.T @ vectors @ np.diag(values**-0.5) @ vectors.T @ D
        elif kind == "CR3":
            A = inv(np.eye(at.sum()) - X_c @ M @ X_c.T @ inv(V_c))
        else:
            A = np.eye(at.sum())
        P_c = np.zeros((n, p))
        P_c[at] = A.T @ inv(V_c) @ X_c @ M
        ps.append(P_c)
        meat = meat + np.outer(P_c.T @ e, P_c.T @ e)
    factor = {"CR1": m / (m - 1), "CR1S": m * (n - 1) / (m - 1) / (n - p)}.get(kind, 1.0)
    return factor * meat, ps, V - X @ M @ X.T


def marginal(fit, data):
    """V of a random intercept and slope by site, with AR(1) of the visits where there is one."""
    structure = fit.internals.model.residual
    rho = None if structure is None else structure.natural(fit.internals.objective.phi)[0]
    blocks = []
    for _, part in data.groupby("site"):
        Z = np.column_stack([np.ones(len(part)), part["x"]]) if fit.theta.size == 3 else np.ones((len(part), 1))
        lag = np.abs(np.subtract.outer(part["visit"].to_numpy(), part["visit"].to_numpy()))
        R = np.eye(len(part)) if rho is None else rho**lag
        blocks.append(Z @ fit.varcorr["site"].cov @ Z.T + fit.sigma**2 * R)
    return block_diag(*blocks)


@pytest.mark.parametrize(
    ("bar", "residual"), [("(x | site)", None), ("(1 | site)", AR1("visit", "site"))], ids=["slopes", "AR1"]
)
@pytest.mark.parametrize("kind", ["CR0", "CR1", "CR1S", "CR2", "CR3"])
def test_covariance_df_and_hotelling_are_those_of_the_definitions(records, bar, residual, kind):
    fit = mme.lmer(f"y ~ arm + x + {bar}", records, residual=residual)
    cov, ps, left = dense(fit, marginal(fit, records), records["site"].to_numpy(), kind)
    table = fit.coefficients(robust=kind, cluster="site")
    np.testing.assert_allclose(table["se"], np.sqrt(np.diag(cov)), rtol=1e-8)
    for j, df in enumerate(table["df"]):
        Omega = np.array([[a[:, j] @ left @ b[:, j] for b in ps] for a in ps])
        assert df == pytest.approx(np.trace(Omega) ** 2 / (Omega**2).sum(), rel=1e-8)
    L = np.eye(4)[1:3]
    joint = fit.contrast(L, joint=True, robust=kind, cluster="site").iloc[0]
    first = sum((P @ L.T).T @ left @ (P @ L.T) for P in ps)
    root = inv(cholesky(first, lower=True))
    G = [[root @ (a @ L.T).T @ left @ (b @ L.T) @ root.T for b in ps] for a in ps]
    eta = 6 / sum(np.trace(g) ** 2 + np.trace(g @ g) for row in G for g in row)
    d = L @ fit.beta.to_numpy()
    assert joint["den_df"] == pytest.approx(eta - 1, rel=1e-7)
    assert joint["F"] == pytest.approx((eta - 1) / (2 * eta) * d @ inv(L @ cov @ L.T) @ d, rel=1e-7)


def test_htz_of_sleepstudy_is_as_in_clubsandwich():
    """Wald_test(lmer(Reaction ~ Days + (Days | Subject)), constrain_zero(1:2), "CR2", test = "HTZ")."""
    fit = mme.lmer("Reaction ~ Days + (Days | Subject)", mme.load("sleepstudy"))
    found = fit.contrast(np.eye(2), joint=True, robust="CR2").iloc[0]
    assert (found["F"], found["den_df"]) == pytest.approx((705.844299, 16), rel=2e-4)


def test_means_and_contrasts_take_the_clusters_by_name_array_or_default(records):
    fit = mme.lmer("y ~ arm + x + (1 | site)", records)
    by_name = fit.means("arm", pairs=True, robust="CR2", cluster="site", adjust="none")
    contrast = fit.contrast({"arm1": -1.0}, robust="CR2", cluster=records["site"])
    assert by_name["se"].iloc[0] == pytest.approx(contrast["se"].iloc[0], rel=1e-12)
    assert by_name["df"].iloc[0] == pytest.approx(contrast["df"].iloc[0], rel=1e-12)
    assert fit.coefficients(robust="CR2")["se"].equals(fit.coefficients(robust="CR2", cluster="site")["se"])
    assert np.isinf(fit.coefficients("none", robust="CR0")["df"]).all()


def test_a_linear_model_has_clusters_of_a_column_of_its_data_with_missing_rows_left_out(records):
    data = records.assign(x=np.where(np.arange(len(records)) % 9 == 4, np.nan, records["x"]))
    fit = mme.lm("y ~ arm + x", data)
    kept = data.dropna()
    cov, _, _ = dense(fit, fit.sigma**2 * np.eye(len(kept)), kept["site"].to_numpy(), "CR2")
    for cluster in ("site", data["site"], kept["site"].to_numpy()):
        np.testing.assert_allclose(fit.coefficients(robust="CR2", cluster=cluster)["se"] ** 2, np.diag(cov), rtol=1e-8)


def test_clusters_that_the_model_joins_or_that_are_unknown_are_refused(records):
    fit = mme.lmer("y ~ arm + x + (1 | site)", records)
    with pytest.raises(mme.MMEError, match="the random term 'site' joins levels of 'visit'"):
        fit.coefficients(robust="CR2", cluster="visit")
    with pytest.raises(mme.MMEError, match="cluster='hospital' is no column"):
        fit.coefficients(robust="CR2", cluster="hospital")
    with pytest.raises(mme.MMEError, match=r"robust must be one of .* got 'HC3'"):
        fit.coefficients(robust="HC3")
    with pytest.raises(mme.MMEError, match="goes with robust"):
        fit.coefficients(cluster="site")
    with pytest.raises(mme.MMEError, match="not 'kenward-roger'"):
        fit.coefficients("kr", robust="CR2")
    with pytest.raises(mme.MMEError, match="has one"):
        fit.coefficients(robust="CR2", cluster=["all"] * len(records))


def test_tables_of_terms_hypotheses_and_slopes_take_the_same_sandwich():
    fit = mme.lmer("distance ~ age * Sex + (age | Subject)", mme.load("Orthodont"))
    by = {"robust": "CR2", "cluster": "Subject"}
    own = fit.coefficients(**by)
    interaction = fit.contrast([0, 0, 0, 1], joint=True, **by).loc["joint"]
    for table in (fit.anova(**by), fit.joint_tests(**by)):
        assert list(table.loc["age:Sex", ["den_df", "F", "p"]]) == pytest.approx(
            list(interaction[["den_df", "F", "p"]])
        )
        assert not {"sum_sq", "mean_sq"} & set(table)  # F sigma^2 is no sum of squares with another covariance
    both = fit.test("age = 0, age:SexMale = 0", **by).iloc[0]
    joint = fit.contrast([[0, 1, 0, 0], [0, 0, 0, 1]], joint=True, **by).loc["joint"]
    assert list(both) == pytest.approx(list(joint))
    slope = fit.trends("age", by="Sex", **by).loc["Female"]
    assert list(slope[["slope", "se", "df"]]) == pytest.approx(list(own.loc["age", ["estimate", "se", "df"]]))
    with pytest.raises(mme.MMEError, match="cluster= goes with robust="):
        fit.anova(cluster="Subject")


def test_a_summary_prints_the_sandwich():
    fit = mme.lmer("distance ~ age * Sex + (age | Subject)", mme.load("Orthodont"))
    text = fit.summary(robust="CR2", cluster="Subject")
    assert "sandwich by clusters (CR2), degrees of freedom by Satterthwaite" in text
    row = fit.coefficients(robust="CR2", cluster="Subject").loc["age:SexMale"]
    assert f"{row['se']:.5f} {row['df']:.1f}" in text
    with pytest.raises(mme.MMEError, match="goes with robust="):
        fit.summary(cluster="Subject")
