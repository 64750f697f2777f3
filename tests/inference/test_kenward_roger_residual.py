"""Kenward and Roger's method beside residual structures: the definition by n x n matrices, and what SAS prints."""

import numpy as np
import pandas as pd
import pytest
from cases import PRIVATE
from numpy.linalg import inv

import mme
from mme.residual import AR1, CompoundSymmetry, Heterogeneous, Toeplitz, Unstructured

CORRELATIONS = {
    "AR1": lambda rho, i, j: rho[0] ** abs(i - j),
    "CS": lambda rho, i, j: rho[0] if i != j else 1.0,
    "TOEP": lambda rho, i, j: np.append(1.0, rho)[abs(i - j)],
}


@pytest.fixture(scope="module")
def trial():
    """Thirty subjects of two arms at four visits, of which one in six is missing."""
    rng = np.random.default_rng(5)
    subject, visit = np.repeat(np.arange(30), 4), np.tile(np.arange(1, 5), 30)
    C = 0.6 ** np.abs(np.subtract.outer(np.arange(4), np.arange(4))) * np.outer([1, 1.3, 1.6, 2], [1, 1.3, 1.6, 2])
    e = rng.multivariate_normal(np.zeros(4), C, size=30).ravel()
    data = pd.DataFrame({"id": subject, "visit": visit, "arm": np.where(subject % 3 == 0, "A", "B")})
    data["x"] = rng.normal(size=30)[subject] + 0.3 * rng.normal(size=120)
    data["y"] = 3.0 + 0.5 * data["x"] + (data["arm"] == "B") * 0.4 * visit + e
    return data[rng.random(120) > 1 / 6].reset_index(drop=True)


def derivatives(V, psi):
    """V_i and V_ij by central differences of fourth order."""
    w, at = np.array([1.0, -8.0, 8.0, -1.0]) / 12.0, np.array([-2.0, -1.0, 1.0, 2.0])
    step = 1e-3 * np.maximum(np.abs(psi), 0.1)
    unit = np.diag(step)

    def first(psi):
        return [sum(c * V(psi + t * unit[i]) for c, t in zip(w, at, strict=True)) / step[i] for i in range(psi.size)]

    second = []
    for i in range(psi.size):
        ends = [first(psi + t * unit[i]) for t in at]
        second.append([sum(c * e[j] for c, e in zip(w, ends, strict=True)) / step[i] for j in range(psi.size)])
    return first(psi), second


def definition(y, X, V, psi, curved=True):
    """Phi_A and the degrees of freedom of each coefficient at psi, W the inverse of the observed information."""
    Vi, Vij = derivatives(V, psi)
    Vinv = inv(V(psi))
    Phi = inv(X.T @ Vinv @ X)
    P = Vinv - Vinv @ X @ Phi @ X.T @ Vinv
    e, k = P @ y, psi.size
    D = np.empty((k, k))
    for i in range(k):
        for j in range(k):
            D[i, j] = np.trace(P @ Vij[i][j]) - np.trace(P @ Vi[i] @ P @ Vi[j])
            D[i, j] += 2 * e @ Vi[i] @ P @ Vi[j] @ e - e @ Vij[i][j] @ e
    W = 2 * inv(D)
    P_i = [-X.T @ Vinv @ A @ Vinv @ X for A in Vi]
    inner = 0.0
    for i in range(k):
        for j in range(k):
            Q = X.T @ Vinv @ Vi[i] @ Vinv @ Vi[j] @ Vinv @ X
            R = X.T @ Vinv @ Vij[i][j] @ Vinv @ X
            inner = inner + W[i, j] * (Q - P_i[i] @ Phi @ P_i[j] - 0.25 * R * curved)
    slopes = np.array([np.diag(Phi @ one @ Phi) / np.diag(Phi) for one in P_i])
    return Phi + 2 * Phi @ inner @ Phi, 2 / np.einsum("ic,ij,jc->c", slopes, W, slopes)


def marginal(data, kind, heterogeneous=False, of_intercept=False):
    """V by SAS's parameters: the variance (or those of the visits), correlations, and the variance of the subjects."""
    at, same = data["visit"].to_numpy() - 1, np.equal.outer(data["id"].to_numpy(), data["id"].to_numpy())

    def V(psi):
        variances, rho = (psi[:4], psi[4:]) if heterogeneous else (np.full(4, psi[0]), psi[1:])
        rho, more = (rho[:-1], rho[-1]) if of_intercept else (rho, 0.0)
        if kind in ("CS", "TOEP") and not heterogeneous:  # of covariances, as SAS has them
            rho = rho / psi[0]
        C = np.array([[CORRELATIONS[kind](rho, i, j) for j in range(4)] for i in range(4)])
        S = C * np.sqrt(np.outer(variances, variances)) + more
        return np.where(same, S[np.ix_(at, at)], 0.0)

    return V


def parameters(fit, heterogeneous=False):
    """SAS's parameters of a fit."""
    natural = fit.internals.model.residual.natural(fit.internals.objective.phi)
    names = fit.internals.model.residual.names
    sd = np.array([name.startswith("sd.") for name in names])
    variances = fit.sigma**2 * np.append(1.0, natural[sd] ** 2 if heterogeneous else [])
    if not heterogeneous and fit.internals.model.residual.is_linear:
        natural = natural * fit.sigma**2
    subjects = [fit.sigma**2 * fit.theta[0] ** 2] if fit.theta.size else []
    return np.concatenate([variances, natural[~sd], subjects])


@pytest.mark.parametrize(
    ("residual", "kind", "heterogeneous", "bar"),
    [
        (AR1("visit", "id"), "AR1", False, ""),
        ([AR1("visit", "id"), Heterogeneous("visit")], "AR1", True, ""),
        (AR1("visit", "id"), "AR1", False, " + (1 | id)"),
        ([CompoundSymmetry("id"), Heterogeneous("visit")], "CS", True, ""),
        (CompoundSymmetry("id"), "CS", False, ""),
        (Toeplitz("visit", "id"), "TOEP", False, ""),
    ],
    ids=["AR1", "ARH1", "AR1 beside subjects", "CSH", "CS", "TOEP"],
)
def test_adjusted_covariance_and_df_are_those_of_the_definition(trial, residual, kind, heterogeneous, bar):
    if bar:
        trial = trial.assign(y=trial["y"] + 3.0 * np.random.default_rng(8).normal(size=30)[trial["id"]])
    fit = mme.lmer("y ~ arm * visit + x" + bar, trial, residual=residual)
    V, psi, X = marginal(trial, kind, heterogeneous, bool(bar)), parameters(fit, heterogeneous), fit.internals.model.X
    for curved, ddf in ((True, "kenward-roger"), (False, "kenward-roger-linear")):
        cov, df = definition(trial["y"].to_numpy(), X, V, psi, curved)
        table = fit.coefficients(ddf=ddf)
        np.testing.assert_allclose(table["se"], np.sqrt(np.diag(cov)), rtol=2e-5)
        np.testing.assert_allclose(table["df"], df, rtol=1e-3 if bar else 2e-4)


@pytest.mark.parametrize("known", ["a variance", "sigma"])
def test_beside_a_variance_that_is_known_the_others_are_estimated_as_by_the_definition(trial, known):
    """A variance of subjects that is held moves with sigma where it is written as a ratio, and does not in its unit."""
    trial = trial.assign(y=trial["y"] + 3.0 * np.random.default_rng(8).normal(size=30)[trial["id"]])
    given = {"hold": {"V_id": 0.5}} if known == "a variance" else {"sigma": 1.4}
    fit = mme.lmer("y ~ arm * x + (1 | id)", trial, residual=AR1("visit", "id"), **given)
    of_sigma, at = marginal(trial, "AR1", of_intercept=True), parameters(fit)
    free = slice(2) if known == "a variance" else slice(1, 3)

    def V(psi):
        return of_sigma(np.append(psi, 0.5) if known == "a variance" else np.append(1.4**2, psi))

    cov, df = definition(trial["y"].to_numpy(), fit.internals.model.X, V, at[free])
    table = fit.coefficients("kenward-roger")
    np.testing.assert_allclose(table["se"] ** 2, np.diag(cov), rtol=1e-5)
    np.testing.assert_allclose(table["df"], df, rtol=1e-4)


def test_the_last_term_vanishes_where_R_is_linear_and_counts_elsewhere(trial):
    for residual, same in ((Unstructured("visit", "id"), True), (AR1("visit", "id"), False)):
        fit = mme.lmer("y ~ arm * visit + x", trial, residual=residual)
        ratio = fit.coefficients(ddf="kenward-roger")["se"] / fit.coefficients(ddf="kr-linear")["se"]
        assert (np.abs(ratio - 1.0) < 1e-12).all() == same
        assert fit.contrast({"x": 1.0, "armB": 1.0}, ddf="kr")["df"].iloc[0] > 10.0


def test_parameters_of_unstructured_covariances_are_no_matter(trial):
    """Of two occasions compound symmetry, Toeplitz and correlations beside equal variances span the same matrices."""
    two = trial[trial["visit"] <= 2].reset_index(drop=True)
    same = (CompoundSymmetry("id"), Toeplitz("visit", "id"), Unstructured("visit", "id", equal_variances=True))
    fits = [mme.lmer("y ~ arm + x", two, residual=residual) for residual in same]
    one, *others = (fit.coefficients(ddf="kenward-roger")[["se", "df"]].to_numpy() for fit in fits)
    for other in others:
        np.testing.assert_allclose(one, other, rtol=1e-4)


def test_predictions_beside_a_structure_refuse_what_they_have_not(trial):
    fit = mme.lmer("y ~ arm + x + (1 | id)", trial, residual=AR1("visit", "id"))
    with pytest.raises(mme.MMEError, match="use ddf='satterthwaite'"):
        fit.predict(trial.head(3), interval="prediction", ddf="kenward-roger")


FEV = PRIVATE.parent / "field" / "data" / "fev.csv"


@pytest.mark.skipif(not FEV.exists(), reason="FEV1 of mmrm: set MME_REFERENCE")
@pytest.mark.parametrize(
    ("residual", "se", "df"),
    [(AR1("VISITN", "USUBJID"), 0.958654, 188.469), (CompoundSymmetry("USUBJID"), 0.7965, 177.038)],
    ids=["AR1", "CS"],
)
def test_sas_prints_the_same_of_fev1(residual, se, df):
    """PROC MIXED, ddfm=kr, as printed in the tests of the R package mmrm."""
    data = pd.read_csv(FEV).dropna(subset=["FEV1"])
    row = mme.lmer("FEV1 ~ ARMCD", data, residual=residual).coefficients(ddf="kenward-roger").iloc[1]
    assert row["se"] == pytest.approx(se, abs=5e-5)
    assert row["df"] == pytest.approx(df, abs=2e-3)
